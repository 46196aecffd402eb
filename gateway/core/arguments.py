"""What an argument of a command may be. Whoever may open the control socket may send anything; each check returns the value
as the command gets it, or raises ValueError, whose text goes on from the name of the argument: "must be a text".
"""

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from gateway.core.text import encodable

TEXT = 1000
"""Characters of a name or an address."""
REASON = 1024
"""Bytes of a reason or a comment (UTF-8)."""
VALUE = 65_536
"""Characters of a text that is written to a device."""
MANY = 10_000
"""Entries of a list."""
_WHOLE = 1 << 63

Check = Callable[[Any], Any]


@dataclass(frozen=True, slots=True)
class ArgumentType:
    """A check, and the same for who wants to know before."""

    check: Check
    schema: Mapping[str, Any]
    """JSON Schema (2020-12)."""

    def __call__(self, value: Any) -> Any:
        return self.check(value)


@dataclass(frozen=True, slots=True)
class Argument:
    """One argument; whoever leaves out one that is not needed means `default`."""

    check: Check
    needed: bool = True
    default: Any = None

    @property
    def schema(self) -> Mapping[str, Any]:
        """What it may be as JSON Schema; empty, which means anything, where the check does not say."""
        return self.check.schema if isinstance(self.check, ArgumentType) else {}


def _text(value: Any, most: int = TEXT) -> str:
    """A text that UTF-8 can hold."""
    if not isinstance(value, str):
        raise ValueError("must be a text")
    if len(value) > most:
        raise ValueError(f"must have at most {most} characters")
    if encodable(value) != value:
        raise ValueError("holds halves of characters (surrogates)")
    return value


def _comment(value: Any) -> str:
    """What somebody says, for the audit trail; may be empty."""
    said = _text(value, REASON).strip()
    if len(said.encode()) > REASON:
        raise ValueError(f"must have at most {REASON} bytes")
    return said


def _reason(value: Any) -> str:
    """The same, and not empty."""
    said = _comment(value)
    if not any(char.isalnum() for char in said):
        raise ValueError("must say why, for the audit trail: --reason")
    return said


def whole(low: int = -_WHOLE, high: int = _WHOLE - 1) -> ArgumentType:
    """A whole number from `low` to `high`."""

    def check(value: Any) -> int:
        if not isinstance(value, int) or isinstance(value, bool):
            raise ValueError("must be a whole number")
        if not low <= value <= high:
            raise ValueError(f"must be from {low} to {high}")
        return value

    return ArgumentType(check, {"type": "integer", "minimum": low, "maximum": high})


def _positive(value: Any) -> float:
    """A number above 0."""
    if not _is_finite(value) or value <= 0:
        raise ValueError("must be a number above 0")
    return float(value)


def _texts(value: Any) -> list[str]:
    """A list of texts."""
    if not isinstance(value, list) or len(value) > MANY:
        raise ValueError(f"must be a list of texts, {MANY} at most")
    return [_text(each) for each in value]


def _scalar(value: Any) -> Any:
    """What a tag can hold: a number, true, false or a text."""
    if isinstance(value, bool):
        return value
    if isinstance(value, str):
        return _text(value, VALUE)
    if _is_finite(value):
        return value
    raise ValueError("must be a number (of 64 bits at most), true, false or a text")


def _scalars(value: Any) -> list[Any]:
    """What a method takes: a list of values, or of lists of them."""
    if not isinstance(value, list) or len(value) > MANY:
        raise ValueError(f"must be a list, of {MANY} entries at most")
    return [_scalars(each) if isinstance(each, list) else _scalar(each) for each in value]


def _counts(value: Any) -> dict[str, int]:
    """A table of whole numbers."""
    if not isinstance(value, Mapping) or len(value) > MANY:
        raise ValueError("must be a table of whole numbers")
    count = whole(0)
    return {_text(name): count(number) for name, number in value.items()}


def or_none(check: Check) -> ArgumentType:
    """The same, or null."""
    schema = {"anyOf": [check.schema, {"type": "null"}]} if isinstance(check, ArgumentType) else {}
    return ArgumentType(lambda value: None if value is None else check(value), schema)


def _is_finite(value: Any) -> bool:
    if isinstance(value, bool) or not isinstance(value, int | float):
        return False
    return -_WHOLE <= value < 2 * _WHOLE if isinstance(value, int) else math.isfinite(value)


text = ArgumentType(_text, {"type": "string", "maxLength": TEXT})
"""A text that UTF-8 can hold."""
comment = ArgumentType(_comment, {"type": "string", "maxLength": REASON})
"""What somebody says, for the audit trail; may be empty."""
reason = ArgumentType(_reason, {"type": "string", "minLength": 1, "maxLength": REASON})
"""The same, and not empty."""
positive = ArgumentType(_positive, {"type": "number", "exclusiveMinimum": 0})
"""A number above 0."""
texts = ArgumentType(_texts, {"type": "array", "items": text.schema, "maxItems": MANY})
"""A list of texts."""
scalar = ArgumentType(_scalar, {"type": ["number", "boolean", "string"], "maxLength": VALUE})
"""What a tag can hold: a number, true, false or a text."""
scalars = ArgumentType(_scalars, {"type": "array", "maxItems": MANY})
"""What a method takes: a list of values, or of lists of them."""
counts = ArgumentType(_counts, {"type": "object", "additionalProperties": {"type": "integer", "minimum": 0}})
"""A table of whole numbers."""
