"""What the typed declarations say of themselves: which options a table has, and how each one is written."""

import types
import typing
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Annotated, Any, Literal, get_args, get_origin

from pydantic import BaseModel, TypeAdapter, ValidationError
from pydantic.fields import FieldInfo

from gateway.config.base import Secret
from gateway.config.fields import Deadband, Duration, FilePath, Name, Period, Size

_WORDS: tuple[tuple[Any, str], ...] = (
    (Period, "duration"),
    (Duration, "duration"),
    (Size, "size"),
    (FilePath, "path"),
    (Deadband, "number or percentage"),
    (Name, "name"),
    (Secret, "secret"),
    (str, "text"),
    (bool, "true or false"),
    (int, "whole number"),
    (float, "number"),
)
_LIMITS = (("ge", "at least {}"), ("gt", "more than {}"), ("le", "at most {}"), ("lt", "less than {}"))


@dataclass(frozen=True, slots=True)
class Option:
    """One key of a table."""

    key: str
    type: Any
    """As it is declared, with all annotations."""

    required: bool
    default: Any
    """As TOML or JSON would write it; None for none."""

    words: str
    """How its value is written, for a person."""

    help: str
    example: Any
    """A value for it, as TOML or JSON would write it; None when the declaration gives none."""

    def takes(self, value: Any) -> bool:
        """Whether this may be written for it, as far as it can be told without the rest of the table."""
        try:
            TypeAdapter(self.type).validate_python(value)
        except ValidationError:
            return False
        return True


def is_single(declared: Any) -> bool:
    """Whether a table of this declared type stands once, not as one of several."""
    return isinstance(declared, type)


def options(model: type[BaseModel], without: type[BaseModel] | None = None) -> list[Option]:
    """The options of a table in the order of their declaration, its own before those that it inherits; without those that
    `without` has already unless the table declares them anew."""
    hints = typing.get_type_hints(model, include_extras=True)
    known = without.model_fields if without else {}
    return [
        _option(key, field, hints[key])
        for key, field in sorted(model.model_fields.items(), key=lambda each: each[0] not in model.__annotations__)
        if key not in known or _differs(field, known[key])
    ]


def _differs(field: FieldInfo, base: FieldInfo) -> bool:
    return (field.annotation, field.default, field.description) != (base.annotation, base.default, base.description)


def _option(key: str, field: FieldInfo, hint: Any) -> Option:
    default = None if field.is_required() else field.get_default(call_default_factory=True, validated_data={})
    if default is not None:
        default = TypeAdapter(hint).dump_python(default, mode="json")
    help_text = " ".join((field.description or "").split())
    words = ", ".join([describe(hint), *_limits((field,))]) if get_origin(hint) is not Annotated else describe(hint)
    return Option(key, hint, field.is_required(), default, words, help_text, (field.examples or [None])[0])


def describe(hint: Any) -> str:
    """A declared type in words, such as `whole number, at least 1`."""
    for known, words in _WORDS:
        if hint == known:
            return words
    return _compound(hint, get_origin(hint), get_args(hint))


def _compound(hint: Any, origin: Any, args: tuple[Any, ...]) -> str:
    if origin is Annotated:
        return ", ".join([describe(args[0]), *_limits(args[1:])])
    if origin is Literal:
        return " or ".join(f'"{choice}"' if isinstance(choice, str) else str(choice) for choice in args)
    if origin in (typing.Union, types.UnionType):
        return ", or ".join(describe(arg) for arg in args if arg is not type(None))
    if isinstance(origin, type) and issubclass(origin, tuple):
        return f"list of {describe(args[0])}" if args[-1] is ... else f"[{', '.join(map(describe, args))}]"
    if is_by_name(hint):
        return f"table of {describe(args[1])}"
    return "table" if isinstance(hint, type) and issubclass(hint, BaseModel) else "value"


def _limits(metadata: tuple[Any, ...]) -> Iterator[str]:
    for item in metadata:
        for constraint in item.metadata if isinstance(item, FieldInfo) else (item,):
            for name, words in _LIMITS:
                limit = getattr(constraint, name, None)
                if limit is not None:
                    yield words.format(f"{limit:g}")


def tables(hint: Any) -> Iterator[type[BaseModel]]:
    """The table types that a declared type allows, such as TlsOptions for `TlsOptions | None`."""
    if isinstance(hint, type) and issubclass(hint, BaseModel):
        yield hint
    for arg in get_args(hint):
        yield from tables(arg)


def table_at(model: type[BaseModel], path: tuple[str | int, ...]) -> list[type[BaseModel]]:
    """The table types that may stand at a path below a table."""
    here: list[Any] = [model]
    for step in path:
        if isinstance(step, str):
            here = [found for hint in here for found in _below(hint, step)]
    return [table for hint in here for table in tables(hint)]


def _below(hint: Any, key: str) -> Iterator[Any]:
    """The declared types of what stands under a key of this one: a field of a table, or an entry by a name of the user's."""
    if isinstance(hint, type) and issubclass(hint, BaseModel):
        if key in hint.model_fields:
            yield typing.get_type_hints(hint, include_extras=True)[key]
    elif is_by_name(hint):
        yield get_args(hint)[1]
    else:
        for arg in get_args(hint):
            yield from _below(arg, key)


def is_by_name(hint: Any) -> bool:
    """Whether it is a table whose keys are names that the user gives."""
    origin = get_origin(hint)
    return isinstance(origin, type) and issubclass(origin, Mapping)


@cache
def _hints(model: type[BaseModel]) -> Mapping[str, Any]:
    return typing.get_type_hints(model, include_extras=True)


def anchored(model: type[BaseModel], key: str, value: Any, base: Path) -> Any:
    """What was written for a key of a table, with the relative paths in it made absolute from `base`."""
    return _anchored(_hints(model).get(key), value, base)


def _anchored(hint: Any, value: Any, base: Path) -> Any:
    if isinstance(value, str):
        return str(base / value) if value and _holds_path(hint) else value
    if isinstance(value, list):
        return [_anchored(hint, each, base) for each in value]
    if isinstance(value, Mapping):
        known = {name: each for table in tables(hint) for name, each in _hints(table).items()}
        return {name: _anchored(known.get(name), each, base) for name, each in value.items()}
    return value


def _holds_path(hint: Any) -> bool:
    return hint == FilePath or any(_holds_path(arg) for arg in get_args(hint))
