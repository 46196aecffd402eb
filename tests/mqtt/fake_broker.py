"""A broker of a few lines that says what a test wants it to say."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from typing import NamedTuple

from gateway.mqtt.packets import packed_length

CONNECT, PUBLISH, SUBSCRIBE, UNSUBSCRIBE, DISCONNECT = 0x10, 0x30, 0x80, 0xA0, 0xE0
WELCOME_5 = bytes.fromhex("20 03 00 00 00")
WELCOME_311 = bytes.fromhex("20 02 00 00")


class Packet(NamedTuple):
    kind: int
    first: int
    body: bytes

    @property
    def level(self) -> int:
        """Protocol level of a CONNECT: 4 is 3.1.1, 5 is 5."""
        return self.body[6]

    @property
    def mid(self) -> int:
        """Packet identifier of a PUBLISH with QoS 1."""
        start = 2 + int.from_bytes(self.body[:2], "big")
        return int.from_bytes(self.body[start : start + 2], "big")


def packet(first: int, body: bytes) -> bytes:
    return bytes((first,)) + packed_length(len(body)) + body


def puback(mid: int, code: int = 0, text: str = "") -> bytes:
    reason = text.encode()
    properties = b"\x1f" + len(reason).to_bytes(2, "big") + reason if text else b""
    tail = bytes((code,)) + packed_length(len(properties)) + properties if code or text else b""
    return packet(0x40, mid.to_bytes(2, "big") + tail)


async def read_packet(reader: asyncio.StreamReader) -> Packet:
    first = (await reader.readexactly(1))[0]
    length = shift = 0
    while True:
        byte = (await reader.readexactly(1))[0]
        length |= (byte & 0x7F) << shift
        shift += 7
        if byte < 0x80:
            break
    return Packet(first & 0xF0, first, await reader.readexactly(length))


class FakeBroker:
    """Asks `answer` what to say to each packet; None closes the connection."""

    def __init__(self, answer: Callable[[Packet], bytes | None]) -> None:
        self.answer = answer
        self.packets: list[Packet] = []
        self.writers: list[asyncio.StreamWriter] = []
        self.port = 0

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.writers.append(writer)
        with suppress(OSError, asyncio.IncompleteReadError):
            while True:
                heard = await read_packet(reader)
                self.packets.append(heard)
                said = self.answer(heard)
                if said is None:
                    break
                writer.write(said)
        writer.transport.abort()


@asynccontextmanager
async def fake_broker(answer: Callable[[Packet], bytes | None]) -> AsyncIterator[FakeBroker]:
    broker = FakeBroker(answer)
    server = await asyncio.start_server(broker.serve, "127.0.0.1", 0)
    broker.port = server.sockets[0].getsockname()[1]
    try:
        yield broker
    finally:
        server.close()
        for writer in broker.writers:
            writer.transport.abort()
