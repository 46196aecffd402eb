"""Options of an LS Electric PLC and its tags."""

from typing import Any, Literal

from gateway.kit import NotAvailable, WordTag
from gateway.kit.registers import TEXTS
from gateway.plugin import DeviceConfig, Field, Host, Period, field_validator

from .address import XgtAddress, parse_address

MOST = 700
"""Words that one request can read or write: 1400 bytes."""


class XgtDevice(DeviceConfig):
    """An LS Electric PLC (XGK, XGB, XGI, XGR) with an FEnet module or port. Devices with the same host and port share one
    line."""

    host: Host
    """Name or address of the FEnet module."""

    port: int = Field(default=2004, ge=1, le=65535)
    """TCP port of the dedicated protocol (XGT server)."""

    order: Literal["ABCD", "CDAB", "BADC", "DCBA"] = "CDAB"
    """Byte order of 32- and 64-bit values whose tag names none. CDAB is LS': the lower word comes first."""

    not_available: NotAvailable | None = None
    """What the PLC's program puts in the place of a value that it has not, for all tags that say nothing else."""

    request_timeout: Period | None = None
    """How long one request may take. Default: as long as `timeout`."""

    retries: int = Field(default=0, ge=0, le=10)
    """How often a request without an answer is repeated in the same scan."""

    max_gap: int = Field(default=16, ge=0, le=MOST - 1)
    """Read over up to so many unused words to save a request."""

    max_words: int = Field(default=MOST, ge=1, le=MOST)
    """Words that the PLC gives in one request, at most. A single value is never cut."""

    hex_bits: bool = False
    """Whether the PLC takes numbers of bits in hexadecimal when they are written, as XGB does. Reading does not need it."""


class XgtTag(WordTag):
    """A value in an LS Electric PLC."""

    address: str = Field(examples=["D100", "M12.F"])
    """A word as "D100" or "%MW100", a bit as "D100.A", "M12.F" (XG5000 shows M0012F) or "%MX1600", several bits as
    "D100.4-7"."""

    @field_validator("address", mode="before")
    @classmethod
    def _legible(cls, value: Any) -> Any:
        if not isinstance(value, str):
            raise ValueError(f'{value!r} is no text; put the address in quotes, such as "D100"')
        parse_address(value)
        return value

    def at(self) -> XgtAddress:
        """The parsed address."""
        return parse_address(self.address)

    def bits(self) -> tuple[int, int] | None:
        at = self.at()
        return None if at.bit is None else (at.bit, at.width)

    def _byte_example(self) -> str:
        return ".8-F"

    def byte_order(self, of_device: str) -> str:
        """A text has its first character in the low byte of a word."""
        return "BA" if self.order is None and self.type in TEXTS else super().byte_order(of_device)
