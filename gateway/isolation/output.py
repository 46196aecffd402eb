"""What a driver's process prints, line by line into the log, within bounds; among it the stack that Python leaves when it is
ended by a signal."""

import asyncio
import os
import re
from collections.abc import Sequence
from contextlib import suppress
from typing import Any

from gateway.core.parsing import JsonObject
from gateway.core.text import cleaned

_CHUNK = 64 * 1024
BYTES_A_SECOND = 1024 * 1024
"""Who prints more waits, as for a slow terminal."""
BURST, LINES_A_SECOND = 50, 10
"""Lines that are logged; the rest is counted."""
_LINE = 1000
_LAST = 1024 * 1024
"""Bytes that are still looked at when the process has ended."""
_LEVELS = ("debug", "info", "warning", "error", "critical")
_RESERVED = ("self", "event", "level", "exc_info", "stack_info", "lines_left_out", "exception")
_FIELDS = 20
_TRACE = 16_000
_FRAME = re.compile(r'^\s*File "(?P<file>[^"]+)", line (?P<line>\d+) in (?P<function>.+)$')


class Allowance:
    """How many lines may still be logged; the others are counted, and told with the next one."""

    def __init__(self) -> None:
        self._left = float(BURST)
        self._at = 0.0
        self.left_out = 0

    def takes(self) -> bool:
        """Whether one more may be logged."""
        now = asyncio.get_running_loop().time()
        self._left = min(float(BURST), self._left + (now - self._at) * LINES_A_SECOND)
        self._at = now
        if self._left < 1:
            self.left_out += 1
            return False
        self._left -= 1
        return True

    def told(self) -> dict[str, int]:
        """As a field of the log: how many were left out since it was asked last."""
        count, self.left_out = self.left_out, 0
        return {"lines_left_out": count} if count else {}


class Records:
    """Takes what a process logs into the gateway's log."""

    def __init__(self, log: Any) -> None:
        self._log = log
        self._allowance = Allowance()

    def take(self, record: JsonObject) -> None:
        """One record, as JSON values. Raises whatever for what is none."""
        level, event = record.pop("level", "info"), cleaned(record.pop("event", ""))
        trace = str(record.pop("exception", ""))[-_TRACE:]
        if level not in _LEVELS or not self._allowance.takes():
            return
        fields = {
            name: value if isinstance(value, float) else cleaned(value)
            for name, value in [*record.items()][:_FIELDS]
            if name.isidentifier() and name not in _RESERVED
        }
        if trace:
            fields["exception"] = "\n".join(cleaned(line) for line in trace.splitlines())
        getattr(self._log, level)(event, **fields, **self._allowance.told())


class Output:
    """Reads standard output and error of one process from a pipe, in the event loop, until `end`."""

    def __init__(self, pipe: int, own: Sequence[str], log: Any) -> None:
        """`own`: where the plugin's files are; a stack is searched for them."""
        self._pipe = pipe
        self._own = tuple(own)
        self._log = log
        self._rest = b""
        self._allowance = Allowance()
        self._stack: list[tuple[str, str, str]] = []
        self._loop = asyncio.get_running_loop()
        self._later: asyncio.TimerHandle | None = None
        self._second = self._loop.time()
        self._bytes = 0
        os.set_blocking(pipe, False)
        self._loop.add_reader(pipe, self._read)

    @property
    def place(self) -> str:
        """file:line, function: where the process stood when Python left its stack; the plugin's own code where there is
        some. Empty when it left none."""
        for file, line, function in self._stack:
            if file.startswith(self._own):
                return f"{file}:{line}, in {function}"
        return ""

    def end(self) -> None:
        """The process has ended: look at what it has printed last."""
        seen = 0
        while seen < _LAST and (data := self._take()):
            seen += len(data)
            self._lines(data)
        if self._rest:
            self._line(self._rest)
        if left_out := self._allowance.told():
            self._log.warning("its process prints more than is logged", **left_out)
        self._loop.remove_reader(self._pipe)
        if self._later is not None:
            self._later.cancel()
        os.close(self._pipe)

    def _read(self) -> None:
        data = self._take()
        self._bytes += len(data)
        self._lines(data)
        now = self._loop.time()
        if now - self._second > 1:
            self._second, self._bytes = now, 0
        if not data:
            self._loop.remove_reader(self._pipe)
        elif self._bytes > BYTES_A_SECOND:
            self._loop.remove_reader(self._pipe)
            self._later = self._loop.call_at(self._second + 1.01, self._again)

    def _again(self) -> None:
        self._later = None
        self._loop.add_reader(self._pipe, self._read)

    def _take(self) -> bytes:
        with suppress(OSError):
            return os.read(self._pipe, _CHUNK)
        return b""

    def _lines(self, data: bytes) -> None:
        *whole, self._rest = (self._rest + data).split(b"\n")
        for line in whole:
            self._line(line)
        if len(self._rest) > _CHUNK:
            self._line(self._rest)
            self._rest = b""

    def _line(self, line: bytes) -> None:
        text = cleaned(line[: 4 * _LINE].decode(errors="replace"), _LINE)
        if not text.strip():
            return
        if text.startswith("Fatal Python error"):
            self._stack.clear()
        elif (found := _FRAME.match(text)) and len(self._stack) < 1000:
            self._stack.append((found["file"], found["line"], found["function"]))
        if self._allowance.takes():
            self._log.info("its process prints", text=text, **self._allowance.told())
