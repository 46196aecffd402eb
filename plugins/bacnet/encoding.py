"""Values as BACnet writes them: tag, length, octets (ANSI/ASHRAE 135, clause 20.2)."""

import struct
from collections.abc import Callable
from enum import IntEnum
from functools import partial
from typing import Any

DEPTH = 16
"""Brackets within brackets, at most."""


class Kind(IntEnum):
    """The application tags, and two of our own."""

    NULL = 0
    BOOLEAN = 1
    UNSIGNED = 2
    INTEGER = 3
    REAL = 4
    DOUBLE = 5
    OCTETS = 6
    TEXT = 7
    BITS = 8
    ENUMERATED = 9
    DATE = 10
    TIME = 11
    OBJECT = 12
    OTHER = 98
    """A structure, or what has a reserved tag: octets."""


Datum = tuple[int, Any]
"""Kind and value: None, a bool, int, float, bytes, str, or of BITS a str of "0" and "1", of an OBJECT its number."""


class MalformedError(ValueError):
    """What came is no BACnet, or other than it should be."""


def header(data: bytes, at: int) -> tuple[int, bool, int, int]:
    """Tag number, whether it is a context's, length (-1 opens and -2 closes a bracket), and where the contents begin.
    Raises IndexError or struct.error at the end of the data."""
    first = data[at]
    number, context, length = first >> 4, bool(first & 8), first & 7
    at += 1
    if number == 15:
        number = data[at]
        at += 1
    if length < 5:
        return number, context, length, at
    if context and length > 5:
        return number, context, 5 - length, at
    length = data[at]
    at += 1
    if length == 254:
        (length,) = struct.unpack_from(">H", data, at)
        at += 2
    elif length == 255:
        (length,) = struct.unpack_from(">I", data, at)
        at += 4
    return number, context, length, at


def contents(data: bytes, at: int, length: int) -> bytes:
    """So many octets. Raises MalformedError where there are fewer."""
    if length < 0 or at + length > len(data):
        raise MalformedError("a value ends before its length")
    return data[at : at + length]


def values(data: bytes, at: int, closing: int | None) -> tuple[list[Datum], int]:
    """What stands there up to the closing bracket of this number, or up to the end; and where it goes on."""
    found: list[Datum] = []
    while True:
        if at >= len(data):
            if closing is None:
                return found, at
            raise MalformedError("a bracket is not closed")
        number, context, length, inner = header(data, at)
        if length == -2:
            if number != closing:
                raise MalformedError("a bracket is closed that was not opened")
            return found, inner
        if length == -1:
            end = _past(data, inner, number)
            found.append((Kind.OTHER, data[at:end]))
            at = end
        elif context:
            found.append((Kind.OTHER, data[at : inner + length]))
            contents(data, inner, length)
            at = inner + length
        elif number == Kind.BOOLEAN:
            if length > 1:
                raise MalformedError("a boolean is neither true nor false")
            found.append((number, bool(length)))
            at = inner
        else:
            raw = contents(data, inner, length)
            found.append((number, primitive(number, raw)) if number in _DECODERS else (Kind.OTHER, raw))
            at = inner + length


def _past(data: bytes, at: int, opened: int) -> int:
    """Where what is in this bracket has ended."""
    brackets = [opened]
    while brackets:
        number, context, length, at = header(data, at)
        if length == -1:
            brackets.append(number)
            if len(brackets) > DEPTH:
                raise MalformedError("too many brackets within each other")
        elif length == -2:
            if brackets.pop() != number:
                raise MalformedError("a bracket is closed that was not opened")
        elif context or number != Kind.BOOLEAN:
            contents(data, at, length)
            at += length
    return at


def primitive(kind: int, raw: bytes) -> Any:
    """The value of an application tag of _DECODERS. Raises MalformedError."""
    try:
        return _DECODERS[kind](raw)
    except (struct.error, IndexError):
        raise MalformedError(f"{len(raw)} octets are no {Kind(kind).name.lower()}") from None


def _whole_number(raw: bytes, *, signed: bool = False) -> int:
    if not 0 < len(raw) <= 8:
        raise MalformedError(f"a number of {len(raw)} octets")
    return int.from_bytes(raw, "big", signed=signed)


def _null(raw: bytes) -> None:
    if raw:
        raise MalformedError("a null that is something")


def _bits(raw: bytes) -> str:
    unused = raw[0]
    if unused > 7 or (unused and len(raw) == 1):
        raise MalformedError("a bit string with more unused bits than it has")
    return "".join(f"{octet:08b}" for octet in raw[1:])[: 8 * (len(raw) - 1) - unused]


