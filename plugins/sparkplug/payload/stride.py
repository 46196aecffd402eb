"""Many metrics of one datatype at once: all have the same number of bytes, so a table of bytes is filled column by column.

The bytes are those that protobuf writes (a test compares), at a third of the cost. Protocol buffers, "Encoding": a field is
its number and wire type in one byte, then a varint, or four or eight bytes, little-endian."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from .datatypes import DataType

LEAST = 64
"""Metrics from which on it pays."""
FIRST_ALIAS, LAST_ALIAS = 128, 16383
"""Aliases whose varint has two bytes."""
_FIRST_MS, _LAST_MS = 1 << 35, (1 << 42) - 1
"""Times whose varint has six bytes: from 1971 to 2109."""

_DTYPES = {DataType.DOUBLE: "<f8", DataType.FLOAT: "<f4", DataType.BOOLEAN: "u1"}
_KEYS = {DataType.DOUBLE: 13 << 3 | 1, DataType.FLOAT: 12 << 3 | 5, DataType.BOOLEAN: 14 << 3}
_SHIFTS = np.arange(0, 42, 7)
_MORE = np.array([0x80] * 5 + [0], np.int64)


def suits(datatype: DataType, alias: int) -> bool:
    """Whether a metric can be one of many here."""
    return datatype in _DTYPES and FIRST_ALIAS <= alias <= LAST_ALIAS


class Stride:
    """Metrics of one datatype, in their order."""

    def __init__(self, datatype: DataType, aliases: Sequence[int]) -> None:
        self._dtype = np.dtype(_DTYPES[datatype])
        self._live = self._table(datatype, aliases, b"")
        self._late = self._table(datatype, aliases, b"\x28\x01")

    def _table(self, datatype: DataType, aliases: Sequence[int], flags: bytes) -> NDArray[np.uint8]:
        """One row for each: key and length of the metric, alias, time (empty), flags, key of the value, value (empty)."""
        size = 3 + 7 + len(flags) + 1 + self._dtype.itemsize
        rows = [
            bytes((0x12, size, 0x10, alias & 0x7F | 0x80, alias >> 7, 0x18, *bytes(6), *flags, _KEYS[datatype]))
            + bytes(self._dtype.itemsize)
            for alias in aliases
        ]
        return np.frombuffer(b"".join(rows), np.uint8).reshape(len(rows), size + 2).copy()

    def encode(self, ms: int | NDArray[np.int64], values: NDArray[np.float64], late: bool) -> bytes | None:
        """The metrics with these values, at one time for all or at one for each (ms since 1970); `late`: as historical. None
        for times that do not fit."""
        table = self._late if late else self._live
        if isinstance(ms, int):
            if not _FIRST_MS <= ms <= _LAST_MS:
                return None
            table[:, 6:12] = np.frombuffer(
                bytes(ms >> shift & 0x7F | 0x80 for shift in range(0, 35, 7)) + bytes((ms >> 35,)), np.uint8
            )
        else:
            if ms.min() < _FIRST_MS or ms.max() > _LAST_MS:
                return None
            table[:, 6:12] = (ms[:, None] >> _SHIFTS) & 0x7F | _MORE
        column = np.ascontiguousarray(values, self._dtype).view(np.uint8)
        table[:, -self._dtype.itemsize :] = column.reshape(len(values), self._dtype.itemsize)
        return table.tobytes()
