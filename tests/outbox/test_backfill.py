"""After an outage: live data at once, history beside it at a bounded rate."""

import asyncio

from gateway.core.quality import HISTORICAL
from gateway.outbox.deliver.rate import Rate
from tests.outbox.making import block, fill, spec, until, values


def test_a_rate_holds_over_time_and_catches_up_only_a_little():
    rate, passed, now = Rate(1000), 0, 100.0
    while now < 110:
        if rate.allows(now):
            rate.passed(30, now)
            passed += 30
        else:
            now += rate.wait(now)
    assert 10_000 <= passed <= 10_000 + 500 + 30 + 50, "ten seconds, half a second of credit, a record and a quantum"
    late = sum(1 for _ in range(1000) if rate.allows(now + 3600) and (rate.passed(30, now + 3600) or True))
    assert late <= 500 / 30 + 2, "an hour of silence is no credit for more than half a second"


def test_without_a_bound_everything_passes():
    rate = Rate()
    rate.passed(10**9, 0.0)
    assert rate.allows(0.0)


async def drained(reader, records, count=0):
    """Take and acknowledge until nothing is left, and so many of readings have come; the records, in their order."""
    while any(reader.pending.values()) or len(values(records)) < count:
        await reader.wait()
        taken = await reader.take(50)
        records += taken
        reader.acknowledged(taken)


async def test_history_goes_at_a_bounded_rate_and_live_data_does_not_wait_for_it(log, context):
    async with log.opened() as outbox:
        device = outbox.bind(spec(tags=10), context)
        reader = outbox.reader("central", "live-first", 5000)
        await fill(outbox, device, range(1000))
        log.clock.advance(60)
        loop = asyncio.get_running_loop()
        begun, records = loop.time(), []
        drain = asyncio.create_task(drained(reader, records, 1020))
        await until(lambda: len(records) > 100)
        for number in range(1000, 1020):
            await fill(outbox, device, range(number, number + 1))
            accepted = len(values(records))
            await until(lambda number=number: float(number) in values(records))
            place = values(records).index(number)
            assert place <= accepted + 50 + 25, "at most what was being handed out, and half a window of history"
        async with asyncio.timeout(25):
            await drain
        took = loop.time() - begun
        history = [record for record in records if (record.readings.quality & HISTORICAL).all()]
        assert sorted(values(history)) == list(range(1000))
        assert len(history) * 10 <= 5000 * (took + 0.5) + 10, "never faster than the rate, and half a second of it"
        assert sorted(values(records)) == list(range(1020))


async def test_strict_order_knows_no_rate(log, context):
    async with log.opened() as outbox:
        device = outbox.bind(spec(), context)
        reader = outbox.reader("central", "strict", 1)
        await fill(outbox, device, range(500))
        log.clock.advance(60)
        records = []
        async with asyncio.timeout(25):
            await drained(reader, records)
        assert values(records) == list(range(500))


async def test_the_disk_is_not_read_while_live_data_waits(log, context, monkeypatch):
    async with log.opened() as outbox:
        device = outbox.bind(spec(), context)
        reader = outbox.reader("central")
        await fill(outbox, device, range(100))
        log.clock.advance(60)
        for lane in outbox._lanes.values():
            lane.tail.clear()
            lane._tail_bytes = 0
        hung = asyncio.Event()

        async def no_disk(span, limit):
            await hung.wait()

        monkeypatch.setattr(outbox._readers, "fetch", no_disk)
        reader.positions[1].live = outbox._lanes[1].written_seq
        outbox.append(block(device, 100))
        await until(lambda: outbox.status().lanes["data"].accepted == 303)
        async with asyncio.timeout(20):
            assert values(await reader.take(10)) == [100.0]


async def test_history_leaves_half_of_the_window_free_also_before_any_live_data_came(log, context):
    async with log.opened() as outbox:
        device = outbox.bind(spec(), context)
        reader = outbox.reader("central")
        await fill(outbox, device, range(100))
        log.clock.advance(60)
        first = await reader.take(20)
        second = await reader.take(20 - len(first))
        assert len(first + second) == 10
        await fill(outbox, device, range(100, 105))
        assert values(await reader.take(10)) == [100, 101, 102, 103, 104]


async def test_what_came_in_the_last_seconds_before_a_link_is_there_is_live(log, context):
    async with log.opened() as outbox:
        device = outbox.bind(spec(), context)
        reader = outbox.reader("central")
        await fill(outbox, device, range(100))
        log.clock.advance(60)
        await fill(outbox, device, range(100, 105))
        log.clock.advance(5)
        await fill(outbox, device, range(105, 110))
        log.clock.advance(2)
        assert values(await reader.take(20))[:10] == list(range(100, 110))
