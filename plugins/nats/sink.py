"""The NATS sink. A record is acknowledged when the stream has acknowledged all messages that it became."""

import asyncio
from collections import deque
from collections.abc import Mapping, Sequence
from typing import Any

import orjson

from gateway.kit import route
from gateway.plugin import (
    Device,
    Lane,
    LinkError,
    Message,
    Record,
    RefusedError,
    Sink,
    SinkHost,
    UnreachableError,
    cleaned,
    format_duration,
)

from .config import NatsConfig
from .jetstream import Stream, explained, find_stream, too_large
from .proof import proof
from .protocol import CONTROL_LINE, subject_of
from .session import NatsSession, Outgoing, Refusal

PATIENCE = 24.0
"""Seconds in which all servers are tried; the publisher gives up after 30."""
FAREWELL = 1.0
"""Seconds that a stream gets to take the last message."""
AT_ONCE = 32
"""Records encoded before it is looked whether the network takes more."""

NEXT, TOLD = "next_server", "told"
"""What one connection leaves for the next: the server to dial first, and what was said of devices, by subject."""

EXPOSED = "the network can read the password or token: set tls"


class _Delivery:
    """One attempt to deliver a record; what comes back with the answer to each of its messages."""

    __slots__ = ("missing", "record", "subject")

    def __init__(self, record: Record, messages: int, subject: str) -> None:
        self.record = record
        self.missing = messages
        """Messages without an answer; 0 once it is settled."""
        self.subject = subject


class _Statement:
    """A description or state on its way, which is no record: nobody waits for it."""

    __slots__ = ("said", "subject")

    def __init__(self, subject: str, said: int) -> None:
        self.subject = subject
        self.said = said
        """A hash of what it says, apart from when."""


