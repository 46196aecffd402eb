"""Decodes what one scan brought, all blocks at once: a few numpy calls whatever the number of tags."""

from collections.abc import Callable, Mapping, Sequence
from contextvars import copy_context
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from gateway.kit.registers import BYTE_FORMATS, TEXTS, decode_text, registers_of, size_of, wire_positions
from gateway.plugin import Exact

_SAFE = 1 << 53
"""Beyond this a float64 does not hold every integer."""


@dataclass(frozen=True, slots=True)
class ValuePlace:
    """Where a tag's value stands in the joined payloads."""

    row: int
    byte: int
    type: str
    order: str = ""
    bit: int = 0
    """For bits: the lowest one, of the byte for type bool, else of the register at `byte`."""

    width: int = 0
    """For bits of a register: how many."""

    length: int = 0
    """For texts: how many characters."""

    encoding: str = ""
    absent: tuple[float, ...] = ()
    """For numbers: what means that the device has none."""

    decode: Callable[[bytes], Exact | float] | None = None
    """For all other values, such as a date: makes the value of `length` bytes, or raises ValueError."""


@dataclass(slots=True)
class DecodedBlocks:
    """What came of the payloads."""

    value: NDArray[np.float64]
    """One per row, NaN where nothing was decoded. Not writeable, so that it can be given again."""

    exact: dict[int, Exact] = field(default_factory=dict)
    """Row → value, for texts and for integers that a float64 cannot hold."""

    senseless: list[int] = field(default_factory=list)
    """Rows whose bytes are no value of their type."""

    absent: list[int] = field(default_factory=list)
    """Rows for which the device says that it has no value."""


class _Numbers:
    """Numbers of one type. Where they stand one behind the other, most significant byte first, as in most devices, they are
    taken as they are; else their bytes are put in order first."""

    def __init__(self, type_: str, places: Sequence[ValuePlace]) -> None:
        size = size_of(type_)
        self.rows = _index([place.row for place in places])
        self.bcd = type_.startswith("bcd")
        self.large = size == 8 and type_ != "float64"
        self._format = np.dtype(BYTE_FORMATS[type_])
        self._count = len(places)
        self.absent = [
            (number, np.array([number in place.absent for place in places]))
            for number in sorted({number for place in places for number in place.absent})
        ]
        self._first = places[0].byte
        begins = np.array([[place.byte] for place in places], np.intp)
        gather = begins + np.array([wire_positions(type_, place.order) for place in places], np.intp)
        plain = self._first + size * np.arange(self._count)[:, None] + np.arange(size)[::-1]
        self._gather = None
        if np.array_equal(gather, plain):
            self._format = self._format.newbyteorder(">")
        else:
            self._gather = gather.ravel()

    def column(self, payload: bytes) -> NDArray[Any]:
        """One number per place, in the type's own format."""
        if self._gather is None:
            return np.frombuffer(payload, self._format, self._count, self._first)
        return np.frombuffer(payload, np.uint8)[self._gather].view(self._format)


class BlockDecoder:
    """Turns payloads into one value per row. Made once for each plan."""

    def __init__(self, rows: int, places: Sequence[ValuePlace]) -> None:
        self._blank = np.full(rows, np.nan)
        self._texts = [place for place in places if place.type in TEXTS and place.decode is None]
        self._others = [(place, place.decode) for place in places if place.decode is not None]
        bits = [place for place in places if place.type == "bool" or place.width]
        self._bits = _Bits(bits) if bits else None
        by_type: dict[str, list[ValuePlace]] = {}
        for place in places:
            if place.type in BYTE_FORMATS and not place.width and place.decode is None:
                by_type.setdefault(place.type, []).append(place)
        self._numbers = [_Numbers(type_, group) for type_, group in by_type.items()]
        self._unwarned = copy_context()
        """Where widening a signalling NaN does not warn; to enter it costs a tenth of what np.errstate does."""
        self._unwarned.run(np.seterr, invalid="ignore")

    def decode(self, payload: bytes) -> DecodedBlocks:
        """One value per row, from the joined payloads of the blocks."""
        found = DecodedBlocks(self._blank.copy())
        if self._bits:
            found.value[self._bits.rows] = self._bits.decode(np.frombuffer(payload, np.uint8))
        self._unwarned.run(self._decode_numbers, found, payload)
        for place in self._texts:
            _text(found, place, payload)
        for place, decode in self._others:
            _other(found, place, decode, payload)
        if found.exact or found.senseless or found.absent:
            none = {*found.senseless, *found.absent}
            found.exact = {row: value for row, value in found.exact.items() if row not in none}
            found.value[[*found.exact, *none]] = np.nan
        found.value.setflags(write=False)
        return found

    def _decode_numbers(self, found: DecodedBlocks, payload: bytes) -> None:
        for numbers in self._numbers:
            column = numbers.column(payload)
            if numbers.bcd:
                column, senseless = _from_bcd(column)
                found.senseless += self._rows_of(numbers)[senseless].tolist()
            for number, meant in numbers.absent:
                found.absent += self._rows_of(numbers)[meant & (column == number)].tolist()
            found.value[numbers.rows] = column
            if numbers.large:
                found.exact |= _large(column, self._rows_of(numbers))

    def _rows_of(self, numbers: _Numbers) -> NDArray[np.intp]:
        return np.arange(len(self._blank))[numbers.rows]


