"""What `discover` finds of Modbus: units behind one address, devices that look at no unit id, RTU in a TCP stream."""

import asyncio
import struct
from contextlib import asynccontextmanager

import pytest

from gateway.plugin import Search
from plugins.modbus.config import ModbusDevice, ModbusTag
from plugins.modbus.driver import Modbus
from plugins.modbus.finding import _objects
from plugins.modbus.line.framing import RtuFraming, crc16
from plugins.modbus.tests.peers import SerialLine, pymodbus


async def at_once() -> None:
    """The pace of tests."""


async def find(port: int, timeout: float = 20, **options):
    search = Search(at_once, host="127.0.0.1", ports=(port,), timeout=timeout, **options)
    return [each async for each in Modbus.discover(search)]


class Answering:
    """A Modbus TCP server by hand: `answer(unit, function)` gives the PDU, None says nothing."""

    def __init__(self, answer) -> None:
        self.answer = answer
        self.asked: list[tuple[int, bytes]] = []

    @asynccontextmanager
    async def serving(self):
        server = await asyncio.start_server(self._serve, "127.0.0.1", 0)
        async with server:
            yield server.sockets[0].getsockname()[1]

    async def _serve(self, reader, writer):
        try:
            while True:
                head = await reader.readexactly(7)
                if head[5] < 2:
                    break  # no Modbus TCP: the frame of another transport
                pdu = await reader.readexactly(head[5] - 1)
                self.asked.append((head[6], pdu))
                answer = self.answer(head[6], pdu[0])
                if answer is not None:
                    writer.write(head[:4] + struct.pack(">HB", len(answer) + 1, head[6]) + answer)
        except asyncio.IncompleteReadError:
            pass
        writer.close()


def named(maker: bytes) -> bytes:
    return bytes((43, 14, 1, 1, 0, 0, 2, 0, len(maker))) + maker + bytes((1, 3)) + b"M-1"


def refused(function: int, code: int) -> bytes:
    return bytes((function | 0x80, code))


async def test_each_unit_behind_a_gateway_is_a_device():
    async with pymodbus("tcp", [1, 3]) as port:
        found = await find(port, units=(1, 2, 3))
    assert [each.options["unit"] for each in found] == [1, 3]
    for each in found:
        ModbusDevice.model_validate({"name": "found", "driver": "modbus", **each.options})
        assert [ModbusTag.model_validate(options) for options in each.tags.values()]


async def test_rtu_frames_in_a_tcp_stream_are_found_where_modbus_tcp_is_not_spoken():
    async with pymodbus("rtu", [2]) as port:
        search = Search(at_once, host="127.0.0.1", ports=(port,), units=(2,), timeout=2)
        found = [each async for each in Modbus.discover(search)]
    assert [(each.options["transport"], each.options["unit"]) for each in found] == [("rtu-over-tcp", 2)]


async def test_a_named_serial_port_is_looked_at_and_no_host():
    async with pymodbus("rtu", [1]) as port, SerialLine().to(port) as line:
        search = Search(at_once, serial=line.path, units=(1,), timeout=20)
        found = [each async for each in Modbus.discover(search)]
    assert [each.options for each in found] == [{"transport": "rtu", "serial": line.path, "unit": 1}]


async def test_a_device_that_looks_at_no_unit_id_is_one_device():
    def answer(unit, function):
        return named(b"Acme") if function == 43 else bytes((3, 2, 0, 7))

    server = Answering(answer)
    async with server.serving() as port:
        (found,) = await find(port)
    assert found.options["unit"] == 1
    assert found.name == "Acme M-1"
    assert any("whatever unit id" in line for line in found.about)
    assert {unit for unit, _ in server.asked} == {1, 255, 2}


async def test_only_functions_that_read_are_ever_sent():
    server = Answering(lambda unit, function: refused(function, 1))
    async with server.serving() as port:
        found = await find(port, units=(1, 2))
    assert found
    assert {pdu[0] for _, pdu in server.asked} == {3, 4, 43}


async def test_a_unit_that_refuses_every_address_is_there_and_says_why_it_has_no_tag():
    server = Answering(lambda unit, function: refused(function, 2) if unit == 5 else refused(function, 11))
    async with server.serving() as port:
        (found,) = await find(port, units=(4, 5, 6))
    assert (found.options["unit"], found.tags) == (5, {})
    assert any("illegal data address" in line for line in found.about)


@pytest.mark.parametrize("code", [4, 10, 11])
async def test_what_a_gateway_says_of_units_that_are_away_is_no_unit(code):
    async with Answering(lambda unit, function: refused(function, code)).serving() as port:
        assert await find(port, units=(1, 2, 3)) == []


async def test_who_speaks_something_else_is_nobody():
    async def serve(reader, writer):
        writer.write(b"SSH-2.0-OpenSSH_9.2\r\n")
        await reader.read()
        writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    async with server:
        assert await find(server.sockets[0].getsockname()[1], units=(1, 2), timeout=1) == []


def test_names_that_make_no_sense_are_none():
    assert _objects(bytes((1, 0, 0, 200)) + b"\0\x05ab") == ("ab",)
    assert _objects(bytes((1, 0, 0, 3))) == ()
    assert _objects(bytes((1, 0, 0, 1, 0, 3)) + b"A\x1b[") == ("A [",)


def test_a_units_names_end_where_their_objects_do():
    body = bytes((1, *named(b"Acme")))
    frame = body + crc16(body)
    framing = RtuFraming()
    assert [framing.size(frame[:end], 0) for end in (3, 8, 9, 15, 16, len(frame))] == [0, 0, 0, 0, 21, 21]
    with pytest.raises(ValueError, match="no Modbus RTU"):
        framing.size(bytes((1, 43, 14, 1, 1, 0, 0, 2, 0, 200)) + bytes(200) + bytes((1, 200)), 0)
