"""Commands of the MC protocol and their frames, 3E and 4E, in binary and ASCII (SLMP Reference Manual SH(NA)-080956ENG,
chapters 4 to 6).

A frame is a subheader (4E: with a serial number), network, station ("PC"), module I/O, station behind it, the length of the
rest, and in a request a monitoring timer, command and subcommand, in an answer an end code; then data. Binary numbers have
their low byte first; ASCII ones are hexadecimal digits, the high one first, and there a place's letters stand before its
number.
"""

import struct
from collections.abc import Sequence
from dataclasses import dataclass

from gateway.kit.line import Answer, DamagedError, LineFraming

from .address import MelsecArea
from .end_codes import REFUSALS

READ, READ_BLOCKS, WRITE, LOOPBACK, UNLOCK, MODEL = 0x0401, 0x0406, 0x1401, 0x0619, 0x1630, 0x0101
MOST_BLOCKS = 120
"""Places that one request for several blocks may name."""

_HEAD = 9
"""Bytes of an answer, as it is handed on, before its data: serial number, the five of its way, end code."""

_Place = tuple[MelsecArea, int, int]
"""Area, number of the first device, how many words (of bits alone: bits)."""


@dataclass(frozen=True, slots=True)
class MelsecRequest:
    """A command to a module."""

    unit: bytes
    """Network, station, module I/O (low byte first) and station behind it."""

    command: int
    places: tuple[_Place, ...] = ()
    wire: bytes = b""
    """What is written: words, high byte first, or a byte for each bit; of other commands the text."""

    size: int = 0
    """Bytes of data in a right answer."""

    of_bits: bool = False
    """Whether single bits are written."""


def read(unit: bytes, area: MelsecArea, start: int, count: int) -> MelsecRequest:
    """Read so many words; `start` is counted in them."""
    return MelsecRequest(unit, READ, ((area, area.first(start), count),), size=2 * count)


def identify(unit: bytes) -> MelsecRequest:
    """Ask for the CPU's model: 16 characters, and a code."""
    return MelsecRequest(unit, MODEL, size=-1)


def joined(requests: Sequence[MelsecRequest], most: int) -> MelsecRequest | None:
    """One request for what several reads ask of one module, words before bits; None for more than `most` words."""
    places = tuple(place for request in requests for place in request.places)
    if len(places) > MOST_BLOCKS or sum(count for _, _, count in places) > most:
        return None
    if sorted(places, key=lambda place: place[0].of_bits) != list(places):
        return None
    return MelsecRequest(requests[0].unit, READ_BLOCKS, places, size=sum(request.size for request in requests))


