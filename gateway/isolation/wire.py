"""What goes over the socket between the gateway and the process of a driver. Pure.

A frame is a header of 16 bytes (size of the whole, number of the request or session, kind; little endian), and a body.
Towards the process bodies are pickles: it trusts the gateway. What comes back is foreign, and never unpickled: JSON, and
columns as raw bytes.
"""

import base64
import json
import math
import struct
from collections.abc import Mapping, Sequence
from enum import IntEnum
from typing import Any

import numpy as np
from numpy.typing import NDArray

from gateway.core.errors import PluginError
from gateway.core.parsing import doubting, parse_json
from gateway.core.readings import NO_EXACT, Exact, Readings
from gateway.core.tag import Device
from gateway.kit import Sized
from gateway.plugin import checked
from gateway.plugin.driver import Values

LONGEST = 64 * 1024 * 1024
"""Bytes of a frame from the process."""
_LONGEST_REQUEST = 1024 * 1024 * 1024
_HEADER = struct.Struct("<IIB7x")
_VALUES = struct.Struct("<II")
_BLOCK = struct.Struct("<III?3x")
NUMBER = struct.Struct("<I")
READ = struct.Struct("<II")
"""Numbers of the session and of the tags to read."""
_EXACT_INT = 2**53
_FLOAT64 = np.dtype(np.float64)


class FrameKind(IntEnum):
    """What a frame is."""

    CALL = 1
    """To the process: call this; a pickle."""
    READ = 2
    """Likewise: read the tags of this number."""
    CANCEL = 3
    MORE = 4
    """So many further parts of a stream may be sent."""
    DONE = 5
    """From the process: a result, as JSON."""
    FAILED = 6
    """What was raised, as JSON."""
    VALUES = 7
    BLOCK = 8
    """Readings: the answer of a read, or a part of a stream."""
    PART = 9
    """Of a stream that is no readings, as JSON."""
    SAID = 10
    """Something unasked of a session, as JSON."""
    BROUGHT = 11
    """Readings that a session has between two polls."""


def frame(kind: FrameKind, number: int, *body: bytes) -> bytes:
    """A whole frame."""
    size = _HEADER.size + sum(map(len, body))
    return b"".join((_HEADER.pack(size, number, kind), *body))


def opened(data: bytes) -> tuple[int, int]:
    """Kind and number of a whole frame, whose body begins at BODY."""
    _, number, kind = _HEADER.unpack_from(data)
    return kind, number


BODY = _HEADER.size
FROM_PROCESS = Sized(_HEADER.size, lambda head: int(_HEADER.unpack_from(head)[0]), LONGEST)
TO_PROCESS = Sized(_HEADER.size, lambda head: int(_HEADER.unpack_from(head)[0]), _LONGEST_REQUEST)


def said(data: bytes) -> Any:
    """The JSON of a frame. Raises ValueError."""
    return parse_json(data[BODY:], size=LONGEST)


def as_json(value: Any) -> bytes:
    """JSON with all characters escaped, so that halves of characters come through."""
    return json.dumps(value).encode()


# Values.


def values_body(values: Values, count: int) -> list[bytes]:
    """What `read` returned, unless it is Readings, for so many tags. Raises PluginError for what are no values."""
    if not hasattr(values, "__len__"):
        raise PluginError(f"read returned a {type(values).__name__}, not one value for each tag")
    if len(values) != count:
        raise PluginError(f"read returned {len(values)} values for {count} tags")
    exact: dict[int, Any] = {}
    if isinstance(values, np.ndarray) and values.dtype == _FLOAT64 and values.ndim == 1:
        column = values
    else:
        column = np.full(count, math.nan)
        for row, value in enumerate(values.tolist() if isinstance(values, np.ndarray) else values):  # type: ignore[arg-type]
            if isinstance(value, float | bool) or (isinstance(value, int) and abs(value) <= _EXACT_INT):
                column[row] = value
            elif value is not None:
                _put(column, exact, row, value)
    text = as_json(exact) if exact else b""
    return [_VALUES.pack(count, len(text)), column.tobytes(), text]


