"""Types of TwinCAT values: how many bytes they take, what they are to the gateway, and how they are made of bytes and back.

Formats are those of "TwinCAT 3 PLC, Reference programming", chapter Data types. All numbers have their low byte first.
"""

import re
import struct
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from math import prod

from gateway.kit.registers import size_of
from gateway.plugin import Exact

from .texts import TEXTS, Decode, narrow, wide

_NUMBERS = {
    "BIT": "bool", "BOOL": "bool", "BYTE": "uint8", "USINT": "uint8", "SINT": "int8", "WORD": "uint16", "UINT": "uint16",
    "INT": "int16", "DWORD": "uint32", "UDINT": "uint32", "DINT": "int32", "LWORD": "uint64", "ULINT": "uint64",
    "LINT": "int64", "REAL": "float32", "LREAL": "float64", "TIME": "uint32", "LTIME": "uint64",
}  # fmt: skip
_BY_ID = {
    2: "INT", 3: "DINT", 4: "REAL", 5: "LREAL", 16: "SINT", 17: "USINT", 18: "UINT", 19: "UDINT", 20: "LINT", 21: "ULINT",
    33: "BOOL",
}  # fmt: skip
"""What the controller calls the types that others stand on (ADST_…)."""
_MEANT = {"DT": "DATE_AND_TIME", "TOD": "TIME_OF_DAY", "LTOD": "LTIME_OF_DAY", "LDT": "LDATE_AND_TIME"}
_LETTERS = {
    "bool": "?", "int8": "b", "uint8": "B", "int16": "h", "uint16": "H", "int32": "i", "uint32": "I", "int64": "q",
    "uint64": "Q", "float32": "f", "float64": "d",
}  # fmt: skip
_ORDER = {1: "A", 2: "BA", 4: "DCBA", 8: "HGFEDCBA"}
_TEXT = re.compile(r"(W?STRING)\s*(?:[(\[]\s*(\d{1,7})\s*[)\]])?")
_ARRAY = re.compile(r"ARRAY\s*\[([^\]]*)\]\s*OF\s+(.+)", re.DOTALL)
_RANGE = re.compile(r"\s*(-?\d{1,10})\s*\.\.\s*(-?\d{1,10})\s*")
_BRIEF = re.compile(r"([A-Z_]+)\s*\[\s*(\d{1,7})\s*\]")
_POINTERS = ("POINTER TO ", "REFERENCE TO ", "PVOID", "XPVOID", "INTERFACE")
_DEEPEST = 16
MOST_PARTS = 20_000
"""Single values in an array or structure, at most."""

MEMBER_BITS, MEMBER_POINTER, MEMBER_NO_DATA = 0x20, 0x800404, 0x20048
"""Flags of members (ADSDATATYPEFLAG_…): offset and size in bits; references, interfaces and pointers; static ones, properties
and methods."""


class UnknownTypeError(Exception):
    """A type by whose declaration it would go on; its argument is the name."""


@dataclass(frozen=True, slots=True)
class Declaration:
    """A type as the controller declares it, or a member of one."""

    name: str
    type: str
    size: int
    ads_id: int = 0
    offset: int = 0
    flags: int = 0
    comment: str = ""
    ranges: tuple[tuple[int, int], ...] = ()
    """Of an array: lower bound and count of each dimension."""

    members: tuple["Declaration", ...] = ()
    choices: Mapping[str, int] = field(default_factory=dict)
    """Of an enumeration."""


@dataclass(frozen=True, slots=True)
class AdsType:
    """How a value is made of bytes."""

    name: str
    size: int
    published: str
    """One of the gateway's types; empty for an array or structure."""

    decode: Decode
    number: str = ""
    """For numbers: the type in `gateway.kit.registers`, or "bool"."""

    length: int = 0
    """Characters that a text may have."""

    parts: int = 1
    """Single values in it."""

    encoding: str = ""
    choices: Mapping[str, int] = field(default_factory=dict)

    @property
    def order(self) -> str:
        """As `gateway.kit.registers` writes it."""
        return _ORDER.get(self.size, "") if self.number else ""


