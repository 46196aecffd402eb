"""A configuration while it is checked: its tables, where they stand, and what is wrong with them."""

import hashlib
import re
from collections.abc import Collection, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, TypeVar

from pydantic import BaseModel

from gateway.config.base import TagConfig
from gateway.config.merged import Merged, Spot
from gateway.config.mistakes import MISSING, check
from gateway.config.options import anchored
from gateway.config.text import Steps
from gateway.core.errors import ConfigError, Problem

M = TypeVar("M", bound=BaseModel)

_HEAD = re.compile(r"\s*\[{1,2}\s*[^.\]]+\]")
"""The first line of a table that stands in no other."""
COLUMNS = "the first row"
"""What stands where a column is missing."""
_NO_COLUMN = 'the column "{0}" is missing in the first row; or write {0} = … for all in the [[device]]'


class ConfigFile:
    """Collects the mistakes of a configuration, and the hashes of all files that it names."""

    def __init__(self, path: Path, several: Collection[str] = ()) -> None:
        """Reads the file, and those in `conf.d` beside it; `several`: the tables that can stand several times. Raises
        ConfigError when one is no TOML."""
        self.path = path
        self.base = path.absolute().parent
        self._merged = Merged(path, several)
        self.table = self._merged.table
        self.files: dict[Path, str] = {}
        for read, data in self._merged.read.items():
            self.hashed(read, data)
        self.parked: list[Problem] = []
        self.wrong_tags: set[tuple[str, str]] = set()
        """Devices and their tags that are written there, and are wrong; "*" for all of them."""
        self.noted: list[Problem] = []
        """What is allowed, and yet hardly meant."""
        self.tags: dict[tuple[type[TagConfig], str], TagConfig] = {}
        """Tags by what was written: devices of one kind share them."""
        self._found: list[tuple[tuple[int, ...], int, Problem]] = []
        self._told: set[Problem] = set()
        self._broken = [
            (each, _block(self._merged.read[Path(each.file).absolute()], each.line)) for each in self._merged.mistaken
        ]
        for spot, where, message in self._merged.problems:
            self._note(spot, Problem(str(spot.file.path), spot.line, where, message))

    @property
    def is_in_part(self) -> bool:
        """Whether lines were left out that are no TOML, so that what is not there may stand in one of them."""
        return bool(self._broken)

    @property
    def parts(self) -> tuple[Path, ...]:
        """The files themselves, the main one first; without those that they name."""
        return tuple(self._merged.read)

    def spot(self, place: Steps) -> Spot:
        """Where a table or key was written."""
        return self._merged.spot(place)

    def replace(self, key: str, entries: Sequence[tuple[Mapping[str, Any], Mapping[Steps, Spot]]]) -> None:
        """Have other tables in place of those of an array, each with the spots of what is in it, and its own at ()."""
        self._merged.replace(key, entries)

    def line(self, place: Steps) -> int:
        """The line where a table or key stands, in its file."""
        return self.spot(place).line

    def shown(self, place: Steps) -> str:
        """The same with the file's name, for people."""
        return str(self.spot(place))

    def base_of(self, place: Steps) -> Path:
        """Where a relative path starts that stands at this place: the folder of the file it is written in."""
        return self.spot(place).file.base

    def hashed(self, path: Path, data: bytes | None) -> None:
        """Take a file into the hash of the configuration; None for one that is not there."""
        self.files[path] = "" if data is None else hashlib.sha256(data).hexdigest()

    def hash(self) -> str:
        """SHA-256, in hex, over the hashes of all files; where they lie does not matter."""
        return hashlib.sha256("\n".join(self.files.values()).encode()).hexdigest()

    def park(self, place: Steps, where: str, message: str) -> None:
        """Note that a table names a plugin that does not load: the rest of the file is none the worse for it."""
        spot = self.spot(place)
        self.parked.append(Problem(str(spot.file.path), spot.line, where, message))

    def wrong(self, place: Steps, where: str, message: str) -> None:
        """Note a mistake at a table or key. What many devices have from one template is told once, of that."""
        spot = self.spot(place)
        if spot.called == COLUMNS and message == MISSING:
            where, message = "", _NO_COLUMN.format(place[-1])
        elif spot.called == COLUMNS:
            spot = self.spot(place[:2])
        elif spot.called:
            where = spot.called + where.removeprefix(self._title(place))
        problem = Problem(str(spot.file.path), spot.line, where, message)
        if not (spot.called and problem in self._told):
            self._note(spot, problem)

    def wrong_below(self, place: Steps, problems: Iterable[Problem]) -> None:
        """Note mistakes in a file that is named at this place."""
        spot = self.spot(place)
        for problem in problems:
            if not (spot.called and problem in self._told):
                self._note(spot, problem)

    def _note(self, spot: Spot, problem: Problem) -> None:
        self._told.add(problem)
        below = () if problem.file == str(spot.file.path) else (problem.line,)
        self._found.append(((*spot.file.order, spot.line, *below), len(self._found), problem))

    def _title(self, place: Steps) -> str:
        key, at = place[0], place[1] if len(place) > 1 else 0
        tables = self.table.get(str(key))
        if isinstance(tables, list) and isinstance(at, int) and at < len(tables):
            return title(str(key), (key, at), tables[at])
        return f"[{key}]"

    def check(
        self, model: type[M], table: Mapping[str, Any], place: Steps, where: str, also: Collection[str] = ()
    ) -> M | None:
        """The table as its declared type; None, with its mistakes noted, when it is wrong."""
        base = self.base_of(place)
        names = table if self._merged.apart else ()
        if elsewhere := {name: other for name in names if (other := self.base_of((*place, name))) != base}:
            table = {**table, **{name: anchored(model, name, table[name], other) for name, other in elsewhere.items()}}
        checked, mistakes = check(model, table, base, also)
        for mistake in mistakes:
            self.wrong(
                (*place, *mistake.path), ": ".join(part for part in (where, key(mistake.path)) if part), mistake.message
            )
        return checked

    def is_wrong_tag(self, device: str, tag: str) -> bool:
        """Whether a tag is written there, though wrong, or may be."""
        return self.is_in_part or bool({(device, tag), (device, "*")} & self.wrong_tags)

    def raise_if_wrong(self) -> None:
        """Raises ConfigError with all mistakes, in the order of the files, and what would be parked among them."""
        if self._broken:
            raise ConfigError(self._with_grammar())
        if self._found:
            parked = [((0, problem.line), len(self._found), problem) for problem in self.parked]
            raise ConfigError(
                [problem for _, _, problem in sorted([*self._found, *parked], key=lambda found: found[:2])]
            )

    def _with_grammar(self) -> list[Problem]:
        """The mistakes of grammar, and of the others those that they cannot have brought about: in other tables of the file,
        and not that something is missing."""
        told = [((self._number(problem), problem.line), problem) for problem, _ in self._broken]
        if not any("plugin_dirs" in problem.message for problem, _ in self._broken):
            told += [
                ((found[0], found[1]), problem)
                for found, _, problem in self._found
                if problem.line
                and not any(problem.file == each.file and problem.line in block for each, block in self._broken)
            ]
        return [problem for _, problem in sorted(told, key=lambda each: each[0])]

    def _number(self, problem: Problem) -> int:
        return list(self._merged.read).index(Path(problem.file).absolute())


def _block(data: bytes, line: int) -> range:
    """The lines of the table, with those within it, in which this line stands."""
    heads = [number for number, text in enumerate(data.decode().split("\n"), 1) if _HEAD.match(text)]
    begin = max((number for number in heads if number < line), default=0)
    return range(begin, min((number for number in heads if number > line), default=len(data)))


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
