"""A UDP port of this machine, over which all devices with the same `local_host` and `local_port` are asked: who asks waits
for its own answer, so that a silent device keeps no other one waiting."""

import asyncio
import errno
import random
import socket
from collections import Counter, defaultdict
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any
from weakref import WeakKeyDictionary

from gateway.plugin import DeviceError, LinkError, RefusedError, cleaned

from . import frames
from .encoding import MalformedError
from .frames import Apdu, Bvlc, Confirmed, PduType, Received, Station, Unconfirmed
from .refusals import refused
from .services import IAm, Notification, i_am, notification

_WINDOW = 16
"""Segments that a device may send before it waits for a word of ours."""
_LARGEST = 1 << 20
"""Octets of an answer in segments."""
_REJECT_TO_NETWORK = 3
"""A message of the network layer."""
_UNKNOWN_SUBSCRIPTION = (5, 79)


@dataclass(slots=True)
class _Exchange:
    """A request under way."""

    service: int
    answer: "asyncio.Future[bytes]"
    segments: list[bytes] = field(default_factory=list)
    size: int = 0
    heard: int = 0
    """How often something of the answer has come."""
    window: int = 0


class LocalPort(asyncio.DatagramProtocol):
    """Made by `open_port`."""

    def __init__(self, host: str, port: int) -> None:
        self.key = host, port
        self._transport: asyncio.DatagramTransport | None = None
        self._ear: asyncio.DatagramTransport | None = None
        self.users = 0
        self.counts: Counter[str] = Counter()
        self._open: dict[tuple[Station, int], _Exchange] = {}
        self._last: dict[Station, int] = {}
        self.present: set[Callable[[Station, IAm], None]] = set()
        """Who hears each I-Am."""
        self.changed: dict[int, Callable[[Station, Notification], bool]] = {}
        """By the process number of their subscriptions, who hears notifications; false for one that it does not know."""
        self._confirmed: dict[Station, tuple[int, bytes, bool]] = {}
        """The last confirmed notification of each device, with whether it was known: a repeated one is only answered."""
        self._results: asyncio.Queue[int] = asyncio.Queue(4)
        self._registering = asyncio.Lock()
        self.registered: dict[Station, float] = {}
        """Broadcast distributors with which it is registered, and until when, by the loop's clock."""
        self.not_bacnet: tuple[str, int] | None = None
        """Who last sent what is no BACnet, or damaged."""
        self.trouble = ""
        """What the system last said of a datagram that was not sent."""

    async def open(self, broadcast: str) -> None:
        """Raises LinkError in words."""
        host, port = self.key
        made = asyncio.get_running_loop().create_datagram_endpoint
        try:
            self._transport, _ = await made(lambda: self, local_addr=(host or "0.0.0.0", port), allow_broadcast=True)
        except OSError as error:
            raise LinkError(_why_not(error, host, port)) from error
        if host and port and not host.startswith("127."):
            # Linux gives broadcasts to nobody who has named an address of his own.
            ear = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
            try:
                ear.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
                ear.setblocking(False)
                ear.bind((broadcast, port))
                self._ear, _ = await made(lambda: _Ear(self), sock=ear)
            except OSError:
                ear.close()  # then devices are found by their direct answers alone
            except BaseException:
                ear.close()
                self.close()
                raise

    @property
    def closed(self) -> bool:
        """Whether nothing goes over it any more."""
        return self._transport is None or self._transport.is_closing()

    def close(self) -> None:
        """Whoever waits for an answer gets a LinkError."""
        for transport in (self._transport, self._ear):
            if transport is not None:
                transport.close()

    # Asking.

    async def request(
        self, to: Station, service: int, body: bytes, *, patience: float, retries: int, most: int = frames.MOST
    ) -> bytes:
        """The body of the answer; empty where it is a mere acknowledgement. `patience`: seconds for each try. Raises
        TimeoutError, AnswerError, or DeviceError where the network refuses."""
        invoke = self._invoke(to)
        exchange = _Exchange(service, asyncio.get_running_loop().create_future())
        self._open[to, invoke] = exchange
        datagram = frames.unicast(to, frames.confirmed(invoke, service, body, most), reply=True)
        try:
            for attempt in range(retries + 1):
                exchange.segments, exchange.size = [], 0
                if attempt:
                    self.counts["retries"] += 1
                self.send(datagram, to)
                heard = -1
                while heard != exchange.heard:  # segments are coming
                    heard = exchange.heard
                    await asyncio.wait([exchange.answer], timeout=patience)
                    if exchange.answer.done():
                        return exchange.answer.result()
            raise TimeoutError
        finally:
            del self._open[to, invoke]
            if exchange.answer.done() and not exchange.answer.cancelled():
                exchange.answer.exception()

    def _invoke(self, to: Station) -> int:
        last = self._last.get(to)
        invoke = random.randrange(256) if last is None else (last + 1) & 0xFF
        for _ in range(256):
            if (to, invoke) not in self._open:
                self._last[to] = invoke
                return invoke
            invoke = (invoke + 1) & 0xFF
        raise DeviceError("256 requests to the device are under way at once")

    def send(self, datagram: bytes, to: Station) -> None:
        """One datagram; that it goes is not sure."""
        self.send_to(datagram, to.host, to.port)

    def send_to(self, datagram: bytes, host: str, port: int) -> None:
        """Likewise, to any address."""
        if self._transport is not None and not self.closed:
            self._transport.sendto(datagram, (host, port))

    async def register(self, bbmd: Station, ttl: int, patience: float) -> None:
        """As a foreign device, unless it is so for at least half of the time still. Raises TimeoutError or RefusedError."""
        clock = asyncio.get_running_loop().time
        async with self._registering:
            if self.registered.get(bbmd, 0.0) - ttl / 2 > clock():
                return
            while not self._results.empty():
                self._results.get_nowait()
            self.send(frames.bvlc(Bvlc.REGISTER_FOREIGN, ttl.to_bytes(2, "big")), bbmd)
            try:
                async with asyncio.timeout(patience):
                    code = await self._results.get()
            except TimeoutError:
                raise TimeoutError(
                    f"no answer from the BBMD {bbmd}: is it one, and does it take foreign devices?"
                ) from None
            if code:
                raise RefusedError(
                    f"the BBMD {bbmd} refuses this gateway as a foreign device (0x{code:04X}): let it take foreign devices"
                )
            self.registered[bbmd] = clock() + ttl

    # What comes.

    def error_received(self, exc: Exception) -> None:
        self.trouble = cleaned(str(exc), 120)

    def connection_lost(self, exc: Exception | None) -> None:
        for exchange in self._open.values():
            if not exchange.answer.done():
                exchange.answer.set_exception(LinkError("the UDP port was closed"))

    def datagram_received(self, data: bytes, addr: tuple[Any, ...]) -> None:
        try:
            received = frames.opened(data, addr[0], addr[1])
            if isinstance(received, int):
                if not self._results.full():
                    self._results.put_nowait(received)
            elif received is not None and received.apdu is not None:
                self._take(received.source, received.apdu)
            elif received is not None:
                self._network_says(received)
        except MalformedError:
            self.counts["damaged_answers"] += 1
            self.not_bacnet = addr[0], addr[1]

    def _network_says(self, received: Received) -> None:
        if received.message != _REJECT_TO_NETWORK or len(received.contents) < 3:
            return
        network = int.from_bytes(received.contents[1:3], "big")
        error = DeviceError(
            f"the router {received.source} does not pass requests on to network {network}"
            f" (reason {received.contents[0]}): is `network` right, and is that network up?"
        )
        for (station, _), exchange in self._open.items():
            if station.network == network and station.host == received.source.host and not exchange.answer.done():
                exchange.answer.set_exception(error)

    def _take(self, source: Station, apdu: Apdu) -> None:
        if apdu.kind == PduType.UNCONFIRMED:
            if apdu.service == Unconfirmed.I_AM:
                said = i_am(apdu.body)
                for hear in tuple(self.present):
                    hear(source, said)
            elif apdu.service == Unconfirmed.COV_NOTIFICATION:
                self._notified(source, apdu.body)
        elif apdu.kind == PduType.CONFIRMED:
            self._asked(source, apdu)
        elif apdu.kind == PduType.SEGMENT_ACK or (not apdu.from_server and apdu.kind == PduType.ABORT):
            self.counts["stray_answers"] += 1
        else:
            self._answered(source, apdu)

    def _answered(self, source: Station, apdu: Apdu) -> None:
        exchange = self._open.get((source, apdu.invoke))
        by_service = apdu.kind in (PduType.SIMPLE_ACK, PduType.COMPLEX_ACK, PduType.ERROR)
        if exchange is None or exchange.answer.done() or (by_service and apdu.service != exchange.service):
            self.counts["stray_answers"] += 1
        elif apdu.segment is not None:
            self._segment(source, exchange, apdu)
        elif apdu.kind in (PduType.SIMPLE_ACK, PduType.COMPLEX_ACK):
            exchange.answer.set_result(apdu.body)
        else:
            exchange.answer.set_exception(refused(apdu))

    def _segment(self, source: Station, exchange: _Exchange, apdu: Apdu) -> None:
        assert apdu.segment is not None
        number, proposed = apdu.segment
        wanted = len(exchange.segments)
        window = max(1, min(proposed, _WINDOW))
        if number != wanted & 0xFF:
            again = frames.segment_ack(apdu.invoke, (wanted - 1) & 0xFF, window, again=True)
            if wanted:  # else the first one is lost, and the whole is asked for again
                self.send(frames.unicast(source, again, reply=False), source)
            return
        exchange.segments.append(apdu.body)
        exchange.size += len(apdu.body)
        exchange.heard += 1
        if exchange.size > _LARGEST:
            exchange.answer.set_exception(DeviceError(f"an answer of more than {_LARGEST} octets"))
            self.send(frames.unicast(source, frames.abort(apdu.invoke, 1), reply=False), source)
            return
        exchange.window = 1 if not wanted else exchange.window + 1
        if not apdu.more or not wanted or exchange.window >= window:
            exchange.window = 0
            self.send(frames.unicast(source, frames.segment_ack(apdu.invoke, number, window), reply=False), source)
        if not apdu.more:
            exchange.answer.set_result(b"".join(exchange.segments))

    def _asked(self, source: Station, apdu: Apdu) -> None:
        """A request of the device: a notification that it wants an answer to; we have nothing else to be asked for."""
        if apdu.service != Confirmed.COV_NOTIFICATION or apdu.segment is not None:
            answer = bytes((PduType.REJECT << 4, apdu.invoke, 9))
        else:
            before = self._confirmed.get(source)
            if before is not None and before[:2] == (apdu.invoke, apdu.body):
                self.counts["repeated_notifications"] += 1
                known = before[2]
            else:
                known = self._notified(source, apdu.body)
                if known:
                    self._confirmed[source] = apdu.invoke, apdu.body, known
            service = Confirmed.COV_NOTIFICATION
            answer = (
                frames.simple_ack(apdu.invoke, service)
                if known
                else frames.error(apdu.invoke, service, *_UNKNOWN_SUBSCRIPTION)
            )
        self.send(frames.unicast(source, answer, reply=False), source)

    def _notified(self, source: Station, body: bytes) -> bool:
        said = notification(body)
        hear = self.changed.get(said.process)
        if hear is not None and hear(source, said):
            return True
        self.counts["stray_notifications"] += 1
        return False


