"""TCP connections: a name's addresses one after the other, from the wished interface, through a proxy."""

import asyncio
import os
import socket
from collections import deque
from collections.abc import Sequence
from contextlib import suppress
from typing import Any

from gateway.dial.in_thread import in_a_thread
from gateway.dial.proxies import ProxyError, ask_proxy
from gateway.dial.route import DIRECT, Route
from gateway.dial.source import leave_by

NEXT_AFTER = 0.25
"""Seconds after which the next address is tried beside the one that has not answered (RFC 8305 section 5)."""

_Info = tuple[Any, Any, int, str, tuple[Any, ...]]
"""As getaddrinfo gives it."""

_lookups: dict[tuple[asyncio.AbstractEventLoop, str], asyncio.Task[list[_Info]]] = {}


class AddressesError(OSError):
    """None of several addresses could be reached; the text says of each why not."""

    def __init__(self, errors: dict[str, OSError], timeout: float | None) -> None:
        silent = f"no answer within {timeout:g} s"
        super().__init__("; ".join(f"{address}: {_words(error, silent)}" for address, error in errors.items()))


def _words(error: OSError, silent: str) -> str:
    if isinstance(error, TimeoutError):
        return silent
    return (os.strerror(error.errno).lower() if error.errno else "") or str(error)


async def open_socket(host: str, port: int, way: Route = DIRECT, timeout: float | None = None) -> socket.socket:
    """A connected, non-blocking socket. A name's addresses are tried in the system's order, each beside the ones before that
    have not answered yet; the first that does is taken. `timeout`, in seconds, is for all of them, and for a proxy's answer
    again. Raises OSError: gaierror, TimeoutError, AddressesError, ProxyError, SourceError, or what the system says."""
    proxy = way.proxy
    if proxy is None:
        return await _first_of(await _looked_up(host, timeout), port, way.source, timeout)
    try:
        sock = await _first_of(await _looked_up(proxy.host, timeout), proxy.port, way.source, timeout)
    except OSError as error:
        raise ProxyError(f"proxy {proxy}: {_words(error, 'it has not answered')}") from error
    try:
        async with asyncio.timeout(timeout):
            await ask_proxy(sock, proxy, host, port)
    except TimeoutError as error:
        sock.close()
        raise ProxyError(f"proxy {proxy} has not answered within {timeout:g} s") from error
    except BaseException:
        sock.close()
        raise
    return sock


async def _looked_up(host: str, timeout: float | None) -> list[_Info]:
    """In a thread, for the system's resolver blocks; whoever asks for the same name meanwhile waits for the same answer."""
    with suppress(OSError, UnicodeError):
        return socket.getaddrinfo(host, None, type=socket.SOCK_STREAM, flags=socket.AI_NUMERICHOST)
    loop = asyncio.get_running_loop()
    lookup = _lookups.get((loop, host))
    if lookup is None:
        lookup = _lookups[loop, host] = loop.create_task(
            in_a_thread(f'the name "{host}"', lambda: socket.getaddrinfo(host, None, type=socket.SOCK_STREAM))
        )
        lookup.add_done_callback(lambda _: _lookups.pop((loop, host), None))
    try:
        async with asyncio.timeout(timeout):
            return await asyncio.shield(lookup)
    except TimeoutError as error:
        raise OSError(
            f'the name "{host}" was not looked up within {timeout:g} s: does the name server answer?'
        ) from error


async def _first_of(found: Sequence[_Info], port: int, source: str, timeout: float | None) -> socket.socket:
    loop = asyncio.get_running_loop()
    until = None if timeout is None else loop.time() + timeout
    waiting = deque(found)
    running: dict[asyncio.Task[socket.socket], str] = {}
    errors: dict[str, OSError] = {}
    try:
        while waiting or running:
            if waiting:
                info = waiting.popleft()
                running[loop.create_task(_connected(info, port, source))] = str(info[4][0])
            left = None if until is None else max(0.0, until - loop.time())
            pause = left if not waiting else NEXT_AFTER if left is None else min(NEXT_AFTER, left)
            done, _ = await asyncio.wait(running, timeout=pause, return_when=asyncio.FIRST_COMPLETED)
            for task in done:
                address = running.pop(task)
                error = task.exception()
                if error is None:
                    return task.result()
                if not isinstance(error, OSError):
                    raise error
                errors[address] = error
            if until is not None and loop.time() >= until:
                errors.update((address, TimeoutError()) for address in running.values())
                break
    finally:
        await _give_up(running)
    if len(errors) == 1:
        raise next(iter(errors.values()))
    raise AddressesError(errors, timeout)


async def _give_up(running: dict[asyncio.Task[socket.socket], str]) -> None:
    for task in running:
        task.cancel()
    for left in await asyncio.gather(*running, return_exceptions=True):
        if isinstance(left, socket.socket):
            left.close()


async def _connected(info: _Info, port: int, source: str) -> socket.socket:
    family, _, protocol, _, address = info
    sock = socket.socket(family, socket.SOCK_STREAM, protocol)
    try:
        sock.setblocking(False)
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        if source:
            leave_by(sock, source, str(address[0]))
        await asyncio.get_running_loop().sock_connect(sock, (address[0], port, *address[2:]))
    except BaseException:
        sock.close()
        raise
    return sock
