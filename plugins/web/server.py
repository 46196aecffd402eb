"""Connections: who is let in, and who has to go. The HTTP/1.1 of each is uvicorn's.

uvicorn's own Server is not used: it takes over signals, ends the process where it cannot start, wakes up ten times a second,
and waits at its end for streams that never end. It also knows no bound on a client that sends nothing: here each connection
has a place, and when all are taken, whoever has waited longest without a whole request loses his.
"""

import asyncio
import errno
import logging
import socket
import ssl
from collections.abc import Sequence
from typing import Any

import h11
import structlog
from uvicorn.config import Config
from uvicorn.protocols.http.h11_impl import H11Protocol
from uvicorn.server import ServerState

from gateway.plugin import RefusedError, Tls, load_certificates, resolve

from .replies import problem

PLACES = 256
"""Connections at a time."""
HEAD = 16 * 1024
"""Bytes of a request's line and headers."""
PATIENCE = 10.0
"""Seconds that a client may take for a request's head, and to make the TLS connection."""
BODY_PATIENCE = 30.0
"""Seconds for the body of a request."""
STUCK = 30.0
"""Seconds without a byte taken by a client that has an answer waiting."""
IDLE = 15
"""Seconds that a connection may be kept between two requests."""
KERNEL = 128 * 1024
"""Bytes that the kernel may keep of what a client does not take; by itself it takes megabytes."""
RENEW = 60.0
"""Seconds between two looks whether the certificate's files were replaced."""
LOOK = 1.0
"""Seconds between two looks for connections that make no progress."""
GRACE = 1.0
"""Seconds that answers have to go out at the end."""

log = structlog.get_logger()
_QUIET = logging.getLogger("gateway.web.http")
_QUIET.setLevel(logging.CRITICAL)  # what clients do wrong is counted, and what we do wrong the application logs


