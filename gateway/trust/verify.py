"""Whether an audit trail is as it was written."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from gateway.core.errors import Problem
from gateway.trust import files
from gateway.trust.chain import DAMAGED, LONGEST, START, BrokenRecordError, Head, follow, read

TRIES = 100


@dataclass(frozen=True, slots=True)
class Verdict:
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

    @property
    def ok(self) -> bool:
        return self.problem is None


def verify(path: Path) -> Verdict:
    """Read a whole trail, its older parts too, and compare it with its anchor; also while a gateway writes it.

    Raises OSError when it cannot be read, FileNotFoundError when there is none.
    """
    for _ in range(TRIES):
        parts = files.parts(path)
        if not parts and files.read_head(path) is None:
            raise FileNotFoundError(2, "there is no audit trail", str(path))
        try:
            verdict = _verify(path, parts)
        except FileNotFoundError:
            continue  # renamed as a new part was begun
        if parts == files.parts(path):  # else a new part was begun meanwhile
            return verdict
    raise FileNotFoundError(2, "files of the trail come and go, or a link leads nowhere", str(path))


def _verify(path: Path, parts: list[Path]) -> Verdict:
    anchor = files.read_head(path)  # before the records: it may fall behind them, but never runs ahead
    end, torn, said = START, 0, None
    for file, number, line in _lines(parts):
        if file == parts[-1] and not line.endswith(b"\n") and len(line) <= LONGEST:
            torn = len(line)
            break
        try:
            record = read(line)
            end = _next(record, end, anchor)
        except BrokenRecordError as error:
            return Verdict(path, end.n, end, Problem(str(file), number, f"record {end.n + 1}", str(error)))
        if record.get("action") == DAMAGED and said is None:
            said = Problem(str(file), number, f"record {end.n}", f"the gateway found damage here: {record.get('why')}")
    return Verdict(path, end.n, end, _at_the_end(path, end, anchor) or said, torn)


def _next(record: Mapping[str, Any], end: Head, anchor: Head | None) -> Head:
    new = follow(record, end)
    if anchor is not None and new.n == anchor.n and new != anchor:
        raise BrokenRecordError("audit.head names another record of this number: one of the two was replaced")
    return new


def _at_the_end(path: Path, end: Head, anchor: Head | None) -> Problem | None:
    if anchor is None:
        missing = "is missing or illegible: nobody can say whether records at the end of the trail are"
        return Problem(str(path.with_suffix(".head")), 0, "", missing)
    if anchor.n > end.n:
        return Problem(str(path), 0, f"record {end.n + 1}", f"records {end.n + 1} to {anchor.n} are missing at the end")
    return None


def _lines(parts: list[Path]) -> Iterator[tuple[Path, int, bytes]]:
    for part in parts:
        with files.opened(part) as file:
            number = 0
            while line := file.readline(LONGEST + 1):
                number += 1
                yield part, number, line
