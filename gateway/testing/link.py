"""The way to the far side, with a switch in it: a test can cut it, or let it swallow everything."""

import asyncio
import contextlib
import socket
import struct
from collections.abc import Callable
from typing import Protocol, cast

from gateway.testing.attack import Attack


class Link(Protocol):
    """What a contract suite needs of the way to the far side."""

    port: int
    """Where the plugin shall dial, on 127.0.0.1."""

    @property
    def connections(self) -> int:
        """How many connections the plugin holds open."""
        ...

    async def hold(self) -> None:
        """From now on nothing passes, in either direction, though connections stay open and can be made."""
        ...

    async def resume(self) -> None:
        """Undo `hold`: what was held back passes now."""
        ...

    async def cut(self, *, reset: bool = True) -> None:
        """End all connections, by a TCP reset or as a peer that closes in good order; and refuse new ones."""
        ...

    async def mend(self) -> None:
        """Undo `cut`: the plugin can dial again."""
        ...


class NoLink:
    """For a plugin that dials nothing, such as a simulation."""

    port = 0
    connections = 0

    async def hold(self) -> None: ...
    async def resume(self) -> None: ...
    async def cut(self, *, reset: bool = True) -> None: ...
    async def mend(self) -> None: ...


class TcpLink:
    """A TCP relay to a port of this machine."""

    def __init__(self, target: int) -> None:
        self.port = 0
        self._target = target
        self._server: asyncio.Server | None = None
        self._near: set[_End] = set()
        self._dials: set[asyncio.Task[None]] = set()
        self._holder = socket.socket()
        """Bound to the port without listening, so that nobody else is given it while the link is cut."""
        self.held = False
        self.dialled = False
        """Whether anybody has ever come."""
        self._attack: Attack | None = None

    @property
    def connections(self) -> int:
        return len(self._near)

    def attack(self, attack: Attack) -> None:
        """From now on this is what all connections get to hear, instead of the far side."""
        self._attack = attack
        for near in self._near:
            near.attacked = _Attacked(near, attack)

    async def peace(self) -> None:
        """Undo `attack`, and end the connections that suffered it."""
        self._attack = None
        for near in list(self._near):
            if near.attacked is not None:
                await near.attacked.end()
                near.reset()

    async def hold(self) -> None:
        self.held = True
        for end in self._ends():
            end.pause()

    async def resume(self) -> None:
        self.held = False
        for end in self._ends():
            end.resume()

    async def cut(self, *, reset: bool = True) -> None:
        if self._server is not None:
            self._server.close()
            self._server = None
        for end in self._ends():
            if reset or end not in self._near:
                end.reset()
            else:
                end.finish()
        await asyncio.gather(*self._dials, return_exceptions=True)

    def drop(self) -> None:
        """End all connections in good order, as a far side does that closes idle ones; new ones are welcome."""
        for near in list(self._near):
            far = near.peer
            near.finish()
            if far is not None and far.transport is not None:
                far.transport.close()

    async def mend(self) -> None:
        self._server = await asyncio.get_running_loop().create_server(self._accept, "127.0.0.1", self.port)

    async def __aenter__(self) -> "TcpLink":
        self._holder.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        self._holder.bind(("127.0.0.1", 0))
        self.port = self._holder.getsockname()[1]
        await self.mend()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.cut()
        self._holder.close()

    def _ends(self) -> list["_End"]:
        return [end for near in self._near for end in (near, near.peer) if end is not None]

    def _accept(self) -> "_End":
        near = _End(self)

        def opened() -> None:
            self.dialled = True
            if self._server is None:  # cut since the kernel took the connection
                near.reset()
                return
            self._near.add(near)
            if self._attack is not None:
                near.attacked = _Attacked(near, self._attack)
            # Not at once: the asyncio of Debian 12 (Python 3.11.2) begins to read behind this call, paused or not.
            asyncio.get_running_loop().call_soon(near.pause)
            dial = asyncio.get_running_loop().create_task(self._dial(near))
            self._dials.add(dial)
            dial.add_done_callback(self._dials.discard)

        near.opened, near.closed = opened, lambda: self._near.discard(near)
        return near

    async def _dial(self, near: "_End") -> None:
        far = _End(self)
        far.peer = near
        try:
            await asyncio.get_running_loop().create_connection(lambda: far, "127.0.0.1", self._target)
        except OSError:
            near.reset()
            return
        near.peer = far
        if near.transport is None or near.transport.is_closing():
            far.reset()
        elif not self.held:
            near.resume()
        else:
            far.pause()


class _End(asyncio.Protocol):
    """One of the two connections of a relayed one."""

    def __init__(self, link: TcpLink) -> None:
        self.link = link
        self.transport: asyncio.Transport | None = None
        self.peer: _End | None = None
        self.attacked: _Attacked | None = None
        self.opened: Callable[[], None] = lambda: None
        self.closed: Callable[[], None] = lambda: None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast(asyncio.Transport, transport)  # uvloop's are no such thing, and act as one
        self.opened()

    def data_received(self, data: bytes) -> None:
        if self.peer is not None and self.peer.attacked is not None:
            self.peer.attacked.answers.put_nowait(data)
        elif self.peer is not None and self.peer.transport is not None:
            self.peer.transport.write(data)

    def connection_lost(self, exc: Exception | None) -> None:
        self.closed()
        if self.attacked is not None:
            self.attacked.task.cancel()
        if self.peer is not None and self.peer.peer is self and self.peer.transport is not None:
            self.peer.transport.close()

    def pause(self) -> None:
        if self.transport is not None and not self.transport.is_closing():
            self.transport.pause_reading()

    def resume(self) -> None:
        if self.transport is not None and not self.transport.is_closing():
            self.transport.resume_reading()

    def finish(self) -> None:
        """Say that nothing more will come, and take in the rest until the other side closes too."""
        self.peer = None
        self.resume()
        if self.transport is not None and not self.transport.is_closing():
            self.transport.write_eof()

    def reset(self) -> None:
        """Close as a dying machine does: with a TCP reset."""
        if self.transport is None:
            return
        connection = self.transport.get_extra_info("socket")
        with contextlib.suppress(OSError):
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.transport.abort()


class _Attacked:
    """A connection in the hands of an attack."""

    def __init__(self, near: _End, attack: Attack) -> None:
        self._near = near
        self.answers: asyncio.Queue[bytes] = asyncio.Queue()
        self.task = asyncio.ensure_future(attack(self))

    async def answer(self) -> bytes:
        return await self.answers.get()

    async def say(self, data: bytes) -> None:
        transport = self._near.transport
        assert transport is not None
        if not transport.is_closing():
            transport.write(data)
        await asyncio.sleep(0)
        while transport.is_closing() or transport.get_write_buffer_size() > 256 * 1024:  # noqa: ASYNC110 - nobody tells
            await asyncio.sleep(0.005)

    def hang_up(self) -> None:
        if self._near.transport is not None:
            self._near.transport.close()

    async def end(self) -> None:
        self.task.cancel()
        await asyncio.wait([self.task])
