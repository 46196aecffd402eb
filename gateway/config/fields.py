"""Field types that read what people write."""

import re
from decimal import Decimal
from pathlib import Path
from typing import Annotated, Any

from pydantic import AfterValidator, BeforeValidator, Field, PlainSerializer, ValidationInfo, WithJsonSchema

from gateway.core.amounts import parse_duration, parse_size
from gateway.core.text import hidden_in
from gateway.core.topic import check_template

__all__ = [
    "Account",
    "Address",
    "Deadband",
    "Duration",
    "Field",
    "FilePath",
    "Host",
    "Name",
    "Period",
    "Size",
    "TopicTemplate",
    "WriteRate",
    "host_and_port",
    "write_duration",
    "write_size",
]

_NAME = (
    r"^(?!\.{1,2}$)[^\s/+#\x24\x00-\x1f\x7f-\x9f\u200b\u200e-\u200f\u2028-\u202e\u2060-\u206f\ufeff]"
    r"[^/+#\x00-\x1f\x7f-\x9f\u200b\u200e-\u200f\u2028-\u202e\u2060-\u206f\ufeff]*$"
)
_SHORTEST_PERIOD = 0.01
_LONGEST_NAME = 240
"""Bytes."""


def write_duration(seconds: float) -> str:
    """A duration as the configuration file writes it, without loss: "200ms", "1min", "2.5s"."""
    for unit, size in (("w", 604_800), ("d", 86_400), ("h", 3600), ("min", 60)):
        if seconds and seconds % size == 0:
            return f"{seconds / size:.0f}{unit}"
    exact = Decimal(repr(float(seconds)))
    amount, unit = (exact * 1000, "ms") if 0 < seconds < 1 else (exact, "s")
    return f"{amount:f}".rstrip("0").rstrip(".") + unit if "." in f"{amount:f}" else f"{amount:f}{unit}"


def write_size(size: int) -> str:
    """A size as the configuration file writes it, without loss: "64 MiB", "1500 B"."""
    for unit, factor in (("GiB", 2**30), ("MiB", 2**20), ("KiB", 2**10)):
        if size and size % factor == 0:
            return f"{size // factor} {unit}"
    return f"{size} B"


def _duration(value: Any) -> float:
    if not isinstance(value, str):
        raise ValueError(f'write a duration with its unit, such as "{value}s", not {value!r}')
    return parse_duration(value)


def _period(seconds: float) -> float:
    if seconds < _SHORTEST_PERIOD:
        raise ValueError(f'must be at least "{write_duration(_SHORTEST_PERIOD)}"')
    return seconds


def _size(value: Any) -> int:
    if not isinstance(value, str):
        raise ValueError(f'write a size with its unit, such as "{value} MiB", not {value!r}')
    return parse_size(value)


def _path(value: Any, info: ValidationInfo) -> Path:
    if not isinstance(value, str) or not value:
        raise ValueError("write a path in quotes")
    if "\0" in value:
        raise ValueError("a path cannot hold the character NUL")
    return Path((info.context or {}).get("base", ""), value)


def _name(value: str) -> str:
    if not value:
        raise ValueError("must not be empty")
    if value[0] == "$" or value[0].isspace():
        raise ValueError('must not begin with a space or "$"')
    if bad := re.search(r"[/+#\x00-\x1f]", value):
        raise ValueError(f"must not hold {bad[0]!r}: it becomes a level of topics")
    if hidden := hidden_in(value):
        raise ValueError(f"must not hold {hidden}: nobody sees this character; delete it")
    if value in (".", ".."):
        raise ValueError(f'must not be "{value}": it becomes the name of a file; write a letter or digit with it')
    if value != value.rstrip():
        raise ValueError("must not end with a space")
    if (size := len(value.encode())) > _LONGEST_NAME:
        raise ValueError(f"has {size} bytes in UTF-8, and a file's name can hold {_LONGEST_NAME}: write a shorter one")
    return value


def _account(value: str) -> str:
    if value.startswith("%"):
        raise ValueError(f'write a group as "@{value[1:]}"')
    if value in ("", "@") or value != value.strip() or not value.isprintable():
        raise ValueError('write the name of a user, such as "anna", or of a group, such as "@quality"')
    return value


