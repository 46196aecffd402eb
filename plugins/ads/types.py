"""Types of TwinCAT values: how many bytes they take, what they are to the gateway, and how they are made of bytes and back.

Formats are those of "TwinCAT 3 PLC, Reference programming", chapter Data types. All numbers have their low byte first.
"""

import re
import struct
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from math import prod

from gateway.kit import truth
from gateway.kit.registers import encode, size_of
from gateway.plugin import Exact

Decode = Callable[[bytes], Exact | float]

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
_EPOCH = datetime(1970, 1, 1)
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


Known = Mapping[str, Declaration | None]
"""Declarations by their names in capitals; None for one that the controller does not have."""


def parse_type(text: str, encoding: str = "cp1252") -> AdsType:
    """The type that a configuration means by `text`. Raises ValueError with the way to write it."""
    try:
        return type_of(text, {}, encoding=encoding)
    except UnknownTypeError as error:
        known = ", ".join(sorted((*_NUMBERS, *_OTHERS, "STRING(20)", "WSTRING(20)")))
        raise ValueError(f"{text!r} is no type; write one of {known}; several as ARRAY [0..9] OF INT") from error


def type_of(
    name: str, known: Known, ads_id: int = 0, size: int | None = None, encoding: str = "cp1252", depth: int = 0
) -> AdsType:
    """The type of this name, whose values have `size` bytes, if that is known. Raises UnknownTypeError where a declaration is
    needed, and ValueError, with the reason, for what cannot be read."""
    found = _made(name.strip(), known, ads_id, size, encoding, depth)
    if size is not None and found.size != size:
        raise ValueError(f"it has {size} bytes, and {found.name} has {found.size}")
    if found.parts > MOST_PARTS:
        raise ValueError(f"{name} has more than {MOST_PARTS} values; name parts of it")
    return found


def _made(name: str, known: Known, ads_id: int, size: int | None, encoding: str, depth: int) -> AdsType:
    said = name.upper()
    said = _MEANT.get(said, said)
    if said in _NUMBERS:
        return _number(said)
    if said in _OTHERS:
        number_size, decode = _OTHERS[said]
        return AdsType(said, number_size, "string", decode)
    if match := _TEXT.fullmatch(said):
        return _text(match[1], 80 if match[2] is None else int(match[2]), encoding)
    if match := _ARRAY.fullmatch(said):
        return _array(name, _counts(match[1]), name[match.start(2) :], known, ads_id, size, encoding, depth)
    if match := _BRIEF.fullmatch(said):
        return _array(name, [int(match[2])], match[1], known, ads_id, size, encoding, depth)
    if said.startswith(_POINTERS):
        raise ValueError(f"it is a {name}; name what it points to, with ^ behind a pointer")
    if said not in known:
        raise UnknownTypeError(name)
    if depth > _DEEPEST:
        raise ValueError(f"{name} is declared too deep")
    return _declared(name, known[said], known, ads_id, size, encoding, depth)


def _number(name: str) -> AdsType:
    number = _NUMBERS[name]
    unpack = struct.Struct("<" + _LETTERS[number]).unpack
    size = 1 if number == "bool" else size_of(number)
    return AdsType(name, size, number, lambda data: unpack(data)[0], number)


