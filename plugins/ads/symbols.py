"""What a controller tells of its symbols and data types, taken apart: AdsSymbolEntry and AdsDatatypeEntry of TcAdsDef.h."""

import struct
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from .types import Declaration

_SYMBOL = struct.Struct("<6I3H")
_TYPE = struct.Struct("<8I5H")
_RANGE = struct.Struct("<iI")
_GUID, _COPY_MASK, _METHODS, _ATTRIBUTES, _CHOICES = 0x80, 0x200, 0x800, 0x1000, 0x2000
_DEEPEST = 16


@dataclass(frozen=True, slots=True)
class AdsSymbol:
    """A value that the controller has under a name."""

    name: str
    type: str
    comment: str
    group: int
    offset: int
    size: int
    ads_id: int


def _names(data: bytes, at: int, lengths: Sequence[int]) -> tuple[list[str], int]:
    """Texts of these lengths, each with one byte behind it; and where they end. Raises ValueError."""
    found = []
    for length in lengths:
        if at + length + 1 > len(data):
            raise ValueError("a name ends beyond its entry")
        found.append(data[at : at + length].decode("utf-8", errors="replace"))
        at += length + 1
    return found, at


def parse_symbol(data: bytes) -> AdsSymbol:
    """One entry, its length first. Raises ValueError for what is none."""
    if len(data) < _SYMBOL.size:
        raise ValueError("a symbol's entry is too short")
    _, group, offset, size, ads_id, _, *lengths, comment = _SYMBOL.unpack_from(data)
    (name, type_), at = _names(data, _SYMBOL.size, lengths)
    return AdsSymbol(name, type_, data[at : at + comment].decode(errors="replace"), group, offset, size, ads_id)


def parse_declaration(data: bytes, depth: int = 0) -> Declaration:
    """One entry, its length first. Raises ValueError for what is none."""
    if len(data) < _TYPE.size or depth > _DEEPEST:
        raise ValueError("a type's entry is too short, or too deep")
    _, _, _, _, size, offset, ads_id, flags, *counts = _TYPE.unpack_from(data)
    (name, type_, comment), at = _names(data, _TYPE.size, counts[:3])
    dimensions, members = counts[3:]
    if at + 8 * dimensions > len(data):
        raise ValueError("the bounds of an array end beyond its entry")
    ranges = tuple(_RANGE.unpack_from(data, at + 8 * each) for each in range(dimensions))
    at += 8 * dimensions
    found = []
    for _ in range(members):
        entry = _entry(data, at)
        found.append(parse_declaration(entry, depth + 1))
        at += len(entry)
    choices = _choices(data, at, flags, size) if flags & _CHOICES and not members else {}
    return Declaration(name, type_, size, ads_id, offset, flags, comment, ranges, tuple(found), choices)


def _choices(data: bytes, at: int, flags: int, size: int) -> dict[str, int]:
    """Names and numbers of an enumeration, behind what else stands there."""
    if flags & _METHODS:
        return {}
    at += (16 if flags & _GUID else 0) + (size if flags & _COPY_MASK else 0)
    try:
        if flags & _ATTRIBUTES:
            (count,) = struct.unpack_from("<H", data, at)
            at += 2
            for _ in range(count):
                at += 4 + data[at] + data[at + 1]
        (count,) = struct.unpack_from("<H", data, at)
        at += 2
        choices = {}
        for _ in range(count):
            (name,), end = _names(data, at + 1, (data[at],))
            choices[name] = int.from_bytes(data[end : end + size], "little", signed=True)
            at = end + size
        return choices if at <= len(data) else {}
    except (IndexError, struct.error, ValueError):
        return {}


def _entry(data: bytes, at: int) -> bytes:
    """The entry that begins there. Raises ValueError where it is none."""
    if at + 4 > len(data):
        raise ValueError("an entry begins beyond the end")
    (length,) = struct.unpack_from("<I", data, at)
    if length < _SYMBOL.size or at + length > len(data):
        raise ValueError(f"an entry claims to have {length} bytes")
    return data[at : at + length]


def entries(table: bytes) -> Iterator[bytes]:
    """The entries of an uploaded table, one after the other. Raises ValueError where one is none; what follows is lost."""
    at = 0
    while at < len(table):
        entry = _entry(table, at)
        yield entry
        at += len(entry)
