"""What the wall clock of each boot should have said, known since a time service set it; and the times that this mends.

An industrial PC without a battery for its clock boots in 1970, or at its last shutdown, and what it reads before the first
synchronisation carries such times. The boot clock runs right all the while. So one number per boot, wall clock less boot
clock at the first synchronisation, tells the true time of every record of that boot. It is kept in a file of its own, for
records that are sent only after the next boot. What stands in the log is never rewritten.
"""

import zlib
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import orjson
import structlog

from gateway.core.clock import ClockState
from gateway.core.parsing import doubting, parse_json
from gateway.core.record import Record
from gateway.core.times import EARLIEST, LATEST
from gateway.outbox.format.frames import FARTHEST
from gateway.places.regular import read_regular

log = structlog.get_logger()

_BOOTS_AT_MOST = 1000
_MILLISECOND = 1_000_000
_SIZE = 1024 * 1024


class ClockCorrections:
    """Wall clock less boot clock (ns) at the first synchronisation, by boot."""

    def __init__(self, offsets: Mapping[int, int] | None = None) -> None:
        self._offsets = dict(offsets or {})

    def __contains__(self, boot: int) -> bool:
        return boot in self._offsets

    def note(self, boot: int, offset_ns: int) -> None:
        """This boot's clock is right now; the oldest boots are forgotten."""
        self._offsets[boot] = offset_ns
        while len(self._offsets) > _BOOTS_AT_MOST:
            del self._offsets[next(iter(self._offsets))]

    def corrected(self, record: Record) -> Record:
        """The record as it should be sent: one that was accepted before its boot's first synchronisation gets the time of
        acceptance, and source times of the gateway's own, that are right, once they are known. Any other is returned as
        it is."""
        if record.clock is not ClockState.NOT_YET or record.corrected_ns is not None:
            return record
        right = self._offsets.get(record.boot)
        if right is None:
            return record
        wrong = record.wall_ns - record.boot_ns
        shift = (right - wrong + _MILLISECOND // 2) // _MILLISECOND * _MILLISECOND
        if not EARLIEST <= min(shift, record.wall_ns + shift) <= max(shift, record.wall_ns + shift) <= LATEST:
            return record
        readings = record.readings
        if readings is not None and readings.own_time:
            readings = replace(readings, t_ns=readings.t_ns + np.int64(shift))
        return replace(record, wall_ns=record.wall_ns + shift, readings=readings, corrected_ns=shift)

    def dump(self) -> bytes:
        """The file's content."""
        boots: list[list[Any]] = [[f"{boot:08x}", offset] for boot, offset in self._offsets.items()]
        return orjson.dumps({"boots": boots, "check": _check(boots)}, option=orjson.OPT_INDENT_2)


def synced_path(directory: Path) -> Path:
    """Where a log keeps it."""
    return directory / "synced.json"


def read_synced(path: Path) -> ClockCorrections:
    """What the file says; nothing for a missing one, and, with a warning, for one that cannot be read."""
    try:
        return _load(read_regular(path, _SIZE))
    except FileNotFoundError:
        return ClockCorrections()
    except (OSError, ValueError) as error:
        log.warning(
            "when clocks were synchronised cannot be read: times from before that stay as they are, and flagged",
            file=str(path),
            error=str(error),
        )
        return ClockCorrections()


def _load(data: bytes) -> ClockCorrections:
    with doubting(ValueError):
        body = parse_json(data)
        if body["check"] != _check(body["boots"]):
            raise ValueError("checksum")
        offsets = {int(boot, 16): int(offset) for boot, offset in body["boots"]}
    if any(not -FARTHEST < offset < FARTHEST for offset in offsets.values()):
        raise ValueError("a clock that far from 1970")
    return ClockCorrections(offsets)


def _check(boots: list[list[Any]]) -> str:
    """A wrong offset would make wrong times look right."""
    return f"{zlib.crc32(orjson.dumps(boots)):08x}"
