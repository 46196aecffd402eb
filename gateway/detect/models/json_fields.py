"""Takes typed values out of a JSON object and notes everything that is wrong with them."""

from collections.abc import Mapping, Sequence
from typing import Any

from gateway.core.text import LONGEST, cleaned


class Fields:
    """One object; the objects within it note their mistakes in the same list."""

    def __init__(self, body: Mapping[str, Any], where: str = "", problems: list[str] | None = None) -> None:
        self.body = body
        self.where = where
        self.problems: list[str] = [] if problems is None else problems

    def text(self, key: str, default: str | None = None, limit: int = LONGEST) -> str:
        """A text, cleaned: it goes to logs, events and topics."""
        value = self.body.get(key, default)
        if isinstance(value, str) and (value.strip() or default is not None):
            return cleaned(value, limit)
        self.problems.append(f"{self.where}{key}: must be a text")
        return ""

    def number(self, key: str, default: float | None = None) -> float:
        value: Any = self.body.get(key, default)
        if _is_number(value):
            return float(value)
        self.problems.append(f"{self.where}{key}: must be a number")
        return 0.0

    def integer(self, key: str, lowest: int, highest: int, default: int | None = None) -> int:
        value = self.body.get(key, default)
        if isinstance(value, int) and not isinstance(value, bool) and lowest <= value <= highest:
            return value
        self.problems.append(f"{self.where}{key}: must be a whole number from {lowest} to {highest}")
        return lowest

    def numbers(self, key: str) -> tuple[float, ...]:
        """A list of finite numbers; empty when it is missing."""
        value = self.body.get(key, [])
        if isinstance(value, list) and all(_is_number(entry) for entry in value):
            return tuple(float(entry) for entry in value)
        self.problems.append(f"{self.where}{key}: must be a list of numbers")
        return ()

    def table(self, key: str) -> Mapping[str, Any]:
        value = self.body.get(key, {})
        if isinstance(value, dict):
            return value
        self.problems.append(f"{self.where}{key}: must be an object")
        return {}

    def entries(self, key: str) -> "Sequence[Fields]":
        value = self.body.get(key)
        if isinstance(value, list) and value and all(isinstance(entry, dict) for entry in value):
            return [Fields(entry, f"{key}[{index}]: ", self.problems) for index, entry in enumerate(value)]
        self.problems.append(f"{self.where}{key}: must be a list of at least one object")
        return []


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and abs(value) < 1e300
