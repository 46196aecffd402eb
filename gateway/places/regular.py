"""Opening what may be anything: a person, a plugin, a program of somebody else may have laid a FIFO, a folder, a socket or a
link to an endless device where a file is expected. Only regular files are opened, and only so many bytes are read.
"""

import errno
import os
import stat
from pathlib import Path

from gateway.core.parsing import doubting

_KINDS = {
    stat.S_IFDIR: "a directory",
    stat.S_IFIFO: "a FIFO",
    stat.S_IFSOCK: "a socket",
    stat.S_IFCHR: "a device",
    stat.S_IFBLK: "a device",
    stat.S_IFLNK: "a link",
}
_PORTION = 1 << 20

NO_FILE = (errno.EINVAL, errno.EISDIR, errno.EFBIG, errno.ELOOP, errno.ENXIO)
"""Numbers of the errors that tell what lies there, not that the disk does not read."""


def open_regular(path: str | Path, flags: int = os.O_RDONLY, mode: int = 0o640, *, dir_fd: int | None = None) -> int:
    """`os.open` for a regular file (made, if the flags say so), close-on-exec. Never waits for another process.

    Links are followed, unless the flags hold O_NOFOLLOW. Raises OSError, whose `strerror` is for people, also for what is no
    regular file and for an impossible name.
    """
    with doubting(lambda reason: OSError(errno.EINVAL, reason, str(path))):
        if not flags & os.O_CREAT:
            # Looked at before it is opened, since opening alone has effects on some devices; and again once it is open.
            _refuse(os.stat(path, dir_fd=dir_fd, follow_symlinks=not flags & os.O_NOFOLLOW).st_mode, path)
        file = os.open(path, flags | os.O_CLOEXEC | os.O_NONBLOCK | os.O_NOCTTY, mode, dir_fd=dir_fd)
        try:
            _refuse(os.fstat(file).st_mode, path)
        except OSError:
            os.close(file)
            raise
        return file


def _refuse(mode: int, path: str | Path) -> None:
    if not stat.S_ISREG(mode):
        kind = _KINDS.get(stat.S_IFMT(mode), "something else")
        number = errno.EISDIR if stat.S_ISDIR(mode) else errno.EINVAL
        raise OSError(number, f"it is {kind}, not a regular file", str(path))


def read_regular(path: str | Path, at_most: int, *, flags: int = 0, dir_fd: int | None = None) -> bytes:
    """All bytes of a regular file, which may be at most so many. Raises OSError as `open_regular` does; of one that is
    longer, it reads no more than that."""
    file = open_regular(path, os.O_RDONLY | flags, dir_fd=dir_fd)
    try:
        return read_open(file, at_most, path)
    finally:
        os.close(file)


def read_open(file: int, at_most: int, path: str | Path) -> bytes:
    """The same of an open file, from where it stands."""
    too_long = OSError(errno.EFBIG, f"it is longer than {at_most} bytes", str(path))
    if os.fstat(file).st_size - os.lseek(file, 0, os.SEEK_CUR) > at_most:
        raise too_long  # of some hundred MB not one is read for nothing; how much comes is counted all the same
    portions: list[bytes] = []
    left = at_most
    while portion := os.read(file, min(left + 1, _PORTION)):
        left -= len(portion)
        if left < 0:
            raise too_long
        portions.append(portion)
    return b"".join(portions)


def is_still(path: Path, file: int) -> bool:
    """Whether this open file is what stands at its path."""
    try:
        found, opened = path.stat(), os.fstat(file)
    except OSError:
        return False
    return (found.st_dev, found.st_ino) == (opened.st_dev, opened.st_ino)
