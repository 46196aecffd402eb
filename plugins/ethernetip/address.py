"""Where a value lives: a tag of a Logix controller by its name, a word of an SLC's data files, an attribute of an object."""

import re
from dataclasses import dataclass
from functools import lru_cache

from .paths import logical, symbol

MOST = 65536
"""Elements that a tag may have."""

_NAME = r"[A-Za-z_][A-Za-z0-9_:]{0,99}"
_TAG = re.compile(
    rf"({_NAME}(?:\[\d{{1,10}}(?:,\d{{1,10}}){{0,2}}\])?\.)*{_NAME}(?:\[\d{{1,10}}(?:,\d{{1,10}}){{0,2}}\])?"
)
_SPLIT = re.compile(rf"({_NAME})(?:\[([\d,]+)\])?")
_TAIL = re.compile(r"(.+?)(?:\[(\d{1,10})\.\.(\d{1,10})\]|\{(\d{1,6})\}|\.(\d{1,2}))?")
_ATTRIBUTE = re.compile(r"@(0x[0-9A-Fa-f]+|\d+)/(0x[0-9A-Fa-f]+|\d+)/(0x[0-9A-Fa-f]+|\d+)")
_FILE = re.compile(
    r"([ABCFILNORST]|ST)(\d{1,3})?:(\d{1,5})(?:\.(\d{1,3}|[A-Z]{2,3}))?(?:/(\d{1,2}|[A-Z]{2}))?(?:\{(\d{1,3})\})?"
)
_BIT_FILE = re.compile(r"(B)(\d{1,3})/(\d{1,5})")
_ADVICE = 'write a tag as "Program:Main.Speed" or "Temps[0..9]", a data file as "N7:0" or "T4:0.ACC", or "@1/1/7"'


@dataclass(frozen=True, slots=True)
class TagAddress:
    """A tag of a Logix controller."""

    steps: tuple[str | int, ...]
    """Names, and indices behind them."""

    count: int | None = None
    """How many elements; None for one value."""

    bit: int | None = None

    def path(self, last: int | None = None) -> bytes:
        """As requests name it; with another `last` index than the address has."""
        steps = self.steps if last is None else (*self.steps[:-1], last)
        return b"".join(symbol(step) if isinstance(step, str) else logical(0x28, step) for step in steps)

    @property
    def whole(self) -> "TagAddress":
        """Without the indices at its end: the array."""
        steps = self.steps
        while isinstance(steps[-1], int):
            steps = steps[:-1]
        return TagAddress(steps)

    @property
    def index(self) -> int | None:
        """The index at its end, where it is of one dimension."""
        last = self.steps[-1]
        return last if isinstance(last, int) and isinstance(self.steps[-2], str) else None


@dataclass(frozen=True, slots=True)
class FileKind:
    """A kind of data file."""

    letter: str
    code: int
    size: int
    """Bytes of an element."""

    number: int | None = None
    """Of the file, where the letter alone says it."""


KINDS = {
    kind.letter: kind
    for kind in (
        FileKind("O", 0x8B, 2, 0), FileKind("I", 0x8C, 2, 1), FileKind("S", 0x84, 2, 2), FileKind("B", 0x85, 2),
        FileKind("T", 0x86, 6), FileKind("C", 0x87, 6), FileKind("R", 0x88, 6), FileKind("N", 0x89, 2),
        FileKind("F", 0x8A, 4), FileKind("ST", 0x8D, 84), FileKind("A", 0x8E, 2), FileKind("L", 0x91, 4),
    )
}  # fmt: skip
_PARTS = {"T": {"PRE": 1, "ACC": 2}, "C": {"PRE": 1, "ACC": 2}, "R": {"LEN": 1, "POS": 2}}
_BITS = {
    "T": {"EN": 15, "TT": 14, "DN": 13},
    "C": {"CU": 15, "CD": 14, "DN": 13, "OV": 12, "UN": 11},
    "R": {"EN": 15, "EU": 14, "DN": 13, "EM": 12, "ER": 11, "UL": 10, "IN": 9, "FD": 8},
}


