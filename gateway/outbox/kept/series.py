"""Values of a few tags out of segment files, whole portions at a time: no Python object is made for a record, since a day of
them, once a second, is to be on a screen at once.

Each frame's header is found behind the frame before it; those of the wanted device are checked by their CRC, and decoded
together with all that are laid out alike. Blocking: called in a thread.
"""

import os
import struct
import threading
import time
import zlib
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from gateway.core.errors import GatewayError
from gateway.core.quality import BAD, STALE
from gateway.core.record import Kind, Lane
from gateway.encode import columns
from gateway.outbox.format import (
    DEFINITION,
    HEAD_SIZE,
    HEADER_SIZE,
    MAGIC_BYTES,
    PAYLOAD_AT_MOST,
    Dictionary,
    Segment,
    peek,
)
from gateway.outbox.kept.thinning import Series
from gateway.places.regular import open_regular

PORTION = 4 * 1024 * 1024
"""Bytes that are read together, if no frame is longer."""
EARLY_NS, LATE_NS = 300_000_000_000, 3_600_000_000_000
"""A reading is looked for among what was accepted so much before its source time (a device's clock may be ahead), and so
much after it (it may have been kept by the device)."""
_MAGIC_LENGTH = struct.Struct("<4sI")
_HEAD = np.dtype(
    [
        ("length", "<u4"), ("wall_ns", "<i8"), ("rows", "<u4"), ("source", "<u4"), ("lane", "u1"), ("kind", "u1"),
        ("codec", "u1"), ("shape", "u1"), ("crc", "<u4"),
    ]
)  # fmt: skip
_HEAD_BYTES = np.r_[4:8, 24:32, 40:44, 56:64, 68:72]
"""What is wanted of a header, and where it stands in it, as `format/frames.py` packs it."""
_CRC_AT = HEAD_SIZE - 4
SHORT, LONGEST_LOOK = 1.0, 30.0
"""Seconds after which a look rests as long as it works, as the road needs Python too; and after which it is broken off."""
FINE = 512
"""Points of a tag that are remembered of a file."""
REMEMBERED = 4000
"""Tags of files: 8 KiB each."""
LONGEST = PAYLOAD_AT_MOST + HEAD_SIZE
"""Bytes of a frame."""
_SEVERE = 0xC000_0000
Bytes = NDArray[np.uint8]
Ids = NDArray[np.uint32]


@dataclass(frozen=True, slots=True)
class Query:
    """Which readings, and where they go."""

    device: str
    series: Mapping[str, Series]
    """By the names of tags."""
    from_ns: int
    to_ns: int


@dataclass(slots=True)
class _Source:
    """A definition of the wanted device."""

    ids: Ids
    """Of all its tags."""
    wanted: dict[int, Series]
    """By tag id."""


class SeriesReader:
    """Reads the files of one log. Of files that are finished it remembers what it has once thinned, for long spans."""

    def __init__(self, dictionary: Dictionary) -> None:
        self._dictionary = dictionary
        self._known: dict[tuple[Path, str, str], Series] = {}
        """By file, device and tag; the one last that was used last."""
        self._alone = threading.Lock()  # a look goes on in its thread when who asked is gone, and another may ask

    def read(self, segments: Sequence[Segment], wanted: Query) -> None:
        """Fill the series with what these files hold. A file that is gone, and a record that is damaged, are passed over.
        Raises OSError when the disk does not read, and GatewayError when it takes too long."""
        with self._alone:
            begun = before = time.monotonic()
            for _ in self._portions(segments, wanted):
                now = time.monotonic()
                if now - begun > LONGEST_LOOK:
                    raise GatewayError(f"this takes longer than {LONGEST_LOOK:g} s: ask for a shorter span of time")
                if now - begun > SHORT:
                    time.sleep(now - before)
                before = time.monotonic()

    def _portions(self, segments: Sequence[Segment], wanted: Query) -> Iterator[None]:
        for segment in segments:
            if segment.wall_from <= wanted.to_ns + LATE_NS and segment.wall_to >= wanted.from_ns - EARLY_NS:
                with suppress(FileNotFoundError):
                    if segment.footer and _is_coarse(segment, wanted):
                        yield from self._add_known(segment, wanted)
                    else:
                        yield from _read_segment(segment, wanted, self._dictionary)

    def _add_known(self, segment: Segment, wanted: Query) -> Iterator[None]:
        new = {
            tag: Series(segment.wall_from - LATE_NS, segment.wall_to + EARLY_NS, FINE)
            for tag in wanted.series
            if (segment.path, wanted.device, tag) not in self._known
        }
        if new:
            whole = Query(wanted.device, new, segment.wall_from - LATE_NS, segment.wall_to + EARLY_NS)
            yield from _read_segment(segment, whole, self._dictionary)
        for tag, series in wanted.series.items():
            key = segment.path, wanted.device, tag
            known = self._known[key] = new[tag] if tag in new else self._known.pop(key)
            t_ns, value = known.done()
            inside = (t_ns >= wanted.from_ns) & (t_ns < wanted.to_ns)
            series.add(t_ns[inside], value[inside], known.readings, is_thinned=known.is_thinned)
        for old in list(self._known)[:-REMEMBERED]:
            del self._known[old]


