"""Options of an S7 and its tags."""

from functools import cached_property
from typing import Any, Literal

from gateway.plugin import (
    DeviceConfig,
    Field,
    Host,
    Period,
    Secret,
    TagConfig,
    Tls,
    ValidationInfo,
    field_validator,
    model_validator,
)

from .address import SIZES, S7Address, parse_address
from .symbol import Step, parse_symbol
from .types import S7Type, parse_type

_AS_LARGE = {"X": "BOOL", "B": "BYTE", "W": "WORD", "D": "DWORD", "L": "LWORD", "T": "S5TIME", "C": "COUNTER"}


class S7Device(DeviceConfig):
    """A Siemens S7-300, 400, 1200 or 1500 (also LOGO! and S7-200 SMART) that allows PUT/GET, or an S7-1200 or 1500 that is
    read by symbols. Devices with the same host, port, rack, slot and connection share one line; one that is read by symbols
    has a line of its own."""

    host: Host
    """Name or address of the CPU, or of its communication module."""

    port: int = Field(default=102, ge=1, le=65535)
    """TCP port (ISO on TCP, RFC 1006)."""

    transport: Literal["put_get", "s7commplus"] = "put_get"
    """How it is asked: by addresses, which the CPU must permit and which see no optimized block; or by symbols, as the TIA
    Portal and Siemens' panels do (S7-1200 and 1500), with a library (see the plugin's README)."""

    tls: bool | Tls = True
    """With s7commplus: how the CPU's certificate is verified: by pin, or by ca, the TIA project's authority. false: an older
    CPU (before FW 2.9 of a 1500, 4.3 of a 1200) without encryption."""

    password: Secret | None = None
    """With s7commplus: the password of an access level of the CPU, such as { credential = "mixer-1" }."""

    rack: int = Field(default=0, ge=0, le=7)
    """Rack of the CPU, as in the hardware configuration."""

    slot: int = Field(default=1, ge=0, le=31)
    """Slot of the CPU: 1 of an S7-1200 or 1500, 2 of an S7-300, of an S7-400 as in the hardware configuration."""

    connection: Literal["pg", "op", "basic"] = "basic"
    """The kind of connection that is taken from the CPU: its programming device's, a panel's, or another one."""

    local_tsap: int | None = Field(default=None, ge=0, le=0xFFFF, examples=[0x1000])
    """The gateway's own TSAP, for a CPU that expects a certain one, such as a LOGO!."""

    remote_tsap: int | None = Field(default=None, ge=0, le=0xFFFF, examples=[0x2000])
    """The CPU's TSAP, in place of connection, rack and slot."""

    pdu: int = Field(default=960, ge=128, le=8192)
    """Bytes of a message to ask the CPU for; it grants what it has: 240 an S7-1200 or 300, 480 or 960 the others."""

    request_timeout: Period | None = None
    """How long one request may take. Default: as long as `timeout`."""

    retries: int = Field(default=0, ge=0, le=10)
    """How often a request without an answer is repeated in the same scan."""

    max_gap: int = Field(default=16, ge=0, le=4096)
    """Read over up to so many unused bytes to save a place in a request."""

    @property
    def by_symbols(self) -> bool:
        """Whether it is asked by symbols."""
        return self.transport == "s7commplus"

    @model_validator(mode="after")
    def _of_transport(self) -> "S7Device":
        if not self.by_symbols and (given := {"tls", "password"} & self.model_fields_set):
            raise ValueError(
                f'{min(given)}: only with transport = "s7commplus"; PUT/GET has no encryption and no password'
            )
        if self.by_symbols and self.password is not None and not self.tls:
            raise ValueError("password: only with tls, which it must not go without")
        return self

    def refuses(self, tag: TagConfig) -> str:
        assert isinstance(tag, S7Tag)
        if self.by_symbols and tag.address:
            return 'address: with transport = "s7commplus" write the symbol, which edge-gateway browse lists'
        if tag.symbol and not self.by_symbols:
            return 'symbol: only with transport = "s7commplus"; write the address, which edge-gateway import tia finds'
        return ""

    def tsaps(self) -> tuple[int, int]:
        """The gateway's and the CPU's."""
        kind = {"pg": 1, "op": 2, "basic": 3}[self.connection]
        own = 0x0100 if self.local_tsap is None else self.local_tsap
        return own, kind << 8 | self.rack << 5 | self.slot if self.remote_tsap is None else self.remote_tsap