def tls_context(tls: Tls) -> ssl.SSLContext:
    """What the server shows, and asks of browsers. Blocking. Raises RefusedError for a file that cannot be used."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    password = resolve(tls.key_password) if tls.key_password is not None else None
    load_certificates(context, tls.ca, tls.certificate, tls.key, password, tls.crl)
    context.set_alpn_protocols(["http/1.1"])
    if tls.ca is not None:
        context.verify_mode = ssl.CERT_REQUIRED
    if tls.certificate is None:
        raise RefusedError("tls: needs the certificate to show, and its key")
    return context


class Connection(H11Protocol):
    """One connection; `since` is when it began to wait for a request or a body, or when its client last took something."""

    def __init__(self, config: Config, state: ServerState, counts: dict[str, int]) -> None:
        super().__init__(config, state, {})
        self.logger = self.access_logger = _QUIET
        self.access_log = False
        self.since = self.loop.time()
        self._counts = counts
        self._unsent = 0

    @property
    def waits(self) -> bool:
        """Whether no request of it is being answered."""
        return self.cycle is None or self.cycle.response_complete

    def data_received(self, data: bytes) -> None:
        waited = self.waits
        super().data_received(data)
        if waited and not self.waits:
            self.since = self.loop.time()

    def on_response_complete(self) -> None:
        self.since = self.loop.time()
        super().on_response_complete()

    def send_400_response(self, msg: str) -> None:
        """What is no HTTP, or has a head beyond `HEAD`; a problem as all others are."""
        self._counts["malformed"] += 1
        if not self.waits:  # the answer has begun
            self.transport.abort()
            return
        said = f"this is no HTTP/1.1, or its address and headers have more than {HEAD} bytes"
        refused = problem(400, said, {"connection": "close"})
        for event in (
            h11.Response(status_code=400, headers=refused.raw_headers),
            h11.Data(bytes(refused.body)),
            h11.EndOfMessage(),
        ):
            self.transport.write(self.conn.send(event) or b"")
        self.transport.close()

    @property
    def is_out(self) -> bool:
        """Whether it is closed, or will be."""
        return self.transport.is_closing()

    def put_out(self) -> None:
        """End it at once; what it did not take is thrown away."""
        self.transport.abort()

    def is_too_slow(self, now: float) -> bool:
        """Asked now and then."""
        if self.waits:
            return now - self.since > (PATIENCE if self.cycle is None else PATIENCE + IDLE)
        if self.cycle.more_body and not self.cycle.response_started:
            return now - self.since > BODY_PATIENCE
        unsent = self.transport.get_write_buffer_size()
        if unsent == 0 or unsent < self._unsent:
            self.since = now
        self._unsent = unsent
        return now - self.since > STUCK


def _stamps(tls: Tls) -> list[tuple[int, int]]:
    """Of the files, as far as they are there."""
    files = (tls.ca, tls.certificate, tls.key, tls.crl)
    return [(each.st_ino, each.st_mtime_ns) for each in (path.stat() for path in files if path and path.exists())]


class Server:
    """Serves an ASGI application on listening sockets: `serve` until cancelled, then `close`."""

    def __init__(
        self, app: Any, sockets: Sequence[socket.socket], context: ssl.SSLContext | None, counts: dict[str, int]
    ) -> None:
        """`counts`: how often what was refused."""
        self._sockets = sockets
        self._context = context
        self._counts = counts
        self._config = Config(
            app, log_config=None, lifespan="off", loop="none", http=Connection, ws="none", interface="asgi3",
            access_log=False, proxy_headers=False, server_header=False, date_header=False,
            h11_max_incomplete_event_size=HEAD, timeout_keep_alive=IDLE,
        )  # fmt: skip
        self._config.load()
        self._state = ServerState()
        self._welcomed: dict[asyncio.Task[None], float] = {}
        """Connections that are being made, and since when."""
        self._somebody = asyncio.Event()

    async def serve(self) -> None:
        """Until cancelled. Raises OSError when a socket cannot be listened on any more."""
        tasks = [asyncio.create_task(self._accept(each)) for each in self._sockets]
        tasks.append(asyncio.create_task(self._look()))
        try:
            done, _ = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
            done.pop().result()
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)

    async def renew(self, tls: Tls) -> None:
        """Show a renewed certificate to whoever comes next, until cancelled; who is connected notices nothing. Files that
        cannot be used, as while they are being replaced, change nothing."""
        stamps = await asyncio.to_thread(_stamps, tls)
        while True:
            await asyncio.sleep(RENEW)
            now = await asyncio.to_thread(_stamps, tls)
            if now == stamps:
                continue
            try:
                self._context = await asyncio.to_thread(tls_context, tls)
            except RefusedError as error:
                log.warning("the page goes on with the certificate that it had", reason=str(error))
            else:
                log.info("the page shows a renewed certificate")
            stamps = now

    async def close(self) -> None:
        """Answers that are on their way have a moment; streams and all else are cut off."""
        for each in self._sockets:
            each.close()
        for connection in self._connections():
            if connection.waits:
                connection.put_out()
        if self._state.tasks:
            await asyncio.wait(self._state.tasks, timeout=GRACE)
        left = [*self._state.tasks, *self._welcomed]
        for task in left:
            task.cancel()
        for connection in self._connections():
            connection.put_out()
        await asyncio.gather(*left, return_exceptions=True)

    def _connections(self) -> list["Connection"]:
        return [each for each in self._state.connections if isinstance(each, Connection)]

    async def _accept(self, listening: socket.socket) -> None:
        loop = asyncio.get_running_loop()
        while True:
            try:
                connected, _ = await loop.sock_accept(listening)
            except ConnectionError:
                continue
            except OSError as error:
                if error.errno not in (errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM):
                    raise
                log.warning("the page takes no connections for now", reason=error.strerror)
                await asyncio.sleep(1.0)
                continue
            if len(self._welcomed) + len(self._state.connections) >= PLACES and not self._make_room():
                self._counts["no room"] += 1
                connected.close()
                continue
            task = asyncio.create_task(self._welcome(connected))
            self._welcomed[task] = loop.time()
            task.add_done_callback(self._welcomed.pop)
            self._somebody.set()

    async def _welcome(self, connected: socket.socket) -> None:
        try:
            connected.setblocking(False)
            connected.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            connected.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, KERNEL)
            await asyncio.get_running_loop().connect_accepted_socket(
                lambda: Connection(self._config, self._state, self._counts),
                connected,
                ssl=self._context,
                ssl_handshake_timeout=PATIENCE if self._context else None,
            )
        except OSError:  # of TLS, of time, or it is gone
            self._counts["not connected"] += 1
            connected.close()
        except asyncio.CancelledError:
            connected.close()
            raise

    def _make_room(self) -> bool:
        waiting: list[tuple[float, Any]] = [(began, task.cancel) for task, began in self._welcomed.items()]
        waiting += [(each.since, each.put_out) for each in self._connections() if each.waits and not each.is_out]
        if not waiting:
            return False
        self._counts["put out as the slowest"] += 1
        min(waiting, key=lambda entry: entry[0])[1]()
        return True

    async def _look(self) -> None:
        """End what makes no progress, as long as anybody is there."""
        while True:
            await self._somebody.wait()
            await asyncio.sleep(LOOK)
            now = asyncio.get_running_loop().time()
            for connection in self._connections():
                if connection.is_too_slow(now):
                    self._counts["too slow"] += 1
                    connection.put_out()
            if not (self._state.connections or self._welcomed):
                self._somebody.clear()
