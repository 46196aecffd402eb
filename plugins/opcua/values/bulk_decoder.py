"""Data values from their bytes straight into columns: the road of everything that comes in bulk (OPC 10000-6 §5.2.2.17).

A data value begins with a mask of what it holds and, if it holds a value, that value's type; the two bytes fix the length
of all but a few kinds. So one walk finds where every value begins, and a few gathers take times, codes and values out. A
server answers the same question with the same layout mostly, so the places of the last answer are tried first: if the
pairs of bytes there are the same ones, each value ends where the next begins, and the places are proven right.

Texts, arrays, structures and other kinds of no fixed length are decoded one by one by the library, each within its own
bytes: one that it cannot decode costs no other.

An answer is decoded in portions, between which others have their turn.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np
from asyncua import ua
from numpy.typing import NDArray

from gateway.plugin import quality

from .blocks import BAD_NO_DATA, Block, Undecodable, empty_block
from .bounds import Measured, NotUnderstoodError, decoded
from .extent import data_value_end
from .structures import NO_TYPES, Types

HANDLE = 4
"""Bytes of the client handle that stands before each data value of a notification."""

PORTION = 10_000
"""Values that are decoded at a time."""
ODD = 200
"""Those among them, at most, that are left to the library."""
ODD_BYTES = 256 * 1024
"""Bytes of those."""
LARGEST_VALUE = 1024 * 1024
"""Bytes of one value."""
LOGGED = 64
"""Bytes of a value that cannot be decoded which the log shows."""

_VALUE, _STATUS, _SOURCE, _SERVER = 1, 2, 4, 8
_KINDS = {
    1: "?", 2: "i1", 3: "u1", 4: "<i2", 5: "<u2", 6: "<i4", 7: "<u4", 8: "<i8", 9: "<u8", 10: "<f4", 11: "<f8", 19: "<u4",
}  # fmt: skip
"""Built-in types of fixed length that become a float64: number → what numpy calls it."""
_FLOATS = (10, 11)
_PARTS = ((_STATUS, 4), (_SOURCE, 8), (16, 2), (_SERVER, 8), (32, 2))
"""What follows the value, in order: bit of the mask, length. 16 and 32 are picoseconds."""
_UNIX_EPOCH = 116_444_736_000_000_000
"""1970 in the time of OPC UA: units of 100 ns since 1601."""
_LAST = 189_025_920_000_000_000
"""2200. Times outside are none: servers without a clock send the beginning or the end of the calendar."""
_EXACT_INT = 2**53
_CODE = np.uint32(~quality.FLAGS & 0xFFFF_FFFF)

Places = NDArray[np.intp]
Pairs = NDArray[np.uint16]
Rows = NDArray[np.intp] | slice
ALL = slice(None)


def _offset(mask: int, kind: int, part: int) -> int:
    """Where a part begins in a data value with this mask and kind of value; with part 0 where it ends. 0 where that is not
    fixed."""
    if mask >= 64 or (mask & _VALUE and kind not in _KINDS):
        return 0
    at = 2 + np.dtype(_KINDS[kind]).itemsize if mask & _VALUE else 1
    for bit, length in _PARTS:
        if bit == part:
            break
        at += length if mask & bit else 0
    return at


def _offsets(part: int) -> bytes:
    """For each pair of first bytes, taken as a little-endian number."""
    return bytes(_offset(mask, kind, part) for kind in range(256) for mask in range(256))


_LENGTHS = _offsets(0)
_LONGEST = max(_LENGTHS)
_STATUS_AT, _SOURCE_AT, _SERVER_AT = (
    np.frombuffer(_offsets(part), np.uint8).astype(np.intp) for part in (_STATUS, _SOURCE, _SERVER)
)


@dataclass(slots=True)
class AnswerLayout:
    """Where the values of one answer begin."""

    places: Places
    """Counted from the first."""
    pairs: Pairs
    """The first two bytes of each; where there is no value the second is 0."""
    end: int
    kinds: list[tuple[int, Rows]]
    """Type of the value → the rows that have it; 0 for none."""

    def first(self, count: int) -> "AnswerLayout":
        """The layout of the first values."""
        if count == len(self.places):
            return self
        return _layout(self.places[:count], self.pairs[:count], int(self.places[count]))


def _layout(places: Places, pairs: Pairs, end: int) -> AnswerLayout:
    kinds = pairs >> 8
    distinct = np.unique(kinds).tolist()
    if len(distinct) == 1:
        return AnswerLayout(places, pairs, end, [(distinct[0], ALL)])
    return AnswerLayout(places, pairs, end, [(kind, np.flatnonzero(kinds == kind)) for kind in distinct])


class Decoder:
    """Decodes answers to one question, and remembers how the last one was laid out. `data` has one byte more than the answer
    at its end: the first two bytes of each value are looked at, though the last value may have but one."""

    def __init__(self, types: Types = NO_TYPES) -> None:
        self.types = types
        self._last: AnswerLayout | None = None

    def items(self, data: bytes, begin: int, end: int, count: int, now_ns: int) -> tuple[Places, Block, int]:
        """Handles and values of the first of `count` items of a notification, as many as are decoded at a time, and where the
        next one begins. `now_ns` stands in where the server gives no time.

        Raises NotUnderstoodError when where the first one ends cannot be told, or the items do not lie between `begin` and
        `end`.
        """
        block, places, stop = self._decode(data, begin, end, count, now_ns, HANDLE)
        return _window(data, "<u4")[places].astype(np.intp), block, stop

    def values(self, data: bytes, begin: int, end: int, count: int, now_ns: int) -> tuple[Block, int]:
        """The same of the values of a read answer."""
        block, _, stop = self._decode(data, begin, end, count, now_ns, 0)
        return block, stop

    def _decode(
        self, data: bytes, begin: int, end: int, count: int, now_ns: int, lead: int
    ) -> tuple[Block, Places, int]:
        """The values, where each begins, and where the last one ends."""
        if count * (lead + 1) > end - begin:
            raise NotUnderstoodError(f"it has no room for {count} values")
        if count <= 0:
            return empty_block(0), np.empty(0, np.intp), begin
        count = min(count, PORTION)
        layout = self._known(data, begin, end, count, lead)
        odd: dict[int, ua.DataValue | Undecodable] = {}
        if layout is None:
            layout, odd = self._walk(data, begin, end, count, lead)
        block = (
            self._taken_apart(data, layout, odd, begin + lead, now_ns)
            if odd
            else _taken(data, layout, begin + lead, now_ns)
        )
        return block, layout.places + begin, begin + layout.end

    def _known(self, data: bytes, begin: int, end: int, count: int, lead: int) -> AnswerLayout | None:
        """The layout of before, or one where all values are of the first one's kind, if the answer has it."""
        last = self._last
        if last is not None and count <= len(last.places):
            layout = last.first(count)
            if _fits(data, begin, end, layout, lead):
                return layout
        pair = data[begin + lead] | data[begin + lead + 1] << 8
        if not _LENGTHS[pair]:
            return None
        length = lead + _LENGTHS[pair]
        pair = pair if pair & _VALUE else pair & 0xFF
        layout = AnswerLayout(
            np.arange(count) * length, np.full(count, pair, np.uint16), count * length, [(pair >> 8, ALL)]
        )
        if not _fits(data, begin, end, layout, lead):
            return None
        self._last = layout
        return layout

    def _walk(
        self, data: bytes, begin: int, end: int, count: int, lead: int
    ) -> tuple[AnswerLayout, dict[int, ua.DataValue | Undecodable]]:
        """Find where each value begins, one after the other; those of no fixed length are decoded on the way. It ends before
        one whose end cannot be told, and raises NotUnderstoodError where that is the first."""
        at, odd_bytes = begin, 0
        places: list[int] = []
        odd: dict[int, ua.DataValue | Undecodable] = {}
        while len(places) < count:
            at = _pass_fixed(data, at, end, count, lead, places)
            if len(places) == count:
                break
            try:
                stop = data_value_end(data, at + lead, end)
            except NotUnderstoodError:
                if not places:
                    raise
                break
            if not _LENGTHS[data[at + lead] | data[at + lead + 1] << 8]:
                odd[len(places)] = _by_library(data[at + lead : stop])
                odd_bytes += stop - at - lead
            places.append(at)
            at = stop
            if len(odd) >= ODD or odd_bytes >= ODD_BYTES:
                break
        found = np.array(places, np.intp)
        layout = _layout(found - begin, _pairs(data, found + lead), at - begin)
        if not odd and (self._last is None or 2 * len(places) >= len(self._last.places)):
            self._last = layout
        return layout, odd

    def _taken_apart(
        self,
        data: bytes,
        layout: AnswerLayout,
        odd: dict[int, ua.DataValue | Undecodable],
        begin: int,
        now_ns: int,
    ) -> Block:
        """The values of an answer in which the library has decoded some."""
        block = empty_block(len(layout.places))
        for row, value in odd.items():
            block.put(row, value, now_ns, self.types)
        rows = np.setdiff1d(np.arange(len(layout.places)), list(odd))
        if len(rows):
            rest = _taken(data, _layout(layout.places[rows], layout.pairs[rows], layout.end), begin, now_ns)
            block.t_ns[rows], block.value[rows], block.quality[rows] = rest.t_ns, rest.value, rest.quality
            block.exact.update((int(rows[row]), value) for row, value in rest.exact.items())
        return block


