"""Sources of data blocks and PLC data types, as STEP 7 and the TIA Portal write them (.db, .udt, .scl, .awl)."""

import re
from dataclasses import dataclass, field
from typing import NamedTuple

from gateway.cli.importing.carried import ImportRefusedError

DEEPEST = 16
"""Structures within each other."""
_LARGEST = 8 * 1024 * 1024
_TOKEN = re.compile(
    r"""(?P<comment>//[^\n]*)|(?P<skip>\s+|\(\*.*?(?:\*\)|\Z))|(?P<attributes>\{[^}]*(?:\}|\Z))|(?P<name>"[^"\n]*"|\#?[^\W\d]\w*)"""
    r"""|(?P<text>'(?:\$.|[^'$])*(?:'|\Z))|(?P<dots>\.\.)|(?P<number>[+-]?\d[\w#]*)|(?P<sign>:=|.)""",
    re.DOTALL,
)


@dataclass(frozen=True, slots=True)
class Type:
    """Of a member: a plain one, a structure, or an array of one of them."""

    name: str
    """In capitals; of a data type of the project in double quotes; STRUCT."""

    length: int = 0
    bounds: tuple[tuple[int, int], ...] = ()
    """First and last index of each dimension."""

    members: tuple["Member", ...] = ()


class Member(NamedTuple):
    name: str
    type: Type
    comment: str = ""


@dataclass(slots=True)
class Block:
    """A data block."""

    name: str
    number: int | None
    optimized: bool
    type: Type


@dataclass(slots=True)
class Sources:
    """What was found."""

    blocks: list[Block] = field(default_factory=list)
    types: dict[str, Type] = field(default_factory=dict)
    """By their names in quotes."""


