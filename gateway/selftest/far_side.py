"""A far side that speaks just enough MQTT 5 to take messages, and that can be frozen: then it takes them and says nothing.

It shares no code with the gateway's own side.
"""

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress

_CONNECT, _PUBLISH, _PING = 1, 3, 12
_WELCOME, _PONG = bytes.fromhex("20 03 00 00 00"), bytes.fromhex("d0 00")


class FarSide:
    """Listens on the loopback interface."""

    def __init__(self) -> None:
        self.port = 0
        self.frozen = False
        self.came: dict[str, list[float]] = {}
        """Id of each message of readings → the value of its first tag, for each time that it came."""
        self._writers: set[asyncio.StreamWriter] = set()

    @property
    def repeats(self) -> int:
        """Messages that had come before."""
        return sum(len(values) - 1 for values in self.came.values())

    def thaw(self) -> None:
        """Answer again; connections whose messages were swallowed end."""
        self.frozen = False
        self.hang_up()

    def hang_up(self) -> None:
        """End all connections."""
        for writer in self._writers:
            writer.transport.abort()

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """One connection, until it ends."""
        self._writers.add(writer)
        try:
            with suppress(OSError, asyncio.IncompleteReadError):
                while True:
                    said = self._answer(*await _packet(reader))
                    if not self.frozen:
                        writer.write(said)
                        await writer.drain()
        finally:
            self._writers.discard(writer)
            writer.transport.abort()

    def _answer(self, first: int, body: bytes) -> bytes:
        kind = first >> 4
        if kind == _PUBLISH:
            return self._published(body)
        return {_CONNECT: _WELCOME, _PING: _PONG}.get(kind, b"")

    def _published(self, body: bytes) -> bytes:
        """Note the message; all come with QoS 1."""
        end = 2 + int.from_bytes(body[:2], "big")
        topic, number = body[2:end], body[end : end + 2]
        length, start = _varying(body, end + 2)
        if b"/_" not in topic:
            said = json.loads(body[start + length :])
            self.came.setdefault(said["id"], []).append(next(iter(said["values"].values())))
        return b"\x40\x02" + number


@asynccontextmanager
async def far_side() -> AsyncIterator[FarSide]:
    """One that listens until the block ends."""
    far = FarSide()
    server = await asyncio.start_server(far.serve, "127.0.0.1", 0)
    far.port = server.sockets[0].getsockname()[1]
    try:
        yield far
    finally:
        server.close()
        far.hang_up()


async def _packet(reader: asyncio.StreamReader) -> tuple[int, bytes]:
    """First byte and body."""
    head = await reader.readexactly(2)
    while head[-1] & 0x80:
        head += await reader.readexactly(1)
    return head[0], await reader.readexactly(_varying(head, 1)[0])


def _varying(data: bytes, at: int) -> tuple[int, int]:
    """A number of seven bits a byte, the lowest first, and where it ends."""
    value = shift = 0
    while True:
        value |= (data[at] & 0x7F) << shift
        at, shift = at + 1, shift + 7
        if data[at - 1] < 0x80:
            return value, at
