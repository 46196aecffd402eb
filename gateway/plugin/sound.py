"""JSON of what may hold anything: what plugins and devices bring can never make the writing of an answer or a record fail."""

import base64
import math
from collections.abc import Mapping
from typing import Any

import orjson

from gateway.core.text import cleaned, encodable

DEPTH = 32
"""Levels of objects and arrays within each other; what lies deeper is told as text."""
_TEXT = 1024 * 1024
"""Characters of one text."""
_OPTIONS = orjson.OPT_SERIALIZE_NUMPY | orjson.OPT_NON_STR_KEYS
_64_BITS = range(-(2**63), 2**64)


def dumps(value: Any) -> bytes:
    """JSON (RFC 8259) of any value. What JSON has no form for becomes what `sound` makes of it; NaN and infinities null."""
    try:
        return orjson.dumps(value, default=_other, option=_OPTIONS)
    except (TypeError, RecursionError, ValueError):  # orjson.JSONEncodeError is a TypeError
        return orjson.dumps(sound(value))


def sound(value: Any, depth: int = DEPTH) -> Any:
    """The value in types that every JSON serialiser takes: texts that UTF-8 can hold, integers of at most 64 bits (others as
    text), bytes as base64, what is nested deeper than `depth` or is of another kind as a short text."""
    if isinstance(value, str):
        return encodable(str(value)[:_TEXT])
    if value is None or isinstance(value, bool):
        return value
    if isinstance(value, float):
        return float(value) if math.isfinite(value) else None
    if isinstance(value, int):
        return int(value) if int(value) in _64_BITS else _large(int(value))
    if depth and isinstance(value, Mapping):
        return {cleaned(_text(key)): sound(part, depth - 1) for key, part in value.items()}
    if depth and isinstance(value, list | tuple | set | frozenset):
        return [sound(part, depth - 1) for part in value]
    if isinstance(value, Mapping | list | tuple | set | frozenset):
        return f"{type(value).__name__} of {len(value)}, nested too deep"
    plain = _other(value)
    return plain if isinstance(plain, str) else sound(plain, depth)


def _other(value: Any) -> Any:
    if isinstance(value, bytes | bytearray | memoryview):
        return base64.b64encode(value).decode()
    if isinstance(value, set | frozenset):
        return list(value)
    if type(value).__module__ == "numpy":
        return value.tolist()
    return cleaned(_text(value))


def _text(value: Any) -> str:
    try:
        return str(value)
    except Exception as error:  # noqa: BLE001 - of a class that a plugin brought
        return f"{type(value).__name__} without a text ({type(error).__name__})"


def _large(value: int) -> str:
    return str(value) if value.bit_length() < 4096 else f"an integer of {value.bit_length()} bits"
