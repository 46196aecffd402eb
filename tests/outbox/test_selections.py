"""Sinks that want a part only: what they are not meant to get is owed to them at no time, and holds nothing back."""

import pytest

from gateway.cli.outbox.status import _reader as told_of
from gateway.core.record import Lane, Record
from gateway.core.selection import Patterns, Selection
from gateway.outbox import Reader
from gateway.outbox.deliver import Asked
from gateway.outbox.inspect import LogFiles
from tests.outbox.making import block, fill, spec, take, until, values

PRESS = Selection(Patterns(devices=["press-*"]))
LESS = Selection(without=Patterns(tags=["tag1"]))
NOTHING = Selection(Patterns(kinds=["event"]))


def account(reader: Reader) -> tuple[int, int, int, int]:
    """In readings: accepted, acknowledged, pending, dropped; they always add up."""
    said = reader.status().lanes["data"]
    dropped = sum(said.dropped.values())
    assert said.accepted == said.acknowledged + said.pending + dropped
    assert reader.pending["data"] == said.pending
    return said.accepted, said.acknowledged, said.pending, dropped


async def both(outbox, context, numbers: range) -> None:
    """Blocks of a press and a coater in turn, of 3 readings each."""
    press, coater = outbox.bind(spec(), context), outbox.bind(spec("coater-1"), context)
    for number in numbers:
        await fill(outbox, press, range(number, number + 1))
        await fill(outbox, coater, range(number, number + 1))


async def taken(reader: Reader, count: int) -> list[Record]:
    """So many records of readings, as they come; what the log tells of itself beside them is done with."""
    found: list[Record] = []
    while len(found) < count:
        records = await take(reader, 1)
        found += [record for record in records if record.lane is Lane.DATA]
        reader.acknowledged([record for record in records if record.lane is Lane.ALARM])
    return found


def names(records: list[Record]) -> set[str]:
    return {record.readings.device.name for record in records if record.readings is not None}


async def test_what_is_left_out_is_owed_neither_while_the_sink_is_away_nor_when_it_is_there(log, context):
    async with log.opened() as outbox:
        presses, less, all_of_it = (
            outbox.reader("p", selection=PRESS),
            outbox.reader("l", selection=LESS),
            outbox.reader("a"),
        )
        await both(outbox, context, range(20))
        assert account(presses) == (60, 0, 60, 0), "away: only the press is owed"
        assert account(less) == (80, 0, 80, 0)
        assert account(all_of_it) == (120, 0, 120, 0)
        got = await taken(presses, 20)
        assert (names(got), values(got)) == ({"press-1"}, list(range(20)))
        assert account(presses) == (60, 0, 60, 0)
        presses.acknowledged(got[:-1])
        assert account(presses) == (60, 57, 3, 0)
        presses.acknowledged(got[-1:])
        await presses.take(200)
        assert account(presses) == (60, 60, 0, 0)
        assert outbox.pending_below("p", outbox.marks()) == 0, "also what stood behind the last one is done with"
        got = await taken(less, 40)
        assert {(record.rows, len(record.readings)) for record in got} == {(2, 2)}
        assert {record.id for record in got} == {record.id for record in await taken(all_of_it, 40)}
        less.acknowledged(got)
        assert account(less) == (80, 80, 0, 0)


async def test_a_restart_and_a_reload_with_other_patterns_keep_the_balance_true(log, context):
    async with log.opened() as outbox:
        reader = outbox.reader("p", selection=PRESS)
        await both(outbox, context, range(20))
        reader.acknowledged((await taken(reader, 20))[:10])
    async with log.opened() as outbox:
        reader = outbox.reader("p", selection=PRESS)
        await until(lambda: account(reader) == (60, 30, 30, 0))
        outbox.release("p")
        reader = outbox.reader("p", selection=LESS)
        await until(lambda: account(reader) == (30 + 20, 30, 20, 0))  # what was passed over before stays done with
        await both(outbox, context, range(20, 22))
        assert account(reader) == (30 + 28, 30, 28, 0)
        got = await taken(reader, 14)
        reader.refused(got[0], "too large", True)
        reader.acknowledged(got[1:])
        assert account(reader) == (30 + 28, 30 + 26, 0, 2)
        assert await until(outbox.revive) == [got[0].id]  # once it is on disk
        (again,) = await taken(reader, 1)
        assert (again.id, again.rows) == (got[0].id, 2)
        reader.acknowledged([again])
        assert account(reader) == (30 + 28, 30 + 28, 0, 0)


async def test_nothing_goes_out_of_the_past_before_it_is_known_what_of_it_is_wanted(log, context):
    async with log.opened() as outbox:
        outbox.reader("p")
        await both(outbox, context, range(10))
    async with log.opened() as outbox:
        reader = outbox.reader("p", "strict", selection=PRESS)
        records = []
        while len(records) < 10:
            await reader.wait()
            records += [record for record in await reader.take(200) if record.lane is Lane.DATA]
        assert values(records) == list(range(10))
        assert names(records) == {"press-1"}


async def test_a_refusal_for_now_sends_the_same_columns_again(log, context, monkeypatch):
    monkeypatch.setattr("gateway.outbox.deliver.redelivery.FIRST_PAUSE", 0.01)
    async with log.opened() as outbox:
        reader = outbox.reader("l", selection=LESS)
        await both(outbox, context, range(1))
        first = await taken(reader, 2)
        reader.refused(first[0], "busy", False)
        assert account(reader) == (4, 0, 4, 0)
        (again,) = await taken(reader, 1)
        assert (again.id, again.readings.value.tolist()) == (first[0].id, first[0].readings.value.tolist())
        reader.rewind()
        got = await taken(reader, 2)
        reader.acknowledged([*got, *got])
        assert account(reader) == (4, 4, 0, 0)


