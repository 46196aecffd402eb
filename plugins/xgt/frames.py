"""Commands of the dedicated protocol and their frames (XGT FEnet I/F module manual, chapter on the dedicated protocol).

A frame is a company id, two bytes about the PLC, one about its CPU, a direction, an invoke id, the length of the rest, the
module's place and a sum over all this; then a command, a data type, two bytes of nothing, and in a request the number of
places, each with a name in ASCII; in an answer a status, the number of places, each with its size and data. Numbers have
their low byte first.
"""

import struct
from collections.abc import Sequence
from dataclasses import dataclass

from gateway.kit import WordArea
from gateway.kit.line import Answer, DamagedError, LineFraming

from .address import BITS, XgtAddress
from .nak_codes import REFUSALS

READ, WRITE = 0x54, 0x58
BIT, WORD, MANY = 0x00, 0x02, 0x14
"""Data types; MANY is any number of bytes that follow each other."""

MOST_PLACES = 16
_IDS = (b"LSIS-XGT\0\0", b"LGIS-GLOFA")
_HEADER = 20
_BODY = 10
"""Bytes behind the header: command, data type, nothing, status, and the number of places or a code."""

_FROM_SERVER = 0x11


@dataclass(frozen=True, slots=True)
class XgtRequest:
    """A command to the PLC."""

    command: int
    kind: int
    """Data type."""

    names: tuple[bytes, ...]
    """Of variables."""

    data: bytes = b""
    """What stands behind the names."""

    size: int = 0
    """Bytes of data in a right answer."""

    words: tuple[tuple[WordArea, int], ...] = ()
    """Of a read: the words, one by one."""

    unit = None


def read(area: WordArea, start: int, count: int) -> XgtRequest:
    """Read so many words."""
    name = f"%{area.name}B{2 * start}".encode()
    words = tuple((area, start + n) for n in range(min(count, MOST_PLACES + 1)))
    return XgtRequest(READ, MANY, (name,), struct.pack("<H", 2 * count), 2 * count, words)


def joined(requests: Sequence[XgtRequest]) -> XgtRequest | None:
    """One request for the words of several reads; None for more than MOST_PLACES."""
    words = tuple(word for request in requests for word in request.words)
    if len(words) > MOST_PLACES:
        return None
    names = tuple(f"%{area.name}W{at}".encode() for area, at in words)
    return XgtRequest(READ, WORD, names, size=2 * len(words), words=words)


def write_words(area: WordArea, start: int, wire: bytes) -> XgtRequest:
    """Write the words from an address on, high byte first."""
    name = f"%{area.name}B{2 * start}".encode()
    return XgtRequest(WRITE, MANY, (name,), struct.pack("<H", len(wire)) + swapped(wire))


def write_bits(at: XgtAddress, bits: Sequence[int], hex_bits: bool) -> XgtRequest:
    """Write bits of a word, and no others. `hex_bits`: they are named by the word's number and a hexadecimal digit."""
    area, start, first = at.area, at.offset, at.bit or 0
    dot = "" if area.name in "PMLKF" else "."
    places = range(first, first + len(bits))
    numbers = (f"{start}{dot}{place:X}" if hex_bits else f"{BITS * start + place}" for place in places)
    names = tuple(f"%{area.name}X{number}".encode() for number in numbers)
    return XgtRequest(WRITE, BIT, names, b"".join(struct.pack("<HB", 1, value) for value in bits))


def swapped(words: bytes) -> bytes:
    """Words with their bytes in the other order. Raises ValueError for half a word."""
    turned = bytearray(words)
    turned[::2], turned[1::2] = words[1::2], words[::2]
    return bytes(turned)


SERIES = {0xA0: "XGK", 0xA4: "XGI", 0xA8: "XGR", 0xB0: "XGB"}
"""By what a PLC says of its CPU in each frame."""


class XgtFraming(LineFraming[XgtRequest]):
    series = ""
    """The PLC's, once it has answered."""

    ids = 1 << 16
    longest = 4096
    refusals = REFUSALS

    def size(self, data: bytes | bytearray, searched: int) -> int:
        if not any(data[: len(each)] == each[: len(data)] for each in _IDS):
            raise ValueError("the answer is no XGT dedicated protocol; is this the FEnet module's port 2004?")
        if len(data) < _HEADER:
            return 0
        return _HEADER + int.from_bytes(data[16:18], "little")

    def wrap(self, request: XgtRequest, number: int) -> bytes:
        names = b"".join(struct.pack("<H", len(name)) + name for name in request.names)
        body = struct.pack("<HHHH", request.command, request.kind, 0, len(request.names)) + names + request.data
        header = _IDS[0] + struct.pack("<HBBHHB", 0, 0xA0, 0x33, number, len(body), 0)
        return header + bytes([sum(header) & 0xFF]) + body

    def opened(self, frame: bytes) -> bytes:
        # Some modules leave the sum out.
        if len(frame) < _HEADER + _BODY or frame[19] not in (0, sum(frame[:19]) & 0xFF) or frame[13] != _FROM_SERVER:
            raise DamagedError
        self.series = SERIES.get(frame[12], "")
        return frame

    def number(self, frame: bytes) -> int:
        return int.from_bytes(frame[14:16], "little")

    def answer(self, request: XgtRequest, frame: bytes) -> Answer | None:
        command, kind, status, last = struct.unpack_from("<HH2xHH", frame, _HEADER)
        if command != request.command + 1 or kind != request.kind:
            return None
        if status:
            return int(last) & 0xFF
        data = frame[_HEADER + _BODY :]
        if request.command == WRITE:
            return data
        if last != len(request.names):
            raise ValueError("another number of places")
        found, begin = [], 0
        for _ in request.names:
            (size,) = struct.unpack_from("<H", data, begin)
            found.append(data[begin + 2 : begin + 2 + size])
            begin += 2 + size
        if begin != len(data):
            raise ValueError("more or less than the places' sizes tell")
        if request.kind == WORD and any(len(each) != 2 for each in found):
            raise ValueError("a word of another size")
        return swapped(b"".join(found))

    def foreign(self, request: XgtRequest, frame: bytes) -> str:
        return f"asked by command {request.command:X}, but command {frame[_HEADER]:X} came"
