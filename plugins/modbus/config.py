"""Options of a Modbus device and its tags."""

from typing import Any, Literal

from gateway.kit import NotAvailable, WordOrder, WordTag, WordType
from gateway.plugin import (
    DeviceConfig,
    Duration,
    Field,
    Host,
    Period,
    Tls,
    ValidationInfo,
    field_validator,
    model_validator,
)

from .address import parse_address, quotes_missing
from .line.serial_port import baud_rates

_SERIAL = ("rtu", "ascii")


class ModbusDevice(DeviceConfig):
    """A Modbus device. Devices with the same host and port, or the same serial port, share one line."""

    transport: Literal["tcp", "udp", "rtu-over-tcp", "ascii-over-tcp", "rtu", "ascii"] = "tcp"
    """How it is reached: by Modbus TCP or UDP; by RTU or ASCII frames in a TCP stream, as simple serial device servers pass
    them on; or by RTU or ASCII on a serial port."""

    serial: str = Field(default="", validate_default=True, examples=["/dev/serial/by-id/usb-FTDI_FT232R-if00-port0"])
    """The serial port of an RTU or ASCII line. The names under /dev/serial/by-id stay the same after a restart."""

    host: Host = Field(default="", validate_default=True)
    """Name or address of the device, or of the gateway in front of it. Needed unless it is on a serial port."""

    port: int | None = Field(default=None, ge=1, le=65535)
    """TCP or UDP port. Default: 502, with tls 802."""

    tls: bool | Tls = False
    """true: Modbus TCP Security, the device's certificate checked against the system's authorities; or a table that says
    more, such as { ca = "plant-ca.pem" }."""

    baud: int = 19200
    """Bits per second on the serial port."""

    parity: Literal["none", "even", "odd"] = "even"
    """Parity on the serial port; with "none" most devices want stop_bits = 2."""

    data_bits: Literal[7, 8] = 8
    """Data bits on the serial port. RTU has 8, ASCII mostly 7."""

    stop_bits: Literal[1, 2] = 1
    """Stop bits on the serial port."""

    rs485: bool = False
    """Have the serial port's driver switch RTS while it sends, for RS-485 adapters that need it. Most switch themselves."""

    unit: int = Field(default=1, ge=0, le=255)
    """Unit id: the device's number on a serial line or behind a gateway; most devices with a network plug of their own take 1
    or 255."""

    any_unit: bool = False
    """Take answers that carry another unit id, as some devices with a network plug send them. Only for a device that has its
    line for itself."""

    transaction_ids: bool = True
    """false: the device gives transaction ids back wrongly; its answers are told apart by their turn. One that
    puts 0, 1 or 65535 in place of all of them is noticed without this."""

    padded: bool = False
    """Take answers that carry surplus bytes behind the data."""

    order: Literal["ABCD", "CDAB", "BADC", "DCBA"] = "ABCD"
    """Byte order of 32- and 64-bit values whose tag names none. ABCD is big-endian, CDAB has its registers swapped."""

    not_available: NotAvailable | None = None
    """What the device puts in the place of a value that it has not, for all tags that say nothing else: "sunspec" or "sma",
    by type, or the numbers as they stand in the registers."""

    request_timeout: Period | None = None
    """How long one request may take; `timeout` holds for all requests of a scan. Default: 1 s on serial ports, else as long
    as `timeout`."""

    retries: int | None = Field(default=None, ge=0, le=10)
    """How often a request whose answer is lost or damaged is repeated in the same scan. Default: 1 where that happens, on
    serial lines and by UDP, else 0."""

    pause: Duration = 0.0
    """Silence on the line after each answer of this device, for devices that need time to recover."""

    pause_after_connect: Duration = 0.0
    """Silence after the line was opened, for devices that are not ready at once."""

    max_gap: int | None = Field(default=None, ge=0, le=2000)
    """Read over up to so many unused addresses to save a request. Default: as many as save time on the line, at most 16. 0
    for a device in which reading an unused address does harm."""

    max_registers: int = Field(default=125, ge=1, le=125)
    """Registers that the device gives in one request, at most. A single value is never cut."""

    max_bits: int = Field(default=2000, ge=1, le=2000)
    """Coils or discrete inputs that the device gives in one request, at most."""

    request_per_tag: bool = False
    """Read every tag by a request of its own, for devices that give a value only when asked for exactly it."""

    write_function: Literal["auto", "multiple"] = "auto"
    """multiple: write also a single register or coil by the functions for several (16, 15), for devices that lack 5 and 6."""

    bit_writes: Literal["mask", "read-modify-write"] = "mask"
    """How a bit of a register is written: by the function for it (22), or, for devices that lack it, by reading the register
    and writing it back, which undoes what the device itself changes in it in between."""

    @field_validator("serial")
    @classmethod
    def _port_given(cls, serial: str, info: ValidationInfo) -> str:
        transport = info.data.get("transport")
        if transport in _SERIAL and not serial:
            raise ValueError(f'serial: required key is missing for transport = "{transport}", such as "/dev/ttyUSB0"')
        if serial and transport not in (*_SERIAL, None):
            raise ValueError(f'transport = "{transport}" goes over a network; write transport = "rtu" or "ascii"')
        return serial

    @field_validator("host")
    @classmethod
    def _host_given(cls, host: str, info: ValidationInfo) -> str:
        transport = info.data.get("transport")
        if transport not in (*_SERIAL, None) and not host:
            raise ValueError("host: required key is missing")
        if transport in _SERIAL and host:
            raise ValueError('a serial port has none; write transport = "rtu-over-tcp" for RTU through a device server')
        return host

    @field_validator("baud")
    @classmethod
    def _possible(cls, baud: int) -> int:
        if baud not in baud_rates():
            raise ValueError(f"{baud} is no rate of serial ports; write one of {_few(baud_rates())}")
        return baud

    @model_validator(mode="after")
    def _consistent(self) -> "ModbusDevice":
        if self.tls and self.transport != "tcp":
            raise ValueError('tls: only with transport = "tcp"')
        if self.serial and self.port:
            raise ValueError("port: a serial port has none")
        if self.transport == "rtu" and self.data_bits != 8:
            raise ValueError("data_bits: RTU needs 8")
        if self.serial and not 1 <= self.unit <= 247:
            raise ValueError("unit: on a serial line 1 to 247")
        return self

    @property
    def tcp_port(self) -> int:
        """The port to dial."""
        return self.port or (802 if self.tls else 502)

    @property
    def lossy(self) -> bool:
        """Whether single frames get lost or damaged on this line."""
        return self.transport in ("udp", "rtu", "ascii")


