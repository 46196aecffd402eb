"""A status as JSON values: the one place where its fields become the members that scripts rely on."""

from collections.abc import Mapping
from dataclasses import Field, fields, is_dataclass
from functools import cache
from typing import Any

from gateway.core.parsing import JsonObject

FLAT = {"flat": True}
"""Metadata of a field whose own members stand among those of what it belongs to; None has none."""
IF_ANY = {"if any": True}
"""Metadata of a field that is left out, not null, when it is None."""


def rendered(status: Any) -> Any:
    """The status as JSON values, its members in the order of the fields. A field called `from_`, since Python keeps the word,
    is the member `from`."""
    if is_dataclass(status) and not isinstance(status, type):
        members: JsonObject = {}
        for name, each in _members(type(status)):
            value = getattr(status, each.name)
            if value is None and each.metadata:
                continue
            if "flat" in each.metadata:
                members |= rendered(value)
            else:
                members[name] = rendered(value)
        return members
    if isinstance(status, Mapping):
        return {key: rendered(value) for key, value in status.items()}
    if isinstance(status, list | tuple):
        return [rendered(each) for each in status]
    return status


@cache
def _members(kind: type[Any]) -> tuple[tuple[str, Field[Any]], ...]:
    return tuple((each.name.removesuffix("_"), each) for each in fields(kind))
