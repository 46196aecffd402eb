"""Asking a Logix controller which tags it has, and what its structures are made of."""

import struct
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from dataclasses import dataclass

from gateway.plugin import Found

from .frames import Reply, service
from .paths import symbol, to_class
from .templates import DEEPEST, Symbol, Template, member_named, parsed, symbols, template_sizes
from .types import BOOL, BY_CODE, DWORD

Ask = Callable[[bytes], Awaitable[Reply]]
"""Hands over the answer to a message. Raises DeviceError or TimeoutError where there is none."""

_LIST, _ATTRIBUTES, _READ = 0x55, 0x03, 0x4C
_SYMBOLS, _TEMPLATES = 0x6B, 0x6C
_PART = 400
"""Bytes of a template to ask for at once."""

_ELEMENTS = 100
"""Structures of an array that are listed, at most."""

_MOST = 500_000
"""Tags of a scope."""

_NOT_OURS = ("routine:", "task:", "map:", "cxn:", "udi:", "__")


class UnlistedError(Exception):
    """The device does not tell it."""


class TagList:
    """What one controller has, as long as the connection lasts."""

    def __init__(self, ask: Ask) -> None:
        self._ask = ask
        self._templates: dict[int, Template] = {}
        self._scopes: dict[str, dict[str, Symbol]] = {}

    async def symbols(self, program: str = "") -> AsyncIterator[Symbol]:
        """All tags of a scope; with "Program:Main" of that program. Raises UnlistedError."""
        scope = symbol(program) if program else b""
        first = count = 0
        while True:
            message = service(_LIST, scope + to_class(_SYMBOLS, first), struct.pack("<HHHH", 3, 1, 2, 8))
            reply = await self._ask(message)
            if reply.status not in (0, 6):
                raise UnlistedError
            try:
                found = symbols(reply.data)
            except (ValueError, struct.error) as error:
                raise UnlistedError from error
            for each in found:
                yield each
            count += len(found)
            if reply.status == 0 or not found:
                return
            if found[-1].instance < first or count > _MOST:
                raise UnlistedError
            first = found[-1].instance + 1

    async def template(self, number: int, depth: int = 0) -> Template:
        """A structure by its number, with those within it. Raises UnlistedError."""
        if number not in self._templates:
            if depth > DEEPEST:
                raise UnlistedError
            try:
                self._templates[number] = await self._asked_template(number, depth)
            except (LookupError, ValueError, struct.error) as error:
                raise UnlistedError from error
        return self._templates[number]

    async def _asked_template(self, number: int, depth: int) -> Template:
        path = to_class(_TEMPLATES, number)
        reply = await self._ask(service(_ATTRIBUTES, path, struct.pack("<5H", 4, 4, 5, 2, 1)))
        if reply.status:
            raise UnlistedError
        sizes = template_sizes(reply.data)
        data = b""
        while len(data) < sizes.bytes:
            part = struct.pack("<IH", len(data), min(_PART, sizes.bytes - len(data)))
            reply = await self._ask(service(_READ, path, part))
            if reply.status not in (0, 6) or not reply.data:
                raise UnlistedError
            data += reply.data
        name, members = parsed(data, sizes)
        inner = {
            member.name.lower(): member._replace(
                structure=await self.template(member.type.template, depth + 1) if member.type.template else None
            )
            for member in members
        }
        found = Template(name, sizes.size, sizes.handle, inner)
        if not found.sound:
            raise UnlistedError
        return found

    async def structure(self, steps: tuple[str | int, ...]) -> Template | None:
        """The structure that a tag or member is, or its elements are; None for what is none. Raises UnlistedError."""
        names = list(steps)
        program = ""
        if str(names[0]).lower().startswith("program:"):
            program = str(names.pop(0))
        if program not in self._scopes:
            try:
                listed = {each.name.lower(): each async for each in self.symbols(program)}
            except UnlistedError:
                listed = {}
            self._scopes[program] = listed
        root = self._scopes[program].get(str(names[0]).lower()) if names else None
        if root is None or not root.type.template:
            return None
        whole = await self.template(root.type.template)
        within = names[1:]
        while within and isinstance(within[0], int):
            del within[0]
        if not within:
            return whole
        found = member_named(whole, within)
        return found[1].structure if found else None

    async def offers(self) -> AsyncIterator[tuple[str, Found]]:
        """The tags of the controller and its programs, structures by their members. Raises UnlistedError."""
        programs = []
        async for each in self.symbols():
            if each.name.lower().startswith("program:"):
                programs.append(each.name)
            async for offer in self._offers_of("", each):
                yield offer
        for program in programs:
            async for each in self.symbols(program):
                async for offer in self._offers_of(f"{program}.", each):
                    yield offer

    async def _offers_of(self, scope: str, tag: Symbol) -> AsyncIterator[tuple[str, Found]]:
        if tag.type.hidden or tag.name.lower().startswith((*_NOT_OURS, "program:")):
            return
        address = scope + tag.name
        try:
            of = await self.template(tag.type.template) if tag.type.template else None
        except UnlistedError:
            yield address, Found("", description="a structure that the controller does not tell")
            return
        if len(tag.dimensions) > 1:
            kind = of.name if of else _name(tag.type.code)
            yield (
                address + "[0,0,0]"[: 2 * len(tag.dimensions)] + "]",
                Found("", description=f"element of an array of {kind}"),
            )
            return
        for offer in _elements(_Place(address, tag.type.code, of, tag.dimensions[0] if tag.dimensions else None)):
            yield offer


@dataclass(frozen=True, slots=True)
class _Place:
    address: str
    code: int
    of: Template | None
    many: int | None


def _name(code: int) -> str:
    return BY_CODE[code].name if code in BY_CODE else f"type {code:02X}"


def _elements(place: _Place) -> Iterator[tuple[str, Found]]:
    """A value, or those of a structure; of an array of structures those of each."""
    of, many = place.of, place.many
    if of is None:
        yield _value(place)
    elif of.characters:
        yield (
            place.address if many is None else f"{place.address}{{{many}}}",
            Found("string" if many is None else "", description=of.name),
        )
    else:
        for n in range(1 if many is None else min(many, _ELEMENTS)):
            base = place.address if many is None else f"{place.address}[{n}]"
            for member in of.members.values():
                if not member.hidden:
                    inner = _Place(f"{base}.{member.name}", member.type.code, member.structure, member.elements)
                    yield from _elements(inner)
        if many is not None and many > _ELEMENTS:
            yield f"{place.address}[{_ELEMENTS}]", Found("", description=f"{of.name}, and {many - _ELEMENTS - 1} more")


def _value(place: _Place) -> tuple[str, Found]:
    name = _name(place.code)
    if place.many is None:
        return place.address, Found(BY_CODE[place.code].published if place.code in BY_CODE else "", description=name)
    packed = place.code == DWORD
    many, name = (32 * place.many, _name(BOOL)) if packed else (place.many, name)
    return f"{place.address}{{{many}}}", Found("", description=f"{name}[{many}]")
