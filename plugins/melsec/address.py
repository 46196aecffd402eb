"""Where a value lives: devices as GX Works shows them ("D100", "X1F", "M16"), and their codes on the wire.

Codes and number systems are those of the SLMP Reference Manual (SH(NA)-080956ENG, device code list).
"""

import re
from dataclasses import dataclass
from functools import lru_cache

from gateway.kit import WordAddress, WordArea

POINTS = 16
"""Bits that are read as one word."""

_LAST = 0xFFFFFF
"""The highest number that a request can name."""


@dataclass(frozen=True, slots=True)
class MelsecArea(WordArea):
    """Devices of one kind, words before bits, as a request for several blocks wants it. An offset is a word; of bits it is
    sixteen of them."""

    code: int
    """On the wire, in binary."""

    letters: str
    """The same in ASCII."""

    base: int
    """Numbers are written to this base."""

    ascii_base: int
    """The same in frames of ASCII."""

    of_bits: bool

    @property
    def word(self) -> str:  # type: ignore[override]
        """What one address is."""
        return "16-bit word" if self.of_bits else "word"

    def first(self, offset: int) -> int:
        """The device's number in a request."""
        return offset * POINTS if self.of_bits else offset

    def printed(self, offset: int) -> str:
        """The address as GX Works shows it."""
        return f"{self.name}{self.numbered(self.first(offset))}"

    def numbered(self, number: int) -> str:
        """A number as it is written here; a hexadecimal one begins with a digit."""
        if self.base == 10:
            return str(number)
        digits = f"{number:X}"
        return digits if digits[0].isdigit() else f"0{digits}"


_WORDS = (
    ("D", 0xA8, "D*", 10), ("W", 0xB4, "W*", 16), ("R", 0xAF, "R*", 10), ("ZR", 0xB0, "ZR", 10), ("SD", 0xA9, "SD", 10),
    ("SW", 0xB5, "SW", 16), ("TN", 0xC2, "TN", 10), ("STN", 0xC8, "SN", 10), ("CN", 0xC5, "CN", 10), ("Z", 0xCC, "Z*", 10),
)  # fmt: skip
_BITS = (
    ("X", 0x9C, "X*", 16), ("Y", 0x9D, "Y*", 16), ("M", 0x90, "M*", 10), ("L", 0x92, "L*", 10), ("F", 0x93, "F*", 10),
    ("V", 0x94, "V*", 10), ("B", 0xA0, "B*", 16), ("S", 0x98, "S*", 10), ("SM", 0x91, "SM", 10), ("SB", 0xA1, "SB", 16),
    ("DX", 0xA2, "DX", 16), ("DY", 0xA3, "DY", 16), ("TS", 0xC1, "TS", 10), ("TC", 0xC0, "TC", 10), ("STS", 0xC7, "SS", 10),
    ("STC", 0xC6, "SC", 10), ("CS", 0xC4, "CS", 10), ("CC", 0xC3, "CC", 10),
)  # fmt: skip
AREAS = {
    name: MelsecArea(name, rank, code, letters, base, 16 if name == "ZR" else base, rank >= len(_WORDS))
    for rank, (name, code, letters, base) in enumerate((*_WORDS, *_BITS))
}
_PRESENT_VALUES = {"T": "TN", "ST": "STN", "C": "CN"}
_FORM = re.compile(r"(?:K(?P<digits>\d))?(?P<device>[A-Z]+[0-9A-F]+)(?:\.(?P<low>[0-9A-F])(?:-(?P<high>[0-9A-F]))?)?")
_NAMES = sorted((*AREAS, *_PRESENT_VALUES), key=len, reverse=True)
_ADVICE = (
    'write it as GX Works shows it: "D100", "W1A", "ZR1000", "TN5", "X1F", "M16", a bit of a word as "D100.A", sixteen bits'
    ' as "K4M16"'
)


@dataclass(frozen=True, slots=True)
class MelsecAddress(WordAddress[MelsecArea]):
    """Whole words, or some bits of one."""

    doubled: bool = False
    """Whether it is 32 bits, counted as bits ("K8M0")."""


@lru_cache(1024)
def parse_address(text: str, octal: bool = False) -> MelsecAddress:
    """The address that `text` means; with `octal`, numbers of X and Y are octal. Raises ValueError with the way to write
    it."""
    match = _FORM.fullmatch(text.strip().upper())
    if not match:
        raise ValueError(f"{text!r} is no device of a MELSEC PLC; {_ADVICE}")
    area, number = _device(match["device"], text, octal)
    if match["digits"]:
        if match["low"]:
            raise ValueError(f"{text!r} has both K{match['digits']} and a bit; {_ADVICE}")
        return _nibbles(area, number, int(match["digits"]), text)
    if match["low"] is None:
        return MelsecAddress(area, number // POINTS, number % POINTS) if area.of_bits else MelsecAddress(area, number)
    if area.of_bits:
        raise ValueError(f"{text!r}: {area.name}{area.numbered(number)} is a bit already; leave .{match['low']} out")
    low, high = int(match["low"], 16), int(match["high"] or match["low"], 16)
    if high < low:
        raise ValueError(f"write the lower bit first: .{high:X}-{low:X}")
    return MelsecAddress(area, number, low, high - low + 1)


def _device(said: str, text: str, octal: bool) -> tuple[MelsecArea, int]:
    """The area and number of "ZR1000". The longest name that leaves a number is meant: "SB10" is no S."""
    for name in _NAMES:
        if not said.startswith(name):
            continue
        area = AREAS[_PRESENT_VALUES.get(name, name)]
        base = 8 if octal and name in ("X", "Y") else area.base
        try:
            number = int(said[len(name) :], base)
        except ValueError:
            continue
        if number > _LAST:
            raise ValueError(f"{text!r} is beyond the last one that a request can name, {name}{area.numbered(_LAST)}")
        return area, number
    raise ValueError(f"{text!r} is no device of a MELSEC PLC; {_ADVICE}")


def _nibbles(area: MelsecArea, number: int, digits: int, text: str) -> MelsecAddress:
    """Bits counted in fours: "K2M16" is eight of them."""
    if not area.of_bits:
        raise ValueError(f"{text!r}: K counts bits in fours, and {area.name} has words; leave K{digits} out")
    offset, bit = divmod(number, POINTS)
    if digits in (4, 8) and bit == 0:
        return MelsecAddress(area, offset, doubled=digits == 8)
    if not 1 <= digits <= 4 or bit + 4 * digits > POINTS:
        raise ValueError(
            f"{text!r}: these bits must lie within 16 that begin at a multiple of 16; or be K4 or K8 from a multiple of 16 on"
        )
    return MelsecAddress(area, offset, bit, 4 * digits)
