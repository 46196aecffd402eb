"""Messages of EtherNet/IP: a header of 24 bytes, and behind it a message of CIP, with a connection or without one.

The header and its commands are those of "CIP Networks Library", volume 2, chapter 2; services of the connection manager
are of volume 1, chapter 3; those of Logix controllers of Rockwell's publication 1756-PM020. Low byte first.
"""

import struct
from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

from gateway.kit.line import Answer, DamagedError, LineFraming, RefusalCodes
from gateway.plugin import LinkError, quality

from .paths import to_class

LIST_IDENTITY, REGISTER, UNREGISTER, UNCONNECTED, CONNECTED = 0x63, 0x65, 0x66, 0x6F, 0x70
_COMMANDS = frozenset({0x00, 0x04, LIST_IDENTITY, 0x64, REGISTER, UNREGISTER, UNCONNECTED, CONNECTED})
_HEADER = struct.Struct("<HHII8sI")
_OPENER, _ROUTER = to_class(6, 1), to_class(2, 1)
MULTIPLE, UNCONNECTED_SEND, FORWARD_OPEN, LARGE_FORWARD_OPEN, FORWARD_CLOSE = 0x0A, 0x52, 0x54, 0x5B, 0x4E
_TWO_SECONDS = 0x0A, 2
"""How long modules on the way may take to find the device, in units of 2^10 ms."""

_VENDOR = 0x1E0D
"""A number of nobody's, as clients without a vendor's give one."""

_NO_SESSION = 0x64
REFUSALS = RefusalCodes(
    {
        0x01: (
            "the device does not know the command, or not before a session is registered",
            quality.BAD_NOT_SUPPORTED,
        ),
        0x02: ("the device has no memory left for the request", quality.BAD_DEVICE_FAILURE),
        0x03: ("the device finds the request's data wrong", quality.BAD_CONFIGURATION),
        0x65: ("the device finds the request too long", quality.BAD_CONFIGURATION),
        0x69: ("the device speaks another version of EtherNet/IP", quality.BAD_NOT_SUPPORTED),
    },
    code="encapsulation status {:04X}",
)
"""What the status in a header means, by which a device refuses before it looks at a message."""


@dataclass(frozen=True, slots=True)
class CipRequest:
    """A message to a device: service, path, data; or, for REGISTER and LIST_IDENTITY, what goes before all messages."""

    data: bytes
    command: int = UNCONNECTED
    service: int = 0
    """Whose answer is waited for, where that is not the first byte of `data`."""

    unit = None
    size = -1


class Reply(NamedTuple):
    """The answer to one service."""

    service: int
    status: int
    more: int
    """Extended status; 0 where there is none."""

    data: bytes