def _host(value: str) -> str:
    """A name or an address alone; says what to write where more was written."""
    if "://" in value:
        raise ValueError(f'write the name alone, host = "{_bare(value)}"; encryption and port have keys of their own')
    if value != value.strip() or any(sign.isspace() or not sign.isprintable() for sign in value):
        raise ValueError(f'must hold no blanks; write "{"".join(value.split())}"')
    if value.startswith("[") or "/" in value or (value.count(":") == 1 and not value.startswith(":")):
        raise ValueError(f'write the name or address alone, host = "{_bare(value)}"; a port has a key of its own')
    return value


def _bare(value: str) -> str:
    rest = value.partition("://")[2] or value
    rest = rest.split("/")[0].rpartition("@")[2].strip()
    if rest.startswith("["):
        return rest[1:].partition("]")[0]
    return rest.partition(":")[0] if rest.count(":") == 1 else rest


def host_and_port(value: str) -> tuple[str, int | None]:
    """The parts of "broker", "broker:8883", "fd00::5" or "[fd00::5]:8883". Raises ValueError for what is none of these."""
    host, port = value, ""
    if value.startswith("["):
        host, end, port = value[1:].partition("]")
        port = port.removeprefix(":") if end and (not port or port.startswith(":")) else "?"
    elif value.count(":") == 1:
        host, _, port = value.partition(":")
    if port and not (port.isascii() and port.isdecimal() and 1 <= int(port) <= 65535):
        raise ValueError(f'write "HOST" or "HOST:PORT", not "{value}"')
    if not host or _host(host) != host:
        raise ValueError("a host is missing")
    return host, int(port) if port else None


def _address(value: str) -> str:
    host_and_port(value)
    return value


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


_RATE = re.compile(r"\s*([1-9]\d{0,8})\s*/\s*(s|min|h|d)\s*")


def _rate(value: Any) -> tuple[int, float]:
    found = _RATE.fullmatch(value) if isinstance(value, str) else None
    if found is None:
        raise ValueError(f'write how often at most, such as "6/min", not {value!r}')
    return int(found[1]), parse_duration(f"1{found[2]}")


def _write_rate(rate: tuple[int, float]) -> str:
    return f"{rate[0]}/{write_duration(rate[1]).lstrip('1')}"


Duration = Annotated[
    float,
    BeforeValidator(_duration),
    PlainSerializer(write_duration, return_type=str, when_used="json"),
    WithJsonSchema({"type": "string", "pattern": r"^\s*\d+(\.\d+)?\s*(us|µs|ms|s|min|h|d|w)\s*$"}),
]
"""Seconds, written as "500ms" or "2h"."""

Period = Annotated[Duration, AfterValidator(_period)]
"""A duration of at least 10 ms."""

Size = Annotated[
    int,
    BeforeValidator(_size),
    PlainSerializer(write_size, return_type=str, when_used="json"),
    WithJsonSchema({"type": "string", "pattern": r"^\s*\d+(\.\d+)?\s*(B|[kMGT]B|[KMGT]iB)\s*$"}),
]
"""Bytes, written as "64 MiB"."""

FilePath = Annotated[Path, BeforeValidator(_path), WithJsonSchema({"type": "string"})]
"""A path; a relative one starts at the folder of the file it is written in, and comes out absolute from `load`."""

Host = Annotated[str, AfterValidator(_host)]
"""The name or address of a machine, without scheme, brackets, port or blanks."""

Address = Annotated[str, AfterValidator(_address)]
"""A host with or without a port, such as "broker:8883"."""

Account = Annotated[str, AfterValidator(_account)]
"""A user of the machine; behind an "@", a group; behind "sink:", the far side of a sink."""

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

WriteRate = Annotated[
    tuple[int, float],
    BeforeValidator(_rate),
    PlainSerializer(_write_rate, return_type=str, when_used="json"),
    WithJsonSchema({"type": "string", "pattern": r"^\s*[1-9]\d*\s*/\s*(s|min|h|d)\s*$"}),
]
"""How often at most, as a count and seconds, written as "6/min"."""

Name = Annotated[
    str,
    Field(max_length=120),
    AfterValidator(_name),
    WithJsonSchema({"type": "string", "pattern": _NAME, "maxLength": 120}),
]
"""A name that can stand in a topic: no "/", "+" or "#"."""

TopicTemplate = Annotated[str, AfterValidator(check_template)]
"""A topic with placeholders for the plant's levels, such as "{site}/{area}/{line}/{device}"; it must contain {device}."""
