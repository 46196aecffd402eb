"""Messages of S7 communication: a message stands in a data unit of ISO 8073 (COTP), and that in a packet of RFC 1006.

A message begins with 0x32, its kind, a number, and how long its parameters and data are; an answer adds an error's class and
code. Parameters of reading and writing name places; the data has for each a return code, a kind of size, a size and the
bytes, filled up to an even number. All numbers have their high byte first.
"""

import struct
from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

from gateway.kit.line import Answer, DamagedError, JointAnswer, LineFraming
from gateway.plugin import LinkError

from .address import S7Area
from .return_codes import REFUSALS

CONNECT, SETUP, READ, WRITE = 0x00, 0xF0, 0x04, 0x05
TELL = 0x44
"""Ours for questions about the CPU itself, which have a kind of message of their own (7, user data) and no function."""
MOST_PLACES = 20
"""Places that one request may name."""

_OVERHEAD = 14
"""Bytes of an answer before its places: header, error, function, number of places."""

_RIGHT, _ABOUT_ITSELF = 0xFF, 7
_BITS_AS_SIZE = (3, 4, 5)
"""Kinds of size that count bits; others count bytes."""


class Place(NamedTuple):
    """So many elements of an area; with `bit` one bit of a byte."""

    area: S7Area
    start: int
    elements: int
    bit: int | None = None

    def spelled(self) -> bytes:
        """As requests name it."""
        first = self.area.first(self.start)
        transport = self.area.transport
        if self.bit is not None:
            first, transport = first + self.bit, 0x01
        return struct.pack(
            ">BBBBHHB", 0x12, 0x0A, 0x10, transport, self.elements, self.area.db, self.area.code
        ) + first.to_bytes(3, "big")

    @property
    def size(self) -> int:
        """Bytes of its values."""
        return self.area.size(self.elements)


@dataclass(frozen=True, slots=True)
class S7Request:
    """A message to the CPU, or, for CONNECT, the data unit before all messages."""

    function: int
    places: tuple[Place, ...] = ()
    data: bytes = b""
    size: int = 0
    """Bytes of data in a right answer; -1 where they are not known before."""

    unit = None


def connect(own: int, theirs: int) -> S7Request:
    """Ask for a connection between two TSAPs."""
    return S7Request(CONNECT, data=struct.pack(">BBBBBHBBH", 0xC0, 1, 10, 0xC1, 2, own, 0xC2, 2, theirs))


def setup(at_once: int, pdu: int) -> S7Request:
    """Ask for so many requests at once, and messages of so many bytes. The answer has both as granted."""
    return S7Request(SETUP, data=struct.pack(">BHHH", 0, at_once, at_once, pdu), size=6)


def read(area: S7Area, start: int, count: int) -> S7Request:
    """Read so many elements."""
    place = Place(area, start, count)
    return S7Request(READ, (place,), size=place.size)


def most_bytes(pdu: int) -> int:
    """Bytes that a message of this size holds of one place."""
    return pdu - _OVERHEAD - 4


def joined(requests: Sequence[S7Request], pdu: int) -> S7Request | None:
    """One request for the places of several reads; None where request or answer would be larger than a message."""
    places = tuple(place for request in requests for place in request.places)
    answer = _OVERHEAD + sum(4 + place.size + place.size % 2 for place in places)
    if len(places) > MOST_PLACES or 12 + 12 * len(places) > pdu or answer > pdu:
        return None
    return S7Request(READ, places, size=sum(request.size for request in requests))


def write(area: S7Area, start: int, wire: bytes) -> S7Request:
    """Write these bytes."""
    return S7Request(WRITE, (Place(area, start, len(wire)),), struct.pack(">BBH", 0, 4, 8 * len(wire)) + wire)


def write_bit(area: S7Area, start: int, bit: int, value: bool) -> S7Request:
    """Write one bit and nothing beside it."""
    return S7Request(WRITE, (Place(area, start, 1, bit),), struct.pack(">BBHB", 0, 3, 1, value))


def tell(group: int, what: int, data: bytes) -> S7Request:
    """Ask for something about the CPU: of its blocks (group 3), or of its state (group 4)."""
    head = struct.pack(">BBBBBBBB", 0, 1, 0x12, 4, 0x11, 0x40 | group, what, 0)
    return S7Request(TELL, data=head + struct.pack(">BBH", 0xFF, 9, len(data)) + data, size=-1)


def tell_on(group: int, what: int, sequence: int, part: int) -> S7Request:
    """Ask for the part that follows of an answer that was not all."""
    head = struct.pack(">BBBBBBBBBBH", 0, 1, 0x12, 8, 0x12, 0x40 | group, what, sequence, part, 0, 0)
    return S7Request(TELL, data=head + struct.pack(">BBH", 0x0A, 0, 0), size=-1)


class Told(NamedTuple):
    """A part of what the CPU tells of itself."""

    sequence: int
    part: int
    more: bool
    data: bytes


