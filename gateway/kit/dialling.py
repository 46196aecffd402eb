"""Opens connections, and says in words why not."""

import asyncio
import socket
import ssl
from collections.abc import Awaitable, Callable
from typing import TypeVar

from gateway.config.tls import Tls
from gateway.core.errors import LinkError, RefusedError
from gateway.dial import (
    DIRECT,
    ProxyError,
    Route,
    SourceError,
    open_socket,
    shown,
    tls_context,
    tls_options,
    why_no_tls,
    without_zone,
)
from gateway.kit.frames import Framing
from gateway.kit.streams import Datagrams, Stream, reason_of

P = TypeVar("P", bound=asyncio.BaseProtocol)


async def open_stream(
    host: str,
    port: int,
    framing: Framing,
    *,
    tls: Tls | bool = False,
    look_at: str = "",
    route: Route = DIRECT,
    greet: Callable[[Stream], Awaitable[object]] | None = None,
) -> Stream:
    """A TCP connection whose frames are waited for. See `dial`. `greet` is run on each new connection, also when `ask` dials
    again: it takes the banner (`await stream.frame()`), logs in, and the like; what it raises closes the connection."""
    stream = Stream(shown(host, port), framing)
    stream.greet = greet
    stream.dial_again = lambda: dial(lambda: stream, host, port, tls=tls, look_at=look_at, route=route)
    await stream.dial_again()
    await stream.greeted()
    return stream


async def open_datagrams(host: str, port: int, *, longest: int = 64 * 1024) -> Datagrams:
    """The same by UDP. Nothing is sent yet, so that it succeeds also where nobody is. Raises LinkError."""
    try:
        _, datagrams = await asyncio.get_running_loop().create_datagram_endpoint(
            lambda: Datagrams(shown(host, port), longest), remote_addr=(host, port)
        )
    except OSError as error:
        raise LinkError(f"cannot reach {shown(host, port)}: {reason_of(error)}") from error
    return datagrams


async def dial(
    protocol: Callable[[], P],
    host: str,
    port: int,
    *,
    tls: Tls | bool = False,
    look_at: str = "",
    route: Route = DIRECT,
) -> P:
    """Connect a protocol by TCP; of a name's addresses the first that answers. With `tls` the far side's certificate is
    checked, against the system's authorities or as the options say. Raises LinkError with the reason; `look_at` is what to
    look at when the connection is refused, such as "is Modbus TCP switched on in the device?". RefusedError when TLS does not
    come about, or a proxy refuses."""
    where = f"cannot connect to {shown(host, port)}"
    try:
        context = await asyncio.to_thread(tls_context, tls) if tls else None
        sock = await open_socket(host, port, route)
        return await _attached(protocol, sock, context, without_zone(host))
    except ssl.SSLError as error:
        raise RefusedError(f"{where}: {why_no_tls(error, tls_options(tls), host)}") from error
    except ConnectionRefusedError as error:
        raise LinkError(f"{where}: connection refused; {look_at or 'is the port right?'}") from error
    except (ProxyError, SourceError) as error:
        kind = RefusedError if getattr(error, "person", True) else LinkError
        raise kind(f"{where}: {error}") from error
    except (OSError, UnicodeError) as error:  # a host name that is none, such as ".", raises UnicodeError
        raise LinkError(f"{where}: {reason_of(error)}") from error


async def _attached(protocol: Callable[[], P], sock: socket.socket, context: ssl.SSLContext | None, name: str) -> P:
    try:
        _, connected = await asyncio.get_running_loop().create_connection(
            protocol, sock=sock, ssl=context, server_hostname=name if context else None
        )
    except BaseException:
        sock.close()
        raise
    return connected


async def encrypt(
    protocol: asyncio.Protocol, transport: asyncio.Transport, host: str, port: int, tls: Tls | bool
) -> asyncio.Transport:
    """TLS on a connection that has begun in the clear, checked as `dial` does. Returns the transport to use from now on.
    Raises RefusedError when it does not come about, LinkError when the connection ends."""
    context = await asyncio.to_thread(tls_context, tls)
    try:
        encrypted = await asyncio.get_running_loop().start_tls(transport, protocol, context, server_hostname=host)
    except ssl.SSLError as error:
        raise RefusedError(f"cannot connect to {host}:{port}: {why_no_tls(error, tls_options(tls), host)}") from error
    except OSError as error:
        raise LinkError(f"cannot connect to {host}:{port}: {reason_of(error)}") from error
    if encrypted is None:  # the connection ended meanwhile
        raise LinkError(f"cannot connect to {host}:{port}: the far side closed the connection")
    return encrypted
