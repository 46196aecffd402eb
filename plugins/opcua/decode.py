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

from .structures import NO_TYPES, Members, Types
from .values import Plain, as_exact, kind_of, plain

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
    exact: dict[int, Exact | Members]
    unusable: dict[int, str]
    """Row → what is wrong with it, in words, for values that a tag cannot have, or only as bytes."""

    def readings(self, device: Device, ids: NDArray[np.uint32]) -> Readings:
        """The block as readings of tags with these ids, one for each row."""
        exact = {row: as_exact(value) for row, value in self.exact.items()} if self.exact else {}
        return Readings(device, self.t_ns, ids, self.value, self.quality, exact)

    def put(self, row: int, data: ua.DataValue, now_ns: int, types: Types) -> None:
        """Fill one row. `now_ns` stands in where the server gives no time."""
        self.t_ns[row] = _time(data, now_ns)
        code = int(data.StatusCode.value) if data.StatusCode is not None else quality.GOOD
        self.quality[row] = code & ~quality.FLAGS
        if code >= quality.BAD:
            return
        value = plain(data.Value, types)
        if value is not None or data.Value is None or data.Value.Value is None:
            self.fill(row, value)
        else:
            self._put_unknown(row, data.Value)

    def fill(self, row: int, value: Plain | None) -> None:
        """Give a good row its value."""
        self.value[row] = value if isinstance(value, float) else _NAN
        if value is None:
            self.quality[row] = BAD_NO_DATA
        elif not isinstance(value, float):
            self.exact[row] = value
        elif isnan(value):
            self.quality[row] = quality.BAD_SENSOR_FAILURE

    def spoil(self, row: int, code: int, why: str) -> None:
        """A row has no value after all."""
        self.value[row], self.quality[row], self.unusable[row] = _NAN, code, why
        self.exact.pop(row, None)

    def _put_unknown(self, row: int, variant: ua.Variant) -> None:
        """A value of a kind that no tag can have; of a structure that the server does not explain, its bytes."""
        if isinstance(variant.Value, ua.ExtensionObject) and variant.Value.Body is not None:
            self.spoil(row, quality.BAD_DECODING, f"{kind_of(variant)}: its bytes are passed on as they are")
            self.exact[row] = variant.Value.Body
        else:
            self.spoil(row, quality.BAD_NOT_SUPPORTED, f"{kind_of(variant)} cannot be a tag")


def empty_block(count: int) -> Block:
    """A block whose rows are still to be filled; values are NaN until then."""
    return Block(np.empty(count, np.int64), np.full(count, _NAN), np.empty(count, np.uint32), {}, {})


def as_block(values: Sequence[ua.DataValue], now_ns: int, types: Types = NO_TYPES) -> Block:
    """Values as columns.

    A bad value is NaN with the server's status code. A good NaN becomes a sensor failure, a value of a kind that no tag can
    have not supported, a structure whose type the server does not tell a decoding error, and no value at all no data.
    """
    block = empty_block(len(values))
    for row, data in enumerate(values):
        block.put(row, data, now_ns, types)
    return block


def joined(blocks: Sequence[Block]) -> Block:
    """One block of the rows of several."""
    if len(blocks) == 1:
        return blocks[0]
    t_ns, value = np.concatenate([each.t_ns for each in blocks]), np.concatenate([each.value for each in blocks])
    whole = Block(t_ns, value, np.concatenate([each.quality for each in blocks]), {}, {})
    begin = 0
    for block in blocks:
        whole.exact.update((begin + row, value) for row, value in block.exact.items())
        whole.unusable.update((begin + row, why) for row, why in block.unusable.items())
        begin += len(block.value)
    return whole


BAD_NO_DATA = 0x809B_0000
"""BadNoData: good, says the server, but it sends no value."""


def _time(data: ua.DataValue, now_ns: int) -> int:
    for told in (data.SourceTimestamp, data.ServerTimestamp):
        if (found := nanoseconds(told)) is not None:
            return found
    return now_ns


def nanoseconds(told: datetime | None) -> int | None:
    """Nanoseconds since 1970; None for a time that is none."""
    if told is None or not _FIRST <= told < _LAST:
        return None
    return int((told - _EPOCH) // _MICROSECOND) * 1000