def _few(rates: list[int]) -> str:
    return ", ".join(str(rate) for rate in rates if 1200 <= rate <= 115200)


class ModbusTag(WordTag):
    """A value in a Modbus device."""

    parse = staticmethod(parse_address)
    word = "register"

    address: str = Field(examples=["40001", "hr:0"])
    """As the manual prints it ("40001", "400001", a bit as "40001.3", several as "40001.4-7", a byte as "40001.high"), or raw
    and counted from 0 ("hr:0", "ir:0", "co:0", "di:0")."""

    type: WordType | None = None
    """How to read the registers. Needed for registers; a bit is bool; several bits are uint16 unless it says otherwise. The
    names of PLCs (REAL, INT, DINT, WORD, …) are understood."""

    order: WordOrder | None = None
    """Byte order as it comes over the wire, A the most significant byte. Default: the device's. Of texts it says where a
    register has its characters: "AB" two, the first in the high byte; "BA" two, swapped; "A" or "B" one, in the high or the
    low byte."""

    @field_validator("address", mode="before")
    @classmethod
    def _legible(cls, value: Any) -> Any:
        if not isinstance(value, str):
            raise ValueError(quotes_missing(value))
        parse_address(value)
        return value

    @model_validator(mode="after")
    def _before_the_end(self) -> "ModbusTag":
        if self.at().offset + self.words() > 65536:
            raise ValueError(
                f"address: {self.type} takes {self.words()} registers and would run over the last one, 65536"
            )
        return self

    def single(self) -> str:
        area = self.at().area
        return area.word if area.single_bits else ""

    def _byte_example(self) -> str:
        return ".high"
