"""A configuration out of several files: one table, each place of which knows where it was written."""

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from gateway.config.text import Lines, Steps, read_in_part
from gateway.core.errors import ConfigError, Problem
from gateway.places.drop_ins import FOLDER, drop_ins, refusal


class HasLines(Protocol):
    """Where the keys of a file stand."""

    def __getitem__(self, path: Steps) -> int:
        """The 1-based line; 0 for the file as a whole."""
        ...


@dataclass(frozen=True, slots=True, eq=False)
class Written:
    """A file that says something of the configuration."""

    path: Path
    """As messages name it."""
    lines: HasLines
    order: tuple[int, ...]
    """Where its mistakes stand among those of the others."""

    @property
    def base(self) -> Path:
        """Where relative paths in it start."""
        return self.path.absolute().parent


@dataclass(frozen=True, slots=True)
class Spot:
    """A place in one of the files."""

    file: Written
    place: Steps
    """In that file."""
    called: str = ""
    """What stands there, where that is something else than what it is used for: `template "meter"`."""

    @classmethod
    def of(cls, spot: "Spot", called: str) -> "Spot":
        """The same under a name, if it has none yet."""
        return spot if spot.called else cls(spot.file, spot.place, called)

    @property
    def line(self) -> int:
        """1-based; 0 for the file as a whole."""
        return self.file.lines[self.place]

    def __str__(self) -> str:
        return f"{self.file.path}:{self.line}"


class Merged:
    """The tables of a file and of those in `conf.d` beside it. Tables add up, and so do arrays of tables."""

    def __init__(self, path: Path, several: Collection[str]) -> None:
        """Reads them. `several`: names of tables that can stand several times. Raises ConfigError, with the mistakes of all,
        when one of them is no TOML."""
        self.table: dict[str, Any] = {}
        self.problems: list[tuple[Spot, str, str]] = []
        """What does not go together: where, what stands there, and what is wrong with it."""
        self.read: dict[Path, bytes] = {}
        """Absolute paths of the files, and their bytes."""
        self.mistaken: list[Problem] = []
        """What is against TOML's grammar; the tables are those of the other lines."""
        self._several = several
        self._moved = False
        self._spots: dict[Steps, Spot] = {}
        self.files = [written for written, table in _all(path, self.read, self.mistaken) if self._add(written, table)]

    @property
    def main(self) -> Written:
        """The file beside which the others lie."""
        return self.files[0]

    def spot(self, place: Steps) -> Spot:
        """Where it was written, or the nearest table around it."""
        for length in range(len(place), 0, -1):
            if (known := self._spots.get(place[:length])) is not None:
                return Spot(known.file, (*known.place, *place[length:]), known.called)
        return Spot(self.main, place)

    @property
    def apart(self) -> bool:
        """Whether what stands in one table can come from several files."""
        return self._moved or len(self.files) > 1

    def replace(self, key: str, entries: Sequence[tuple[Mapping[str, Any], Mapping[Steps, Spot]]]) -> None:
        """Have other tables in place of those of an array, each with the spots of what is in it, and its own at ()."""
        self._moved = True
        self.table[key] = [table for table, _ in entries]
        for place in [place for place in self._spots if place[0] == key and len(place) > 1]:
            del self._spots[place]
        for at, (_, spots) in enumerate(entries):
            self._spots |= {(key, at, *place): spot for place, spot in spots.items()}

    def _add(self, file: Written, table: Mapping[str, Any]) -> bool:
        for key, value in table.items():
            known = self.table.get(key)
            if key in self._several and (isinstance(value, Mapping) or _is_tables(value)):
                self._add_several(file, key, value)
            elif key not in self.table:
                self.table[key] = value
                self._spots[key,] = Spot(file, (key,))
            elif isinstance(known, Mapping) and isinstance(value, Mapping):
                self.table[key] = self._joined(file, (key,), known, value)
            else:
                self._twice(file, (key,))
        return True

    def _add_several(self, file: Written, key: str, value: Any) -> None:
        if isinstance(value, Mapping):
            said = f"there can be several: write [[{key}]], in two pairs of brackets"
            self.problems.append((Spot(file, (key,)), f"[{key}]", said))
        tables = self.table.setdefault(key, [])
        if not isinstance(tables, list):
            self._twice(file, (key,))
            return
        entries = (
            [((key,), value)] if isinstance(value, Mapping) else [((key, at), each) for at, each in enumerate(value)]
        )
        for place, entry in entries:
            self._spots[key, len(tables)] = Spot(file, place)
            tables.append(entry)

    def _joined(
        self, file: Written, place: Steps, known: Mapping[str, Any], value: Mapping[str, Any]
    ) -> Mapping[str, Any]:
        joined = dict(known)
        for key, entry in value.items():
            here, before = (*place, key), joined.get(key)
            if key not in joined:
                joined[key] = entry
                self._spots[here] = Spot(file, here)
            elif isinstance(before, Mapping) and isinstance(entry, Mapping):
                joined[key] = self._joined(file, here, before, entry)
            else:
                self._twice(file, here)
        return joined

    def _twice(self, file: Written, place: Steps) -> None:
        where = f"[{place[0]}] {'.'.join(map(str, place[1:]))}" if len(place) > 1 else str(place[0])
        said = f"is set already at {self.spot(place)}: write it in one of the two files only"
        self.problems.append((Spot(file, place), where, said))


def _is_tables(value: Any) -> bool:
    return isinstance(value, list) and all(isinstance(each, Mapping) for each in value)


def _all(path: Path, read: dict[Path, bytes], mistaken: list[Problem]) -> Iterator[tuple[Written, Mapping[str, Any]]]:
    """The files in the order in which they are read. Raises ConfigError when all were looked at."""
    problems: list[Problem] = []
    found = []
    files = [path, *_drop_ins(path, problems)]
    order = {str(each): number for number, each in enumerate([path.parent / FOLDER, *files])}
    for number, each in enumerate(files):
        try:
            table, text, data, wrong = read_in_part(each)
        except ConfigError as error:
            if not number and not error.problems[0].line:  # no such file: what lies beside it says nothing then
                raise
            problems += error.problems
            continue
        read[each.absolute()] = data
        mistaken += wrong
        found.append((Written(each, Lines(text), (number,)), table))
    if problems:
        raise ConfigError(sorted([*mistaken, *problems], key=lambda problem: order[problem.file]))
    yield from found


def _drop_ins(path: Path, problems: list[Problem]) -> list[Path]:
    folder = path.parent / FOLDER
    try:
        found = drop_ins(path)
    except OSError as error:
        problems.append(Problem(str(folder), 0, "", f"cannot be looked into: {error.strerror}"))
        return []
    looked = [folder, *found] if found else []
    problems += [Problem(str(each), 0, "", why) for each in looked if (why := refusal(path, each))]
    return found
