"""A PLC that speaks FINS by UDP and TCP and can be bent; shared by the tests of this folder. Foreign clients understand it:
see test_foreign.py."""

import asyncio
import struct
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

from gateway.plugin import Device
from gateway.testing import build_device
from plugins.fins.driver import Fins

Bend = Callable[[bytes, bytes], list[bytes]]
"""Takes a request and its right answer, both FINS frames without the header of TCP; gives the frames to send."""

WORDS = {
    0xB0: "CIO",
    0xB1: "W",
    0xB2: "H",
    0xB3: "A",
    0x82: "D",
    0x89: "T",
    0x98: "E",
    0xA0: "E0_",
    0xA1: "E1_",
    0x60: "E10_",
}
BITS = {0x30: "CIO", 0x31: "W", 0x32: "H", 0x33: "A", 0x02: "D"}


class FinsPlc:
    """Words by area name and number, those that were never written hold their own number. `holes` are not there."""

    def __init__(self, bend: Bend = lambda request, answer: [answer], *, most: int = 999) -> None:
        self.bend = bend
        self.words: dict[tuple[str, int], int] = {}
        self.holes: set[tuple[str, int]] = set()
        self.asked: list[bytes] = []
        self.greeted: list[bytes] = []
        self.refuse_tcp = 0
        self.connections = 0
        self._most = most
        self._writers: list[asyncio.StreamWriter] = []

    def put(self, address: str, wire: bytes) -> None:
        """Hold these bytes from an address on, such as "D100"."""
        area, at = address.rstrip("0123456789"), int(address[len(address.rstrip("0123456789")) :])
        for n in range(0, len(wire), 2):
            self.words[area, at + n // 2] = int.from_bytes(wire[n : n + 2], "big")

    def answer(self, frame: bytes) -> bytes:
        """The right answer to a frame."""
        self.asked.append(frame)
        head = bytes((0xC0, 0, 2)) + frame[6:9] + frame[3:6] + frame[9:12]
        if frame[10:12] == b"\5\1":
            return head + b"\0\0" + b"CJ2M-CPU33".ljust(20) + b"02.01".ljust(20) + bytes(52)
        if len(frame) < 18 or frame[10] != 1 or frame[11] not in (1, 2):
            return head + b"\4\1"
        code, at, bit, count = struct.unpack(">BHBH", frame[12:18])
        area = WORDS.get(code) or BITS.get(code)
        if area is None:
            return head + b"\x11\1"
        places = [(area, at + n) for n in range(count)]
        if code in BITS:
            places = [(area, at)] * count
        if self.holes.intersection(places):
            return head + b"\x11\3"
        if count > self._most:
            return head + b"\x11\x0b"
        return head + (self._read(code, bit, places) if frame[11] == 1 else self._write(code, bit, places, frame[18:]))

    def _read(self, code: int, bit: int, places: list[tuple[str, int]]) -> bytes:
        found = [self.words.get(place, place[1] & 0xFFFF) for place in places]
        if code in BITS:
            return b"\0\0" + bytes(word >> bit + n & 1 for n, word in enumerate(found))
        return b"\0\0" + b"".join(word.to_bytes(2, "big") for word in found)

    def _write(self, code: int, bit: int, places: list[tuple[str, int]], data: bytes) -> bytes:
        if len(data) != (len(places) if code in BITS else 2 * len(places)):
            return b"\x10\3"
        for n, place in enumerate(places):
            if code in BITS:
                word = self.words.get(place, place[1])
                self.words[place] = word & ~(1 << bit + n) | data[n] << bit + n
            else:
                self.words[place] = int.from_bytes(data[2 * n : 2 * n + 2], "big")
        return b"\0\0"

    @asynccontextmanager
    async def udp(self) -> AsyncIterator[int]:
        """Serve by UDP; gives the port."""
        plc = self

        class Server(asyncio.DatagramProtocol):
            def connection_made(self, transport: Any) -> None:
                self.transport = transport

            def datagram_received(self, data: bytes, peer: Any) -> None:
                for frame in plc.bend(data, plc.answer(data)):
                    self.transport.sendto(frame, peer)

        transport, _ = await asyncio.get_running_loop().create_datagram_endpoint(Server, local_addr=("127.0.0.1", 0))
        try:
            yield transport.get_extra_info("sockname")[1]
        finally:
            transport.close()

    @asynccontextmanager
    async def tcp(self) -> AsyncIterator[int]:
        """Serve FINS/TCP; gives the port."""
        server = await asyncio.start_server(self._serve, "127.0.0.1", 0)
        try:
            yield server.sockets[0].getsockname()[1]
        finally:
            server.close()
            for writer in self._writers:
                writer.close()
            await server.wait_closed()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        self._writers.append(writer)
        try:
            while True:
                magic, length, command, _ = struct.unpack(">4sIII", await reader.readexactly(16))
                assert magic == b"FINS"
                frame = await reader.readexactly(length - 8)
                if self.refuse_tcp:
                    writer.write(b"FINS" + struct.pack(">III", 8, 3, self.refuse_tcp))
                elif command == 0:
                    self.greeted.append(frame)
                    writer.write(b"FINS" + struct.pack(">IIIII", 16, 1, 0, int.from_bytes(frame, "big") or 239, 10))
                else:
                    for answer in self.bend(frame, self.answer(frame)):
                        writer.write(b"FINS" + struct.pack(">III", 8 + len(answer), 2, 0) + answer)
        except (asyncio.IncompleteReadError, ConnectionError):
            writer.close()


def make_device(tags: dict[str, Any], port: int, **options: Any) -> Device:
    """A PLC on this machine whose tags are given as name → address (int16 where it is a word) or options."""
    made = {name: _options(given) if isinstance(given, str) else given for name, given in tags.items()}
    return build_device(Fins, {"host": "127.0.0.1", "port": port, "timeout": "25s"} | options, made)


def _options(address: str) -> dict[str, Any]:
    return {"address": address} if "." in address else {"address": address, "type": "uint16"}


@asynccontextmanager
async def connected(*devices: Device) -> AsyncIterator[Fins]:
    """A driver that is connected to these devices."""
    driver = Fins(devices)
    await driver.connect()
    try:
        yield driver
    finally:
        await driver.close()