class SourceReader:
    """Reads a source, a token after another. `given` are the members of a structure that stand elsewhere."""

    def __init__(self, text: str, into: Sources, given: tuple["Member", ...] | None = None) -> None:
        self._tokens = [
            (kind, match[0]) for match in _TOKEN.finditer(text) if (kind := match.lastgroup or "") != "skip"
        ] + [("end", "")]
        self._at = 0
        self._into = into
        self._given = given
        self._attributes = ""
        """What stood in braces since the block began."""

    def read(self) -> None:
        """All of it. Raises ImportRefusedError where it is no source."""
        while (token := self._next())[0] != "end":
            word = token[1].upper()
            if word == "TYPE":
                name = _quoted(self._next()[1])
                if name == '"UDT"' and self._peek()[0] == "number":
                    name = f'"UDT{self._next()[1]}"'
                self._until("STRUCT")
                self._into.types[name] = Type("STRUCT", members=self._members(0))
                self._until("END_TYPE")
            elif word == "DATA_BLOCK":
                self._block()

    def _block(self) -> None:
        self._attributes = ""
        name = self._next()[1]
        number = None
        if name.upper() == "DB" and self._peek()[0] == "number":
            number = int(self._next()[1])
            name = f"DB{number}"
        elif match := re.fullmatch(r"DB(\d{1,5})", name, re.IGNORECASE):
            number = int(match[1])
        type_ = Type("STRUCT")
        parts: list[Member] = []
        while self._peek()[1].upper() not in ("BEGIN", "END_DATA_BLOCK", ""):
            token = self._next()
            if token[1].upper() in ("STRUCT", "VAR"):
                parts += self._members(0)
            elif token[0] == "name" and token[1].startswith('"'):
                type_ = Type(token[1])
            elif token[1].upper() in ("UDT", "FB", "SFB") and self._peek()[0] == "number":
                type_ = Type(f'"{token[1].upper()}{self._next()[1]}"')
        self._until("END_DATA_BLOCK")
        optimized = re.search(r"S7_Optimized_Access\s*:=\s*'TRUE'", self._attributes, re.IGNORECASE) is not None
        type_ = Type("STRUCT", members=tuple(parts)) if parts else type_
        self._into.blocks.append(Block(name.strip('"'), number, optimized, type_))

    def _members(self, depth: int) -> tuple[Member, ...]:
        if depth > DEEPEST:
            raise ImportRefusedError("structures stand within each other too deep")
        members: list[Member] = []
        while True:
            kind, word = self._next()
            upper = word.upper()
            if upper in ("END_STRUCT", "END_VAR"):
                return tuple(members)
            if upper in ("RETAIN", "NON_RETAIN", "CONSTANT", ";") or kind == "comment":
                continue
            if kind != "name":
                raise ImportRefusedError(f'"{word[:40]}" stands where a member was expected: is the source whole?')
            names = [word.lstrip("#").strip('"')]
            while self._peek()[1] == ",":
                self._next()
                names.append(self._next()[1].strip('"'))
            if self._next()[1] != ":":
                raise ImportRefusedError(f'"{names[0][:40]}" has no type: is the source whole?')
            comment = self._comment()
            type_ = self.type_at(depth)
            comment = self._rest() or comment
            members += [Member(name, type_, comment) for name in names]

    def _comment(self) -> str:
        said = ""
        while self._peek()[0] == "comment":
            said = said or self._next()[1][2:].strip()
        return said

    def _rest(self) -> str:
        """What stands behind a type: a value, and a comment."""
        while self._peek()[1] != ";" and self._peek()[0] != "end" and self._peek()[1].upper() != "END_STRUCT":
            self._next()
        if self._peek()[1] == ";":
            self._next()
        return self._comment()

    def type_at(self, depth: int) -> Type:
        """The type that stands here, so many structures deep."""
        word = self._next()[1]
        upper = word.upper()
        if upper == "ARRAY":
            bounds = self._bounds()
            self._until("OF")
            of = self.type_at(depth)
            return Type(of.name, of.length, bounds + of.bounds, of.members)
        if upper == "STRUCT":
            if self._given is not None:
                return Type("STRUCT", members=self._given)
            self._comment()
            return Type("STRUCT", members=self._members(depth + 1))
        if upper in ("UDT", "FB", "SFB") and self._peek()[0] == "number":
            return Type(f'"{upper}{self._next()[1]}"')
        length = 0
        if upper in ("STRING", "WSTRING"):
            length = 254
            if self._peek()[1] == "[":
                self._next()
                length = _number(self._next()[1])
                self._next()
        return Type(word if word.startswith('"') else upper, length)

    def _bounds(self) -> tuple[tuple[int, int], ...]:
        found = []
        self._next()
        while True:
            lower = _number(self._next()[1])
            self._next()
            found.append((lower, _number(self._next()[1])))
            if (sign := self._next()[1]) != ",":
                break
        if sign != "]" or len(found) > 6 or any(last < first for first, last in found):
            raise ImportRefusedError("the bounds of an array make no sense")
        return tuple(found)

    def _next(self) -> tuple[str, str]:
        token = self._peek()
        self._at = min(self._at + 1, len(self._tokens) - 1)
        return token

    def _peek(self) -> tuple[str, str]:
        while self._tokens[self._at][0] == "attributes":
            self._attributes += self._tokens[self._at][1]
            self._at += 1
        return self._tokens[self._at]

    def _until(self, word: str) -> None:
        while (token := self._next())[1].upper() != word:
            if token[0] == "end":
                raise ImportRefusedError(f"{word} is missing: is the source whole?")


def read_source(text: str, into: Sources) -> None:
    """Add what a source declares. Raises ImportRefusedError."""
    if len(text) > _LARGEST:
        raise ImportRefusedError(f"a source of more than {_LARGEST >> 20} MiB: export a part of it at a time")
    SourceReader(text, into).read()


def parse_type(text: str, members: tuple[Member, ...]) -> Type:
    """A type in a word, such as "Array[1..3] of Struct", whose members stand elsewhere. Raises ImportRefusedError."""
    found = SourceReader(text, Sources(), members).type_at(0)
    return Type("STRUCT", bounds=found.bounds, members=members) if members else found


def _number(word: str) -> int:
    try:
        return int(word)
    except ValueError:
        raise ImportRefusedError(f'"{word[:40]}" stands where a number was expected; a constant is not known') from None


def _quoted(name: str) -> str:
    return name if name.startswith('"') else f'"{name}"'
