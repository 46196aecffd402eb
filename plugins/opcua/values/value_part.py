"""The part of a value that a tag takes: one element of an array, one member of a structure."""

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from gateway.plugin import quality

from ..address import parse_member
from ..config import NodeConfig
from .blocks import Block
from .plain import is_structure, one
from .structures import Types, members_of


class NoSuchPartError(Exception):
    """The value has no such part; says what it has."""


class Parts:
    """What each of some tags takes."""

    def __init__(self, tags: Sequence[NodeConfig], types: Types) -> None:
        self._types = types
        self._wanted = {
            row: (tag.element, parse_member(tag.field) if tag.field else [])
            for row, tag in enumerate(tags)
            if tag.element or tag.field
        }
        self._rows = np.array(list(self._wanted), np.intp)

    def take(self, block: Block, rows: NDArray[np.intp] | None = None) -> None:
        """Leave of each value only what its tag takes. `rows` says whose value each is; by default they come in order."""
        if not self._wanted:
            return
        rows = np.arange(len(block.value)) if rows is None else rows
        for at in np.flatnonzero(np.isin(rows, self._rows)).tolist():
            self._take(block, at, *self._wanted[int(rows[at])])

    def _take(self, block: Block, at: int, element: tuple[int, ...], path: list[str | int]) -> None:
        if block.quality[at] >= quality.BAD:
            if path:
                block.exact.pop(at, None)
            return
        whole = block.exact.pop(at, None)
        try:
            found = element_of(float(block.value[at]) if whole is None else whole, element)
            found = member_of(found, path)
        except NoSuchPartError as error:
            block.spoil(at, quality.BAD_CONFIGURATION, str(error))
        else:
            block.fill(at, one(found, self._types))


def element_of(value: Any, element: Sequence[int]) -> Any:
    """The element of an array, of which the server has sent only that, as it was asked, or the whole. Raises
    NoSuchPartError."""
    for place in element:
        if not isinstance(value, list):
            break  # of a text, the server sends the character
        place = 0 if len(value) == 1 else place
        if place >= len(value):
            raise NoSuchPartError(f"index_range: the array has only {len(value)} elements there")
        value = value[place]
    return value


def member_of(value: Any, path: Sequence[str | int]) -> Any:
    """The member of a structure, or an element within it. Raises NoSuchPartError."""
    for step in path:
        value = _member(value, step)
    return value


def _member(value: Any, step: str | int) -> Any:
    if is_structure(value):
        value = members_of(value)
    if isinstance(step, int):
        if not isinstance(value, list):
            raise NoSuchPartError(f"field: there is no array to take [{step}] of")
        if step >= len(value):
            raise NoSuchPartError(f"field: the array has no element [{step}], only {len(value)}")
        return value[step]
    if not isinstance(value, dict):
        raise NoSuchPartError(f'field: there is no structure to take "{step}" of')
    if step not in value:
        raise NoSuchPartError(f'field: the structure has no member "{step}"; it has: {", ".join(value) or "none"}')
    return value[step]
