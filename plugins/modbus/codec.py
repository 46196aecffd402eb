"""Values as the bytes of registers: the one place that knows types and byte orders, for reading and writing.

`order` spells the bytes as they come over the wire, A being the most significant one: "ABCD" is big-endian, "CDAB" has its
registers swapped. For 64-bit values the four-letter orders go on in the same manner ("CDAB" means "GHEFCDAB").
"""

import struct

FORMATS = {
    "int16": "<i2", "uint16": "<u2", "int32": "<i4", "uint32": "<u4", "float32": "<f4",
    "int64": "<i8", "uint64": "<u8", "float64": "<f8",
}  # fmt: skip
"""numpy formats of the types that fill registers, least significant byte first."""

_STRUCT = {
    "int16": "<h", "uint16": "<H", "int32": "<i", "uint32": "<I", "float32": "<f",
    "int64": "<q", "uint64": "<Q", "float64": "<d",
}  # fmt: skip

ORDERS = {
    2: ("AB", "BA"),
    4: ("ABCD", "CDAB", "BADC", "DCBA"),
    8: (
        "ABCD", "CDAB", "BADC", "DCBA",
        "ABCDEFGH", "BADCFEHG", "CDABGHEF", "DCBAHGFE", "EFGHABCD", "FEHGBADC", "GHEFCDAB", "HGFEDCBA",
    ),
}  # fmt: skip
"""The orders that a value of so many bytes can have."""

_LONG = {"ABCD": "ABCDEFGH", "CDAB": "GHEFCDAB", "BADC": "BADCFEHG", "DCBA": "HGFEDCBA"}


def size_of(type_: str) -> int:
    """Bytes of a value of this type, one of FORMATS."""
    return int(FORMATS[type_][2])


def wire_positions(type_: str, order: str) -> list[int]:
    """Where the value's bytes stand among its wire bytes, the least significant one first. `order` is one of ORDERS."""
    size = size_of(type_)
    spelled = _LONG.get(order, order) if size == 8 else order
    return [spelled.index("ABCDEFGH"[size - 1 - place]) for place in range(size)]


def decode(wire: bytes, type_: str, order: str) -> int | float:
    """One value from its wire bytes."""
    value: int | float = struct.unpack(_STRUCT[type_], bytes(wire[at] for at in wire_positions(type_, order)))[0]
    return value


def encode(value: float, type_: str, order: str) -> bytes:
    """The wire bytes of one value. Raises ValueError when the type cannot hold it."""
    try:
        plain = struct.pack(_STRUCT[type_], value if type_.startswith("float") else int(value))
    except (struct.error, OverflowError, ValueError) as error:
        raise ValueError(f"{value!r} does not fit in {type_}") from error
    wire = bytearray(len(plain))
    for byte, at in zip(plain, wire_positions(type_, order), strict=True):
        wire[at] = byte
    return bytes(wire)
