"""The stack of a loop that turns no more, also where the call that blocks it keeps Python's lock. Then no thread of Python
can look; `faulthandler` writes it from a thread of its own in C."""

import faulthandler
import os
import re
import time
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

import structlog

from gateway.core.text import cleaned
from gateway.places.regular import open_regular, read_regular

AGAIN = 2.0
"""Seconds after which the time begins anew while the loop turns: it takes a thread each time."""
_SIZE = 256 * 1024
_THREAD = re.compile(r"^(?:Current thread|Thread) 0x")
_FRAME = re.compile(r'^\s+File "(?P<file>[^"]+)", line (?P<line>\d+) in (?P<function>.+)$')


class LastStack:
    """`keep` is called whenever the loop turns."""

    def __init__(self, path: Path, seconds: float) -> None:
        """Written to this file when the loop has not turned for so many seconds, or AGAIN more."""
        self._path = path
        self._seconds = seconds
        self._file = -1
        self._since = 0.0

    def begin(self) -> None:
        """Called once, in the loop's thread. Where the file cannot be made there is none, which is logged."""
        try:
            self._file = open_regular(self._path, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW)
        except OSError as error:
            structlog.get_logger().warning("a stack cannot be kept for the next start", reason=cleaned(error))

    def keep(self) -> None:
        """The loop turns: what was written before is worth nothing any more."""
        now = time.monotonic()
        if self._file < 0 or now - self._since < AGAIN:
            return
        self._since = now
        with suppress(OSError, RuntimeError):  # no room for a thread
            faulthandler.dump_traceback_later(self._seconds + AGAIN, file=self._file)
            self._clear()

    def end(self) -> None:
        """The gateway stops in good order."""
        if self._file >= 0:
            faulthandler.cancel_dump_traceback_later()
            with suppress(OSError):
                self._clear()
            os.close(self._file)
            self._file = -1

    def _clear(self) -> None:
        if os.fstat(self._file).st_size:
            os.ftruncate(self._file, 0)
            os.lseek(self._file, 0, os.SEEK_SET)


def last_stack(path: Path) -> Sequence[tuple[str, int, str]]:
    """File, line and function of each call of the main thread, the innermost first, as a gateway that was killed has left
    them; empty when it left none. Raises OSError for a file that cannot be read."""
    try:
        text = read_regular(path, _SIZE).decode(errors="replace")
    except FileNotFoundError:
        return ()
    frames: list[tuple[str, int, str]] = []
    for line in text.splitlines():
        if _THREAD.match(line):
            frames.clear()  # the main thread stands last
        elif found := _FRAME.match(line):
            frames.append((found["file"], int(found["line"][:9]), found["function"]))
    return frames
