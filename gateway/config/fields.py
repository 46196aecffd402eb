"""Field types that read what people write."""

from pathlib import Path
from typing import Annotated, Any

from pydantic import BeforeValidator, Field, WithJsonSchema

from gateway.core.amounts import parse_duration, parse_size

__all__ = ["Deadband", "Duration", "Field", "FilePath", "Name", "Size"]


def _duration(value: Any) -> float:
    if not isinstance(value, str):
        raise ValueError(f'write a duration with its unit, such as "{value}s", not {value!r}')
    return parse_duration(value)


def _size(value: Any) -> int:
    if not isinstance(value, str):
        raise ValueError(f'write a size with its unit, such as "{value} MiB", not {value!r}')
    return parse_size(value)


def _path(value: Any) -> Path:
    if not isinstance(value, str):
        raise ValueError("write a path in quotes")
    return Path(value)


def _deadband(value: Any) -> float | str:
    """A number in the tag's unit, or a share of its range such as "0.5%"."""
    if isinstance(value, str) and value.endswith("%"):
        try:
            share = float(value[:-1])
        except ValueError:
            share = -1
        if 0 <= share <= 100:
            return value
    elif isinstance(value, int | float) and not isinstance(value, bool) and value >= 0:
        return float(value)
    raise ValueError(f'write a number in the tag\'s unit or a percentage of its range such as "0.5%", not {value!r}')


Duration = Annotated[
    float,
    BeforeValidator(_duration),
    WithJsonSchema({"type": "string", "pattern": r"^\s*\d+(\.\d+)?\s*(us|µs|ms|s|min|h|d|w)\s*$"}),
]
"""Seconds, written as "500ms" or "2h"."""

Size = Annotated[
    int,
    BeforeValidator(_size),
    WithJsonSchema({"type": "string", "pattern": r"^\s*\d+(\.\d+)?\s*(B|[kMGT]B|[KMGT]iB)\s*$"}),
]
"""Bytes, written as "64 MiB"."""

FilePath = Annotated[Path, BeforeValidator(_path), WithJsonSchema({"type": "string"})]
"""A path; a relative one starts at the folder of the file it is written in."""

Deadband = Annotated[
    float | str,
    BeforeValidator(_deadband),
    WithJsonSchema(
        {
            "anyOf": [
                {"type": "number", "minimum": 0},
                {"type": "string", "pattern": r"^\d+(\.\d+)?%$"},
            ]
        }
    ),
]
"""A change in the tag's unit, or "1%" of its range."""

Name = Annotated[str, Field(pattern=r"^[^\s/+#$\x00-\x1f][^/+#\x00-\x1f]*$", max_length=120)]
"""A name that can stand in a topic: no "/", "+" or "#"."""
