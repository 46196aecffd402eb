"""Servers of pymodbus, which is not our code, on every kind of line; and a serial line with a disturbance in it."""

import asyncio
import os
import ssl
import tty
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path

from pymodbus import FramerType
from pymodbus.server import ModbusTcpServer, ModbusTlsServer, ModbusUdpServer
from pymodbus.simulator import DataType, SimData, SimDevice

from gateway.testing import eventually
from tests.peers.certificates import Authority
from tests.peers.ports import free_port


def unit(number: int) -> SimDevice:
    """A unit whose holding register n holds 100 × its number + n, with coils that are on where n is even."""
    registers = [SimData(0, values=[100 * number + n for n in range(50)], datatype=DataType.REGISTERS)]
    bits = [SimData(0, values=[n % 2 == 0 for n in range(48)], datatype=DataType.BITS)]
    return SimDevice(number, simdata=(bits, bits, registers, registers))


@asynccontextmanager
async def pymodbus(kind: str, units: Sequence[int] = (1,), folder: Path | None = None) -> AsyncIterator[int]:
    """A server on a free port. `kind`: tcp, tls, udp, rtu or ascii (over TCP)."""
    devices = [unit(number) for number in units]
    framer = {"rtu": FramerType.RTU, "ascii": FramerType.ASCII}.get(kind, FramerType.SOCKET)
    where = ("127.0.0.1", free_port())
    if kind == "tls":
        assert folder is not None
        server = ModbusTlsServer(devices, framer=framer, address=where, sslctx=_server_side(folder))
    else:
        server_type = ModbusUdpServer if kind == "udp" else ModbusTcpServer
        server = server_type(devices, framer=framer, address=where)
    await server.serve_forever(background=True)
    try:
        yield where[1]
    finally:
        await server.shutdown()


def _server_side(folder: Path) -> ssl.SSLContext:
    issued = Authority(folder).issue("127.0.0.1")
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(issued.certificate, issued.key)
    return context


class SerialLine:
    """A pseudo-terminal whose far end is a TCP server: an RS-485 line with several units on it.

    `noise` stands before the next answer, `lost` answers do not arrive, and `held` ones not before `release`.
    """

    def __init__(self) -> None:
        self.noise = b""
        self.lost = 0
        self.held: bytes | None = None
        self.requests = 0
        self.silent: set[int] = set()
        """Units that are switched off."""
        self.path = ""

    @asynccontextmanager
    async def to(self, port: int) -> AsyncIterator["SerialLine"]:
        ours, theirs = os.openpty()
        tty.setraw(theirs)
        os.set_blocking(ours, False)
        self.path = os.ttyname(theirs)
        self._ours = ours
        loop = asyncio.get_running_loop()
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        loop.add_reader(ours, lambda: self._asked(writer))
        answering = asyncio.create_task(self._answers(reader))
        try:
            yield self
        finally:
            loop.remove_reader(ours)
            answering.cancel()
            writer.close()
            await eventually(lambda: answering.done(), 20)
            os.close(ours)
            os.close(theirs)

    def hold(self) -> None:
        """Keep the next answers."""
        self.held = b""

    def release(self) -> None:
        """Let out what was held, all at once."""
        held, self.held = self.held or b"", None
        os.write(self._ours, held)

    def _asked(self, writer: asyncio.StreamWriter) -> None:
        self.requests += 1
        request = os.read(self._ours, 4096)
        unit = int(request[1:3], 16) if request[:1] == b":" else request[0]
        if unit not in self.silent:
            writer.write(request)

    async def _answers(self, reader: asyncio.StreamReader) -> None:
        while answer := await reader.read(4096):
            if self.lost:
                self.lost -= 1
            elif self.held is not None:
                self.held += answer
            else:
                noise, self.noise = self.noise, b""
                os.write(self._ours, noise + answer)
