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
class Argument:
    """One argument; whoever leaves out one that is not needed means `default`."""

    check: Check
    needed: bool = True
    default: Any = None


def text(value: Any, most: int = TEXT) -> str:
    """A text that UTF-8 can hold."""
    if not isinstance(value, str):
        raise ValueError("must be a text")
    if len(value) > most:
        raise ValueError(f"must have at most {most} characters")
    if encodable(value) != value:
        raise ValueError("holds halves of characters (surrogates)")
    return value


def comment(value: Any) -> str:
    """What somebody says, for the audit trail; may be empty."""
    said = text(value, REASON).strip()
    if len(said.encode()) > REASON:
        raise ValueError(f"must have at most {REASON} bytes")
    return said


def reason(value: Any) -> str:
    """The same, and not empty."""
    said = comment(value)
    if not any(char.isalnum() for char in said):
        raise ValueError("must say why, for the audit trail: --reason")
    return said


def whole(low: int = -_WHOLE, high: int = _WHOLE - 1) -> Check:
    """A whole number from `low` to `high`."""

    def check(value: Any) -> int:
        if not isinstance(value, int) or isinstance(value, bool):
            raise ValueError("must be a whole number")
        if not low <= value <= high:
            raise ValueError(f"must be from {low} to {high}")
        return value

    return check


def positive(value: Any) -> float:
    """A number above 0."""
    if not _is_finite(value) or value <= 0:
        raise ValueError("must be a number above 0")
    return float(value)


def texts(value: Any) -> list[str]:
    """A list of texts."""
    if not isinstance(value, list) or len(value) > MANY:
        raise ValueError(f"must be a list of texts, {MANY} at most")
    return [text(each) for each in value]


def scalar(value: Any) -> Any:
    """What a tag can hold: a number, true, false or a text."""
    if isinstance(value, bool):
        return value
    if isinstance(value, str):
        return text(value, VALUE)
    if _is_finite(value):
        return value
    raise ValueError("must be a number (of 64 bits at most), true, false or a text")


def scalars(value: Any) -> list[Any]:
    """What a method takes: a list of values, or of lists of them."""
    if not isinstance(value, list) or len(value) > MANY:
        raise ValueError(f"must be a list, of {MANY} entries at most")
    return [scalars(each) if isinstance(each, list) else scalar(each) for each in value]


def counts(value: Any) -> dict[str, int]:
    """A table of whole numbers."""
    if not isinstance(value, Mapping) or len(value) > MANY:
        raise ValueError("must be a table of whole numbers")
    count = whole(0)
    return {text(name): count(number) for name, number in value.items()}


def or_none(check: Check) -> Check:
    """The same, or null."""
    return lambda value: None if value is None else check(value)


def _is_finite(value: Any) -> bool:
    if isinstance(value, bool) or not isinstance(value, int | float):
        return False
    return -_WHOLE <= value < 2 * _WHOLE if isinstance(value, int) else math.isfinite(value)