def _pass_fixed(data: bytes, at: int, end: int, count: int, lead: int, places: list[int]) -> int:
    """Add the places of values of fixed length, until there are `count`, or one comes that is none, or that may reach beyond
    the end. Where that one begins. This is what a message costs whose layout is new, so it looks at nothing twice."""
    lengths, found = _LENGTHS, places.append
    last = end - lead - _LONGEST
    for _ in range(count - len(places)):
        if at > last:
            break
        start = at + lead
        length = lengths[data[start] | data[start + 1] << 8]
        if not length:
            break
        found(at)
        at = start + length
    return at


def _by_library(data: bytes) -> ua.DataValue | Undecodable:
    # no error is kept, whose traceback would keep the bytes
    if len(data) > LARGEST_VALUE:
        return Undecodable(f"it has {len(data)} bytes; up to {LARGEST_VALUE} are taken", data[:LOGGED])
    try:
        return decoded(ua.DataValue, Measured(data))
    except NotUnderstoodError as error:
        return Undecodable(str(error), data[:LOGGED])


def _window(data: bytes, kind: str) -> NDArray[Any]:
    """What stands at each byte, taken as `kind`."""
    size = np.dtype(kind).itemsize
    return np.ndarray((max(0, len(data) - size + 1),), kind, data, strides=(1,))


