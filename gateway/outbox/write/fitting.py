"""Whether a block can be stored as it is: its columns fit each other and their types, and its tags are the device's."""

from dataclasses import replace

import numpy as np

from gateway.core.parsing import doubting
from gateway.core.readings import Readings
from gateway.encode import are_of
from gateway.encode import exact_bytes as exact
from gateway.outbox.format import PAYLOAD_AT_MOST

_TYPES = (np.dtype(np.int64), np.dtype(np.uint32), np.dtype(np.float64), np.dtype(np.uint32))
_EXACT_AT_MOST = PAYLOAD_AT_MOST // 4


def fitted(readings: Readings) -> Readings:
    """The block, with exact values of the kinds that can be stored. Raises ValueError that says why it cannot be."""
    try:  # what nearly all blocks are, seen in a microsecond
        t_ns, tag, value, quality = readings.t_ns, readings.tag, readings.value, readings.quality
        shape = tag.shape
        if (
            t_ns.shape == value.shape == quality.shape == shape
            and len(shape) == 1
            and (t_ns.dtype, tag.dtype, value.dtype, quality.dtype) == _TYPES
            and not readings.exact
            and (tag is readings.device.tags.ids or are_of(tag, readings.device))
        ):
            return readings
    except AttributeError:
        pass
    return _fitted(readings)


def _fitted(readings: Readings) -> Readings:
    with doubting(ValueError):
        columns = (readings.t_ns, readings.tag, readings.value, readings.quality)
        shape = (len(readings),)
        if not all(column.shape == shape for column in columns):
            raise ValueError("its columns differ in length")
        types = tuple(column.dtype for column in columns)
        if types != _TYPES and any(each.kind not in "iufb" for each in types):
            raise ValueError("a column holds no numbers")
        if not are_of(readings.tag, readings.device):
            raise ValueError("it has rows of tags that are not the device's")
        return _with_plain_values(readings) if readings.exact else readings


def _with_plain_values(readings: Readings) -> Readings:
    if not all(type(row) is int and 0 <= row < len(readings) for row in readings.exact):
        raise ValueError("it has exact values of rows that it has not")
    size = exact.size_of_plain(readings.exact)
    if size is not None and size <= _EXACT_AT_MOST:
        return readings
    data = exact.encode(readings.exact)
    if len(data) > _EXACT_AT_MOST:
        raise ValueError(f"its texts and arrays have more than {_EXACT_AT_MOST} bytes")
    return replace(readings, exact=exact.decode(data))
