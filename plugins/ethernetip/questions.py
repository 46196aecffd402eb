"""What is asked of a controller for a value: one service, and how its answer becomes values."""

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import NamedTuple

from .address import AttributeAddress, TagAddress
from .config import EthernetIpTag
from .frames import Reply, service
from .templates import Template
from .types import (
    BY_CODE,
    DWORD,
    STRUCTURE,
    CipType,
    Make,
    bit,
    bits,
    logix_string,
    make_of,
    number,
    numbers,
    parse_type,
    text,
)

READ_TAG, WRITE_TAG, MODIFY_TAG, READ_FRAGMENT = 0x4C, 0x4D, 0x4E, 0x52
GET_ATTRIBUTE, SET_ATTRIBUTE = 0x0E, 0x10
LOGIX_STRING = 0x0FCE
"""Handle of the structure STRING, which has 82 characters."""

LARGEST = 1 << 20
"""Bytes of a value."""

_TEXT = 90
"""Bytes that a text takes, about."""


class Learned(NamedTuple):
    """What a controller tells of a tag: the type of an element."""

    code: int
    handle: int = 0
    """Of a structure: it changes whenever the structure does."""

    size: int = 0
    """Bytes of an element."""

    template: Template | None = None

    @property
    def head(self) -> bytes:
        """As it stands before the data in answers."""
        code = self.code.to_bytes(2, "little")
        return code + self.handle.to_bytes(2, "little") if self.code == STRUCTURE else code

    @property
    def characters(self) -> int:
        """Of a string; 0 of what is none, or is not known to be one."""
        if self.template is not None:
            return self.template.characters
        return 82 if self.code == STRUCTURE and self.handle == LOGIX_STRING else 0

    def __str__(self) -> str:
        if self.code == STRUCTURE:
            return self.template.name if self.template else "STRING" if self.characters else "a structure"
        return BY_CODE[self.code].name if self.code in BY_CODE else f"type {self.code:04X}"


def learned(reply: Reply) -> Learned | None:
    """From the answer to a read of one element, also one of which not all came. None where it does not tell."""
    data = reply.data
    if reply.status not in (0, 6) or len(data) < 2:
        return None
    code = int.from_bytes(data[:2], "little")
    whole = 0 if reply.status else len(data)
    if code != STRUCTURE:
        return Learned(code, 0, max(0, whole - 2))
    return Learned(code, int.from_bytes(data[2:4], "little"), max(0, whole - 4)) if len(data) >= 4 else None


@dataclass(slots=True)
class Question:
    """One service, and whose values its answer holds."""

    message: bytes
    head: bytes
    """How a right answer begins."""

    size: int
    """Bytes of the answer, about."""

    cells: list[tuple[int, Make]] = field(default_factory=list)
    """Rows, and how their values are made of what follows the head."""

    joins: bool = True
    """Whether it may go in one message with others."""

    path: bytes = b""
    count: int = 0
    """Of a tag: so many elements, which may be asked for in fragments."""

    @property
    def answer(self) -> int:
        """Bytes of the whole answer."""
        return len(self.head) + self.size


class Place(NamedTuple):
    """Where a tag's value is read."""

    path: bytes
    elements: int
    make: Make
    size: int
    published: str
    """Its type; empty for a list or a structure."""


def declared(tag: EthernetIpTag) -> str:
    """The type in the file; empty where there is none."""
    return parse_type(tag.type)[0].name if tag.type else ""


def place_of(at: TagAddress, what: Learned, said: str, inside: int | None = None) -> Place:
    """`inside`: where the member's first element begins in a structure that is read whole. Raises ValueError, with the
    reason, for what the file and the controller say differently."""
    if what.code == STRUCTURE:
        return _structure(at, what, said, inside)
    type_ = BY_CODE.get(what.code)
    if type_ is None:
        raise ValueError(f"the controller has {what} there, which is not read")
    if what.code == DWORD and said in ("", "BOOL") and (at.index is not None or at.count is not None):
        return _packed(at, inside)
    fitting = {"", type_.name, "BOOL" if at.bit is not None else "", "" if type_.form else "STRING"}
    if said not in fitting:
        raise ValueError(f"the controller has {type_.name} there, and the file says {said}")
    return _plain(at, type_, inside)


