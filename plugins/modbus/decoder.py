"""Decodes what one scan brought, all blocks at once: a few numpy calls whatever the number of tags."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from .codec import FORMATS, size_of, wire_positions

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
    """For type bool: bit of the byte, 0 the least significant."""


class Decoder:
    """Turns payloads into one value per row. Made once for each plan."""

    def __init__(self, rows: int, places: Sequence[Place]) -> None:
        self._blank = np.full(rows, np.nan)
        bits = [place for place in places if place.type == "bool"]
        self._bit_rows = np.array([place.row for place in bits], np.intp)
        self._bit_bytes = np.array([place.byte for place in bits], np.intp)
        self._bit_shifts = np.array([place.bit for place in bits], np.uint8)
        gather: list[int] = []
        self._groups: list[tuple[str, slice, slice | NDArray[np.intp]]] = []
        for type_ in sorted({place.type for place in places} - {"bool"}, key=size_of, reverse=True):
            group = [place for place in places if place.type == type_]
            begin = len(gather)
            for place in group:
                gather += [place.byte + at for at in wire_positions(type_, place.order)]
            self._groups.append((type_, slice(begin, len(gather)), _index([place.row for place in group])))
        self._gather = np.array(gather, np.intp)

    def decode(self, payload: bytes) -> tuple[NDArray[np.float64], Mapping[int, int]]:
        """float64[rows], NaN where no place says otherwise, and row → value for integers that a float64 cannot hold.
        The array is not writeable, so that it can be given again."""
        raw = np.frombuffer(payload, np.uint8)
        value = self._blank.copy()
        exact: dict[int, int] = {}
        if len(self._bit_rows):
            value[self._bit_rows] = (raw[self._bit_bytes] >> self._bit_shifts) & 1
        ordered = raw[self._gather]
        with np.errstate(invalid="ignore"):  # widening a signalling NaN warns
            for type_, part, rows in self._groups:
                column = ordered[part].view(FORMATS[type_])
                value[rows] = column
                if type_ in ("int64", "uint64"):
                    exact |= _large(column, np.arange(len(value))[rows])
        if exact:
            value[list(exact)] = np.nan
        value.flags.writeable = False
        return value, exact


def _index(rows: list[int]) -> slice | NDArray[np.intp]:
    """A slice where the rows follow each other, which is faster."""
    if rows == list(range(rows[0], rows[0] + len(rows))):
        return slice(rows[0], rows[0] + len(rows))
    return np.array(rows, np.intp)


def _large(column: NDArray[np.int64], rows: NDArray[np.intp]) -> Mapping[int, int]:
    large = np.flatnonzero((column > _SAFE) | (column < -_SAFE) if column.dtype.kind == "i" else column > _SAFE)
    return {int(rows[at]): int(column[at]) for at in large}
