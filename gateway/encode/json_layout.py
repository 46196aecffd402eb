"""Columns to JSON: how the rows of one sequence of tags are printed, planned once and used for every block.

A column is printed by one call into orjson and cut at its commas, so that no Python object is made per value but the
bytes that JSON needs anyway.
"""

from collections.abc import Callable, Sequence
from operator import itemgetter
from typing import Any

import numpy as np
import orjson
from numpy.typing import NDArray

from gateway.core.readings import Readings, samples
from gateway.core.tag import FITS_FLOAT32, Tag
from gateway.encode.json_value import exact_json

Pieces = list[bytes]
Column = NDArray[np.float64]


class _Truth(dict[bytes, bytes]):
    def __missing__(self, number: bytes) -> bytes:
        return b"true"


_TRUTH = _Truth({b"0.0": b"false", b"-0.0": b"false", b"null": b"null"})


def _numbers(column: NDArray[Any]) -> bytes:
    """Comma-separated JSON numbers; null for NaN and infinities, which JSON has not."""
    return orjson.dumps(column, option=orjson.OPT_SERIALIZE_NUMPY)[1:-1]


def _float64(column: Column) -> Pieces:
    return _numbers(column.copy()).split(b",")  # copied because a column read from disk may not be aligned


def _float32(column: NDArray[np.float32]) -> Pieces:
    """With the digits that a float32 has: 21.3, not 21.299999237060547."""
    return _numbers(column).split(b",")


def _integer(column: Column) -> Pieces:
    """Without -0, which some readers of JSON take for another number than 0."""
    return (_numbers(column + 0.0) + b",").replace(b".0,", b",")[:-1].split(b",")


def _bool(column: Column) -> Pieces:
    return list(map(_TRUTH.__getitem__, _float64(column)))


Printer = Callable[[NDArray[Any]], Pieces]

_PRINTERS: dict[str, Printer] = {
    "float32": _float32,
    "bool": _bool,
    **dict.fromkeys(("int8", "uint8", "int16", "uint16", "int32", "uint32", "int64", "uint64"), _integer),
}


class Layout:
    """The JSON of blocks whose rows belong to these tags, in this order."""

    def __init__(self, tags: Sequence[Tag]) -> None:
        self.samples = samples(tag.id for tag in tags)
        self.form = b',"f32":true' if FITS_FLOAT32.issuperset(tag.type for tag in tags) else b""
        """Whether all numbers fit a float32, as a member of the object: receipts hash them as such."""
        self._template: list[bytes] = [part for tag in tags for part in (b",%b:" % orjson.dumps(tag.name), b"")]
        if self._template:
            self._template[0] = self._template[0][1:]
        rows: dict[Printer, list[int]] = {}
        for row, tag in enumerate(tags):
            rows.setdefault(_PRINTERS.get(tag.type, _float64), []).append(row)
        self._groups = [(printer, np.array(of_type, np.intp)) for printer, of_type in rows.items()]
        self._in_order = _in_order([row for of_type in rows.values() for row in of_type])

    def key(self, row: int) -> bytes:
        """A row's name as a JSON member, `"name":`."""
        return self._template[2 * row].removeprefix(b",")

    def pieces(self, readings: Readings) -> Pieces:
        """One JSON value per row."""
        if not self._template:
            return []
        if len(self._groups) == 1:
            printer, _ = self._groups[0]
            pieces = printer(_column(printer, readings))
        else:
            pieces = self._in_order(
                [piece for printer, rows in self._groups for piece in printer(_column(printer, readings)[rows])]
            )
        for row, found in readings.exact.items():
            pieces[row] = exact_json(found)
        return pieces

    def members(self, pieces: Pieces) -> bytes:
        """`"name":value` of every row, with commas between."""
        parts = self._template.copy()
        parts[1::2] = pieces
        return b"".join(parts)


def _column(printer: Printer, readings: Readings) -> NDArray[Any]:
    return readings.float32() if printer is _float32 else readings.value


def _in_order(grouped: list[int]) -> Callable[[Pieces], Pieces]:
    """A function that puts pieces, which stand in the order of these rows, into the order of the rows' numbers."""
    if len(grouped) < 2:
        return list
    places = sorted(range(len(grouped)), key=grouped.__getitem__)
    pick = itemgetter(*places)
    return lambda pieces: list(pick(pieces))
