"""A session of EtherNet/IP with one device, and the connection that its messages go by."""

import contextlib
import random
import struct

from gateway.kit.line import NO_ANSWER, AskingPace, LineManners, RequestLine, open_line
from gateway.plugin import LinkError, RefusedError

from .config import EthernetIpDevice
from .frames import (
    CONNECTED,
    LIST_IDENTITY,
    REFUSALS,
    REGISTER,
    CipRequest,
    Connection,
    EthernetIpFraming,
    Identity,
    identity,
    opened_reply,
    routed,
)
from .plan import Room
from .status_codes import meaning

_UNCONNECTED = 480
"""Bytes of a message without a connection, at most, with the route."""

_NUMBERED = 8
"""Bytes of a message of a connection that are not for CIP's."""

_SMALL = ("2080-", "1761-", "1763-", "1764-", "1766-", "1747-", "1785-")
"""How catalogue numbers of controllers begin that have no chassis with a route into it."""

_IN_CHASSIS = (0x0C, 0x0E)
"""Kinds of devices: communication adapter, programmable controller."""

_WRONG_WAY = frozenset({0x0204, 0x0205, 0x0311, 0x0312, 0x0315})
_NONE_LEFT = 0x0113


class Session:
    """What was agreed upon with a device, on one line."""

    def __init__(self, config: EthernetIpDevice, pace: AskingPace) -> None:
        self.identity: Identity | None = None
        self.not_connected = ""
        """Why the device gives no connection, where one was wanted."""
        self._config, self._pace = config, pace
        self._framing = EthernetIpFraming()
        self._connection: Connection | None = None
        self._route = b""
        manners = LineManners(max_in_flight=config.max_in_flight, protocol="EtherNet/IP")
        self.line: RequestLine[CipRequest] = RequestLine(f"{config.host}:{config.port}", self._framing, manners)

    async def open(self, scan: float) -> None:
        """`scan`: seconds between two requests, at most. Raises LinkError or RefusedError, and then leaves nothing open."""
        config = self._config
        look_at = f"is this the device's address, and is port {config.port} open on the way?"
        await open_line(self.line, config.host, config.port, look_at=look_at)
        try:
            await self._hello(CipRequest(b"\1\0\0\0", REGISTER), "register a session")
            self.identity = await self._asked_identity()
            way = config.way()
            self._route = default_route(self.identity) if way is None else way
            if config.connected:
                await self._connect(scan)
        except BaseException:
            await self.line.close()
            raise

    @property
    def room(self) -> Room:
        """Of a message."""
        size = self._connection.size - _NUMBERED if self._connection else _UNCONNECTED - len(self._route)
        return Room(size, size)

    def request(self, message: bytes) -> CipRequest:
        """The message as it goes on this line."""
        if self._connection is not None:
            return CipRequest(message, CONNECTED)
        return routed(message, self._route, self._config.timeout)

    async def end(self) -> None:
        """Give the connection back, of which devices have few."""
        if self._connection is not None:
            with contextlib.suppress(LinkError):
                await self.line.exchange([self._connection.closing()], AskingPace(0.3, 0.3), urgent=True)

    async def _hello(self, request: CipRequest, what: str) -> bytes:
        (answer,) = await self.line.exchange([request], self._pace)
        if isinstance(answer, bytes):
            return answer
        host = self._config.host
        if answer == NO_ANSWER:
            raise LinkError(f"{host}: connected, but no answer; is this the EtherNet/IP port of the device?")
        raise LinkError(f"{host}: the device does not {what} ({REFUSALS.words(answer)})")

    async def _asked_identity(self) -> Identity | None:
        """What the device says itself to be; None where it does not, which is no reason not to read it."""
        (answer,) = await self.line.exchange([CipRequest(b"", LIST_IDENTITY)], self._pace)
        with contextlib.suppress(LookupError, ValueError, struct.error):
            return identity(answer) if isinstance(answer, bytes) else None
        return None

    async def _connect(self, scan: float) -> None:
        """A connection with the largest messages that the device grants. Raises RefusedError for a wrong route; where it has
        none left, or knows none, messages go without."""
        wanted = self._config.message_size
        for size in (wanted, 500) if wanted > 511 else (wanted,):
            ids = random.getrandbits(32) or 1, random.getrandbits(16), random.getrandbits(32)
            connection = Connection(size, self._route, *ids, max(60.0, 8 * scan))
            reply = opened_reply(await self._hello(connection.opening(), "open a connection"))
            if reply.status == 0 and len(reply.data) >= 4:
                self._framing.their_id = int.from_bytes(reply.data[:4], "little")
                self._framing.own_id = connection.own_id
                self._connection, self.not_connected = connection, ""
                self.line.lower_in_flight(1)  # a connection of class 3 carries one request at a time
                return
            words, _ = meaning(reply.status, reply.more)
            if reply.status == 1 and reply.more in _WRONG_WAY:
                raise RefusedError(f"{self._config.host}: {words}")
            self.not_connected = words
            if reply.status == 1 and reply.more == _NONE_LEFT:
                return


def default_route(who: Identity | None) -> bytes:
    """Slot 0 of the backplane behind a controller or module of a chassis; of other devices none."""
    in_chassis = who is not None and who.device_type in _IN_CHASSIS and not who.name.startswith(_SMALL)
    return b"\1\0" if in_chassis else b""
