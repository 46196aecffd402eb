"""What goes when there is too much of it, and what is said of it."""

import asyncio
import errno
import json
import os
import shutil
import subprocess
import sys
import threading
from pathlib import Path
from typing import NoReturn

import pytest

from gateway.core.record import Kind, Lane, Record
from gateway.outbox import outbox as outbox_module
from gateway.outbox.format import segment as segment_module
from gateway.outbox.format.cursor import read_cursor
from gateway.outbox.format.segment import Segment
from gateway.outbox.retention import default_max_size, done_with, surplus
from gateway.outbox.write import admission as admission_module
from gateway.outbox.write.writer import Group, Writer
from gateway.status import rendered
from tests.outbox.making import block, fill, spec, take, until

ROOT = Path(__file__).parents[2]


def segments(lane: Lane, count: int, size: int = 100) -> list[Segment]:
    return [
        Segment(Path(f"{lane.word}{i}"), lane, 10 * i + 1, 0, 10 * i + 10, 0, 10, size=size, boot_to=1000 * (i + 1))
        for i in range(count)
    ]


def test_the_oldest_data_goes_first_then_alarms_and_never_what_is_being_written():
    lanes = {Lane.ALARM: segments(Lane.ALARM, 3), Lane.DATA: segments(Lane.DATA, 3)}
    assert [s.path.name for s in surplus(lanes, 0)] == []
    assert [s.path.name for s in surplus(lanes, 101)] == ["data0", "data1"]
    assert [s.path.name for s in surplus(lanes, 10_000)] == ["data0", "data1", "alarm0", "alarm1"]


def test_a_file_goes_when_all_of_it_is_settled_and_old_enough():
    files = segments(Lane.DATA, 4)
    assert [s.path.name for s in done_with(files, 21, 10_000)] == ["data0", "data1"]
    assert [s.path.name for s in done_with(files, 20, 10_000)] == ["data0"]
    assert [s.path.name for s in done_with(files, 21, 1500)] == ["data0"]
    assert [s.path.name for s in done_with(files, 1000, 10_000)] == ["data0", "data1", "data2"]
    files[0].boot_to = None
    assert done_with(files, 21, 10_000) == [], "its age is not known yet"
    assert [s.path.name for s in done_with(files, 21, None)] == ["data0", "data1"], "no history is wished for"


async def delivered(log, context, starts=(0, 5)):
    """A log with two finished files that the sink has had, kept as history."""
    for start in starts:
        async with log.opened(keep=3600.0) as outbox:
            reader = outbox.reader("central")
            await fill(outbox, outbox.bind(spec(), context), range(start, start + 5))
            reader.acknowledged(await take(reader, 5))


@pytest.mark.parametrize("step", [365 * 86_400.0, -365 * 86_400.0])
async def test_a_step_of_the_clock_ages_no_history_of_an_earlier_run(log, context, step):
    await delivered(log, context)
    async with log.opened(keep=3600.0) as outbox:
        await fill(outbox, outbox.bind(spec(), context), range(10, 11))
        outbox.reader("central").acknowledged(await take(outbox.reader("central"), 1))
        outbox._tick()
        log.clock.step(step)
        log.clock.advance(3000)
        outbox._tick()
        await outbox.written_out(5)
        assert len(log.files()) == 3
        log.clock.advance(700)
        outbox._tick()
        await until(lambda: len(log.files()) == 1)


async def test_before_the_clock_was_set_no_history_ages_by_it(log, context):
    await delivered(log, context)
    log.clock.step(365 * 86_400.0)
    log.clock.synced = False
    async with log.opened(keep=3600.0) as outbox:
        outbox.reader("central")
        await fill(outbox, outbox.bind(spec(), context), range(10, 11))
        outbox._tick()
        await outbox.written_out(5)
        assert len(log.files()) == 3
        log.clock.step(-365 * 86_400.0)
        log.clock.synced = True
        outbox._tick()
        await outbox.written_out(5)
        assert len(log.files()) == 3
        log.clock.advance(3700)
        outbox.reader("central").acknowledged(await take(outbox.reader("central"), 1))
        outbox._tick()
        await until(lambda: len(log.files()) == 1)


def test_by_default_it_takes_a_quarter_of_the_free_disk_and_at_most_8_gib():
    assert default_max_size(free=3000, own=1000) == 1000
    assert default_max_size(free=2**40, own=0) == 8 * 2**30


