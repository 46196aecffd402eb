"""A log after a stop without warning, and all there is to know about it."""

import asyncio
from dataclasses import dataclass, replace
from pathlib import Path

from gateway.core.record import Lane
from gateway.outbox import Outbox, Reader
from gateway.outbox.format import (
    DEFINITION,
    HEADER_SIZE,
    TRAILER_SIZE,
    ClockCorrections,
    is_record,
    read_footer,
    read_header,
    scan,
    synced_path,
)
from gateway.selftest.full_disk import within
from gateway.selftest.logs import bind, block, event, number_of, opened
from gateway.selftest.restart import restarted

RECORDS = 40
"""Of readings in each life of the log that is damaged."""
LIVES = 3
_ACKNOWLEDGED = 15
SINK = "prompt"
SECTION: dict[str, float] = {"keep": 1e9, "ballast": 4096}
"""Of the log that is damaged: no file of it goes."""


@dataclass(frozen=True, slots=True)
class Place:
    """A record in a file."""

    file: str
    begin: int
    end: int
    lane: Lane
    seq: int
    value: int


@dataclass(frozen=True, slots=True)
class Before:
    """A log after a stop without warning, and all there is to know about it."""

    directory: Path
    log_id: str
    files: dict[str, bytes]
    places: list[Place]
    acknowledged: frozenset[tuple[Lane, int]]
    """Lane and number; the last one was refused for good, and is a dead letter."""
    definitions: list[tuple[str, int, int]]
    """File, begin and end."""
    finished: dict[str, tuple[int, int]]
    """Of a file with a footer: where that begins, and the trailer behind it."""

    def restore(self) -> None:
        """The files as they were; in place, for a log is bound to its directory."""
        for path in [path for path in self.directory.rglob("*") if path.is_file()]:
            path.unlink()
        for name, data in self.files.items():
            path = self.directory / name
            path.parent.mkdir(exist_ok=True)
            path.write_bytes(data)

    def open(self) -> set[Place]:
        """What the sink has not acknowledged."""
        return {place for place in self.places if (place.lane, place.seq) not in self.acknowledged}

    def last_file(self, lane: Lane) -> str:
        """The file that was being written."""
        return max(place.file for place in self.places if place.lane is lane)


def prepare(directory: Path) -> Before:
    """Three lives of a log: two that ended in good order, one that did not; a part of it acknowledged, a record refused."""
    directory.mkdir(parents=True)
    synced_path(directory).write_bytes(ClockCorrections({0: 0}).dump())
    before = asyncio.run(_live(directory))
    for name in before.files:
        if name.endswith(".seg"):
            _look(before, name)
    return before


async def _live(directory: Path) -> Before:
    acknowledged: set[tuple[Lane, int]] = set()
    open_receipts = directory / "receipts" / "open.json"
    for life in range(LIVES):
        async with opened(directory, **SECTION) as outbox:
            reader = outbox.reader(SINK, "strict")
            await _fill(outbox, life)
            await within(open_receipts.exists, 30)
            if not life:
                acknowledged = await _acknowledge(reader)
            files = _content(directory)
    return Before(directory, outbox.log_id, files, [], frozenset(acknowledged), [], {})


async def _fill(outbox: Outbox, life: int) -> None:
    device = bind(outbox)
    for number in range(life * RECORDS, (life + 1) * RECORDS):
        outbox.append(block(device, number))
        if number % 10 == 9:
            outbox.append_event(event(number // 10))
        outbox.flush()
    await outbox.written_out(30)


async def _acknowledge(reader: Reader) -> set[tuple[Lane, int]]:
    records = (await reader.take(1000))[:_ACKNOWLEDGED]
    reader.acknowledged(records[:-1])
    reader.refused(records[-1], "the self-test wants it so", True)
    return {(record.lane, record.seq) for record in records}


def _content(directory: Path) -> dict[str, bytes]:
    files = [path for path in directory.rglob("*") if path.suffix != ".part" and path.is_file()]
    return {str(path.relative_to(directory)): path.read_bytes() for path in files}  # a .part is just being written


def _look(before: Before, name: str) -> None:
    data = before.files[name]
    path = before.directory / name
    path.write_bytes(data)
    _, lane, *begins = read_header(data)
    with path.open("rb") as file:
        told = read_footer(path, file.fileno(), lane, (begins[0], begins[1]))
    if told is not None:
        before.finished[name] = (told.size, len(data) - TRAILER_SIZE)
    for begin, head in scan(data, HEADER_SIZE):
        if head.kind == DEFINITION:
            before.definitions.append((name, begin, begin + head.size))
        elif is_record(head):
            before.places.append(Place(name, begin, begin + head.size, Lane(head.lane), head.seq, -1))


async def valued(before: Before) -> Before:
    """With the number that each record carries, as the undamaged log gives it back."""
    before.restore()
    cursors = before.directory / "cursors" / "prompt.json"
    cursors.unlink()
    after = await restarted(before.directory, SINK, **SECTION)
    values = {(record.lane, record.seq): number_of(record) for record in after.delivered}
    return replace(before, places=[replace(place, value=values[place.lane, place.seq]) for place in before.places])