class S7Tag(TagConfig):
    """A value in an S7."""

    address: str = Field(default="", examples=["DB1.DBD4", "M0.1"])
    """As the TIA Portal shows it: "DB1.DBX0.3", "DB1.DBW2", "DB1.DBD4", "M0.1", "MW2", "I0.0", "IW4", "QB1", "T5", "C3"; also
    "DB1.8" for any type. E, A and Z are understood too."""

    symbol: str = Field(default="", examples=['"Mixer 1".Zone[3].Temperature', "Motor_on"])
    """In place of address, with transport = "s7commplus": the name as the TIA Portal shows it, of a value in a data block or
    of a PLC tag."""

    type: str | None = Field(default=None, examples=["REAL", "STRING[20]", "INT[8]"])
    """How to read the bytes: BOOL, BYTE, CHAR, SINT, USINT, INT, UINT, WORD, DINT, UDINT, DWORD, LINT, ULINT, LWORD, REAL,
    LREAL, TIME, LTIME, S5TIME, DATE, TIME_OF_DAY, LTIME_OF_DAY, DATE_AND_TIME, LDT, DTL, STRING[20], WSTRING[20], BYTES[20];
    several as REAL[8], which are a list. Default: unsigned, as large as the address says; of a symbol what the CPU says."""

    @field_validator("address", mode="before")
    @classmethod
    def _legible(cls, value: Any) -> Any:
        if not isinstance(value, str):
            raise ValueError(f'{value!r} is no text; put the address in quotes, such as "DB1.DBD4"')
        parse_address(value)
        return value

    @field_validator("symbol")
    @classmethod
    def _readable(cls, value: str, _: ValidationInfo) -> str:
        parse_symbol(value)
        return value

    @field_validator("type")
    @classmethod
    def _known(cls, value: str | None, _: ValidationInfo) -> str | None:
        if value is not None:
            parse_type(value)
        return value

    @model_validator(mode="after")
    def _fitting(self) -> "S7Tag":
        if bool(self.address) == bool(self.symbol):
            raise ValueError("address: a tag has an address, or a symbol")
        if self.symbol:
            return self
        at = parse_address(self.address)
        letter = at.area.name if at.area.width > 1 else at.letter
        if self.type is None and letter not in _AS_LARGE:
            raise ValueError(f'type: say how to read {self.address}, such as type = "INT" or "REAL"')
        type_ = self.kind
        if at.area.width > 1 and type_.name not in (_AS_LARGE[letter], "WORD"):
            raise ValueError(f'type: a {at.area.word} is {_AS_LARGE[letter]} or WORD, not "{self.type}"')
        if (type_.size == 0) != (at.bit is not None):
            raise ValueError(
                f"type: {self.address} is one bit; leave type out"
                if type_.size
                else f"address: a BOOL is one bit; say which, such as {self.address}.0"
            )
        if letter in SIZES and SIZES[letter] and not type_.decode and SIZES[letter] != type_.size:
            raise ValueError(
                f"type: {self.address} has {SIZES[letter]} bytes, and {type_.name} has {type_.size}; for any type write"
                f" {at.area.name.removesuffix('DB')}{at.offset}"
            )
        if self.scaled and not type_.number:
            raise ValueError(f"{'scale' if self.scale != 1 else 'offset'}: a {type_.name} is no number; leave it out")
        return self

    @cached_property
    def kind(self) -> S7Type:
        """The parsed type."""
        at = parse_address(self.address)
        return parse_type(self.type or _AS_LARGE[at.area.name if at.area.width > 1 else at.letter])

    def at(self) -> S7Address:
        """The parsed address."""
        return parse_address(self.address)

    def steps(self) -> tuple[Step, ...]:
        """The parsed symbol."""
        return parse_symbol(self.symbol)

    def value_type(self) -> str:
        if self.symbol:
            return parse_type(self.type).published if self.type else ""
        return self.kind.published
