"""Files whose content, or whose name, is to outlive a crash."""

import os
import stat
from contextlib import suppress
from pathlib import Path

from gateway.places.regular import open_regular


def write_whole(path: Path, data: bytes, *, sync: bool = True) -> None:
    """Replace a file, so that a reader finds the old or the new one, never half of it; nor is half of it left where the disk
    is full."""
    part = path.with_name(path.name + ".part")
    try:
        with os.fdopen(_open_anew(part), "wb") as file:
            file.write(data)
            file.flush()
            if sync:
                os.fsync(file.fileno())
        part.replace(path)
    except OSError:
        with suppress(OSError):
            part.unlink()
        raise
    if sync:
        sync_path(path.parent)


def _open_anew(part: Path) -> int:
    with suppress(OSError):
        if not stat.S_ISREG(part.lstat().st_mode):
            part.unlink()  # a FIFO, or a link to somebody else's file
    return open_regular(part, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_NOFOLLOW, 0o666)


def sync_path(path: Path) -> None:
    """Make a file's content durable, or the names in a directory."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
