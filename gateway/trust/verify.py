"""Whether an audit trail is as it was written, but for what somebody has looked at and acknowledged.

An acknowledgement is a record of the chain like any other. It names each damage by a hash over the records at both sides of
it and all that stands between, so it holds for nothing that is changed or removed later, and cannot be removed unseen.
"""

import dataclasses
import hashlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from gateway.core.errors import Problem
from gateway.trust import audit_files
from gateway.trust.chain import ACKNOWLEDGED, DAMAGED, LONGEST, START, BrokenRecordError, Head, follow, read

TRIES = 100
_LAPSED = "lapsed:"
MOST = 1000
"""Damages of which an account is given; a trail with more of them is none."""


@dataclass(frozen=True, slots=True)
class Damage:
    """Something that was changed or is missing."""

    problem: Problem
    key: str
    """Names exactly this damage: one record or byte more that goes missing there makes it another one."""
    before: Head
    """The last record before it."""
    breaks: bool
    """Whether the chain itself shows it, or only a record says so."""


@dataclass(frozen=True, slots=True)
class Acknowledged:
    """Damage that somebody has looked at."""

    problem: Problem
    who: str
    why: str
    when: str
    """ISO 8601, UTC."""


@dataclass(frozen=True, slots=True)
class TrailReport:
    """The outcome of a verification."""

    path: Path
    records: int
    """Sound records, counted up to the first problem."""
    end: Head
    """The last sound record."""
    problem: Problem | None
    """The first thing that is wrong, with file and line; None if nothing is."""
    torn: int = 0
    """Bytes of a last line that a power cut left incomplete. No problem: it was never a record, and the next start of the
    gateway sets it aside."""
    acknowledged: tuple[Acknowledged, ...] = ()
    """Damages that are no problem any more."""
    damages: tuple[Damage, ...] = ()
    """Those that are."""

    @property
    def ok(self) -> bool:
        return self.problem is None


def verify(path: Path) -> TrailReport:
    """Read a whole trail, its older parts too, and compare it with its anchor; also while a gateway writes it.

    Raises OSError when it cannot be read, FileNotFoundError when there is none.
    """
    for _ in range(TRIES):
        parts = audit_files.parts(path)
        if not parts and audit_files.read_head(path) is None:
            raise FileNotFoundError(2, "there is no audit trail", str(path))
        try:
            report = _verify(path, parts)
        except FileNotFoundError:
            continue  # renamed as a new part was begun
        if parts == audit_files.parts(path):  # else a new part was begun meanwhile
            return report
    raise FileNotFoundError(2, "files of the trail come and go, or a link leads nowhere", str(path))


def _verify(path: Path, parts: list[Path]) -> TrailReport:
    anchor = audit_files.read_head(path)  # before the records: it may fall behind them, but never runs ahead
    walk = Walk(anchor)
    torn = 0
    for file, number, line in _lines(parts):
        if file == parts[-1] and not line.endswith(b"\n") and len(line) <= LONGEST:
            torn = len(line)
            break
        walk.line(file, number, line)
        if len(walk.damages) > MOST:
            break
    return report_of(path, walk, anchor, torn)


def report_of(path: Path, walk: "Walk", anchor: Head | None, torn: int) -> TrailReport:
    """What has come out when the walk is at the end."""
    damages = [*walk.damages, *walk.lapsed()]
    known = [damage for damage in damages if damage.key in walk.acknowledged]
    open_ones = [damage for damage in damages if damage.key not in walk.acknowledged]
    breaks = [damage for damage in open_ones if damage.breaks]
    end = breaks[0].before if breaks else walk.end
    problem = breaks[0].problem if breaks else walk.broken or _at_the_end(path, walk.end, anchor)
    problem = problem or (open_ones[0].problem if open_ones else None)
    said = tuple(dataclasses.replace(walk.acknowledged[damage.key], problem=damage.problem) for damage in known)
    return TrailReport(path, end.n, end, problem, torn, said, tuple(open_ones))


