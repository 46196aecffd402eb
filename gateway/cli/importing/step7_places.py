"""Where the members of a data block with standard access stand.

From the TIA Portal's help, "Structure of a STRUCT tag" and "Structure of an ARRAY tag": bits follow each other in a byte,
values of a byte begin at any, all others at an even one; structures and arrays begin and end at an even one; in an array of
several dimensions a row of bits or bytes begins in a byte of its own. How a text of odd size ends is not said there.
"""

import re
from collections.abc import Iterator, Mapping, Sequence
from typing import NamedTuple

from gateway.cli.importing.carried import MOST, ImportRefusedError
from gateway.cli.importing.step7_source import DEEPEST, Type

SIZES = {
    "BOOL": 0, "BYTE": 1, "CHAR": 1, "SINT": 1, "USINT": 1, "WORD": 2, "INT": 2, "UINT": 2, "DATE": 2, "S5TIME": 2,
    "WCHAR": 2, "DWORD": 4, "DINT": 4, "UDINT": 4, "REAL": 4, "TIME": 4, "TIME_OF_DAY": 4, "TOD": 4, "LWORD": 8,
    "LINT": 8, "ULINT": 8, "LREAL": 8, "LTIME": 8, "LTIME_OF_DAY": 8, "LTOD": 8, "DATE_AND_TIME": 8, "DT": 8,
    "LDT": 8, "DTL": 12,
}  # fmt: skip
"""Bytes of types; 0 is a bit."""
NUMBERS = frozenset(
    [
        "BOOL",
        "BYTE",
        "SINT",
        "USINT",
        "WORD",
        "INT",
        "UINT",
        "DWORD",
        "DINT",
        "UDINT",
        "REAL",
        "LWORD",
        "LINT",
        "ULINT",
        "LREAL",
        "TIME",
        "LTIME",
    ]
)
_TEXTS = {"STRING": (2, 1), "WSTRING": (4, 2)}
_MOST_ELEMENTS = 1000


class Leaf(NamedTuple):
    """A value in a block."""

    path: str
    type: str
    """As our tags name it."""

    byte: int
    bit: int | None
    comment: str


class Placing:
    """Where the members of a block stand, as long as that can be told."""

    def __init__(self, types: Mapping[str, Type]) -> None:
        self._types = types
        self.doubt = ""
        """Why it cannot be told from some member on; empty where it can. Values that follow have no place then."""
        self._at, self._bit, self._odd = 0, 0, False
        self._count = 0

    def leaves(self, type_: Type, path: str = "", comment: str = "", depth: int = 0) -> Iterator[Leaf]:
        """The values of a type. Raises ImportRefusedError for too many."""
        self._count += 1
        if depth > DEEPEST or self._count > MOST:
            raise ImportRefusedError(f"a block has more than {MOST} values, or types that stand within themselves")
        if type_.bounds:
            yield from self._array(type_, path, comment, depth)
        elif type_.name == "STRUCT":
            self._even()
            for member in type_.members:
                said = f"{path}.{_printed(member.name)}" if path else _printed(member.name)
                yield from self.leaves(member.type, said, member.comment or comment, depth + 1)
            self._even()
        elif type_.name in self._types:
            yield from self.leaves(self._types[type_.name], path, comment, depth + 1)
        else:
            yield self._plain(type_, path, comment)

    def _array(self, type_: Type, path: str, comment: str, depth: int) -> Iterator[Leaf]:
        self._even()
        single = Type(type_.name, type_.length, members=type_.members)
        count = 1
        for first, last in type_.bounds:
            count *= last - first + 1
        if count > MOST:
            raise ImportRefusedError(f"{path} has {count} elements, more than {MOST}")
        if len(type_.bounds) == 1 and type_.name in NUMBERS and 1 < count <= _MOST_ELEMENTS:
            yield Leaf(path, f"{type_.name}[{count}]", self._at, None, comment)
            self._at += (count + 7) // 8 if type_.name == "BOOL" else count * SIZES[type_.name]
        else:
            yield from self._elements(single, type_.bounds, path, comment, depth)
        self._even()

    def _elements(
        self, single: Type, bounds: Sequence[tuple[int, int]], path: str, comment: str, depth: int, index: str = ""
    ) -> Iterator[Leaf]:
        (first, last), rest = bounds[0], bounds[1:]
        for number in range(first, last + 1):
            here = f"{index},{number}" if index else str(number)
            if rest:
                self._byte()
                yield from self._elements(single, rest, path, comment, depth, here)
            else:
                yield from self.leaves(single, f"{path}[{here}]", comment, depth + 1)

    def _plain(self, type_: Type, path: str, comment: str) -> Leaf:
        name = type_.name
        if name in _TEXTS:
            head, width = _TEXTS[name]
            self._even()
            leaf = Leaf(path, f"{name}[{type_.length}]", self._at, None, comment)
            self._at += head + width * type_.length
            self._odd = self._at % 2 == 1
            return leaf
        if name not in SIZES:
            self.doubt = self.doubt or f"{path} is a {name}, whose size is not known here"
            return Leaf(path, name, self._at, None, comment)
        if self._odd and SIZES[name] < 2:
            self.doubt = self.doubt or f"{path} follows a text of odd size, and the manual does not say at which byte"
        self._odd = False
        if SIZES[name] == 0:
            leaf = Leaf(path, name, self._at, self._bit, comment)
            self._bit += 1
            if self._bit == 8:
                self._at, self._bit = self._at + 1, 0
            return leaf
        self._byte() if SIZES[name] == 1 else self._even()
        leaf = Leaf(path, name, self._at, None, comment)
        self._at += SIZES[name]
        return leaf

    def _byte(self) -> None:
        if self._bit:
            self._at, self._bit = self._at + 1, 0

    def _even(self) -> None:
        self._byte()
        self._odd = False
        self._at += self._at % 2


def _printed(name: str) -> str:
    return name if re.fullmatch(r"[^\W\d]\w*", name) else f'"{name}"'