def _text(name: str, length: int, encoding: str) -> AdsType:
    if not 1 <= length <= 1 << 20:
        raise ValueError(f"{name}({length}): from 1 to {1 << 20} characters")
    if name == "WSTRING":
        return AdsType(f"{name}({length})", 2 * length + 2, "string", _wide, length=length, encoding="utf-16-le")
    return AdsType(
        f"{name}({length})",
        length + 1,
        "string",
        lambda data: _narrow(data, encoding),
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


def _array(
    name: str, counts: list[int], of: str, known: Known, ads_id: int, size: int | None, encoding: str, depth: int
) -> AdsType:
    count = prod(counts)
    if not 0 < count <= MOST_PARTS:
        raise ValueError(f"{name}: from 1 to {MOST_PARTS} values")
    one = type_of(of, known, ads_id, None if size is None else size // count, encoding, depth + 1)
    flat: Callable[[bytes], Sequence[Exact | float]]
    if one.number:
        flat = struct.Struct(f"<{count}{_LETTERS[one.number]}").unpack
    else:
        starts, decode = range(0, one.size * count, one.size), one.decode
        flat = lambda data: [decode(data[at : at + one.size]) for at in starts]  # noqa: E731
    return AdsType(name, count * one.size, "", lambda data: _nested(flat(data), counts[1:]), parts=count * one.parts)


def _nested(flat: Sequence[Exact | float], inner: Sequence[int]) -> list[Exact | float]:
    """A list of lists, by the counts of the inner dimensions."""
    if not inner:
        return list(flat)
    width = prod(inner)
    return [_nested(flat[at : at + width], inner[1:]) for at in range(0, len(flat), width)]


def _declared(
    name: str, it: Declaration | None, known: Known, ads_id: int, size: int | None, encoding: str, depth: int
) -> AdsType:
    if it is not None and it.members:
        return _structure(it, known, encoding, depth)
    if it is not None and it.choices and it.ads_id in _BY_ID:
        plain = type_of(_BY_ID[it.ads_id], known, size=it.size)
        return AdsType(it.name, it.size, plain.published, plain.decode, plain.number, choices=it.choices)
    if it is not None and it.ranges and it.type:
        return _array(name, [count for _, count in it.ranges], it.type, known, it.ads_id, it.size, encoding, depth)
    if it is not None and it.type and it.type.upper() != name.upper():
        return type_of(it.type, known, it.ads_id, it.size, encoding, depth + 1)
    ads_id, size = (it.ads_id, it.size) if it is not None else (ads_id, size)
    if ads_id in _BY_ID:
        return _number(_BY_ID[ads_id])
    if ads_id in (30, 31) and size:
        return _text("STRING", size - 1, encoding) if ads_id == 30 else _text("WSTRING", size // 2 - 1, encoding)
    raise ValueError(f"the controller does not tell what a {name} is made of; name a part of it, or say type")


def _structure(it: Declaration, known: Known, encoding: str, depth: int) -> AdsType:
    """Each member stands where the controller says, so that packing is no matter."""
    parts: list[tuple[str, int, int, Decode]] = []
    count = 0
    for member in it.members:
        if count > MOST_PARTS:
            break
        pointer = member.flags & MEMBER_POINTER or member.type.upper().startswith(_POINTERS)
        if pointer or member.flags & MEMBER_NO_DATA:
            continue
        if member.flags & MEMBER_BITS or member.type.upper() == "BIT":
            begin, end, decode = member.offset // 8, (member.offset + member.size + 7) // 8, _bits(member)
            count += 1
        else:
            try:
                one = type_of(member.type, known, member.ads_id, member.size, encoding, depth + 1)
            except ValueError as error:
                inner = str(error).removeprefix("its member ")
                between = ": " if inner == str(error) else "."
                raise ValueError(f"its member {member.name}{between}{inner}") from error
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


def _narrow(data: bytes, encoding: str) -> str:
    text, end, _ = data.partition(b"\0")
    if not end:
        raise ValueError("a text without an end: is it longer than its type says?")
    try:
        return text.decode(encoding)
    except UnicodeDecodeError:
        if encoding == "utf-8":
            raise
        return text.decode("latin-1")  # Windows-1252 leaves five places empty


def _wide(data: bytes) -> str:
    for end in range(0, len(data) - 1, 2):
        if data[end : end + 2] == b"\0\0":
            return data[:end].decode("utf-16-le")
    raise ValueError("a text without an end: is it longer than its type says?")


def _date(data: bytes) -> str:
    return (_EPOCH + timedelta(seconds=int.from_bytes(data, "little"))).date().isoformat()


def _date_and_time(data: bytes) -> str:
    return (_EPOCH + timedelta(seconds=int.from_bytes(data, "little"))).isoformat()


def _time_of_day(data: bytes) -> str:
    since = int.from_bytes(data, "little")
    if since >= 86_400_000:
        raise ValueError("beyond a day")
    return (_EPOCH + timedelta(milliseconds=since)).time().isoformat("milliseconds")


def _long(form: Callable[[datetime], str], day: bool) -> Decode:
    """Nanoseconds, since 1970 or since midnight."""

    def decode(data: bytes) -> str:
        seconds, nano = divmod(int.from_bytes(data, "little"), 10**9)
        if day and seconds >= 86_400:
            raise ValueError("beyond a day")
        return f"{form(_EPOCH + timedelta(seconds=seconds))}.{nano:09d}"

    return decode


_OTHERS: dict[str, tuple[int, Decode]] = {
    "DATE": (4, _date),
    "DATE_AND_TIME": (4, _date_and_time),
    "TIME_OF_DAY": (4, _time_of_day),
    "LDATE": (8, lambda data: _date(int.to_bytes(int.from_bytes(data, "little") // 10**9, 8, "little"))),
    "LDATE_AND_TIME": (8, _long(lambda at: at.isoformat(timespec="seconds"), day=False)),
    "LTIME_OF_DAY": (8, _long(lambda at: at.time().isoformat("seconds"), day=True)),
}
"""Size, and how it is made of bytes; all come as texts."""


def wire(type_: AdsType, value: float | bool | int | str) -> bytes:
    """The bytes that hold a value. Raises ValueError, with the reason, when they cannot."""
    if type_.choices:
        value = _chosen(type_, value)
    if type_.number:
        if isinstance(value, str):
            raise ValueError(f"{value!r} is no {'truth value' if type_.number == 'bool' else 'number'}")
        return bytes([truth(value)]) if type_.number == "bool" else encode(value, type_.number, type_.order)
    if not type_.length:
        raise ValueError(f"a {type_.name} is not written" + ("" if type_.published else "; name one of its parts"))
    if not isinstance(value, str):
        raise ValueError(f"{value!r} is no text")
    return _text_wire(type_, value)


def _text_wire(type_: AdsType, value: str) -> bytes:
    if "\0" in value:
        raise ValueError(f"{value!r} has a character that ends a text")
    try:
        text = value.encode(type_.encoding)
    except UnicodeEncodeError as error:
        raise ValueError(f"{value!r} has characters that a {type_.name} has not") from error
    room = type_.length * (2 if type_.encoding == "utf-16-le" else 1)
    if len(text) > room:
        raise ValueError(f"{value!r} takes {len(text)} bytes, and there is room for {room}")
    return text.ljust(type_.size, b"\0")


def _chosen(type_: AdsType, value: float | bool | int | str) -> float | bool | int:
    """The number of one of an enumeration's values, by its name or number."""
    if isinstance(value, str):
        found = {name.upper(): number for name, number in type_.choices.items()}.get(value.upper())
        if found is None:
            raise ValueError(f"{value!r} is none of {type_.name}: {', '.join(list(type_.choices)[:20])}")
        return found
    if value not in type_.choices.values():
        raise ValueError(f"{value!r} is none of {type_.name}: {', '.join(map(str, list(type_.choices.values())[:20]))}")
    return value
