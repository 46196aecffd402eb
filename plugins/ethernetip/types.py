"""Types of CIP and how values are made of bytes and back. Codes are those of "CIP Networks Library", volume 1, appendix C-6;
the layout of strings in Logix controllers is that of Rockwell's publication 1756-PM020. Low byte first."""

import re
import struct
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from gateway.kit import truth
from gateway.plugin import Exact

Make = Callable[[bytes], Exact | float]
"""Makes a value of the bytes that begin with it. Raises ValueError or struct.error."""

STRUCTURE = 0x02A0
"""Type code before a structure's handle."""

BOOL, DWORD = 0xC1, 0xD3


@dataclass(frozen=True, slots=True)
class CipType:
    """A type of one value."""

    name: str
    code: int
    form: str
    """How `struct` writes it; empty for a text."""

    published: str
    """One of the gateway's types."""

    @property
    def size(self) -> int:
        """Bytes; 0 for a text, whose first bytes tell."""
        return struct.calcsize(f"<{self.form}") if self.form else 0


_NUMBERS = [
    ("BOOL", BOOL, "B", "bool"), ("SINT", 0xC2, "b", "int8"), ("INT", 0xC3, "h", "int16"), ("DINT", 0xC4, "i", "int32"),
    ("LINT", 0xC5, "q", "int64"), ("USINT", 0xC6, "B", "uint8"), ("UINT", 0xC7, "H", "uint16"),
    ("UDINT", 0xC8, "I", "uint32"), ("ULINT", 0xC9, "Q", "uint64"), ("REAL", 0xCA, "f", "float32"),
    ("LREAL", 0xCB, "d", "float64"), ("BYTE", 0xD1, "B", "uint8"), ("WORD", 0xD2, "H", "uint16"),
    ("DWORD", DWORD, "I", "uint32"), ("LWORD", 0xD4, "Q", "uint64"), ("TIME", 0xDB, "i", "int32"),
    ("LTIME", 0xD7, "q", "int64"),
]  # fmt: skip
TYPES = {name: CipType(name, code, form, published) for name, code, form, published in _NUMBERS}
TYPES["SHORT_STRING"] = CipType("SHORT_STRING", 0xDA, "", "string")
TYPES["STRING"] = CipType("STRING", 0xD0, "", "string")
"""The one of the standard, with a length of 16 bits; `logix_string` is what Logix controllers call by this name."""

BY_CODE = {type_.code: type_ for type_ in TYPES.values()}
_FORM = re.compile(r"([A-Z_]+)(?:\s*\[\s*(\d{1,5})\s*\])?")


def parse_type(text: str) -> tuple[CipType, int | None]:
    """The type that `text` means, and how many: "REAL", "INT[8]". Raises ValueError with the way to write it."""
    match = _FORM.fullmatch(text.strip().upper())
    type_ = TYPES.get(match[1]) if match else None
    if match is None or type_ is None:
        raise ValueError(f"{text!r} is no type; write one of {', '.join(sorted(TYPES))}")
    count = None if match[2] is None else int(match[2])
    if count is not None and (not 1 <= count <= 4096 or not type_.form):
        raise ValueError(f"{text!r}: from 1 to 4096 numbers")
    return type_, count


def number(type_: CipType, at: int = 0) -> Make:
    """One number; a BOOL is any byte but 0."""
    read = struct.Struct(f"<{type_.form}").unpack_from
    if type_.code == BOOL:
        return lambda data: data[at] != 0
    return lambda data: read(data, at)[0]


def numbers(type_: CipType, count: int, at: int = 0) -> Make:
    """A list of them."""
    read = struct.Struct(f"<{count}{type_.form}").unpack_from
    if type_.code == BOOL:
        return lambda data: [each != 0 for each in read(data, at)]
    return lambda data: list(read(data, at))


def bit(size: int, which: int, at: int = 0) -> Make:
    """One bit of a number of so many bytes."""
    byte, mask = at + which // 8, 1 << which % 8
    if which >= 8 * size:
        raise ValueError(f"bit {which} of a value of {8 * size} bits")
    return lambda data: data[byte] & mask != 0


def bits(first: int, count: int, at: int = 0) -> Make:
    """A list of bits, such as an array of BOOL, whose bits are packed."""

    def make(data: bytes) -> Exact:
        return [data[at + n // 8] >> n % 8 & 1 == 1 for n in range(first, first + count)]

    return make


def text(type_: CipType, at: int = 0) -> Make:
    """A SHORT_STRING or STRING of the standard."""
    wide = type_.code == TYPES["STRING"].code

    def make(data: bytes) -> str:
        begin = at + (2 if wide else 1)
        length = int.from_bytes(data[at:begin], "little")
        if len(data) < begin + length:
            raise ValueError("a text that ends too early")
        return data[begin : begin + length].decode("latin-1")

    return make


def logix_string(size: int, at: int = 0) -> Make:
    """A structure of LEN (DINT) and DATA (SINT[]): `size` is the number of bytes of DATA."""

    def make(data: bytes) -> str:
        (length,) = struct.unpack_from("<i", data, at)
        if not 0 <= length <= size or len(data) < at + 4 + length:
            raise ValueError("a text longer than it may be")
        return data[at + 4 : at + 4 + length].decode("latin-1")

    return make


def make_of(type_: CipType, count: int | None) -> Make:
    """One value, or a list of `count`."""
    if not type_.form:
        return text(type_)
    return number(type_) if count is None else numbers(type_, count)


def wire(type_: CipType, value: Any) -> bytes:
    """The bytes that hold a value. Raises ValueError, with the reason, when they cannot."""
    if not type_.form:
        return _text_wire(type_, value)
    if isinstance(value, str):
        raise ValueError(f"{value!r} is no number")
    if type_.code == BOOL:
        return b"\xff" if truth(value) else b"\0"
    if type_.form not in "fd":
        if value != int(value):
            raise ValueError(f"{value!r} is no whole number, as a {type_.name} is")
        value = int(value)
    try:
        return struct.pack(f"<{type_.form}", value)
    except (struct.error, OverflowError) as error:
        raise ValueError(f"{value!r} does not fit into a {type_.name}") from error


def _text_wire(type_: CipType, value: Any) -> bytes:
    raw = encoded(value)
    size = 2 if type_.code == TYPES["STRING"].code else 1
    if len(raw) >> 8 * size:
        raise ValueError(f"{value!r} is too long for a {type_.name}")
    return len(raw).to_bytes(size, "little") + raw


def encoded(value: Any) -> bytes:
    """The characters of a text. Raises ValueError for what is none."""
    if not isinstance(value, str):
        raise ValueError(f"{value!r} is no text")
    try:
        return value.encode("latin-1")
    except UnicodeEncodeError as error:
        raise ValueError(f"{value!r} has characters that the controller's strings have not") from error


def logix_string_wire(value: Any, room: int, size: int) -> bytes:
    """LEN and DATA of a string of `room` characters, in the `size` bytes of its structure; what the text leaves free is 0."""
    raw = encoded(value)
    if len(raw) > room:
        raise ValueError(f"{value!r} has {len(raw)} characters, and there is room for {room}")
    return (len(raw).to_bytes(4, "little") + raw).ljust(size, b"\0")