def _is_coarse(segment: Segment, wanted: Query) -> bool:
    """Whether a bucket of the chart is wider than one of what is remembered of the file, and the file lies within."""
    buckets = max(1, min((series.points for series in wanted.series.values()), default=1) // 2)
    whole = wanted.from_ns <= segment.wall_from and segment.wall_to < wanted.to_ns
    span = segment.wall_to - segment.wall_from + EARLY_NS + LATE_NS
    return whole and (wanted.to_ns - wanted.from_ns) / buckets >= span / (FINE // 2)


def _read_segment(segment: Segment, wanted: Query, dictionary: Dictionary) -> Iterator[None]:
    """Yields after each portion, so that the look can rest."""
    sources: dict[int, _Source | None] = {}
    file = open_regular(segment.path)
    try:
        for data, begins in _portions(file, _begin(file, segment, wanted.from_ns - EARLY_NS), segment.size):
            places = np.array(begins, np.int64)
            heads = _heads(data, places)
            for at in np.flatnonzero(heads["kind"] == DEFINITION).tolist():
                begin = int(places[at]) + HEAD_SIZE
                dictionary.passes(int(heads["source"][at]), data[begin : begin + int(heads["length"][at])])
            is_ours = (
                (heads["kind"] == Kind.READINGS) & (heads["lane"] == Lane.DATA) & (heads["codec"] == columns.CODEC)
            )
            for source in np.unique(heads["source"][is_ours]).tolist():
                if source not in sources:
                    sources[source] = _source(source, segment, wanted, dictionary)
            known = [source for source, found in sources.items() if found is not None]
            is_ours &= np.isin(heads["source"], known)
            rows = np.flatnonzero(is_ours)
            rows = rows[
                _are_whole(data, heads["crc"][rows].tolist(), places[rows].tolist(), heads["length"][rows].tolist())
            ]
            _decode(np.frombuffer(data, np.uint8), heads[rows], places[rows], sources, wanted)
            if int(heads["wall_ns"].min()) > wanted.to_ns + LATE_NS:
                return
            yield
    finally:
        os.close(file)


def _source(number: int, segment: Segment, wanted: Query, dictionary: Dictionary) -> _Source | None:
    definition = dictionary.defined(number, segment.path)
    if definition is None or definition.device.name != wanted.device:
        return None
    tags = definition.device.tags
    return _Source(tags.ids, {tag.id: wanted.series[tag.name] for tag in tags if tag.name in wanted.series})


def _begin(file: int, segment: Segment, from_ns: int) -> int:
    """Where records that were accepted then begin, by the segment's index: a place before them."""
    offsets = segment.index[2::3]
    low, high = 0, len(offsets)
    while low < high:
        middle = (low + high) // 2
        head = peek(os.pread(file, HEAD_SIZE, offsets[middle]), 0)
        if head is not None and head.wall_ns < from_ns:
            low = middle + 1
        else:
            high = middle
    return offsets[low - 1] if low else HEADER_SIZE


def _portions(file: int, offset: int, end: int) -> Iterator[tuple[bytes, list[int]]]:
    """The file from an offset on, where a frame should begin, and where in each portion whole frames begin."""
    size = PORTION
    while offset < end:
        data = os.pread(file, min(size, end - offset), offset)
        if not data:
            return
        is_all = len(data) == end - offset or size > LONGEST
        places = _places(data, is_all)
        if places:
            yield data, places
        behind = places[-1] + HEAD_SIZE + int(_MAGIC_LENGTH.unpack_from(data, places[-1])[1]) if places else 0
        if behind:
            offset, size = offset + behind, PORTION
        elif is_all:
            offset += max(1, len(data) - HEAD_SIZE)
        else:
            size *= 4  # a frame that is longer than a portion


def _places(data: bytes, is_all: bool) -> list[int]:
    """Where whole frames begin, as their lengths lead from one to the next; damage is leapt over. `is_all`: what is not whole
    here never will be."""
    places: list[int] = []
    unpack, at, end, put = _MAGIC_LENGTH.unpack_from, 0, len(data), places.append
    seen = -1
    """The last place that began like a frame."""
    while at <= end - HEAD_SIZE:
        magic, length = unpack(data, at)
        behind = at + HEAD_SIZE + length
        if magic == MAGIC_BYTES:
            seen = at
            if behind <= end:
                put(at)
                at = behind
                continue
            if length <= PAYLOAD_AT_MOST and not is_all:
                break
        at = data.find(MAGIC_BYTES, seen + 1)  # from the frame before: its length may be wrong
        if at < 0:
            break
    return places


def _heads(data: bytes, places: NDArray[np.int64]) -> NDArray[np.void]:
    raw = np.frombuffer(data, np.uint8)[places[:, None] + _HEAD_BYTES]
    heads: NDArray[np.void] = raw.view(_HEAD).reshape(-1)
    return heads


def _are_whole(data: bytes, crcs: list[int], places: list[int], lengths: list[int]) -> NDArray[np.bool_]:
    view, crc32 = memoryview(data), zlib.crc32
    return np.array(
        [
            crc32(view[at + HEAD_SIZE : at + HEAD_SIZE + length], crc32(view[at : at + _CRC_AT])) == crc
            for crc, at, length in zip(crcs, places, lengths, strict=True)
        ],
        np.bool_,
    )


def _decode(
    data: Bytes,
    heads: NDArray[np.void],
    places: NDArray[np.int64],
    sources: Mapping[int, _Source | None],
    wanted: Query,
) -> None:
    """Together what is laid out alike."""
    if not len(heads):
        return
    layout = heads["source"].astype(np.int64) << 24 | heads["rows"].astype(np.int64) << 8
    layout |= heads["shape"] & (0xFF ^ columns.EXACT)
    kinds = layout[:1] if (layout == layout[0]).all() else np.unique(layout)
    for kind in kinds.tolist():
        source, rows, shape = kind >> 24, kind >> 8 & 0xFFFF, kind & 0xFF
        found = sources[source]
        if found is not None and found.wanted:
            same = layout == kind
            _Block(data, places[same] + HEAD_SIZE, heads["length"][same], rows, shape, found).put(wanted)


class _Block:
    """Records of the same layout: m of them, with n rows each."""

    def __init__(
        self, data: Bytes, places: NDArray[np.int64], lengths: NDArray[np.uint32], n: int, shape: int, source: _Source
    ) -> None:
        self._data, self._n, self._shape, self._source = data, n, shape, source
        times = 8 if shape & columns.ONE_TIME else 8 * n
        self._wide = 4 if shape & columns.FLOAT32 else 8
        self._values_at = times
        self._tags_at = times + self._wide * n
        tags = 0 if shape & columns.WHOLE_DEVICE else 4 if shape & columns.TAG_RANGE else 4 * n
        self._quality_at = self._tags_at + tags
        quality = 0 if shape & columns.ALL_GOOD else 4 if shape & columns.ONE_QUALITY else 4 * n
        self._places = places[lengths >= self._quality_at + quality]  # shorter: not as this gateway writes them

    def put(self, wanted: Query) -> None:
        """Into the series."""
        if not len(self._places) or (self._shape & columns.WHOLE_DEVICE and len(self._source.ids) != self._n):
            return
        for tag, series in self._source.wanted.items():
            records, rows = self._where(tag)
            if len(records):
                times = self._cells(records, rows, 0, "<i8", bool(self._shape & columns.ONE_TIME))
                inside = (times >= wanted.from_ns) & (times < wanted.to_ns)
                records, rows, times = records[inside], rows[inside], times[inside]
                if len(times):
                    series.add(times, self._values(records, rows))

    def _where(self, tag: int) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
        """Records and rows in which the tag stands."""
        m = len(self._places)
        if self._shape & columns.WHOLE_DEVICE:
            at = np.flatnonzero(self._source.ids == tag)
            return np.arange(m), np.full(m, at[0] if len(at) else 0, np.intp)
        if self._shape & columns.TAG_RANGE:
            first = self._cells(np.arange(m), np.zeros(m, np.intp), self._tags_at, "<u4", True).astype(np.int64)
            row = tag - first
            records = np.flatnonzero((row >= 0) & (row < self._n))
            return records, row[records]
        ids = self._data[self._places[:, None] + self._tags_at + np.arange(4 * self._n)].view("<u4")
        records, rows = np.nonzero(ids == tag)
        return records, rows

    def _cells(
        self, records: NDArray[np.intp], rows: NDArray[np.intp], at: int, kind: str, is_one: bool
    ) -> NDArray[np.int64]:
        """Cells of a column that begins at this offset."""
        wide = np.dtype(kind).itemsize
        places = self._places[records] + at + (0 if is_one else rows * wide)
        cells: NDArray[np.int64] = self._data[places[:, None] + np.arange(wide)].view(kind).reshape(-1)
        return cells

    def _values(self, records: NDArray[np.intp], rows: NDArray[np.intp]) -> NDArray[np.float64]:
        """What is bad or stale is a hole: a line that goes on would be a frozen number."""
        kind = "<f4" if self._wide == 4 else "<f8"
        values = self._cells(records, rows, self._values_at, kind, False).astype(np.float64)
        if not self._shape & columns.ALL_GOOD:
            is_one = bool(self._shape & columns.ONE_QUALITY)
            quality = self._cells(records, rows, self._quality_at, "<u4", is_one)
            values[((quality & _SEVERE) == BAD) | ((quality & STALE) != 0)] = np.nan
        values[np.isinf(values)] = np.nan
        return values
