"""What a Logix controller tells of its structures (templates): members, their types, and where they begin.

Objects and layout are those of Rockwell's publication 1756-PM020, "Logix 5000 Data Access", chapters on symbol and template
objects.
"""

import struct
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

from .types import BOOL, BY_CODE, DWORD, Make, bit, bits, logix_string, number, numbers, text

_IS_STRUCTURE, _NUMBER = 0x8000, 0x0FFF
MOST_MEMBERS, DEEPEST, LARGEST = 2000, 12, 1 << 17
"""Of a structure; in members, structures within structures, bytes."""


class SymbolType(NamedTuple):
    """The 16 bits by which symbols and members tell their type."""

    bits: int

    @property
    def template(self) -> int:
        """The template's number; 0 for what is no structure."""
        return self.bits & _NUMBER if self.bits & _IS_STRUCTURE else 0

    @property
    def code(self) -> int:
        """Of a plain type."""
        return self.bits & 0xFF

    @property
    def dimensions(self) -> int:
        """Of an array."""
        return self.bits >> 13 & 3

    @property
    def hidden(self) -> bool:
        """Whether it is the controller's own."""
        return bool(self.bits & 0x1000)


class Member(NamedTuple):
    """A member of a structure."""

    name: str
    type: SymbolType
    more: int
    """How many elements an array has; of a BOOL its bit."""

    offset: int
    structure: "Template | None" = None

    @property
    def hidden(self) -> bool:
        """Whether it is there only to hold bits of other members."""
        return self.name.startswith(("ZZZZZZZZZZ", "__"))

    @property
    def end(self) -> int:
        """Where what stands behind it may begin."""
        if self.structure is not None:
            size = self.structure.size
        else:
            size = BY_CODE[self.type.code].size if self.type.code in BY_CODE else 1
        return self.offset + size * (self.elements or 1)

    @property
    def elements(self) -> int | None:
        """Of an array."""
        return self.more if self.type.dimensions else None


@dataclass(frozen=True, slots=True, eq=False)
class Template:
    """A structure, with all within it."""

    name: str
    size: int
    handle: int
    members: Mapping[str, Member]
    """By their names in small letters."""

    @property
    def characters(self) -> int:
        """How many a string has; 0 for what is none."""
        first, *rest = self.members.values()
        is_text = [member.name.lower() for member in self.members.values()] == ["len", "data"]
        return rest[0].more if is_text and first.type.code == 0xC4 and rest[0].type.code == 0xC2 else 0

    @property
    def sound(self) -> bool:
        """Whether its members stand within it: what claims to be larger than it is would be taken apart for ever."""
        return all(member.end <= self.size for member in self.members.values())

    def maker(self, at: int = 0) -> Make:
        """Makes a mapping of the members' names to their values. Raises ValueError for a member of no known type."""
        makes = [(member.name, member_maker(member, at)) for member in self.members.values() if not member.hidden]
        return lambda data: {name: make(data) for name, make in makes}


def member_maker(member: Member, at: int) -> Make:
    """`at`: where the structure begins. Raises ValueError for a type that is not known."""
    begin = at + member.offset
    if member.structure is not None:
        inner = member.structure
        size, characters = inner.size, inner.characters
        makes = [
            logix_string(characters, begin + n * size) if characters else inner.maker(begin + n * size)
            for n in range(member.elements or 1)
        ]
        return makes[0] if member.elements is None else lambda data: [make(data) for make in makes]
    code = member.type.code
    if code == BOOL and member.elements is None:
        return bit(1, member.more & 7, begin)
    if code == DWORD and member.elements is not None:
        return bits(0, 32 * member.elements, begin)
    type_ = BY_CODE.get(code)
    if type_ is None:
        raise ValueError(f"member {member.name} has type {code:02X}, which is not read")
    if not type_.form:
        return text(type_, begin)
    return number(type_, begin) if member.elements is None else numbers(type_, member.elements, begin)


