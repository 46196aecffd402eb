"""`edge-gateway top`, against a real control socket, and on a real terminal."""

import fcntl
import json
import os
import pty
import select
import socket
import struct
import subprocess
import sys
import termios
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from gateway.cli import main
from gateway.cli.frame.live_screen import cut, wrapped
from gateway.cli.frame.terminal import table, width
from gateway.cli.top import body, head

from .conftest import Asked
from .test_status import LANE, NOW, WELL, changed, local_time

ALARM: dict[str, Any] = {
    "active": True, "state": "raised", "waits": True, "shelved": None, "severity": "high", "raised": 1_795_314_000_000,
    "message": "press-1 is too hot", "name": "hot/press-1",
}  # fmt: skip
DOWN = {"devices__1__state": "down", "devices__1__since_s": 200.0, "devices__1__reason": "connection refused"}


__all__ = ["local_time"]  # a fixture for all


class Terminal:
    """One with a keyboard, on which the command runs."""

    def __init__(self, columns: int, lines: int, patch: str) -> None:
        self._ours, theirs = pty.openpty()
        fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", lines, columns, 0, 0))
        self.settings = termios.tcgetattr(theirs)
        environment = {
            name: value for name, value in os.environ.items() if name not in ("LINES", "COLUMNS", "NO_COLOR")
        }
        environment |= {"TERM": "xterm", "LC_ALL": "C.UTF-8"}
        self.command = subprocess.Popen(
            [sys.executable, "-c", f"from gateway.cli import main, top\n{patch}\nraise SystemExit(main(['top']))"],
            stdin=theirs, stdout=theirs, stderr=theirs, env=environment,
            start_new_session=True, preexec_fn=lambda: fcntl.ioctl(0, termios.TIOCSCTTY, 0),
        )  # fmt: skip
        self._theirs = theirs
        self.text = ""

    def until(self, what: str) -> str:
        """What was shown since the last time, until this was."""
        shown = self.text
        while what not in shown:
            assert select.select([self._ours], [], [], 60)[0], f"never shown: {what}\n{shown}"
            shown += os.read(self._ours, 65536).decode(errors="replace")
        self.text = ""
        return shown

    def press(self, key: bytes) -> None:
        os.write(self._ours, key)

    def ended(self) -> tuple[int, str]:
        """Exit code, and what stands on the terminal as it was before."""
        while self.command.poll() is None:  # it may not wait for who reads
            if select.select([self._ours], [], [], 0.05)[0]:
                self.text += os.read(self._ours, 65536).decode(errors="replace")
        assert termios.tcgetattr(self._theirs) == self.settings, "the terminal must be as it was"
        while select.select([self._ours], [], [], 0)[0]:
            self.text += os.read(self._ours, 65536).decode(errors="replace")
        os.close(self._theirs)
        return self.command.returncode, self.text.rpartition("\033[?1049l")[2]

    def close(self) -> None:
        self.command.kill()
        self.command.wait()
        os.close(self._ours)


@contextmanager
def terminal(columns: int = 100, lines: int = 30, patch: str = "") -> Iterator[Terminal]:
    opened = Terminal(columns, lines, patch)
    try:
        yield opened
    finally:
        opened.close()


def test_once_it_shows_the_first_screen_and_its_exit_code_says_whether_all_is_well(
    gateway: Asked, capsys: pytest.CaptureFixture[str]
) -> None:
    gateway.answers["status"] = WELL
    assert main(["top", "--once"]) == 0
    assert capsys.readouterr().out.splitlines()[:6] == [
        "line3-gw1 0.1.0, running 6 d 4 h, clock synchronised",
        "all is well",
        "",
        "Is data leaving?",
        "  central up: last acknowledgement 0.4 s ago, 440 readings in all, nothing waiting",
        "  outbox: 3.0 MiB of 1.0 GiB, 30.0 GiB free on the disk, room for 12 d 9 h without a sink, as it goes now",
    ]
    gateway.answers["status"] = changed(alarms=[ALARM], **DOWN)
    assert main(["top", "--once"]) == 1
    shown = capsys.readouterr().out.splitlines()
    assert shown[1] == "2 things to look at"
    assert shown[2] == "  device bioreactor-1 down for 3 min 20 s: connection refused"
    assert any(
        line.startswith("  raised since") and line.endswith("hot/press-1, high: press-1 is too hot") for line in shown
    )
    assert [line.split()[0] for line in shown[-2:]] == ["bioreactor-1", "press-1"], "the worst first"


def test_without_a_terminal_it_is_shown_once_and_without_colours(gateway: Asked, capsys) -> None:
    gateway.answers["status"] = changed(**DOWN)
    assert main(["top"]) == 1
    assert "\033" not in capsys.readouterr().out