def _put(column: NDArray[np.float64], exact: dict[int, Any], row: int, value: Any) -> None:
    if isinstance(value, int | str | bytes | list | dict):
        if checked.exact_value(value)[0] is not None:
            exact[row] = _packed(value)
        return
    try:
        column[row] = value
    except (TypeError, ValueError, OverflowError):
        raise PluginError(f"read returned a {type(value).__name__}, which is no value") from None


def values_of(data: bytes) -> Values:
    """The values of a frame. Raises ValueError for what cannot be understood."""
    with doubting(ValueError):
        count, size = _VALUES.unpack_from(data, BODY)
        at = BODY + _VALUES.size
        if len(data) != at + 8 * count + size:
            raise ValueError("values of another length than they claim")
        column = np.frombuffer(data, np.float64, count, at)
        if not size:
            return column
        values: list[Any] = column.tolist()
        for row, value in _exact_of(data[at + 8 * count :], count).items():
            values[row] = value
        return values


def block_body(block: Readings, device: int) -> list[bytes]:
    """Readings of the device of this number. Raises PluginError for columns that are none."""
    columns = [
        np.ascontiguousarray(column, dtype).tobytes()
        for column, dtype in (
            (block.t_ns, np.int64), (block.value, np.float64), (block.tag, np.uint32), (block.quality, np.uint32)
        )
    ]  # fmt: skip
    exact = {
        int(row): _packed(value) for row, value in block.exact.items() if checked.exact_value(value)[0] is not None
    }
    text = as_json(exact) if exact else b""
    return [_BLOCK.pack(device, len(block.tag), len(text), bool(block.own_time)), *columns, text]


def block_of(data: bytes, devices: Mapping[int, Device]) -> Readings:
    """The readings of a frame. Raises ValueError for what cannot be understood."""
    with doubting(ValueError):
        number, count, size, own_time = _BLOCK.unpack_from(data, BODY)
        at = BODY + _BLOCK.size
        if len(data) != at + 24 * count + size:
            raise ValueError("readings of another length than they claim")
        if number not in devices:
            raise ValueError("readings of a device that it was not given")
        t_ns = np.frombuffer(data, np.int64, count, at)
        value = np.frombuffer(data, np.float64, count, at + 8 * count)
        tag = np.frombuffer(data, np.uint32, count, at + 16 * count)
        quality = np.frombuffer(data, np.uint32, count, at + 20 * count)
        exact = _exact_of(data[at + 24 * count :], count) if size else NO_EXACT
        return Readings(devices[number], t_ns, tag, value, quality, exact, own_time)


def _exact_of(text: bytes, count: int) -> dict[int, Exact]:
    found = {int(row): _unpacked(value) for row, value in parse_json(text, size=LONGEST).items()}
    if any(not 0 <= row < count for row in found):
        raise ValueError("a value of a row that there is not")
    return found


def _packed(value: Any) -> Any:
    """A value in JSON, with the kinds that JSON lacks as objects of one key."""
    if value is None or isinstance(value, str | int | float):
        return value
    if isinstance(value, bytes | bytearray):
        return {"bytes": base64.b64encode(value).decode()}
    if isinstance(value, list | tuple):
        return [_packed(part) for part in value]
    if isinstance(value, dict):
        return {"table": [[_packed(key), _packed(part)] for key, part in value.items()]}
    if isinstance(value, np.generic | np.ndarray):
        return _packed(value.tolist())
    raise PluginError(f"a {type(value).__name__} is no value")


def _unpacked(value: Any) -> Any:
    if isinstance(value, list):
        return [_unpacked(part) for part in value]
    if isinstance(value, dict):
        ((kind, inner),) = value.items()
        if kind == "bytes":
            return base64.b64decode(inner, validate=True)
        return {_unpacked(key): _unpacked(part) for key, part in inner}
    return value


def rows(values: Sequence[Any], count: int) -> list[list[Any]]:
    """JSON that is to be a list of lists of so many items. Raises ValueError for anything else."""
    if not isinstance(values, list) or any(not isinstance(row, list) or len(row) != count for row in values):
        raise ValueError(f"what is to be rows of {count} is not")
    return values
