"""Records back from segment files. Blocking: called in a thread."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO, NamedTuple

import orjson

from gateway.core.clock import ClockState
from gateway.core.record import Kind, Lane, Record
from gateway.outbox import columns
from gateway.outbox.dictionary import Dictionary
from gateway.outbox.frames import CLOCK, HEAD_SIZE, OWN_TIME, Head, is_record, is_whole, next_magic, peek
from gateway.outbox.recovery import definitions_of

_CHUNK = 256 * 1024
_READ_AT_MOST = 1024 * 1024


class Stored(NamedTuple):
    """A record, and the lane's running count of readings before it."""

    record: Record
    total: int


class Hole(NamedTuple):
    """Numbers, and readings by running count, that cannot be read (half-open both)."""

    seqs: tuple[int, int]
    rows: tuple[int, int]
    wall: tuple[int, int] = (0, 0)
    """Accepted between these times, as the records around it tell, ns since 1970; 0 where there is none."""
    never_written: bool = False
    """Nothing is missing between the frames around it: every sink had these before they came to the disk."""


@dataclass(frozen=True, slots=True)
class Span:
    """A part of a segment file, from a place where a frame starts."""

    path: Path
    offset: int
    end: int
    seq: int
    """Number that is expected at `offset`."""
    total: int
    """Running count that is expected there."""
    last: int
    """Last number of the file, when the span goes up to it."""
    last_total: int
    """Running count behind it."""
    wanted: int
    """First number that the caller needs."""
    wall: tuple[int, int] = (0, 0)
    """When the first and the last record of the file were accepted, ns since 1970."""


def read(span: Span, limit: int, log: str, dictionary: Dictionary) -> list[Stored | Hole]:
    """Up to `limit` records from `span.wanted` on, and every hole met on the way. A file that is gone is one hole.
    Raises OSError when the disk does not read."""
    items: list[Stored | Hole] = []
    seq, total, offset, count = span.seq, span.total, span.offset, 0
    wall, wall_to = span.wall
    behind = span.offset
    try:
        for head, payload, offset in frames(span.path, span.offset, span.end):
            joins, behind = offset - head.size == behind, offset
            if not is_record(head) or head.seq < seq:
                continue
            if head.seq > seq:
                items.append(Hole((seq, head.seq), (total, head.total), (wall, head.wall_ns), joins))
            seq, total, wall = head.seq + 1, head.total + head.rows, head.wall_ns
            if head.seq >= span.wanted:
                items.append(_stored(head, payload, span.path, log, dictionary))
                count += 1
            if count >= limit or (count and offset - span.offset > _READ_AT_MOST):
                return items
    except FileNotFoundError:
        pass
    if seq <= span.last:
        items.append(Hole((seq, span.last + 1), (total, span.last_total), (wall, wall_to)))
    return items


def frames(path: Path, offset: int, end: int) -> Iterator[tuple[Head, memoryview, int]]:
    """Every whole frame between two offsets, damage leapt over, and the offset behind it."""
    with path.open("rb", buffering=0) as file:
        base, data, at = offset, b"", 0
        while (place := base + at) < end:
            head = peek(data, at)
            need = HEAD_SIZE if head is None else head.size
            if len(data) - at < need <= end - place:
                data = _fetch(file, place, min(max(need, _CHUNK), end - place))
                if len(data) < need:
                    return
                base, at = place, 0
            elif head is not None and is_whole(data, at, head):
                yield head, memoryview(data)[at + HEAD_SIZE : at + need], place + need
                at += need
            else:
                at = next_magic(data, at)


def _fetch(file: BinaryIO, offset: int, size: int) -> bytes:
    file.seek(offset)
    return file.read(size) or b""


def _stored(head: Head, payload: memoryview, path: Path, log: str, dictionary: Dictionary) -> Stored | Hole:
    try:
        return Stored(record(head, payload, path, log, dictionary), head.total)
    except ValueError:
        return Hole((head.seq, head.seq + 1), (head.total, head.total + head.rows), (head.wall_ns, head.wall_ns))


def record(head: Head, payload: memoryview, path: Path, log: str, dictionary: Dictionary) -> Record:
    """The record of a frame. Raises ValueError for one of a kind or codec that this version does not know."""
    readings = body = None
    if head.kind == Kind.READINGS:
        if head.codec != columns.CODEC:
            raise ValueError(f"codec {head.codec} is not known")
        source = dictionary.sources.get(head.source)
        if source is None:
            dictionary.learn_all(definitions_of(path))
            source = dictionary.sources.get(head.source)
        if source is None:
            raise ValueError(f"source {head.source} is not defined")
        readings = columns.decode(payload, head.shape, head.rows, source.device, bool(head.flags & OWN_TIME))
    else:
        body = orjson.loads(payload)
    return Record(
        log,
        Lane(head.lane),
        head.seq,
        Kind(head.kind),
        head.wall_ns,
        head.boot_ns,
        head.boot,
        head.epoch,
        f"{head.config:08x}",
        head.rows,
        readings,
        body,
        ClockState(head.flags & CLOCK),
    )
