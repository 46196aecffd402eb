"""Where a value lives: addresses as PLC manuals print them ("40001", "400001.3") and raw ("hr:0", "hr:0.3").

Printed numbers count from 1 and carry the area as their first digit (Modbus Application Protocol V1.1b3, §4.3 and §4.4);
on the wire addresses count from 0.
"""

import re
from dataclasses import dataclass
from functools import lru_cache

from gateway.kit import WordAddress


@dataclass(frozen=True, slots=True)
class ModbusArea:
    """One of the four address spaces of a device."""

    code: str
    """As raw addresses write it: "hr"."""

    digit: str
    """As printed addresses begin: "4"."""

    word: str
    function: int
    """Function code that reads it."""

    single_bits: bool
    """Whether an address holds one bit rather than a 16-bit register."""

    @property
    def rank(self) -> int:
        """Areas are read in this order."""
        return int(self.digit)

    def size(self, count: int) -> int:
        """Bytes of data in the answer to a read of so many bits or registers."""
        return (count + 7) // 8 if self.single_bits else 2 * count

    def printed(self, offset: int) -> str:
        """The address as a manual prints it, with 5 digits where they reach."""
        return f"{self.digit}{offset + 1:04d}" if offset < 9999 else f"{self.digit}{offset + 1:05d}"


COILS = ModbusArea("co", "0", "coil", 1, single_bits=True)
DISCRETE_INPUTS = ModbusArea("di", "1", "discrete input", 2, single_bits=True)
INPUT_REGISTERS = ModbusArea("ir", "3", "input register", 4, single_bits=False)
HOLDING_REGISTERS = ModbusArea("hr", "4", "holding register", 3, single_bits=False)

AREAS = (COILS, DISCRETE_INPUTS, INPUT_REGISTERS, HOLDING_REGISTERS)
_BY_DIGIT = {area.digit: area for area in AREAS}
_BY_CODE = {area.code: area for area in AREAS} | {"coil": COILS}
_FORM = re.compile(r"(?:([a-z]+):(\d+)|(\d+))(?:\.(\d+)(?:-(\d+))?|\.(high|low))?")
_BYTES = {"low": (0, 8), "high": (8, 8)}
_ADVICE = (
    'write it as the manual prints it ("40001", "400001", a bit as "40001.3", bits as "40001.4-7") '
    'or raw from 0 ("hr:0", "ir:0", "co:0", "di:0")'
)


ModbusAddress = WordAddress[ModbusArea]
"""A register, some bits of a register, or a single bit. Offsets are 0 to 65535, as on the wire."""


@lru_cache(1024)
def parse_address(text: str) -> ModbusAddress:
    """The address that `text` means. Raises ValueError with the way to write it."""
    match = _FORM.fullmatch(text.strip().lower())
    if not match:
        raise ValueError(f"{text!r} is no Modbus address; {_ADVICE}")
    code, raw, printed, first, last, byte = match.groups()
    area, offset = _raw(code, raw) if code else _printed(printed)
    if first is None and byte is None:
        return WordAddress(area, offset)
    return WordAddress(
        area, offset, *(_BYTES[byte] if byte and not area.single_bits else _bits(area, first or byte, last))
    )


def quotes_missing(value: object) -> str:
    """What to say about an address that is no text, such as the bare number 40001."""
    try:
        meant = parse_address(str(value))
    except ValueError:
        return f"{value!r} is no text; put the address in quotes: {_ADVICE}"
    return (
        f'write "{value}" in quotes: counted from 1 as in manuals it is {meant.area.word} {meant.offset + 1}, '
        f'or "{meant.area.code}:{meant.offset}" raw'
    )


def _raw(code: str, digits: str) -> tuple[ModbusArea, int]:
    area = _BY_CODE.get(code)
    if area is None:
        raise ValueError(f"there is no area {code!r}; write hr (holding), ir (input), co (coil) or di (discrete input)")
    if int(digits) > 65535:
        raise ValueError(f"{code}:{digits} is too high; raw addresses end at {code}:65535")
    return area, int(digits)


def _printed(digits: str) -> tuple[ModbusArea, int]:
    if len(digits) not in (5, 6):
        zeros = " (leading zeros lost in a spreadsheet?)" if len(digits) < 5 else ""
        raise ValueError(f"{digits!r} is not of 5 or 6 digits{zeros}; {_ADVICE}")
    area = _BY_DIGIT.get(digits[0])
    if area is None:
        raise ValueError(
            f"{digits!r} begins with {digits[0]}; it must be 0 (coil), 1 (discrete input), 3 (input register) or "
            f'4 (holding register), or raw such as "hr:{min(int(digits), 65535)}"'
        )
    number = int(digits[1:])
    if not 1 <= number <= 65536:
        raise ValueError(f"{digits!r} is out of range: printed addresses count from 1 to 65536; {_ADVICE}")
    return area, number - 1


def _bits(area: ModbusArea, first: str, last: str | None) -> tuple[int, int]:
    """Lowest bit and number of bits."""
    if area.single_bits:
        raise ValueError(f"a {area.word} is one bit already; leave out .{first}")
    low, high = int(first), int(last or first)
    if max(low, high) > 15:
        raise ValueError(f"a register has the bits .0 (least significant) to .15, not .{max(low, high)}")
    if high < low:
        raise ValueError(f"write the lower bit first: .{high}-{low}")
    return low, high - low + 1
