"""Decodes what one scan brought, all blocks at once: a few numpy calls whatever the number of tags."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from gateway.plugin import Exact

from .codec import FORMATS, TEXTS, decode_text, registers_of, size_of, wire_positions

_SAFE = 1 << 53
"""Beyond this a float64 does not hold every integer."""


@dataclass(frozen=True, slots=True)
class Place:
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


@dataclass(slots=True)
class Decoded:
    """What came of the payloads."""

    value: NDArray[np.float64]
    """One per row, NaN where nothing was decoded. Not writeable, so that it can be given again."""

    exact: dict[int, Exact] = field(default_factory=dict)
    """Row → value, for texts and for integers that a float64 cannot hold."""

    senseless: list[int] = field(default_factory=list)
    """Rows whose bytes are no value of their type."""


class Decoder:
    """Turns payloads into one value per row. Made once for each plan."""

    def __init__(self, rows: int, places: Sequence[Place]) -> None:
        self._blank = np.full(rows, np.nan)
        self._texts = [place for place in places if place.type in TEXTS]
        self._bits = _Bits([place for place in places if place.type == "bool" or place.width])
        gather: list[int] = []
        self._groups: list[tuple[str, slice, slice | NDArray[np.intp]]] = []
        numbers = [place for place in places if place.type in FORMATS and not place.width]
        for type_ in sorted({place.type for place in numbers}, key=size_of, reverse=True):
            group = [place for place in numbers if place.type == type_]
            begin = len(gather)
            for place in group:
                gather += [place.byte + at for at in wire_positions(type_, place.order)]
            self._groups.append((type_, slice(begin, len(gather)), _index([place.row for place in group])))
        self._gather = np.array(gather, np.intp)

    def decode(self, payload: bytes) -> Decoded:
        """One value per row, from the joined payloads of the blocks."""
        raw = np.frombuffer(payload, np.uint8)
        found = Decoded(self._blank.copy())
        if len(self._bits.rows):
            found.value[self._bits.rows] = self._bits.decode(raw)
        ordered = raw[self._gather]
        with np.errstate(invalid="ignore"):  # widening a signalling NaN warns
            for type_, part, rows in self._groups:
                self._numbers(found, type_, ordered[part].view(FORMATS[type_]), rows)
        for place in self._texts:
            _text(found, place, payload)
        if found.exact:
            found.value[list(found.exact)] = np.nan
        found.value.flags.writeable = False
        return found

    def _numbers(self, found: Decoded, type_: str, column: NDArray[np.generic], rows: slice | NDArray[np.intp]) -> None:
        senseless: NDArray[np.bool_] | None = None
        if type_.startswith("bcd"):
            column, senseless = _from_bcd(column)
        found.value[rows] = column
        if size_of(type_) == 8 and type_ != "float64":
            found.exact |= _large(column, np.arange(len(found.value))[rows])
        if senseless is not None and senseless.any():
            wrong = np.arange(len(found.value))[rows][senseless].tolist()
            found.value[wrong] = np.nan
            found.exact = {row: value for row, value in found.exact.items() if row not in wrong}
            found.senseless += wrong


class _Bits:
    """Single bits and groups of bits: each from two bytes."""

    def __init__(self, places: Sequence[Place]) -> None:
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


def _text(found: Decoded, place: Place, payload: bytes) -> None:
    wire = payload[place.byte : place.byte + 2 * registers_of(place.type, place.length, place.order)]
    try:
        found.exact[place.row] = decode_text(wire, place.type, place.length, place.order, place.encoding)
    except ValueError:
        found.senseless.append(place.row)


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