def _pairs(data: bytes, places: Places) -> Pairs:
    pairs: Pairs = _window(data, "<u2")[places]
    return np.where(pairs & _VALUE, pairs, pairs & 0xFF)


def _fits(data: bytes, begin: int, end: int, layout: AnswerLayout, lead: int) -> bool:
    """Whether each value of the answer begins as in the layout: then each ends where the next begins."""
    if begin + layout.end > end or begin + layout.end >= len(data):
        return False
    return np.array_equal(_pairs(data, layout.places + (begin + lead)), layout.pairs)


def _taken(data: bytes, layout: AnswerLayout, begin: int, now_ns: int) -> Block:
    """Values of fixed length; `begin` is where the first one's mask stands."""
    places = layout.places + begin
    masks = layout.pairs & np.uint16(0xFF)
    codes = _codes(data, places, layout.pairs, masks)
    block = Block(_times(data, places, layout.pairs, masks, now_ns), np.empty(len(places)), codes, {}, {})
    for kind, rows in layout.kinds:
        if kind:
            raw = _window(data, _KINDS[kind])[places[rows] + 2]
            block.value[rows] = raw
            if raw.dtype.itemsize == 8 and kind not in _FLOATS:
                _keep_wide(block, rows, raw)
        else:
            block.value[rows] = np.nan
            codes[rows] = np.where(codes[rows] < quality.BAD, np.uint32(BAD_NO_DATA), codes[rows])
    bad = codes >= quality.BAD
    if bad.any():
        block.value[bad] = np.nan
    missing = np.isnan(block.value) & ~bad
    if missing.any():
        missing[list(block.exact)] = False
        codes[missing] = quality.BAD_SENSOR_FAILURE
    codes &= _CODE
    return block


def _codes(data: bytes, places: Places, pairs: Pairs, masks: Pairs) -> NDArray[np.uint32]:
    codes = np.zeros(len(places), np.uint32)
    told = np.flatnonzero(masks & _STATUS)
    if len(told):
        codes[told] = _window(data, "<u4")[places[told] + _STATUS_AT[pairs[told]]]
    return codes


def _times(data: bytes, places: Places, pairs: Pairs, masks: Pairs, now_ns: int) -> NDArray[np.int64]:
    """Source time, else the server's, else now; ns since 1970."""
    times = np.full(len(places), now_ns)
    missing: Places = np.arange(len(places))
    for bit, offsets in ((_SOURCE, _SOURCE_AT), (_SERVER, _SERVER_AT)):
        told = missing[(masks[missing] & bit) != 0]
        found = _window(data, "<i8")[places[told] + offsets[pairs[told]]]
        valid = (found >= _UNIX_EPOCH) & (found < _LAST)
        if len(told) == len(times) and valid.all():  # as nearly always
            np.multiply(found - _UNIX_EPOCH, 100, out=times)
            return times
        times[told[valid]] = (found[valid] - _UNIX_EPOCH) * 100
        missing = np.setdiff1d(missing, told[valid])
    return times


def _keep_wide(block: Block, rows: Rows, raw: NDArray[Any]) -> None:
    """Integers that a float64 does not hold, unless they are bad."""
    wide = (raw > _EXACT_INT) | (raw < -_EXACT_INT) if raw.dtype.kind == "i" else raw > _EXACT_INT
    wide &= block.quality[rows] < quality.BAD
    if wide.any():
        numbers = np.arange(len(block.value))[rows][wide]
        block.exact.update(zip(numbers.tolist(), raw[wide].tolist(), strict=True))
        block.value[numbers] = np.nan
