"""Writing TOML that people go on editing."""

import json
import math
import re
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from gateway.core.text import encodable, shown

_BARE = re.compile(r"[A-Za-z0-9_-]+")


def quoted(text: str) -> str:
    """As a TOML string; JSON's escapes are TOML's too."""
    quoted = json.dumps(encodable(text), ensure_ascii=False)
    return "".join(char if shown(char) == char else f"\\U{ord(char):08x}" for char in quoted)


def key(name: str) -> str:
    """A key, in quotes where it needs them."""
    return name if _BARE.fullmatch(name) else quoted(name)


def written(value: Any) -> str:
    """A value: text, number, true or false, list, or table."""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, float):
        return repr(value) if math.isfinite(value) else str(value)
    if isinstance(value, int):
        return str(value)
    if isinstance(value, Mapping):
        inner = ", ".join(f"{key(name)} = {written(each)}" for name, each in value.items())
        return f"{{ {inner} }}" if inner else "{}"
    if isinstance(value, str):
        return quoted(value)
    return f"[{', '.join(map(written, value))}]"


def comment(text: str) -> str:
    """A text from outside as a comment of one line."""
    return f"# {shown(text)}"


def device(
    name: str, driver: str, options: Mapping[str, Any], tags: Mapping[str, Mapping[str, Any]], about: Iterable[str] = ()
) -> Iterator[str]:
    """The lines of a `[[device]]` table with its tags; without tags there is no table of them."""
    yield from map(comment, about)
    yield "[[device]]"
    for each, value in {"name": name, "driver": driver, **options}.items():
        yield f"{key(each)} = {written(value)}"
    if tags:
        yield "[device.tags]"
        yield from (f"{key(tag)} = {written(about)}" for tag, about in tags.items())
    yield ""
