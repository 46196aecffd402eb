"""A PLC that speaks the dedicated protocol; shared by the tests of this folder. A client that is not ours understands it: see
test_frames.py."""

import asyncio
import struct
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from gateway.plugin import Device
from gateway.testing import build_device
from plugins.xgt.driver import Xgt

SIZES = {0: 1, 1: 1, 2: 2, 3: 4, 4: 8}
UNITS = {"X": 0, "B": 1, "W": 2, "D": 4, "L": 8}


class XgtPlc:
    """Bytes by area; words that were never written hold their own number. `refused` are names that it does not give."""

    def __init__(self, *, places: bool = True) -> None:
        self.areas = {name: bytearray(struct.pack("<4000H", *range(4000))) for name in ("D", "M", "P", "R")}
        self.asked: list[tuple[int, int, list[str]]] = []
        self.refused: set[str] = set()
        self._places = places
        """Whether it gives several places at once."""

    def put(self, area: str, word: int, wire: bytes) -> None:
        self.areas[area][2 * word : 2 * word + len(wire)] = wire

    def word(self, area: str, word: int) -> int:
        return int.from_bytes(self.areas[area][2 * word : 2 * word + 2], "little")

    @asynccontextmanager
    async def serve(self) -> AsyncIterator[int]:
        writers: list[asyncio.StreamWriter] = []

        async def one(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            writers.append(writer)
            try:
                while True:
                    header = await reader.readexactly(20)
                    assert header[:8] == b"LSIS-XGT"
                    assert header[19] == sum(header[:19]) & 0xFF
                    body = self.answer(await reader.readexactly(int.from_bytes(header[16:18], "little")))
                    head = header[:13] + b"\x11" + header[14:16] + struct.pack("<HB", len(body), 3)
                    writer.write(head + bytes([sum(head) & 0xFF]) + body)
            except (asyncio.IncompleteReadError, ConnectionError):
                writer.close()

        server = await asyncio.start_server(one, "127.0.0.1", 0)
        try:
            yield server.sockets[0].getsockname()[1]
        finally:
            server.close()
            for writer in writers:
                writer.close()
            await server.wait_closed()

    def answer(self, body: bytes) -> bytes:
        """The right answer's body."""
        command, kind, _, count = struct.unpack_from("<HHHH", body)
        names, at = [], 8
        for _ in range(count):
            (length,) = struct.unpack_from("<H", body, at)
            names.append(body[at + 2 : at + 2 + length].decode())
            at += 2 + length
        self.asked.append((command, kind, names))
        head = struct.pack("<HHH", command + 1, kind, 0)
        if count > 16 or (count > 1 and not self._places):
            return head + struct.pack("<HH", 0xFFFF, 1)
        values = []
        for name in names:
            amount = SIZES.get(kind) or struct.unpack_from("<H", body, at)[0]
            area, offset = name[1], self._offset(name)
            if area not in self.areas or self.refused.intersection(self._words(name, amount)):
                return head + struct.pack("<HH", 0xFFFF, 3 if area not in self.areas else 4)
            if offset // 8 + amount > len(self.areas[area]):
                return head + struct.pack("<HH", 0xFFFF, 4)
            if command == 0x54:
                values.append(self._get(area, offset, amount, kind))
                continue
            (length,) = struct.unpack_from("<H", body, at)
            self._set(area, offset, body[at + 2 : at + 2 + length], kind)
            at += 2 + length
        if command == 0x58:
            return head + struct.pack("<HH", 0, count)
        return head + struct.pack("<HH", 0, count) + b"".join(struct.pack("<H", len(v)) + v for v in values)

    @staticmethod
    def _offset(name: str) -> int:
        """In bits."""
        return int(name[3:]) * (8 * UNITS[name[2]] or 1)

    def _words(self, name: str, amount: int) -> set[str]:
        first = self._offset(name) // 16
        return {f"{name[1]}{first + n}" for n in range((amount + 1) // 2)}

    def _get(self, area: str, offset: int, amount: int, kind: int) -> bytes:
        if kind == 0:
            return bytes([self.areas[area][offset // 8] >> offset % 8 & 1])
        return bytes(self.areas[area][offset // 8 : offset // 8 + amount])

    def _set(self, area: str, offset: int, data: bytes, kind: int) -> None:
        if kind == 0:
            at, bit = divmod(offset, 8)
            self.areas[area][at] = self.areas[area][at] & ~(1 << bit) | (data[0] & 1) << bit
        else:
            self.areas[area][offset // 8 : offset // 8 + len(data)] = data


def make_device(tags: dict[str, Any], port: int, **options: Any) -> Device:
    """A PLC on this machine whose tags are given as name → address (uint16 where it is a word) or options."""
    made = {name: _options(given) if isinstance(given, str) else given for name, given in tags.items()}
    return build_device(Xgt, {"host": "127.0.0.1", "port": port, "timeout": "25s"} | options, made)


def _options(address: str) -> dict[str, Any]:
    return {"address": address} if "." in address or "X" in address else {"address": address, "type": "uint16"}


@asynccontextmanager
async def connected(*devices: Device) -> AsyncIterator[Xgt]:
    """A driver that is connected to these devices."""
    driver = Xgt(devices)
    await driver.connect()
    try:
        yield driver
    finally:
        await driver.close()