@dataclass(frozen=True, slots=True)
class FileAddress:
    """A place in a data file of an SLC 500 or MicroLogix."""

    kind: FileKind
    file: int
    element: int
    word: int = 0
    """Within the element."""

    bit: int | None = None
    count: int | None = None


@dataclass(frozen=True, slots=True)
class AttributeAddress:
    """An attribute of an object of CIP."""

    class_: int
    instance: int
    attribute: int

    def path(self) -> bytes:
        """As requests name it."""
        return logical(0x20, self.class_) + logical(0x24, self.instance) + logical(0x30, self.attribute)


Address = TagAddress | FileAddress | AttributeAddress


@lru_cache(8192)
def parse_address(text: str) -> Address:
    """The address that `text` means. Raises ValueError with the way to write it."""
    said = text.strip()
    if said.startswith("@"):
        return _attribute(text, said)
    if match := _BIT_FILE.fullmatch(said.upper()):
        at = int(match[3])
        return FileAddress(KINDS["B"], int(match[2]), at // 16, 0, at % 16)
    if match := _FILE.fullmatch(said.upper()):
        return _file(text, match)
    return _tag(text, said)


def _attribute(text: str, said: str) -> AttributeAddress:
    match = _ATTRIBUTE.fullmatch(said)
    numbers = [int(each, 16 if each[:2] in ("0x", "0X") else 10) for each in match.groups()] if match else []
    if not numbers or max(numbers) > 0xFFFF:
        raise ValueError(
            f'{text!r} is no attribute; write class, instance and attribute, such as "@1/1/7" or "@0x93/1/9"'
        )
    return AttributeAddress(*numbers)


def _tag(text: str, said: str) -> TagAddress:
    match = _TAIL.fullmatch(said)
    base, first, last, count, bit = match.groups() if match else ("", None, None, None, None)
    index = "" if first is None else f"[{first}]"
    if not match or not _TAG.fullmatch(base + index):
        raise ValueError(f"{text!r} is no address; {_ADVICE}")
    steps: list[str | int] = []
    for part in _SPLIT.finditer(base + index):
        steps.append(part[1])
        steps += [int(number) for number in (part[2] or "").split(",") if number]
    if any(isinstance(step, int) and step > 0xFFFFFFFF for step in steps) or (bit is not None and int(bit) > 63):
        raise ValueError(f"{text!r}: a number in it is too large")
    many = int(count) if count is not None else int(last or 0) - int(first) + 1 if first is not None else None
    if many is not None and not 1 <= many <= MOST:
        raise ValueError(f"{text!r}: from 1 to {MOST} elements")
    return TagAddress(tuple(steps), many, None if bit is None else int(bit))


def _file(text: str, match: "re.Match[str]") -> FileAddress:
    letter, file, element, part, bit, count = match.groups()
    kind = KINDS[letter]
    number = kind.number if file is None else int(file)
    if number is None:
        raise ValueError(f"{text!r} does not say which file; write {letter}7:{element}, say")
    if number > 255 or int(element) > 65535:
        raise ValueError(f"{text!r}: files go to 255, elements to 65535")
    word, which = 0, None if bit is None or not bit.isdecimal() else int(bit)
    names = _PARTS.get(letter, {})
    flags = _BITS.get(letter, {})
    if part in names:
        word = names[part]
    elif part in flags or bit in flags:
        which = flags[part if part in flags else bit or ""]
    elif part is not None and part.isdecimal() and letter in "IO":
        word = int(part)
    elif part is not None or (bit is not None and which is None):
        known = ", ".join([*names, *flags]) or "no parts"
        raise ValueError(f"{text!r}: an element of {letter} has {known}")
    if which is not None and (which > 15 or letter in ("F", "ST", "A")):
        raise ValueError(f"{text!r}: words have the bits /0 to /15")
    if flags and word == 0 and which is None:
        raise ValueError(f"{text!r} is a structure; say which part, such as {text}.{next(iter(names))}")
    many = None if count is None else int(count)
    if many is not None and (not 1 <= many * kind.size <= 220 or which is not None or word or letter == "ST"):
        raise ValueError(f"{text!r}: several are plain elements, of {220 // kind.size} at most")
    return FileAddress(kind, number, int(element), word, which, many)
