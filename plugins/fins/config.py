"""Options of an Omron PLC and its tags."""

from typing import Any, Literal

from gateway.kit import NotAvailable, WordTag
from gateway.plugin import DeviceConfig, Field, Host, Period, field_validator, model_validator

from .address import FinsAddress, parse_address

MOST = 999
"""Words that one request can read."""


class FinsDevice(DeviceConfig):
    """An Omron PLC (CS, CJ, CP, NJ, NX). Devices with the same host and port share one line."""

    transport: Literal["udp", "tcp"] = "udp"
    """FINS in UDP datagrams, or FINS/TCP."""

    host: Host
    """Name or address of the PLC, or of the one that passes requests on into other networks."""

    port: int = Field(default=9600, ge=1, le=65535)
    """UDP or TCP port of FINS."""

    network: int = Field(default=0, ge=0, le=127)
    """Network of a PLC that is reached through another one. 0 for the PLC itself."""

    node: int | None = Field(default=None, ge=0, le=254)
    """FINS node of the PLC. Default: by UDP the last number of its IP address, as Omron sets it; by TCP what it says."""

    unit: int = Field(default=0, ge=0, le=255)
    """Unit in the PLC. 0 is the CPU."""

    source_node: int | None = Field(default=None, ge=1, le=254)
    """FINS node of the gateway. Default: by UDP the last number of its own IP address; by TCP what the PLC gives."""

    local_port: int | None = Field(default=None, ge=1, le=65535)
    """UDP port that answers come to, such as 9600, for PLCs that send them to a fixed one. Default: any."""

    order: Literal["ABCD", "CDAB", "BADC", "DCBA"] = "CDAB"
    """Byte order of 32- and 64-bit values whose tag names none. CDAB is Omron's: the lower word comes first."""

    not_available: NotAvailable | None = None
    """What the PLC's program puts in the place of a value that it has not, for all tags that say nothing else."""

    request_timeout: Period | None = None
    """How long one request may take. Default: by UDP 1 s, or half of `timeout`; by TCP as long as `timeout`."""

    retries: int | None = Field(default=None, ge=0, le=10)
    """How often a request without an answer is repeated in the same scan. Default: 1 by UDP, else 0."""

    max_gap: int = Field(default=16, ge=0, le=998)
    """Read over up to so many unused words to save a request."""

    max_words: int = Field(default=499, ge=1, le=MOST)
    """Words that the PLC gives in one request, at most. A single value is never cut."""

    @model_validator(mode="after")
    def _by_udp(self) -> "FinsDevice":
        if self.local_port is not None and self.transport != "udp":
            raise ValueError('local_port: only with transport = "udp"')
        return self

    def who(self) -> tuple[int, int, int]:
        """Network, node (0: the one at the other end of the line) and unit."""
        return self.network, self.node or 0, self.unit


class FinsTag(WordTag):
    """A value in an Omron PLC."""

    most = MOST

    address: str = Field(examples=["D100", "W10.05"])
    """As CX-Programmer shows it: "D100", "W10", "H5", "A448", "CIO20", "T3" and "C3" (present values), "E100" (the current
    bank), "E1_100" (bank 1); a bit as "W10.05", several as "W10.04-07"."""

    @field_validator("address", mode="before")
    @classmethod
    def _legible(cls, value: Any) -> Any:
        if not isinstance(value, str):
            raise ValueError(f'{value!r} is no text; put the address in quotes, such as "D100"')
        parse_address(value)
        return value

    @model_validator(mode="after")
    def _before_the_end(self) -> "FinsTag":
        at = self.at()
        if at.offset + self.words() > at.area.last + 1:
            raise ValueError(
                f"address: {self.type} takes {self.words()} words and would run over the last one, "
                f"{at.area.printed(at.area.last)}"
            )
        return self

    def at(self) -> FinsAddress:
        """The parsed address."""
        return parse_address(self.address)

    def bits(self) -> tuple[int, int] | None:
        at = self.at()
        return None if at.bit is None else (at.bit, at.width)
