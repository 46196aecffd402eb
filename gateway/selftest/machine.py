"""On what machine and disk a self-test was run."""

import os
import platform
import statistics
import time
from datetime import UTC, datetime
from pathlib import Path

from gateway import __version__
from gateway.core.amounts import format_duration, format_size
from gateway.trust.software_versions import versions

_SYNCS = 50


def describe(directory: Path) -> dict[str, str]:
    """Name of each fact, and the fact; `directory` is on the disk that is meant."""
    system = platform.uname()
    libraries = versions()
    return {
        "date": datetime.now(UTC).strftime("%Y-%m-%d %H:%M:%S UTC"),
        "gateway": f"{__version__}, {', '.join(f'{name} {libraries[name]}' for name in ('python', 'numpy', 'orjson'))}",
        "machine": f"{system.node}, {system.machine}, {os.cpu_count()} cores",
        "kernel": f"{system.system} {system.release} {system.version}",
        "disk": _disk(directory),
        "sync": _sync(directory),
    }


def _disk(directory: Path) -> str:
    stat = os.statvfs(directory)
    free = format_size(stat.f_bavail * stat.f_frsize)
    return f"{_file_system(directory)}, {free} free"


def _file_system(directory: Path) -> str:
    """Kind and device of the file system, and the options it was mounted with."""
    best, said = "", "unknown file system"
    whole = directory.resolve()
    try:
        mounts = Path("/proc/self/mounts").read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError:
        return said
    for device, point, kind, options, *_ in (line.split() for line in mounts):
        if len(point) >= len(best) and whole.is_relative_to(point):
            best, said = point, f"{kind} on {device} at {point} ({options})"
    return said


def _sync(directory: Path) -> str:
    """How long the disk takes to make 4 KiB durable; too short for its kind means that it does not tell the truth."""
    path = directory / "sync"
    took = []
    with path.open("wb", buffering=0) as file:
        for _ in range(_SYNCS):
            file.write(bytes(4096))
            begin = time.perf_counter()
            os.fdatasync(file.fileno())
            took.append(time.perf_counter() - begin)
    path.unlink()
    return f"{format_duration(statistics.median(took))} in the middle, {format_duration(max(took))} at worst"
