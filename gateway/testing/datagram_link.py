"""The way to a far side that speaks UDP, with a switch in it."""

import asyncio
import socket
from typing import Any


class UdpLink:
    """A `gateway.testing.Link` for datagrams: relays them to a port of this machine. They have no connections that could be
    counted."""

    connections = 0

    def __init__(self, target: int) -> None:
        self.port = 0
        self._target = target
        self._near: asyncio.DatagramTransport | None = None
        self._far: dict[Any, asyncio.DatagramTransport] = {}
        self._held: list[tuple[asyncio.DatagramTransport, bytes, Any]] | None = None
        self._holder = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        """Keeps the port while the link is cut; never read."""

    async def __aenter__(self) -> "UdpLink":
        self._holder.bind(("127.0.0.1", 0))
        self.port = self._holder.getsockname()[1]
        self._holder.close()
        await self.mend()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.cut()

    async def hold(self) -> None:
        self._held = [] if self._held is None else self._held

    async def resume(self) -> None:
        held, self._held = self._held or [], None
        for transport, data, peer in held:
            transport.sendto(data, peer)

    async def cut(self, *, reset: bool = True) -> None:
        for transport in (self._near, *self._far.values()):
            if transport is not None:
                transport.abort() if reset else transport.close()
        self._near = None
        self._far.clear()
        await asyncio.sleep(0)

    async def mend(self) -> None:
        make = asyncio.get_running_loop().create_datagram_endpoint
        self._near, _ = await make(lambda: _Received(self._asked), local_addr=("127.0.0.1", self.port))

    def _pass(self, transport: asyncio.DatagramTransport, data: bytes, peer: Any) -> None:
        if self._held is not None:
            self._held.append((transport, data, peer))
        else:
            transport.sendto(data, peer)

    def _asked(self, data: bytes, peer: Any) -> None:
        far = self._far.get(peer)
        if far is not None:
            self._pass(far, data, None)
        else:
            asyncio.get_running_loop().create_task(self._open(data, peer))

    async def _open(self, data: bytes, peer: Any) -> None:
        near = self._near

        def answered(answer: bytes, _: Any) -> None:
            if near is not None and near is self._near:
                self._pass(near, answer, peer)

        make = asyncio.get_running_loop().create_datagram_endpoint
        far, _ = await make(lambda: _Received(answered), remote_addr=("127.0.0.1", self._target))
        if near is not self._near:
            far.close()
            return
        self._far[peer] = far
        self._pass(far, data, None)


class _Received(asyncio.DatagramProtocol):
    def __init__(self, heard: Any) -> None:
        self._heard = heard

    def datagram_received(self, data: bytes, addr: Any) -> None:
        self._heard(data, addr)