class _Ear(asyncio.DatagramProtocol):
    """Hears broadcasts beside a port."""

    def __init__(self, port: LocalPort) -> None:
        self._port = port

    def datagram_received(self, data: bytes, addr: tuple[Any, ...]) -> None:
        self._port.datagram_received(data, addr)


def _why_not(error: OSError, host: str, port: int) -> str:
    where = f"UDP port {port} of {host or 'this machine'}"
    if error.errno == errno.EADDRINUSE:
        return (
            f"{where} is in use, by another BACnet program or a second gateway on this machine: stop that, or give this one"
            " a port of its own with local_port = 47809, and name each device's host: answers to a broadcast go to 47808"
        )
    if error.errno == errno.EADDRNOTAVAIL:
        return f"this machine has no address {host}: local_host is to be one of its own"
    return f"{where} cannot be opened: {error.strerror or error}"


_ports: WeakKeyDictionary[asyncio.AbstractEventLoop, dict[tuple[str, int], LocalPort]] = WeakKeyDictionary()
_opening: WeakKeyDictionary[asyncio.AbstractEventLoop, defaultdict[tuple[str, int], asyncio.Lock]] = WeakKeyDictionary()


async def open_port(host: str, port: int, broadcast: str) -> LocalPort:
    """The port, which is open as long as somebody uses it: each call is to be followed by one of `leave_port`. Raises
    LinkError."""
    loop = asyncio.get_running_loop()
    ports, key = _ports.setdefault(loop, {}), (host, port)
    async with _opening.setdefault(loop, defaultdict(asyncio.Lock))[key]:
        found = ports.get(key)
        if found is None or found.closed:
            found = LocalPort(host, port)
            await found.open(broadcast)
            ports[key] = found
        found.users += 1
        return found


def leave_port(port: LocalPort) -> None:
    """Closes it after its last user."""
    port.users -= 1
    if not port.users:
        ports = _ports[asyncio.get_running_loop()]
        if ports.get(port.key) is port:
            del ports[port.key]
        port.close()
