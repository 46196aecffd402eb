"""Options of a MELSEC PLC and its tags."""

from typing import Literal

from gateway.kit import WordDevice, WordTag
from gateway.plugin import Field, Host, Secret, ValidationInfo, field_validator, model_validator

from .address import MelsecAddress, parse_address

MOST = 960
"""Words that one request can read or write."""


class MelsecDevice(WordDevice):
    """A Mitsubishi PLC (iQ-R, iQ-F, Q, L) that speaks the MC protocol, which is also called SLMP. Devices with the same host
    and port share one line."""

    transport: Literal["tcp", "udp"] = "tcp"
    """As the PLC's open setting says."""

    host: Host
    """Name or address of the PLC, or of the one that passes requests on into other networks."""

    port: int = Field(ge=1, le=65535, examples=[5007])
    """Port of the PLC's open setting for MC protocol (SLMP). GX Works2 shows it in hexadecimal: 1388 is 5000."""

    code: Literal["binary", "ascii"] = "binary"
    """The communication data code of the PLC's own node settings."""

    frame: Literal["3E", "4E"] = "3E"
    """4E frames carry a number, so that several requests may be under way (max_in_flight); not every port takes them."""

    network: int = Field(default=0, ge=0, le=239)
    """Network of a PLC that is reached through another one. 0 for the PLC itself."""

    pc: int = Field(default=255, ge=0, le=255)
    """Station in that network. 255 for the PLC itself."""

    io: int = Field(default=0x3FF, ge=0, le=0xFFFF)
    """Module I/O number of the CPU: 0x3FF its own, 0x3E0 to 0x3E3 the first to the fourth CPU of several."""

    station: int = Field(default=0, ge=0, le=31)
    """Station on a multidrop line behind it. 0 for the CPU itself."""

    password: Secret | None = None
    """Remote password of the port, such as { credential = "press-plc" }, where one is set."""

    max_words: int = Field(default=MOST, ge=1, le=MOST)
    """Words that the PLC gives in one request, at most; in ASCII half of 960. A single value is never cut."""

    blocks: bool = True
    """Read several places by one request (0406). false: each by a request of its own. A PLC that refuses it is asked so
    anyway."""

    def most(self) -> int:
        """Words that one request reads, at most; in ASCII the frame of an iQ-F holds half of them."""
        return min(self.max_words, MOST // 2) if self.code == "ascii" else self.max_words

    def unit(self) -> bytes:
        """The way to the CPU as it stands in frames, in binary."""
        return bytes((self.network, self.pc)) + self.io.to_bytes(2, "little") + bytes([self.station])


class MelsecTag(WordTag):
    """A value in a MELSEC PLC."""

    most = MOST
    parse = staticmethod(parse_address)
    text_order = "BA"

    address: str = Field(examples=["D100", "X1F"])
    """As GX Works shows it: "D100", "W1A", "R10", "ZR1000", "SD210", "TN5" and "CN3" (present values), "X1F", "Y20", "M16",
    "B1F", "SM400", "TS5", "CS3"; a bit of a word as "D100.A", several as "D100.4-7"; bits counted in fours as "K2M16"."""

    octal: bool = False
    """Whether the number of an X or Y is octal, as iQ-F (FX5) CPUs show it."""

    @field_validator("octal")
    @classmethod
    def _in_octal(cls, octal: bool, known: ValidationInfo) -> bool:
        parse_address(known.data.get("address", "X0"), octal)
        return octal

    @model_validator(mode="after")
    def _doubled(self) -> "MelsecTag":
        if self.at().doubled and self.words() != 2:
            raise ValueError(f"type: {self.address} is 32 bits; {self.type} has another size")
        return self

    def at(self) -> MelsecAddress:
        """The parsed address."""
        return parse_address(self.address, self.octal)

    def single(self) -> str:
        at = self.at()
        return f"single {at.area.name}" if at.area.of_bits and at.bit is not None and at.width == 1 else ""

    def _byte_example(self) -> str:
        return ".8-F"
