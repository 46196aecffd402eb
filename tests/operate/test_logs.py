import errno
import fcntl
import io
import logging
import os
import re
import shutil
import socket
import struct
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
import structlog

from gateway.operate import logs
from gateway.operate.logs import lines
from gateway.operate.logs import repeats as repeats_module
from gateway.operate.logs.journal import KEPT, Journal
from gateway.operate.logs.messages import MESSAGES, message_id
from gateway.operate.logs.repeats import FREE, MANY, SPAN, Repeats


@pytest.fixture(autouse=True)
def restored() -> Iterator[None]:
    root = logging.getLogger()
    before = root.handlers[:], root.level
    yield
    root.handlers[:], root.level = before
    structlog.reset_defaults()


@pytest.fixture
def journal(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[socket.socket]:
    """A socket in the place of journald's, and a standard error that leads to it."""
    path = tmp_path / "journal"
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as receiver:
        receiver.bind(str(path))
        receiver.settimeout(25)
        monkeypatch.setattr(lines, "JOURNAL", str(path))
        monkeypatch.setenv("JOURNAL_STREAM", f"{os.fstat(2).st_dev}:{os.fstat(2).st_ino}")
        yield receiver


def fields(datagram: bytes) -> dict[str, str]:
    """The fields of a datagram, read as systemd's page on the native protocol says."""
    found = {}
    stream = io.BytesIO(datagram)
    while line := stream.readline():
        name, equals, value = line.rstrip(b"\n").partition(b"=")
        if not equals:
            (size,) = struct.unpack("<Q", stream.read(8))
            value = stream.read(size)
            assert stream.read(1) == b"\n"
        found[name.decode()] = value.decode()
    return found


def test_what_was_held_back_is_told_though_no_further_line_comes(
    journal: socket.socket, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(repeats_module, "SPAN", 0.3)
    logs.set_up("info")
    for _ in range(FREE + 7):
        structlog.get_logger().warning("the broker is away", sink="central")
    told = 0
    while told < FREE + 7:
        said = fields(journal.recv(65_536))
        assert said["GATEWAY_SINK"] == "central"
        told += int(said.get("GATEWAY_REPEATED", 1))
    assert told == FREE + 7


def test_the_journal_gets_a_sentence_and_fields_to_search_by(journal: socket.socket) -> None:
    logs.set_up("info")
    structlog.get_logger().bind(device="press-4").warning("down", reason="connection refused")
    assert fields(journal.recv(65536)) == {
        "MESSAGE": 'down device=press-4 reason="connection refused"',
        "PRIORITY": "4",
        "SYSLOG_IDENTIFIER": "edge-gateway",
        "MESSAGE_ID": MESSAGES["down"],
        "GATEWAY_DEVICE": "press-4",
        "GATEWAY_REASON": "connection refused",
    }


def test_a_traceback_arrives_as_one_entry_of_several_lines(journal: socket.socket) -> None:
    logs.set_up("info")
    try:
        raise ValueError("word order")
    except ValueError as error:
        structlog.get_logger().error("faulted", exc_info=error)
    entry = fields(journal.recv(65536))
    assert entry["PRIORITY"] == "3"
    first, *_, last = entry["MESSAGE"].splitlines()
    assert (first, last) == ("faulted", "ValueError: word order")


def test_warnings_of_libraries_arrive_and_their_chatter_does_not(journal: socket.socket) -> None:
    logs.set_up("info")
    logging.getLogger("paho").info("chatter")
    logging.getLogger("acme.client").warning("the server has closed %s", "channel 7")
    entry = fields(journal.recv(65536))
    assert entry["MESSAGE"] == "the server has closed channel 7 library=acme.client"
    assert entry["PRIORITY"] == "4"


def test_without_a_journal_lines_go_to_stderr_with_their_priority(
    journal: socket.socket, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(lines, "JOURNAL", str(Path(lines.JOURNAL).with_name("nobody")))
    logs.set_up("info")
    structlog.get_logger().error("first\nsecond")
    assert capsys.readouterr().err == "<3>first\n<3>second\n"


def test_a_person_gets_a_line_with_time_level_and_fields(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.delenv("JOURNAL_STREAM", raising=False)
    logs.set_up("warning")
    structlog.get_logger().info("not this")
    structlog.get_logger().warning("down", device="press-4")
    told = capsys.readouterr().err
    assert "down device=press-4" in told
    assert "[warning " in told
    assert "not this" not in told
    assert "\033" not in told


def test_a_journal_stream_that_is_not_our_stderr_is_not_taken_for_it(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("JOURNAL_STREAM", "1:2")
    logs.set_up("info")
    structlog.get_logger().info("up", device="press-4")
    assert "up device=press-4" in capsys.readouterr().err


def test_a_full_disk_under_the_log_stops_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    class Full(io.StringIO):
        def write(self, text: str) -> int:
            raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(sys, "stderr", Full())
    logs.set_up("info")
    structlog.get_logger().info("running")


def test_a_command_that_logs_only_errors_leaves_logging_as_it_found_it(capsys: pytest.CaptureFixture[str]) -> None:
    logs.set_up("info")
    before = structlog.get_config(), logging.root.handlers[:], logging.root.level
    with logs.only_errors():
        structlog.get_logger().warning("not now")
        logging.getLogger("library").warning("nor this")
        structlog.get_logger().error("but this")
    assert (structlog.get_config(), logging.root.handlers, logging.root.level) == before
    told = capsys.readouterr().err
    assert "but this" in told
    assert "not now" not in told
    assert "nor this" not in told


def test_the_journal_gets_what_utf_8_cannot_hold_as_escapes(journal: socket.socket) -> None:
    """An error of a plugin may have any text, and so may its traceback."""
    logs.set_up("info")
    try:
        raise ValueError("half a character: \ud83d")
    except ValueError as error:
        structlog.get_logger().error("failed \ud83d", reason="\udfff", exc_info=error)
    found = fields(journal.recv(65536))
    assert found["MESSAGE"].startswith(r"failed \ud83d") and found["MESSAGE"].endswith(r"half a character: \ud83d")
    assert found["GATEWAY_REASON"] == r"\udfff"


@pytest.mark.parametrize("journald", [True, False], ids=["journal", "stderr"])
def test_a_traceback_is_bounded(
    journald: bool, request: pytest.FixtureRequest, capsys: pytest.CaptureFixture[str]
) -> None:
    receiver = request.getfixturevalue("journal") if journald else None
    logs.set_up("info")

    def even(depth: int) -> None:
        odd(depth + 1)

    def odd(depth: int) -> None:
        even(depth + 1)

    try:
        even(0)
    except RecursionError as error:
        structlog.get_logger().error("failed", exc_info=error)
    text = fields(receiver.recv(1 << 20))["MESSAGE"] if receiver else capsys.readouterr().err
    assert len(text) < lines.TRACE + 500
    assert "Traceback (most recent call last)" in text and "characters left out" in text
    assert text.rstrip().endswith("RecursionError: maximum recursion depth exceeded")


def received(journal: socket.socket) -> tuple[dict[str, str], bool]:
    """The next entry, and whether it came as a sealed file."""
    data, files, _, _ = socket.recv_fds(journal, 1 << 20, 1)
    if not files:
        return fields(data), False
    with os.fdopen(files[0], "rb") as file:
        assert fcntl.fcntl(file, fcntl.F_GET_SEALS) & fcntl.F_SEAL_WRITE, "journald takes only what cannot change"
        file.seek(0)
        return fields(file.read()), True


def test_a_journal_that_stands_still_holds_up_nothing_and_gets_all_once_it_goes_on(journal: socket.socket) -> None:
    logs.set_up("info")
    for number in range(3000):  # more than the kernel keeps: a send that waited would wait for ever
        structlog.get_logger().info("line", number=number)
    for number in range(3000):
        assert received(journal)[0]["GATEWAY_NUMBER"] == str(number)


def test_what_a_journal_that_stands_still_cannot_be_given_is_counted_and_told(journal: socket.socket) -> None:
    logs.set_up("info")
    for number in range(600):
        structlog.get_logger().info("line", number=number, text="x" * (KEPT // 50))
    numbers = []
    while "GATEWAY_LINES" not in (entry := received(journal)[0]):
        numbers.append(int(entry["GATEWAY_NUMBER"]))
    assert numbers == list(range(len(numbers))), "in their order, and the last ones are missing"
    assert int(entry["GATEWAY_LINES"]) == 600 - len(numbers) > 0
    assert (entry["PRIORITY"], entry["MESSAGE_ID"]) == ("3", MESSAGES[entry["MESSAGE"].partition(" lines=")[0]])
    structlog.get_logger().info("after")
    assert received(journal)[0]["MESSAGE"] == "after"


def test_what_is_no_datagram_any_more_goes_as_a_sealed_file(journal: socket.socket) -> None:
    journal_of = Journal(journal.getsockname())
    texts = {f"text_{number}": "x" * 250_000 for number in range(40)}
    assert journal_of.send({"event": "large", **texts})
    entry, sealed = received(journal)
    assert sealed
    assert len(entry["GATEWAY_TEXT_39"]) == 250_000


def test_no_name_of_a_field_forges_another(journal: socket.socket) -> None:
    assert Journal(journal.getsockname()).send({"event": "told", "a\nPRIORITY=0\nB": "x", "한": "y", "n" * 200: "z"})
    entry = received(journal)[0]
    assert entry["PRIORITY"] == "6"
    assert entry.keys() - {"MESSAGE", "SYSLOG_IDENTIFIER", "PRIORITY"} == {
        "GATEWAY_A_PRIORITY_0_B", "GATEWAY__", f"GATEWAY_{'N' * 56}",
    }  # fmt: skip


def test_repeats_are_folded_and_counted() -> None:
    now = 0.0
    repeats = Repeats(lambda: now)
    line, other = {"event": "down", "device": "press-1", "exception": "…"}, {"event": "down", "device": "press-2"}
    passed = [each for _ in range(120) for each in repeats.passed(line)]
    assert passed == [line] * FREE
    assert repeats.passed(other) == [other]
    now = SPAN
    assert repeats.passed(other) == [{"event": "down", "device": "press-1", "repeated": 120 - FREE}, other]
    assert repeats.passed(line) == [line], "a span later it passes again"


def test_of_many_different_lines_few_are_remembered_and_none_is_lost() -> None:
    repeats = Repeats(lambda: 0.0)
    for _ in range(FREE + 2):
        repeats.passed({"event": "first"})
    told = [each for number in range(2 * MANY) for each in repeats.passed({"event": "line", "number": number})]
    assert len(told) == 2 * MANY + 1
    assert {"event": "first", "repeated": 2} in told
    assert len(repeats._seen) == MANY


def test_each_message_of_the_catalogue_is_logged_with_the_fields_that_it_names() -> None:
    catalogue = (Path(__file__).parents[2] / "deploy/systemd/edge-gateway.catalog").read_text()
    bodies = {part[:32]: part for part in catalogue.split("\n-- ")[1:]}
    assert set(bodies) == set(MESSAGES.values())
    source = "".join(
        path.read_text() for room in ("gateway", "plugins") for path in Path(__file__).parents[2].joinpath(room).rglob("*.py")
        if path.name != "messages.py" and "tests" not in path.parts
    )  # fmt: skip
    for text, number in MESSAGES.items():
        assert re.search(r"^Subject: \S.+\nDefined-By: edge-gateway\n\n\S", bodies[number], re.MULTILINE)
        calls = re.findall(rf'"{re.escape(text)}(?: after [^"]*)?"(.{{0,300}})', source, re.DOTALL)
        assert calls, f"nobody logs: {text}"
        for field in re.findall(r"@GATEWAY_(\w+)@", bodies[number]):
            assert any(re.search(rf'\b{field.lower()}"?[=:]|\*\*', call) for call in calls), (text, field)


def test_each_message_has_an_id_of_its_own() -> None:
    assert len(set(MESSAGES.values())) == len(MESSAGES)
    assert all(re.fullmatch("[0-9a-f]{32}", each) for each in MESSAGES.values())
    assert message_id("up again after 3 min") == MESSAGES["up again"]
    assert message_id("something else") is None


def test_journalctl_takes_the_catalogue(tmp_path: Path) -> None:
    if shutil.which("journalctl") is None:
        pytest.skip("needs journalctl: apt-get install systemd")
    for folder in ("usr/lib/systemd/catalog", "var/lib/systemd/catalog"):
        (tmp_path / folder).mkdir(parents=True)
    catalogue = Path(__file__).parents[2] / "deploy/systemd/edge-gateway.catalog"
    shutil.copy(catalogue, tmp_path / "usr/lib/systemd/catalog")

    def journalctl(what: str) -> subprocess.CompletedProcess[str]:
        command = ["journalctl", f"--root={tmp_path}", what]
        return subprocess.run(command, capture_output=True, text=True, timeout=100, check=False)

    made = journalctl("--update-catalog")
    assert (made.returncode, made.stderr) == (0, "")
    listed = journalctl("--list-catalog").stdout
    assert sorted(line.split()[0] for line in listed.splitlines()) == sorted(MESSAGES.values())