async def test_beyond_its_size_the_oldest_goes_and_each_loss_is_a_record(log, context):
    async with log.opened(max_size=1024 * 1024, segment_size=64 * 1024, min_free=0) as outbox:
        device = outbox.bind(spec(tags=50), context)
        reader = outbox.reader("central", "strict")
        for start in range(0, 6000, 500):
            await fill(outbox, device, range(start, start + 500))
        await until(lambda: outbox.size <= 1024 * 1024)
        data, lost, losses = [], set(), []
        while len(data) + len(lost) < 6000:
            for record in await take(reader, 1):
                reader.acknowledged([record])
                if record.lane is Lane.DATA:
                    data.append(record.seq)
                else:
                    losses.append(record.body)
                    lost |= {seq for low, high in record.body["ranges"] for seq in range(low, high + 1)}
        assert sorted(lost) + data == list(range(1, 6001)), "the oldest are lost, the rest comes in sequence"
        assert sum(loss["rows"] for loss in losses) == 50 * len(lost)
        assert all(loss["from_ns"] and loss["reason"] == "the outbox reached its 1.0 MiB" for loss in losses)
        lane = rendered(reader.status())["lanes"]["data"]
        assert lane["dropped"] == {"the outbox reached its 1.0 MiB": 50 * len(lost)}
        assert lane["accepted"] == lane["acknowledged"] + 50 * len(lost) == 300_000


async def test_a_sink_that_had_it_already_loses_nothing(log, context):
    async with log.opened(max_size=1024 * 1024, segment_size=64 * 1024, min_free=0) as outbox:
        device = outbox.bind(spec(tags=50), context)
        quick, dead = outbox.reader("quick"), outbox.reader("dead")
        losses: list[Record] = []

        async def taken(count: int) -> None:
            records = await take(quick, count, limit=1000)
            quick.acknowledged(records)
            losses.extend(record for record in records if record.kind is Kind.LOSS)

        for start in range(0, 6000, 500):
            await fill(outbox, device, range(start, start + 500))
            await taken(500)
        await until(lambda: outbox.size <= 1024 * 1024)
        assert quick.status().lanes["data"].dropped == {}
        assert sum(dead.status().lanes["data"].dropped.values()) > 0
        while not losses:
            await taken(1)
        assert {sink for loss in losses for sink in loss.body["sinks"]} == {"dead"}


async def test_acknowledged_data_stays_as_long_as_keep_wishes(log, context):
    async with log.opened(segment_size=64 * 1024, keep=3600.0) as outbox:
        device = outbox.bind(spec(tags=50), context)
        reader = outbox.reader("central")
        await fill(outbox, device, range(1000))
        reader.acknowledged(await take(reader, 1000, limit=2000))
        many = len(log.files())
        outbox._tick()
        await until(lambda: outbox.status().room.free is not None)
        assert len(log.files()) == many > 3
        log.clock.advance(3700)
        await until(lambda: len(log.files()) == 1)


async def test_a_clock_that_is_set_neither_ages_what_is_kept_nor_keeps_it_longer(log, context):
    async with log.opened(segment_size=64 * 1024, keep=3600.0) as outbox:
        device = outbox.bind(spec(tags=50), context)
        reader = outbox.reader("central")
        await fill(outbox, device, range(1000))
        reader.acknowledged(await take(reader, 1000, limit=2000))
        many = len(log.files())
        for year in (1, -2, 1):
            log.clock.step(year * 365 * 86400)
            outbox._tick()
            reader.acknowledged(await take(reader, 1))
            assert len(log.files()) == many
        log.clock.step(-365 * 86400)
        log.clock.advance(3700)
        await until(lambda: len(log.files()) == 1)


async def test_what_stays_for_history_only_goes_before_a_sink_loses_anything(log, context):
    async with log.opened(max_size=1024 * 1024, segment_size=64 * 1024, min_free=0, keep=1e9) as outbox:
        device = outbox.bind(spec(tags=50), context)
        reader = outbox.reader("central")
        await fill(outbox, device, range(100))
        first, *others = await take(reader, 100, limit=1000)
        reader.acknowledged(others)
        for start in range(100, 6100, 500):
            await fill(outbox, device, range(start, start + 500))
            reader.acknowledged(await take(reader, 500, limit=1000))
        await until(lambda: outbox.size <= 1024 * 1024)
        lane = rendered(reader.status())["lanes"]["data"]
        assert (lane["pending"], lane["dropped"]) == (50, {}), "the oldest file of all holds what is still to come"
        assert log.files()[0].name == f"{1:016x}.seg"
        reader.rewind()
        assert [record.id for record in await take(reader, 1)] == [first.id]


