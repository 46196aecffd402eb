"""Values that a float64 cannot hold, as bytes: one letter for the kind, then the value."""

import struct
from collections.abc import Mapping
from operator import index
from typing import Any

import numpy as np

from gateway.core.parsing import doubting
from gateway.core.readings import Exact

_LENGTH = struct.Struct("<I")
_ROW = struct.Struct("<I")
_FLOAT = struct.Struct("<d")
_DEEPEST = 32
_WIDEST = 512
"""Bytes of an integer. A longer one, which Python itself does not print without being asked twice, becomes its hexadecimal
text."""


def encode(values: Mapping[int, Exact]) -> bytes:
    """A count, then row and value of each. A value of a kind that is not foreseen is kept as its text."""
    parts = [_LENGTH.pack(len(values))]
    for row, value in values.items():
        parts.append(_ROW.pack(row))
        begun = len(parts)
        try:
            _put(parts, value, _DEEPEST)
        except Exception:  # noqa: BLE001 - a plugin's own object may raise anything
            del parts[begun:]
            _put_bytes(parts, b"s", f"({type(value).__name__}, which cannot be stored)".encode("utf-8", "replace"))
    return b"".join(parts)


def size_of_plain(values: Mapping[int, Exact]) -> int | None:
    """About how many bytes they take; None if one of them is of a kind that comes back otherwise, or has parts."""
    size = 0
    for value in values.values():
        kind = type(value)
        if kind is str or kind is bytes:
            size += 4 * len(value) if kind is str else len(value)  # type: ignore[arg-type]
        elif kind is not int or value.bit_length() >= 8 * _WIDEST:  # type: ignore[union-attr]
            return None
    return size


def decode(data: bytes) -> dict[int, Exact]:
    """The inverse of `encode`. Raises ValueError for bytes that it did not make."""
    with doubting(ValueError):
        (count,) = _LENGTH.unpack_from(data)
        at, values = _LENGTH.size, {}
        for _ in range(count):
            (row,) = _ROW.unpack_from(data, at)
            values[row], at = _get(data, at + _ROW.size, _DEEPEST)
    if at != len(data):
        raise ValueError(f"{len(data) - at} bytes behind the exact values")
    return values


def _put(parts: list[bytes], value: Any, depth: int) -> None:
    if value is None or isinstance(value, bool | np.bool_):
        parts.append(b"N" if value is None else b"T" if value else b"F")
    elif isinstance(value, float | np.floating):
        parts.append(b"f" + _FLOAT.pack(value))
    elif isinstance(value, int | np.integer):
        number = index(value)
        size = number.bit_length() // 8 + 1
        if size > _WIDEST:
            _put_bytes(parts, b"s", hex(number).encode())
        else:
            _put_bytes(parts, b"i", number.to_bytes(size, "little", signed=True))
    elif isinstance(value, bytes | bytearray):
        _put_bytes(parts, b"b", bytes(value))
    elif isinstance(value, list | tuple | np.ndarray) and depth:
        parts.append(b"l" + _LENGTH.pack(len(value)))
        for item in value:
            _put(parts, item, depth - 1)
    elif isinstance(value, dict) and depth:
        parts.append(b"m" + _LENGTH.pack(len(value)))
        for name, part in value.items():
            _put_bytes(parts, b"", str(name).encode("utf-8", "surrogatepass"))
            _put(parts, part, depth - 1)
    else:
        _put_bytes(parts, b"s", str(value).encode("utf-8", "surrogatepass"))


def _put_bytes(parts: list[bytes], letter: bytes, data: bytes) -> None:
    parts += (letter, _LENGTH.pack(len(data)), data)


def _get(data: bytes, at: int, depth: int) -> tuple[Any, int]:
    letter, at = data[at : at + 1], at + 1
    if letter in b"NTF" and letter:
        return {b"N": None, b"T": True, b"F": False}[letter], at
    if letter == b"f":
        return _FLOAT.unpack_from(data, at)[0], at + _FLOAT.size
    (length,) = _LENGTH.unpack_from(data, at)
    at += _LENGTH.size
    if letter == b"l" and depth:
        items = []
        for _ in range(length):
            item, at = _get(data, at, depth - 1)
            items.append(item)
        return items, at
    if letter == b"m" and depth:
        members = {}
        for _ in range(length):
            name, at = _name(data, at)
            members[name], at = _get(data, at, depth - 1)
        return members, at
    if letter not in (b"i", b"b", b"s") or at + length > len(data):
        raise ValueError(f"no exact value at byte {at}")
    return _leaf(letter, data[at : at + length]), at + length


def _name(data: bytes, at: int) -> tuple[str, int]:
    (length,) = _LENGTH.unpack_from(data, at)
    at += _LENGTH.size
    if at + length > len(data):
        raise ValueError(f"no name of a member at byte {at}")
    return data[at : at + length].decode("utf-8", "surrogatepass"), at + length


def _leaf(letter: bytes, data: bytes) -> int | str | bytes:
    if letter == b"i":
        number = int.from_bytes(data, "little", signed=True)
        return number if len(data) <= _WIDEST else hex(number)
    return data if letter == b"b" else data.decode("utf-8", "surrogatepass")