def told(answer: bytes) -> Told:
    """Of the answer to `tell`. Raises ValueError."""
    if len(answer) < 8:
        raise ValueError("the answer is too short")
    sequence, part, more, code, _, size = struct.unpack_from(">BBBBBH", answer)
    if code != _RIGHT or size != len(answer) - 7:
        raise ValueError(f"the CPU has none (code {code:02X})")
    return Told(sequence, part, more != 0, answer[7:])


class S7Framing(LineFraming[S7Request]):
    ids = 1 << 16
    longest = 16384
    refusals = REFUSALS

    def __init__(self) -> None:
        self._hello = 0
        """The number of the request for a connection, whose frames carry none."""

    def size(self, data: bytes | bytearray, searched: int) -> int:
        if data[:2] != b"\x03\x00"[: len(data)]:
            raise ValueError("the answer is no S7 communication (RFC 1006); is this port 102 of the CPU?")
        if len(data) < 4:
            return 0
        size = int.from_bytes(data[2:4], "big")
        if size < 7:
            raise ValueError(f"a packet claims to have {size} bytes")
        return size

    def wrap(self, request: S7Request, number: int) -> bytes:
        if request.function == CONNECT:
            self._hello = number
            unit = struct.pack(">BBHHB", 6 + len(request.data), 0xE0, 0, 1, 0) + request.data
            return struct.pack(">BBH", 3, 0, 4 + len(unit)) + unit
        if request.function == SETUP:
            parameters, data = bytes([SETUP]) + request.data, b""
        else:
            named = b"".join(place.spelled() for place in request.places)
            parameters, data = bytes([request.function, len(request.places)]) + named, request.data
        kind = 1
        if request.function == TELL:
            kind, end = 7, 4 + request.data[3]
            parameters, data = request.data[:end], request.data[end:]
        head = struct.pack(">BBHHHH", 0x32, kind, 0, number, len(parameters), len(data))
        return struct.pack(">BBHBBB", 3, 0, 17 + len(parameters) + len(data), 2, 0xF0, 0x80) + head + parameters + data

    def opened(self, frame: bytes) -> bytes:
        """Number, error class and code, function, then data."""
        length, kind = frame[4], frame[5]
        if kind == 0xD0:
            return self._hello.to_bytes(2, "big") + b"\0\0" + bytes([CONNECT])
        if kind == 0x80:
            raise LinkError("the CPU ends the connection: are rack and slot right, and has it a connection left?")
        message = frame[7:]
        if kind != 0xF0 or length != 2 or frame[6] != 0x80 or len(message) < 12 or message[0] != 0x32:
            raise DamagedError
        what, parameters, data = struct.unpack_from(">BxxxxHH", message, 1)
        if what == _ABOUT_ITSELF:
            if parameters != 12 or len(message) != 10 + parameters + data:
                raise DamagedError
            return message[4:6] + message[20:22] + bytes([TELL]) + message[17:20] + message[22:]
        if what not in (2, 3) or len(message) != 12 + parameters + data:
            raise DamagedError
        return message[4:6] + message[10:12] + (message[12:] if parameters else b"\xee")

    def number(self, frame: bytes) -> int:
        return int.from_bytes(frame[:2], "big")

    def answer(self, request: S7Request, frame: bytes) -> JointAnswer | None:
        code, function = int.from_bytes(frame[2:4], "big"), frame[4]
        if code and function in (request.function, 0xEE):
            return code
        if function != request.function:
            return None
        if function == CONNECT:
            return b""
        if function == SETUP:
            return frame[6:]
        if function == TELL:
            return frame[5:]
        if frame[5] != len(request.places):
            raise ValueError("another number of places")
        answers = _written(request, frame[6:]) if function == WRITE else _read(request, frame[6:])
        if any(isinstance(each, int) for each in answers):
            return answers[0] if len(answers) == 1 else tuple(answers)
        return b"".join(answers)  # type: ignore[arg-type]  # no codes are left

    def foreign(self, request: S7Request, frame: bytes) -> str:
        return f"asked by function {request.function:02X}, but function {frame[4]:02X} came"


def _written(request: S7Request, data: bytes) -> list[Answer]:
    if len(data) != len(request.places):
        raise ValueError("another number of places")
    return [b"" if code == _RIGHT else code for code in data]


def _read(request: S7Request, data: bytes) -> list[Answer]:
    """The bytes of each place, or its return code."""
    answers: list[Answer] = []
    begin = 0
    for number, place in enumerate(request.places, 1):
        code, kind, size = struct.unpack_from(">BBH", data, begin)
        begin += 4
        if code != _RIGHT:
            answers.append(code)
            continue
        size = (size + 7) // 8 if kind in _BITS_AS_SIZE else size
        value = data[begin : begin + size]
        if size != place.size or len(value) != size:
            raise ValueError("a place has another size than was asked for")
        answers.append(value)
        begin += size + (size % 2 if number < len(request.places) else 0)
    if begin != len(data):
        raise ValueError("more or less than the places' sizes tell")
    return answers