def service(number: int, path: bytes, data: bytes = b"") -> bytes:
    """A message of CIP."""
    return bytes([number, len(path) // 2]) + path + data


def opened_reply(message: bytes) -> Reply:
    """Raises ValueError for what is none."""
    if len(message) < 4:
        raise ValueError("an answer of CIP has at least four bytes")
    begin = 4 + 2 * message[3]
    if begin > len(message):
        raise ValueError("an answer claims a longer status than it has")
    more = int.from_bytes(message[4:6], "little") if message[3] else 0
    return Reply(message[0] & 0x7F, message[2], more, message[begin:])


def several(messages: Sequence[bytes]) -> bytes:
    """One message for many (Multiple Service Packet)."""
    at = 2 + 2 * len(messages)
    offsets = []
    for message in messages:
        offsets.append(at)
        at += len(message)
    head = struct.pack(f"<{1 + len(messages)}H", len(messages), *offsets)
    return service(MULTIPLE, _ROUTER, head + b"".join(messages))


def each(data: bytes, count: int) -> list[bytes]:
    """The answers in the data of an answer to `several`. Raises ValueError, LookupError or struct.error
    when it is not one to so many."""
    said, *offsets = struct.unpack_from(f"<{1 + count}H", data)
    if said != count:
        raise ValueError("an answer to another number of services")
    ends = [*offsets[1:], len(data)]
    if offsets[0] != 2 + 2 * count or any(
        end - begin < 4 or end - begin < 4 + 2 * data[begin + 3] for begin, end in zip(offsets, ends, strict=True)
    ):
        raise ValueError("answers that overlap or leave gaps")
    return [data[begin:end] for begin, end in zip(offsets, ends, strict=True)]


def routed(message: bytes, route: bytes, seconds: float) -> CipRequest:
    """A message without a connection; with a route it is wrapped for the module that is dialled to hand it on."""
    if not route:
        return CipRequest(message)
    ticks = max(1, min(255, round(seconds)))  # of 1.024 s
    head = struct.pack("<BBH", 0x0A, ticks, len(message))
    data = head + message + b"\0" * (len(message) % 2) + bytes([len(route) // 2, 0]) + route
    return CipRequest(service(UNCONNECTED_SEND, _OPENER, data), service=message[0])


@dataclass(frozen=True, slots=True)
class Connection:
    """What opens and closes a connection of class 3 to the message router behind a route."""

    size: int
    """Bytes of a message, its number included."""

    route: bytes
    own_id: int
    serial: int
    originator: int
    alive: float
    """Seconds without a request after which the device lets it go."""

    def opening(self) -> CipRequest:
        """Forward Open; the large one where `size` wants it."""
        large = self.size > 511
        period = int(self.alive / 32 * 1e6)
        parameters = struct.pack("<I" if large else "<H", (0x4200 << 16 if large else 0x4200) | self.size)
        path = self.route + _ROUTER
        data = struct.pack("<BBIIHHIB3x", *_TWO_SECONDS, 0, self.own_id, self.serial, _VENDOR, self.originator, 3)
        data += 2 * (struct.pack("<I", period) + parameters) + bytes([0xA3, len(path) // 2]) + path
        return CipRequest(service(LARGE_FORWARD_OPEN if large else FORWARD_OPEN, _OPENER, data))

    def closing(self) -> CipRequest:
        """What ends it again (Forward Close)."""
        path = self.route + _ROUTER
        data = struct.pack("<BBHHIBx", *_TWO_SECONDS, self.serial, _VENDOR, self.originator, len(path) // 2) + path
        return CipRequest(service(FORWARD_CLOSE, _OPENER, data))


class Identity(NamedTuple):
    """What a device says itself to be."""

    vendor: int
    device_type: int
    product_code: int
    revision: str
    serial: int
    name: str


def identity(data: bytes) -> Identity:
    """The first item of an answer to LIST_IDENTITY. Raises ValueError or struct.error."""
    count, kind, size = struct.unpack_from("<HHH", data)
    item = data[6 : 6 + size]
    if not count or kind != 0x0C or len(item) != size:
        raise ValueError("no identity")
    vendor, device_type, code, major, minor, _, serial, length = struct.unpack_from("<HHHBBHIB", item, 18)
    name = item[33 : 33 + length].decode("latin-1")
    return Identity(vendor, device_type, code, f"{major}.{minor}", serial, name)


class EthernetIpFraming(LineFraming[CipRequest]):
    ids = 1 << 16
    longest = 24 + 16 + 16384
    refusals = REFUSALS

    def __init__(self) -> None:
        self.session = 0
        self.their_id = self.own_id = 0
        """Of the connection: what the device calls it in requests, and we in answers."""

    def size(self, data: bytes | bytearray, searched: int) -> int:
        if len(data) < 4:
            return 0
        command, length = struct.unpack_from("<HH", data)
        if command not in _COMMANDS or (len(data) >= 24 and any(data[20:24])):
            raise ValueError("the answer is no EtherNet/IP; is this port 44818 of a device that speaks it?")
        return 24 + int(length)

    def wrap(self, request: CipRequest, number: int) -> bytes:
        if request.command == CONNECTED:
            items = struct.pack("<IHHHHIHHH", 0, 0, 2, 0xA1, 4, self.their_id, 0xB1, 2 + len(request.data), number)
        elif request.command == UNCONNECTED:
            items = struct.pack("<IHHHHHH", 0, 5, 2, 0, 0, 0xB2, len(request.data))
        else:
            items = b""
        body = items + request.data
        return _HEADER.pack(request.command, len(body), self.session, 0, struct.pack("<Q", number), 0) + body

    def opened(self, frame: bytes) -> bytes:
        """Number, command, session and status, then the message of CIP, or the data of what goes before all messages."""
        if len(frame) < 24:
            raise DamagedError
        command, _, session, status, context, _ = _HEADER.unpack_from(frame)
        number = int.from_bytes(context, "little")
        if status == _NO_SESSION:
            raise LinkError("the device does not know the session any more")
        if number >> 16 or status >> 16:
            raise DamagedError
        body = frame[24:]
        if command in (UNCONNECTED, CONNECTED) and not status:
            number, body = self._items(command, number, body)
        return struct.pack("<HHIH", number, command, session, status) + body

    def _items(self, command: int, number: int, body: bytes) -> tuple[int, bytes]:
        """What is in the two items of a message: whose answer it is, and the answer."""
        try:
            count, address, length = struct.unpack_from("<6xHHH", body)
            kind, size = struct.unpack_from("<HH", body, 12 + length)
        except struct.error as error:
            raise DamagedError from error
        message = body[16 + length :]
        if count < 2 or len(message) < size:
            raise DamagedError
        message = message[:size]
        if command == UNCONNECTED:
            if address or length or kind != 0xB2:
                raise DamagedError
            return number, message
        if (address, length, kind) != (0xA1, 4, 0xB1) or size < 2:
            raise DamagedError
        if int.from_bytes(body[12:16], "little") not in (self.own_id, self.their_id):  # cpppo gives its own back
            raise DamagedError
        return int.from_bytes(message[:2], "little"), message[2:]

    def number(self, frame: bytes) -> int:
        return int.from_bytes(frame[:2], "little")

    def answer(self, request: CipRequest, frame: bytes) -> Answer | None:
        """An answer of CIP as it is, also one that refuses; the status of a header that refuses."""
        command, session, status = struct.unpack_from("<HIH", frame, 2)
        if command != request.command:
            return None
        if status:
            return int(status)
        message = frame[10:]
        if command == REGISTER:
            self.session = session
            return message
        if command == LIST_IDENTITY:
            return message
        asked = request.service or request.data[0]
        if not message or message[0] not in (asked | 0x80, UNCONNECTED_SEND | 0x80):
            return None
        opened_reply(message)
        return message

    def foreign(self, request: CipRequest, frame: bytes) -> str:
        return f"asked by service {request.service or request.data[:1].hex()}, but another one was answered"
