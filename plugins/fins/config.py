"""Options of an Omron PLC and its tags."""

from typing import Literal

from gateway.kit import WordDevice, WordTag
from gateway.plugin import Field, Host, model_validator

from .address import parse_address

MOST = 999
"""Words that one request can read."""


class FinsDevice(WordDevice):
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
    parse = staticmethod(parse_address)

    address: str = Field(examples=["D100", "W10.05"])
    """As CX-Programmer shows it: "D100", "W10", "H5", "A448", "CIO20", "T3" and "C3" (present values), "E100" (the current
    bank), "E1_100" (bank 1); a bit as "W10.05", several as "W10.04-07"."""

    @model_validator(mode="after")
    def _before_the_end(self) -> "FinsTag":
        at = self.at()
        if at.offset + self.words() > at.area.last + 1:
            raise ValueError(
                f"address: {self.type} takes {self.words()} words and would run over the last one, "
                f"{at.area.printed(at.area.last)}"
            )
        return self
