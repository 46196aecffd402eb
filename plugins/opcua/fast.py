"""Data values from their bytes straight into columns: the road of everything that comes in bulk (OPC 10000-6 §5.2.2.17).

A data value begins with a mask of what it holds and, if it holds a value, that value's type; the two bytes fix the length
of all but a few kinds. So one walk finds where every value begins, and one gather for each pair of bytes takes them all
out. A server answers the same question with the same layout mostly, so the places of the last answer are tried first: if
the pairs of bytes there are the same ones, each value ends where the next begins, and the places are proven right.

Texts, arrays, structures and other kinds of no fixed length are decoded one by one by the library.
"""

from dataclasses import dataclass
from functools import cache
from typing import Any

import numpy as np
from asyncua import ua
from asyncua.common.utils import Buffer
from asyncua.ua.ua_binary import struct_from_binary
from numpy.typing import NDArray

from gateway.plugin import quality

from .decode import BAD_NO_DATA, Block, empty_block

HANDLE = 4
"""Bytes of the client handle that stands before each data value of a notification."""

_VALUE = 1
_KINDS = {
    1: "?", 2: "i1", 3: "u1", 4: "<i2", 5: "<u2", 6: "<i4", 7: "<u4", 8: "<i8", 9: "<u8", 10: "<f4", 11: "<f8", 19: "<u4",
}  # fmt: skip
"""Built-in types of fixed length that become a float64: number → what numpy calls it."""
_PARTS = (
    (2, "status", "<u4"),
    (4, "source", "<i8"),
    (16, "pico", "<u2"),
    (8, "server", "<i8"),
    (32, "server_pico", "<u2"),
)
"""What follows the value: bit of the mask, name, type."""
_UNIX_EPOCH = 116_444_736_000_000_000
"""1970 in the time of OPC UA: units of 100 ns since 1601."""
_LAST = 189_025_920_000_000_000
"""2200. Times outside are none: servers without a clock send the beginning or the end of the calendar."""
_EXACT_INT = 2**53

Rows = NDArray[np.intp] | slice


class UnexpectedLayoutError(Exception):
    """The bytes are not as they should be; the library may know better."""


def _length(mask: int, kind: int) -> int:
    """Length of a data value with this mask and kind of value; 0 where they do not fix it."""
    if mask >= 64 or (mask & _VALUE and kind not in _KINDS):
        return 0
    value = 1 + np.dtype(_KINDS[kind]).itemsize if mask & _VALUE else 0
    return 1 + value + sum(np.dtype(code).itemsize for bit, _, code in _PARTS if mask & bit)


_LENGTHS = bytes(_length(mask, kind) for kind in range(256) for mask in range(256))
"""Length for each pair of first bytes, taken as a little-endian number."""


@cache
def _layout_of(pair: int, lead: int) -> np.dtype[np.void]:
    """What a data value with this pair of first bytes holds, and where."""
    mask, kind = pair & 0xFF, pair >> 8
    fields = [("lead", f"V{lead}")] if lead else []
    fields.append(("mask", "u1"))
    if mask & _VALUE:
        fields += [("kind", "u1"), ("value", _KINDS[kind])]
    return np.dtype(fields + [(name, code) for bit, name, code in _PARTS if mask & bit])


@dataclass(slots=True)
class Layout:
    """Where the values of one answer begin, counted from the first."""

    places: NDArray[np.intp]
    pairs: NDArray[np.uint16]
    """The first two bytes of each; where there is no value the second is 0."""
    end: int
    groups: list[tuple[int, Rows]]
    """Pair → the rows that begin with it."""

    def first(self, count: int) -> "Layout":
        """The layout of the first values."""
        if count == len(self.places):
            return self
        return _layout(self.places[:count], self.pairs[:count], int(self.places[count]))


def _layout(places: NDArray[np.intp], pairs: NDArray[np.uint16], end: int) -> Layout:
    distinct = np.unique(pairs).tolist()
    if len(distinct) == 1:
        return Layout(places, pairs, end, [(distinct[0], slice(None))])
    return Layout(places, pairs, end, [(pair, np.flatnonzero(pairs == pair)) for pair in distinct])


