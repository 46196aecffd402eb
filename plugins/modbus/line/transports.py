"""Opens lines: TCP, TLS, UDP, RTU and ASCII in a TCP stream or on a serial port."""

import asyncio
from collections.abc import Callable
from typing import Any

from gateway.kit import dial
from gateway.plugin import LinkError

from ..config import ModbusDevice
from .connection import Connection
from .framing import AsciiFraming, Framing, RtuFraming, TcpFraming
from .serial_port import SerialPort
from .times import silence

_FRAMINGS: dict[str, Callable[[], Framing]] = {
    "tcp": TcpFraming, "udp": TcpFraming, "rtu-over-tcp": RtuFraming, "ascii-over-tcp": AsciiFraming,
    "rtu": RtuFraming, "ascii": AsciiFraming,
}  # fmt: skip


async def open_line(config: ModbusDevice) -> Connection:
    """A connection to the line of these options. Raises LinkError with what to look at."""
    if config.serial:
        return _open_serial(config)
    connection = _connection(config, f"{config.host}:{config.tcp_port}")
    if config.transport != "udp":
        return await dial(
            lambda: connection,
            config.host,
            config.tcp_port,
            tls=config.tls,
            look_at="is the port right, and Modbus TCP switched on in the device?",
        )
    try:
        transport, _ = await asyncio.get_running_loop().create_datagram_endpoint(
            lambda: _Datagrams(connection), remote_addr=(config.host, config.tcp_port)
        )
    except (OSError, UnicodeError) as error:
        raise LinkError(f"cannot reach {config.host}:{config.tcp_port}: {error}") from error
    connection.connection_made(_Socket(transport))  # type: ignore[arg-type]  # what a connection uses of one
    return connection


class _Datagrams(asyncio.DatagramProtocol):
    """Hands datagrams to a connection: each is a frame, and nothing of it is kept for the next."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    def datagram_received(self, data: bytes, _from: Any) -> None:
        self._connection.data_received(data)
        self._connection.forget()

    def error_received(self, error: OSError | Exception) -> None:
        self._connection.end(error)

    def connection_lost(self, error: Exception | None) -> None:
        self._connection.connection_lost(error)


class _Socket:
    """A socket for datagrams, written to as a stream is."""

    def __init__(self, transport: asyncio.DatagramTransport) -> None:
        self.write = transport.sendto
        self.abort = transport.abort


def _connection(config: ModbusDevice, peer: str) -> Connection:
    return Connection(
        peer,
        _FRAMINGS[config.transport](),
        max_in_flight=config.max_in_flight,
        gap=silence(config),
        noisy=config.lossy,
        datagrams=config.transport == "udp",
        numbers_count=config.transaction_ids,
        advice=" And baud, parity and wiring?" if config.serial else "",
    )


def _open_serial(config: ModbusDevice) -> Connection:
    connection = _connection(config, config.serial)
    port = SerialPort(
        config.serial,
        connection,
        baud=config.baud,
        data_bits=config.data_bits,
        parity=config.parity,
        stop_bits=config.stop_bits,
        rs485=config.rs485,
    )
    connection.connection_made(port)  # type: ignore[arg-type]  # it has what a connection uses of a transport
    return connection
