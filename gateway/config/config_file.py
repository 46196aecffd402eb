"""A configuration file while it is checked: its tables, where they stand, and what is wrong with them."""

import hashlib
from collections.abc import Collection, Iterable, Mapping
from pathlib import Path
from typing import Any, TypeVar

from pydantic import BaseModel

from gateway.config.base import TagConfig
from gateway.config.mistakes import check
from gateway.config.text import Lines, Steps, read_toml
from gateway.core.errors import ConfigError, Problem

M = TypeVar("M", bound=BaseModel)


class ConfigFile:
    """Collects the mistakes of one file, and the hashes of all files that it names."""

    def __init__(self, path: Path) -> None:
        """Reads the file. Raises ConfigError when it is no TOML."""
        self.path = path
        self.base = path.absolute().parent
        self.table, text, data = read_toml(path)
        self.files: dict[Path, str] = {}
        self.hashed(path.absolute(), data)
        self._lines = Lines(text)
        self.parked: list[Problem] = []
        self.tags: dict[tuple[type[TagConfig], str], TagConfig] = {}
        """Tags by what was written: devices of one kind share them."""
        self._found: list[tuple[int, int, Problem]] = []

    def line(self, place: Steps) -> int:
        """Where a table or key stands."""
        return self._lines[place]

    def shown(self, place: Steps) -> str:
        """The same with the file's name, for people."""
        return f"{self.path}:{self.line(place)}"

    def hashed(self, path: Path, data: bytes | None) -> None:
        """Take a file into the hash of the configuration; None for one that is not there."""
        self.files[path] = "" if data is None else hashlib.sha256(data).hexdigest()

    def hash(self) -> str:
        """SHA-256, in hex, over the hashes of all files; where they lie does not matter."""
        return hashlib.sha256("\n".join(self.files.values()).encode()).hexdigest()

    def park(self, place: Steps, where: str, message: str) -> None:
        """Note that a table names a plugin that does not load: the rest of the file is none the worse for it."""
        self.parked.append(Problem(str(self.path), self.line(place), where, message))

    def wrong(self, place: Steps, where: str, message: str) -> None:
        """Note a mistake at a table or key."""
        self.wrong_below(place, [Problem(str(self.path), self.line(place), where, message)])

    def wrong_below(self, place: Steps, problems: Iterable[Problem]) -> None:
        """Note mistakes in a file that is named at this place."""
        for problem in problems:
            self._found.append((self.line(place), len(self._found), problem))

    def check(
        self, model: type[M], table: Mapping[str, Any], place: Steps, where: str, also: Collection[str] = ()
    ) -> M | None:
        """The table as its declared type; None, with its mistakes noted, when it is wrong."""
        checked, mistakes = check(model, table, self.base, also)
        for mistake in mistakes:
            self.wrong(
                (*place, *mistake.path), ": ".join(part for part in (where, key(mistake.path)) if part), mistake.message
            )
        return checked

    def raise_if_wrong(self) -> None:
        """Raises ConfigError with all mistakes, in the order of the file, and what would be parked among them."""
        if self._found:
            parked = [(problem.line, len(self._found), problem) for problem in self.parked]
            raise ConfigError(
                [problem for _, _, problem in sorted([*self._found, *parked], key=lambda found: found[:2])]
            )


def key(path: Steps) -> str:
    """A key below a table as people write it: "tls.ca", "devices (entry 2)"."""
    names = ".".join(step for step in path if isinstance(step, str))
    numbers = [step for step in path if isinstance(step, int)]
    return names + "".join(f" (entry {number + 1})" for number in numbers)


def title(kind: str, place: Steps, table: Mapping[str, Any]) -> str:
    """What a table is called in messages: by its name, else by its number."""
    name = table.get("name")
    if isinstance(name, str) and name:
        return f'{kind} "{name}"'
    number = place[-1] + 1 if isinstance(place[-1], int) else 1
    return f"{kind} {number}"