async def test_history_makes_room_before_what_is_new_is_turned_away(log, context):
    policy = {"when_full": "drop_newest", "events_when_full": "drop_newest"}
    async with log.opened(max_size=1024 * 1024, segment_size=64 * 1024, min_free=0, keep=1e9, **policy) as outbox:
        device = outbox.bind(spec(tags=50), context)
        reader = outbox.reader("central")
        for start in range(0, 6000, 250):
            await fill(outbox, device, range(start, start + 250))
            reader.acknowledged(await take(reader, 250, limit=1000))
            outbox._tick()
        await until(lambda: outbox.size <= 1024 * 1024)
        assert outbox.status().room.not_accepted == 0


class FullDisk:
    """Makes every write to a segment fail, as a full disk does, while it is full."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.full = False
        self._write = os.pwrite
        monkeypatch.setattr(segment_module.os, "pwrite", self._pwrite)

    def _pwrite(self, file: int, data: bytes, offset: int) -> int:
        if self.full:
            half = len(data) // 2
            if half:
                self._write(file, bytes(data)[:half], offset)
            raise OSError(errno.ENOSPC, "No space left on device")
        return self._write(file, data, offset)


async def test_a_full_disk_kills_nothing_and_what_waits_in_memory_is_written_when_there_is_room(
    log, context, monkeypatch
):
    disk = FullDisk(monkeypatch)
    async with log.opened(min_free=0) as outbox:
        device = outbox.bind(spec(), context)
        reader = outbox.reader("central", "strict")
        await fill(outbox, device, range(10))
        disk.full = True
        for number in range(10, 20):
            outbox.append(block(device, number))
        await until(lambda: "No space" in outbox.status().disk)
        assert outbox.status().lanes["data"].accepted == 30
        disk.full = False
        await until(lambda: outbox.status().disk == "ok")
        records = await take(reader, 20)
        assert [record.seq for record in records] == list(range(1, 21))
    assert log.files()[0].stat().st_size < 20_000


async def test_a_full_disk_makes_the_oldest_file_go(log, context, monkeypatch):
    disk = FullDisk(monkeypatch)
    async with log.opened(min_free=0, segment_size=64 * 1024) as outbox:
        device = outbox.bind(spec(tags=50), context)
        reader = outbox.reader("central", "strict")
        await fill(outbox, device, range(1000))
        files = len(log.files())
        disk.full = True
        outbox.append(block(device, 1000))
        await until(lambda: len(log.files()) < files)
        disk.full = False
        await until(lambda: outbox.status().disk == "ok")
        await until(lambda: reader.pending["alarm"])
        lane = rendered(reader.status())["lanes"]["data"]
        assert lane["accepted"] == lane["pending"] + lane["dropped"]["disk full"] == 1001 * 50


async def test_a_disk_that_does_not_say_how_full_it_is_ends_nothing(log, context, monkeypatch):
    asked = asyncio.Event()

    async with log.opened(min_free=0) as outbox:
        loop, device = asyncio.get_running_loop(), outbox.bind(spec(), context)
        reader = outbox.reader("central", "strict")

        def fail(path: object) -> NoReturn:
            loop.call_soon_threadsafe(asked.set)
            raise OSError(errno.EIO, "Input/output error")

        with monkeypatch.context() as broken:
            broken.setattr("gateway.outbox.write.writer.os.statvfs", fail)
            outbox._tick()
            await asked.wait()
        outbox.append(block(device, 1))
        assert len(await take(reader, 1)) == 1


async def test_when_memory_is_full_too_readings_are_turned_away_and_counted(log, context, monkeypatch):
    disk = FullDisk(monkeypatch)
    monkeypatch.setattr(admission_module, "QUEUED_AT_MOST", {Lane.DATA: 10_000, Lane.ALARM: 20_000})
    async with log.opened(min_free=0) as outbox:
        device = outbox.bind(spec(), context)
        reader = outbox.reader("central", "strict")
        disk.full = True
        for number in range(500):
            outbox.append(block(device, number))
            if number % 20 == 0:
                outbox.flush()
        away = outbox.status().room.not_accepted
        assert 0 < away < 1500
        disk.full = False
        await outbox.written_out(20)
        await until(lambda: reader.pending["alarm"])
        records = await take(reader, 1)
        loss = next(record.body for record in records if record.kind is Kind.LOSS)
        assert (loss["rows"], loss["accepted"], loss["ranges"]) == (away, False, [])
        assert reader.status().lanes["data"].accepted == 1500 - away


async def test_a_stop_with_a_full_disk_ends_and_the_next_start_tells_the_skip(log, context, monkeypatch):
    disk = FullDisk(monkeypatch)
    monkeypatch.setattr(outbox_module, "_PATIENCE", 0.2)
    async with log.opened(min_free=0) as outbox:
        device = outbox.bind(spec(), context)
        outbox.reader("central")
        await fill(outbox, device, range(5))
        disk.full = True
        outbox.append(block(device, 5))
    disk.full = False
    async with log.opened(min_free=0) as outbox:
        reader = outbox.reader("central", "strict")
        records = await take(reader, 7)
        assert [record.seq for record in records if record.lane is Lane.DATA] == [1, 2, 3, 4, 5]
        assert {record.kind for record in records if record.lane is Lane.ALARM} == {Kind.SKIP}


@pytest.mark.timeout(180)
def test_a_disk_that_refuses_writes_loses_nothing_that_was_accepted(tmp_path):
    command = [sys.executable, "-m", "tests.outbox.full_disk_child", str(tmp_path / "outbox"), str(40_000)]
    result = subprocess.run(command, capture_output=True, text=True, timeout=150, cwd=ROOT, check=False)
    assert result.returncode == 0, result.stderr
    told = json.loads(result.stdout.splitlines()[-1])
    assert told["values"] == list(range(300))
    assert told["lane"]["accepted"] == told["lane"]["acknowledged"] == 30_000


_SMALL_DISK = ["unshare", "--user", "--mount", "--map-root-user", "sh", "-c"]


@pytest.mark.slow
@pytest.mark.timeout(400)
@pytest.mark.parametrize("policy", ["drop_oldest", "drop_newest"])
def test_a_small_disk_that_others_fill_loses_only_by_policy_and_comes_free(tmp_path, policy):
    """On a real full disk, a tmpfs of 4 MB, for 10 s; the balance is that of the next start."""
    if (
        not shutil.which("unshare")
        or subprocess.run([*_SMALL_DISK, "true"], capture_output=True, check=False).returncode
    ):
        pytest.skip(
            "needs the right to mount in a namespace: sysctl kernel.unprivileged_userns_clone=1, or run as root"
        )
    child = [sys.executable, "-m", "tests.outbox.small_disk_child", str(tmp_path), policy, "10"]
    command = [*_SMALL_DISK, 'mount -t tmpfs -o size=4m tmpfs "$0" && exec "$@"', str(tmp_path), *child]
    result = subprocess.run(command, capture_output=True, text=True, timeout=360, cwd=ROOT, check=False)
    assert result.returncode == 0, result.stderr
    told = json.loads(result.stdout.splitlines()[-1])
    lane = told["balance"]
    dropped = sum(lane["dropped"].values())
    assert lane["accepted"] == lane["acknowledged"] + dropped == told["offered"] - told["away"]
    assert (told["named_rows"], told["away_rows"], told["unnamed"]) == (dropped, told["away"], [])
    assert bool(dropped) == (policy == "drop_oldest")
    assert told["away"]
    assert told["numbers"] == list(range(told["events"])), "no event is lost"
    print(policy, {name: told[name] for name in ("offered", "away", "events", "given_back")}, "dropped", dropped)


async def test_a_file_goes_only_after_the_cursors_that_no_longer_want_it_are_on_disk(log, context, monkeypatch):
    """Also when the writer has other work before it: a kill -9 in between would make a loss of what was delivered."""
    gone, held = [], threading.Event()
    unlink, write = Path.unlink, Writer._write

    def watched(path: Path, missing_ok: bool = False) -> None:
        if path.suffix == ".seg":
            _, cursor = read_cursor(log.directory / "cursors" / "central.json", outbox.log_id)
            gone.append((int(path.stem, 16), cursor[Lane.DATA].seqs.gap(0)))
        unlink(path, missing_ok=missing_ok)

    def waiting(writer: Writer, group: Group) -> None:
        held.wait(25)
        write(writer, group)

    held.set()
    for start in (0, 5):
        async with log.opened() as outbox:
            outbox.reader("central")
            await fill(outbox, outbox.bind(spec(), context), range(start, start + 5))
    async with log.opened() as outbox:
        device, reader = outbox.bind(spec(), context), outbox.reader("central")
        await fill(outbox, device, range(10, 15))
        records = await take(reader, 15)
        monkeypatch.setattr(Path, "unlink", watched)
        monkeypatch.setattr(Writer, "_write", waiting)
        held.clear()
        outbox.append(block(device, 15))
        outbox.flush()
        reader.acknowledged(records)
        outbox._tick()
        held.set()
        await until(lambda: len(gone) == 2)
    assert [first for first, _ in gone] == [1, 6]
    assert all(settled == 16 for _, settled in gone)