class _Bits:
    """Single bits and groups of bits: each from two bytes."""

    def __init__(self, places: Sequence[ValuePlace]) -> None:
        self.rows = np.array([place.row for place in places], np.intp)
        # A single bit stands in its byte alone; the high byte is then read too, and masked away.
        wide = np.array([place.width > 0 for place in places], np.bool_)
        bytes_ = np.array([place.byte for place in places], np.intp)
        self._high, self._low = bytes_, bytes_ + wide
        self._shifts = np.array([place.bit for place in places], np.uint16)
        widths = np.array([max(1, place.width) for place in places], np.int64)
        self._masks = ((1 << widths) - 1).astype(np.uint16)
        signed = np.array([place.type.startswith("int") for place in places], np.bool_)
        self._signs = np.where(signed, 1 << (widths - 1), 1 << 16).astype(np.int64)
        self._spans = 1 << widths

    def decode(self, raw: NDArray[np.uint8]) -> NDArray[np.int64]:
        """One number per place."""
        registers = raw[self._high].astype(np.uint16) << np.uint16(8) | raw[self._low]
        value = (registers >> self._shifts & self._masks).astype(np.int64)
        return value - np.where(value >= self._signs, self._spans, 0)


def _text(found: DecodedBlocks, place: ValuePlace, payload: bytes) -> None:
    wire = payload[place.byte : place.byte + 2 * registers_of(place.type, place.length, place.order)]
    try:
        found.exact[place.row] = decode_text(wire, place.type, place.length, place.order, place.encoding)
    except ValueError:
        found.senseless.append(place.row)


def _other(found: DecodedBlocks, place: ValuePlace, decode: Callable[[bytes], Exact | float], payload: bytes) -> None:
    try:
        value = decode(payload[place.byte : place.byte + place.length])
    except ValueError:
        found.senseless.append(place.row)
        return
    if isinstance(value, int | float):
        found.value[place.row] = value
    else:
        found.exact[place.row] = value


def _from_bcd(column: NDArray[np.generic]) -> tuple[NDArray[np.generic], NDArray[np.bool_]]:
    """The numbers, and which of them have a digit above 9."""
    rest = column.astype(np.uint64)
    value = np.zeros(len(rest), np.uint64)
    senseless = np.zeros(len(rest), np.bool_)
    for place in range(2 * column.dtype.itemsize):
        digit = rest >> np.uint64(4 * place) & np.uint64(15)
        senseless |= digit > 9
        value += digit * np.uint64(10**place)
    return value, senseless


def _index(rows: list[int]) -> slice | NDArray[np.intp]:
    """A slice where the rows follow each other, which is faster."""
    if rows == list(range(rows[0], rows[0] + len(rows))):
        return slice(rows[0], rows[0] + len(rows))
    return np.array(rows, np.intp)


def _large(column: NDArray[Any], rows: NDArray[np.intp]) -> Mapping[int, int]:
    large = np.flatnonzero((column > _SAFE) | (column < -_SAFE) if column.dtype.kind == "i" else column > _SAFE)
    return {int(rows[at]): int(column[at]) for at in large}
