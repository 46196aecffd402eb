"""Segment files: written at one end, read anywhere, thrown away whole.

header: magic, format, lane, minor version of the format, log id, first number, running count of readings, CRC
frames: definitions before the first record that needs them, records in sequence
footer: a frame with ranges, counts and a sparse index, and a trailer that says where it starts (finished files only)
"""

import os
import struct
import zlib
from array import array
from bisect import bisect_right
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from gateway.core.record import Lane
from gateway.outbox.format.frames import FARTHEST, FOOTER, HEAD_SIZE, FrameHeader, frame, is_whole, peek
from gateway.status import FilesStatus

MAGIC = b"EGWSEG1\n"
FORMAT = 1
PLAIN, WITH_CONTEXTS = 0, 1
"""Minor version of the format: of all files as version 0.1 wrote them, and of one that may hold context frames. Who does not
know a minor version reads the records all the same, without what it has added."""
_HEADER = struct.Struct("<8sHBB16sQQI")
HEADER_SIZE = _HEADER.size
_FOOTER = struct.Struct("<QQQQQqq")
_TRAILER = struct.Struct("<QQ8s")
TRAILER_SIZE = _TRAILER.size
TRAILER_MAGIC = b"EGWEND1\n"
INDEX_STEP = 128 * 1024
_PLACE = 3 * 8
"""Bytes of an entry of the index."""
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
    summary: int = 0
    """Bytes of the summary beside it (`summary.py`); 0 where there is none."""
    minor: int = PLAIN
    """Of the format of a file that is being written."""
    times: tuple[int, int] | None = None
    """Least and greatest source time in it, ns since 1970; None where no summary has told it yet."""

    def __post_init__(self) -> None:
        if not self.last:
            self.last, self.end = self.first - 1, self.start

    @property
    def rows(self) -> int:
        return self.end - self.start

    @property
    def taken(self) -> int:
        """Bytes on disk, with those of its summary."""
        return self.size + self.footer + self.summary

    @property
    def summary_path(self) -> Path:
        """Where its summary stands, if it has one."""
        return self.path.parents[1] / "summaries" / f"{self.path.stem}.sum"

    @property
    def files(self) -> list[Path]:
        """What goes when it goes."""
        return [self.path, self.summary_path] if self.summary else [self.path]

    def place(self, seq: int) -> tuple[int, int, int]:
        """Number, running count and offset of an indexed record at or before this one."""
        entry = bisect_right(range(len(self.index) // 3), seq, key=lambda i: self.index[3 * i]) - 1
        if entry < 0:
            return self.first, self.start, HEADER_SIZE
        number, total, offset = self.index[3 * entry : 3 * entry + 3]
        return number, total, offset

    def note(self, head: FrameHeader, offset: int) -> None:
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


def header(log: str, lane: Lane, first: int, start: int, minor: int = PLAIN) -> bytes:
    """The first bytes of a file."""
    body = _HEADER.pack(MAGIC, FORMAT, lane, minor, log.encode(), first, start, 0)[:-4]
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


def files_status(segments: Sequence[Segment]) -> FilesStatus:
    """How many files, their numbers, and from when to when their records were accepted, ns since 1970."""
    return FilesStatus(
        files=len(segments),
        first=segments[0].first if segments else None,
        last=segments[-1].last if segments else None,
        oldest=segments[0].wall_from if segments else None,
        newest=max(segment.wall_to for segment in segments) if segments else None,
    )
