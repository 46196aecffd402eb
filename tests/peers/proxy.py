"""A TCP proxy that breaks on demand: cuts, freezes, delays, and spoils what a server answers.

    async with FaultProxy("127.0.0.1", server_port) as proxy:
        connect_to(proxy.port)
        proxy.freeze()  # packets vanish, nobody is told
        proxy.restore()

As a program it is told by lines on standard input: `python proxy.py 127.0.0.1:502 --port 5502`, then `cut`, `freeze`,
`restore`, `delay 0.5`, `garbage`, `half`, `swallow`, `repeat`.
"""

import argparse
import asyncio
import os
import socket
import sys
import time
from collections.abc import Callable
from typing import NamedTuple, Self

Spoil = Callable[[bytes], bytes]


class Answer(NamedTuple):
    """A block of a server that was passed on to a client. Times are wall clock, ns."""

    asked: int
    """When the last block of a client before it was passed on to the server; 0 before the first."""
    at: int
    block: bytes


def half(block: bytes) -> bytes:
    """The first half of a block: a frame that never ends."""
    return block[: len(block) // 2]


def swallow(block: bytes) -> bytes:
    """Nothing: an answer that got lost."""
    return b""


def repeat(block: bytes) -> bytes:
    """The same answer twice."""
    return block + block


class FaultProxy:
    """Forwards TCP connections to one server, until it is told otherwise. Every method takes effect at once."""

    def __init__(self, host: str, server_port: int, *, port: int = 0) -> None:
        self.host = host
        self.server_port = server_port
        self.port = port
        """Where it listens; known after start when 0 was given."""
        self.delay = 0.0
        """Seconds that every block takes in each direction."""
        self.accepted = 0
        """Connections made by clients so far."""
        self.answers: list[Answer] = []
        self._asked = 0
        self._flowing = asyncio.Event()
        self._flowing.set()
        self._spoil: Spoil | None = None
        self._writers: set[asyncio.StreamWriter] = set()
        self._clients: set[asyncio.StreamWriter] = set()
        self._tasks: set[asyncio.Task[None]] = set()
        self._server: asyncio.Server | None = None
        self._holder = socket.socket()
        """Bound to our port without listening, so that nobody else is given it while we are cut."""

    async def __aenter__(self) -> Self:
        self._holder.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        self._holder.bind(("127.0.0.1", self.port))
        self.port = self._holder.getsockname()[1]
        await self._listen()
        return self

    async def __aexit__(self, *_: object) -> None:
        self.cut()
        self._holder.close()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    @property
    def open(self) -> int:
        """Connections that clients have open now."""
        return len(self._clients)

    def cut(self) -> None:
        """Reset all connections and refuse new ones, as after a pulled plug on this host."""
        if self._server is not None:
            self._server.close()
            self._server = None
        self.drop()

    def drop(self) -> None:
        """Reset all connections; new ones are welcome."""
        for writer in self._writers:
            writer.transport.abort()

    def freeze(self) -> None:
        """Let nothing pass and tell nobody, as a switch that swallows packets. New connections hang too."""
        self._flowing.clear()

    async def restore(self) -> None:
        """Undo cut, freeze and delay. What a freeze held back arrives now, as TCP would send it again."""
        self.delay = 0.0
        self._spoil = None
        self._flowing.set()
        if self._server is None:
            await self._listen()

    def garbage(self, count: int = 64) -> None:
        """Send random bytes to every client."""
        for writer in self._clients:
            writer.write(os.urandom(count))

    def spoil_next(self, spoil: Spoil) -> None:
        """Pass the next block that a server sends through `spoil`: half, swallow, repeat, or your own."""
        self._spoil = spoil

    @property
    def spoils(self) -> bool:
        """Whether a block is still to be spoilt."""
        return self._spoil is not None

    async def _listen(self) -> None:
        self._server = await asyncio.start_server(self._accept, "127.0.0.1", self.port)

    async def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if self._server is None:  # cut since the kernel took the connection
            writer.transport.abort()
            return
        self.accepted += 1
        task = asyncio.current_task()
        assert task is not None
        self._tasks.add(task)
        self._writers.add(writer)
        self._clients.add(writer)
        try:
            await self._forward(reader, writer)
        except (OSError, asyncio.CancelledError):
            pass
        finally:
            self._tasks.discard(task)
            self._writers.discard(writer)
            self._clients.discard(writer)
            writer.transport.abort()

    async def _forward(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await self._flowing.wait()
        up_reader, up_writer = await asyncio.open_connection(self.host, self.server_port)
        self._writers.add(up_writer)
        directions = [
            asyncio.create_task(self._pump(reader, up_writer)),
            asyncio.create_task(self._pump(up_reader, writer, spoils=True)),
        ]
        try:
            await asyncio.wait(directions, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for direction in directions:
                direction.cancel()
            await asyncio.gather(*directions, return_exceptions=True)
            self._writers.discard(up_writer)
            up_writer.transport.abort()

    async def _pump(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, *, spoils: bool = False) -> None:
        """One direction: blocks go into a queue with their due times, and are let out here."""
        queue: asyncio.Queue[tuple[float, bytes]] = asyncio.Queue(1000)
        filling = asyncio.create_task(self._fill(queue, reader))
        loop = asyncio.get_running_loop()
        try:
            while True:
                due, block = await queue.get()
                await asyncio.sleep(due - loop.time())
                await self._flowing.wait()
                if not block:
                    return
                if spoils and self._spoil is not None:
                    block, self._spoil = self._spoil(block), None
                writer.write(block)
                if spoils:
                    self.answers.append(Answer(self._asked, time.time_ns(), block))
                else:
                    self._asked = time.time_ns()
                await writer.drain()
        finally:
            filling.cancel()

    async def _fill(self, queue: asyncio.Queue[tuple[float, bytes]], reader: asyncio.StreamReader) -> None:
        """Read until the connection ends; an empty block says that it did."""
        block = b"?"
        while block:
            try:
                block = await reader.read(65536)
            except OSError:
                block = b""
            await queue.put((asyncio.get_running_loop().time() + self.delay, block))


async def _obey(proxy: FaultProxy, line: str) -> None:
    word, _, argument = line.strip().partition(" ")
    match word:
        case "cut" | "drop" | "freeze" | "garbage":
            getattr(proxy, word)()
        case "restore":
            await proxy.restore()
        case "delay":
            proxy.delay = float(argument)
        case "half" | "swallow" | "repeat":
            proxy.spoil_next({"half": half, "swallow": swallow, "repeat": repeat}[word])
        case _:
            print(f"unknown order {line!r}", flush=True)
            return
    print(f"done {word}", flush=True)


async def main() -> None:
    """Serve until standard input ends."""
    parser = argparse.ArgumentParser(description="A TCP proxy that breaks on demand")
    parser.add_argument("server", help="HOST:PORT of the real server")
    parser.add_argument("--port", type=int, default=0, help="where to listen; 0 takes a free one")
    options = parser.parse_args()
    host, _, port = options.server.rpartition(":")
    async with FaultProxy(host, int(port), port=options.port) as proxy:
        print(f"listening {proxy.port}", flush=True)
        while line := await asyncio.to_thread(sys.stdin.readline):
            await _obey(proxy, line)


if __name__ == "__main__":
    asyncio.run(main())
