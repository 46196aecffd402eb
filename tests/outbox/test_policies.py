"""What goes when there is no room, by the policy of each lane; and that events find room when there is none."""

import asyncio

import pytest

from gateway.core.event import Event
from gateway.core.intervals import IntervalSet
from gateway.core.record import Kind, Lane, Record
from gateway.outbox import Outbox, Reader
from gateway.outbox.retention import yielding
from gateway.outbox.write import admission
from gateway.outbox.write.admission import Admission
from gateway.status import rendered
from tests.outbox.making import block, fill, spec, take, until
from tests.outbox.small_disk import SmallDisk

DROP_OLDEST = {Lane.DATA: "drop_oldest", Lane.ALARM: "drop_oldest"}


def event(number: int) -> Event:
    return Event(f"e{number}", "test", "raised", "press-1", 0, f"event {number}", "warning", {"number": number})


def numbers_of(records: list[Record]) -> list[int]:
    return [record.body["number"] for record in records if record.kind is Kind.EVENT]


def test_no_lane_gives_up_files_for_one_that_is_less_important():
    keeps_data = {**DROP_OLDEST, Lane.DATA: "drop_newest"}
    keeps_events = {**DROP_OLDEST, Lane.ALARM: "drop_newest"}
    assert yielding(DROP_OLDEST) == yielding(DROP_OLDEST, Lane.ALARM) == [Lane.DATA, Lane.ALARM]
    assert yielding(DROP_OLDEST, Lane.DATA) == [Lane.DATA], "no event goes for a reading"
    assert yielding(keeps_data) == []
    assert yielding(keeps_events) == [Lane.DATA]


async def test_drop_newest_keeps_the_oldest_and_turns_away_what_is_new_until_there_is_room(log, context):
    async with log.opened(max_size=1024 * 1024, segment_size=64 * 1024, min_free=0, when_full="drop_newest") as outbox:
        device, reader = outbox.bind(spec(tags=50), context), outbox.reader("central", "strict")
        offered = await offer_until(outbox, device, lambda: outbox.status().room.turning_away)
        assert list(outbox.status().room.turning_away) == ["data"]
        away = outbox.status().room.not_accepted
        for number in range(3):
            outbox.append_event(event(number))
        await until(lambda: reader.pending["alarm"] >= 4)
        await outbox.written_out(25)  # events overtake readings that still wait for the writer
        lane = rendered(reader.status())["lanes"]["data"]
        assert (lane["accepted"], lane["dropped"]) == (50 * offered - away, {})
        taken = await take_all(reader)
        data = [record.seq for record in taken if record.lane is Lane.DATA]
        assert data == list(range(1, len(data) + 1)), "the oldest are all there"
        losses = [record.body for record in taken if record.kind is Kind.LOSS]
        assert sum(loss["rows"] for loss in losses) == away > 0
        assert all((loss["accepted"], loss["ranges"]) == (False, []) for loss in losses)
        assert {loss["reason"] for loss in losses} == {"the outbox reached its 1.0 MiB"}
        assert numbers_of(taken) == [0, 1, 2]
        await until(lambda: not outbox.status().room.turning_away)
        await fill(outbox, device, range(3))


async def test_a_bound_that_events_reach_costs_the_oldest_events_once_no_readings_are_left(log, context):
    async with log.opened(max_size=1024 * 1024, segment_size=64 * 1024, min_free=0) as outbox:
        reader = outbox.reader("central", "strict")
        number = 0
        while not reader.status().lanes["alarm"].dropped:
            for number in range(number, number + 200):  # noqa: B020 - goes on where it stopped
                outbox.append_event(event(number))
            await outbox.written_out(20)
            await asyncio.sleep(0.01)
        lane = rendered(reader.status())["lanes"]["alarm"]
        assert lane["accepted"] == lane["pending"] + sum(lane["dropped"].values())


async def test_events_overtake_readings_that_wait_for_a_full_disk_and_find_room_in_the_ballast(
    log, context, monkeypatch
):
    disk = SmallDisk(log.directory, 400_000, monkeypatch)
    async with log.opened(min_free=0, max_size=2**30, segment_size=2**20, ballast=50_000) as outbox:
        device, reader = outbox.bind(spec(tags=50), context), outbox.reader("central")
        await until(lambda: outbox.status().room.ballast.size == 50_000)
        await fill(outbox, device, range(100))
        disk.hog = disk.size - disk.used
        await fill_events(outbox, reader, range(5), before_them=lambda: outbox.append(block(device, 100)))
        assert rendered(outbox.status())["ballast"] == {"size": 0, "given_back": 1}
        assert outbox.status().lanes["data"].queued == 1, "a reading does not eat the room of events"
        disk.hog = 0
        await until(lambda: not outbox.status().lanes["data"].queued)
        assert rendered(outbox.status())["ballast"] == {"size": 50_000, "given_back": 1}
        await until(lambda: outbox.status().disk == "ok")


