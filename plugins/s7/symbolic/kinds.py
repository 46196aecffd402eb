"""What the CPU calls the type of a symbol, and how its values come: which of our types it is, and in which wire types."""

from typing import NamedTuple

from ..types import S7Type, parse_type

_BOOL, _USINT, _UINT, _UDINT, _ULINT, _SINT, _INT, _DINT, _LINT = range(1, 10)
_BYTE, _WORD, _DWORD, _LWORD, _REAL, _LREAL, _TIMESTAMP, _TIMESPAN = range(0x0A, 0x12)
_STRUCT, _S7STRING = 0x17, 0x19
ARRAY = 0x10
"""Flag of a wire type: several of them."""


class Kind(NamedTuple):
    """A type of the CPU's."""

    name: str
    """As `types` names it."""

    wire: tuple[int, ...]
    """Wire types, with ARRAY where it is several, in which its values come."""

    sent: int
    """The wire type in which it is written; 0 where it is not."""


_ARRAY_OF_BYTES, _ARRAY_OF_WORDS = ARRAY << 8 | _USINT, ARRAY << 8 | _UINT
_KINDS = {
    1: Kind("BOOL", (_BOOL,), _BOOL), 40: Kind("BOOL", (_BOOL,), _BOOL), 2: Kind("BYTE", (_BYTE,), _BYTE),
    3: Kind("CHAR", (_USINT, _BYTE), _USINT), 4: Kind("WORD", (_WORD,), _WORD), 5: Kind("INT", (_INT,), _INT),
    6: Kind("DWORD", (_DWORD,), _DWORD), 7: Kind("DINT", (_DINT,), _DINT), 8: Kind("REAL", (_REAL,), _REAL),
    9: Kind("DATE", (_UINT,), 0), 10: Kind("TIME_OF_DAY", (_UDINT,), 0), 11: Kind("TIME", (_DINT,), _DINT),
    12: Kind("S5TIME", (_WORD,), 0), 14: Kind("DATE_AND_TIME", (_ARRAY_OF_BYTES,), 0),
    19: Kind("STRING", (_ARRAY_OF_BYTES,), _S7STRING), 48: Kind("LREAL", (_LREAL,), _LREAL),
    49: Kind("ULINT", (_ULINT,), _ULINT), 50: Kind("LINT", (_LINT,), _LINT), 51: Kind("LWORD", (_LWORD,), _LWORD),
    52: Kind("USINT", (_USINT,), _USINT), 53: Kind("UINT", (_UINT,), _UINT), 54: Kind("UDINT", (_UDINT,), _UDINT),
    55: Kind("SINT", (_SINT,), _SINT), 61: Kind("WCHAR", (_UINT,), 0), 62: Kind("WSTRING", (_ARRAY_OF_WORDS,), 0),
    64: Kind("LTIME", (_TIMESPAN,), _TIMESPAN), 65: Kind("LTIME_OF_DAY", (_ULINT,), 0),
    66: Kind("LDT", (_TIMESTAMP,), 0), 67: Kind("DTL", (_STRUCT,), 0),
}  # fmt: skip
"""By the CPU's number of a type. The wire types are those that the driver of thomas-v2 (S7CommPlusDriver) expects."""


def kind_of(number: int) -> Kind | None:
    """None for a type that has no value of its own, or that we do not read."""
    return _KINDS.get(number)


def type_of(kind: Kind, length: int, count: int) -> S7Type:
    """The type of a value, or of `count` in a list. `length` is the most characters of a text. Raises ValueError."""
    if kind.name in ("STRING", "WSTRING"):
        return parse_type(f"{kind.name}[{length or 254}]")
    return parse_type(kind.name if not count else f"{kind.name}[{count}]")
