"""Values as the bytes of registers: the one place that knows types and byte orders, for reading and writing.

`order` spells the bytes as they come over the wire, A being the most significant one: "ABCD" is big-endian, "CDAB" has its
registers swapped. For 64-bit values the four-letter orders go on in the same manner ("CDAB" means "GHEFCDAB"). Of texts it
tells where a register has its characters: "AB" both, the first in the high byte, "BA" both, the first in the low byte,
"A" one in the high byte, "B" one in the low byte.
"""

import struct
from functools import cache

FORMATS = {
    "int16": "<i2", "uint16": "<u2", "int32": "<i4", "uint32": "<u4", "float32": "<f4",
    "int64": "<i8", "uint64": "<u8", "float64": "<f8", "float16": "<f2",
    "bcd16": "<u2", "bcd32": "<u4", "bcd64": "<u8",
}  # fmt: skip
"""numpy formats of the types that fill registers, least significant byte first. Of bcd, four bits are a decimal digit."""

BYTE_FORMATS = {"int8": "<i1", "uint8": "<u1", **FORMATS}
"""Those of the types that fill bytes, where a device counts in bytes."""

_SUNSPEC: dict[str, tuple[int, ...]] = {
    "int16": (-0x8000,), "uint16": (0xFFFF,), "int32": (-0x8000_0000,), "uint32": (0xFFFF_FFFF,),
    "int64": (-0x8000_0000_0000_0000,), "uint64": (0xFFFF_FFFF_FFFF_FFFF,),
}  # fmt: skip
NOT_AVAILABLE: dict[str, dict[str, tuple[int, ...]]] = {
    "sunspec": _SUNSPEC,
    "sma": _SUNSPEC | {"uint32": (0xFFFF_FFFF, 0x00FF_FFFD)},
}
"""What a device puts in the place of a value that it has not, by type: SunSpec Device Information Model Specification, §4.2;
SMA Modbus interface, "NaN values". Of floats it is not a number, which is bad anyway."""

TEXTS = ("string", "bytes")
"""Types that have a length."""

PARTS = ("int8", "uint8", "int16", "uint16")
"""Types of some bits of a register; signed ones have their sign in the highest of the bits."""

_STRUCT = {
    "int8": "<b", "uint8": "<B",
    "int16": "<h", "uint16": "<H", "int32": "<i", "uint32": "<I", "float32": "<f",
    "int64": "<q", "uint64": "<Q", "float64": "<d", "float16": "<e",
    "bcd16": "<H", "bcd32": "<I", "bcd64": "<Q",
}  # fmt: skip

ORDERS = {
    1: ("A",),
    2: ("AB", "BA"),
    4: ("ABCD", "CDAB", "BADC", "DCBA"),
    8: (
        "ABCD", "CDAB", "BADC", "DCBA",
        "ABCDEFGH", "BADCFEHG", "CDABGHEF", "DCBAHGFE", "EFGHABCD", "FEHGBADC", "GHEFCDAB", "HGFEDCBA",
    ),
}  # fmt: skip
"""The orders that a value of so many bytes can have."""

TEXT_ORDERS = ("AB", "BA", "A", "B")

_LONG = {"ABCD": "ABCDEFGH", "CDAB": "GHEFCDAB", "BADC": "BADCFEHG", "DCBA": "HGFEDCBA"}


def published(type_: str) -> str:
    """The type of the value that comes of it, one of the gateway's VALUE_TYPES."""
    if type_.startswith("bcd"):
        return "uint" + type_[3:]
    return "float32" if type_ == "float16" else type_


def size_of(type_: str) -> int:
    """Bytes of a value of this type, one of BYTE_FORMATS."""
    return int(BYTE_FORMATS[type_][2])


def registers_of(type_: str, length: int = 0, order: str = "") -> int:
    """Registers that a value takes; `length` and `order` count for TEXTS only."""
    if type_ in TEXTS:
        return length if order in ("A", "B") else (length + 1) // 2
    return size_of(type_) // 2


