"""Reading what comes from outside or from disk: whatever is wrong with it becomes the reader's own error.

A parser that meets what nobody wrote on purpose may raise anything: RecursionError for what is nested too deep, MemoryError
or OverflowError for a wild number, TypeError, KeyError, struct.error. `doubting` is the one place that turns them all into
an error that the caller expects.
"""

import json
from collections.abc import Callable
from types import TracebackType
from typing import Any

from gateway.core.text import cleaned

JsonObject = dict[str, Any]
"""A JSON object of which nothing is known but that it is one: what a person, a plugin, a device or a file of another version
has written. What we write ourselves has a type of its own, or is a Mapping[str, object] where nobody here reads it."""

JSON_SIZE = 16 * 1024 * 1024
"""Bytes of a JSON document."""
JSON_DEPTH = 64
"""Levels of objects and arrays within each other; serialisers break on a few hundred."""


class doubting:  # noqa: N801 - a context manager that reads as a word; a class, since it stands on the road of every answer
    """Whatever is raised within is raised as `refuse(reason)`; an error of the type that `refuse` makes passes as it is."""

    __slots__ = ("_refuse",)

    def __init__(self, refuse: Callable[[str], Exception]) -> None:
        self._refuse = refuse

    def __enter__(self) -> None:
        pass

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if not isinstance(error, Exception):
            return
        refusal = self._refuse(_reason(error))
        if not isinstance(error, type(refusal)):
            raise refusal from error


def _reason(error: Exception) -> str:
    if isinstance(error, RecursionError):
        return "it is nested too deep"
    if isinstance(error, MemoryError | OverflowError):
        return "it holds a number, or a length, that is too large"
    if isinstance(error, ValueError):
        return cleaned(error)
    return cleaned(f"{type(error).__name__}: {error}")


def parse_json(data: bytes | str, *, size: int = JSON_SIZE, depth: int = JSON_DEPTH) -> Any:
    """A JSON document. Raises ValueError for one that is longer than `size`, nested deeper than `depth`, or no JSON."""
    if len(data) > size:
        raise ValueError(f"it is longer than {size} bytes")
    with doubting(ValueError):
        value = json.loads(data)
    if is_deeper(value, depth):
        raise ValueError(f"it is nested deeper than {depth} levels")
    return value


def is_deeper(value: Any, depth: int) -> bool:
    """Whether dicts and lists stand within each other on more levels than that."""
    level = [value]
    for _ in range(depth + 1):
        level = [
            child
            for each in level
            if isinstance(each, dict | list)
            for child in (each.values() if isinstance(each, dict) else each)
        ]
        if not level:
            return False
    return True
