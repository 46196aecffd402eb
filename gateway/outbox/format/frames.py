"""How a record stands in a segment file: a header of 72 bytes with a CRC over itself and the payload behind it.

All numbers are little-endian. The same frame carries what the log needs for itself: the definitions of tags, and the
footer of a finished segment.
"""

import struct
import zlib
from collections.abc import Iterator
from typing import NamedTuple

from gateway.core.clock import ClockState
from gateway.core.record import Kind, Lane

MAGIC = 0x31_57_47_45
MAGIC_BYTES = MAGIC.to_bytes(4, "little")

DEFINITION = 128
"""Kind of a frame that defines a source: a device with its tags. It has no number."""
FOOTER = 129
"""Kind of the last frame of a finished segment."""
CONTEXT = 130
"""Kind of a frame that says what devices work for (`contexts.py`). It has no number, and is the one that records name."""
CONTEXTS_AT_MOST = (1 << 24) - 1
"""The greatest number of a context."""

JSON = 0
"""Codec of events, losses, receipts and skips; readings have `columns.CODEC`."""
ZLIB_JSON = 2
"""Codec of definitions."""

PAYLOAD_AT_MOST = 64 * 1024 * 1024
"""Bytes; what claims to have more is no frame, and what would have more is not accepted."""
ROWS_AT_MOST = 0xFFFF
"""Readings of one record; the index of receipts counts in uint16."""
FARTHEST = 1 << 62
"""Numbers and running counts stay below it."""
_LONGEST_BOOT = 1 << 60
"""Nanoseconds that a machine runs between two boots: 36 years."""
_LAST_KIND = max(Kind)

CLOCK = 0b11
"""Bits of `FrameHeader.flags`: the ClockState at acceptance."""
OWN_TIME = 0b100
"""Bit of `FrameHeader.flags`: see `Readings.own_time`."""
_UPPER = 8
"""Where the upper 8 bits of a context's number begin in `FrameHeader.flags`; the lower 16 are a field of their own."""

_BODY = struct.Struct("<IIQQqqIIIIIBBBBHH")
_CRC = struct.Struct("<I")
_HEAD = struct.Struct("<IIQQqqIIIIIBBBBHHI")
HEAD_SIZE = _HEAD.size


class FrameHeader(NamedTuple):
    """The header, in the order in which it stands on disk."""

    magic: int
    length: int
    """Bytes of payload."""
    seq: int
    total: int
    """Readings of this lane in all records before this one; what makes any gap countable."""
    wall_ns: int
    boot_ns: int
    rows: int
    boot: int
    epoch: int
    config: int
    source: int
    """Which definition the payload refers to."""
    lane: int
    kind: int
    codec: int
    shape: int
    """The codec's own flags."""
    flags: int
    """Of the record: CLOCK, OWN_TIME; and the upper bits of `context`."""
    context_low: int
    crc: int

    @property
    def size(self) -> int:
        """Bytes of the whole frame."""
        return HEAD_SIZE + self.length

    @property
    def context(self) -> int:
        """Which context frame of its segment says what the device worked for; 0: nothing was said."""
        return self.flags >> _UPPER << 16 | self.context_low


class Stamp(NamedTuple):
    """When, and under which configuration, a record was accepted."""

    wall_ns: int
    boot_ns: int
    boot: int
    epoch: int
    config: int
    clock: ClockState


NO_STAMP = Stamp(0, 0, 0, 0, 0, ClockState.UNKNOWN)


def frame(
    lane: Lane,
    kind: int,
    payload: bytes,
    *,
    seq: int = 0,
    total: int = 0,
    rows: int = 0,
    source: int = 0,
    codec: int = JSON,
    shape: int = 0,
    own_time: bool = False,
    context: int = 0,
    stamp: Stamp = NO_STAMP,
) -> bytes:
    """The bytes of one record."""
    wall_ns, boot_ns, boot, epoch, config, clock = stamp
    body = _BODY.pack(
        MAGIC,
        len(payload),
        seq,
        total,
        wall_ns,
        boot_ns,
        rows,
        boot,
        epoch,
        config,
        source,
        lane,
        kind,
        codec,
        shape,
        (clock | OWN_TIME if own_time else clock) | context >> 16 << _UPPER,
        context & 0xFFFF,
    )
    return b"".join((body, _CRC.pack(zlib.crc32(payload, zlib.crc32(body))), payload))


def peek(data: bytes, at: int) -> FrameHeader | None:
    """The header at this place, its CRC not looked at. None if none stands here."""
    if len(data) - at < HEAD_SIZE:
        return None
    head = FrameHeader._make(_HEAD.unpack_from(data, at))
    return head if head.magic == MAGIC and head.length <= PAYLOAD_AT_MOST else None


def is_whole(data: bytes, at: int, head: FrameHeader) -> bool:
    """Whether header and payload at this place are what was written."""
    end = at + head.size
    if end > len(data):
        return False
    view = memoryview(data)
    body = _BODY.size
    return zlib.crc32(view[at + HEAD_SIZE : end], zlib.crc32(view[at : at + body])) == head.crc


def next_magic(data: bytes, at: int) -> int:
    """The next place after `at` where a frame might start, even one of which `data` has only the first bytes."""
    found = data.find(MAGIC_BYTES, at + 1)
    return found if found >= 0 else max(at + 1, len(data) - len(MAGIC_BYTES) + 1)


def is_sound(head: FrameHeader) -> bool:
    """Whether the numbers of a whole frame can be this gateway's; a CRC only tells that they stand there as they were
    written."""
    if head.kind > _LAST_KIND:
        return True
    return (
        0 < head.seq < FARTHEST
        and head.total < FARTHEST
        and 0 < head.rows <= ROWS_AT_MOST
        and head.lane < len(Lane)
        and 0 <= head.boot_ns < _LONGEST_BOOT
    )


def scan(data: bytes, at: int = 0) -> Iterator[tuple[int, FrameHeader]]:
    """Every whole and sound frame with its place, damage leapt over."""
    while at < len(data):
        head = peek(data, at)
        if head is not None and is_whole(data, at, head):
            if is_sound(head):
                yield at, head
            at += head.size
        else:
            at = next_magic(data, at)


def is_record(head: FrameHeader) -> bool:
    """Whether the frame is a record, and none of the log's own frames."""
    return head.kind <= _LAST_KIND
