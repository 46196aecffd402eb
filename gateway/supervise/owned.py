"""One process alone works in a directory."""

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from gateway.core.errors import GatewayError
from gateway.regular import NO_FILE, open_regular


@contextmanager
def owned(directory: Path) -> Iterator[None]:
    """Make the directory where it is missing, and keep every other process that asks out of it; the kernel gives it free
    when this one ends, however it ends. Raises GatewayError when another has it, or it cannot be written."""
    try:
        directory.mkdir(parents=True, exist_ok=True, mode=0o750)
        lock = _open(directory / "lock")
    except OSError as error:
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
        if error.errno not in NO_FILE or not os.path.lexists(path):
            raise
        path.rename(path.with_name(f"lock.odd-{os.urandom(4).hex()}"))  # nobody who works here has made it
        return open_regular(path, flags)


def _take(lock: int, directory: Path) -> None:
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError as error:
        owner = os.pread(lock, 20, 0).decode(errors="replace").strip() or "unknown"
        raise GatewayError(
            f"another gateway (process {owner}) works in {directory}; stop it first (systemctl stop edge-gateway), or give "
            "this one a name or a state_dir of its own in [gateway]"
        ) from error
    os.ftruncate(lock, 0)
    os.pwrite(lock, f"{os.getpid()}\n".encode(), 0)