class Walk:
    """Follows a chain, over its damages too."""

    def __init__(self, anchor: Head | None) -> None:
        self.end = START
        self.damages: list[Damage] = []
        self.broken: Problem | None = None
        """Damage after which no record has come yet with which the chain goes on."""
        self.acknowledged: dict[str, Acknowledged] = {}
        """By the key of a damage, as records say that stand in the chain; their places."""
        self.anchor = anchor
        self._between = hashlib.sha256()

    def anchored(self, anchor: Head | None) -> None:
        """From now on by this anchor: the trail has grown since."""
        self.anchor = anchor

    def line(self, file: Path, number: int, line: bytes) -> None:
        """The next one."""
        place = Problem(str(file), number, f"record {self.end.n + 1}", "")
        try:
            record = read(line)
            new = Head(record["n"], record["hash"])
            wrong = _misplaced(record, new, self.end, self.anchor)
        except BrokenRecordError as error:
            self._breaks(place, str(error))
            self._between.update(line)
            return
        if wrong:
            self._breaks(place, wrong)
            if new.n <= self.end.n:
                self._between.update(line)
                return
        self._goes_on(record, new, Problem(str(file), number, f"record {new.n}", ""))

    def lapsed(self) -> Iterator[Damage]:
        """Acknowledgements of what is there no more, so that nothing goes missing where something was missing already."""
        found = {damage.key for damage in self.damages}
        for key, by in self.acknowledged.items():
            if key not in found and not key.startswith(_LAPSED):
                wrong = "it acknowledges damage that looks otherwise now: something was changed or removed there since"
                yield Damage(dataclasses.replace(by.problem, message=wrong), _LAPSED + key, self.end, False)

    def _breaks(self, place: Problem, wrong: str) -> None:
        self.broken = self.broken or dataclasses.replace(place, message=wrong)

    def _goes_on(self, record: Mapping[str, Any], new: Head, place: Problem) -> None:
        problem, breaks = self.broken, self.broken is not None
        if record.get("action") == DAMAGED:
            problem = problem or dataclasses.replace(
                place, message=f"the gateway found damage here: {record.get('why')}"
            )
        if problem is not None:
            said = f"{self.end.n}:{self.end.hash}:{new.n}:{new.hash}:{self._between.hexdigest()}"
            key = hashlib.sha256(said.encode()).hexdigest()
            self.damages.append(Damage(problem, key, self.end, breaks))
        if record.get("action") == ACKNOWLEDGED and isinstance(keys := record.get("damages"), list):
            by = Acknowledged(place, str(record.get("who")), str(record.get("why")), str(record.get("ts")))
            self.acknowledged |= {str(key): by for key in keys}
        self.end, self.broken, self._between = new, None, hashlib.sha256()


def _misplaced(record: Mapping[str, Any], new: Head, end: Head, anchor: Head | None) -> str:
    """Why it does not belong there; empty if it does."""
    try:
        follow(record, end)
    except BrokenRecordError as error:
        return str(error)
    if anchor is not None and new.n == anchor.n and new != anchor:
        return "audit.head names another record of this number: one of the two was replaced"
    return ""


def _at_the_end(path: Path, end: Head, anchor: Head | None) -> Problem | None:
    if anchor is None:
        missing = "is missing or illegible: nobody can say whether records at the end of the trail are"
        return Problem(str(path.with_suffix(".head")), 0, "", missing)
    if anchor.n > end.n:
        return Problem(str(path), 0, f"record {end.n + 1}", f"records {end.n + 1} to {anchor.n} are missing at the end")
    return None


def _lines(parts: list[Path]) -> Iterator[tuple[Path, int, bytes]]:
    for part in parts:
        with audit_files.opened(part) as file:
            number = 0
            while line := file.readline(LONGEST + 1):
                number += 1
                yield part, number, line
