"""Datatypes of Sparkplug B 3.0 (chapter 6.4.16), and how a value of each stands in a metric."""

import math
import struct
from collections.abc import Callable, Sequence
from enum import IntEnum
from typing import Any

import numpy as np

from gateway.plugin import Exact, encodable, plain, to_json


class DataType(IntEnum):
    """Those that a metric of ours can have. An array's number is `ARRAY` more than that of its elements, as far as int8 to
    uint64, float and double; the others have their own."""

    INT8 = 1
    INT16 = 2
    INT32 = 3
    INT64 = 4
    UINT8 = 5
    UINT16 = 6
    UINT32 = 7
    UINT64 = 8
    FLOAT = 9
    DOUBLE = 10
    BOOLEAN = 11
    STRING = 12
    DATETIME = 13
    BYTES = 17
    TEMPLATE = 19
    INT8_ARRAY = 22
    INT16_ARRAY = 23
    INT32_ARRAY = 24
    INT64_ARRAY = 25
    UINT8_ARRAY = 26
    UINT16_ARRAY = 27
    UINT32_ARRAY = 28
    UINT64_ARRAY = 29
    FLOAT_ARRAY = 30
    DOUBLE_ARRAY = 31
    BOOLEAN_ARRAY = 32
    STRING_ARRAY = 33


SCALARS = {
    "bool": DataType.BOOLEAN,
    "int8": DataType.INT8,
    "uint8": DataType.UINT8,
    "int16": DataType.INT16,
    "uint16": DataType.UINT16,
    "int32": DataType.INT32,
    "uint32": DataType.UINT32,
    "int64": DataType.INT64,
    "uint64": DataType.UINT64,
    "float32": DataType.FLOAT,
    "float64": DataType.DOUBLE,
    "string": DataType.STRING,
    "bytes": DataType.BYTES,
    "": DataType.DOUBLE,  # until the device says what it is; what does not fit then makes it another one
}
"""Datatype by a tag's type."""

_ARRAYS = {
    "bool": DataType.BOOLEAN_ARRAY,
    "int8": DataType.INT8_ARRAY,
    "uint8": DataType.UINT8_ARRAY,
    "int16": DataType.INT16_ARRAY,
    "uint16": DataType.UINT16_ARRAY,
    "int32": DataType.INT32_ARRAY,
    "uint32": DataType.UINT32_ARRAY,
    "int64": DataType.INT64_ARRAY,
    "uint64": DataType.UINT64_ARRAY,
    "float32": DataType.FLOAT_ARRAY,
    "float64": DataType.DOUBLE_ARRAY,
    "string": DataType.STRING_ARRAY,
}

_BITS = {
    DataType.INT8: (8, True),
    DataType.INT16: (16, True),
    DataType.INT32: (32, True),
    DataType.INT64: (64, True),
    DataType.UINT8: (8, False),
    DataType.UINT16: (16, False),
    DataType.UINT32: (32, False),
    DataType.UINT64: (64, False),
}
"""Size of whole numbers, and whether they have a sign."""

_BEYOND_DOUBLE = 1 << 1023

_ELEMENTS = {
    DataType.INT8_ARRAY: "<i1",
    DataType.INT16_ARRAY: "<i2",
    DataType.INT32_ARRAY: "<i4",
    DataType.INT64_ARRAY: "<i8",
    DataType.UINT8_ARRAY: "<u1",
    DataType.UINT16_ARRAY: "<u2",
    DataType.UINT32_ARRAY: "<u4",
    DataType.UINT64_ARRAY: "<u8",
    DataType.FLOAT_ARRAY: "<f4",
    DataType.DOUBLE_ARRAY: "<f8",
}
"""An array is its elements, little-endian and without gaps (the text of 6.4.17; two of its examples are not)."""


def datatype_for(tag_type: str, value: Exact | float | None) -> DataType:
    """The datatype that holds a value of a tag of this type; a string, with JSON in it, where no other does."""
    scalar = SCALARS.get(tag_type, DataType.STRING)
    if value is None or fits(scalar, value):
        return scalar
    if isinstance(value, list) and (array := _ARRAYS.get(tag_type)) is not None and fits(array, value):
        return array
    return DataType.STRING


def fits(datatype: DataType, value: Exact | float) -> bool:
    """Whether a metric of the datatype can hold the value as it is."""
    if isinstance(value, list):
        return datatype in _ARRAY_BYTES and _fits_array(datatype, value)
    if datatype == DataType.STRING:
        return isinstance(value, str)
    if datatype == DataType.BYTES:
        return isinstance(value, bytes)
    if isinstance(value, str | bytes | dict) or datatype not in SCALARS.values():
        return False
    if (bits := _BITS.get(datatype)) is None:
        return abs(value) < _BEYOND_DOUBLE or isinstance(value, float)
    size, signed = bits
    return (-(1 << size - 1) if signed else 0) <= value < (1 << size - signed)


def _fits_array(datatype: DataType, values: Sequence[Any]) -> bool:
    try:
        _ARRAY_BYTES[datatype](datatype, values)
    except (TypeError, ValueError, OverflowError):
        return False
    return True


def _numbers(datatype: DataType, values: Sequence[Any]) -> bytes:
    dtype = np.dtype(_ELEMENTS[datatype])
    if not all(type(each) in (int, float, bool) for each in values):
        raise TypeError("not all elements are numbers")
    if dtype.kind != "f" and any(each != int(each) for each in values):
        raise ValueError("not all elements are whole")
    return np.array(values, dtype).tobytes()