async def fill_events(outbox: Outbox, reader: Reader, numbers: range, before_them=lambda: None) -> None:
    """Readings wait for the disk; the events behind them are accepted all the same."""
    accepted = reader.pending["alarm"]
    before_them()
    await until(lambda: outbox.status().disk != "ok")
    for number in numbers:
        outbox.append_event(event(number))
    await until(lambda: reader.pending["alarm"] == accepted + len(numbers))


@pytest.mark.timeout(300)
@pytest.mark.parametrize("policy", ["drop_oldest", "drop_newest"])
async def test_a_disk_that_is_full_for_ten_minutes_loses_only_by_policy_and_every_loss_is_told(
    log, context, monkeypatch, policy
):
    """Compressed: the clock leaps, and memory and disk are small."""
    monkeypatch.setattr(admission, "QUEUED_AT_MOST", {Lane.DATA: 100_000, Lane.ALARM: 1_000_000})
    disk = SmallDisk(log.directory, 1_000_000, monkeypatch)
    options = {"min_free": 0, "max_size": 2**30, "segment_size": 64 * 1024, "ballast": 60_000, "when_full": policy}
    taken: list[Record] = []
    offered = 0
    async with log.opened(**options) as outbox:
        device, reader = outbox.bind(spec(tags=50), context), outbox.reader("central", "strict")
        await fill(outbox, device, range(500))
        disk.hog = disk.size - disk.used
        minute = 0
        while minute < 10 or not outbox.status().room.not_accepted:
            for number in range(60):
                outbox.append(block(device, 500 + 60 * minute + number))
                outbox.flush()
            outbox.append_event(event(minute))
            minute += 1
            await until(lambda: disk.hogged(60_000) and reader.pending["alarm"] >= minute, 25)  # noqa: B023
            log.clock.advance(60)
        disk.hog = 0
        await outbox.written_out(30)
        offered = 500 + 60 * minute
        await fill(outbox, device, range(offered, offered + 10))
        offered += 10
        away = outbox.status().room.not_accepted
    assert disk.refused, "the disk was never full"
    async with log.opened(**options) as outbox:
        reader = outbox.reader("central", "strict")
        taken = await take_all(reader)
        lane = rendered(reader.status())["lanes"]["data"]
    assert numbers_of(taken) == list(range(minute)), "no event is lost"
    losses = [record.body for record in taken if record.kind is Kind.LOSS]
    data = [record for record in taken if record.lane is Lane.DATA]
    dropped = sum(lane["dropped"].values())
    assert lane["accepted"] == lane["acknowledged"] + dropped == 50 * offered - away
    assert 50 * len(data) == lane["acknowledged"]
    assert sum(loss["rows"] for loss in losses if not loss["accepted"]) == away
    assert sum(loss["rows"] for loss in losses if loss["accepted"]) == dropped
    assert all(loss["from_ns"] and loss["to_ns"] >= loss["from_ns"] for loss in losses)
    named = IntervalSet((low, high + 1) for loss in losses for low, high in loss["ranges"])
    gone = IntervalSet((record.seq, record.seq + 1) for record in data).missing(1, data[-1].seq)
    assert all(named.covers(*hole) for hole in gone)
    assert bool(dropped) == (policy == "drop_oldest")
    assert away > 0


async def take_all(reader: Reader) -> list[Record]:
    """What is pending, acknowledged."""
    taken: list[Record] = []
    while any(reader.pending.values()):
        records = await take(reader, 1)
        reader.acknowledged(records)
        taken += records
    return taken


async def offer_until(outbox: Outbox, device, condition) -> int:
    """Blocks until the condition holds and some more; how many."""
    offered = 0
    async with asyncio.timeout(25):
        while not condition() or not outbox.status().room.not_accepted:
            for _ in range(50):
                outbox.append(block(device, offered))
                offered += 1
            outbox.flush()
            await asyncio.sleep(0.005)
    return offered


def test_loss_records_of_a_long_stretch_come_farther_and_farther_apart_and_all_is_in_them(log):
    admission_ = Admission(log.clock)
    admission_.set_room(Lane.DATA, 0, "full")
    told = []
    for _ in range(600):
        assert not admission_.admits(Lane.DATA, 7)
        told += admission_.losses()
        log.clock.advance(1)
    told += admission_.losses(all_of_them=True)
    assert sum(body["rows"] for body in told) == admission_.turned_away == 4200
    assert 10 < len(told) < 20


def test_events_are_turned_away_only_after_readings(log, monkeypatch):
    admission_ = Admission(log.clock)
    admission_.taken(Lane.DATA, admission.QUEUED_AT_MOST[Lane.DATA] + 1)
    assert not admission_.admits(Lane.DATA, 1)
    assert admission_.admits(Lane.ALARM, 1)
    admission_.taken(Lane.ALARM, admission.QUEUED_AT_MOST[Lane.ALARM])
    assert not admission_.admits(Lane.ALARM, 1)
    assert {body["lane"] for body in admission_.losses()} == {"data", "alarm"}