async def test_files_of_which_a_sink_wants_nothing_do_not_stay_for_it(log, context):
    async with log.opened(segment_size=64 * 1024) as outbox:
        here, away = outbox.reader("here"), outbox.reader("away", selection=NOTHING)
        device = outbox.bind(spec(tags=100), context)
        for start in range(0, 1000, 100):
            await fill(outbox, device, range(start, start + 100))
            here.acknowledged(await taken(here, 100))
        assert account(away)[:3] == (0, 0, 0)
        outbox._tick()
        await until(lambda: len(log.files()) == 1)


async def test_where_there_is_no_room_what_nobody_wants_goes_first_and_is_no_loss(log, context):
    bound = 1024 * 1024
    async with log.opened(segment_size=64 * 1024, max_size=bound, min_free=0) as outbox:
        reader = outbox.reader("p", selection=PRESS)
        await both(outbox, context, range(1))
        coater = outbox.bind(spec("coater-1", tags=100), context)
        for start in range(0, 4000, 200):
            await fill(outbox, coater, range(start, start + 200))
            await until(lambda: outbox.size <= bound + 128 * 1024)
        assert account(reader) == (3, 0, 3, 0)
        reader.acknowledged(await taken(reader, 1))
        await reader.take(200)
        assert account(reader) == (3, 3, 0, 0)
        assert not reader.status().lanes["data"].dropped


async def test_what_is_given_up_counts_as_lost_only_as_far_as_it_was_meant(log, context):
    async with log.opened(segment_size=64 * 1024) as outbox:
        reader = outbox.reader("l", selection=LESS)
        device = outbox.bind(spec(tags=3), context)
        while len(log.files()) < 3:
            await fill(outbox, device, range(300))
        before = account(reader)
        (segment, *_) = outbox._lanes[Lane.DATA].segments
        rows = segment.end - segment.start
        outbox._housekeeping._give_up([segment], "a test")
        assert account(reader) == (before[0], 0, before[2] - rows * 2 // 3, rows * 2 // 3)


async def test_receipts_tell_what_was_left_out_and_add_up(log, context, monkeypatch):
    monkeypatch.setattr("gateway.outbox.receipts.receipts.GRACE", 0.0)
    async with log.opened() as outbox:
        press, less, all_of_it = (
            outbox.reader("p", selection=PRESS),
            outbox.reader("l", selection=LESS),
            outbox.reader("a"),
        )
        await both(outbox, context, range(10))
        await both(outbox, context, range(10))
        press.acknowledged(await taken(press, 20))
        await press.take(200)
        less.acknowledged((await taken(less, 40))[:20])
        all_of_it.acknowledged(await taken(all_of_it, 40))
        told = {each["device"]: each for each in await outbox.receipts.so_far(0, 1 << 62)}
        for receipt in told.values():
            for sink in receipt["sinks"].values():
                counts = (sink["acknowledged"], sink["pending"], *sink["dropped"].values(), sink.get("left_out", 0))
                assert sum(counts) == receipt["readings"] == 60
        assert told["press-1"]["sinks"]["p"] == {"acknowledged": 60, "pending": 0, "dropped": {}}
        assert told["coater-1"]["sinks"]["p"] == {"acknowledged": 0, "pending": 0, "dropped": {}, "left_out": 60}
        assert told["coater-1"]["sinks"]["l"] == {"acknowledged": 20, "pending": 20, "dropped": {}, "left_out": 20}
        assert told["coater-1"]["sinks"]["a"] == {"acknowledged": 60, "pending": 0, "dropped": {}}
    async with log.opened() as outbox:
        less = outbox.reader("l", selection=LESS)
        await until(lambda: account(less) == (80, 40, 40, 0))
        less.acknowledged(await taken(less, 20))
        told = {each["device"]: each for each in await outbox.receipts.so_far(0, 1 << 62)}
        assert told["coater-1"]["sinks"]["l"] == {"acknowledged": 40, "pending": 0, "dropped": {}, "left_out": 20}


async def test_a_replay_and_what_no_disk_keeps_hold_to_it_too(log, context):
    async with log.opened(keep=3600.0) as outbox:
        reader = outbox.reader("l", selection=LESS)
        await both(outbox, context, range(3))
        reader.acknowledged(await taken(reader, 6))
        replay = outbox.replays.make("l", Asked(devices=["press-1"]), lambda _: None)
        replay.begin()
        got = await taken(reader, 3)
        assert {record.rows for record in got} == {2}
        reader.acknowledged(got)
        assert (replay.sent_readings, replay.open) == (6, 0)
        press = outbox.bind(spec(), context)
        outbox._unkept.readings(block(press, 1), outbox._intake.stamp())
        (record,) = await taken(reader, 1)
        assert record.unkept
        assert record.rows == 2


@pytest.mark.parametrize("selection", [PRESS, LESS])
async def test_a_log_that_is_closed_tells_the_same_balance(log, context, selection):
    async with log.opened() as outbox:
        reader = outbox.reader("p", selection=selection)
        await both(outbox, context, range(5))
        reader.acknowledged((await taken(reader, 5))[:3])
        told = account(reader)
    (cursor,) = LogFiles(log.directory).cursors()
    said = told_of(cursor, {Lane.DATA: 30, Lane.ALARM: 0})["lanes"]["data"]
    assert (said["accepted"], said["acknowledged"], said["pending"], 0) == told


async def test_a_sink_for_which_nothing_happens_writes_nothing(log, context):
    async with log.opened() as outbox:
        reader = outbox.reader("p", selection=PRESS)
        await both(outbox, context, range(2))
        reader.acknowledged(await taken(reader, 2))
        await reader.take(200)
        outbox._tick()
        assert not reader.changed
        await outbox._look_back()
        assert not reader.changed