class Decoder:
    """Decodes answers to one question, and remembers how the last one was laid out."""

    def __init__(self) -> None:
        self._last: Layout | None = None

    def items(self, data: bytes, begin: int, end: int, count: int, now_ns: int) -> tuple[NDArray[np.intp], Block]:
        """Handles and values of the `count` items of a notification. `now_ns` stands in where the server gives no time.

        Raises UnexpectedLayoutError, IndexError, or what the library raises, when they do not lie between `begin` and `end`.
        """
        block, places = self._decode(data, begin, end, count, now_ns, HANDLE)
        return _window(data, np.dtype("<u4"))[places].astype(np.intp), block

    def values(self, data: bytes, begin: int, count: int, now_ns: int) -> Block:
        """The `count` values of a read answer. Raises as `items` does."""
        return self._decode(data, begin, len(data), count, now_ns, 0)[0]

    def _decode(
        self, data: bytes, begin: int, end: int, count: int, now_ns: int, lead: int
    ) -> tuple[Block, NDArray[np.intp]]:
        """The values, and where each begins."""
        if count * (lead + 1) > end - begin:
            raise UnexpectedLayoutError
        block = empty_block(count)
        if not count:
            return block, np.empty(0, np.intp)
        layout = self._known(data, begin, end, count, lead) or self._walk(data, begin, end, count, lead, block, now_ns)
        places = layout.places + begin
        for pair, rows in layout.groups:
            if _LENGTHS[pair]:
                _fill(block, rows, _window(data, _layout_of(pair, lead))[places[rows]], now_ns)
        return block, places

    def _known(self, data: bytes, begin: int, end: int, count: int, lead: int) -> Layout | None:
        """The layout of before, or one where all values are of the first one's kind, if the answer has it."""
        last = self._last
        if last is not None and count <= len(last.places):
            layout = last.first(count)
            if _fits(data, begin, end, layout, lead):
                return layout
        pair = _pair(data, begin + lead)
        if not _LENGTHS[pair]:
            return None
        length = lead + _LENGTHS[pair]
        layout = Layout(
            np.arange(count) * length, np.full(count, pair, np.uint16), count * length, [(pair, slice(None))]
        )
        if not _fits(data, begin, end, layout, lead):
            return None
        self._last = layout
        return layout

    def _walk(self, data: bytes, begin: int, end: int, count: int, lead: int, block: Block, now_ns: int) -> Layout:
        """Find where each value begins, one after the other; those of no fixed length are decoded at once."""
        at = begin
        places: list[int] = []
        pairs: list[int] = []
        odd = False
        for row in range(count):
            pair = data[at + lead] | data[at + lead + 1] << 8
            length = _LENGTHS[pair]
            places.append(at - begin)
            pairs.append(pair if pair & _VALUE else pair & 0xFF)
            if length:
                at += lead + length
            else:
                odd = True
                rest = Buffer(data, at + lead, end - at - lead)
                block.put(row, struct_from_binary(ua.DataValue, rest), now_ns)
                at = rest.cur_pos
        if at > end:
            raise UnexpectedLayoutError
        layout = _layout(np.array(places, np.intp), np.array(pairs, np.uint16), at - begin)
        if not odd and (self._last is None or 2 * count >= len(self._last.places)):
            self._last = layout
        return layout


def _window(data: bytes, kind: np.dtype[Any]) -> NDArray[Any]:
    """What stands at each byte, taken as `kind`."""
    return np.ndarray((max(0, len(data) - kind.itemsize + 1),), kind, data, strides=(1,))


def _pair(data: bytes, at: int) -> int:
    pair = data[at] | data[at + 1] << 8
    return pair if pair & _VALUE else pair & 0xFF


def _fits(data: bytes, begin: int, end: int, layout: Layout, lead: int) -> bool:
    """Whether each value of the answer begins as in the layout: then each ends where the next begins."""
    if begin + layout.end > end or begin + layout.end >= len(data):
        return False
    pairs = _window(data, np.dtype("<u2"))[layout.places + (begin + lead)]
    pairs = np.where(pairs & _VALUE, pairs, pairs & 0xFF)
    return bool((pairs == layout.pairs).all())


def _fill(block: Block, rows: Rows, part: NDArray[Any], now_ns: int) -> None:
    """Rows whose values are laid out alike."""
    names = part.dtype.names or ()
    codes = part["status"] if "status" in names else np.zeros(len(part), np.uint32)
    block.t_ns[rows] = _times(part, names, now_ns)
    if "value" not in names:
        block.quality[rows] = np.where(codes < quality.BAD, np.uint32(BAD_NO_DATA), codes) & _CODE
        return
    raw = part["value"]
    values = raw.astype(np.float64)
    if raw.dtype.itemsize == 8 and raw.dtype.kind in "iu":
        _keep_wide(block, rows, raw, codes, values)
    elif raw.dtype.kind == "f":
        codes = np.where(np.isnan(values) & (codes < quality.BAD), np.uint32(quality.BAD_SENSOR_FAILURE), codes)
    if codes.any():
        values[codes >= quality.BAD] = np.nan
    block.value[rows] = values
    block.quality[rows] = codes & _CODE


_CODE = np.uint32(~quality.FLAGS & 0xFFFF_FFFF)


def _keep_wide(
    block: Block, rows: Rows, raw: NDArray[Any], codes: NDArray[np.uint32], values: NDArray[np.float64]
) -> None:
    """Integers that a float64 does not hold."""
    wide = raw > _EXACT_INT
    if raw.dtype.kind == "i":
        wide |= raw < -_EXACT_INT
    wide &= codes < quality.BAD
    if not wide.any():
        return
    values[wide] = np.nan
    numbers = np.arange(len(block.value))[rows][wide]
    block.exact.update(zip(numbers.tolist(), raw[wide].tolist(), strict=True))


def _times(part: NDArray[Any], names: tuple[str, ...], now_ns: int) -> NDArray[np.int64] | int:
    """Source time, else the server's, else now; ns since 1970."""
    times: NDArray[np.int64] | int = now_ns
    for name in ("server", "source"):
        if name in names:
            told = part[name]
            valid = (told >= _UNIX_EPOCH) & (told < _LAST)
            ticks = (told - _UNIX_EPOCH) * 100
            times = ticks if valid.all() else np.where(valid, ticks, times)
    return times
