"""Options of a TwinCAT controller and its tags."""

from functools import cached_property
from typing import Any, Literal

from gateway.plugin import (
    DeviceConfig,
    Duration,
    Field,
    Host,
    Period,
    Secret,
    Section,
    TagConfig,
    field_validator,
    model_validator,
)

from .address import AdsAddress, parse_address, parse_net_id
from .types import AdsType, bit_of, parse_type


class AdsRoute(Section):
    user: str = "Administrator"
    """A user of the controller's operating system."""

    password: Secret
    """The user's password. It crosses the network readable: TwinCAT has no other way."""

    name: str = Field(default="edge-gateway", min_length=1, max_length=80)
    """What the route is called in the controller."""

    address: str = ""
    """Address of this computer, as the controller sees it. Default: the one that it is reached from."""


class AdsDevice(DeviceConfig):
    """A controller with TwinCAT 2 or 3, or whatever else speaks ADS. Devices with the same host, port and own_net_id share
    one connection, since TwinCAT keeps only one of each computer."""

    host: Host
    """Name or address of the controller."""

    port: int = Field(default=48898, ge=1, le=65535)
    """TCP port (AMS/TCP)."""

    net_id: str | None = Field(default=None, examples=["5.80.201.232.1.1"])
    """The controller's AMS net id, as its TwinCAT icon, Router, Edit Routes shows it. Default: it is asked by UDP 48899."""

    ams_port: int = Field(default=851, ge=1, le=65535)
    """Who is asked within the controller: 851 is the first PLC of TwinCAT 3 (852 the second), 801 that of TwinCAT 2."""

    own_net_id: str | None = Field(default=None, examples=["192.168.10.5.1.1"])
    """AMS net id of this computer, which the controller's route to it must have. Default: its address in that network, and
    ".1.1"."""

    route: AdsRoute | None = None
    """Have the controller make a route to this computer, where it has none, by UDP 48899."""

    acquisition: Literal["poll", "subscribe"] = "poll"
    """Read all tags at each scan, or have the controller report what has changed, with its own time (notifications)."""

    max_delay: Duration = 0.0
    """With acquisition = "subscribe": how long the controller may gather changes before it reports them."""

    encoding: Literal["cp1252", "utf-8"] = "cp1252"
    """What texts (STRING) are written in. TwinCAT means Windows-1252, unless the program has {attribute 'TcEncoding' :=
    'UTF-8'}."""

    max_items: int = Field(default=500, ge=1, le=500)
    """Values that are asked for by one request, at most."""

    request_timeout: Period | None = None
    """How long one request may take. Default: as long as `timeout`."""

    @field_validator("net_id", "own_net_id")
    @classmethod
    def _net_id(cls, text: str | None) -> str | None:
        if text is not None:
            parse_net_id(text)
        return text


class AdsTag(TagConfig):
    """A value in the controller."""

    address: str = Field(examples=["MAIN.Motor.Speed", "0x4020:8"])
    """A symbol as the program names it: "MAIN.Motor.Speed", "GVL.Temps[3]", "MAIN.Status.4" for a bit of a number, whole
    arrays and structures too; or index group and offset, "0x4020:8"."""

    type: str | None = Field(default=None, examples=["REAL", "STRING(20)", "ARRAY [0..9] OF INT"])
    """How to read the bytes, as the program declares it: BOOL, SINT, USINT, INT, UINT, DINT, UDINT, LINT, ULINT, BYTE, WORD,
    DWORD, LWORD, REAL, LREAL, TIME, LTIME, DATE, TOD, DT, LDATE, LTOD, LDT, STRING(20), WSTRING(20), ARRAY [0..9] OF INT.
    Needed for index group and offset; of a symbol the controller tells it, and another size is refused."""

    cyclic: bool = False
    """With acquisition = "subscribe": have the value reported once per scan, and not only when it has changed."""

    @field_validator("address", mode="before")
    @classmethod
    def _legible(cls, value: Any) -> Any:
        if not isinstance(value, str):
            raise ValueError(f'{value!r} is no text; put the address in quotes, such as "MAIN.Motor.Speed"')
        parse_address(value)
        return value

    @field_validator("type")
    @classmethod
    def _known(cls, value: str | None) -> str | None:
        if value is not None:
            parse_type(value)
        return value

    @model_validator(mode="after")
    def _fitting(self) -> "AdsTag":
        if self.type is None and self.at.group is not None:
            raise ValueError(f'type: say how to read {self.address}, such as type = "INT" or "REAL"')
        if (type_ := self.declared) is not None:
            if self.at.bit is not None:
                bit_of(type_, self.at.bit)
            elif self.scaled and not type_.number:
                raise ValueError(
                    f"{'scale' if self.scale != 1 else 'offset'}: a {type_.name} is no number; leave it out"
                )
        return self

    @cached_property
    def at(self) -> AdsAddress:
        """The parsed address."""
        return parse_address(self.address)

    @cached_property
    def key(self) -> tuple[str, str]:
        """What is read for it; bits of one number are read once."""
        return self.at.base, self.type or ""

    @cached_property
    def declared(self) -> AdsType | None:
        """The type that the file gives, of all of what the address names without its bit."""
        return None if self.type is None else parse_type(self.type)

    def value_type(self) -> str:
        if self.at.bit is not None:
            return "bool"
        return "" if self.declared is None else self.declared.published
