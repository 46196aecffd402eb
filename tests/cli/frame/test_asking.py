"""The commands that ask the running gateway, against a real control socket."""

import json
import os
import socket
import subprocess
import sys
import threading
from pathlib import Path
from typing import Any

import pytest

from gateway.cli import main
from gateway.cli.frame import client
from tests.cli.conftest import Asked

ROW: dict[str, Any] = {
    "device": "press-1", "tag": "oil_temp", "value": 54.2, "unit": "°C", "type": "float32", "quality": "good", "good": True,
    "ts": 1795314791568, "age_s": 0.4, "source_age_s": 0.4,
}  # fmt: skip
BAD = ROW | {
    "tag": "oil_level",
    "value": None,
    "unit": "mm",
    "quality": "bad, no communication",
    "good": False,
    "age_s": None,
}
READ = ROW | {"address": "40001"}


def test_tags_shows_value_unit_quality_and_age(gateway: Asked, capsys: pytest.CaptureFixture[str]) -> None:
    gateway.answers["tags"] = [ROW, BAD]
    assert main(["tags", "press-1"]) == 0
    assert capsys.readouterr().out.splitlines() == [
        "NAME               VALUE  UNIT  QUALITY                  AGE",
        "press-1/oil_temp    54.2  °C    good                   0.4 s",
        "press-1/oil_level      -  mm    bad, no communication  never",
    ]
    assert gateway.requests == [("tags", {"device": "press-1"})]


def test_without_a_device_all_tags_are_asked_for(gateway: Asked) -> None:
    gateway.answers["tags"] = [ROW]
    assert main(["tags"]) == 0
    assert gateway.requests == [("tags", {"device": None})]


def test_json_is_the_answer_itself(gateway: Asked, capsys: pytest.CaptureFixture[str]) -> None:
    gateway.answers["tags"] = [ROW, BAD]
    assert main(["--json", "tags"]) == 0
    assert json.loads(capsys.readouterr().out) == [ROW, BAD]


