"""Lines go to systemd's journal by its own protocol (systemd, "Native Journal Protocol"), and never wait for it.

A journal that stands still takes no more than some hundred lines; then those that follow are kept here, in bounds, and a
thread gives them to it once it goes on. What went beyond the bounds is counted, and that is told.
"""

import fcntl
import os
import re
import socket
import struct
import threading
import weakref
from collections import deque
from collections.abc import Mapping
from typing import Any

from gateway.operate.logs.messages import message_id

JOURNAL = "/run/systemd/journal/socket"
KEPT = 1024 * 1024
"""Bytes of lines that wait for a journal that stands still."""
LONGEST = 256 * 1024
"""Characters of a field; of a longer one the end is left out."""
BUFFER = 8 * 1024 * 1024
"""Bytes that the kernel may hold, as systemd's own programs ask for; it gives what it may."""
NO_FIELDS = ("event", "level", "exception")
"""What stands in the message alone."""
_PRIORITY = {"debug": 7, "info": 6, "warning": 4, "error": 3, "critical": 2}
_SEALS = fcntl.F_SEAL_SEAL | fcntl.F_SEAL_SHRINK | fcntl.F_SEAL_GROW | fcntl.F_SEAL_WRITE
_NO_NAME = re.compile("[^A-Z0-9_]")


class Journal:
    """The socket of the journal; may be used in several threads."""

    def __init__(self, path: str = JOURNAL) -> None:
        self._path = path
        self._lock = threading.RLock()  # a line may be logged while one is sent, by what is collected meanwhile
        self._waiting: deque[bytes] = deque()
        self._size = 0
        self._lost = 0
        self._is_caught_up = True
        """No thread gives it what waits."""
        self._socket: socket.socket | None = None

    def send(self, entry: Mapping[str, Any]) -> bool:
        """Send a line, now or once the journal goes on; False: there is no journal."""
        data = datagram(entry)
        with self._lock:
            if not self._is_caught_up:
                self._keep(data)
                return True
            try:
                self._send(data, wait=False)
            except (BlockingIOError, InterruptedError):
                self._keep(data)
                self._is_caught_up = False
                threading.Thread(target=self._send_rest, name="journal", daemon=True).start()
            except OSError:
                return False
            return True

    def _keep(self, data: bytes) -> None:
        if self._size + len(data) > KEPT:
            self._lost += 1
        else:
            self._waiting.append(data)
            self._size += len(data)

    def _send_rest(self) -> None:
        """In a thread, until nothing waits any more."""
        while True:
            with self._lock:
                if not self._waiting:
                    if not self._lost:
                        self._is_caught_up = True
                        return
                    told = "the journal stood still, and lines of the log are lost"
                    self._keep(datagram({"event": told, "level": "error", "lines": self._lost}))
                    self._lost = 0
                data = self._waiting[0]
            try:
                self._send(data, wait=True)
            except OSError:  # it is gone, and what it was to be told with it
                with self._lock:
                    self._waiting.clear()
                    self._size = self._lost = 0
                    self._is_caught_up = True
                return
            with self._lock:
                self._waiting.popleft()
                self._size -= len(data)

    def _send(self, data: bytes, *, wait: bool) -> None:
        """Raises OSError; BlockingIOError when the journal takes nothing now, and it is not to be waited for."""
        if self._socket is None:
            made = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC)
            made.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, BUFFER)
            self._socket = made
            weakref.finalize(self, made.close)
        flags = socket.MSG_NOSIGNAL | (0 if wait else socket.MSG_DONTWAIT)
        try:
            self._socket.sendmsg([data], (), flags, self._path)
        except OSError as error:
            if len(data) < os.sysconf("SC_PAGE_SIZE") or isinstance(error, BlockingIOError):
                raise
            self._send_large(data, flags)

    def _send_large(self, data: bytes, flags: int) -> None:
        """What is no datagram any more goes as a sealed file in memory, as sd_journal_send(3) does it."""
        assert self._socket is not None
        file = os.memfd_create("edge-gateway-journal", os.MFD_CLOEXEC | os.MFD_ALLOW_SEALING)
        try:
            with os.fdopen(file, "wb", closefd=False) as out:
                out.write(data)
            fcntl.fcntl(file, fcntl.F_ADD_SEALS, _SEALS)
            rights = (socket.SOL_SOCKET, socket.SCM_RIGHTS, struct.pack("i", file))
            self._socket.sendmsg([], [rights], flags, self._path)
        finally:
            os.close(file)


def priority(entry: Mapping[str, Any]) -> int:
    """As syslog(3) counts it."""
    return _PRIORITY.get(entry.get("level", "info"), 6)


def sentence(entry: Mapping[str, Any]) -> str:
    """One line for a person, the fields behind the event; a traceback follows on its own lines."""
    fields = " ".join(f"{name}={_quoted(value)}" for name, value in entry.items() if name not in NO_FIELDS)
    text = f"{entry.get('event', '')} {fields}".strip()
    return f"{text}\n{entry['exception']}" if entry.get("exception") else text


def _quoted(value: Any) -> str:
    text = str(value)
    return f'"{text}"' if " " in text else text


def datagram(entry: Mapping[str, Any]) -> bytes:
    """A line as the journal takes it: message, priority, id of the message where it has one, and all fields of the line, with
    GATEWAY_ in front."""
    fields = {"MESSAGE": sentence(entry), "PRIORITY": str(priority(entry)), "SYSLOG_IDENTIFIER": "edge-gateway"}
    if known := message_id(str(entry.get("event", ""))):
        fields["MESSAGE_ID"] = known
    fields |= {_name(name): str(value) for name, value in entry.items() if name not in NO_FIELDS}
    return b"".join(_field(name, value[:LONGEST].encode(errors="backslashreplace")) for name, value in fields.items())


def _name(name: str) -> str:
    """A field's name as journald takes it: 64 characters, of which nothing can forge a field."""
    return f"GATEWAY_{_NO_NAME.sub('_', name.upper())}"[:64]


def _field(name: str, value: bytes) -> bytes:
    if b"\n" in value:
        return name.encode() + b"\n" + struct.pack("<Q", len(value)) + value + b"\n"
    return name.encode() + b"=" + value + b"\n"