def parse_type(text: str, encoding: str = "cp1252") -> AdsType:
    """The type that a configuration means by `text`. Raises ValueError with the way to write it."""
    try:
        return Types({}, encoding).of(text)
    except UnknownTypeError as error:
        known = ", ".join(sorted((*_NUMBERS, *TEXTS, "STRING(20)", "WSTRING(20)")))
        raise ValueError(f"{text!r} is no type; write one of {known}; several as ARRAY [0..9] OF INT") from error


class Types:
    """The types of a PLC, made of what it declares; each once."""

    def __init__(self, known: Mapping[str, Declaration | None], encoding: str = "cp1252") -> None:
        """`known`: declarations by their names in capitals, None for one that the controller does not have; it may grow."""
        self._known, self._encoding = known, encoding
        self._made: dict[tuple[str, int, int | None], AdsType] = {}

    def of(self, name: str, ads_id: int = 0, size: int | None = None, depth: int = 0) -> AdsType:
        """The type of this name, whose values have `size` bytes, if that is known. Raises UnknownTypeError where a
        declaration is needed, and ValueError, with the reason, for what cannot be read."""
        key = name, ads_id, size
        if (found := self._made.get(key)) is not None:
            return found
        if depth > _DEEPEST:
            raise ValueError(f"{name[:80]} is declared too deep")
        found = self._make(name.strip(), ads_id, size, depth)
        if size is not None and found.size != size:
            raise ValueError(f"it has {size} bytes, and {found.name} has {found.size}")
        if found.parts > MOST_PARTS:
            raise ValueError(f"{name} has more than {MOST_PARTS} values; name parts of it")
        self._made[key] = found
        return found

    def _make(self, name: str, ads_id: int, size: int | None, depth: int) -> AdsType:
        said = name.upper()
        said = _MEANT.get(said, said)
        if said in _NUMBERS:
            return _number(said)
        if said in TEXTS:
            number_size, decode = TEXTS[said]
            return AdsType(said, number_size, "string", decode)
        if match := _TEXT.fullmatch(said):
            return _text(match[1], 80 if match[2] is None else int(match[2]), self._encoding)
        if match := _ARRAY.fullmatch(said):
            return self._array(name, _counts(match[1]), name[match.start(2) :], ads_id, size, depth)
        if match := _BRIEF.fullmatch(said):
            return self._array(name, [int(match[2])], match[1], ads_id, size, depth)
        if said.startswith(_POINTERS):
            raise ValueError(f"it is a {name}; name what it points to, with ^ behind a pointer")
        if said not in self._known:
            raise UnknownTypeError(name)
        it = self._known[said]
        return self._plain(name, ads_id, size) if it is None else self._declared(name, it, depth)

    def _array(self, name: str, counts: list[int], of: str, ads_id: int, size: int | None, depth: int) -> AdsType:
        count = prod(counts)
        if not 0 < count <= MOST_PARTS:
            raise ValueError(f"{name}: from 1 to {MOST_PARTS} values")
        one = self.of(of, ads_id, None if size is None else size // count, depth + 1)
        flat: Callable[[bytes], Sequence[Exact | float]]
        if one.number:
            flat = struct.Struct(f"<{count}{_LETTERS[one.number]}").unpack
        else:
            starts, decode = range(0, one.size * count, one.size), one.decode
            flat = lambda data: [decode(data[at : at + one.size]) for at in starts]  # noqa: E731
        return AdsType(
            name, count * one.size, "", lambda data: _nested(flat(data), counts[1:]), parts=count * one.parts
        )

    def _declared(self, name: str, it: Declaration, depth: int) -> AdsType:
        if it.members:
            return self._structure(it, depth)
        if it.choices and it.ads_id in _BY_ID:
            plain = self.of(_BY_ID[it.ads_id], size=it.size)
            return AdsType(it.name, it.size, plain.published, plain.decode, plain.number, choices=it.choices)
        if it.ranges and it.type:
            return self._array(name, [count for _, count in it.ranges], it.type, it.ads_id, it.size, depth)
        if it.type and it.type.upper() != name.upper():
            return self.of(it.type, it.ads_id, it.size, depth + 1)
        return self._plain(name, it.ads_id, it.size)

    def _plain(self, name: str, ads_id: int, size: int | None) -> AdsType:
        """By nothing but what the controller calls the type that it stands on."""
        if ads_id in _BY_ID:
            return _number(_BY_ID[ads_id])
        if ads_id in (30, 31) and size:
            kind, length = ("STRING", size - 1) if ads_id == 30 else ("WSTRING", size // 2 - 1)
            return _text(kind, length, self._encoding)
        raise ValueError(f"the controller does not tell what a {name} is made of; name a part of it, or say type")

    def _structure(self, it: Declaration, depth: int) -> AdsType:
        """Each member stands where the controller says, so that packing is no matter."""
        parts: list[tuple[str, int, int, Decode]] = []
        count = 0
        for member in it.members:
            pointer = member.flags & MEMBER_POINTER or member.type.upper().startswith(_POINTERS)
            if pointer or member.flags & MEMBER_NO_DATA:
                continue
            if member.flags & MEMBER_BITS or member.type.upper() == "BIT":
                begin, end, decode = member.offset // 8, (member.offset + member.size + 7) // 8, _bits(member)
                count += 1
            else:
                one = self._member(member, depth)
                begin, end, decode = member.offset, member.offset + one.size, one.decode
                count += one.parts
            if end > it.size:
                raise ValueError(f"its member {member.name} ends beyond the {it.size} bytes of {it.name}")
            parts.append((member.name, begin, end, decode))
        if not parts:
            raise ValueError(f"{it.name} has no members with values")
        return AdsType(
            it.name,
            it.size,
            "",
            lambda data: {part: decode(data[begin:end]) for part, begin, end, decode in parts},
            parts=count,
        )

    def _member(self, member: Declaration, depth: int) -> AdsType:
        try:
            return self.of(member.type, member.ads_id, member.size, depth + 1)
        except ValueError as error:
            inner = str(error).removeprefix("its member ")
            between = ": " if inner == str(error) else "."
            raise ValueError(f"its member {member.name}{between}{inner}") from error


def _number(name: str) -> AdsType:
    number = _NUMBERS[name]
    unpack = struct.Struct("<" + _LETTERS[number]).unpack
    size = 1 if number == "bool" else size_of(number)
    return AdsType(name, size, number, lambda data: unpack(data)[0], number)


def _text(name: str, length: int, encoding: str) -> AdsType:
    if not 1 <= length <= 1 << 20:
        raise ValueError(f"{name}({length}): from 1 to {1 << 20} characters")
    if name == "WSTRING":
        return AdsType(f"{name}({length})", 2 * length + 2, "string", wide, length=length, encoding="utf-16-le")
    return AdsType(
        f"{name}({length})",
        length + 1,
        "string",
        lambda data: narrow(data, encoding),
        length=length,
        encoding=encoding,
    )


def _counts(text: str) -> list[int]:
    """How many there are in each dimension of "0..9, 1..3"."""
    counts = []
    for part in text.split(","):
        match = _RANGE.fullmatch(part)
        if not match or not 0 < (count := int(match[2]) - int(match[1]) + 1) <= MOST_PARTS:
            raise ValueError(f"ARRAY [{text}] has bounds that cannot be read; name a part of it")
        counts.append(count)
    return counts


def _nested(flat: Sequence[Exact | float], inner: Sequence[int]) -> list[Exact | float]:
    """A list of lists, by the counts of the inner dimensions."""
    if not inner:
        return list(flat)
    width = prod(inner)
    return [_nested(flat[at : at + width], inner[1:]) for at in range(0, len(flat), width)]


def _bits(member: Declaration) -> Decode:
    shift, mask = member.offset % 8, (1 << min(member.size, 64)) - 1
    if mask <= 1:
        return lambda data: bool(data[0] >> shift & 1)
    return lambda data: int.from_bytes(data, "little") >> shift & mask


def bit_of(type_: AdsType, bit: int) -> None:
    """Raises ValueError unless the type has this bit."""
    if not type_.number or type_.number.startswith(("float", "bool")):
        raise ValueError(f"a {type_.name} has no bits by numbers")
    if bit >= 8 * type_.size:
        raise ValueError(f"a {type_.name} has the bits .0 to .{8 * type_.size - 1}")
