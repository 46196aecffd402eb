"""Torn writes, flipped bytes, lost files: no start is refused, what is whole is delivered, what is lost is named."""

import asyncio
import random
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from fnmatch import fnmatch
from pathlib import Path

from gateway.core.record import Lane
from gateway.outbox.format import HEAD_SIZE, HEADER_SIZE, TRAILER_SIZE
from gateway.selftest.before import SECTION, SINK, Before, Place, prepare, valued
from gateway.selftest.check import Check, Progress
from gateway.selftest.logs import ROWS, number_of
from gateway.selftest.restart import Restart, restarted

_SMALL = (
    *("numbers", "cursors/prompt.json", "tags", "ballast", "synced.json"),
    *("receipts/open.json", "receipts/*.pending", "receipts/*.index", "dead/*.dead"),
)


@dataclass(frozen=True, slots=True)
class InjectedFault:
    """What was done to the files, and which records it may cost."""

    what: str
    hit: frozenset[Place] = frozenset()
    new_log: bool = False
    """Whether the log may begin anew, the old one set aside whole."""
    again: bool = False
    """Whether the sink may get again what it has acknowledged."""


Doing = Callable[[Before, random.Random], InjectedFault]


def torn(before: Before, chance: random.Random) -> InjectedFault:
    """The last write of a lane reached the disk in part: cut short, or with zeros or rubbish in place of the rest."""
    name = before.last_file(chance.choice(list(Lane)))
    data = before.files[name]
    cut = chance.randrange(HEADER_SIZE, len(data))
    rest = len(data) - cut
    tail = chance.choice([b"", b"", bytes(rest), chance.randbytes(rest)])
    (before.directory / name).write_bytes(data[:cut] + tail)
    hit = frozenset(place for place in before.places if place.file == name and place.end > cut)
    return InjectedFault(f"{name} cut at byte {cut}" + (", rubbish behind" if tail else ""), hit)


def _flip(before: Before, chance: random.Random, name: str, begin: int, end: int) -> str:
    data = bytearray(before.files[name])
    at = chance.randrange(begin, end)
    data[at] ^= chance.randrange(1, 256)
    (before.directory / name).write_bytes(data)
    return f"{name}, byte {at}"


def _in_records(begin: Callable[[Place], int], end: Callable[[Place], int]) -> Doing:
    def flip(before: Before, chance: random.Random) -> InjectedFault:
        place = chance.choice(before.places)
        return InjectedFault(_flip(before, chance, place.file, begin(place), end(place)), frozenset([place]))

    return flip


def _in_definition(before: Before, chance: random.Random) -> InjectedFault:
    return InjectedFault(_flip(before, chance, *chance.choice(before.definitions)))


def _in_file_header(before: Before, chance: random.Random) -> InjectedFault:
    name = chance.choice([name for name in before.files if name.endswith(".seg")])
    hit = frozenset(place for place in before.places if place.file == name)
    return InjectedFault(_flip(before, chance, name, 0, HEADER_SIZE), hit)


def _in_footer(before: Before, chance: random.Random) -> InjectedFault:
    name, (begin, end) = chance.choice(list(before.finished.items()))
    return InjectedFault(_flip(before, chance, name, begin, end))


def _in_trailer(before: Before, chance: random.Random) -> InjectedFault:
    name, (_, begin) = chance.choice(list(before.finished.items()))
    return InjectedFault(_flip(before, chance, name, begin, begin + TRAILER_SIZE))


def _one_of(before: Before, pattern: str, chance: random.Random) -> str:
    return chance.choice([name for name in before.files if fnmatch(name, pattern)])


def _in_file(pattern: str) -> Doing:
    def flip(before: Before, chance: random.Random) -> InjectedFault:
        name = _one_of(before, pattern, chance)
        return InjectedFault(
            _flip(before, chance, name, 0, len(before.files[name])),
            new_log=name == "log.json",
            again=name.startswith("cursors"),
        )

    return flip


