"""What the CPU has under which name: found in the types that it tells, a step of a symbol at a time, so that nothing is
spread out that nobody asks for."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, NamedTuple

from ..symbol import Step, printed
from ..types import S7Type
from .kinds import Kind, kind_of, type_of

AREAS = ((80, 0x90010000), (81, 0x90020000), (82, 0x90030000))
"""Inputs, outputs and markers, where PLC tags stand: number of the area, and of the type that describes it."""

_MOST_ELEMENTS = 1000
"""Of an array that is read as a whole."""

_DEEPEST = 16


class Place(NamedTuple):
    """Where a value is asked for: an area, and the numbers of its members on the way."""

    area: int
    path: tuple[int, ...]


class Symbol(NamedTuple):
    """What a symbol is in the CPU now."""

    kind: Kind
    type: S7Type
    single: S7Type
    """Of one element; the type, where there is but one."""

    places: tuple[Place, ...]
    """Of each element."""

    length: int
    """Most characters of a text."""


class Block(NamedTuple):
    """A data block: the number of its area, and of the type that describes it."""

    area: int
    type: int


class Layout:
    """Data blocks by name, and types by number as the library tells them."""

    def __init__(self, blocks: Mapping[str, Block], types: Sequence[Any]) -> None:
        self.blocks = blocks
        self._types = {each.relation_id: each for each in types}

    def find(self, steps: tuple[Step, ...]) -> Symbol:
        """What a symbol is. Raises ValueError, with the reason, where the CPU has no such value."""
        first = steps[0]
        if (block := self.blocks.get(first.name)) is not None:
            if first.element or len(steps) == 1:
                raise ValueError(f"{printed(first.name)} is a data block; name a value in it")
            return self._walk(block.area, block.type, steps[1:])
        for area, type_ in AREAS:
            if first.name in getattr(self._types.get(type_), "varname_list", ()):
                return self._walk(area, type_, steps)
        raise ValueError(f"the CPU has no data block and no PLC tag {printed(first.name)}")

    def _walk(self, area: int, type_: int, steps: tuple[Step, ...]) -> Symbol:
        path: list[int] = []
        for number, step in enumerate(steps, 1):
            member = self._member(type_, step.name)
            info = member.offset_info
            path.append(member.lid)
            spread = info.is_1dim or info.is_mdim
            if step.element and not spread:
                raise ValueError(f"{printed(step.name)} is no array")
            if step.element:
                path.append(_element(member, step))
                path += [1] if info.has_relation else []
            if number == len(steps):
                return _symbol(Place(area, tuple(path)), member, spread and not step.element)
            if not info.has_relation or (spread and not step.element):
                what = "an array; say which element" if spread else "no structure"
                raise ValueError(f"{printed(step.name)} is {what}")
            type_ = info.relation_id
        raise AssertionError("a symbol has at least one step")

    def _member(self, type_: int, name: str) -> Any:
        described = self._types.get(type_)
        if described is None:
            raise ValueError(f"the CPU does not tell what {printed(name)} stands in; is it know-how protected?")
        try:
            return described.vartype_list[described.varname_list.index(name)]
        except (ValueError, IndexError):
            raise ValueError(
                f"the CPU has no {printed(name)} there; was it renamed, or deleted by a download?"
            ) from None

    def every(self, most: int) -> Iterator[tuple[str, str]]:
        """Symbols that can be read, and their types; of arrays the elements. After `most` that were looked at,
        readable or not, a last one without a name says that there are more."""
        left = [most]
        roots = [(printed(name), block.type) for name, block in sorted(self.blocks.items())]
        for prefix, type_ in [*roots, *(("", area_type) for _, area_type in AREAS)]:
            yield from self._below(prefix, type_, 0, left)
        if left[0] <= 0:
            yield "", ""

    def _below(self, prefix: str, type_: int, depth: int, left: list[int]) -> Iterator[tuple[str, str]]:
        described = self._types.get(type_)
        if described is None or depth > _DEEPEST:
            return
        for name, member in zip(described.varname_list, described.vartype_list, strict=False):
            here = f"{prefix}.{printed(name)}" if prefix else printed(name)
            kind, info = kind_of(member.softdatatype), member.offset_info
            for index in _indices(info):
                left[0] -= 1
                if left[0] < 0:
                    return
                if kind is not None:
                    yield here + index, kind.name
                elif info.has_relation:
                    yield from self._below(here + index, info.relation_id, depth + 1, left)


def _bounds(info: Any) -> list[tuple[int, int]]:
    """First index and number of elements of each dimension, as symbols write them."""
    if info.is_1dim:
        return [(info.array_lower_bound, info.array_element_count)]
    # The CPU tells the last dimension first.
    pairs = zip(info.mdim_lower_bounds, info.mdim_element_count, strict=True)
    return [(lower, count) for lower, count in pairs if count > 0][::-1]


def _indices(info: Any) -> Iterator[str]:
    """What stands behind the name for each element; one empty text for what is no array."""
    if not (info.is_1dim or info.is_mdim):
        yield ""
        return
    bounds = _bounds(info)
    total = 1
    for _, count in bounds:
        total *= count
    for number in range(total):
        said, rest = [], number
        for lower, count in reversed(bounds):
            said.append(str(lower + rest % count))
            rest //= count
        yield f"[{','.join(reversed(said))}]"


def _element(member: Any, step: Step) -> int:
    """The number of an element, as it is asked for."""
    bounds = _bounds(member.offset_info)
    if len(step.element) != len(bounds):
        raise ValueError(f"{printed(step.name)} has {len(bounds)} dimensions, not {len(step.element)}")
    number = 0
    for at, (index, (lower, count)) in enumerate(zip(step.element, bounds, strict=True)):
        if not lower <= index < lower + count:
            raise ValueError(f"{printed(step.name)} goes from {lower} to {lower + count - 1}, and has no {index}")
        # Rows of bits are filled up to whole bytes.
        row = -(-count // 8) * 8 if member.softdatatype == 40 and len(bounds) > 1 and at == len(bounds) - 1 else count
        number = number * row + index - lower
    return number


def _symbol(place: Place, member: Any, whole: bool) -> Symbol:
    kind, info = kind_of(member.softdatatype), member.offset_info
    if kind is None:
        raise ValueError(
            "it has no value of its own; name a member of it" if info.has_relation else "its type is not read"
        )
    length = info.unspecified1 if kind.name in ("STRING", "WSTRING") else 0
    single = type_of(kind, length, 0)
    if not whole:
        return Symbol(kind, single, single, (place,), length)
    bounds = _bounds(info)
    if len(bounds) != 1 or not 1 <= bounds[0][1] <= _MOST_ELEMENTS or single.decode is not None:
        raise ValueError("it is an array; say which element")
    count = bounds[0][1]
    places = tuple(Place(place.area, (*place.path, number)) for number in range(count))
    return Symbol(kind, type_of(kind, length, count), single, places, length)
