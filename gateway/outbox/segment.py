"""Segment files: written at one end, read anywhere, thrown away whole.

header: magic, format, lane, log id, first number, running count of readings, CRC
frames: definitions before the first record that needs them, records in sequence
footer: a frame with ranges, counts and a sparse index, and a trailer that says where it starts (finished files only)
"""

import errno
import os
import struct
import zlib
from array import array
from bisect import bisect_right
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import NamedTuple

from gateway.core.record import Lane
from gateway.outbox.ballast import NO_ROOM, no_inodes
from gateway.outbox.dictionary import Source
from gateway.outbox.frames import FARTHEST, FOOTER, HEAD_SIZE, Head, frame, is_whole, peek
from gateway.outbox.ground import is_still
from gateway.outbox.identity import sync_path
from gateway.places.regular import open_regular

MAGIC = b"EGWSEG1\n"
FORMAT = 1
_HEADER = struct.Struct("<8sHBB16sQQI")
HEADER_SIZE = _HEADER.size
_FOOTER = struct.Struct("<QQQQQqq")
_TRAILER = struct.Struct("<QQ8s")
TRAILER_SIZE = _TRAILER.size
TRAILER_MAGIC = b"EGWEND1\n"
INDEX_STEP = 128 * 1024
_PLACE = 3 * 8
"""Bytes of an entry of the index."""
_OVERSIZE = 12
"""How many times its size a file may have where no other one can be made; sixteen times is all that the log may take."""
_FOOTER_AT_MOST = 4 * 1024 * 1024