def test_what_costs_data_stands_first() -> None:
    lost = LANE | {"dropped": {"older than max_size allows": 7}}
    lines = [text for text, _ in body(changed(sinks__0__outbox__lanes__data=lost, **DOWN), NOW, 1000)]
    assert lines[0] == "  serious: sink central: 7 readings will not be delivered: older than max_size allows"
    assert (
        head(changed(sinks__0__outbox__lanes__data=lost, **DOWN), 99)[1][0] == "2 things to look at, 1 of them serious"
    )


def test_scripts_get_it_in_json(gateway: Asked, capsys: pytest.CaptureFixture[str]) -> None:
    gateway.answers["status"] = changed(**DOWN)
    assert main(["top", "--json"]) == 1
    told = json.loads(capsys.readouterr().out)
    assert not told["well"]
    assert told["troubles"] == [
        {"text": "device bioreactor-1 down for 3 min 20 s: connection refused", "severe": False}
    ]  # fmt: skip
    assert (told["sinks"][0]["pending"], told["sinks"][0]["last_acknowledged_s"]) == (0, 0.4)
    assert told["outbox_full_in_s"] > 0
    assert told["devices"][0]["name"] == "bioreactor-1"


def test_no_gateway_is_said_with_exit_code_3(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    assert main(["top", "--socket", str(tmp_path / "none")]) == 3
    assert "no gateway answers" in capsys.readouterr().err


@pytest.mark.parametrize("columns", [20, 40, 79])
def test_no_line_is_longer_than_a_narrow_terminal(columns: int) -> None:
    many = changed(
        alarms=[ALARM | {"message": "뜨겁다 " * 40}], parked=["x" * 300], **DOWN,
        sinks__0__state="down", sinks__0__reason="name of the broker not found " * 5,
    )  # fmt: skip
    for text, _ in [*head(many, columns), *body(many, NOW, columns)]:
        assert width(text) <= columns, text


def test_wide_characters_take_two_columns() -> None:
    assert (width("코터"), cut("코터-1", 4), cut("코터-1", 6)) == (4, "코…", "코터-1")
    assert table([("코터", "up"), ("mixer", "up")]) == ["코터   up", "mixer  up"]
    assert wrapped("one two three", 9, "  ", "    ") == ["  one two", "    three"]


def test_on_a_terminal_it_refreshes_until_q(gateway: Asked) -> None:
    gateway.answers["status"] = WELL
    with terminal() as shown:
        shown.until("all is well")
        gateway.answers["status"] = changed(**DOWN)
        assert "\033[31m1 thing to look at" in shown.until("connection refused")
        shown.press(b"q")
        assert shown.ended() == (0, "")


def test_arrows_scroll_what_a_small_terminal_has_no_room_for(gateway: Asked) -> None:
    device = WELL["devices"][0]
    gateway.answers["status"] = changed(devices=[device | {"name": f"plc-{at:02}"} for at in range(40)])
    with terminal(lines=12) as shown:
        assert "plc-39" not in shown.until("0 lines above, 40 below")
        shown.press(b"\033[6~" * 20)
        assert "plc-39" in shown.until(", 0 below")
        shown.press(b"\033[A\033[A")
        shown.until(", 2 below")
        shown.press(b"\x1b[9;9~xyz")  # what no key of ours sends changes nothing
        shown.press(b"q")
        assert shown.ended()[0] == 0


@pytest.mark.parametrize("how", ["gone", "silent"])
def test_a_gateway_that_stops_answering_is_said_with_since_when_and_then_it_ends(
    how: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    path = tmp_path / "control.sock"
    monkeypatch.setenv("EDGE_GATEWAY_SOCKET", str(path))
    with socket.socket(socket.AF_UNIX) as listening:
        listening.bind(str(path))
        listening.listen(32)
        with terminal(patch="top.LATE, top.PATIENCE = 1.0, 7.0") as shown:
            line, _ = listening.accept()
            with line:
                line.recv(4096)
                line.sendall(json.dumps({"result": WELL}).encode() + b"\n")
            shown.until("all is well")
            if how == "gone":
                listening.close()
            seen = shown.until("no answer since ")
            assert "all is well" not in seen.rpartition("\033[H")[2], "never what was, as if it still were"
            code, left = shown.ended()
    assert code == 3
    assert left.strip().splitlines()[0].startswith("edge-gateway: no answer since ")


@pytest.mark.parametrize("end", ["ctrl-c", "terminate", "hang-up"])
def test_however_it_is_ended_the_terminal_is_as_it_was(end: str, gateway: Asked) -> None:
    gateway.answers["status"] = WELL
    with terminal() as shown:
        shown.until("all is well")
        if end == "ctrl-c":
            shown.press(b"\x03")
        else:
            shown.command.send_signal(15 if end == "terminate" else 1)
        assert shown.ended()[0] == {"ctrl-c": 0, "terminate": 143, "hang-up": 129}[end]
