"""Options of a Modbus device and its tags."""

from typing import Any, Literal

from gateway.plugin import DeviceConfig, Field, TagConfig, field_validator, model_validator

from .address import Address, parse_address, quotes_missing
from .codec import ORDERS, size_of

Type = Literal["bool", "int16", "uint16", "int32", "uint32", "int64", "uint64", "float32", "float64"]
Order = Literal[
    "AB", "BA", "ABCD", "CDAB", "BADC", "DCBA",
    "ABCDEFGH", "BADCFEHG", "CDABGHEF", "DCBAHGFE", "EFGHABCD", "FEHGBADC", "GHEFCDAB", "HGFEDCBA",
]  # fmt: skip


class ModbusDevice(DeviceConfig):
    """A Modbus device, reached over TCP; devices with the same host and port share one connection."""

    host: str = Field(min_length=1)
    """Name or address of the device, or of the gateway in front of it."""

    port: int = Field(default=502, ge=1, le=65535)
    """TCP port."""

    unit: int = Field(default=1, ge=0, le=255)
    """Unit id: the device's number behind a gateway; most devices with a network plug of their own take 1 or 255."""

    order: Literal["ABCD", "CDAB", "BADC", "DCBA"] = "ABCD"
    """Byte order of 32- and 64-bit values whose tag names none. ABCD is big-endian, CDAB has its registers swapped."""

    max_gap: int = Field(default=0, ge=0, le=2000)
    """Read over up to so many unused addresses to save a request; `check` tells what it saves. Some devices refuse it."""

    max_registers: int = Field(default=125, ge=1, le=125)
    """Registers that the device gives in one request, at most. A single value is never cut."""

    max_bits: int = Field(default=2000, ge=1, le=2000)
    """Coils or discrete inputs that the device gives in one request, at most."""


class ModbusTag(TagConfig):
    """A value in a Modbus device."""

    address: str = Field(examples=["40001", "hr:0"])
    """As the manual prints it ("40001", "400001", a bit as "40001.3"), or raw and counted from 0 ("hr:0", "ir:0", "co:0",
    "di:0")."""

    type: Type | None = None
    """How to read the registers. Needed for registers; bits are bool."""

    order: Order | None = None
    """Byte order as it comes over the wire, A the most significant byte. Default: the device's."""

    @field_validator("address", mode="before")
    @classmethod
    def _legible(cls, value: Any) -> Any:
        if not isinstance(value, str):
            raise ValueError(quotes_missing(value))
        parse_address(value)
        return value

    @model_validator(mode="after")
    def _fitting(self) -> "ModbusTag":
        at = self.at()
        if at.area.single_bits or at.bit is not None:
            self._check_bit(at)
        else:
            self._check_registers(at)
        return self

    def _check_bit(self, at: Address) -> None:
        if self.type not in (None, "bool"):
            what = f"a {at.area.word}" if at.bit is None else f"bit .{at.bit} of a register"
            raise ValueError(f'type: {what} is one bit; write type = "bool" or leave type out, not "{self.type}"')
        if self.order is not None:
            raise ValueError("order: one bit has no byte order; leave order out")

    def _check_registers(self, at: Address) -> None:
        if self.type is None:
            raise ValueError('type: say how to read the register, such as type = "uint16", "int16" or "float32"')
        if self.type == "bool":
            raise ValueError(f'type: a register has 16 bits; say which one, such as address = "{self.address}.0"')
        size = size_of(self.type)
        if self.order is not None and self.order not in ORDERS[size]:
            fitting = ", ".join(ORDERS[size])
            raise ValueError(f'order: "{self.order}" does not fit {self.type} of {size} bytes; write one of {fitting}')
        if at.offset + size // 2 > 65536:
            raise ValueError(f"address: {self.type} takes {size // 2} registers and would run over the last one, 65536")

    def at(self) -> Address:
        """The parsed address."""
        return parse_address(self.address)

    def value_type(self) -> str:
        return self.type or "bool"
