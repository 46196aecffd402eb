"""A block of readings as JSON objects (docs/json.md)."""

from collections.abc import Callable, Iterator, Sequence
from functools import cached_property, lru_cache

import numpy as np
import orjson
from numpy.typing import NDArray

from gateway.core.quality import BAD, HISTORICAL, all_good, describe
from gateway.core.readings import Readings
from gateway.core.tag import Device, Tag
from gateway.encode.json_layout import Layout, Pieces

MILLISECOND = 1_000_000
LAYOUTS = 4
"""Layouts kept per device: its scan groups. Reports by exception make ever new ones, which are not worth keeping."""
ROWS = 1000
"""Rows of a layout that is kept, at most, unless the device has more tags: a burst comes no second time alike."""


class BlockJson:
    """The JSON of one device's readings."""

    def __init__(self, device: Device, *, named: bool = False) -> None:
        """`named`: the objects say of which device they are."""
        self._device = device
        said = device.context.said()
        name = b',"device":' + orjson.dumps(device.name) if named else b""
        self._end = name + (b',"context":' + orjson.dumps(said) + b"}" if said else b"}")
        self._layouts: dict[bytes, Layout] = {}

    @cached_property
    def _tags(self) -> dict[int, Tag]:
        """By id; made when a block does not have all tags in their order."""
        return {tag.id: tag for tag in self._device.tags}

    def objects(self, readings: Readings, record: str, accepted: int, clock: bytes = b"") -> list[bytes]:
        """One object for all readings; a second sample of a tag opens a further one, whose id ends in ":1", and so on.

        `record` is the record's id, `accepted` when the gateway took it in, in ms since 1970 UTC, `clock` what is said of the
        clock, as further members.
        """
        layout = self._layout(readings)
        if len(layout.samples) < 2:
            return [self._object(layout, readings, record, accepted, clock)]
        parts = (readings.take(rows) for rows in layout.samples)
        return [
            self._object(self._layout(part), part, _part(record, n), accepted, clock) for n, part in enumerate(parts)
        ]

    def last(self, readings: Readings) -> bytes:
        """One object for the last values, at least one, of tags that occur once: it is no record, and has no id."""
        return self._object(self._layout(readings), readings, None, 0, b"")

    def rows(self, readings: Readings, record: str, accepted: int, clock: bytes = b"") -> Iterator[tuple[str, bytes]]:
        """Tag name and object of every reading."""
        layout = self._layout(readings)
        pieces = self._pieces(layout, readings)
        times = (readings.t_ns // MILLISECOND).tolist()
        columns = zip(readings.tag.tolist(), times, pieces, readings.quality.tolist(), strict=True)
        for row, (tag, ts, value, quality) in enumerate(columns):
            yield (
                self._tags[tag].name,
                b"".join(
                    (
                        b'{"ts":%d,"tag":%b,"value":%b' % (ts, layout.key(row)[:-1], value),
                        b',"q":' + words(quality & ~HISTORICAL) if quality & ~HISTORICAL else b"",
                        b',"historical":true' if quality & HISTORICAL else b"",
                        b',"id":"%b","accepted":%d' % (_part(record, row).encode(), accepted),
                        clock,
                        self._end,
                    )
                ),
            )

    def _object(self, layout: Layout, readings: Readings, record: str | None, accepted: int, clock: bytes) -> bytes:
        ts, times = _times(layout, readings.t_ns, accepted)
        return b"".join(
            (
                b'{"ts":%d,"values":{' % ts,
                layout.members(self._pieces(layout, readings)),
                b"}",
                times,
                _qualities(layout, readings.quality),
                layout.form,
                b',"id":"%b","accepted":%d' % (record.encode(), accepted) if record is not None else b"",
                clock,
                self._end,
            )
        )

    def _pieces(self, layout: Layout, readings: Readings) -> Pieces:
        pieces = layout.pieces(readings)
        if not all_good(readings.quality):
            for row in np.flatnonzero(readings.quality >= np.uint32(BAD)).tolist():
                pieces[row] = b"null"
        return pieces

    def _layout(self, readings: Readings) -> Layout:
        raw = readings.tag.tobytes()
        layout = self._layouts.get(raw)
        if layout is None:
            layout = Layout(self._tags_of(readings))
            if len(readings) > max(ROWS, len(self._device.tags)):
                return layout
            if len(self._layouts) >= LAYOUTS:
                del self._layouts[next(iter(self._layouts))]
            self._layouts[raw] = layout
        return layout

    def _tags_of(self, readings: Readings) -> Sequence[Tag]:
        if readings.tag is self._device.tags.ids:
            return self._device.tags
        return [self._tags[each] for each in readings.tag.tolist()]


def _part(record: str, number: int) -> str:
    return f"{record}:{number}" if number else record


def _times(layout: Layout, t_ns: NDArray[np.int64], accepted: int) -> tuple[int, bytes]:
    """The newest source time, in ms, and the member `t` for the rows that have another one."""
    if not len(t_ns):
        return accepted, b""
    raw = t_ns.tobytes()
    if raw == raw[:8] * len(t_ns):
        return int(t_ns[0]) // MILLISECOND, b""
    times = t_ns // MILLISECOND
    newest = int(times.max())
    return newest, _member(b',"t":{', layout, times, times != newest, b"%d".__mod__)


def _qualities(layout: Layout, quality: NDArray[np.uint32]) -> bytes:
    """The members `q`, of the rows that are not plainly good, and `historical`."""
    if all_good(quality):
        return b""
    plain = quality & np.uint32(~HISTORICAL & 0xFFFF_FFFF)
    late = b',"historical":true' if (plain != quality).any() else b""
    return _member(b',"q":{', layout, plain, plain != 0, words) + late


def _member(
    start: bytes,
    layout: Layout,
    column: NDArray[np.int64] | NDArray[np.uint32],
    told: NDArray[np.bool_],
    show: Callable[[int], bytes],
) -> bytes:
    rows = np.flatnonzero(told).tolist()
    if not rows:
        return b""
    shown = zip(rows, column[told].tolist(), strict=True)
    return start + b",".join([layout.key(row) + show(value) for row, value in shown]) + b"}"


@lru_cache(maxsize=4096)
def words(quality: int) -> bytes:
    """A quality in words, as JSON."""
    return orjson.dumps(describe(quality))
