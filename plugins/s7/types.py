"""Types of S7 values: how many bytes they take, what they are to the gateway, and how they are made of bytes and back.

Formats are those of "STEP 7 Professional, System Manual", chapter on data types. All numbers have their high byte first.
"""

import re
import struct
from collections.abc import Callable
from dataclasses import dataclass
from datetime import date, datetime, timedelta

from gateway.kit.registers import encode, size_of
from gateway.plugin import Exact

Decode = Callable[[bytes], Exact | float]

_NUMBERS = {
    "BYTE": "uint8", "USINT": "uint8", "SINT": "int8", "WORD": "uint16", "UINT": "uint16", "INT": "int16",
    "DWORD": "uint32", "UDINT": "uint32", "DINT": "int32", "LWORD": "uint64", "ULINT": "uint64", "LINT": "int64",
    "REAL": "float32", "LREAL": "float64", "TIME": "int32", "LTIME": "int64",
}  # fmt: skip
_ORDER = {1: "A", 2: "AB", 4: "ABCD", 8: "ABCDEFGH"}
_FORM = re.compile(r"([A-Z_0-9]+)(?:\s*\[\s*(\d{1,5})\s*\])?")
_MEANT = {"DT": "DATE_AND_TIME", "TOD": "TIME_OF_DAY", "LTOD": "LTIME_OF_DAY", "DATE_AND_LTIME": "LDT", "FLOAT": "REAL"}
_LENGTHS = {"STRING": 254, "WSTRING": 254, "BYTES": 0}
_EPOCH = datetime(1970, 1, 1)


@dataclass(frozen=True, slots=True)
class S7Type:
    """A type as a tag names it."""

    name: str
    size: int
    """Bytes; 0 for a bit."""

    published: str
    """One of the gateway's types; empty for a list."""

    number: str = ""
    """For numbers: the type in `gateway.kit.registers`."""

    order: str = ""
    decode: Decode | None = None
    """For all that is no number."""

    length: int = 0
    """Characters or bytes that a text may have."""


def parse_type(text: str) -> S7Type:
    """The type that `text` means, such as "REAL", "STRING[20]", "INT[8]". Raises ValueError with the way to write it."""
    match = _FORM.fullmatch(text.strip().upper())
    name, count = (match[1], match[2]) if match else ("", None)
    name = _MEANT.get(name, name)
    if name in _LENGTHS:
        return _text(name, _LENGTHS[name] if count is None else int(count))
    if name in _OTHERS:
        single = S7Type(name, *_OTHERS[name])
    elif name in _NUMBERS:
        number = _NUMBERS[name]
        size = size_of(number)
        single = S7Type(name, size, number, number, _ORDER[size])
    elif name == "BOOL":
        single = S7Type(name, 0, "bool")
    else:
        known = ", ".join(sorted(("BOOL", *_NUMBERS, *_OTHERS, "STRING[20]", "WSTRING[20]", "BYTES[20]")))
        raise ValueError(f"{text!r} is no type; write one of {known}; several as REAL[8]")
    return single if count is None else _several(single, int(count))


def _text(name: str, length: int) -> S7Type:
    most = {"STRING": 254, "WSTRING": 16382, "BYTES": 65535}[name]
    if not 1 <= length <= most:
        raise ValueError(f"say how many: {name}[20]" if not length else f"{name}[{length}]: at most {most}")
    if name == "BYTES":
        return S7Type(name, length, "bytes", decode=lambda data: data, length=length)
    if name == "STRING":
        return S7Type(name, 2 + length, "string", decode=_string, length=length)
    return S7Type(name, 4 + 2 * length, "string", decode=_wstring, length=length)


