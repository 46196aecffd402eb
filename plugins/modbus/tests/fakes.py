"""Made-up devices and a raw device to misbehave; shared by the tests of this folder."""

import asyncio
import struct
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

import pytest

from gateway.kit import Frames
from gateway.kit.line import LineFraming
from gateway.plugin import Device, Tag, Tags
from plugins.modbus.config import ModbusDevice, ModbusTag
from plugins.modbus.driver import Modbus
from plugins.modbus.requests import ModbusRequest

Answerer = Callable[[bytes], bytes]
"""Takes one request frame, gives the bytes to send back, perhaps none."""


def make_device(tags: dict[str, Any], name: str = "plc", first_id: int = 1, **options: Any) -> Device:
    """A device whose tags are given as name → address or options. It is given time enough to answer, on any machine, unless
    the test says otherwise."""
    config = ModbusDevice(name=name, driver="modbus", **{"host": "127.0.0.1", "timeout": "25s"} | options)
    made = [
        Tag(number, name, tag, config=ModbusTag(**({"address": given} if isinstance(given, str) else given)))
        for number, (tag, given) in enumerate(tags.items(), first_id)
    ]
    return Device(name, "modbus", Tags(name, made), config=config)


def floats(count: int, start: int = 0) -> dict[str, Any]:
    """Adjacent float32 tags in holding registers, as options."""
    return {f"f{n}": {"address": f"hr:{start + 2 * n}", "type": "float32"} for n in range(count)}


def words(*offsets: int) -> dict[str, Any]:
    """uint16 tags in these holding registers, as options."""
    return {f"w{offset}": {"address": f"hr:{offset}", "type": "uint16"} for offset in offsets}


@asynccontextmanager
async def connected(*devices: Device) -> AsyncIterator[Modbus]:
    """A driver that is connected to these devices."""
    driver = Modbus(devices)
    await driver.connect()
    try:
        yield driver
    finally:
        await driver.close()


def time_passes(driver: Modbus, seconds: float) -> None:
    """What waits for an answer sees so much time gone."""
    driver._line.expire(asyncio.get_running_loop().time() + seconds)


class RawDevice:
    """Answers request frames by a function; counts connections and requests."""

    def __init__(self, answer: Answerer) -> None:
        self.answer = answer
        self.requests: list[bytes] = []
        self.connections = 0
        self.writers: list[asyncio.StreamWriter] = []
        self.asked = asyncio.Condition()

    async def __aenter__(self) -> "RawDevice":
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", 0)
        self.port = self._server.sockets[0].getsockname()[1]
        return self

    async def __aexit__(self, *_: object) -> None:
        self._server.close()
        for writer in self.writers:
            writer.close()
        await self._server.wait_closed()

    async def wait_for_requests(self, count: int) -> None:
        async with self.asked:
            await self.asked.wait_for(lambda: len(self.requests) >= count)

    async def given_up(self, driver: Modbus, tags: Tags) -> bytes:
        """Has the driver read, and give up while the answer is still out. Returns the last request."""
        asked = len(self.requests)
        reading = asyncio.create_task(driver.read(tags))
        await self.wait_for_requests(asked + 1)
        reading.cancel()
        with pytest.raises(asyncio.CancelledError):
            await reading
        return self.requests[-1]

    def send(self, data: bytes) -> None:
        """Say something unasked on the newest connection."""
        self.writers[-1].write(data)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        self.writers.append(writer)
        try:
            while request := await reader.readexactly(12):
                self.requests.append(request)
                writer.write(self.answer(request))
                async with self.asked:
                    self.asked.notify_all()
        except (asyncio.IncompleteReadError, ConnectionError):
            writer.close()


def registers(request: bytes, word: Callable[[int], int] = lambda offset: offset) -> bytes:
    """A right answer to a register read; each register holds `word(offset)`, its own offset by default."""
    number, unit, function, start, count = struct.unpack(">H4xBBHH", request)
    data = b"".join(struct.pack(">H", word(start + n)) for n in range(count))
    return struct.pack(">HHHBBB", number, 0, 3 + len(data), unit, function, len(data)) + data


def split(framing: LineFraming[ModbusRequest], data: bytes) -> tuple[list[bytes], bytes]:
    """The frames in these bytes, opened, and what is left. Raises as the framing does."""
    frames, found = Frames(framing), []
    frames.add(data)
    while (frame := frames.next()) is not None:
        found.append(framing.opened(frame))
    return found, data[len(data) - len(frames) :]


def exception(request: bytes, code: int) -> bytes:
    """The answer that refuses a request."""
    return request[:4] + bytes([0, 3, request[6], request[7] | 0x80, code])
