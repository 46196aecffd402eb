"""Requests to one place over HTTP/1.1 (RFC 9110, 9112), within bounds of time and size: whoever answers there is doubted as
anybody else is. By h11, which the web page's server brings too; import it only where requests are made.

A connection is kept from one request to the next, and made anew where the far side has closed it meanwhile. No redirect is
followed. Interim answers (100 Continue) are passed over.
"""

import asyncio
import socket
import ssl
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, cast
from urllib.parse import urlsplit

import h11

from gateway.config.tls import Tls
from gateway.core.errors import LinkError, RefusedError, UnreachableError
from gateway.core.text import cleaned
from gateway.dial import DIRECT, Route, shown, tls_options, why_no_tls
from gateway.kit.dialling import dial
from gateway.kit.streams import reason_of

HEAD = 32 * 1024
"""Bytes of the head of an answer."""
PIECES = 2000
"""Pieces that an answer may come in, as the far side cuts it."""
INTERIM = 10
"""Interim answers before the one that counts."""
_TCP_NOTSENT_LOWAT = 25
"""linux/tcp.h; Python names it from 3.12 on."""


@dataclass(frozen=True, slots=True)
class HttpAnswer:
    """What the far side said."""

    status: int
    headers: Mapping[str, str]
    """By names in lower case; of several with one name the last."""
    body: bytes

    @property
    def words(self) -> str:
        """The beginning of the body, for a person."""
        return cleaned(self.body[:400].decode(errors="replace").strip(), 200)


class HttpClient:
    """One request after the other to one origin."""

    def __init__(self, url: str, *, tls: Tls | bool = False, route: Route = DIRECT, longest: int = 64 * 1024) -> None:
        """`url`: of which only scheme, host and port count; `tls` counts with https. `longest`: bytes of an answer's body."""
        self._way = route
        parts = urlsplit(url)
        self.secure = parts.scheme == "https"
        self.host = parts.hostname or ""
        self.port = parts.port or (443 if self.secure else 80)
        self._netloc = parts.netloc.rpartition("@")[2]
        self._tls: Tls | bool = (tls or True) if self.secure else False
        self._longest = longest
        self._connection: _Connection | None = None
        self.connections = 0
        """How many were made."""

    @property
    def encryption(self) -> str:
        """What the connection is encrypted by, "none" for http."""
        return self._connection.encryption if self._connection is not None else "none"

    @property
    def idle(self) -> bool:
        """Whether there is a connection on which nothing is asked."""
        return self._connection is not None and self._connection.usable

    @property
    def unsent(self) -> int:
        """Bytes of a request that the network has not taken."""
        return self._connection.unsent if self._connection is not None else 0

    async def open(self) -> None:
        """Connect, if there is no connection. Raises UnreachableError, RefusedError, LinkError."""
        if self.idle:
            return
        await self.close()
        try:
            self._connection = await dial(
                lambda: _Connection(shown(self.host, self.port), self._tls, self.host, self._longest),
                self.host,
                self.port,
                tls=self._tls,
                look_at="does the server run?",
                route=self._way,
            )
        except RefusedError:
            raise
        except LinkError as error:
            raise UnreachableError(str(error)) from error
        self.connections += 1

    async def ask(
        self, method: str, target: str, headers: Mapping[str, str] | None = None, body: bytes | None = None
    ) -> HttpAnswer:
        """A request and its answer. `target`: path and query. Raises LinkError when the connection ends before the answer is
        whole, or what comes is no answer; have a time-out. It must bear to arrive twice: a kept connection that the far side
        closes at this moment is made anew, and the request sent again."""
        reused = self.idle
        await self.open()
        connection = self._connection
        assert connection is not None
        try:
            return await connection.ask(self._request(method, target, headers or {}, body), body)
        except LinkError:
            if not (reused and connection.silent):
                raise
        await self.open()
        assert self._connection is not None
        return await self._connection.ask(self._request(method, target, headers or {}, body), body)

    def _request(self, method: str, target: str, headers: Mapping[str, str], body: bytes | None) -> h11.Request:
        all_ = {"host": self._netloc, "accept": "application/json", "user-agent": "edge-gateway"}
        all_ |= {name.lower(): value for name, value in headers.items()}
        if body is not None:
            all_["content-length"] = str(len(body))
        try:
            return h11.Request(method=method, target=target, headers=list(all_.items()))
        except h11.LocalProtocolError as error:
            raise LinkError(f"this cannot be asked by HTTP: {cleaned(error)}") from error

    async def close(self) -> None:
        """Close the connection, and wait until the socket is gone. Never raises."""
        connection, self._connection = self._connection, None
        if connection is not None:
            await connection.close()


