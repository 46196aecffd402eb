"""A real OPC UA server bent: a proxy between it and a client that changes what some services answer.

Without security (policy None) messages can be read on the way: they are put together, decoded with the library's codecs,
answered as a `Bend` says, and sent on under sequence numbers of their own, since answers may be left out or added.
"""

import asyncio
import struct
from collections.abc import Awaitable, Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any

from asyncua import ua
from asyncua.common.utils import Buffer
from asyncua.ua.ua_binary import nodeid_from_binary, struct_from_binary, struct_to_binary

CHUNK = 60_000
"""Bytes of a message in one chunk."""
_HEAD = struct.Struct("<3scI")
_ID = struct.Struct("<I")


@dataclass(slots=True)
class Exchange:
    """One request and its answer, on their way through the proxy."""

    asked: Any
    """The request."""
    body: bytes
    """The server's right answer."""
    state: dict[str, Any]
    """What bends keep from one exchange to the next."""
    rows: Mapping[int, int]
    """Client handle → number of the tag, of the items that the client has made."""
    request: int = 0
    """Number of the request on the channel."""

    @property
    def answer(self) -> Any:
        """The right answer, decoded anew each time; a fault is one too."""
        kind = ua.extension_objects_by_typeid[nodeid_from_binary(Buffer(self.body))]
        return struct_from_binary(kind, Buffer(self.body))


class HangUpError(Exception):
    """The connection is closed in place of an answer."""


@dataclass(frozen=True, slots=True)
class Under:
    """An answer under another number than that of the request."""

    request: int
    body: Any


Bend = Callable[[Exchange], Any | Awaitable[Any]]
"""From an exchange to what the client is answered: a response or its bytes, `Under` another number, a list of several, or
None for silence. Raises HangUpError."""


def fault(name: str) -> ua.ServiceFault:
    """The answer that refuses a request as a whole."""
    made = ua.ServiceFault()
    made.ResponseHeader.ServiceResult = ua.StatusCode(getattr(ua.StatusCodes, name))
    return made


def _decoded(body: bytes) -> Any:
    kind = ua.extension_objects_by_typeid.get(nodeid_from_binary(Buffer(body)))
    return struct_from_binary(kind, Buffer(body)) if kind is not None else None


def tag_of(node: ua.NodeId) -> int:
    """Number of the tag whose node it is, such as 5 of P5; -1 for any other node."""
    name = node.Identifier
    return int(name[1:]) if isinstance(name, str) and name[:1] == "P" and name[1:].isdigit() else -1


class BendingProxy:
    """Passes on to the server at `upstream`, a port of this machine; `bends` may be changed at any time."""

    def __init__(self, upstream: int) -> None:
        self.upstream = upstream
        self.port = 0
        self.bends: Mapping[str, Bend] = {}
        """Name of a service, such as "Read" → how its answers are bent."""
        self.asks: Mapping[str, Callable[[Any], Any]] = {}
        """Name of a service → what the server is asked in place of what the client asks."""
        self.unasked: frozenset[str] = frozenset()
        """Services of which the server does not hear while they are bent: it would do what it is asked."""
        self.forgetful = False
        """Whether sessions of before are unknown here, and their subscriptions: clients must begin anew."""
        self.state: dict[str, Any] = {}
        self.served: set[str] = set()
        """Services that were bent since `bends` was set."""
        self._tasks: set[asyncio.Task[None]] = set()
        self._writers: set[asyncio.StreamWriter] = set()

    async def __aenter__(self) -> "BendingProxy":
        self._server = await asyncio.start_server(self._accept, "127.0.0.1", 0)
        self.port = self._server.sockets[0].getsockname()[1]
        return self

    async def __aexit__(self, *_: object) -> None:
        self._server.close()
        self.cut()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    def cut(self) -> None:
        """Break all connections; new ones are welcome."""
        for writer in list(self._writers):
            writer.transport.abort()

    async def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._tasks.add(task)
        try:
            up_reader, up_writer = await asyncio.open_connection("127.0.0.1", self.upstream)
            ends = {writer, up_writer}
            self._writers |= ends
            try:
                passing = _Passing(self, writer, up_writer)
                both = [asyncio.ensure_future(passing.up(reader)), asyncio.ensure_future(passing.down(up_reader))]
                await asyncio.wait(both, return_when=asyncio.FIRST_COMPLETED)
                for each in both:
                    each.cancel()
                await asyncio.gather(*both, return_exceptions=True)
                passing.stop()
            finally:
                self._writers -= ends
                for each in ends:
                    each.transport.abort()
        except (OSError, asyncio.CancelledError):
            writer.transport.abort()
        finally:
            self._tasks.discard(task)


@dataclass(slots=True)
class _Direction:
    """Numbers of the chunks that are sent one way, and the parts of a message that is still to be completed."""

    number: int = 0
    parts: list[bytes] = field(default_factory=list)

    def next(self) -> int:
        self.number += 1
        return self.number


