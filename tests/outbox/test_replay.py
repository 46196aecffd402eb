"""A replay sends history once more: under the same ids, marked, behind all else, and outside the sink's account."""

import asyncio
from collections.abc import Callable
from typing import Any

import pytest

from gateway.core.context import Context
from gateway.core.errors import GatewayError
from gateway.core.event import Event
from gateway.core.quality import HISTORICAL
from gateway.core.record import Lane, Record
from gateway.core.times import EARLIEST, LATEST, rfc3339
from gateway.outbox import Outbox, Reader
from gateway.outbox.deliver.history import Asked
from gateway.outbox.deliver.replay import DONE, RATE, Replay
from gateway.status import rendered
from tests.outbox.making import Log, fill, spec, take, until, values

EVERYTHING = Asked(EARLIEST, LATEST)


class Ends:
    """Notes the end of a replay."""

    def __init__(self) -> None:
        self.seen: list[Replay] = []

    def __call__(self, replay: Replay) -> None:
        self.seen.append(replay)


async def delivered(outbox: Outbox, numbers: range, name: str = "press-1", tags: int = 3) -> Reader:
    """These blocks, accepted and acknowledged by the sink."""
    device = outbox.bind(spec(name, tags), Context(site="north"))
    reader = outbox.reader("central")
    await fill(outbox, device, numbers)
    reader.acknowledged(await take(reader, len(numbers)))
    return reader


def started(
    outbox: Outbox, sink: str, asked: Asked, ends: Callable[[Replay], None], rate: float | None = RATE
) -> Replay:
    """A replay that has begun."""
    replay = outbox.replays.make(sink, asked, ends, rate)
    replay.begin()
    return replay


def balance(reader: Reader) -> dict[str, Any]:
    return {word: {**lane, "oldest": None} for word, lane in rendered(reader.status())["lanes"].items()}


async def replayed(reader: Reader, replay: Replay, window: int = 200) -> list[Record]:
    """All that goes out until it has ended, acknowledged as it comes."""
    records: list[Record] = []

    async def pump() -> None:
        while True:
            await reader.wait()
            taken = await reader.take(window)
            records.extend(taken)
            reader.acknowledged(taken)

    task = asyncio.create_task(pump())
    try:
        await until(lambda: replay.outcome)
    finally:
        task.cancel()
        await asyncio.wait([task])
    return records


async def test_the_same_records_go_out_again_marked_and_the_account_stays_as_it_was(log: Log) -> None:
    async with log.opened(keep=1e9) as outbox:
        device = outbox.bind(spec(), Context())
        reader = outbox.reader("central")
        await fill(outbox, device, range(1, 7))
        first = await take(reader, 6)
        reader.acknowledged(first)
        before, ends = balance(reader), Ends()
        replay = started(outbox, "central", EVERYTHING, ends)
        again = await replayed(reader, replay)
        assert [record.id for record in again] == [record.id for record in first]
        assert values(again) == values(first)
        assert all((record.readings.quality == HISTORICAL).all() for record in again)
        assert not any((record.readings.quality & HISTORICAL).any() for record in first)
        assert balance(reader) == before
        assert [replay.outcome for replay in ends.seen] == [DONE]
        status = rendered(replay.status())
        assert (status["records"], status["readings"], status["part"], status["running"]) == (6, 18, 1.0, False)


async def test_it_takes_what_was_accepted_in_the_span_of_these_devices_with_their_events(log: Log) -> None:
    async with log.opened(keep=1e9) as outbox:
        await delivered(outbox, range(1, 3))
        log.clock.advance(600)  # within one hour, or its receipts would be among the events
        begin = log.clock.wall_ns()
        reader = await delivered(outbox, range(3, 5))
        await delivered(outbox, range(50, 52), "oven-1")
        outbox.append_event(Event("e1", "anomaly", "raised", "press-1", begin, "odd"))
        outbox.append_event(Event("e2", "anomaly", "raised", "oven-1", begin, "hot"))
        reader.acknowledged(await take(reader, 2))
        log.clock.advance(600)
        end = log.clock.wall_ns()
        await delivered(outbox, range(5, 7))
        replay = started(outbox, "central", Asked(begin, end, ("press-*",)), Ends())
        records = await replayed(reader, replay)
        assert values(records) == [3.0, 4.0]
        (event,) = (record for record in records if record.lane is Lane.ALARM)
        assert (event.body["device"], event.body["historical"]) == ("press-1", True)


