"""What goes in a UDP datagram: BVLC, NPDU and APDU (ANSI/ASHRAE 135, annex J, clauses 6 and 20.1)."""

import socket
import struct
from dataclasses import dataclass
from enum import IntEnum
from typing import NamedTuple

from .encoding import MalformedError

PORT = 0xBAC0
MOST = 1476
"""Octets of an APDU over BACnet/IP, at most."""


class Station(NamedTuple):
    """Where a device is: by its own address, or behind a router's, with its network's number and its address there."""

    host: str
    port: int
    network: int = 0
    mac: bytes = b""

    def __str__(self) -> str:
        at = self.host if self.port == PORT else f"{self.host}:{self.port}"
        return f"{at}, network {self.network}, mac {shown_mac(self.mac)}" if self.network else at


def shown_mac(mac: bytes) -> str:
    """A number, or octets in hexadecimal with colons."""
    return str(mac[0]) if len(mac) == 1 else mac.hex(":")


class Bvlc(IntEnum):
    """Functions of the virtual link."""

    RESULT = 0
    FORWARDED = 4
    REGISTER_FOREIGN = 5
    DISTRIBUTE = 9
    UNICAST = 10
    BROADCAST = 11


class PduType(IntEnum):
    """Kinds of APDU."""

    CONFIRMED = 0
    UNCONFIRMED = 1
    SIMPLE_ACK = 2
    COMPLEX_ACK = 3
    SEGMENT_ACK = 4
    ERROR = 5
    REJECT = 6
    ABORT = 7


class Confirmed(IntEnum):
    """Confirmed services, by their numbers."""

    COV_NOTIFICATION = 1
    SUBSCRIBE_COV = 5
    READ_PROPERTY = 12
    READ_PROPERTY_MULTIPLE = 14
    WRITE_PROPERTY = 15


class Unconfirmed(IntEnum):
    """Unconfirmed services, by their numbers."""

    I_AM = 0
    COV_NOTIFICATION = 2
    WHO_IS = 8


@dataclass(frozen=True, slots=True)
class Apdu:
    """One that has come. `segment`: its number and the window that is proposed, where it is one of several."""

    kind: int
    service: int
    """Of a reject or an abort the reason."""
    invoke: int
    body: bytes
    segment: tuple[int, int] | None = None
    more: bool = False
    from_server: bool = True


@dataclass(frozen=True, slots=True)
class Received:
    """A datagram that has come. `apdu` is None for a message of the network layer, of this kind and contents."""

    source: Station
    apdu: Apdu | None
    message: int = 0
    contents: bytes = b""


def opened(data: bytes, host: str, port: int) -> Received | int | None:
    """What has come from this address: a BVLC result's code, or None for what is none of a client's business. Raises
    MalformedError."""
    try:
        return _opened(data, host, port)
    except (IndexError, struct.error) as error:
        raise MalformedError("it ends too early") from error


def _opened(data: bytes, host: str, port: int) -> Received | int | None:
    if data[0] != 0x81:
        raise MalformedError("no BACnet/IP")
    function, length = data[1], struct.unpack_from(">H", data, 2)[0]
    if length != len(data):
        raise MalformedError("another length than it says")
    if function == Bvlc.RESULT:
        return int(struct.unpack_from(">H", data, 4)[0])
    at = 4
    if function == Bvlc.FORWARDED:
        origin, port = struct.unpack_from(">4sH", data, 4)
        host = socket.inet_ntoa(origin)
        at = 10
    elif function not in (Bvlc.UNICAST, Bvlc.BROADCAST):
        return None
    source, control, at = _npdu(data, at, Station(host, port))
    if control & 0x80:
        return Received(source, None, data[at], data[at + 1 :])
    return Received(source, apdu(data, at))


def _npdu(data: bytes, at: int, source: Station) -> tuple[Station, int, int]:
    """From whom it comes, the control octet, and where the rest begins."""
    if data[at] != 1:
        raise MalformedError("another version of the protocol")
    control = data[at + 1]
    at += 2
    if control & 0x20:
        at += 3 + data[at + 2]
    if control & 0x08:
        network, size = struct.unpack_from(">HB", data, at)
        mac = data[at + 3 : at + 3 + size]
        if len(mac) != size or not size or network in (0, 0xFFFF):
            raise MalformedError("a source that is none")
        source = Station(source.host, source.port, network, mac)
        at += 3 + size
    return source, control, at + 1 if control & 0x20 else at


def apdu(data: bytes, at: int) -> Apdu:
    """Raises IndexError or struct.error where it ends too early."""
    first = data[at]
    kind = first >> 4
    segmented, more = bool(first & 8), bool(first & 4)
    if kind == PduType.UNCONFIRMED:
        return Apdu(kind, data[at + 1], 0, data[at + 2 :])
    if kind == PduType.CONFIRMED:
        at += 1
    elif kind > PduType.ABORT:
        raise MalformedError("an APDU of an unknown kind")
    invoke, service = data[at + 1], data[at + 2]
    if kind in (PduType.CONFIRMED, PduType.COMPLEX_ACK) and segmented:
        number, window, service = struct.unpack_from("3B", data, at + 2)
        return Apdu(kind, service, invoke, data[at + 5 :], (number, window), more)
    if kind == PduType.SEGMENT_ACK:
        return Apdu(
            kind, data[at + 2], invoke, data[at + 3 :], (data[at + 2], data[at + 3]), bool(first & 2), bool(first & 1)
        )
    return Apdu(kind, service, invoke, data[at + 3 :], None, False, bool(first & 1))


def bvlc(function: int, body: bytes) -> bytes:
    """A whole datagram."""
    return struct.pack(">BBH", 0x81, function, 4 + len(body)) + body


def unicast(to: Station, body: bytes, *, reply: bool) -> bytes:
    """An APDU to one device. `reply`: an answer is expected."""
    if not to.network:
        return bvlc(Bvlc.UNICAST, (b"\1\4" if reply else b"\1\0") + body)
    head = struct.pack(">BBHB", 1, 0x24 if reply else 0x20, to.network, len(to.mac)) + to.mac + b"\xff"
    return bvlc(Bvlc.UNICAST, head + body)


def broadcast(body: bytes, *, network: int = 0xFFFF, function: int = Bvlc.BROADCAST) -> bytes:
    """An APDU to all devices: of all networks, of one, or (0) of the local one."""
    head = struct.pack(">BBHBB", 1, 0x20, network, 0, 0xFF) if network else b"\1\0"
    return bvlc(function, head + body)


def confirmed(invoke: int, service: int, body: bytes, most: int = MOST) -> bytes:
    """A request. Answers in segments are taken, with no limit to their number, each of `most` octets."""
    sizes = {50: 0, 128: 1, 206: 2, 480: 3, 1024: 4, 1476: 5}
    code = max(code for size, code in sizes.items() if size <= max(50, most))
    return bytes((0x02, 0x70 | code, invoke, service)) + body


def segment_ack(invoke: int, number: int, window: int, *, again: bool = False) -> bytes:
    """Up to this segment all has come; `again`: send what follows it anew."""
    return bytes((0x40 | (2 if again else 0), invoke, number, window))


def simple_ack(invoke: int, service: int) -> bytes:
    """It was taken, without more to say."""
    return bytes((0x20, invoke, service))


def error(invoke: int, service: int, class_: int, code: int) -> bytes:
    """It was refused, for this reason."""
    return bytes((0x50, invoke, service, 0x91, class_, 0x91, code))


def abort(invoke: int, reason: int, *, server: bool = False) -> bytes:
    """The end of an exchange that is understood no more."""
    return bytes((0x70 | server, invoke, reason))
