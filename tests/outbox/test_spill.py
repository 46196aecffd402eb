"""`mode = "spill"`: readings that a sink takes at once never come to the disk; the others do, and every account is right."""

import asyncio

import pytest
from pydantic import ValidationError

from gateway.config.model import OutboxSection
from gateway.core.record import Kind, Lane, Record
from gateway.outbox import Reader
from gateway.outbox.inspect.log_files import LogFiles
from gateway.outbox.inspect.verification import verify
from gateway.outbox.write import spill as spill_module
from gateway.outbox.write.lane_file import Entry
from gateway.outbox.write.spill import HELD_AT_MOST, HOLD, Spill
from gateway.status import rendered
from tests.outbox.making import fill, spec, until, values


def entries(*seqs: int, size: int = 10) -> list[Entry]:
    return [Entry(seq, 3 * seq, 3, 0, None, bytes(size)) for seq in seqs]


def seqs(taken) -> list[int]:
    return [entry.seq for entry in taken]


async def take_data(reader: Reader, count: int) -> list[Record]:
    """So many records of readings, in sequence; receipts and events that come between are acknowledged."""
    records: list[Record] = []
    async with asyncio.timeout(20):
        while len(records) < count:
            await reader.wait()
            taken = await reader.take(2000)
            reader.acknowledged(record for record in taken if record.lane is Lane.ALARM)
            records += [record for record in taken if record.lane is Lane.DATA]
    return records


def test_what_every_sink_has_is_forgotten_and_what_is_too_old_is_written():
    spill = Spill(on_disk=0)
    spill.settle(1)
    spill.hold(entries(1, 2), 0.0)
    spill.hold(entries(3, 4), 1.0)
    spill.hold(entries(5, 6), 1.5)
    assert seqs(spill.take(1.9)) == []
    spill.settle(3)
    assert seqs(spill.take(HOLD)) == []
    assert spill.due == 1.0 + HOLD
    assert seqs(spill.take(1.0 + HOLD)) == [3, 4]


def test_while_a_sink_is_behind_the_disk_everything_is_written_at_once():
    spill = Spill(on_disk=10)
    spill.settle(5)
    spill.hold(entries(11), 0.0)
    assert seqs(spill.take(0.0)) == [11]
    spill.settle(12)
    spill.hold(entries(12), 0.1)
    assert seqs(spill.take(0.1)) == []


def test_memory_is_bounded():
    spill = Spill(on_disk=0)
    spill.settle(1)
    spill.hold(entries(1, size=HELD_AT_MOST), 0.0)
    spill.hold(entries(2), 0.0)
    assert seqs(spill.take(0.0)) == [1]
    assert seqs(spill.take(0.0)) == [2], "and then a sink is behind the disk"


async def test_what_is_acknowledged_in_time_is_never_written_and_the_account_goes_on(log, context, monkeypatch):
    monkeypatch.setattr(spill_module, "HOLD", 60.0)
    for start in (0, 100):
        async with log.opened(mode="spill") as outbox:
            device, reader = outbox.bind(spec(), context), outbox.reader("central")
            outbox._tick()
            await fill(outbox, device, range(start, start + 100))
            records = await take_data(reader, 100)
            assert values(records) == list(range(start, start + 100))
            assert [record.seq for record in records] == list(range(start + 1, start + 101))
            reader.acknowledged(records)
        assert log.files() == [], "nothing of it came to the disk"
    async with log.opened(mode="spill") as outbox:
        reader = outbox.reader("central")
        lane = rendered(reader.status())["lanes"]["data"]
        assert (lane["accepted"], lane["acknowledged"], lane["pending"], lane["dropped"]) == (600, 600, 0, {})
        assert {record.kind for record in await reader.take(100)} <= {Kind.RECEIPT}, "nothing is told but receipts"


async def test_what_no_sink_takes_is_written_and_there_after_a_restart(log, context):
    async with log.opened(mode="spill") as outbox:
        device, reader = outbox.bind(spec(), context), outbox.reader("central")
        outbox._tick()
        await fill(outbox, device, range(100))
        reader.acknowledged((await take_data(reader, 100))[:60])
    async with log.opened(mode="spill") as outbox:
        records = await take_data(outbox.reader("central", "strict"), 40)
        assert values(records) == list(range(60, 100))


async def test_gaps_that_never_came_to_the_disk_are_no_losses_to_anyone(log, context, monkeypatch):
    """Not to a sink that is new, and not to the verification."""
    monkeypatch.setattr(spill_module, "HOLD", 60.0)
    async with log.opened(mode="spill") as outbox:
        device, reader = outbox.bind(spec(), context), outbox.reader("central")
        outbox._tick()
        for start in (0, 20, 40):
            await fill(outbox, device, range(start, start + 10))
            reader.acknowledged(await take_data(reader, 10))
            outbox._tick()
            await until(lambda: outbox._writer._spill.due is None, 20)
            monkeypatch.setattr(spill_module, "HELD_AT_MOST", 0)
            await fill(outbox, device, range(start + 10, start + 20))
            await until(lambda: not outbox.status().lanes["data"].held, 20)
            monkeypatch.setattr(spill_module, "HELD_AT_MOST", HELD_AT_MOST)
            reader.acknowledged(await take_data(reader, 10))
            outbox._tick()
        new = outbox.reader("new", "strict")
        taken = values(await take_data(new, 30))
        assert taken == [*range(10, 20), *range(30, 40), *range(50, 60)]
        lane = rendered(new.status())["lanes"]["data"]
        assert (lane["accepted"], lane["pending"], lane["dropped"]) == (90, 90, {})
    report = verify(LogFiles(log.directory))
    assert (report.problems, report.lanes[Lane.DATA].never_written) == ([], 20)


async def test_events_are_written_at_once(log, context):
    async with log.opened(mode="spill") as outbox:
        outbox.reader("central")
        outbox._intake.body(Kind.EVENT, {"message": "x"})
        await outbox.written_out(20)
        assert log.files("alarm")
        assert "2 s" in outbox.status().room.promise


async def test_what_the_disk_bears_is_counted(log, context, monkeypatch):
    """Nothing but events, cursors and numbers in spill mode; all else as the files say."""
    monkeypatch.setattr(spill_module, "HOLD", 60.0)
    costs = {}
    for mode in ("log", "spill"):
        async with log.opened(mode=mode) as outbox:
            device, reader = outbox.bind(spec(tags=100), context), outbox.reader("central")
            outbox._tick()
            await fill(outbox, device, range(1000))
            reader.acknowledged(await take_data(reader, 1000))
            await until(lambda: outbox._writer.syncs, 20)
            outbox._tick()
            costs[mode] = rendered(outbox.status())["wear"]
    size = sum(file.stat().st_size for file in log.files())
    assert size <= costs["log"]["written_bytes"] < size + 20_000
    assert costs["log"]["values"] >= 100_000
    assert costs["log"]["bytes_per_value"] == pytest.approx(
        costs["log"]["written_bytes"] / costs["log"]["values"], abs=0.01
    )
    assert costs["log"]["syncs_per_second"] > 0
    assert costs["spill"]["bytes_per_value"] < costs["log"]["bytes_per_value"] / 10


def test_spilling_and_a_history_exclude_each_other():
    with pytest.raises(ValidationError, match='keep: needs mode = "log"'):
        OutboxSection(mode="spill", keep="7d")