async def test_what_is_new_goes_first_and_a_replay_takes_a_quarter_of_the_window(log: Log) -> None:
    async with log.opened(keep=1e9) as outbox:
        reader = await delivered(outbox, range(1, 41))
        replay = started(outbox, "central", EVERYTHING, Ends(), rate=None)
        await until(lambda: replay.waiting == 40)
        device = outbox.bind(spec(), Context(site="north"))
        await fill(outbox, device, range(100, 103))
        taken = await reader.take(40)
        assert values(taken) == [100.0, 101.0, 102.0, *map(float, range(1, 11))]
        assert await reader.take(27) == []
        reader.acknowledged(taken[3:5])
        assert values(await take(reader, 2, 29)) == [11.0, 12.0]


async def test_no_more_readings_go_out_than_the_rate_allows(log: Log) -> None:
    async with log.opened(keep=1e9) as outbox:
        reader = await delivered(outbox, range(1, 9))
        replay = started(outbox, "central", EVERYTHING, Ends(), rate=0.001)
        await until(lambda: replay.waiting == 8)
        assert len(await take(reader, 1)) == 1
        assert await reader.take(200) == []
        replay.end("enough")


async def test_what_the_sink_has_not_had_yet_is_left_to_its_own_turn(log: Log) -> None:
    async with log.opened(keep=1e9) as outbox:
        device = outbox.bind(spec(), Context())
        reader = outbox.reader("central")
        await fill(outbox, device, range(1, 7))
        first = await take(reader, 6)
        reader.acknowledged(first[:2])
        replay = started(outbox, "central", EVERYTHING, Ends())
        assert values(await take(reader, 2)) == [1.0, 2.0]
        assert replay.status().open == 4


async def test_a_lost_link_only_delays_it(log: Log) -> None:
    async with log.opened(keep=1e9) as outbox:
        reader = await delivered(outbox, range(1, 9))
        before = balance(reader)
        replay = started(outbox, "central", EVERYTHING, Ends())
        lost = await take(reader, 8)
        reader.rewind()
        reader.acknowledged(lost)
        assert replay.status().records == 0, "answers to the old connection do not count"
        assert values(await replayed(reader, replay)) == values(lost)
        assert balance(reader) == before