class _Passing:
    """One connection of a client."""

    def __init__(self, proxy: BendingProxy, client: asyncio.StreamWriter, server: asyncio.StreamWriter) -> None:
        self._proxy = proxy
        self._client, self._server = client, server
        self._up, self._down = _Direction(), _Direction()
        self._asked: dict[int, Any] = {}
        self._rows: dict[int, int] = {}
        self._token = b""
        """Channel and token under which the server answers."""
        self._new_session = False
        self._late: set[asyncio.Task[None]] = set()

    def stop(self) -> None:
        """Forget answers that are still to be sent."""
        for task in self._late:
            task.cancel()

    async def up(self, reader: asyncio.StreamReader) -> None:
        """From the client to the server, until one of them goes."""
        with suppress(OSError, asyncio.IncompleteReadError):
            while True:
                kind, last, rest = await _chunk(reader)
                if kind == b"MSG":
                    self._request(last, rest)
                else:
                    self._server.write(_renumbered(kind, last, rest, self._up))
                await self._server.drain()

    def _request(self, last: bytes, rest: bytes) -> None:
        (request,) = _ID.unpack_from(rest, 12)
        self._up.parts.append(rest[16:])
        if last != b"F":
            return
        body, self._up.parts = b"".join(self._up.parts), []
        asked = _decoded(body)
        self._asked[request] = asked
        name = type(asked).__name__.removesuffix("Request")
        if name == "CreateMonitoredItems":
            for each in asked.Parameters.ItemsToCreate:
                self._rows[each.RequestedParameters.ClientHandle] = tag_of(each.ItemToMonitor.NodeId)
        if name == "CreateSession":
            self._new_session = True
        if self._proxy.forgetful and (refused := self._forgotten(name)) is not None:
            self._answer_in_its_place(rest, request, struct_to_binary(refused))
        elif name in self._proxy.unasked and name in self._proxy.bends:
            self._answer_in_its_place(rest, request, b"")
        else:
            if name in self._proxy.asks:
                body = struct_to_binary(self._proxy.asks[name](_decoded(body)))
            self._server.write(_chunks(rest[:8], request, body, self._up))

    def _forgotten(self, name: str) -> ua.ServiceFault | None:
        if name == "ActivateSession" and not self._new_session:
            return fault("BadSessionIdInvalid")
        return fault("BadServiceUnsupported") if name == "TransferSubscriptions" else None

    def _answer_in_its_place(self, rest: bytes, request: int, body: bytes) -> None:
        self._token = self._token or rest[:8]
        if body:
            self._asked.pop(request, None)
            self._client.write(_chunks(self._token, request, body, self._down))
        else:
            self._answered(request, b"")

    async def down(self, reader: asyncio.StreamReader) -> None:
        """From the server to the client."""
        with suppress(OSError, asyncio.IncompleteReadError):
            while True:
                kind, last, rest = await _chunk(reader)
                if kind != b"MSG":
                    self._client.write(_renumbered(kind, last, rest, self._down))
                else:
                    self._token = rest[:8]
                    self._down.parts.append(rest[16:])
                    if last == b"F":
                        body, self._down.parts = b"".join(self._down.parts), []
                        self._answered(_ID.unpack_from(rest, 12)[0], body)
                await self._client.drain()

    def _answered(self, request: int, body: bytes) -> None:
        asked = self._asked.pop(request, None)
        name = type(asked).__name__.removesuffix("Request")
        bend = self._proxy.bends.get(name)
        if bend is None:
            self._send(request, body)
            return
        self._proxy.served.add(name)
        try:
            bent = bend(Exchange(asked, body, self._proxy.state, self._rows, request))
        except HangUpError:
            self._client.transport.abort()
            return
        if asyncio.iscoroutine(bent):
            task = asyncio.ensure_future(self._send_late(request, bent))
            self._late.add(task)
            task.add_done_callback(self._late.discard)
        else:
            self._send(request, bent)

    async def _send_late(self, request: int, bent: Awaitable[Any]) -> None:
        self._send(request, await bent)

    def _send(self, request: int, answer: Any) -> None:
        for each in answer if isinstance(answer, list) else [answer]:
            number, body = (each.request, each.body) if isinstance(each, Under) else (request, each)
            if body is not None:
                body = body if isinstance(body, bytes) else struct_to_binary(body)
                self._client.write(_chunks(self._token, number, body, self._down))


async def _chunk(reader: asyncio.StreamReader) -> tuple[bytes, bytes, bytes]:
    kind, last, size = _HEAD.unpack(await reader.readexactly(_HEAD.size))
    return kind, last, await reader.readexactly(size - _HEAD.size)


def _renumbered(kind: bytes, last: bytes, rest: bytes, direction: _Direction) -> bytes:
    """A chunk that is passed on as it is, but for its sequence number."""
    if kind in (b"OPN", b"CLO"):
        at = 8 if kind == b"CLO" else _after_policy(rest)
        rest = rest[:at] + _ID.pack(direction.next()) + rest[at + 4 :]
    return _HEAD.pack(kind, last, _HEAD.size + len(rest)) + rest


def _after_policy(rest: bytes) -> int:
    at = 4
    for _ in range(3):
        (length,) = struct.unpack_from("<i", rest, at)
        at += 4 + max(0, length)
    return at


def _chunks(token: bytes, request: int, body: bytes, direction: _Direction) -> bytes:
    made: list[bytes] = []
    parts: Sequence[bytes] = [body[at : at + CHUNK] for at in range(0, max(1, len(body)), CHUNK)]
    for number, part in enumerate(parts, start=1):
        rest = token + struct.pack("<II", direction.next(), request) + part
        made += [_HEAD.pack(b"MSG", b"F" if number == len(parts) else b"C", _HEAD.size + len(rest)), rest]
    return b"".join(made)