@dataclass(slots=True, eq=False)
class Segment:
    """One file of a lane, as the event loop knows it."""

    path: Path
    lane: Lane
    first: int
    """Number of the first record."""
    start: int
    """Running count of readings before it."""
    last: int = 0
    """Number of the last record; first - 1 while there is none."""
    end: int = 0
    """Running count of readings behind it."""
    records: int = 0
    wall_from: int = 0
    wall_to: int = 0
    size: int = HEADER_SIZE
    """Bytes of whole frames; what a reader may look at."""
    footer: int = 0
    """Bytes of footer and trailer."""
    index: "array[int]" = field(default_factory=lambda: array("Q"))
    """Number, running count and offset of a record every INDEX_STEP bytes, flat."""
    boot_to: int | None = None
    """Until when it was written, by the boot clock; None where that is not known yet."""

    def __post_init__(self) -> None:
        if not self.last:
            self.last, self.end = self.first - 1, self.start

    @property
    def rows(self) -> int:
        return self.end - self.start

    def place(self, seq: int) -> tuple[int, int, int]:
        """Number, running count and offset of an indexed record at or before this one."""
        entry = bisect_right(range(len(self.index) // 3), seq, key=lambda i: self.index[3 * i]) - 1
        if entry < 0:
            return self.first, self.start, HEADER_SIZE
        number, total, offset = self.index[3 * entry : 3 * entry + 3]
        return number, total, offset

    def note(self, head: Head, offset: int) -> None:
        """Take account of a record that stands at this offset."""
        if not self.index or offset - self.index[-1] >= INDEX_STEP:
            self.index.extend((head.seq, head.total, offset))
        self.last, self.end = head.seq, head.total + head.rows
        self.records += 1
        self.span(head.wall_ns)

    def span(self, wall_ns: int) -> None:
        """A record was accepted then; after a step of the clock maybe before the first one."""
        self.wall_from = min(self.wall_from or wall_ns, wall_ns)
        self.wall_to = max(self.wall_to, wall_ns)


def header(log: str, lane: Lane, first: int, start: int) -> bytes:
    """The first bytes of a file."""
    body = _HEADER.pack(MAGIC, FORMAT, lane, 0, log.encode(), first, start, 0)[:-4]
    return body + zlib.crc32(body).to_bytes(4, "little")


def read_header(data: bytes) -> tuple[str, Lane, int, int]:
    """Log id, lane, first number and running count. Raises ValueError."""
    if len(data) < HEADER_SIZE or zlib.crc32(data[: HEADER_SIZE - 4]) != int.from_bytes(
        data[HEADER_SIZE - 4 : HEADER_SIZE], "little"
    ):
        raise ValueError("the file's header is damaged")
    magic, version, lane, _, log, first, start, _ = _HEADER.unpack_from(data)
    if magic != MAGIC or version != FORMAT:
        raise ValueError(f"format {version} is not known to this version of the gateway")
    if not 0 < first < FARTHEST or start >= FARTHEST:
        raise ValueError(f"its numbers cannot be right: it begins with {first}, behind {start} readings")
    return log.decode(), Lane(lane), first, start


def footer(segment: Segment) -> bytes:
    """Footer and trailer of a finished file."""
    s = segment
    fixed = _FOOTER.pack(s.first, s.last, s.start, s.end, s.records, s.wall_from, s.wall_to)
    framed = frame(s.lane, FOOTER, fixed + s.index.tobytes())
    return framed + _TRAILER.pack(s.size, zlib.crc32(s.size.to_bytes(8, "little")), TRAILER_MAGIC)


def read_footer(path: Path, file: int, lane: Lane, begins: tuple[int, int]) -> Segment | None:
    """The file as its footer tells it; None if it has none that is whole, or that fits its header, which says what it
    `begins` with: first number and running count."""
    size = os.fstat(file).st_size
    trailer = os.pread(file, _TRAILER.size, max(0, size - _TRAILER.size))
    if len(trailer) < _TRAILER.size:
        return None
    offset, crc, magic = _TRAILER.unpack(trailer)
    if magic != TRAILER_MAGIC or crc != zlib.crc32(offset.to_bytes(8, "little")):
        return None
    if not HEADER_SIZE <= offset < size <= offset + _FOOTER_AT_MOST:
        return None
    data = os.pread(file, size - offset, offset)
    head = peek(data, 0)
    if head is None or head.kind != FOOTER or head.lane != lane or not is_whole(data, 0, head):
        return None
    payload = data[HEAD_SIZE : head.size]
    if len(payload) < _FOOTER.size or (len(payload) - _FOOTER.size) % _PLACE:
        return None
    first, last, start, end, records, wall_from, wall_to = _FOOTER.unpack_from(payload)
    index = array("Q")
    index.frombytes(payload[_FOOTER.size :])
    if (first, start) != begins or not (first <= last < FARTHEST and start <= end < FARTHEST):
        return None
    if not 0 < records <= last - first + 1 or not _ascend(index, (first, start, HEADER_SIZE), (last, end, offset - 1)):
        return None
    return Segment(path, lane, first, start, last, end, records, wall_from, wall_to, offset, size - offset, index)


def _ascend(index: "array[int]", least: Sequence[int], most: Sequence[int]) -> bool:
    """Whether numbers, running counts and offsets of the index go up, within these bounds."""
    before = least
    for at in range(0, len(index), 3):
        entry = index[at : at + 3]
        if any(low > each or each > high for low, each, high in zip(before, entry, most, strict=True)):
            return False
        before = entry
    return True


class Entry(NamedTuple):
    """A record on its way to the disk."""

    seq: int
    total: int
    rows: int
    wall_ns: int
    source: Source | None
    frame: bytes
    digests: Sequence[bytes] = ()
    """Of readings: the hash of each message that the record becomes."""


class Growth(NamedTuple):
    """What one write has added to a lane."""

    path: Path
    """The file it went to; a new one when the last was finished."""
    entries: Sequence[Entry]
    places: "array[int]"
    """What the index gets."""
    size: int
    """Bytes of whole frames in the file now."""
    finished: int
    """Bytes of the footer that the file before it has got."""


class Renewal(NamedTuple):
    """Records that were written anew, because nobody knows whether the disk has them where they were."""

    path: Path
    """The file that they had gone to."""
    kept: Segment | None
    """What of it is durable; None: no record."""
    growth: Growth


def grow(segment: Segment, growth: Growth) -> None:
    """Take account of records that were written."""
    last = growth.entries[-1]
    segment.last, segment.end, segment.size = last.seq, last.total + last.rows, growth.size
    segment.records += len(growth.entries)
    segment.span(growth.entries[0].wall_ns)
    segment.span(last.wall_ns)
    segment.index.extend(growth.places)


class LaneFile:
    """The file of a lane that is being written; used by the writer's thread only. All calls raise OSError.

    A sync that failed tells the kernel's bad news once: asked again it may say that all is well, without the data being on
    the disk. So what was not synced before is kept in memory, and written anew into another file."""

    def __init__(self, directory: Path, log: str, lane: Lane, segment_size: int) -> None:
        self._directory = directory
        self._log = log
        self._lane = lane
        self._limit = segment_size
        self._file = -1
        self._segment: Segment | None = None
        self._sources: set[int] = set()
        self._finished = 0
        self._unsynced: list[Entry] = []
        """Written and not yet durable."""
        self._durable: Segment | None = None
        """The file as it was when all of it was durable."""
        self._doubtful: tuple[Path, Segment | None, list[Entry]] | None = None
        """A file whose sync has failed, what of it is durable, and what else it was given."""
        self._renewals: list[Renewal] = []
        self._surplus: list[tuple[Path, int]] = []
        """Files that hold more than so many bytes, which count no more."""
        self.written_bytes = 0
        """Bytes written since the start."""
        self.syncs = 0
        """How often something was made durable since the start."""

    def write(self, entries: Sequence[Entry]) -> Growth:
        """Append these records with one write. After an error nothing of them stands in the file."""
        self._renew()
        if self._segment is not None and self._segment.size >= self._limit:
            self._rotate(entries[0])
        segment = self._segment or self._begin(*self._create(entries[0].seq, entries[0].total))
        parts, sources, index = self._assemble(segment, entries)
        data = b"".join(parts)
        self._append(data, segment.size)
        self._sources |= sources
        self._unsynced += entries
        growth = Growth(segment.path, entries, index, segment.size + len(data), self._finished)
        self._finished = 0
        grow(segment, growth)
        return growth

    def _assemble(self, segment: Segment, entries: Sequence[Entry]) -> tuple[list[bytes], set[int], "array[int]"]:
        parts: list[bytes] = []
        sources: set[int] = set()
        index = array("Q")
        offset, indexed = segment.size, segment.index[-1] if segment.index else 0
        for entry in entries:
            source = entry.source
            if source is not None and source.id not in self._sources and source.id not in sources:
                parts.append(source.frame())
                offset += len(parts[-1])
                sources.add(source.id)
            if not indexed or offset - indexed >= INDEX_STEP:
                index.extend((entry.seq, entry.total, offset))
                indexed = offset
            parts.append(entry.frame)
            offset += len(entry.frame)
        return parts, sources, index

    def _rotate(self, entry: Entry) -> None:
        """Finish the file, once the next one is there: a disk may have room for bytes and none for files (inodes). Then the
        present one goes on."""
        assert self._segment is not None
        try:
            segment, file = self._create(entry.seq, entry.total)
        except OSError as error:
            larger = self._segment.size < _OVERSIZE * self._limit
            if error.errno in NO_ROOM and larger and no_inodes(self._directory):
                return
            raise
        try:
            self.finish()
        except OSError:
            os.close(file)
            segment.path.unlink(missing_ok=True)
            raise
        self._begin(segment, file)

    def _renew(self) -> None:
        """Write anew, and durably, what a failed sync has left in doubt. Until that has worked, it stays in memory; then
        nothing of the old file counts but what was durable."""
        if self._doubtful is None:
            return
        old, kept, entries = self._doubtful
        segment, file = self._create(entries[0].seq, entries[0].total, ".new")
        try:
            self._sources = set()
            parts, sources, index = self._assemble(segment, entries)
            data = b"".join(parts)
            _write_all(file, data, segment.size)
            os.fdatasync(file)
            segment.path = segment.path.replace(segment.path.with_suffix(""))
            sync_path(self._directory)
        except OSError:
            os.close(file)
            raise
        self._doubtful = None
        self.syncs += 2
        self.written_bytes += len(data)
        self._begin(segment, file)
        self._sources = sources
        growth = Growth(segment.path, entries, index, segment.size + len(data), 0)
        grow(segment, growth)
        self._note_durable()
        self._renewals.append(Renewal(old, kept, growth))
        if kept is not None:
            self._surplus.append((old, kept.size))

    def take_renewals(self) -> list[Renewal]:
        """What was written anew since the last call."""
        renewals, self._renewals = self._renewals, []
        return renewals

    def _sync(self) -> None:
        try:
            os.fdatasync(self._file)
        except OSError:
            assert self._segment is not None
            if self._unsynced:
                self._doubtful = (self._segment.path, self._durable, self._unsynced)
            self.abandon()
            raise
        self.syncs += 1
        self._note_durable()

    def _note_durable(self) -> None:
        segment, self._unsynced = self._segment, []
        if segment is not None:
            self._durable = replace(segment, index=segment.index[:])

    def _create(self, first: int, start: int, suffix: str = "") -> tuple[Segment, int]:
        path = self._directory / f"{first:016x}.seg{suffix}"
        self._directory.mkdir(exist_ok=True)
        file = open_regular(path, os.O_RDWR | os.O_CREAT | os.O_TRUNC)
        try:
            _write_all(file, header(self._log, self._lane, first, start), 0)
            sync_path(self._directory)
        except OSError:
            os.close(file)
            raise
        self.syncs += 1
        self.written_bytes += HEADER_SIZE
        return Segment(path, self._lane, first, start), file

    def _begin(self, segment: Segment, file: int) -> Segment:
        self._sources = set()
        self._segment, self._file = segment, file
        self._durable, self._unsynced = None, []
        return segment

    def _append(self, data: bytes, offset: int) -> None:
        try:
            _write_all(self._file, data, offset)
        except OSError as error:
            os.ftruncate(self._file, offset)
            if error.errno == errno.EFBIG:
                self.commit()
                self.abandon()
            raise
        self.written_bytes += len(data)

    def commit(self) -> None:
        """Make all that was written durable."""
        self._renew()
        if self._unsynced:
            self._sync()

    def finish(self) -> None:
        """Write the footer, commit and close; the next write opens a new file."""
        self._renew()
        if self._segment is not None:
            data = footer(self._segment)
            self._append(data, self._segment.size)
            self._sync()
            self._finished = len(data)
        self.abandon()

    def look(self) -> Path | None:
        """The file that is being written, if somebody has removed it or put another in its place; it is given up, and the
        next write opens a new one."""
        while self._surplus:  # not at once, since somebody may be reading there
            with suppress(FileNotFoundError):
                os.truncate(*self._surplus[0])
            del self._surplus[0]
        if self._segment is None or is_still(self._segment.path, self._file):
            return None
        path = self._segment.path
        self.abandon()
        return path

    def abandon(self) -> None:
        """Close without a footer; the next write opens a new file."""
        if self._file >= 0:
            os.close(self._file)
        self._file, self._segment, self._durable, self._unsynced = -1, None, None, []


def _write_all(file: int, data: bytes, offset: int) -> None:
    view = memoryview(data)
    while view:
        written = os.pwrite(file, view, offset)
        offset += written
        view = view[written:]