@cache
def wire_positions(type_: str, order: str) -> tuple[int, ...]:
    """Where the value's bytes stand among its wire bytes, the least significant one first. `order` is one of ORDERS."""
    size = size_of(type_)
    spelled = _LONG.get(order, order) if size == 8 else order
    return tuple(spelled.index("ABCDEFGH"[size - 1 - place]) for place in range(size))


def decode(wire: bytes, type_: str, order: str) -> int | float:
    """One value from its wire bytes. Raises ValueError when bcd has a digit above 9."""
    plain = bytes(wire[at] for at in wire_positions(type_, order))
    value: int | float = struct.unpack(_STRUCT[type_], plain)[0]
    return int(f"{value:x}") if type_.startswith("bcd") else value


def encode(value: float, type_: str, order: str) -> bytes:
    """The wire bytes of one value. Raises ValueError when the type cannot hold it."""
    try:
        plain = struct.pack(_STRUCT[type_], _packable(value, type_))
    except (struct.error, OverflowError, ValueError) as error:
        raise ValueError(f"{value!r} does not fit in {type_}") from error
    wire = bytearray(len(plain))
    for byte, at in zip(plain, wire_positions(type_, order), strict=True):
        wire[at] = byte
    return bytes(wire)


def decode_text(wire: bytes, type_: str, length: int, order: str, encoding: str) -> str | bytes:
    """The value of one of TEXTS from its registers. A string ends at the first zero; spaces, and bytes of all ones, at its
    end are padding. Raises ValueError for what the encoding does not know."""
    plain = _characters(wire, order)[:length]
    return plain if type_ == "bytes" else plain.split(b"\0", 1)[0].rstrip(b"\xff ").decode(encoding)


def encode_text(value: str | bytes, length: int, order: str, encoding: str) -> bytes:
    """The registers of a text, filled up with zeros. Raises ValueError when it is too long or has foreign characters."""
    try:
        plain = value if isinstance(value, bytes) else value.encode(encoding)
    except UnicodeEncodeError as error:
        raise ValueError(f"{value!r} has characters that {encoding} has not") from error
    if len(plain) > length:
        raise ValueError(f"{value!r} takes {len(plain)} bytes, and there are {length}")
    wire = bytearray(2 * registers_of("bytes", length, order))
    if order in ("A", "B"):
        wire["AB".index(order) : 2 * len(plain) : 2] = plain
        return bytes(wire)
    wire[: len(plain)] = plain
    return _characters(bytes(wire), order)


def _characters(wire: bytes, order: str) -> bytes:
    """The bytes that registers hold, in the order of a text."""
    if order == "BA":
        return bytes(wire[at ^ 1] for at in range(len(wire)))
    return wire if order == "AB" else wire["AB".index(order) :: 2]


def decode_bits(register: int, bit: int, width: int, *, signed: bool) -> int:
    """The number that `width` bits of a register make, from `bit` on."""
    value = register >> bit & (1 << width) - 1
    return value - (1 << width) if signed and value >> width - 1 else value


def encode_bits(value: float, bit: int, width: int, *, signed: bool) -> int:
    """The reverse: a register with only these bits set. Raises ValueError when they cannot hold the value."""
    number = whole(value)
    lowest = -(1 << width - 1) if signed else 0
    if not lowest <= number < lowest + (1 << width):
        raise ValueError(f"{value!r} does not fit in {width} bits")
    return (number & (1 << width) - 1) << bit


def whole(value: float) -> int:
    """The integer that is meant, up to rounding in a scaling. Raises ValueError for any other number."""
    if isinstance(value, int):
        return int(value)
    nearest = round(value)
    if abs(value - nearest) > 1e-6 * max(1.0, abs(value)):
        raise ValueError(f"{value!r} is no whole number")
    return nearest


def _packable(value: float, type_: str) -> int | float:
    if type_.startswith("float"):
        return float(value)
    number = whole(value)
    if not type_.startswith("bcd"):
        return number
    if number < 0:
        raise ValueError("bcd has no sign")
    return int(str(number), 16)
