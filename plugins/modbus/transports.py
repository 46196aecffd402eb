"""Opens lines: TCP, TLS, UDP, RTU and ASCII in a TCP stream or on a serial port."""

import asyncio
import os
import ssl
from collections.abc import Callable
from typing import Any

from gateway.plugin import LinkError, RefusedError, Tls, load_certificates

from .config import ModbusDevice
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
    peer = f"{config.host}:{config.tcp_port}"
    connection = _connection(config, peer)
    loop = asyncio.get_running_loop()
    try:
        if config.transport == "udp":
            transport, _ = await loop.create_datagram_endpoint(
                lambda: _Datagrams(connection), remote_addr=(config.host, config.tcp_port)
            )
            connection.connection_made(_Socket(transport))  # type: ignore[arg-type]  # what a connection uses of one
        else:
            tls = tls_context(config.tls) if config.tls else None
            name = (config.tls.server_name if isinstance(config.tls, Tls) else "") or config.host
            await loop.create_connection(
                lambda: connection, config.host, config.tcp_port, ssl=tls, server_hostname=name if tls else None
            )
    except ssl.SSLError as error:
        raise RefusedError(f"cannot connect to {peer}: {_tls_reason(error)}") from error
    except OSError as error:
        raise LinkError(f"cannot connect to {peer}: {_reason(error)}") from error
    return connection


class _Datagrams(asyncio.DatagramProtocol):
    """Hands datagrams to a connection: each is a frame, and nothing of it is kept for the next."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    def datagram_received(self, data: bytes, _from: Any) -> None:
        self._connection.data_received(data)
        self._connection.forget_rest()

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


def tls_context(tls: Tls | bool) -> ssl.SSLContext:
    """A context that verifies certificate and name. Raises RefusedError for a file that cannot be used."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    asked = tls if isinstance(tls, Tls) else Tls()
    load_certificates(context, asked.ca, asked.certificate, asked.key)
    return context


def _tls_reason(error: ssl.SSLError) -> str:
    if isinstance(error, ssl.SSLCertVerificationError):
        return f"the device's certificate is not trusted: {error.verify_message}"
    return f"no TLS ({error.reason or error}); does the device speak TLS on this port?"


def _reason(error: OSError) -> str:
    if isinstance(error, ConnectionRefusedError):
        return "connection refused; is the port right, and Modbus TCP switched on in the device?"
    if error.errno is not None and error.errno > 0:
        return os.strerror(error.errno)
    return error.strerror or str(error)
