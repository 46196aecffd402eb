"""Between node and broker: a relay that passes everything on and notes each MQTT packet, and packets taken apart and put
together again (MQTT 3.1.1 and 5, OASIS). Shares no code with the gateway."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from typing import Literal

CONNECT, CONNACK, PUBLISH, SUBSCRIBE, DISCONNECT = 1, 2, 3, 8, 14

Direction = Literal["node", "broker"]


@dataclass(frozen=True)
class Noted:
    """One packet, whole."""

    link: int
    """Which connection; they count from 0, also over several relays that share a log."""
    broker: str
    sender: Direction
    first: int
    body: bytes
    five: bool = False

    @property
    def kind(self) -> int:
        return self.first >> 4


@dataclass(frozen=True)
class Ended:
    """A connection is over."""

    link: int


Log = list[Noted | Ended]


@dataclass(frozen=True)
class Connect:
    """A CONNECT packet, as far as a checker wants it."""

    level: int
    clean: bool
    client: str
    keep_alive: int
    session_expiry: int = 0
    will_topic: str | None = None
    will_payload: bytes = b""
    will_qos: int = 0
    will_retain: bool = False

    @classmethod
    def read(cls, body: bytes) -> "Connect":
        name, at = _text(body, 0)
        assert name == "MQTT"
        level, flags, keep_alive = body[at], body[at + 1], int.from_bytes(body[at + 2 : at + 4], "big")
        at += 4
        expiry = 0
        if level == 5:
            size, at = _length(body, at)
            if body[at : at + 1] == b"\x11":
                expiry = int.from_bytes(body[at + 1 : at + 5], "big")
            at += size
        client, at = _text(body, at)
        found = cls(level, bool(flags & 2), client, keep_alive, expiry)
        if not flags & 4:
            return found
        if level == 5:
            size, at = _length(body, at)
            at += size
        topic, at = _text(body, at)
        size = int.from_bytes(body[at : at + 2], "big")
        return replace(
            found,
            will_topic=topic,
            will_payload=body[at + 2 : at + 2 + size],
            will_qos=flags >> 3 & 3,
            will_retain=bool(flags & 0x20),
        )

    def written(self) -> bytes:
        five = self.level == 5
        flags = 2 * self.clean
        if self.will_topic is not None:
            flags |= 4 | self.will_qos << 3 | 0x20 * self.will_retain
        properties = b""
        if five:
            properties = b"\x05\x11" + self.session_expiry.to_bytes(4, "big") if self.session_expiry else b"\0"
        body = _packed("MQTT") + bytes((self.level, flags)) + self.keep_alive.to_bytes(2, "big") + properties
        body += _packed(self.client)
        if self.will_topic is not None:
            body += (b"\0" if five else b"") + _packed(self.will_topic)
            body += len(self.will_payload).to_bytes(2, "big") + self.will_payload
        return body


@dataclass(frozen=True)
class Publish:
    """A PUBLISH packet."""

    topic: str
    payload: bytes
    qos: int = 0
    retain: bool = False

    @classmethod
    def read(cls, noted: Noted) -> "Publish":
        topic, at = _text(noted.body, 0)
        qos = noted.first >> 1 & 3
        at += 2 if qos else 0
        if noted.five:
            size, at = _length(noted.body, at)
            at += size
        return cls(topic, noted.body[at:], qos, bool(noted.first & 1))

    def written(self, noted: Noted) -> Noted:
        """In the place of another one."""
        body = _packed(self.topic) + (b"\0\1" if self.qos else b"") + (b"\0" if noted.five else b"") + self.payload
        return replace(noted, first=PUBLISH << 4 | self.qos << 1 | self.retain, body=body)


def subscriptions(noted: Noted) -> list[tuple[str, int]]:
    """Topic filter and QoS of each, of a SUBSCRIBE."""
    at, found = 2, []
    if noted.five:
        size, at = _length(noted.body, at)
        at += size
    while at < len(noted.body):
        topic, at = _text(noted.body, at)
        found.append((topic, noted.body[at] & 3))
        at += 1
    return found


def subscribe(noted: Noted, wanted: Iterable[tuple[str, int]]) -> Noted:
    """A SUBSCRIBE for these in the place of another one."""
    body = noted.body[:2] + (b"\0" if noted.five else b"")
    return replace(noted, body=body + b"".join(_packed(topic) + bytes((qos,)) for topic, qos in wanted))


def _packed(text: str) -> bytes:
    return len(text.encode()).to_bytes(2, "big") + text.encode()


def _text(data: bytes, at: int) -> tuple[str, int]:
    size = int.from_bytes(data[at : at + 2], "big")
    return data[at + 2 : at + 2 + size].decode(), at + 2 + size


def _length(data: bytes, at: int) -> tuple[int, int]:
    value = shift = 0
    while True:
        value |= (data[at] & 0x7F) << shift
        shift += 7
        at += 1
        if data[at - 1] < 0x80:
            return value, at


@dataclass
class Tap:
    """Relays to one broker; what it notes stands in `log`, which several may share."""

    broker: int
    name: str = "a"
    log: Log = field(default_factory=list)
    port: int = 0
    _writers: set[asyncio.StreamWriter] = field(default_factory=set)
    serving: set["asyncio.Task[None]"] = field(default_factory=set)

    async def serve(self, near: asyncio.StreamReader, back: asyncio.StreamWriter) -> None:
        """One connection of the node."""
        task = asyncio.current_task()
        assert task is not None
        self.serving.add(task)
        task.add_done_callback(self.serving.discard)
        link = 1 + max((each.link for each in self.log), default=-1)
        far, forth = await asyncio.open_connection("127.0.0.1", self.broker)
        self._writers |= {back, forth}
        notes = _Notes(self, link)
        try:
            passing = [
                asyncio.create_task(notes.relay(near, forth, "node")),
                asyncio.create_task(notes.relay(far, back, "broker")),
            ]
            await asyncio.wait(passing)
        finally:
            self.log.append(Ended(link))
            self._writers -= {back, forth}

    def cut(self) -> None:
        """End all connections without a word."""
        for writer in self._writers:
            with contextlib.suppress(OSError, RuntimeError):
                writer.transport.abort()


class _Notes:
    def __init__(self, tap: Tap, link: int) -> None:
        self._tap = tap
        self._link = link
        self._five = False

    async def relay(self, source: asyncio.StreamReader, target: asyncio.StreamWriter, sender: Direction) -> None:
        pending = b""
        try:
            while data := await source.read(1 << 16):
                pending = self._note(pending + data, sender)
                target.write(data)
                await target.drain()
        except OSError:
            pass
        finally:
            target.close()

    def _note(self, data: bytes, sender: Direction) -> bytes:
        while True:
            try:
                size, start = _length(data, 1)
            except IndexError:
                return data
            if len(data) < start + size:
                return data
            body = data[start : start + size]
            if data[0] >> 4 == CONNECT:
                self._five = Connect.read(body).level == 5
            self._tap.log.append(Noted(self._link, self._tap.name, sender, data[0], body, self._five))
            data = data[start + size :]


@asynccontextmanager
async def tap(broker: int, name: str = "a", log: Log | None = None) -> AsyncIterator[Tap]:
    """A relay on a free port of this machine."""
    found = Tap(broker, name, [] if log is None else log)
    server = await asyncio.start_server(found.serve, "127.0.0.1", 0)
    found.port = server.sockets[0].getsockname()[1]
    try:
        yield found
    finally:
        server.close()
        found.cut()
        await asyncio.gather(*found.serving, return_exceptions=True)
