"""Room that is kept on the disk for the moment when there is none: a file that holds nothing."""

import errno
import os
from contextlib import suppress
from pathlib import Path

import structlog

from gateway.places.regular import open_regular

log = structlog.get_logger()

NO_ROOM = (errno.ENOSPC, errno.EDQUOT)
"""What the system says when the disk, or the quota, is full."""


def no_inodes(directory: Path) -> bool:
    """Whether a disk that says that it is full has no room for another file, whatever it has for bytes."""
    with suppress(OSError):
        found = os.statvfs(directory)
        return bool(found.f_files) and found.f_favail == 0 and found.f_bavail > 0
    return False


class Ballast:
    """Given back when the disk is full, so that events, losses and cursors can be written; made again when there is room.
    Used by the writer's thread."""

    def __init__(self, path: Path, size: int) -> None:
        self.size = size
        self.given_back = 0
        """How often."""
        self.whole = not size
        self._path = path

    @property
    def taken(self) -> int:
        """Bytes of the disk that it holds."""
        return self.size if self.whole else 0

    def make(self) -> None:
        """Take the room, unless it is taken. Raises OSError when the disk has none."""
        if self.whole:
            return
        try:
            file = open_regular(self._path, os.O_RDWR | os.O_CREAT)
        except OSError as error:
            if error.errno in NO_ROOM and no_inodes(self._path.parent):
                return  # room for bytes there is
            raise
        try:
            os.posix_fallocate(file, 0, self.size)
            os.ftruncate(file, self.size)
            self.whole = True
        except OSError as error:
            os.ftruncate(file, 0)
            if error.errno in NO_ROOM:
                raise
            log.warning("the outbox keeps no room for a full disk: it cannot be reserved here", error=str(error))
            self.size, self.whole = 0, True
        finally:
            os.close(file)

    def try_to_make(self) -> None:
        """Take the room if there is some."""
        with suppress(OSError):
            self.make()

    def give_back(self) -> bool:
        """Let go of the room; whether there was some."""
        if not self.size or not self.whole:
            return False
        self._path.unlink(missing_ok=True)
        self.whole = False
        self.given_back += 1
        log.warning("the disk is full; room kept for events, losses and cursors is given back", bytes=self.size)
        return True
