"""Readings of a log as CSV, one row each, written as they are read."""

import csv
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase
from typing import TextIO

import numpy as np

from gateway.core.quality import describe, status_code
from gateway.core.readings import Readings
from gateway.core.record import Kind, Lane, Record
from gateway.core.tag import Device, Tag
from gateway.core.text import for_spreadsheet
from gateway.core.times import EARLIEST, LATEST, rfc3339
from gateway.encode import exact_text
from gateway.outbox.format import FrameHeader, Segment
from gateway.outbox.inspect.log_files import LogFiles

COLUMNS = (
    "time", "device", "tag", "value", "unit", "type", "quality", "code", "accepted", "id",
    "enterprise", "site", "area", "line", "order", "batch", "phase", "config", "clock",
)  # fmt: skip
"""`time` is the source time, `accepted` when the gateway took it; `code` the OPC UA status code behind `quality`; `clock` how
far the gateway's clock could be trusted then. Times are those of the log, which are never corrected."""
PLACES = COLUMNS[10:17]
"""Those that tell the context."""


@dataclass(frozen=True, slots=True)
class Wanted:
    """Which readings are to be written."""

    devices: Sequence[str] = ()
    """Names, `*` and `?` allowed; none stands for all."""
    from_ns: int = EARLIEST
    """Earliest source time."""
    to_ns: int = LATEST
    """First source time that is not wanted any more."""

    def device(self, name: str) -> bool:
        return not self.devices or any(fnmatchcase(name, pattern) for pattern in self.devices)

    def rows(self, readings: Readings) -> Readings:
        """The block's rows of the wanted time."""
        inside = (readings.t_ns >= self.from_ns) & (readings.t_ns < self.to_ns)
        return readings if inside.all() else readings.take(np.flatnonzero(inside))


@dataclass(slots=True)
class Exported:
    """What an export came to."""

    readings: int = 0
    first_ns: int | None = None
    """Earliest source time among them."""
    last_ns: int | None = None
    missing: int = 0
    """Readings of any device that stood between others and cannot be read: damaged or given up."""

    def count(self, readings: Readings) -> None:
        first, last = int(readings.t_ns.min()), int(readings.t_ns.max())
        self.first_ns = first if self.first_ns is None else min(self.first_ns, first)
        self.last_ns = last if self.last_ns is None else max(self.last_ns, last)
        self.readings += len(readings)


def export_csv(
    log: LogFiles, wanted: Wanted, out: TextIO, progress: Callable[[int], None], *, spreadsheet: bool = False
) -> Exported:
    """Write a line of titles and a row for each reading, in the order of their numbers; `progress` is told how many
    bytes of the log were done. `spreadsheet`: no cell is taken for a formula. Raises OSError."""
    writer = csv.writer(out, lineterminator="\n")
    writer.writerow(COLUMNS)
    exported = Exported()
    for record, readings in blocks(log, wanted, exported, progress):
        found = rows(record, readings)
        writer.writerows((map(for_spreadsheet, row) for row in found) if spreadsheet else found)
    return exported


def blocks(
    log: LogFiles, wanted: Wanted, exported: Exported, progress: Callable[[int], None]
) -> Iterator[tuple[Record, Readings]]:
    """The wanted readings, at least one each time, with their record, and counted. Raises OSError."""
    for record in _records(log, wanted, exported, progress):
        assert record.readings is not None
        readings = wanted.rows(record.readings)
        if len(readings):
            exported.count(readings)
            yield record, readings


def _records(log: LogFiles, wanted: Wanted, exported: Exported, progress: Callable[[int], None]) -> Iterator[Record]:
    expected: int | None = None
    for segment in log.segments(Lane.DATA):
        seen = False
        for _, head, payload in log.heads([segment]):
            progress(head.size)
            exported.missing += max(0, head.total - expected) if expected is not None else 0
            expected, seen = head.total + head.rows, True
            record = _wanted_record(log, wanted, segment, head, payload, exported)
            if record is not None:
                yield record
        if not seen:
            expected = None  # delivered and removed meanwhile
        elif expected is not None and segment.end > expected:
            exported.missing += segment.end - expected
            expected = segment.end


def _wanted_record(
    log: LogFiles, wanted: Wanted, segment: Segment, head: FrameHeader, payload: memoryview, exported: Exported
) -> Record | None:
    known = log.dictionary.defined(head.source, segment.path) if head.kind == Kind.READINGS else None
    if head.kind != Kind.READINGS or (known is not None and not wanted.device(known.device.name)):
        return None
    try:
        record = log.record(segment, head, payload)
    except ValueError:
        exported.missing += head.rows
        return None
    return record if record.readings is not None and wanted.device(record.readings.device.name) else None


def rows(record: Record, readings: Readings) -> Iterator[tuple[str, ...]]:
    """The rows of a block of this record, in the order of COLUMNS."""
    tags = {tag.id: _tag_cells(tag) for tag in readings.device.tags}
    accepted = (rfc3339(record.wall_ns), record.id)
    place = (*_context_cells(readings.device), record.config, record.clock.words)
    qualities = {code: (describe(code), f"0x{status_code(code):08X}") for code in np.unique(readings.quality).tolist()}
    columns = zip(
        readings.t_ns.tolist(), readings.tag.tolist(), readings.value.tolist(), readings.quality.tolist(), strict=True
    )
    for row, (t_ns, tag_id, value, quality) in enumerate(columns):
        named, kind, text = tags[tag_id]
        exact = readings.exact.get(row)
        said = text(value) if exact is None else exact_text(exact)
        yield (rfc3339(t_ns), *named, said, *kind, *qualities[quality], *accepted, *place)


def _tag_cells(tag: Tag) -> tuple[tuple[str, str], tuple[str, str], Callable[[float], str]]:
    text = _TEXTS.get(tag.type, _whole if "int" in tag.type else _float64)
    return (tag.device, tag.name), (tag.unit, tag.type), text


def _context_cells(device: Device) -> tuple[str, ...]:
    return tuple(getattr(device.context, name) for name in PLACES)


def _float64(value: float) -> str:
    return "" if value != value else repr(value)


def _float32(value: float) -> str:
    return "" if value != value else str(np.float32(value))


def _bool(value: float) -> str:
    return "" if value != value else "true" if value else "false"


def _whole(value: float) -> str:
    return str(int(value)) if value.is_integer() else _float64(value)


_TEXTS: dict[str, Callable[[float], str]] = {"float32": _float32, "bool": _bool}
