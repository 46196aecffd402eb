"""What stands in a log's files, whoever has had it: found by when it was accepted, and read piece by piece."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from fnmatch import fnmatchcase
from pathlib import Path
from typing import NamedTuple

import numpy as np

from gateway.core.quality import HISTORICAL
from gateway.core.record import Kind, Lane, Record
from gateway.core.times import EARLIEST, LATEST
from gateway.outbox.format import HEADER_SIZE, Dictionary, FrameHeader, Segment, is_record, read_frames, read_record

_RECORDS_AT_MOST = 256
_LOOK_AT_MOST = 2 * 1024 * 1024


@dataclass(frozen=True, slots=True)
class Asked:
    """Which records. Whole ones, since a part under the id of the whole would deceive whoever drops repeats."""

    from_ns: int = EARLIEST
    """Accepted at this time or later, by the gateway's clock, ns since 1970."""
    to_ns: int = LATEST
    """Accepted before this time."""
    devices: Sequence[str] = ()
    """Readings and events of these; `*` and `?` allowed. None stands for all, and for what belongs to no device."""

    def device(self, name: str) -> bool:
        """Whether this device's records are wanted."""
        return not self.devices or any(fnmatchcase(name, pattern) for pattern in self.devices)

    def moment(self, wall_ns: int) -> bool:
        """Whether records that were accepted then are wanted."""
        return self.from_ns <= wall_ns < self.to_ns


@dataclass(frozen=True, slots=True)
class Part:
    """A file from some place on."""

    path: Path
    lane: Lane
    offset: int
    end: int
    seq: int
    """Least number that is expected at `offset`."""
    total: int
    """Running count of readings there."""
    last_total: int
    """Running count at `end`."""

    @property
    def size(self) -> int:
        """Bytes to look at."""
        return self.end - self.offset


class Piece(NamedTuple):
    """What a look at a file brought."""

    records: Sequence[Record]
    rest: Part | None
    """What was not looked at; None at its end."""
    missing: int
    """Readings that should stand there and cannot be read, of any device."""


def parts(lanes: Mapping[Lane, Sequence[Segment]], asked: Asked) -> Iterator[Part]:
    """The files in which such records may stand, as long as they are now; events first."""
    for lane in Lane:
        for segment in lanes[lane]:
            if segment.records and segment.wall_from < asked.to_ns and segment.wall_to >= asked.from_ns:
                yield Part(segment.path, lane, HEADER_SIZE, segment.size, segment.first, segment.start, segment.end)


def look(part: Part, asked: Asked, log: str, dictionary: Dictionary) -> Piece:
    """The next records of a file. Blocking. A file that is gone is missing as a whole. Raises OSError."""
    records: list[Record] = []
    seq, total, missing = part.seq, part.total, 0
    try:
        for head, payload, offset in read_frames(part.path, part.offset, part.end):
            if not is_record(head) or head.seq < seq or not total <= head.total <= part.last_total:
                continue
            missing += head.total - total
            seq, total = head.seq + 1, head.total + head.rows
            try:
                found = _wanted(head, payload, part.path, asked, log, dictionary)
            except ValueError:
                missing += head.rows
                continue
            if found is not None:
                records.append(found)
            if len(records) >= _RECORDS_AT_MOST or offset - part.offset > _LOOK_AT_MOST:
                rest = Part(part.path, part.lane, offset, part.end, seq, total, part.last_total)
                return Piece(records, rest, missing)
    except FileNotFoundError:
        pass
    return Piece(records, None, missing + part.last_total - total)


def _wanted(
    head: FrameHeader, payload: memoryview, path: Path, asked: Asked, log: str, dictionary: Dictionary
) -> Record | None:
    """The record if it is asked for, decoded only as far as needed. Raises ValueError for one that cannot be read."""
    if not asked.moment(head.wall_ns):
        return None
    known = dictionary.defined(head.source, path) if head.kind == Kind.READINGS else None
    if known is not None and not asked.device(known.device.name):
        return None
    found = read_record(head, payload, path, log, dictionary)
    return found if not asked.devices or asked.device(device_of(found)) else None


def device_of(record: Record) -> str:
    """Name of the device that a record belongs to; empty for one of the gateway's own."""
    if record.readings is not None:
        return record.readings.device.name
    return str((record.body or {}).get("device", ""))


def mark(record: Record) -> Record:
    """The record as it is sent once more: marked historical, under the same id."""
    if record.readings is None:
        return replace(record, body={**(record.body or {}), "historical": True})
    quality = record.readings.quality | np.uint32(HISTORICAL)
    return replace(record, readings=replace(record.readings, quality=quality))
