"""The state of a log at a start: its files, where its numbers go on, and how far each sink had come."""

from dataclasses import dataclass, field
from pathlib import Path

import structlog

from gateway.core.record import Lane
from gateway.outbox.format import (
    DICTIONARY_AT_MOST,
    HEADER_SIZE,
    ClockCorrections,
    Dictionary,
    LaneCursor,
    Numbers,
    NumbersFile,
    SetAside,
    boot_number,
    definitions_of,
    identify,
    read_cursor,
    read_synced,
    synced_path,
)
from gateway.outbox.start.aside import clear_the_way, make_folder
from gateway.outbox.start.recovery import Recovered, recover
from gateway.outbox.write import RESERVED
from gateway.places.durable import write_whole
from gateway.places.regular import read_regular
from gateway.status import RecoveredStatus

log = structlog.get_logger()

_FAR = 1 << 20
"""How far numbering leaps when it is not known which numbers were given out."""


@dataclass(slots=True)
class State:
    """Everything a start needs to know."""

    log_id: str
    found: Recovered
    numbers: NumbersFile
    dictionary: Dictionary
    cursors: dict[str, dict[Lane, LaneCursor]]
    boot: int
    epoch: int
    born_ns: int
    """When the log was made, ns since 1970."""
    loaded_ns: int
    """When it was loaded."""
    offset: int
    """Wall clock less boot clock, ns: what was known last in this boot, else now."""
    synced: ClockCorrections
    next_seq: dict[Lane, int] = field(default_factory=dict)
    total: dict[Lane, int] = field(default_factory=dict)
    skipped: dict[Lane, tuple[int, int]] = field(default_factory=dict)
    """First and last number that will never be used, per lane."""
    set_aside: SetAside | None = None
    """The log that stood here before, and could not be gone on with."""

    def status(self) -> RecoveredStatus:
        """What the start found."""
        return RecoveredStatus(
            torn_bytes=self.found.torn_bytes,
            damaged=self.found.damaged,
            unreadable=self.found.unreadable,
            skipped={lane.word: numbers for lane, numbers in self.skipped.items()},
        )


def load(directory: Path, wall_ns: int, boot_ns: int) -> State:
    """Read, recover, and promise the next numbers to the disk; it is now this time by the wall and the boot clock. Raises
    OSError only if the directory cannot be written at all."""
    odd = make_folder(directory)
    odd += clear_the_way(directory)
    identity = identify(directory)
    name = identity.log
    found = recover(directory, name)
    found.unreadable += odd
    numbers = NumbersFile(directory / "numbers")
    boot = boot_number()
    cursors = _load_cursors(directory / "cursors", name)
    born_ns = (directory / "log.json").stat().st_mtime_ns
    synced = read_synced(synced_path(directory))
    dictionary = _load_dictionary(directory, found)
    state = State(name, found, numbers, dictionary, cursors, boot, 0, born_ns, wall_ns, wall_ns - boot_ns, synced)
    state.set_aside = identity.set_aside
    before = numbers.numbers
    if before is not None:
        if before.boot == boot:
            state.epoch, state.offset = before.epoch, before.offset
        else:
            state.epoch = before.epoch + 1
    for lane in Lane:
        _go_on(state, lane, before)
    reserved = {lane: state.next_seq[lane] + RESERVED[lane] for lane in Lane}
    numbers.write(
        Numbers(reserved=(reserved[Lane.ALARM], reserved[Lane.DATA]), boot=boot, epoch=state.epoch, offset=state.offset)
    )
    return state


def _go_on(state: State, lane: Lane, before: Numbers | None) -> None:
    segments = state.found.lanes[lane]
    cursors = [lanes[lane] for lanes in state.cursors.values()]
    known = max([1, segments[-1].last + 1 if segments else 1, *(cursor.seqs.end for cursor in cursors)])
    total = max([0, segments[-1].end if segments else 0, *(cursor.rows.end for cursor in cursors)])
    if before is None:
        is_new = state.numbers.is_new and known == 1
        start = 1 if is_new else known + _FAR
    elif before.clean:
        start = known = max(known, before.next[lane])
        total = max(total, before.total[lane])
    else:
        start = max(known, before.reserved[lane])
    if start > known:
        state.skipped[lane] = (known, start - 1)
    state.next_seq[lane], state.total[lane] = start, total


def _load_dictionary(directory: Path, found: Recovered) -> Dictionary:
    dictionary = Dictionary()
    path = directory / "tags"
    try:
        whole = dictionary.load(read_regular(path, DICTIONARY_AT_MOST))
    except FileNotFoundError:
        whole = not any(found.lanes.values())
    except OSError as error:
        log.warning("the outbox's tag dictionary cannot be read", file=str(path), error=str(error))
        whole = False
    if not whole:
        log.warning("the outbox's tag dictionary is damaged; it is made anew from the segments", file=str(path))
        for segment in found.lanes[Lane.DATA]:
            dictionary.learn_all(definitions_of(segment.path, HEADER_SIZE))
            dictionary.forget_old()
    if not whole or dictionary.file_is_long:
        try:
            write_whole(path, dictionary.dump())
        except OSError as error:
            log.warning("the tag dictionary cannot be written", file=str(path), error=str(error))
    return dictionary


def _load_cursors(directory: Path, log_id: str) -> dict[str, dict[Lane, LaneCursor]]:
    directory.mkdir(exist_ok=True)
    cursors = {}
    for path in sorted(directory.glob("*.json")):
        try:
            sink, cursor = read_cursor(path, log_id)
            cursors[sink] = cursor
        except (OSError, ValueError) as error:
            log.warning("a cursor is damaged; its sink gets again what is on disk", file=str(path), error=str(error))
    return cursors
