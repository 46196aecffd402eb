"""Readings as the payload of a record: the columns one behind the other, and what is constant only once.

Order: times (int64), values (float64 or float32), tags (uint32), qualities (uint32), exact values. The record's `shape`
byte says which short forms were taken. Comparing bytes finds them at a fraction of the cost of array operations, which
is what a block of 50 rows mostly costs.
"""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from gateway.core.readings import NO_EXACT, Readings
from gateway.core.tag import Device
from gateway.encode import exact_bytes as exact

CODEC = 1

ONE_TIME = 1
FLOAT32 = 2
ALL_GOOD = 4
ONE_QUALITY = 8
WHOLE_DEVICE = 16
TAG_RANGE = 32
EXACT = 64

_FEW = 100
"""Rows that Python looks through faster than numpy does."""
_INT64 = np.dtype(np.int64)
_FLOAT64 = np.dtype(np.float64)
_UINT32 = np.dtype(np.uint32)


def encode(readings: Readings, device_tags: bytes) -> tuple[int, bytes]:
    """Shape and payload of a block of at least one row; `device_tags` are the bytes of its device's tag ids.

    Numpy's overflow warning must be off: whether the values fit float32 is found out by trying.
    """
    n = len(readings.tag)
    shape = 0
    times = _bytes(readings.t_ns, _INT64)
    if times == times[:8] * n:
        shape, times = ONE_TIME, times[:8]
    values = _bytes(readings.value, _FLOAT64)
    short = readings.value.astype(np.float32)
    if short.astype(np.float64).tobytes() == values:
        shape, values = shape | FLOAT32, short.tobytes()
        readings.keep_float32(short)
    form, tags = (
        (WHOLE_DEVICE, b"") if readings.tag is readings.device.tags.ids else _tags(readings.tag, device_tags, n)
    )
    quality = _bytes(readings.quality, _UINT32)
    if quality == bytes(4 * n):
        form, quality = form | ALL_GOOD, b""
    elif quality == quality[:4] * n:
        form, quality = form | ONE_QUALITY, quality[:4]
    if not readings.exact:
        return shape | form, b"".join((times, values, tags, quality))
    return shape | form | EXACT, b"".join((times, values, tags, quality, exact.encode(readings.exact)))


def _bytes(column: NDArray[Any], dtype: np.dtype[Any]) -> bytes:
    """The column's bytes; one of another type or byte order, which a driver must not give, is still stored rightly."""
    return column.tobytes() if column.dtype is dtype or column.dtype == dtype else column.astype(dtype).tobytes()


def _tags(tag: NDArray[np.uint32], device_tags: bytes, n: int) -> tuple[int, bytes]:
    tags = _bytes(tag, _UINT32)
    if tags == device_tags:
        return WHOLE_DEVICE, b""
    first = int(tag[0])
    if int(tag[-1]) == first + n - 1 and tags == np.arange(first, first + n, dtype=np.uint32).tobytes():
        return TAG_RANGE, tags[:4]
    return 0, tags


def decode(payload: memoryview, shape: int, n: int, device: Device, own_time: bool = False) -> Readings:
    """The block again. Raises an Exception, mostly ValueError, for a payload that does not fit its shape. `are_of` tells
    whether its tags are the device's."""
    at = 0

    def column(dtype: type[np.generic], count: int) -> NDArray[np.generic]:
        nonlocal at
        start, at = at, at + count * np.dtype(dtype).itemsize
        return np.frombuffer(payload[start:at], dtype, count)

    time = column(np.int64, 1 if shape & ONE_TIME else n)
    value = column(np.float32 if shape & FLOAT32 else np.float64, n)
    tag = column(np.uint32, _count(shape, WHOLE_DEVICE, TAG_RANGE, n))
    quality = column(np.uint32, _count(shape, ALL_GOOD, ONE_QUALITY, n))
    if shape & WHOLE_DEVICE:
        if len(device.tags) != n:
            raise ValueError(f"{n} rows do not fit the {len(device.tags)} tags of {device}")
        tag = device.tags.ids
    elif shape & TAG_RANGE:
        first = int(tag[0])
        tag = np.arange(first, first + n, dtype=np.uint32)
    values = exact.decode(bytes(payload[at:])) if shape & EXACT else NO_EXACT
    if values and max(values) >= n:
        raise ValueError("it has exact values of rows that it has not")
    return Readings(
        device,
        np.full(n, time[0]) if shape & ONE_TIME else time,  # type: ignore[arg-type]
        tag,  # type: ignore[arg-type]
        value.astype(np.float64, copy=False),
        _spread(quality, n),
        values,
        own_time,
    )


def are_of(tag: NDArray[np.generic], device: Device) -> bool:
    """Whether each of these, at least one, is the id of a tag of the device."""
    ids = device.tags.ids
    if tag is ids:
        return True
    if device.tags.span is None:
        return bool(np.isin(tag, ids).all())
    low, high = device.tags.span
    if len(tag) < _FEW:
        few = tag.tolist()
        return bool(low <= min(few) and max(few) <= high)
    return bool(low <= tag.min() and tag.max() <= high)


def _count(shape: int, none: int, one: int, n: int) -> int:
    return 0 if shape & none else 1 if shape & one else n


def _spread(quality: NDArray[np.generic], n: int) -> NDArray[np.uint32]:
    if len(quality) == n:
        return quality  # type: ignore[return-value]
    return np.full(n, quality[0] if len(quality) else 0, np.uint32)
