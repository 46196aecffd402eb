"""From the data values that the library decodes to columns: the plain road, for any kind of value.

What comes in bulk takes the road of `fast.py`, which gives the same columns; it comes here for values of rare kinds.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from math import isnan
from typing import Any

import numpy as np
from asyncua import ua
from asyncua.ua import ua_binary
from numpy.typing import NDArray

from gateway.plugin import Device, Exact, Readings, quality

from .values import kind_of, plain

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND = timedelta(microseconds=1)
_FIRST, _LAST = _EPOCH, datetime(2200, 1, 1, tzinfo=UTC)
"""Times outside are none: servers without a clock send the beginning or the end of the calendar."""
_NAN = float("nan")
OVERFLOW = 0x0480
"""Info bits of a status code: the server's queue was full and values before this one are gone (OPC 10000-4 §7.39)."""

_unpack_array = ua_binary.unpack_uatype_array


def _unpack_array_of_something(kind: ua.VariantType, data: Any) -> Any:
    """The library believes an array of nulls whatever length it claims, since a null takes no byte: a damaged answer of a
    few bytes then costs minutes and gigabytes."""
    if kind == ua.VariantType.Null:
        raise ua.UaError("an array of nulls, which OPC UA does not have")
    return _unpack_array(kind, data)


ua_binary.unpack_uatype_array = _unpack_array_of_something


@dataclass(slots=True)
class Block:
    """Values as columns, one row for each data value."""

    t_ns: NDArray[np.int64]
    value: NDArray[np.float64]
    quality: NDArray[np.uint32]
    exact: dict[int, Exact]
    unusable: dict[int, str]
    """Row → what it is, in words, for values of a kind that no tag can have."""

    def readings(self, device: Device, ids: NDArray[np.uint32]) -> Readings:
        """The block as readings of tags with these ids, one for each row."""
        return Readings(device, self.t_ns, ids, self.value, self.quality, self.exact)

    def put(self, row: int, data: ua.DataValue, now_ns: int) -> None:
        """Fill one row. `now_ns` stands in where the server gives no time."""
        code = int(data.StatusCode.value) if data.StatusCode is not None else quality.GOOD
        if code < quality.BAD:
            value = plain(data.Value)
            if isinstance(value, float):
                self.value[row] = value
                if isnan(value):
                    code = quality.BAD_SENSOR_FAILURE
            elif value is not None:
                self.exact[row] = value
            elif data.Value is None or data.Value.Value is None:
                code = BAD_NO_DATA
            else:
                code = quality.BAD_NOT_SUPPORTED
                self.unusable[row] = kind_of(data.Value)
        self.t_ns[row] = _time(data, now_ns)
        self.quality[row] = code & ~quality.FLAGS


def empty_block(count: int) -> Block:
    """A block whose rows are still to be filled; values are NaN until then."""
    return Block(np.empty(count, np.int64), np.full(count, _NAN), np.empty(count, np.uint32), {}, {})


def as_block(values: Sequence[ua.DataValue], now_ns: int) -> Block:
    """Values as columns.

    A bad value is NaN with the server's status code. A good NaN becomes a sensor failure, a value of a kind that no tag can
    have not supported, and no value at all no data.
    """
    block = empty_block(len(values))
    for row, data in enumerate(values):
        block.put(row, data, now_ns)
    return block


BAD_NO_DATA = 0x809B_0000
"""BadNoData: good, says the server, but it sends no value."""


def _time(data: ua.DataValue, now_ns: int) -> int:
    for told in (data.SourceTimestamp, data.ServerTimestamp):
        if told is not None and _FIRST <= told < _LAST:
            return int((told - _EPOCH) // _MICROSECOND) * 1000
    return now_ns
