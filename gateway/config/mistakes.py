"""Checks one table against its declaration and says in plain words what is wrong with it."""

import difflib
import re
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

from pydantic import BaseModel, ValidationError
from pydantic_core import ErrorDetails

from gateway.config.base import Secret
from gateway.config.options import table_at
from gateway.config.text import Steps
from gateway.core.errors import PluginError
from gateway.core.text import cleaned
from gateway.encode import TemplateError

M = TypeVar("M", bound=BaseModel)


MISSING = "required key is missing"
_PLAIN = {
    "missing": MISSING,
    "string_type": "write a text in quotes, not {input}",
    "int_type": "write a whole number, not {input}",
    "int_from_float": "write a whole number, not {input}",
    "float_type": "write a number, not {input}",
    "bool_type": "write true or false, not {input}",
    "model_type": "write a table such as {{ key = value }}, not {input}",
    "dict_type": "write a table such as {{ key = value }}, not {input}",
    "mapping_type": "write a table such as {{ key = value }}, not {input}",
    "tuple_type": "write a list in square brackets, not {input}",
    "list_type": "write a list in square brackets, not {input}",
    "finite_number": "must be a finite number",
    "greater_than": "must be more than {gt}, not {input}",
    "greater_than_equal": "must be at least {ge}, not {input}",
    "less_than": "must be less than {lt}, not {input}",
    "less_than_equal": "must be at most {le}, not {input}",
    "multiple_of": "must be a multiple of {multiple_of}, not {input}",
    "string_too_short": "must have at least {min_length} characters",
    "string_too_long": "must have at most {max_length} characters",
    "too_short": "must have at least {min_length} entries, not {actual_length}",
    "too_long": "must have at most {max_length} entries, not {actual_length}",
    "value_error": "{error}",
}
_SECRET = 'a secret never stands in this file: write where it is kept, such as { credential = "mqtt-password" }'
_OF_SHAPE = ("_type", "int_from_float")


@dataclass(frozen=True, slots=True)
class Mistake:
    """Something wrong in a table; `path` starts at the table."""

    path: Steps
    message: str


def check(
    model: type[M], table: Mapping[str, Any], base: Path, also: Collection[str] = ()
) -> tuple[M | None, list[Mistake]]:
    """The table as its declared type, or what is wrong with it. Relative paths in it start at `base`; `also` are keys
    that the table may have beside the declared ones, for "did you mean" only. Raises PluginError when a check of a plugin
    breaks."""
    try:
        return model.model_validate(dict(table), context={"base": base}), []
    except ValidationError as error:
        return None, _mistakes(model, table, error.errors(include_url=False), also)
    except BaseException as error:
        raise failed(model, error) from error


def failed(model: type[BaseModel], error: BaseException) -> PluginError:
    """A check that a plugin brings, which has not found a mistake but has broken over the table; it can raise anything."""
    return PluginError(
        cleaned(f"the plugin's {model.__name__} fails on these options: {type(error).__name__}: {error}")
    )


def did_you_mean(word: str, known: Collection[str]) -> str:
    """`, did you mean "host"?` when one of the known words is near, else all of them."""
    folded = {name.casefold().replace("-", "_"): name for name in known}
    near = difflib.get_close_matches(word.casefold().replace("-", "_"), folded, 1, 0.6)
    near = near or [name for name in folded if len(name) > 1 and word.casefold().startswith(name)]  # as cafile for ca
    if near:
        return f', did you mean "{folded[near[0]]}"?'
    return f"; known: {', '.join(known)}" if known else ""


def _mistakes(
    model: type[BaseModel], table: Mapping[str, Any], errors: list[ErrorDetails], also: Collection[str]
) -> list[Mistake]:
    found: list[tuple[Mistake, bool]] = []
    for error in errors:
        path = _real_path(table, error)
        raised = error.get("ctx", {}).get("error")
        if isinstance(raised, TemplateError):
            found.append((Mistake((*path, *raised.place), str(raised)), False))
            continue
        message = _say(model, path, error, also)
        if error["type"] == "missing" and isinstance(path[-1], int):
            path = path[:-1]
        own_path, message = _field_prefix(model, path, message)
        mistake = Mistake(own_path, message)
        of_shape = error["type"].endswith(_OF_SHAPE) and len(path) < len(error["loc"])
        found.append((mistake, of_shape))
    return _without_other_shapes(found)