def write_words(unit: bytes, area: MelsecArea, start: int, wire: bytes) -> MelsecRequest:
    """Write the words from a place on."""
    return MelsecRequest(unit, WRITE, ((area, area.first(start), len(wire) // 2),), wire)


def write_bits(unit: bytes, area: MelsecArea, number: int, bits: Sequence[int]) -> MelsecRequest:
    """Write bits, and no others."""
    return MelsecRequest(unit, WRITE, ((area, number, len(bits)),), bytes(bits), of_bits=True)


class MelsecFraming(LineFraming[MelsecRequest]):
    """Frames in binary."""

    longest = 8192
    recovers = False
    refusals = REFUSALS
    _subheaders = (b"\xd0\x00", b"\xd4\x00")
    _headers = (9, 13)
    _other_code = ((b"D0", b"D4"), 'it answers in ASCII: write code = "ascii", or set the PLC\'s port to binary')

    def __init__(self, *, numbered: bool, timer: int, datagrams: bool = False) -> None:
        """`numbered`: frames are 4E. `timer`: how long the PLC may take, in quarters of a second."""
        self.ids = 1 << 16 if numbered else 0
        self._numbered = numbered
        self._timer = timer
        self._datagrams = datagrams
        self._header = self._headers[numbered]

    # Frames

    def size(self, data: bytes | bytearray, searched: int) -> int:
        if self._datagrams:
            return len(data)
        start = self._subheaders[self._numbered]
        if data[: len(start)] != start[: len(data)]:
            raise ValueError(self._not_ours(bytes(data[:4])))
        if len(data) < self._header:
            return 0
        return self._header + self._length(bytes(data[: self._header]))

    def _not_ours(self, start: bytes) -> str:
        letters, what = self._other_code
        if start.startswith(letters):
            return what
        if start.startswith(self._subheaders[not self._numbered]):
            other = "3E" if self._numbered else "4E"
            return f'it answers in {other} frames: write frame = "{other}"'
        return "the answer is no MC protocol; look at port, frame and code"

    def _length(self, header: bytes) -> int:
        return int.from_bytes(header[-2:], "little")

    def wrap(self, request: MelsecRequest, number: int) -> bytes:
        body = struct.pack("<HHH", self._timer, request.command, self._subcommand(request)) + self._body(request)
        start = struct.pack("<HHH", 0x54, number, 0) if self._numbered else b"\x50\x00"
        return start + request.unit + struct.pack("<H", len(body)) + body

    def opened(self, frame: bytes) -> bytes:
        head, data = frame[: self._header], frame[self._header :]
        start = self._subheaders[self._numbered]
        if len(data) < 2 or len(data) != self._length(head) or not head.startswith(start):
            raise DamagedError
        number = head[3:1:-1] if self._numbered else b"\0\0"
        return number + head[-7:-2] + data[1::-1] + data[2:]

    def number(self, frame: bytes) -> int:
        return int.from_bytes(frame[:2], "big")

    def unit(self, frame: bytes) -> bytes:
        return frame[2:7]

    # Commands

    def answer(self, request: MelsecRequest, frame: bytes) -> Answer | None:
        if frame[2:7] != request.unit:
            return None
        if code := int.from_bytes(frame[7:_HEAD], "big"):
            return code
        data = frame[_HEAD:]
        if request.command == LOOPBACK:
            return b"" if data == self._text(request.wire) else None
        return self._came(data) if request.command in (READ, READ_BLOCKS) else data

    def mark(self, request: MelsecRequest, number: int) -> MelsecRequest:
        return MelsecRequest(request.unit, LOOPBACK, wire=f"{number:04X}".encode())

    @staticmethod
    def _subcommand(request: MelsecRequest) -> int:
        return int(request.of_bits)

    def _body(self, request: MelsecRequest) -> bytes:
        if request.command == MODEL:
            return b""
        if not request.places:
            return self._text(request.wire)
        if request.command == READ_BLOCKS:
            bits = sum(area.of_bits for area, _, _ in request.places)
            return self._byte(len(request.places) - bits) + self._byte(bits) + self._named(request)
        return self._named(request) + (self._bits(request.wire) if request.of_bits else self._words(request.wire))

    def _named(self, request: MelsecRequest) -> bytes:
        return b"".join(self._place(area, number) + self._number(count) for area, number, count in request.places)

    # What is written otherwise in ASCII

    def _byte(self, value: int) -> bytes:
        return bytes([value])

    def _number(self, value: int) -> bytes:
        return value.to_bytes(2, "little")

    def _place(self, area: MelsecArea, number: int) -> bytes:
        return number.to_bytes(3, "little") + bytes([area.code])

    def _words(self, words: bytes) -> bytes:
        """Words, which come with their high byte first, as they stand in a frame."""
        swapped = bytearray(words)
        swapped[::2], swapped[1::2] = words[1::2], words[::2]
        return bytes(swapped)

    def _came(self, data: bytes) -> bytes:
        """And back. Raises ValueError for half a word."""
        return self._words(data)

    def _bits(self, bits: bytes) -> bytes:
        """Two a byte, the first in the high half."""
        even = bits + b"\0" * (len(bits) % 2)
        return bytes(high << 4 | low for high, low in zip(even[::2], even[1::2], strict=True))

    def _text(self, text: bytes) -> bytes:
        return self._number(len(text)) + text


class MelsecAsciiFraming(MelsecFraming):
    """Frames in ASCII."""

    _subheaders = (b"D000", b"D400")
    _headers = (18, 26)
    _other_code = ((b"\xd0", b"\xd4"), 'it answers in binary: write code = "binary", or set the PLC\'s port to ASCII')

    def _length(self, header: bytes) -> int:
        return _hex(header[-4:])

    def wrap(self, request: MelsecRequest, number: int) -> bytes:
        body = b"%04X%04X%04X" % (self._timer, request.command, self._subcommand(request)) + self._body(request)
        start = b"5400%04X0000" % number if self._numbered else b"5000"
        network, station, io, behind = struct.unpack("<BBHB", request.unit)
        return start + b"%02X%02X%04X%02X%04X" % (network, station, io, behind, len(body)) + body

    def opened(self, frame: bytes) -> bytes:
        head, data = frame[: self._header], frame[self._header :]
        try:
            if (
                len(data) < 4
                or len(data) != self._length(head)
                or not head.startswith(self._subheaders[self._numbered])
            ):
                raise DamagedError
            number = _hex(head[4:8]) if self._numbered else 0
            way = head[-14:-4]
            unit = struct.pack("<BBHB", _hex(way[:2]), _hex(way[2:4]), _hex(way[4:8]), _hex(way[8:]))
            return struct.pack(">H", number) + unit + struct.pack(">H", _hex(data[:4])) + data[4:]
        except ValueError as error:
            raise DamagedError from error

    def _byte(self, value: int) -> bytes:
        return b"%02X" % value

    def _number(self, value: int) -> bytes:
        return b"%04X" % value

    def _place(self, area: MelsecArea, number: int) -> bytes:
        return area.letters.encode() + (b"%06X" if area.ascii_base == 16 else b"%06d") % number

    def _words(self, words: bytes) -> bytes:
        return words.hex().upper().encode()

    def _came(self, data: bytes) -> bytes:
        if not data.isalnum() and data:  # fromhex would read over spaces
            raise ValueError("no hexadecimal digits")
        return bytes.fromhex(data.decode("ascii"))

    def _bits(self, bits: bytes) -> bytes:
        return bytes(0x30 + bit for bit in bits)


def _hex(digits: bytes) -> int:
    """The number in ASCII digits, and nothing else. Raises ValueError."""
    if not digits.isalnum():
        raise ValueError("no hexadecimal digits")
    return int(digits, 16)
