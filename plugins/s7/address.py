"""Where a value lives: addresses as STEP 7 and the TIA Portal show them ("DB1.DBD4", "M0.1", "IW2", "T5")."""

import re
from dataclasses import dataclass
from functools import lru_cache


@dataclass(frozen=True, slots=True)
class S7Area:
    """Bytes of one kind, or timers or counters."""

    name: str
    """As addresses begin: "DB1.DB", "M"."""

    rank: int
    """Areas are read in this order."""

    code: int
    """Of the area, in requests."""

    transport: int = 0x02
    """Of its elements: bytes, timers, counters."""

    db: int = 0
    width: int = 1
    """Bytes of an element."""

    word: str = "byte"

    def size(self, count: int) -> int:
        """Bytes of data in the answer to a read of so many elements."""
        return self.width * count

    def printed(self, offset: int) -> str:
        """The address of an element."""
        return f"{self.name}{'B' if self.width == 1 else ''}{offset}"

    def first(self, offset: int) -> int:
        """Where it begins, as requests say it: in bits, but timers and counters by number."""
        return offset if self.width > 1 else 8 * offset


_PLAIN = {
    "I": S7Area("I", 0, 0x81),
    "Q": S7Area("Q", 1, 0x82),
    "M": S7Area("M", 2, 0x83),
    "T": S7Area("T", 3, 0x1D, 0x1D, width=2, word="timer"),
    "C": S7Area("C", 4, 0x1C, 0x1C, width=2, word="counter"),
}
_GERMAN = {"E": "I", "A": "Q", "Z": "C"}
SIZES = {"X": 0, "B": 1, "W": 2, "D": 4, "L": 8}
"""Letters in addresses, and how many bytes they name; 0 for a bit."""

_DB = re.compile(r"DB(\d{1,5})\.(?:DB)?([XBWDL]?)(\d{1,5})(?:\.(\d))?")
_AREA = re.compile(r"([IQMEA])([XBWDL]?)(\d{1,5})(?:\.(\d))?")
_COUNTED = re.compile(r"([TCZ])(\d{1,5})")
_ADVICE = 'write it as the TIA Portal shows it: "DB1.DBD4", "DB1.DBX0.3", "M0.1", "MW2", "IW4", "QB1", "T5", "C3"'
_LAST = 65535


@lru_cache(4096)
def data_block(number: int) -> S7Area:
    """The area of a data block, always the same object."""
    return S7Area(f"DB{number}.DB", 10 + number, 0x84, db=number)


@dataclass(frozen=True, slots=True)
class S7Address:
    """Where a value begins."""

    area: S7Area
    offset: int
    """In bytes; of a timer or counter its number."""

    bit: int | None = None
    letter: str = ""
    """How large the address says that it is, one of SIZES; empty where it does not."""


@lru_cache(4096)
def parse_address(text: str) -> S7Address:
    """The address that `text` means. Raises ValueError with the way to write it."""
    said = text.strip().upper().lstrip("%")
    if match := _DB.fullmatch(said):
        number, letter, offset, bit = match.groups()
        if int(number) > _LAST:
            raise ValueError(f"{text!r}: data blocks end at DB{_LAST}")
        area = data_block(int(number))
    elif match := _AREA.fullmatch(said):
        name, letter, offset, bit = match.groups()
        area = _PLAIN[_GERMAN.get(name, name)]
    elif match := _COUNTED.fullmatch(said):
        return S7Address(_PLAIN[_GERMAN.get(match[1], match[1])], int(match[2]))
    else:
        raise ValueError(f"{text!r} is no address of an S7; {_ADVICE}")
    if int(offset) > _LAST:
        raise ValueError(f"{text!r} is beyond the last byte that a request can name, {_LAST}")
    if bit is None:
        if letter == "X":
            raise ValueError(f"{text!r} names a bit and does not say which; write {text}.0")
        return S7Address(area, int(offset), None, letter)
    if letter not in ("", "X"):
        raise ValueError(f"{text!r}: {letter} is no bit; write it as {area.name}{'X' if area.db else ''}{offset}.{bit}")
    if int(bit) > 7:
        raise ValueError(f"{text!r}: a byte has the bits .0 to .7")
    return S7Address(area, int(offset), int(bit), "X")