def test_watching_shows_again_until_the_gateway_is_gone(
    gateway: Asked, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    gateway.answers["tags"] = [ROW]
    pauses: list[float] = []

    def pause(seconds: float) -> None:
        pauses.append(seconds)
        if len(pauses) == 3:
            os.environ["EDGE_GATEWAY_SOCKET"] += ".gone"

    monkeypatch.setattr("time.sleep", pause)
    assert main(["tags", "--watch"]) == 3
    told = capsys.readouterr()
    assert told.out.count("54.2") == 3
    assert "\033" not in told.out
    assert pauses == [1, 1, 1]


def test_ctrl_c_ends_watching_well(gateway: Asked, monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupted(_: float) -> None:
        raise KeyboardInterrupt

    gateway.answers["tags"] = [ROW]
    monkeypatch.setattr("time.sleep", interrupted)
    assert main(["tags", "--watch"]) == 0


def test_read_shows_value_quality_address_and_type(gateway: Asked, capsys: pytest.CaptureFixture[str]) -> None:
    gateway.answers["read"] = [READ]
    assert main(["read", "press-1/oil_temp"]) == 0
    assert capsys.readouterr().out == "press-1/oil_temp  54.2 °C  good  40001 float32\n"
    assert gateway.requests == [("read", {"device": "press-1", "tags": ["oil_temp"]})]


def test_read_exits_with_1_when_a_value_is_not_good(gateway: Asked) -> None:
    gateway.answers["read"] = [READ, BAD | {"address": ""}]
    assert main(["read", "press-1/oil_temp", "press-1/oil_level"]) == 1
    assert main(["--json", "read", "press-1/oil_temp", "press-1/oil_level"]) == 1


@pytest.mark.parametrize("names", [["press-1"], ["press-1/"], ["/oil"], ["press-1/a", "press-2/b"]])
def test_read_wants_tags_of_one_device(names: list[str], gateway: Asked, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["read", *names]) == 2
    assert capsys.readouterr().err == "edge-gateway: name tags of one device, as DEVICE/TAG\n"
    assert gateway.requests == []


def test_reload_shows_what_was_changed(gateway: Asked, capsys: pytest.CaptureFixture[str]) -> None:
    gateway.answers["reload"] = {"applied": True, "changes": ['device "press-1" changed: host']}
    assert main(["reload"]) == 0
    assert capsys.readouterr().out == 'device "press-1" changed: host\n'
    gateway.answers["reload"] = {"applied": True, "changes": []}
    assert main(["reload"]) == 0
    assert capsys.readouterr().out == "nothing has changed\n"


def test_a_refused_reload_shows_every_problem_and_exits_with_1(
    gateway: Asked, capsys: pytest.CaptureFixture[str]
) -> None:
    gateway.answers["reload"] = {"applied": False, "problems": ["config.toml:4: a", "config.toml:7: b"]}
    assert main(["reload"]) == 1
    assert capsys.readouterr().out.splitlines() == [
        "config.toml:4: a", "config.toml:7: b", "nothing was changed; the gateway runs on with the old configuration",
    ]  # fmt: skip
    assert main(["--json", "reload"]) == 1
    assert json.loads(capsys.readouterr().out)["problems"] == ["config.toml:4: a", "config.toml:7: b"]


@pytest.mark.parametrize("words", [["status"], ["tags"], ["read", "press-9/oil"], ["reload"]])
def test_what_the_gateway_refuses_is_said_on_stderr_with_exit_code_1(
    words: list[str], refusing: Asked, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(words) == 1
    told = capsys.readouterr()
    assert (told.out, told.err) == ("", 'edge-gateway: no device "press-9"\n')


def test_the_socket_of_a_killed_gateway_is_explained(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "control.sock"
    with socket.socket(socket.AF_UNIX) as left_behind:
        left_behind.bind(str(path))
    assert main(["status", "--socket", str(path)]) == 3
    assert f"no gateway answers on {path} (Connection refused)" in capsys.readouterr().err


def test_who_may_not_ask_is_told_to_join_the_group(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def forbidden(*_: object) -> bytes:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(client, "_exchange", forbidden)
    assert main(["status"]) == 3
    assert "sudo usermod -aG gateway $USER" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("answer", "told"),
    [
        (b"", "closed the connection without an answer"),
        (b"HTTP/1.1 400\r\n", "without an answer"),
        (b"[]\n", "is not this gateway"),
    ],
)
def test_a_foreign_or_dying_server_is_not_believed(
    answer: bytes, told: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "control.sock"
    with socket.socket(socket.AF_UNIX) as server:
        server.bind(str(path))
        server.listen()

        def serve() -> None:
            line, _ = server.accept()
            with line:
                line.recv(4096)
                line.sendall(answer)

        thread = threading.Thread(target=serve)
        thread.start()
        assert main(["status", "--socket", str(path)]) == 3
        thread.join()
    assert told in capsys.readouterr().err


def test_a_gateway_that_does_not_answer_is_given_up(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "control.sock"
    monkeypatch.setattr(client, "TIMEOUT", 0.1)
    with socket.socket(socket.AF_UNIX) as server:
        server.bind(str(path))
        server.listen()
        assert main(["status", "--socket", str(path)]) == 3
    assert "gave no answer within 0.1 s" in capsys.readouterr().err


def test_where_the_socket_is_looked_for(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("EDGE_GATEWAY_SOCKET", "/a/b.sock")
    assert client.socket_path("/given") == Path("/given")
    assert client.socket_path() == Path("/a/b.sock")
    monkeypatch.delenv("EDGE_GATEWAY_SOCKET")
    monkeypatch.setenv("RUNTIME_DIRECTORY", str(tmp_path))
    assert client.socket_path() == tmp_path / "control.sock"
    monkeypatch.setenv("RUNTIME_DIRECTORY", str(tmp_path / "none"))
    monkeypatch.setenv("XDG_RUNTIME_DIR", "/run/user/7")
    assert client.socket_path() == Path("/run/user/7/edge-gateway/control.sock")
    monkeypatch.delenv("XDG_RUNTIME_DIR")
    monkeypatch.setenv("HOME", "/home/tech")
    assert client.socket_path() == Path("/home/tech/.local/state/edge-gateway/control.sock")


@pytest.mark.parametrize(("no_color", "coloured"), [("", True), ("1", False)])
def test_colours_only_on_a_terminal_that_wants_them(no_color: str, coloured: bool, gateway: Asked) -> None:
    gateway.answers["tags"] = [ROW]
    assert (b"\033[1m" in on_a_terminal(no_color, "tags")) is coloured


def test_watching_on_a_terminal_redraws_from_its_top(gateway: Asked) -> None:
    gateway.answers["tags"] = [ROW | {"tag": f"tag_{number}"} for number in range(100)]
    shown = on_a_terminal("1", "tags", "--watch", until=b"more\033[J")
    assert shown.startswith(b"\033[HNAME")
    assert b"tag_20" in shown
    assert b"tag_30" not in shown
    assert "… and 79 more\033[J".encode() in shown


def on_a_terminal(no_color: str, *words: str, until: bytes = b"") -> bytes:
    """What a command prints to a terminal of 24 lines; one that would go on is interrupted once `until` was seen."""
    import pty

    ours, theirs = pty.openpty()
    environment = {**os.environ, "NO_COLOR": no_color, "TERM": "xterm", "LINES": "24", "COLUMNS": "120"}
    command = subprocess.Popen([sys.executable, "-m", "gateway", *words], stdout=theirs, env=environment)
    os.close(theirs)
    shown = b""
    try:
        while chunk := os.read(ours, 65536):
            shown += chunk
            if until and until in shown:
                command.terminate()
    except OSError:  # the other end of the terminal is closed
        pass
    os.close(ours)
    command.wait(60)
    return shown


WRITTEN = {
    "device": "press-1", "tag": "speed", "unit": "1/min", "old": 40.0, "new": 42.5, "read": 42.5, "result": "confirmed",
}  # fmt: skip


def test_write_sends_the_value_with_the_reason_and_shows_what_was_read_back(gateway: Asked, capsys) -> None:
    gateway.answers["write"] = WRITTEN
    assert main(["write", "press-1/speed", "42.5", "--reason", "batch 7"]) == 0
    assert capsys.readouterr().out == "press-1/speed: 40 -> 42.5 1/min: confirmed\n"
    wanted = {"device": "press-1", "tag": "speed", "value": 42.5, "reason": "batch 7"}
    assert gateway.requests == [("write", wanted)]


def test_write_fails_when_the_device_has_another_value_after_it(gateway: Asked, capsys) -> None:
    gateway.answers["write"] = WRITTEN | {"result": "differs", "read": 41.0}
    assert main(["write", "press-1/speed", "42.5", "--reason", "batch 7"]) == 1
    assert "the device took it, and reads 41" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("text", "value"), [("true", True), ("-3", -3), ("1e3", 1000.0), ("open", "open"), ("[1]", "[1]")]
)
def test_write_takes_numbers_truth_and_texts(gateway: Asked, text: str, value: object) -> None:
    gateway.answers["write"] = WRITTEN
    main(["write", "press-1/speed", "--reason", "x", "--", text])
    assert gateway.requests[0][1]["value"] == value


@pytest.mark.parametrize("options", [["speed", "1", "--reason", "x"], ["press-1/speed", "1", "--reason", " "]])
def test_write_wants_device_tag_and_a_reason(gateway: Asked, options: list[str]) -> None:
    assert main(["write", *options]) == 2
    assert gateway.requests == []


def test_a_full_queue_of_connections_is_waited_for(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "control.sock"
    with socket.socket(socket.AF_UNIX) as server, socket.socket(socket.AF_UNIX) as first:
        server.bind(str(path))
        server.listen(0)
        first.connect(str(path))

        def serve(_: float) -> None:
            """The server wakes up while the command sleeps."""
            server.accept()[0].close()
            monkeypatch.setattr("gateway.cli.frame.client.time.sleep", lambda _: None)

        monkeypatch.setattr("gateway.cli.frame.client.time.sleep", serve)
        with socket.socket(socket.AF_UNIX) as second:
            second.settimeout(10)
            client._connect(second, path)
            assert second.getpeername() == str(path)
