"""Reads protobuf messages field by field, without their description (protobuf.dev, "Encoding")."""

import re
from collections.abc import Iterator

Value = int | memoryview

MAX_FIELDS = 200_000
"""Of all messages of one file together, skipped ones apart: more would be read for seconds, in which others wait."""


class WireReader:
    """Reads the messages of one file."""

    def __init__(self) -> None:
        self._left = MAX_FIELDS

    def fields(self, data: memoryview, skip: re.Pattern[bytes] | None = None) -> Iterator[tuple[int, Value]]:
        """The fields of a message: its numbers with an integer, or with the bytes of what is longer; those that `skip`
        matches are left out. Raises ValueError for what is no message, and for a file of too many fields."""
        at = 0
        while at < len(data):
            if skip is not None and (skipped := skip.match(data, at)):
                at = skipped.end()
                continue
            self._left -= 1
            if self._left < 0:
                raise ValueError(f"it has more than {MAX_FIELDS} fields")
            key, at = _varint(data, at)
            match key & 7:
                case 0:
                    integer, at = _varint(data, at)
                    yield key >> 3, integer
                case 2:
                    length, at = _varint(data, at)
                    yield key >> 3, _cut(data, at, length)
                    at += length
                case (1 | 5) as kind:
                    length = 8 if kind == 1 else 4
                    yield key >> 3, _cut(data, at, length)
                    at += length
                case kind:
                    raise ValueError(f"unknown wire type {kind} at byte {at}")


def text(value: Value) -> str:
    """A field as text. Raises ValueError for what is none."""
    if isinstance(value, int):
        raise ValueError("a number stands where a text belongs")
    return str(value, "utf-8")


def integers(value: Value) -> list[int]:
    """A repeated field of integers, packed or a single one."""
    if isinstance(value, int):
        return [value]
    found, at = [], 0
    while at < len(value):
        number, at = _varint(value, at)
        found.append(number)
    return found


def field(number: int, value: bytes) -> bytes:
    """A field as it is written."""
    length, size = bytearray(), len(value)
    while size > 0x7F:
        length.append(size & 0x7F | 0x80)
        size >>= 7
    return bytes([number << 3 | 2, *length, size]) + value


def _cut(data: memoryview, at: int, length: int) -> memoryview:
    if at + length > len(data):
        raise ValueError("it ends in the middle of a field")
    return data[at : at + length]


def _varint(data: memoryview, at: int) -> tuple[int, int]:
    value = 0
    for shift in range(0, 70, 7):
        if at >= len(data):
            raise ValueError("it ends in the middle of a number")
        byte = data[at]
        at += 1
        value |= (byte & 0x7F) << shift
        if byte < 0x80:
            return value, at
    raise ValueError("a number has more than ten bytes")
