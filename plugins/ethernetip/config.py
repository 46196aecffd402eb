"""Options of a device that speaks CIP over EtherNet/IP, and its tags."""

from typing import Any

from gateway.plugin import DeviceConfig, Field, Host, TagConfig, field_validator, model_validator

from .address import AttributeAddress, FileAddress, TagAddress, parse_address
from .paths import parse_route
from .types import TYPES, parse_type

_FILE_TYPES = {
    "N": "int16",
    "F": "float32",
    "L": "int32",
    "ST": "string",
    "A": "string",
    "T": "int16",
    "C": "int16",
    "R": "int16",
}


class EthernetIpDevice(DeviceConfig):
    """A ControlLogix, CompactLogix, GuardLogix, Micro800, SLC 5/05 or MicroLogix, a drive, or another device that answers
    explicit messages of CIP. Devices with the same host, port and route share one line."""

    host: Host
    """Name or address of the controller's port, or of the communication module before it."""

    port: int = Field(default=44818, ge=1, le=65535)
    """TCP port."""

    slot: int | None = Field(default=None, ge=0, le=31, examples=[2])
    """Slot of the controller in the chassis of the module that is dialled; short for route = "1,SLOT"."""

    route: str | None = Field(default=None, examples=["1,0", "1,3,2,192.168.1.10,1,0", "direct"])
    """Way to the controller: pairs of a port (1 is the backplane, 2 mostly a module's network) and the address behind it.
    "direct": what is dialled is meant. Default: slot 0 of what says itself to be a module or controller of a chassis, else
    direct."""

    message_size: int = Field(default=4000, ge=128, le=4002)
    """Bytes of a message to ask the device for; one that does not grant more than 511 is asked for 500."""

    connected: bool = True
    """Whether to take a connection of CIP. Without one, messages have about 500 bytes."""

    @field_validator("route")
    @classmethod
    def _passable(cls, value: str | None) -> str | None:
        if value is not None:
            parse_route(value)
        return value

    @model_validator(mode="after")
    def _one_way(self) -> "EthernetIpDevice":
        if self.slot is not None and self.route is not None:
            raise ValueError(f'slot: route says the way already; leave one out, or write route = "1,{self.slot}"')
        return self

    def way(self) -> bytes | None:
        """The route as requests name it; None where the device's identity tells."""
        if self.slot is not None:
            return bytes([1, self.slot])
        return None if self.route is None else parse_route(self.route)


class EthernetIpTag(TagConfig):
    """A value that a device has."""

    address: str = Field(examples=["Program:Main.Speed", "N7:0", "@1/1/7"])
    """A tag as Studio 5000 shows it: "Speed", "Program:Main.Speed", "Recipe.Steps[3].Temp", "Word.3", several as
    "Temps[0..9]" or "Temps{10}"; a word of an SLC or MicroLogix: "N7:0", "F8:3", "B3:0/4", "T4:0.ACC", "ST9:0"; an attribute
    as "@CLASS/INSTANCE/ATTRIBUTE"."""

    type: str | None = Field(default=None, examples=["REAL", "DINT", "STRING"])
    """BOOL, SINT, INT, DINT, LINT, USINT, UINT, UDINT, ULINT, REAL, LREAL, BYTE, WORD, DWORD, LWORD, TIME, LTIME, STRING,
    SHORT_STRING. Of a tag it may be left out: the controller tells, and what is said is compared with that. Of an attribute
    it must be said, several as INT[8]."""

    @field_validator("address", mode="before")
    @classmethod
    def _legible(cls, value: Any) -> Any:
        if not isinstance(value, str):
            raise ValueError(f'{value!r} is no text; put the address in quotes, such as "Speed" or "N7:0"')
        parse_address(value)
        return value

    @field_validator("type")
    @classmethod
    def _known(cls, value: str | None) -> str | None:
        if value is not None:
            parse_type(value)
        return value

    @model_validator(mode="after")
    def _fitting(self) -> "EthernetIpTag":
        at = parse_address(self.address)
        name, count = ("", None) if self.type is None else (parse_type(self.type)[0].name, parse_type(self.type)[1])
        if isinstance(at, AttributeAddress):
            if not name:
                raise ValueError(
                    f'type: an attribute does not tell its type; say it, such as type = "UINT", for {self.address}'
                )
        elif isinstance(at, FileAddress):
            if name:
                raise ValueError(f"type: {self.address} says its type already; leave type out")
        elif count is not None:
            raise ValueError(f'type: say how many in the address, such as "{self.address}{{{count}}}"')
        elif at.bit is not None and name not in ("", "BOOL"):
            raise ValueError(f"type: {self.address} is one bit; leave type out")
        if self.scaled and self.value_type() in ("bool", "string"):
            what = "text" if self.value_type() == "string" else "bit"
            raise ValueError(f"{'scale' if self.scale != 1 else 'offset'}: a {what} is no number; leave it out")
        return self

    def value_type(self) -> str:
        at = parse_address(self.address)
        if isinstance(at, FileAddress):
            plain = "bool" if at.bit is not None else _FILE_TYPES.get(at.kind.letter, "uint16")
            return "" if at.count is not None else plain
        if isinstance(at, TagAddress):
            if at.bit is not None:
                return "bool"
            return "" if at.count is not None or self.type is None else TYPES[parse_type(self.type)[0].name].published
        assert self.type is not None
        type_, count = parse_type(self.type)
        return "" if count is not None else type_.published
