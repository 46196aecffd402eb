"""One process alone works in a directory."""

import errno
import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import structlog

from gateway.core.errors import GatewayError
from gateway.places.regular import NO_FILE, open_regular

log = structlog.get_logger()

_TAKES_NOTHING = (errno.EROFS, errno.EIO, errno.ENOSPC, errno.EDQUOT, errno.ESTALE, errno.EUCLEAN)


@contextmanager
def owned(directory: Path) -> Iterator[None]:
    """Make the directory where it is missing, and keep every other process that asks out of it; the kernel gives it free
    when this one ends, however it ends. Raises GatewayError when another has it, or this user may not write there. Where a
    broken disk does not let it be made, there is nothing to keep others out of, and the block runs without."""
    try:
        directory.mkdir(parents=True, exist_ok=True, mode=0o750)
        lock = _open(directory / "lock")
    except OSError as error:
        if error.errno in _TAKES_NOTHING and not directory.exists():
            log.error(
                "the state directory cannot be made: nothing is kept", directory=str(directory), reason=error.strerror
            )
            yield
            return
        raise GatewayError(
            f"state directory {directory}: {error.strerror}; give it to the gateway's user, or name another one with "
            "state_dir in [gateway]"
        ) from error
    try:
        _take(lock, directory)
        yield
    finally:
        os.close(lock)


def _open(path: Path) -> int:
    flags = os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW
    try:
        return open_regular(path, flags)
    except OSError as error:
        if error.errno in _TAKES_NOTHING:  # alone all the same: a lock needs no room, if there is a file, or its folder
            return _open_to_read(path)
        if error.errno not in NO_FILE or not os.path.lexists(path):
            raise
        path.rename(path.with_name(f"lock.odd-{os.urandom(4).hex()}"))  # nobody who works here has made it
        return open_regular(path, flags)


def _open_to_read(path: Path) -> int:
    try:
        return open_regular(path, os.O_NOFOLLOW)
    except FileNotFoundError:
        return os.open(path.parent, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)


def _take(lock: int, directory: Path) -> None:
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError as error:
        owner = _said(lock) or "unknown"
        raise GatewayError(
            f"another gateway (process {owner}) works in {directory}; stop it first (systemctl stop edge-gateway), or give "
            "this one a name or a state_dir of its own in [gateway]"
        ) from error
    with suppress(OSError):  # who it is only helps a person
        os.ftruncate(lock, 0)
        os.pwrite(lock, f"{os.getpid()}\n".encode(), 0)


def _said(lock: int) -> str:
    try:
        return os.pread(lock, 20, 0).decode(errors="replace").strip()
    except OSError:
        return ""
