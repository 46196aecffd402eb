"""Where a value lives: devices of XGK and XGB ("D100", "M12.F") and variables of XGI and XGR ("%MW100", "%MX1600")."""

import re
from functools import lru_cache

from gateway.kit import WordAddress, WordArea

BITS = 16
_LAST = 0xFFFFF
"""No module has more words of one kind."""


AREAS = {
    name: WordArea(name, rank)
    for rank, name in enumerate(("P", "M", "K", "L", "F", "T", "C", "Z", "D", "N", "R", "ZR", "I", "Q", "W", "U"))
}
_FORM = re.compile(
    r"(?P<percent>%)?(?P<name>ZR|[A-Z])(?P<kind>[WX](?=\d))?(?P<number>\d+)"
    r"(?:\.(?P<low>[0-9A-F])(?:-(?P<high>[0-9A-F]))?)?"
)
_LETTERS = re.compile(r"[A-Z]{1,2}\d*[0-9A-F]*[A-F][0-9A-F]*")
_ADVICE = 'write a word as "D100" or "%MW100", a bit as "D100.A", "M12.F" or "%MX1600"'


XgtAddress = WordAddress[WordArea]
"""A word, or some bits of one."""


@lru_cache(1024)
def parse_address(text: str) -> XgtAddress:
    """The address that `text` means. Raises ValueError with the way to write it."""
    said = text.strip().upper()
    match = _FORM.fullmatch(said)
    if not match or bool(match["percent"]) != bool(match["kind"]):
        if _LETTERS.fullmatch(said):
            raise ValueError(f"{text!r}: the bit stands behind a dot: {said[:-1].rstrip('.')}.{said[-1]}")
        raise ValueError(f"{text!r} is no address of an LS PLC; {_ADVICE}")
    area = AREAS.get(match["name"])
    if area is None:
        raise ValueError(f"there is no device {match['name']!r} that the protocol reads; {_ADVICE}")
    number, bit = int(match["number"]), match["low"]
    if match["kind"] == "X":
        if bit is not None:
            raise ValueError(f"{text!r} is a bit already; leave .{bit} out")
        address = WordAddress(area, number // BITS, number % BITS)
    elif bit is None:
        address = WordAddress(area, number)
    else:
        low, high = int(bit, 16), int(match["high"] or bit, 16)
        if high < low:
            raise ValueError(f"write the lower bit first: .{high:X}-{low:X}")
        address = WordAddress(area, number, low, high - low + 1)
    if address.offset > _LAST:
        raise ValueError(f"{text!r} is beyond the last word of any LS PLC")
    return address