FLIPS: dict[str, Doing] = {
    "header of a record": _in_records(lambda place: place.begin, lambda place: place.begin + HEAD_SIZE - 4),
    "checksum of a record": _in_records(
        lambda place: place.begin + HEAD_SIZE - 4, lambda place: place.begin + HEAD_SIZE
    ),
    "payload": _in_records(lambda place: place.begin + HEAD_SIZE, lambda place: place.end),
    "definition of tags": _in_definition,
    "header of a file": _in_file_header,
    "footer": _in_footer,
    "trailer": _in_trailer,
    **{name: _in_file(name) for name in (*_SMALL, "log.json")},
}


def _gone(pattern: str) -> Doing:
    def remove(before: Before, chance: random.Random) -> InjectedFault:
        name = _one_of(before, pattern, chance)
        path = before.directory / name
        data = chance.choice([None, b"", chance.randbytes(200)])
        path.unlink() if data is None else path.write_bytes(data)
        what = "missing" if data is None else "empty" if not data else "overwritten"
        return InjectedFault(f"{name} {what}", again=name.startswith("cursors"))

    return remove


GONE = {name: _gone(name) for name in _SMALL}


def damage_checks(directory: Path, trials: int, chance: random.Random, progress: Progress) -> Iterable[Check]:
    """All of them; the log is made in `directory`."""
    before = prepare(directory / "damaged")
    before = asyncio.run(valued(before))
    yield _tried("a write torn at a random byte", {"torn": torn}, before, trials, chance, progress)
    for name, doing in FLIPS.items():
        yield _tried(f"a flipped byte: {name}", {name: doing}, before, max(1, trials // 5), chance, progress)
    yield _tried("a lost or overwritten file", GONE, before, max(3, trials // 5), chance, progress)


def _tried(
    name: str, doings: dict[str, Doing], before: Before, trials: int, chance: random.Random, progress: Progress
) -> Check:
    check = Check(name)
    check.figures = {
        "trials": trials,
        "starts refused": 0,
        "records damaged": 0,
        "of them not named": 0,
        "whole records lost": 0,
        "numbers reused": 0,
    }
    for trial in range(trials):
        progress(name, trial, trials)
        before.restore()
        damage = list(doings.values())[trial % len(doings)](before, chance)
        try:
            after = asyncio.run(restarted(before.directory, SINK, **SECTION))
        except Exception as error:  # noqa: BLE001 - whatever it is, the start was refused
            check.add("starts refused", 1)
            check.fail(f"{damage.what}: the start was refused: {type(error).__name__}: {error}")
            continue
        judge(check, before, damage, after)
    return check.done()


def judge(check: Check, before: Before, damage: InjectedFault, after: Restart) -> None:
    """Compare what the log gave back with what was in it."""

    def expect(holds: bool, text: str) -> None:
        check.expect(holds, f"{damage.what}: {text}")

    if damage.new_log and after.log_id != before.log_id:
        aside = [path.read_bytes() for path in before.directory.glob("set-aside/*/*/*.seg")]
        expect(
            sorted(aside) == sorted(data for name, data in before.files.items() if name.endswith(".seg")),
            "a new log began, and not all files of the old one were set aside",
        )
        return
    expect(after.log_id == before.log_id, "a new log began")
    delivered = {(record.lane, record.seq): number_of(record) for record in after.delivered}
    for place in before.open():
        given = delivered.get((place.lane, place.seq))
        if given is None:
            check.add("records damaged" if place in damage.hit else "whole records lost", 1)
            expect(place in damage.hit, f"{place.lane.word} {place.seq} was whole, and is lost")
            if place.seq not in after.named[place.lane]:
                check.add("of them not named", 1)
                expect(False, f"{place.lane.word} {place.seq} is lost, and no loss or skip names it")
        else:
            expect(given == place.value, f"{place.lane.word} {place.seq} came back as another record")
    used = {(place.lane, place.seq) for place in before.places}
    known = {(place.lane, place.seq): place.value for place in before.places}
    for key, value in delivered.items():
        if key in used and value != known[key]:
            check.add("numbers reused", 1)
            expect(False, f"{key[0].word} {key[1]} names two records")
        expect(
            damage.again or key not in before.acknowledged, f"{key[0].word} {key[1]} was acknowledged, and came again"
        )
    for text in after.imbalance(ROWS):
        expect(False, text)