class NatsSink(Sink[NatsConfig]):
    def __init__(self, config: NatsConfig, host: SinkHost) -> None:
        super().__init__(config, host)
        self._encoder = host.encoder(config.topic, config.per_tag)
        self._own = subject_of(self._encoder.gateway_state(online=False).topic)
        self._session: NatsSession | None = None
        self._stream = Stream()
        self._alarms: deque[Record] = deque()
        self._data: deque[Record] = deque()
        self._answers = 0
        self._saying: dict[str, int] = {}
        """What was said of devices on this connection, by subject: its hash."""
        self._said: set[str] = set()
        """Why descriptions or states were refused, as far as it was logged."""
        own = f"Gateway: {cleaned(host.gateway)}\r\nContent-Type: application/json\r\n"
        if config.stream:
            own += f"Nats-Expected-Stream: {config.stream}\r\n"
        self._headers = f"NATS/1.0\r\n{own}".encode()

    @property
    def session(self) -> NatsSession:
        """The connection. Raises LinkError before there is one."""
        if self._session is None:
            raise LinkError("not connected")
        return self._session

    @property
    def promise(self) -> Mapping[str, Any]:
        if self._session is None or self._session.info is None:
            return {}
        window = self._stream.duplicate_window
        said = {
            "protocol": f"NATS {self._session.info.version}, JetStream",
            "encryption": self._session.encryption,
            "server": self._session.name,
            "stream": self._stream.name or "?",
            "duplicate_window": format_duration(window) if window else "?",
            "repeats_dropped": self._session.repeats,
        }
        if self._stream.weaker:
            said["weaker"] = f"stream {self._stream.name}: {self._stream.weaker}"
        return {**said, "exposed": EXPOSED} if self.config.exposed else said

    @property
    def progress(self) -> int:
        return self._answers

    async def connect(self) -> None:
        await self._connect(make=True)
        self.session.on_room = self._feed
        self._tell(self._encoder.gateway_state(online=True))

    async def _connect(self, *, make: bool) -> None:
        """One server after the other, beginning behind the one that was connected last."""
        servers = self.config.addresses
        first = self.host.memory.get(NEXT, 0)
        failures: list[LinkError] = []
        for turn in range(len(servers)):
            at = (first + turn) % len(servers)
            host, port = servers[at]
            try:
                async with asyncio.timeout(PATIENCE / len(servers)):
                    self._session = await self._open(host, port, make)
            except LinkError as error:
                failures.append(error)
            except TimeoutError:
                failures.append(
                    UnreachableError(f"server {host}:{port} does not answer in {PATIENCE / len(servers):g} s")
                )
            else:
                self.host.memory[NEXT] = (at + 1) % len(servers)
                return
        if len(failures) == 1:
            raise failures[0]
        kinds = (UnreachableError, RefusedError)
        kind = next((each for each in kinds if all(isinstance(error, each) for error in failures)), LinkError)
        raise kind(f"none of {len(servers)} servers takes us: {'; '.join(map(str, failures))}")

    async def _open(self, host: str, port: int, make: bool) -> NatsSession:
        config = self.config
        session = NatsSession(host, port, config.inbox, self._taken, self._refused, route(config))
        await session.begin(config.tls, config.tls_first, lambda nonce: proof(config, nonce), self.host.gateway)
        try:
            self._stream = await find_stream(session, config, self._own, make=make)
        except BaseException:
            await session.abort()
            raise
        return session

    async def serve(self) -> None:
        ended = self.session.ended
        await asyncio.wait([ended])
        raise ended.result()

    # Records out

    def send(self, records: Sequence[Record]) -> None:
        for record in records:
            (self._alarms if record.lane is Lane.ALARM else self._data).append(record)
        self._feed()

    def _feed(self) -> None:
        """Send what waits, as far as the network takes it; events first."""
        session = self.session
        while (self._alarms or self._data) and not session.full and not session.ended.done():
            out: list[Outgoing] = []
            for _ in range(AT_ONCE):
                waiting = self._alarms or self._data
                if not waiting:
                    break
                self._encode(waiting.popleft(), out)
            session.publish(out)

    def _encode(self, record: Record, out: list[Outgoing]) -> None:
        """The messages of a record; none, when one is too large for the server."""
        messages = self._encoder.messages(record)
        if not messages:
            self.host.acknowledged([record])
            return
        name = record.id
        about = f"Record: {name}\r\nKind: {record.kind.name.lower()}\r\n"
        delivery = _Delivery(record, len(messages), subject_of(messages[0].topic))
        made = []
        for part, (subject, payload) in enumerate((subject_of(each.topic), each.payload) for each in messages):
            headers = self._headers + f"{about}Nats-Msg-Id: {f'{name}:{part}' if part else name}\r\n\r\n".encode()
            if wrong := self._too_large(subject, len(headers) + len(payload)):
                self.host.refused(record, wrong, True)
                return
            made.append(Outgoing(subject.encode(), headers, payload, delivery))
        out += made

    def _too_large(self, subject: str, size: int) -> str:
        most = self.session.info.max_payload if self.session.info else 0
        if size > most:
            return too_large(size, most)
        if len(subject.encode()) > CONTROL_LINE - 512:
            return f"a subject of {len(subject.encode())} bytes: shorten the names in it"
        return ""

    def _taken(self, deliveries: list[Any]) -> None:
        self._answers += len(deliveries)
        done = []
        for each in deliveries:
            if isinstance(each, _Statement):
                self.host.memory.setdefault(TOLD, {})[each.subject] = each.said
            elif each.missing:
                each.missing -= 1
                if not each.missing:
                    done.append(each.record)
        if done:
            self.host.acknowledged(done)

    def _refused(self, delivery: Any, refusal: Refusal) -> None:
        reason, final = explained(refusal, delivery.subject, self.config)
        if isinstance(delivery, _Statement):
            if reason not in self._said and len(self._said) < 100:
                self._said.add(reason)
                self.log.warning("the server does not take descriptions or states", reason=reason)
        elif delivery.missing:
            delivery.missing = 0
            self.host.refused(delivery.record, reason, final)

    # Descriptions and states

    def device_changed(self, device: Device, online: bool, reason: str) -> None:
        self._tell(self._encoder.description(device))
        self._tell(self._encoder.state(device, online, reason))
        self._tell(self._encoder.gateway_state(online=True))

    def _tell(self, message: Message) -> None:
        """Say it, if it is not what was said last: a stream keeps all of it."""
        subject = subject_of(message.topic)
        said = hash(orjson.dumps({**orjson.loads(message.payload), "ts": None}))
        if said == self._saying.get(subject, self.host.memory.get(TOLD, {}).get(subject)):
            return
        headers = self._headers + b"\r\n"
        if wrong := self._too_large(subject, len(headers) + len(message.payload)):
            self.log.warning("a description or state is left out", subject=subject, reason=wrong)
            return
        self._saying[subject] = said
        self.session.publish([Outgoing(subject.encode(), headers, message.payload, _Statement(subject, said))])

    async def check(self) -> str:
        """Logs in and looks at the stream; publishes nothing, and makes nothing."""
        await self._connect(make=False)
        session = self.session
        version = session.info.version if session.info else "?"
        found = f"NATS {version} at {session.name}, encryption: {session.encryption}, {self._stream.words}"
        await session.abort()
        return found

    async def close(self) -> None:
        """Say that the gateway is offline, and good-bye."""
        session = self.session
        self._alarms.clear()
        self._data.clear()
        if not session.ended.done() and not session.full:
            self._tell(self._encoder.gateway_state(online=False))
            await session.settle(FAREWELL)
        await session.abort()