def _several(of: S7Type, count: int) -> S7Type:
    if not 1 <= count <= 4096:
        raise ValueError(f"{of.name}[{count}]: from 1 to 4096")
    if of.size == 0:
        return S7Type(f"BOOL[{count}]", (count + 7) // 8, "", decode=lambda data: _bits(data, count))
    if of.number:
        letter = number_form(of)
        return S7Type(
            f"{of.name}[{count}]",
            of.size * count,
            "",
            decode=lambda data: list(struct.unpack(f">{count}{letter}", data)),
        )
    one = of.decode
    assert one is not None
    return S7Type(
        f"{of.name}[{count}]",
        of.size * count,
        "",
        decode=lambda data: [one(data[at : at + of.size]) for at in range(0, of.size * count, of.size)],
    )


def number_form(of: S7Type) -> str:
    """The letter by which `struct` knows a number."""
    form = {"int": "bhiq", "uint": "BHIQ", "float": "  fd"}[of.number.rstrip("0123456789")]
    return form[{1: 0, 2: 1, 4: 2, 8: 3}[of.size]]


def _bits(data: bytes, count: int) -> list[bool]:
    return [bool(data[n // 8] >> n % 8 & 1) for n in range(count)]


def _string(data: bytes) -> str:
    """The first byte is how many characters it may have, the second how many it has."""
    if data[1] > data[0] or data[1] > len(data) - 2:
        raise ValueError("longer than it may be: is the type right?")
    return data[2 : 2 + data[1]].decode("latin-1")


def _wstring(data: bytes) -> str:
    most, length = struct.unpack_from(">HH", data)
    if length > most or 4 + 2 * length > len(data):
        raise ValueError("longer than it may be: is the type right?")
    return data[4 : 4 + 2 * length].decode("utf-16-be")


def _digits(byte: int) -> int:
    if byte & 15 > 9 or byte >> 4 > 9:
        raise ValueError("no decimal digits")
    return 10 * (byte >> 4) + (byte & 15)


def _s5time(data: bytes) -> float:
    """Milliseconds: three decimal digits times 10, 100, 1000 or 10000 ms."""
    return float((100 * _digits(data[0] & 15) + _digits(data[1])) * 10 ** (1 + (data[0] >> 4 & 3)))


def _counter(data: bytes) -> float:
    return float(100 * _digits(data[0] & 15) + _digits(data[1]))


def _date(data: bytes) -> str:
    return (date(1990, 1, 1) + timedelta(days=int.from_bytes(data, "big"))).isoformat()


def _time_of_day(data: bytes) -> str:
    since = int.from_bytes(data, "big")
    if since >= 86_400_000:
        raise ValueError("beyond a day")
    return (_EPOCH + timedelta(milliseconds=since)).time().isoformat("milliseconds")


def _ltime_of_day(data: bytes) -> str:
    since = int.from_bytes(data, "big")
    if since >= 86_400 * 10**9:
        raise ValueError("beyond a day")
    return f"{(_EPOCH + timedelta(seconds=since // 10**9)).time().isoformat('seconds')}.{since % 10**9:09d}"


def _ldt(data: bytes) -> str:
    since = int.from_bytes(data, "big", signed=True)
    try:
        return f"{(_EPOCH + timedelta(seconds=since // 10**9)).isoformat(timespec='seconds')}.{since % 10**9:09d}"
    except OverflowError as error:
        raise ValueError("beyond the calendar") from error


def _date_and_time(data: bytes) -> str:
    year, month, day, hour, minute, second, milli = map(_digits, data[:7])
    milli = 10 * milli + (data[7] >> 4)
    return datetime(year + (1900 if year >= 90 else 2000), month, day, hour, minute, second, 1000 * milli).isoformat(
        timespec="milliseconds"
    )


def _dtl(data: bytes) -> str:
    year, month, day, _, hour, minute, second, nano = struct.unpack(">HBBBBBBI", data)
    if nano >= 10**9:
        raise ValueError("beyond a second")
    return f"{datetime(year, month, day, hour, minute, second).isoformat(timespec='seconds')}.{nano:09d}"


_OTHERS: dict[str, tuple[int, str, str, str, Decode]] = {
    "CHAR": (1, "string", "", "", lambda data: data.decode("latin-1")),
    "WCHAR": (2, "string", "", "", lambda data: data.decode("utf-16-be")),
    "S5TIME": (2, "float64", "", "", _s5time),
    "COUNTER": (2, "float64", "", "", _counter),
    "DATE": (2, "string", "", "", _date),
    "TIME_OF_DAY": (4, "string", "", "", _time_of_day),
    "LTIME_OF_DAY": (8, "string", "", "", _ltime_of_day),
    "DATE_AND_TIME": (8, "string", "", "", _date_and_time),
    "DTL": (12, "string", "", "", _dtl),
    "LDT": (8, "string", "", "", _ldt),
}
"""Size, published type, and how it is made of bytes."""


def wire(type_: S7Type, value: float | bool | int | str) -> tuple[int, bytes]:
    """The bytes that hold a value, and how far behind the address they begin: of a string what it may hold is left alone.
    Raises ValueError, with the reason, when they cannot."""
    if type_.number:
        if isinstance(value, str):
            raise ValueError(f"{value!r} is no number")
        return 0, encode(value, type_.number, type_.order)
    if type_.name not in ("STRING", "WSTRING", "CHAR", "WCHAR"):
        raise ValueError(f"a {type_.name} is not written")
    if not isinstance(value, str):
        raise ValueError(f"{value!r} is no text")
    wide = type_.name.startswith("W")
    try:
        text = value.encode("utf-16-be" if wide else "latin-1")
    except UnicodeEncodeError as error:
        raise ValueError(f"{value!r} has characters that a {type_.name} has not") from error
    if type_.name in ("CHAR", "WCHAR"):
        if len(text) != type_.size:
            raise ValueError(f"{value!r} is not one character")
        return 0, text
    count = len(text) // 2 if wide else len(text)
    if count > type_.length:
        raise ValueError(f"{value!r} has {count} characters, and there is room for {type_.length}")
    return (2, struct.pack(">H", count) + text) if wide else (1, bytes([count]) + text)
