"""Frames out of segment files, whole portions at a time: no Python object is made for a record, since a day of them, once a
second, is to be on a screen at once.

Each frame's header is found behind the frame before it; those that are wanted are checked by their CRC, and decoded together
with all that are laid out alike. Blocking: called in a thread.
"""

import os
import struct
import zlib
from collections.abc import Iterator, Mapping
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from gateway.core.quality import BAD, STALE
from gateway.core.record import Kind, Lane
from gateway.encode import columns
from gateway.outbox.format import HEAD_SIZE, HEADER_SIZE, MAGIC_BYTES, PAYLOAD_AT_MOST, ROWS_AT_MOST, Segment, peek

PORTION = 4 * 1024 * 1024
"""Bytes that are read together, if no frame is longer."""
LONGEST = PAYLOAD_AT_MOST + HEAD_SIZE
"""Bytes of a frame."""
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
_SEVERE = 0xC000_0000

Bytes = NDArray[np.uint8]
Ids = NDArray[np.uint32]
Times = NDArray[np.int64]
Values = NDArray[np.float64]
Rows = NDArray[np.intp]


class FrameRun(NamedTuple):
    """Some that stand in `data`."""

    data: bytes
    places: NDArray[np.int64]
    """Where each begins."""
    heads: NDArray[np.void]

    def some(self, rows: Rows) -> "FrameRun":
        """These of them."""
        return FrameRun(self.data, self.places[rows], self.heads[rows])

    @property
    def ends(self) -> NDArray[np.int64]:
        """The place behind each."""
        ends: NDArray[np.int64] = self.places + HEAD_SIZE + self.heads["length"]
        return ends

    def readings(self) -> Rows:
        """Which are readings in columns, as this gateway writes them."""
        heads = self.heads
        is_one = (heads["kind"] == Kind.READINGS) & (heads["lane"] == Lane.DATA) & (heads["codec"] == columns.CODEC)
        return np.flatnonzero(is_one & (heads["rows"] > 0) & (heads["rows"] <= ROWS_AT_MOST))

    def whole(self) -> NDArray[np.bool_]:
        """Which have the right checksum."""
        view, crc32 = memoryview(self.data), zlib.crc32
        crcs, places, lengths = self.heads["crc"].tolist(), self.places.tolist(), self.heads["length"].tolist()
        return np.array(
            [
                crc32(view[at + HEAD_SIZE : at + HEAD_SIZE + length], crc32(view[at : at + _CRC_AT])) == crc
                for crc, at, length in zip(crcs, places, lengths, strict=True)
            ],
            np.bool_,
        )

    def blocks(self, ids: Mapping[int, Ids]) -> "Iterator[RecordBlock]":
        """Those of these sources, which are all readings, together what is laid out alike; what does not fit its layout, or
        its source, is left out. `ids`: of all tags, by source."""
        if not len(self.heads):
            return
        shape = self.heads["shape"] & (0xFF ^ columns.EXACT)
        layout = self.heads["source"].astype(np.int64) << 24 | self.heads["rows"].astype(np.int64) << 8 | shape
        for kind in layout[:1].tolist() if (layout == layout[0]).all() else np.unique(layout).tolist():
            if (source := kind >> 24) in ids:
                block = RecordBlock(self, np.flatnonzero(layout == kind), source, ids[source])
                if len(block.rows):
                    yield block


def frames_at(data: bytes, places: NDArray[np.int64]) -> FrameRun:
    """Those that begin at these places, with their headers, of which all bytes are there."""
    raw = np.frombuffer(data, np.uint8)[places[:, None] + _HEAD_BYTES]
    return FrameRun(data, places, raw.view(_HEAD).reshape(-1))


def begin(file: int, segment: Segment, from_ns: int) -> int:
    """Where to begin with records that were accepted then or later, by the segment's index: behind what was surely accepted
    before, since the clock was not set meanwhile. (No such place is known behind them: it may have been set back.)"""
    offsets = [HEADER_SIZE, *segment.index[2::3]]
    before = None
    for at, offset in enumerate(offsets[1:]):
        head = peek(os.pread(file, HEAD_SIZE, offset), 0)
        if head is None or head.wall_ns >= from_ns or (before is not None and head.epoch != before.epoch):
            return offsets[at]
        before = head
    return offsets[-1]


def portions(file: int, offset: int, end: int, portion: int = PORTION) -> Iterator[tuple[int, FrameRun]]:
    """The file from an offset on, where a frame should begin: the offset of each portion, and the whole frames in it."""
    size = portion
    while offset < end:
        data = os.pread(file, min(size, end - offset), offset)
        if not data:
            return
        is_all = len(data) == end - offset or size > LONGEST
        places = _places(data, is_all)
        if places:
            found = frames_at(data, np.array(places, np.int64))
            yield offset, found
            offset, size = offset + int(found.ends[-1]), portion
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


