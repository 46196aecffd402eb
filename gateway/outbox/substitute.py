"""A log in memory, for a start on a disk that takes nothing: all works as ever, nothing is kept, and each message says so."""

import errno
import os
import tempfile
from pathlib import Path

import structlog

from gateway.config.model import OutboxSection
from gateway.core.clock import Clock
from gateway.outbox.outbox import Outbox

log = structlog.get_logger()

SIZE = 32 * 1024 * 1024
"""Bytes of memory that it takes at most."""
BROKEN = (
    errno.EROFS, errno.EIO, errno.ENOSPC, errno.EDQUOT, errno.ENODEV, errno.ENXIO, errno.ESTALE, errno.EUCLEAN,
    errno.ETIMEDOUT,
)  # fmt: skip
"""What the system says of a disk that takes nothing; not of a folder that this user may not write to."""


def open_outbox(directory: Path, section: OutboxSection, *, clock: Clock, config_hash: str) -> Outbox:
    """The log in this directory; where its disk takes nothing, one in memory instead, which goes when it is closed. Raises
    OSError where neither can be, or where this user may not write. Blocking."""
    try:
        directory.parent.mkdir(parents=True, exist_ok=True)
        return Outbox.open(directory, section, clock=clock, config_hash=config_hash)
    except OSError as error:
        if error.errno not in BROKEN:
            raise
        why = f"{error.strerror}: {error.filename or directory}"
    log.error("the disk takes nothing: what is read now is sent from memory, and not kept", reason=why)
    return Outbox.open(_memory(), _in_memory(section), clock=clock, config_hash=config_hash, substitute_for=why)


def _memory() -> Path:
    places = [os.environ.get("RUNTIME_DIRECTORY", "").split(":")[0], "/dev/shm"]
    place = next((place for place in places if place and os.access(place, os.W_OK)), None)
    return Path(tempfile.mkdtemp(prefix="edge-gateway-", dir=place))


def _in_memory(section: OutboxSection) -> OutboxSection:
    small = {"max_size": SIZE, "min_free": 0, "mode": "log", "keep": 0.0, "ballast": 0, "segment_size": SIZE // 16}
    return section.model_copy(update=small)