async def test_what_was_refused_for_now_goes_out_again_and_what_was_refused_for_good_is_counted(
    log: Log, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("gateway.outbox.deliver.replay.PAUSE", 0.01)
    async with log.opened(keep=1e9) as outbox:
        reader = await delivered(outbox, range(1, 4))
        before = balance(reader)
        replay = started(outbox, "central", EVERYTHING, Ends())
        first, second, third = await take(reader, 3)
        reader.refused(first, "quota exceeded", False)
        reader.refused(second, "packet too large", True)
        reader.acknowledged([third])
        assert values(await replayed(reader, replay)) == [1.0]
        status = rendered(replay.status())
        assert (status["records"], status["refused"], status["outcome"]) == (2, 1, DONE)
        assert balance(reader) == before


async def test_a_cancelled_one_sends_no_more(log: Log) -> None:
    async with log.opened(keep=1e9) as outbox:
        reader = await delivered(outbox, range(1, 9))
        ends = Ends()
        replay = started(outbox, "central", EVERYTHING, ends)
        out = await take(reader, 8)
        replay.end("cancelled by ada")
        reader.acknowledged(out[:1])
        reader.refused(out[1], "not now", False)
        reader.rewind()
        assert await reader.take(200) == []
        assert [each.outcome for each in ends.seen] == ["cancelled by ada"]
        started(outbox, "central", EVERYTHING, ends)


async def test_one_that_was_cancelled_before_it_began_sends_nothing(log: Log) -> None:
    async with log.opened(keep=1e9) as outbox:
        reader = await delivered(outbox, range(1, 9))
        replay = outbox.replays.make("central", EVERYTHING, Ends())
        assert await reader.take(200) == []
        replay.end("cancelled by ada")
        replay.begin()
        assert await reader.take(200) == []
        assert not replay.waiting


async def test_files_stay_while_they_are_replayed_and_go_after(log: Log) -> None:
    async with log.opened(keep=3600, segment_size=64 * 1024) as outbox:
        reader = await delivered(outbox, range(1, 101), tags=1000)
        before = len(log.files())
        outbox._tick()
        replay = started(outbox, "central", EVERYTHING, Ends(), rate=None)
        await until(lambda: replay.waiting)
        log.clock.advance(7200)
        outbox._tick()
        held = replay.needs(Lane.DATA)
        assert held is not None
        assert min(segment.first for segment in outbox._lanes[Lane.DATA].segments) <= held
        assert values(await replayed(reader, replay)) == [float(number) for number in range(1, 101)]
        assert replay.status().missing == 0
        outbox._tick()
        await until(lambda: len(log.files()) == 1)
        assert before > 3


async def test_it_says_what_went_because_the_disk_was_full(log: Log) -> None:
    async with log.opened(keep=1e9, segment_size=64 * 1024) as outbox:
        reader = await delivered(outbox, range(1, 101), tags=1000)
        replay = started(outbox, "central", EVERYTHING, Ends(), rate=None)
        await until(lambda: replay.waiting)
        gone = outbox._lanes[Lane.DATA].segments[-2]
        outbox._housekeeping._remove([gone])
        await until(lambda: not gone.path.exists())
        records = await replayed(reader, replay)
        assert replay.status().missing == gone.rows
        assert len(records) == 100 - gone.records


async def test_damage_is_leapt_over_and_counted(log: Log) -> None:
    async with log.opened(keep=1e9) as outbox:
        reader = await delivered(outbox, range(1, 6))
        (path,) = log.files()
        data = path.read_bytes()
        at = data.index(b"\x00\x00\x40\x40" * 3)  # the values of the third block
        path.write_bytes(data[:at] + b"\xff" + data[at + 1 :])
        replay = started(outbox, "central", EVERYTHING, Ends())
        assert values(await replayed(reader, replay)) == [1.0, 2.0, 4.0, 5.0]
        assert replay.status().missing == 3


async def test_a_sink_that_is_taken_away_ends_it(log: Log) -> None:
    async with log.opened(keep=1e9) as outbox:
        await delivered(outbox, range(1, 4))
        replay = started(outbox, "central", EVERYTHING, Ends())
        outbox.release("central")
        assert replay.outcome == "its sink was changed or removed"


async def test_one_that_cannot_be_is_refused_with_what_there_is(log: Log) -> None:
    async with log.opened(keep=1e9) as outbox:
        begin = log.clock.wall_ns()
        await delivered(outbox, range(1, 4))

        def refused(sink: str, asked: Asked) -> Callable[[], str]:
            with pytest.raises(GatewayError) as error:
                started(outbox, sink, asked, Ends())
            return str(error.value)

        assert refused("nowhere", EVERYTHING) == 'no sink "nowhere"; there are: central'
        assert f"the log reaches from {rfc3339(begin)[:19]}Z to" in refused("central", Asked(EARLIEST, begin - 1))
        assert 'nothing of a device "saw-9"; it has: press-1' in refused("central", Asked(devices=("saw-9",)))
        started(outbox, "central", EVERYTHING, Ends(), rate=0.001)
        assert "replay --cancel" in refused("central", EVERYTHING)


async def test_after_a_restart_all_that_was_kept_can_be_replayed(log: Log) -> None:
    async with log.opened(keep=1e9) as outbox:
        await delivered(outbox, range(1, 6))
    async with log.opened(keep=1e9) as outbox:
        reader = outbox.reader("central")
        replay = started(outbox, "central", EVERYTHING, Ends())
        assert values(await replayed(reader, replay)) == [1.0, 2.0, 3.0, 4.0, 5.0]
