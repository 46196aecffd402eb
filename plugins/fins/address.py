"""Where a value lives: addresses as CX-Programmer shows them ("D100", "CIO0.05", "E1_20"), and the areas of a PLC.

Area codes are those of the CS, CJ, CP, NJ and NX series (SYSMAC CS/CJ/CP Communications Commands Reference Manual W342,
§5-2-2).
"""

import re
from dataclasses import dataclass
from functools import lru_cache

from gateway.kit import WordAddress, WordArea


@dataclass(frozen=True, slots=True)
class FinsArea(WordArea):
    """A memory area of a PLC."""

    code: int
    """Code of its words."""

    bit_code: int | None
    """Code of its bits; None where the PLC gives words alone."""

    last: int
    """Its highest address in any series."""

    first: int = 0
    """What its address 0 is in a request."""


def _banks() -> list[FinsArea]:
    banks = range(0x19)
    codes = [(0xA0 + bank, 0x20 + bank) if bank < 0x10 else (0x50 + bank, 0xD0 + bank) for bank in banks]
    return [FinsArea(f"E{bank:X}_", 9 + bank, *codes[bank], 32767) for bank in banks]


AREAS = {
    area.name: area
    for area in (
        FinsArea("CIO", 0, 0xB0, 0x30, 6143),
        FinsArea("W", 1, 0xB1, 0x31, 511),
        FinsArea("H", 2, 0xB2, 0x32, 1535),
        FinsArea("A", 3, 0xB3, 0x33, 11535),
        FinsArea("T", 4, 0x89, None, 4095),
        FinsArea("C", 5, 0x89, None, 4095, first=0x8000),
        FinsArea("D", 6, 0x82, 0x02, 32767),
        FinsArea("E", 8, 0x98, 0x0A, 32767),
        *_banks(),
    )
}
_NAMES = {"": "CIO", "DM": "D", "WR": "W", "HR": "H", "AR": "A", "TIM": "T", "CNT": "C", "EM": "E"}
_FORM = re.compile(r"(?:E(?:M)?([0-9A-F]{1,2})[_:]|([A-Z]*):?)(\d+)(?:\.(\d+)(?:-(\d+))?)?")
_ADVICE = (
    'write it as CX-Programmer shows it: "D100", "W10", "H5", "A448", "CIO20", "E100", "E1_100", a bit as "W10.05"'
)


FinsAddress = WordAddress[FinsArea]
"""A word, or some bits of one."""


@lru_cache(1024)
def parse_address(text: str) -> FinsAddress:
    """The address that `text` means. Raises ValueError with the way to write it."""
    match = _FORM.fullmatch(text.strip().upper())
    if not match:
        raise ValueError(f"{text!r} is no address of an Omron PLC; {_ADVICE}")
    bank, name, digits, first, last = match.groups()
    name = f"E{int(bank, 16):X}_" if bank else _NAMES.get(name, name)
    area = AREAS.get(name)
    if area is None:
        what = f"EM banks end at E18_, so there is no {name}" if bank else f"there is no area {name!r}"
        raise ValueError(f"{what}; {_ADVICE}")
    offset = int(digits)
    if offset > area.last:
        raise ValueError(f"{text!r} is beyond the last one, {area.printed(area.last)}")
    if first is None:
        return WordAddress(area, offset)
    low, high = int(first), int(last or first)
    if area.bit_code is None:
        raise ValueError(f"{area.name}{offset} is a present value; it has no bits to read")
    if max(low, high) > 15:
        raise ValueError(f"a word has the bits .00 (least significant) to .15, not .{max(low, high)}")
    if high < low:
        raise ValueError(f"write the lower bit first: .{high}-{low}")
    return WordAddress(area, offset, low, high - low + 1)