class RecordBlock:
    """Records of the same layout: m of them, with n readings each."""

    def __init__(self, frames: FrameRun, rows: Rows, source: int, ids: Ids) -> None:
        head = frames.heads[rows[0]]
        self.source = source
        self._ids = ids
        self._n, self._shape = n, shape = int(head["rows"]), int(head["shape"])
        self._data: Bytes = np.frombuffer(frames.data, np.uint8)
        times = 8 if shape & columns.ONE_TIME else 8 * n
        self._wide = 4 if shape & columns.FLOAT32 else 8
        self._values_at = times
        self._tags_at = times + self._wide * n
        tags = 0 if shape & columns.WHOLE_DEVICE else 4 if shape & columns.TAG_RANGE else 4 * n
        self._quality_at = self._tags_at + tags
        quality = 0 if shape & columns.ALL_GOOD else 4 if shape & columns.ONE_QUALITY else 4 * n
        fits = frames.heads["length"][rows] >= self._quality_at + quality
        if shape & columns.WHOLE_DEVICE and len(ids) != n:
            fits[:] = False
        self.rows = rows[fits]
        """Which of the frames these are."""
        self._places = frames.places[self.rows] + HEAD_SIZE

    def of(self, tag: int) -> tuple[Times, Values]:
        """The readings of a tag; NaN is a hole."""
        records, rows = self._where(tag)
        return self._times(records, rows), self._values(records, rows)

    def all(self) -> tuple[Times, Ids, Values]:
        """All readings, tag by tag where all records have the same."""
        m = len(self._places)
        records, rows = np.tile(np.arange(m), self._n), np.repeat(np.arange(self._n), m)
        if self._shape & columns.WHOLE_DEVICE:
            ids = self._ids[rows]
        elif self._shape & columns.TAG_RANGE:
            ids = (self._cells(records, rows, self._tags_at, "<u4", True) + rows).astype(np.uint32)
        else:
            ids = self._cells(records, rows, self._tags_at, "<u4", False).astype(np.uint32)
        return self._times(records, rows), ids, self._values(records, rows)

    def spans(self) -> tuple[Times, Times]:
        """The least and the greatest source time of each record."""
        m = len(self._places)
        n = 1 if self._shape & columns.ONE_TIME else self._n
        times = self._times(np.repeat(np.arange(m), n), np.tile(np.arange(n), m)).reshape(m, n)
        return times.min(1), times.max(1)

    def _where(self, tag: int) -> tuple[Rows, Rows]:
        """Records and rows in which the tag stands."""
        m = len(self._places)
        if self._shape & columns.WHOLE_DEVICE:
            at = np.flatnonzero(self._ids == tag)
            return np.arange(m), np.full(m, at[0] if len(at) else 0, np.intp)
        if self._shape & columns.TAG_RANGE:
            first = self._cells(np.arange(m), np.zeros(m, np.intp), self._tags_at, "<u4", True).astype(np.int64)
            row = tag - first
            records = np.flatnonzero((row >= 0) & (row < self._n))
            return records, row[records]
        ids = self._data[self._places[:, None] + self._tags_at + np.arange(4 * self._n)].view("<u4")
        records, rows = np.nonzero(ids == tag)
        return records, rows

    def _cells(self, records: Rows, rows: Rows, at: int, kind: str, is_one: bool) -> NDArray[np.int64]:
        """Cells of a column that begins at this offset."""
        wide = np.dtype(kind).itemsize
        places = self._places[records] + at + (0 if is_one else rows * wide)
        cells: NDArray[np.int64] = self._data[places[:, None] + np.arange(wide)].view(kind).reshape(-1)
        return cells

    def _times(self, records: Rows, rows: Rows) -> Times:
        if self._shape & columns.ONE_TIME:
            return self._cells(np.arange(len(self._places)), rows, 0, "<i8", True)[records]
        return self._cells(records, rows, 0, "<i8", False)

    def _values(self, records: Rows, rows: Rows) -> Values:
        """What is bad or stale is a hole: a line that goes on would be a frozen number."""
        kind = "<f4" if self._wide == 4 else "<f8"
        values = self._cells(records, rows, self._values_at, kind, False).astype(np.float64)
        if not self._shape & columns.ALL_GOOD:
            is_one = bool(self._shape & columns.ONE_QUALITY)
            quality = self._cells(records, rows, self._quality_at, "<u4", is_one)
            values[((quality & _SEVERE) == BAD) | ((quality & STALE) != 0)] = np.nan
        values[np.isinf(values)] = np.nan
        return values
