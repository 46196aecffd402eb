"""Data files of SLC 500 and MicroLogix controllers, by PCCC in a service of CIP.

Commands are those of Rockwell's publication 1770-6.5.16, "DF1 Protocol and Command Set", chapter 7: protected typed logical
read and write with three address fields, and masked write. Low byte first; characters stand in words, high byte first.
"""

import struct
from collections.abc import Iterable, Sequence
from itertools import groupby
from typing import Any

from .address import FileAddress
from .frames import service
from .paths import to_class
from .questions import Question
from .types import TYPES, CipType, Make, bit, encoded, number, numbers, wire

EXECUTE_PCCC = 0x4B
_READ, _WRITE, _MASKED = 0xA2, 0xAA, 0xAB
_PATH = to_class(0x67, 1)
_WHO = bytes([7]) + struct.pack("<HI", 0x1E0D, 0x45470001)
"""Who asks: a vendor's number of nobody's, and a serial number; given back in answers."""

MOST_BYTES = 220
_GAP = 16
_TYPES = {"N": "INT", "F": "REAL", "L": "DINT", "T": "INT", "C": "INT", "R": "INT"}


def type_of(at: FileAddress) -> CipType:
    """Of an element that is a number."""
    return TYPES[_TYPES.get(at.kind.letter, "UINT")]


def _swapped(raw: bytes) -> bytes:
    return b"".join(raw[n : n + 2][::-1] for n in range(0, len(raw), 2))


def _make(at: FileAddress, begin: int) -> Make:
    """`begin`: where the element stands."""
    if at.bit is not None:
        size = 4 if at.kind.letter == "L" else 2
        return bit(size, at.bit, begin + 2 * at.word)
    if at.kind.letter == "ST":
        return lambda data: _string(data[begin : begin + 84])
    if at.kind.letter == "A":
        return lambda data: _swapped(data[begin : begin + 2]).decode("latin-1").rstrip("\0")
    if at.count is not None:
        return numbers(type_of(at), at.count, begin)
    return number(type_of(at), begin + 2 * at.word)


def _string(data: bytes) -> str:
    (length,) = struct.unpack_from("<H", data)
    if length > 82 or len(data) != 84:
        raise ValueError("a text longer than it may be")
    return _swapped(data[2:])[:length].decode("latin-1")


def _field(value: int) -> bytes:
    return bytes([value]) if value < 0xFF else b"\xff" + value.to_bytes(2, "little")


def _message(function: int, number_: int, at: FileAddress, size: int, data: bytes = b"") -> bytes:
    address = _field(at.file) + bytes([at.kind.code]) + _field(at.element) + _field(at.word if data else 0)
    return service(EXECUTE_PCCC, _PATH, _WHO + struct.pack("<BBHBB", 0x0F, 0, number_, function, size) + address + data)


def _head(number_: int) -> bytes:
    return b"\xcb\0\0\0" + _WHO + struct.pack("<BBH", 0x4F, 0, number_)


def pccc_status(answer: bytes) -> int | None:
    """The status in an answer of PCCC; None where it is none."""
    begin = 4 + len(_WHO)
    return answer[begin + 1] if answer[: 4 + len(_WHO)] == b"\xcb\0\0\0" + _WHO and len(answer) >= begin + 4 else None


def file_questions(rows: Sequence[tuple[int, FileAddress]], apart: Iterable[FileAddress] = ()) -> list[Question]:
    """Neighbours of one file are asked for at once, but of those that are to be read `apart`."""
    alone = set(apart)
    asked: list[Question] = []
    ordered = sorted(rows, key=lambda row: (row[1].kind.code, row[1].file, row[1].element))
    for _, group in groupby(ordered, key=lambda row: (row[1].kind.code, row[1].file)):
        block: list[tuple[int, FileAddress]] = []
        for row in group:
            if block and (not _near(block, row[1]) or row[1] in alone or block[-1][1] in alone):
                asked.append(_question(block, len(asked)))
                block = []
            block.append(row)
        asked.append(_question(block, len(asked)))
    return asked


def _end(at: FileAddress) -> int:
    """The element behind it."""
    return at.element + (at.count or 1)


def _near(block: Sequence[tuple[int, FileAddress]], at: FileAddress) -> bool:
    end = max(_end(each) for _, each in block)
    return (at.element - end) * at.kind.size <= _GAP and (
        max(end, _end(at)) - block[0][1].element
    ) * at.kind.size <= MOST_BYTES


def _question(block: Sequence[tuple[int, FileAddress]], number_: int) -> Question:
    first = block[0][1]
    size = (max(_end(at) for _, at in block) - first.element) * first.kind.size
    cells = [(row, _make(at, (at.element - first.element) * at.kind.size)) for row, at in block]
    return Question(_message(_READ, number_, first, size), _head(number_), size, cells, joins=False)


def write_message(at: FileAddress, value: Any) -> bytes:
    """The message that writes a value. Raises ValueError, with the reason, when there is none."""
    letter = at.kind.letter
    if at.count is not None or letter == "A":
        raise ValueError("only single numbers, bits and strings are written")
    if at.bit is not None:
        if letter == "L":
            raise ValueError("a bit of a long integer is not written: write the whole")
        mask = 1 << at.bit
        on = wire(TYPES["BOOL"], value) != b"\0"
        return _message(_MASKED, 1, at, 2, struct.pack("<HH", mask, mask if on else 0))
    if letter == "ST":
        raw = encoded(value)
        if len(raw) > 82:
            raise ValueError(f"{value!r} has {len(raw)} characters, and there is room for 82")
        data = struct.pack("<H", len(raw)) + _swapped(raw.ljust(82, b"\0"))
    else:
        data = wire(type_of(at), value)
    return _message(_WRITE, 1, at, len(data), data)
