"""Records back from segment files. Blocking: called in a thread."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

from gateway.core.clock import ClockState
from gateway.core.parsing import doubting, parse_json
from gateway.core.record import Kind, Lane, Record
from gateway.encode import columns
from gateway.outbox.format.definition import read_context
from gateway.outbox.format.dictionary import Dictionary
from gateway.outbox.format.frames import CLOCK, CONTEXT, DEFINITION, OWN_TIME, PAYLOAD_AT_MOST, FrameHeader, is_record
from gateway.outbox.format.scanning import read_frames

_READ_AT_MOST = 1024 * 1024


class Stored(NamedTuple):
    """A record, and the lane's running count of readings before it."""

    record: Record
    total: int


class Gap(NamedTuple):
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


def read_records(span: Span, limit: int, log: str, dictionary: Dictionary) -> list[Stored | Gap]:
    """Up to `limit` records from `span.wanted` on, and every hole met on the way. A file that is gone is one hole.
    Raises OSError when the disk does not read."""
    items: list[Stored | Gap] = []
    seq, total, offset, count = span.seq, span.total, span.offset, 0
    wall, wall_to = span.wall
    behind = span.offset
    try:
        for head, payload, offset in read_frames(span.path, span.offset, span.end):
            if is_record(head) and not (head.seq <= span.last and total <= head.total <= span.last_total):
                continue  # it does not belong here: what stands in its place is missing
            joins, behind = offset - head.size == behind, offset
            if not is_record(head):
                _passes(head, payload, span.path, dictionary)
                continue
            if head.seq < seq:
                continue
            if head.seq > seq:
                items.append(Gap((seq, head.seq), (total, head.total), (wall, head.wall_ns), joins))
            seq, total, wall = head.seq + 1, head.total + head.rows, head.wall_ns
            if head.seq >= span.wanted:
                items.append(_stored(head, payload, span.path, log, dictionary))
                count += 1
            if count >= limit or (count and offset - span.offset > _READ_AT_MOST):
                return items
    except FileNotFoundError:
        pass
    if seq <= span.last:
        items.append(Gap((seq, span.last + 1), (total, span.last_total), (wall, wall_to)))
    return items


def _passes(head: FrameHeader, payload: memoryview, path: Path, dictionary: Dictionary) -> None:
    """Remember what records behind it may need."""
    if head.kind == DEFINITION:
        dictionary.passes(head.source, payload)
    elif head.kind == CONTEXT:
        dictionary.contexts.passes(path, head.context, payload)


def _stored(head: FrameHeader, payload: memoryview, path: Path, log: str, dictionary: Dictionary) -> Stored | Gap:
    try:
        return Stored(read_record(head, payload, path, log, dictionary), head.total)
    except ValueError:
        return Gap((head.seq, head.seq + 1), (head.total, head.total + head.rows), (head.wall_ns, head.wall_ns))


def read_record(head: FrameHeader, payload: memoryview, path: Path, log: str, dictionary: Dictionary) -> Record:
    """The record of a frame. Raises ValueError for one that cannot be read: of a kind or codec that this version does not
    know, or not as this gateway writes them."""
    with doubting(ValueError):
        return _record(head, payload, path, log, dictionary)


def _record(head: FrameHeader, payload: memoryview, path: Path, log: str, dictionary: Dictionary) -> Record:
    readings = body = None
    if head.kind == Kind.READINGS:
        if head.codec != columns.CODEC:
            raise ValueError(f"codec {head.codec} is not known")
        definition = dictionary.defined(head.source, path)
        if definition is None:
            raise ValueError(f"source {head.source} is not defined")
        device = definition.device
        if head.context:
            device = device.under(device.context.at(dictionary.contexts.read(head.context, path)))
        readings = columns.decode(payload, head.shape, head.rows, device, bool(head.flags & OWN_TIME))
        if not columns.are_of(readings.tag, device):
            raise ValueError(f"it has rows of tags that {device} has not")
    else:
        body = read_body(Kind(head.kind), bytes(payload))
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


def read_body(kind: Kind, payload: bytes) -> dict[str, Any]:
    """The object of an event, loss, receipt or skip, with what everybody relies on. Raises ValueError."""
    return check_body(kind, parse_json(payload, size=PAYLOAD_AT_MOST))


def check_body(kind: Kind, body: Any) -> dict[str, Any]:
    """The same object, if it is one. Raises ValueError."""
    if not isinstance(body, dict):
        raise ValueError("it is no JSON object")
    if not isinstance(body.get("device", ""), str):
        raise ValueError("its device is no text")
    if kind is Kind.RECEIPT and not (body["device"] and read_context(body["context"])):
        raise ValueError("it is no receipt")
    return body
