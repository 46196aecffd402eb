"""Where a value lives: symbols by their names ("MAIN.Motor.Speed"), or index group and offset ("0x4020:8"); AMS net ids."""

import re
from dataclasses import dataclass
from functools import lru_cache

_PLACE = re.compile(r"(0x[0-9A-F]{1,8}|\d{1,10})\s*:\s*(0x[0-9A-F]{1,8}|\d{1,10})", re.IGNORECASE)
_BIT = re.compile(r"(.+)\.(\d{1,2})")
_NET_ID = re.compile(r"\d{1,3}(\.\d{1,3}){5}")
_LONGEST = 512
_ADVICE = (
    'write a symbol as the PLC names it, "MAIN.Motor.Speed" or "GVL.Temps[3]", or index group and offset, "0x4020:8"'
)


@dataclass(frozen=True, slots=True)
class AdsAddress:
    """Where a value begins."""

    base: str
    """The symbol, without a bit; or index group and offset, as they were written."""

    group: int | None = None
    """Index group, where it is no symbol."""

    offset: int = 0
    bit: int | None = None
    """Which bit of the base is meant; None for all of it."""


@lru_cache(4096)
def parse_address(text: str) -> AdsAddress:
    """The address that `text` means. Raises ValueError with the way to write it."""
    said = text.strip()
    if not said or len(said) > _LONGEST or not said.isprintable():
        raise ValueError(f"{text[:60]!r} is no address; {_ADVICE}")
    base, bit = said, None
    if match := _BIT.fullmatch(said):
        base, bit = match[1], int(match[2])
        if bit > 63:
            raise ValueError(f"{text!r}: a value has the bits .0 to .63 at most")
    if match := _PLACE.fullmatch(base):
        group, offset = int(match[1], 0), int(match[2], 0)
        if max(group, offset) >= 1 << 32:
            raise ValueError(f"{text!r}: index group and offset have 32 bits each")
        return AdsAddress(base, group, offset, bit)
    if base.count("[") != base.count("]"):
        raise ValueError(f"{text!r}: a bracket is not closed")
    if base.endswith(".") or ".." in base:
        raise ValueError(f"{text!r}: a name is missing between two points; {_ADVICE}")
    return AdsAddress(base, bit=bit)


def parse_net_id(text: str) -> bytes:
    """The six bytes of an AMS net id. Raises ValueError."""
    said = text.strip()
    if not _NET_ID.fullmatch(said) or any(int(part) > 255 for part in said.split(".")):
        raise ValueError(f'{text!r} is no AMS net id; it has six numbers up to 255, such as "5.80.201.232.1.1"')
    return bytes(map(int, said.split(".")))


def net_id_text(net_id: bytes) -> str:
    """As people write it."""
    return ".".join(map(str, net_id))