_CHARACTERS = {0: "utf-8", 3: "utf-32-be", 4: "utf-16-be", 5: "latin-1", 2: "shift_jis"}


def text(raw: bytes) -> str:
    """A character string; what is none in its own character set becomes the replacement character. DBCS (1) names its code
    page in two octets."""
    if raw[0] == 1:
        page, body = int.from_bytes(raw[1:3], "big"), raw[3:]
        try:
            return body.decode(f"cp{page}", "replace")
        except LookupError:
            return body.decode("latin-1")
    return raw[1:].decode(_CHARACTERS.get(raw[0], "latin-1"), "replace")


def date(raw: bytes) -> str:
    """As ISO 8601 writes it; "*" stands for what is left open."""
    year, month, day, _ = struct.unpack("4B", raw)
    return f"{_or_open(1900 + year, 2155, 4)}-{_or_open(month, 255, 2)}-{_or_open(day, 255, 2)}"


def clock(raw: bytes) -> str:
    """A time of day, likewise."""
    hour, minute, second, part = (_or_open(each, 255, 2) for each in struct.unpack("4B", raw))
    return f"{hour}:{minute}:{second}.{part}"


def _or_open(number: int, open_: int, digits: int) -> str:
    return "*" if number == open_ else f"{number:0{digits}d}"


_DECODERS: dict[int, Callable[[bytes], Any]] = {
    Kind.NULL: _null,
    Kind.UNSIGNED: _whole_number,
    Kind.INTEGER: partial(_whole_number, signed=True),
    Kind.REAL: lambda raw: struct.unpack(">f", raw)[0],
    Kind.DOUBLE: lambda raw: struct.unpack(">d", raw)[0],
    Kind.OCTETS: bytes,
    Kind.TEXT: text,
    Kind.BITS: _bits,
    Kind.ENUMERATED: _whole_number,
    Kind.DATE: date,
    Kind.TIME: clock,
    Kind.OBJECT: lambda raw: struct.unpack(">I", raw)[0],
}


def tag(number: int, context: bool, body: bytes) -> bytes:
    """A value with its tag."""
    first = (number << 4 if number < 15 else 0xF0) | (8 if context else 0)
    more = b"" if number < 15 else bytes((number,))
    size = len(body)
    if size < 5:
        return bytes((first | size,)) + more + body
    if size < 254:
        return bytes((first | 5,)) + more + bytes((size,)) + body
    return bytes((first | 5,)) + more + b"\xfe" + struct.pack(">H", size) + body


def opening(number: int) -> bytes:
    """A bracket of a context, up to number 14."""
    return bytes((number << 4 | 0xE,))


def closing(number: int) -> bytes:
    """The end of a bracket."""
    return bytes((number << 4 | 0xF,))


def unsigned(number: int) -> bytes:
    """The fewest octets."""
    return number.to_bytes(max(1, (number.bit_length() + 7) // 8), "big")


def signed(number: int) -> bytes:
    """The fewest octets, in two's complement."""
    return number.to_bytes((number if number >= 0 else ~number).bit_length() // 8 + 1, "big", signed=True)


def context(number: int, value: int) -> bytes:
    """An unsigned number under a context's tag."""
    return tag(number, True, unsigned(value))


def application(kind: Kind, value: Any) -> bytes:
    """A value under its application tag. Raises ValueError, with the reason, for what it cannot be."""
    if kind == Kind.BOOLEAN:
        return bytes((0x10 | bool(value),))
    encode = _ENCODERS.get(kind)
    if encode is None:
        raise ValueError(f"a value of the kind {kind.name.lower()} is not written")
    return tag(kind, False, encode(value))


def _number(value: Any, lowest: int, highest: int) -> int:
    if value != int(value):
        raise ValueError("it is no whole number")
    if not lowest <= value <= highest:
        raise ValueError(f"it is not between {lowest} and {highest}")
    return int(value)


def _real(value: float) -> bytes:
    try:
        return struct.pack(">f", value)
    except OverflowError:
        raise ValueError("it is more than a REAL holds") from None


_ENCODERS: dict[int, Callable[[Any], bytes]] = {
    Kind.NULL: lambda _: b"",
    Kind.UNSIGNED: lambda value: unsigned(_number(value, 0, 0xFFFF_FFFF)),
    Kind.ENUMERATED: lambda value: unsigned(_number(value, 0, 0xFFFF_FFFF)),
    Kind.INTEGER: lambda value: signed(_number(value, -(1 << 31), (1 << 31) - 1)),
    Kind.REAL: _real,
    Kind.DOUBLE: lambda value: struct.pack(">d", value),
    Kind.TEXT: lambda value: b"\0" + value.encode(),
}