class TemplateSizes(NamedTuple):
    """What is to be known before a template can be read."""

    definition: int
    """In units of four bytes."""

    size: int
    members: int
    handle: int

    @property
    def bytes(self) -> int:
        """Of the definition, which is to be read."""
        return max(0, 4 * self.definition - 21)


def template_sizes(data: bytes) -> TemplateSizes:
    """From the answer to Get Attribute List of 4, 5, 2, 1. Raises ValueError or struct.error."""
    (count,) = struct.unpack_from("<H", data)
    found: dict[int, int] = {}
    at = 2
    for _ in range(count):
        attribute, status = struct.unpack_from("<HH", data, at)
        wide = attribute in (4, 5)
        if status:
            raise ValueError(f"attribute {attribute} is refused")
        found[attribute] = struct.unpack_from("<I" if wide else "<H", data, at + 4)[0]
        at += 8 if wide else 6
    sizes = TemplateSizes(*(found.get(number, 0) for number in (4, 5, 2, 1)))
    if not 0 < sizes.members <= MOST_MEMBERS or not 0 < sizes.size <= LARGEST or sizes.definition > 1 << 16:
        raise ValueError("a structure of no size that makes sense")
    return sizes


def parsed(data: bytes, sizes: TemplateSizes) -> tuple[str, Sequence[Member]]:
    """Name and members of a template, without the structures within it. Raises ValueError or struct.error."""
    raw = [struct.unpack_from("<HHI", data, 8 * n) for n in range(sizes.members)]
    name, *names = data[8 * sizes.members :].split(b"\0")[: sizes.members + 1]
    if len(names) < sizes.members:
        raise ValueError("a structure with fewer names than members")
    decoded = [each.decode("latin-1") for each in names]
    members = [
        Member(each, SymbolType(type_), more, offset)
        for each, (more, type_, offset) in zip(decoded, raw, strict=True)
        if each
    ]
    if any(member.offset > sizes.size for member in members):
        raise ValueError("a member that begins behind the end of its structure")
    return name.partition(b";")[0].decode("latin-1"), members


class Symbol(NamedTuple):
    """A tag, as the controller lists it."""

    instance: int
    name: str
    type: SymbolType
    dimensions: tuple[int, ...]


def symbols(data: bytes) -> list[Symbol]:
    """From the answer to Get Instance Attribute List of 1 (name), 2 (type) and 8 (dimensions). Raises ValueError or
    struct.error."""
    found: list[Symbol] = []
    at = 0
    while at < len(data):
        instance, length = struct.unpack_from("<IH", data, at)
        name = data[at + 6 : at + 6 + length]
        type_, *dimensions = struct.unpack_from("<HIII", data, at + 6 + length)
        if len(name) != length or not length:
            raise ValueError("a symbol whose name ends too early")
        kind = SymbolType(type_)
        found.append(Symbol(instance, name.decode("latin-1"), kind, tuple(dimensions[: kind.dimensions])))
        at += 20 + length
    return found


def member_named(template: Template, steps: Sequence[str | int]) -> tuple[int, Member] | None:
    """Where a member's first element begins in the structure, and the member; `steps` may end with indices, which are not
    counted. None where there is none, or an index within is of an array of another dimension."""
    at, here = 0, template
    names: list[tuple[str, list[int]]] = []
    for step in steps:
        if isinstance(step, str):
            names.append((step.lower(), []))
        elif names:
            names[-1][1].append(step)
    for number_, (name, indices) in enumerate(names):
        member = here.members.get(name)
        if member is None:
            return None
        at += member.offset
        if number_ == len(names) - 1:
            return at, member
        if member.structure is None or len(indices) != (0 if member.elements is None else 1):
            return None
        if indices:
            if indices[0] >= (member.elements or 0):
                return None
            at += indices[0] * member.structure.size
        here = member.structure
    return None
