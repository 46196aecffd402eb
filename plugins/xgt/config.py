"""Options of an LS Electric PLC and its tags."""

from gateway.kit import WordDevice, WordTag
from gateway.plugin import Field, Host

from .address import parse_address

MOST = 700
"""Words that one request can read or write: 1400 bytes."""


class XgtDevice(WordDevice):
    """An LS Electric PLC (XGK, XGB, XGI, XGR) with an FEnet module or port. Devices with the same host and port share one
    line."""

    host: Host
    """Name or address of the FEnet module."""

    port: int = Field(default=2004, ge=1, le=65535)
    """TCP port of the dedicated protocol (XGT server)."""

    max_words: int = Field(default=MOST, ge=1, le=MOST)
    """Words that the PLC gives in one request, at most. A single value is never cut."""

    hex_bits: bool = False
    """Whether the PLC takes numbers of bits in hexadecimal when they are written, as XGB does. Reading does not need it."""


class XgtTag(WordTag):
    """A value in an LS Electric PLC."""

    parse = staticmethod(parse_address)
    text_order = "BA"

    address: str = Field(examples=["D100", "M12.F"])
    """A word as "D100" or "%MW100", a bit as "D100.A", "M12.F" (XG5000 shows M0012F) or "%MX1600", several bits as
    "D100.4-7"."""

    def _byte_example(self) -> str:
        return ".8-F"
