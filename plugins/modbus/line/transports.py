"""Opens lines: TCP, TLS, UDP, RTU and ASCII in a TCP stream or on a serial port."""

from collections.abc import Callable

from gateway.kit.line import LineFraming, LineManners, RequestLine, open_line

from ..config import ModbusDevice
from ..requests import ModbusRequest
from .framing import AsciiFraming, RtuFraming, TcpFraming
from .serial_port import SerialPort
from .times import silence

_FRAMINGS: dict[str, Callable[[], LineFraming[ModbusRequest]]] = {
    "tcp": TcpFraming, "udp": TcpFraming, "rtu-over-tcp": RtuFraming, "ascii-over-tcp": AsciiFraming,
    "rtu": RtuFraming, "ascii": AsciiFraming,
}  # fmt: skip


async def open_modbus(config: ModbusDevice) -> RequestLine[ModbusRequest]:
    """The line of these options. Raises LinkError with what to look at."""
    line = RequestLine(
        config.serial or f"{config.host}:{config.tcp_port}", _FRAMINGS[config.transport](), _manners(config)
    )
    if config.serial:
        _open_serial(line, config)
    else:
        await open_line(
            line,
            config.host,
            config.tcp_port,
            tls=config.tls,
            look_at="is the port right, and Modbus TCP switched on in the device?",
        )
    return line


def _manners(config: ModbusDevice) -> LineManners:
    advice = " And baud, parity and wiring?" if config.serial else ""
    return LineManners(
        max_in_flight=config.max_in_flight,
        gap=silence(config),
        noisy=config.lossy,
        datagrams=config.transport == "udp",
        ids_count=config.transaction_ids,
        protocol="Modbus",
        if_silent=f"is unit right?{advice}",
        if_damaged=advice,
        if_misnumbered="; if the device gives back wrong ones, transaction_ids = false takes it",
    )


def _open_serial(line: RequestLine[ModbusRequest], config: ModbusDevice) -> None:
    port = SerialPort(
        config.serial,
        line,
        baud=config.baud,
        data_bits=config.data_bits,
        parity=config.parity,
        stop_bits=config.stop_bits,
        rs485=config.rs485,
    )
    line.connection_made(port)  # type: ignore[arg-type]  # it has what a line uses of a transport
