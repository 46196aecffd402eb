"""A power cut at a random moment: of the readings at most the last commit interval is lost, of the events none.

`POWER_CUTS=100` makes it the full proof; the figures are printed (`pytest -rP`).
"""

import asyncio
import os
import random
from collections.abc import Iterable, Sequence
from pathlib import Path

import pytest

from gateway.core.record import Kind, Lane, Record
from gateway.outbox.format.dead_letter import load_letter
from gateway.outbox.write.lane_file import Entry, LaneFile
from gateway.outbox.write.writer import Writer
from gateway.selftest.logs import CLOCK, ROWS, bind, block, event, number_of, opened, silence
from gateway.selftest.restart import Restart, restarted
from gateway.testing import eventually
from tests.outbox.power_cut import Disk, Photo

CUTS = int(os.environ.get("POWER_CUTS", "20"))
INTERVAL = 0.05


class Turns:
    """What the writer's thread has done and when, so that a machine on which it gets its turn late proves as much."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.written: dict[int, float] = {}
        """Number in the data lane → when its write had ended."""
        self.last = 0.0
        """When the last turn began that is over. What was due by then is synced."""
        step, write = Writer._step, Writer._write_part

        def turn(writer: Writer) -> None:
            begin = CLOCK.monotonic()
            step(writer)
            self.last = begin

        def note(writer: Writer, lane: Lane, entries: Sequence[Entry]) -> None:
            write(writer, lane, entries)
            if lane is Lane.DATA:
                self.written |= dict.fromkeys((entry.seq for entry in entries), CLOCK.monotonic())

        monkeypatch.setattr(Writer, "_step", turn)
        monkeypatch.setattr(Writer, "_write_part", note)


class Life:
    """One life of the log, and what the far side knew when the power went."""

    def __init__(self, turns: Turns) -> None:
        self._turns = turns
        turns.written.clear()
        self.sure_below = 0
        """Data below this number was written a commit interval before a turn of the writer that was over at the cut."""
        self.handed: dict[tuple[Lane, int], Record] = {}
        self.acknowledged: set[tuple[Lane, int]] = set()
        self.cut_ns = 0
        self.photo: Photo | None = None

    async def live(self, directory: Path, disk: Disk, chance: random.Random, number: int) -> int:
        """Until the power goes; gives the next number."""
        async with opened(directory, commit_interval=INTERVAL) as outbox:
            device, reader = bind(outbox), outbox.reader("prompt", "strict")
            end = CLOCK.monotonic() + chance.uniform(0.02, 0.4)
            while CLOCK.monotonic() < end:
                for _ in range(chance.randrange(1, 60)):
                    outbox.append(block(device, number))
                    number += 1
                if chance.random() < 0.3:
                    outbox.append_event(event(number))
                records = await reader.take(1000)
                self.handed |= {(record.lane, record.seq): record for record in records}
                done = records[: chance.randrange(len(records) + 1)]
                reader.acknowledged(done)
                self.acknowledged |= {(record.lane, record.seq) for record in done}
                if chance.random() < 0.1:
                    outbox._tick()
                await asyncio.sleep(chance.choice([0, 0.002, 0.01]))
            due = self._turns.last - INTERVAL
            self.photo, self.cut_ns = disk.photo(), CLOCK.boot_ns()
            self.sure_below = max(
                (seq + 1 for seq, when in self._turns.written.copy().items() if when <= due), default=0
            )
        return number

    def lost(self, after: Restart) -> list[Record]:
        """Records that the far side has not acknowledged and will never be given."""
        given = {(record.lane, record.seq) for record in after.delivered}
        return [record for key, record in self.handed.items() if key not in given | self.acknowledged]


def restore(directory: Path, files: dict[Path, bytes]) -> None:
    for path in [path for path in directory.rglob("*") if path.is_file()]:
        path.unlink()
    for path, data in files.items():
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(data)


def age(records: Iterable[Record], now_ns: int) -> float:
    """Seconds since the oldest was accepted."""
    return max(((now_ns - record.boot_ns) / 1e9 for record in records), default=0.0)


def cut(directory: Path, disk: Disk, turns: Turns, chance: random.Random, number: int) -> tuple[Life, Restart, int]:
    """One life, the cut, and the start after it; gives the next number too."""
    life = Life(turns)
    with silence():
        number = asyncio.run(life.live(directory, disk, chance, number))
        assert life.photo is not None
        restore(directory, life.photo.after_the_cut(chance))
        disk.begin()
        return life, asyncio.run(restarted(directory, "prompt")), number


@pytest.mark.timeout(120 + 10 * CUTS)
def test_a_power_cut_costs_at_most_the_last_commit_interval_and_no_event(tmp_path, monkeypatch, new_seed):
    directory, chance = tmp_path / "outbox", random.Random(new_seed)
    directory.mkdir()
    disk = Disk(directory)
    disk.install(monkeypatch)
    turns = Turns(monkeypatch)
    number, cuts, sure, oldest, lost_readings, cuts_with_loss, handed = 0, 0, 0, 0.0, 0, 0, 0
    while cuts < CUTS or (cuts < 20 * CUTS and not (cuts_with_loss and sure)):
        cuts += 1
        life, after, number = cut(directory, disk, turns, chance, number)
        lost = life.lost(after)
        assert [record.id for record in lost if record.lane is Lane.ALARM] == []
        oldest = max(oldest, age(lost, life.cut_ns))
        assert [record.id for record in lost if record.seq < life.sure_below] == []
        sure += life.sure_below > 0
        for record in after.delivered:
            before = life.handed.get((record.lane, record.seq))
            same = before is None or (before.kind, number_of(before)) == (record.kind, number_of(record))
            assert same, f"{record.id} names two records"
        new = [record.seq for record in after.delivered if record.lane is Lane.DATA and record.boot_ns > life.cut_ns]
        assert min(new) > max((seq for lane, seq in life.handed if lane is Lane.DATA), default=0)
        assert list(after.imbalance(ROWS)) == []
        told = [record.body for record in after.delivered if record.kind is Kind.LOSS and record.boot_ns > life.cut_ns]
        data = [body for body in told if body["lane"] == Lane.DATA.word]
        early = [body for body in data if body["ranges"][0][0] < life.sure_below]
        assert early == [], f"told of what was synced, below {life.sure_below}"
        lost_readings += ROWS * len(lost)
        cuts_with_loss += bool(lost)
        handed += len(life.handed)
    print(
        f"{cuts} power cuts, {handed} records handed out: no event lost; readings lost at {cuts_with_loss} cuts, "
        f"{lost_readings} in all, the oldest {oldest * 1000:.0f} ms before the cut (commit interval {INTERVAL * 1000:.0f} ms)"
    )
    assert cuts_with_loss, "a test in which nothing is ever lost proves nothing"
    assert sure, "nor does one in which nothing is ever due"


def is_durable(photo: Photo, path: Path) -> bool:
    """Whether no cut can take the file, or anything of it."""
    content = photo.live.get(path)
    return content is not None and photo.synced.get(path) == content and all(name != path for name, _ in photo.undo)


@pytest.mark.timeout(180)
async def test_a_dead_letter_is_soon_as_durable_as_what_it_was_taken_from(tmp_path, monkeypatch, new_seed):
    directory, chance = tmp_path / "outbox", random.Random(new_seed)
    directory.mkdir()
    disk = Disk(directory)
    disk.install(monkeypatch)
    async with opened(directory) as outbox:
        device, reader = bind(outbox), outbox.reader("prompt", "strict")
        outbox.append(block(device, 1))
        await outbox.written_out(30)
        (record,) = await reader.take(1)
        reader.refused(record, "too large", True)
        (letter,) = outbox.dead.named([record.id], None)
        path = directory / "dead" / letter
        await eventually(lambda: is_durable(disk.photo(), path), 30)
        after = disk.photo().after_the_cut(chance)
        assert load_letter(after[path]).record.id == record.id


@pytest.mark.timeout(180)
def test_a_log_that_does_not_sync_is_found_out(tmp_path, monkeypatch):
    directory, chance = tmp_path / "outbox", random.Random(1)
    directory.mkdir()
    disk = Disk(directory)
    disk.install(monkeypatch)
    turns = Turns(monkeypatch)
    monkeypatch.setattr(LaneFile, "commit", lambda self: None)
    lost: list[Record] = []
    while not any(record.lane is Lane.ALARM for record in lost):
        life, after, _ = cut(directory, disk, turns, chance, 0)
        lost += life.lost(after)
