"""Keeps the counts of drift from one start to the next, so that a restart does not begin the span anew.

DIR/1f0c….npz    one model: its devices, and for each what `Drift` has counted
"""

import hashlib
import io
import struct
import time
import zipfile
import zlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import structlog

from gateway.detect.drift import Counts
from gateway.outbox.identity import write_whole

MAX_BYTES = 64 * 1024 * 1024
"""A larger file was not written by this gateway."""
FORGOTTEN_SECONDS = 30 * 86_400
"""How long the counts of a model that is not used are kept."""
_UNREADABLE = (
    OSError, ValueError, KeyError, TypeError, EOFError, SyntaxError, RuntimeError, MemoryError, OverflowError,
    struct.error, zlib.error, zipfile.BadZipFile,
)  # fmt: skip

log = structlog.get_logger()


@dataclass(frozen=True, slots=True)
class Kept:
    """What is kept of one model."""

    model: str
    sha256: str
    devices: tuple[str, ...]
    counts: Counts

    @property
    def name(self) -> str:
        """Of its file."""
        return hashlib.sha256(f"{self.model}\0{self.sha256}".encode()).hexdigest()[:32] + ".npz"


def write(directory: Path, kept: Sequence[Kept]) -> None:
    """Keep these, and what was kept lately. What the disk does not take is told in the log. Blocking."""
    try:
        directory.mkdir(parents=True, exist_ok=True)
        for one in kept:
            write_whole(directory / one.name, _content(one), sync=False)
        _remove_old(directory)
    except OSError as error:
        log.error("counts of drift are not kept for the next start", file=error.filename, error=str(error))


def read(directory: Path, model: str, sha256: str) -> Kept | None:
    """What was kept of this version of a model; None for nothing, or what cannot be read. Blocking."""
    path = directory / Kept(model, sha256, (), {}).name
    try:
        if path.stat().st_size > MAX_BYTES:
            raise ValueError("it is too large")
        with np.load(io.BytesIO(path.read_bytes()), allow_pickle=False) as arrays:
            counts = {name: arrays[name] for name in arrays.files if name != "devices"}
            return Kept(model, sha256, tuple(arrays["devices"].tolist()), counts)
    except FileNotFoundError:
        return None
    except _UNREADABLE as error:
        log.warning("drift is counted anew: what was counted cannot be read", file=str(path), error=str(error))
        return None


def _content(kept: Kept) -> bytes:
    arrays: dict[str, Any] = {**kept.counts, "devices": np.array(kept.devices, np.str_)}
    buffer = io.BytesIO()
    np.savez_compressed(buffer, **arrays)
    return buffer.getvalue()


def _remove_old(directory: Path) -> None:
    for path in directory.glob("*.npz"):
        if time.time() - path.stat().st_mtime > FORGOTTEN_SECONDS:
            path.unlink(missing_ok=True)
