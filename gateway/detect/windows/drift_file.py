"""Keeps the counts of drift from one start to the next, so that a restart does not begin the span anew.

DIR/1f0c….npz    one model: its devices, and for each what `Drift` has counted
"""

import hashlib
import io
import math
import zipfile
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import structlog
from numpy.lib import format as npy
from numpy.typing import NDArray

from gateway.core.parsing import doubting
from gateway.detect.windows.drift import Counts
from gateway.places.durable import write_whole
from gateway.places.regular import read_regular

MAX_BYTES = 64 * 1024 * 1024
"""A larger file was not written by this gateway."""
KEPT_AT_MOST = 100
"""Files; beyond, the counts of those models go that were not used for longest. No age: the clock may be wrong by years."""
UNPACKED_AT_MOST = 256 * 1024 * 1024
"""Bytes of all arrays of a file together."""
_HEADER_AT_MOST = 4096
_KINDS = "iufbU"

log = structlog.get_logger()


@dataclass(frozen=True, slots=True)
class KeptDrift:
    """What is kept of one model."""

    model: str
    sha256: str
    devices: tuple[str, ...]
    counts: Counts

    @property
    def name(self) -> str:
        """Of its file."""
        return hashlib.sha256(f"{self.model}\0{self.sha256}".encode()).hexdigest()[:32] + ".npz"


def write(directory: Path, kept: Sequence[KeptDrift]) -> None:
    """Keep these, and what was kept lately. What the disk does not take is told in the log. Blocking."""
    try:
        directory.mkdir(parents=True, exist_ok=True)
        for one in kept:
            write_whole(directory / one.name, _content(one), sync=False)
        _remove_old(directory, {one.name for one in kept})
    except OSError as error:
        log.error("counts of drift are not kept for the next start", file=error.filename, error=str(error))


def read(directory: Path, model: str, sha256: str) -> KeptDrift | None:
    """What was kept of this version of a model; None for nothing, or what cannot be read. Blocking."""
    path = directory / KeptDrift(model, sha256, (), {}).name
    try:
        data = read_regular(path, MAX_BYTES)
        with doubting(ValueError):
            counts = _arrays(data)
            devices = counts.pop("devices")
            if devices.ndim != 1 or devices.dtype.kind != "U":
                raise ValueError("it does not say which devices it is about")
            return KeptDrift(model, sha256, tuple(devices.tolist()), counts)
    except FileNotFoundError:
        return None
    except (OSError, ValueError) as error:
        log.warning("drift is counted anew: what was counted cannot be read", file=str(path), error=str(error))
        return None


def _arrays(data: bytes) -> dict[str, NDArray[Any]]:
    """The arrays of an npz file. What they would take is looked at before anything is unpacked: a few kilobytes can claim
    terabytes. Raises an Exception for what is none."""
    with zipfile.ZipFile(io.BytesIO(data)) as whole:
        entries = whole.infolist()
        if sum(entry.file_size for entry in entries) > UNPACKED_AT_MOST:
            raise ValueError(f"its arrays have more than {UNPACKED_AT_MOST} bytes")
        return {entry.filename.removesuffix(".npy"): _array(whole, entry) for entry in entries}


def _array(whole: zipfile.ZipFile, entry: zipfile.ZipInfo) -> Any:
    with whole.open(entry) as packed:
        raw = packed.read(entry.file_size)
    file = io.BytesIO(raw)
    version = npy.read_magic(file)
    if version != (1, 0):
        raise ValueError(f"{entry.filename}: format {version} is not known")
    shape, _, dtype = npy.read_array_header_1_0(file, max_header_size=_HEADER_AT_MOST)
    if dtype.kind not in _KINDS or math.prod(shape) * dtype.itemsize != len(raw) - file.tell():
        raise ValueError(f"{entry.filename}: it has no array of numbers or names of that size")
    file.seek(0)
    return npy.read_array(file, allow_pickle=False, max_header_size=_HEADER_AT_MOST)


def _content(kept: KeptDrift) -> bytes:
    arrays: dict[str, Any] = {**kept.counts, "devices": np.array(kept.devices, np.str_)}
    buffer = io.BytesIO()
    np.savez_compressed(buffer, **arrays)
    return buffer.getvalue()


def _remove_old(directory: Path, used: Collection[str]) -> None:
    others = sorted((path.stat().st_mtime_ns, path) for path in directory.glob("*.npz") if path.name not in used)
    for _, path in others[: max(0, len(others) + len(used) - KEPT_AT_MOST)]:
        path.unlink(missing_ok=True)