def _without_other_shapes(found: list[tuple[Mistake, bool]]) -> list[Mistake]:
    """Where a value may have several shapes, there is a mistake for each: keep those of the shape that was meant."""
    kept: list[Mistake] = []
    for mistake, of_shape in found:
        if of_shape:
            deeper = [m for m, other in found if not other and m.path[: len(mistake.path)] == mistake.path]
            first = next((m for m in kept if m.path == mistake.path), None)
            if deeper:
                continue
            if first:
                kept[kept.index(first)] = Mistake(first.path, _either(first.message, mistake.message))
                continue
        kept.append(mistake)
    return kept


def _either(first: str, second: str) -> str:
    """Two of "write …, not …" in one sentence."""
    head, _, tail = first.rpartition(", not ")
    other = second.removeprefix("write ").rpartition(", not ")[0]
    return f"{head} or {other}, not {tail}" if head and other not in head else first


def _real_path(table: Any, error: ErrorDetails) -> Steps:
    """The place of a mistake without the names of union members that pydantic puts in between."""
    path: Steps = ()
    here = table
    last = len(error["loc"]) - 1
    for index, step in enumerate(error["loc"]):
        if isinstance(here, Mapping) and step in here:
            here = here[step]
        elif isinstance(here, list | tuple) and isinstance(step, int):
            here = here[step] if step < len(here) else None
        elif not (index == last and error["type"] == "missing"):
            continue
        path = (*path, step)
    return path


def _say(model: type[BaseModel], path: Steps, error: ErrorDetails, also: Collection[str]) -> str:
    kind, context = error["type"], error.get("ctx", {})
    if kind == "extra_forbidden":
        known = [key for table in table_at(model, path[:-1]) for key in table.model_fields]
        return "unknown key" + did_you_mean(str(path[-1]), [*known, *(also if len(path) == 1 else ())])
    if kind == "literal_error":
        return _choice(context["expected"], error["input"])
    if Secret in table_at(model, path) and kind.endswith("_type"):
        return _SECRET
    if kind == "missing" and path and isinstance(path[-1], int):
        return f"needs {path[-1] + 1} entries, not {len(error['input'])}"
    template = _PLAIN.get(kind)
    if template is None:
        return error["msg"][:1].lower() + error["msg"][1:]
    plain = {name: f"{value:g}" if isinstance(value, float) else value for name, value in context.items()}
    return template.format(**{**plain, "input": _shown(kind, error["input"])})


def _choice(expected: str, value: Any) -> str:
    choices = re.findall(r"'([^']*)'", expected)
    if isinstance(value, int | float) and str(value) in choices:
        return f'write it in quotes: "{value}"'
    if not isinstance(value, str) or not choices:
        return f"must be one of {expected}, not {_shown('', value)}"
    near = did_you_mean(value, choices)
    if "did you mean" in near:
        return f'"{value}" is not possible{near}'
    return f'"{value}" is not possible; write one of {", ".join(choices)}'


def _field_prefix(model: type[BaseModel], path: Steps, message: str) -> tuple[Steps, str]:
    """A check over a whole table begins its message with the key that it speaks of."""
    key, colon, rest = message.partition(": ")
    if colon and any(key in table.model_fields for table in table_at(model, path)):
        return (*path, key), rest
    return path, message


def _shown(kind: str, value: Any) -> str:
    if isinstance(value, str):
        if kind.startswith(("int", "float", "bool")) and re.fullmatch(r"[-+]?[\d.]+|true|false", value):
            return f"a text: {value} without the quotes"
        return f'the text "{value}"' if len(value) < 60 else "a text"
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, Mapping):
        return "a table"
    return "a list" if isinstance(value, list | tuple) else str(value)
