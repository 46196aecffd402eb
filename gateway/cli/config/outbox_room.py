"""How long the outbox takes what this configuration reads, if no sink takes any of it."""

from collections import Counter
from pathlib import Path
from typing import Any

from gateway.cli.frame.places import free_on
from gateway.config.model import Config, DeviceSpec
from gateway.outbox.format import HEAD_SIZE
from gateway.outbox.retention import default_max_size

_TIME, _VALUE = 8, 8
"""Bytes on disk: of a record's time, and of a reading whose quality is good."""


def room(config: Config, directory: Path) -> dict[str, Any]:
    """Bytes that the log in this directory may take, and for how many seconds they last at least: every tag is counted with
    every scan, although a deadband keeps most of it away."""
    try:
        own = sum(path.stat().st_size for ending in ("seg", "sum") for path in directory.rglob(f"*.{ending}"))
    except OSError:  # not there yet, not ours to look into, or at work
        own = 0
    free = free_on(directory)
    max_size = config.outbox.max_size or default_max_size(free, own)
    usable = min(max_size, max(0, free + own - config.outbox.min_free))
    rate = sum(map(_bytes_per_second, config.devices))
    return {
        "max_size": max_size,
        "usable": usable,
        "bytes_per_s": round(rate, 1),
        "lasts_s": round(usable / rate) if rate else None,
        "keep_s": config.outbox.keep,
    }


def _bytes_per_second(spec: DeviceSpec) -> float:
    scans = Counter(tag.scan or spec.config.scan for tag in spec.tags.values())
    return sum((HEAD_SIZE + _TIME + _VALUE * tags) / period for period, tags in scans.items())
