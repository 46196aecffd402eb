"""What the writer's thread stands on: the folder that it opened is still there, and there are descriptors left for it."""

import errno
import os
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import TypeVar

R = TypeVar("R")

SPARE = 8
_NONE_LEFT = (errno.EMFILE, errno.ENFILE)


class Spares:
    """Descriptors that are held for nothing, so that the log can still open its next file when everything else in the
    process, such as a flood of clients, has taken the rest."""

    def __init__(self, count: int = SPARE) -> None:
        self._count = count
        self._held: list[int] = []
        self.refill()

    def refill(self) -> None:
        """Take again what was given, as far as there is something to take."""
        with suppress(OSError):
            while len(self._held) < self._count:
                self._held.append(os.open("/dev/null", os.O_RDONLY | os.O_CLOEXEC))

    def lending(self, action: Callable[[], R]) -> R:
        """Do it; where it finds no descriptor, with one of those that are held. Raises what it raises."""
        try:
            while True:
                try:
                    return action()
                except OSError as error:
                    if error.errno not in _NONE_LEFT or not self._held:
                        raise
                    os.close(self._held.pop())
        finally:
            if len(self._held) < self._count:
                self.refill()

    def close(self) -> None:
        """Give all of them back."""
        while self._held:
            os.close(self._held.pop())


class Ground:
    """The folder of a log, as it was when the log was opened. What is written into a folder that somebody has removed is
    lost without an error, and one that was put in its place belongs to nobody, or to another log."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        self._opened = _identity(directory)

    def look(self) -> None:
        """Raises OSError in words when it is not there any more, or is another one."""
        try:
            here = _identity(self._directory)
        except (FileNotFoundError, NotADirectoryError):
            raise OSError(
                errno.ENOENT, "it was removed while the gateway runs: put it back, or restart the gateway for a new log",
                str(self._directory),
            ) from None  # fmt: skip
        if here != self._opened:
            raise OSError(
                errno.ESTALE, "another one was put in its place while the gateway runs: restart the gateway",
                str(self._directory),
            )  # fmt: skip


def _identity(directory: Path) -> tuple[int, int]:
    found = directory.stat()
    return found.st_dev, found.st_ino
