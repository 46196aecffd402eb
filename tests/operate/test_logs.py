import errno
import io
import logging
import os
import socket
import struct
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
import structlog

from gateway.operate import logs


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
        monkeypatch.setattr(logs, "JOURNAL", str(path))
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


def test_the_journal_gets_a_sentence_and_fields_to_search_by(journal: socket.socket) -> None:
    logs.set_up("info")
    structlog.get_logger().bind(device="press-4").warning("down", reason="connection refused")
    assert fields(journal.recv(65536)) == {
        "MESSAGE": 'down device=press-4 reason="connection refused"',
        "PRIORITY": "4",
        "SYSLOG_IDENTIFIER": "edge-gateway",
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
    monkeypatch.setattr(logs, "JOURNAL", str(Path(logs.JOURNAL).with_name("nobody")))
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
    assert len(text) < logs.TRACE + 500
    assert "Traceback (most recent call last)" in text and "characters left out" in text
    assert text.rstrip().endswith("RecursionError: maximum recursion depth exceeded")