def _plain(at: TagAddress, type_: CipType, inside: int | None) -> Place:
    begin = 0 if inside is None else inside + type_.size * (at.index or 0)
    if at.bit is not None:
        if type_.name in ("BOOL", "REAL", "LREAL") or not type_.form:
            raise ValueError(f"the controller has {type_.name} there, which has no bits")
        return Place(at.path(), 1, bit(type_.size, at.bit, begin), type_.size, "bool")
    if not type_.form:
        if at.count is not None:
            raise ValueError("several texts at once are not read; ask for each of them")
        return Place(at.path(), 1, text(type_, begin), _TEXT, "string")
    if at.count is None:
        return Place(at.path(), 1, number(type_, begin), type_.size, type_.published)
    return Place(at.path(), at.count, numbers(type_, at.count, begin), at.count * type_.size, "")


def _packed(at: TagAddress, inside: int | None) -> Place:
    """Of an array of BOOL, which a controller hands out by 32."""
    first, many = at.index or 0, at.count or 1
    word = 0 if inside is not None else first // 32
    begin, shift = inside or 0, first - 32 * word
    words = (shift + many + 31) // 32
    path = at.path(word) if at.index is not None else at.path()
    if at.count is None:
        return Place(path, words, bit(4 * words, shift, begin), 4 * words, "bool")
    return Place(path, words, bits(shift, many, begin), 4 * words, "")


def _structure(at: TagAddress, what: Learned, said: str, inside: int | None) -> Place:
    if at.bit is not None:
        raise ValueError(f"the controller has {what} there, which has no bits")
    size = what.template.size if what.template else what.size
    if size * (at.count or 1) > LARGEST:
        raise ValueError(f"{size * (at.count or 1)} bytes are more than the {LARGEST} that a value may have")
    characters = what.characters or (size - 4 if said == "STRING" else 0)
    begin = 0 if inside is None else inside + size * (at.index or 0)
    if characters:
        if said not in ("", "STRING"):
            raise ValueError(f"the controller has a string there, and the file says {said}")
        makes = [logix_string(characters, begin + n * size) for n in range(at.count or 1)]
    elif said:
        raise ValueError(f"the controller has {what} there, and the file says {said}")
    elif what.template is None:
        raise ValueError(
            "the controller has a structure there; ask for its members, or for a string say so by its type"
        )
    else:
        template = what.template
        makes = [template.maker(begin + n * size) for n in range(at.count or 1)]
    if at.count is None:
        return Place(at.path(), 1, makes[0], size, "string" if characters else "")
    return Place(at.path(), at.count, lambda data: [make(data) for make in makes], size * at.count, "")


def tag_question(path: bytes, count: int, what: Learned, size: int) -> Question:
    """Read so many elements of a tag."""
    message = service(READ_TAG, path, count.to_bytes(2, "little"))
    return Question(message, b"\xcc\0\0\0" + what.head, size, path=path, count=count)


def attribute_question(at: AttributeAddress, type_: CipType, count: int | None, row: int) -> Question:
    """Read an attribute of an object."""
    size = type_.size * (count or 1) if type_.form else _TEXT
    return Question(service(GET_ATTRIBUTE, at.path()), b"\x8e\0\0\0", size, [(row, make_of(type_, count))])


def packs(questions: Iterable[Question], request: int, answer: int) -> list[list[Question]]:
    """Which go in one message, where requests and answers have so many bytes at most."""
    packed: list[list[Question]] = []
    asked = answered = 0
    for question in questions:
        more, back = len(question.message) + 2, question.answer + 2
        if (
            not packed
            or not question.joins
            or not packed[-1][0].joins
            or asked + more > request
            or answered + back > answer
        ):
            packed.append([])
            asked, answered = 8, 6
        packed[-1].append(question)
        asked, answered = asked + more, answered + back
    return packed