class _Connection(asyncio.Protocol):
    """One connection, with one request at a time."""

    def __init__(self, peer: str, tls: Tls | bool, host: str, longest: int) -> None:
        self._peer, self._tls, self._host, self._longest = peer, tls, host, longest
        self._http = h11.Connection(our_role=h11.CLIENT, max_incomplete_event_size=HEAD)
        self._transport: asyncio.Transport | None = None
        self._gone: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._answer: asyncio.Future[HttpAnswer] | None = None
        self._response: h11.Response | None = None
        self._body = bytearray()
        self._pieces = self._interim = 0
        self._ended = self._heard = False
        self.silent = True
        """Whether nothing has come since the last request."""
        self.encryption = "none"

    @property
    def usable(self) -> bool:
        """Whether another request may be sent."""
        return not self._ended and self._http.states == {h11.CLIENT: h11.IDLE, h11.SERVER: h11.IDLE}

    @property
    def unsent(self) -> int:
        """Bytes that the network has not taken."""
        return self._transport.get_write_buffer_size() if self._transport is not None and not self._ended else 0

    async def ask(self, request: h11.Request, body: bytes | None) -> HttpAnswer:
        """Send it, and wait for the whole answer. Raises LinkError."""
        if self._ended or self._transport is None:
            raise LinkError(f"{self._peer}: the far side closed the connection")
        self._answer = asyncio.get_running_loop().create_future()
        self._response, self._pieces, self._interim, self.silent = None, 0, 0, True
        self._body.clear()
        data = self._http.send(request) or b""
        if body:
            data += self._http.send(h11.Data(data=body)) or b""
        self._transport.write(data + (self._http.send(h11.EndOfMessage()) or b""))
        try:
            return await self._answer
        finally:
            self._answer = None

    async def close(self) -> None:
        """Close at once."""
        self._end(LinkError(f"{self._peer}: the connection was closed"))
        await asyncio.wait([self._gone])

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)  # uvloop's are no such thing, and act as one
        if (
            sock := transport.get_extra_info("socket")
        ) is not None:  # so that `unsent` tells whether a slow network moves
            sock.setsockopt(socket.IPPROTO_TCP, _TCP_NOTSENT_LOWAT, 64 * 1024)
        if found := transport.get_extra_info("ssl_object"):
            self.encryption = cleaned(found.version())

    def data_received(self, data: bytes) -> None:
        if self._ended:
            return
        self.silent, self._heard = False, True
        if self._answer is None:  # said without having been asked: whatever follows could be taken for an answer
            self._end(LinkError(f"{self._peer} speaks unasked"))
            return
        self._receive(data)

    def eof_received(self) -> None:
        if not self._ended and self._answer is not None and self._response is not None:
            self._receive(b"")  # an answer without a length ends with the connection

    def connection_lost(self, exc: Exception | None) -> None:
        if isinstance(exc, ssl.SSLError):
            self._end(RefusedError(f"{self._peer}: {why_no_tls(exc, tls_options(self._tls), self._host)}"))
        else:
            why = "the far side closed the connection" if exc is None else f"connection lost ({reason_of(exc)})"
            self._end(LinkError(f"{self._peer}: {why} before it has answered{self._perhaps}"))
        if not self._gone.done():
            self._gone.set_result(None)

    @property
    def _perhaps(self) -> str:
        """Some servers hang up on who shows no certificate, and say no word."""
        shown = isinstance(self._tls, Tls) and self._tls.certificate is not None
        unheard = bool(self._tls) and not shown and not self._heard
        return "; does it ask for a certificate of ours, tls = { certificate = ..., key = ... }?" if unheard else ""

    def _receive(self, data: bytes) -> None:
        try:
            self._http.receive_data(data)
            while not self._ended and self._understood(self._http.next_event()):
                pass
        except h11.RemoteProtocolError as error:
            self._end(LinkError(f"{self._peer} does not answer by HTTP/1.1: {cleaned(error)}"))

    def _understood(self, event: Any) -> bool:
        """Take one event of an answer; whether there may be more."""
        self._pieces += 1
        if event is h11.NEED_DATA or event is h11.PAUSED:
            return False
        if isinstance(event, h11.Response):
            self._response = event
        elif isinstance(event, h11.Data):
            self._body += event.data
        elif isinstance(event, h11.EndOfMessage):
            self._whole()
            return False
        elif isinstance(event, h11.InformationalResponse) and event.status_code != 101:
            self._interim += 1
        else:
            self._end(LinkError(f"{self._peer} ends the connection, or leaves HTTP, before it has answered"))
            return False
        if len(self._body) > self._longest or self._pieces > PIECES or self._interim > INTERIM:
            self._end(LinkError(f"{self._peer} answers with more than {self._longest} bytes, or in too many pieces"))
        return True

    def _whole(self) -> None:
        response, answer = self._response, self._answer
        assert response is not None
        if answer is not None and not answer.done():
            headers = {name.decode("latin-1"): value.decode("latin-1") for name, value in response.headers}
            answer.set_result(HttpAnswer(response.status_code, headers, bytes(self._body)))
        if self._http.states == {h11.CLIENT: h11.DONE, h11.SERVER: h11.DONE} and not self._http.trailing_data[0]:
            self._http.start_next_cycle()
        else:  # HTTP/1.0, Connection: close, or more than was asked for
            self._end(LinkError(f"{self._peer}: the far side closed the connection"))

    def _end(self, error: LinkError) -> None:
        if self._ended:
            return
        self._ended = True
        if self._answer is not None and not self._answer.done():
            self._answer.set_exception(error)
        if self._transport is not None:
            self._transport.abort()