def _booleans(datatype: DataType, values: Sequence[Any]) -> bytes:
    """Their number, in four bytes, and a bit for each, the first in the highest bit."""
    if not all(each in (0, 1) and not isinstance(each, str) for each in values):
        raise TypeError("not all elements are booleans")
    return struct.pack("<I", len(values)) + np.packbits(np.array(values, bool)).tobytes()


def _strings(datatype: DataType, values: Sequence[Any]) -> bytes:
    """Each with a NUL behind it."""
    if not all(isinstance(each, str) and "\0" not in each for each in values):
        raise TypeError("not all elements are texts without NUL")
    return b"".join(encodable(each).encode() + b"\0" for each in values)


_ARRAY_BYTES: dict[DataType, Callable[[DataType, Sequence[Any]], bytes]] = {
    **dict.fromkeys(_ELEMENTS, _numbers),
    DataType.BOOLEAN_ARRAY: _booleans,
    DataType.STRING_ARRAY: _strings,
}


def set_value(target: Any, datatype: DataType, value: Exact | float, uint32_as_long: bool = False) -> None:
    """Put a value that fits into a metric, property or parameter; one that does not, as JSON, where the datatype is a
    string. Negative numbers stand as two's complement."""
    if datatype == DataType.DOUBLE:
        target.double_value = value
    elif datatype == DataType.FLOAT:
        target.float_value = value
    elif datatype == DataType.BOOLEAN:
        target.boolean_value = bool(value)
    elif datatype in (DataType.INT64, DataType.UINT64, DataType.DATETIME):
        target.long_value = int(value) & 0xFFFF_FFFF_FFFF_FFFF  # type: ignore[arg-type]
    elif datatype == DataType.UINT32 and uint32_as_long:
        target.long_value = int(value)  # type: ignore[arg-type]
    elif datatype in _BITS:
        target.int_value = int(value) & 0xFFFF_FFFF  # type: ignore[arg-type]
    elif datatype == DataType.STRING:
        target.string_value = encodable(value) if isinstance(value, str) else to_json(_as_json(value)).decode()
    elif datatype == DataType.BYTES:
        target.bytes_value = value
    else:
        target.bytes_value = _ARRAY_BYTES[datatype](datatype, value)  # type: ignore[arg-type]


Number = tuple[str, float, float, Callable[[float], int | bool] | None]
"""How the numbers of a metric are written, decided once: the field, the least and the greatest that it takes, and what makes
one of a float64; None: it takes the float64 itself."""


def number_of(datatype: DataType, uint32_as_long: bool) -> Number:
    """Of a datatype; of one that holds no numbers, it takes none."""
    if datatype in (DataType.DOUBLE, DataType.FLOAT):
        return ("double_value" if datatype == DataType.DOUBLE else "float_value"), -math.inf, math.inf, None
    if datatype == DataType.BOOLEAN:
        return "boolean_value", -math.inf, math.inf, bool
    if (bits := _BITS.get(datatype)) is None:
        return "", math.inf, -math.inf, None
    size, signed = bits
    least, most = (-(1 << size - 1) if signed else 0), (1 << size - signed) - 1
    if size == 64:
        return "long_value", least, math.nextafter(most, 0), _wrapped_64 if signed else int
    field = "long_value" if datatype == DataType.UINT32 and uint32_as_long else "int_value"
    return field, least, most, _wrapped_32 if signed else int


def _wrapped_32(value: float) -> int:
    """Two's complement, of four bytes."""
    return int(value) & 0xFFFF_FFFF


def _wrapped_64(value: float) -> int:
    """Two's complement, of eight bytes."""
    return int(value) & 0xFFFF_FFFF_FFFF_FFFF


def _as_json(value: Any) -> Any:
    if isinstance(value, list):
        return [_as_json(each) for each in value]
    if isinstance(value, dict):
        return {str(name): _as_json(each) for name, each in value.items()}
    return plain(value, "")


_WIDTH = {"int_value": 32, "long_value": 64}
_WRITABLE = {"float_value", "double_value", "boolean_value", "string_value", *_WIDTH}


def value_of(metric: Any, datatype: DataType) -> float | bool | int | str:
    """The value of a metric that came in, for one of ours of that datatype. Raises ValueError for one that is no such."""
    field = metric.WhichOneof("value")
    if metric.is_null or field is None:
        raise ValueError("it has no value")
    if field not in _WRITABLE:
        raise ValueError(f"its value stands in {field}, which cannot be written")
    value: float | bool | int | str = getattr(metric, field)
    if field in _WIDTH and _BITS.get(datatype, (64, True))[1] and value >> (_WIDTH[field] - 1):  # type: ignore[operator]
        value -= 1 << _WIDTH[field]  # type: ignore[operator]
    if isinstance(value, bool) != (datatype == DataType.BOOLEAN) or (
        isinstance(value, str) != (datatype == DataType.STRING)
    ):
        raise ValueError(f"its value stands in {field}, and the metric is a {datatype.name.lower()}")
    if isinstance(value, int) and not fits(datatype, value):
        raise ValueError(f"{value} is beyond what a metric of type {datatype.name.lower()} can hold")
    return value
