import numpy as np
import pytest

from gateway.core.event import Event
from gateway.core.quality import HISTORICAL
from gateway.core.record import Kind, Lane
from gateway.status import rendered
from tests.outbox.making import block, fill, spec, take, until, values


def event(name="e1"):
    return Event(name, "anomaly", "raised", "press-1", 1_800_000_000_000_000_000, "Something is odd.")


def historical(record):
    return bool((record.readings.quality & HISTORICAL).all())


async def test_records_come_in_sequence_and_whole(log, context):
    async with log.opened() as outbox:
        device = outbox.bind(spec(), context)
        reader = outbox.reader("central")
        quality = np.array([0, 32, 0x8005_0000], np.uint32)
        outbox.append(block(device, 1))
        outbox.append(block(device, 2, quality=quality, exact={2: 2**70}))
        first, second = await take(reader, 2)
        assert (first.id, second.id) == (f"{outbox.log_id}:data:1", f"{outbox.log_id}:data:2")
        assert values([first, second]) == [1.0, 2.0]
        assert second.readings.exact == {2: 2**70}
        assert second.readings.quality.tolist() == quality.tolist()
        assert not historical(first)


async def test_nothing_is_handed_out_twice_and_all_again_after_a_rewind(log, context):
    async with log.opened() as outbox:
        device = outbox.bind(spec(), context)
        reader = outbox.reader("central")
        await fill(outbox, device, range(10))
        records = await take(reader, 10)
        assert await reader.take(100) == []
        reader.acknowledged(records[:4] + records[5:6])
        reader.rewind()
        again = await take(reader, 5)
        assert values(again) == [4, 6, 7, 8, 9]
        reader.acknowledged(again)
        assert reader.pending == {"alarm": 0, "data": 0}
        reader.rewind()
        assert await reader.take(100) == []


async def test_an_event_overtakes_readings_that_wait(log, context):
    async with log.opened() as outbox:
        device = outbox.bind(spec(), context)
        reader = outbox.reader("central")
        await fill(outbox, device, range(50))
        outbox.append_event(event())
        await until(lambda: outbox.status().lanes["alarm"].accepted)
        records = await reader.take(5)
        assert [record.lane for record in records] == [Lane.ALARM] + [Lane.DATA] * 4
        assert records[0].kind is Kind.EVENT
        assert records[0].body["message"] == "Something is odd."


async def test_after_an_outage_live_data_goes_first_and_history_is_marked(log, context):
    async with log.opened() as outbox:
        device = outbox.bind(spec(), context)
        reader = outbox.reader("central")
        await fill(outbox, device, range(100))
        log.clock.advance(60)
        first = await reader.take(20)
        assert all(map(historical, first))
        assert len(first) <= 10, "history takes at most half of the window"
        await fill(outbox, device, range(100, 110))
        live = [record for record in await reader.take(10) if not historical(record)]
        assert values(live) == list(range(100, 110))
        reader.acknowledged(first + live)
        rest = []
        while len(rest) < 90:
            await reader.wait()
            records = await reader.take(20)
            rest += records
            reader.acknowledged(records)
        assert sorted(values(first + rest)) == list(range(100))
        assert all(map(historical, rest))
        assert reader.pending["data"] == 0


async def test_strict_order_is_kept_after_an_outage(log, context):
    async with log.opened() as outbox:
        device = outbox.bind(spec(), context)
        reader = outbox.reader("central", "strict")
        await fill(outbox, device, range(30))
        log.clock.advance(60)
        await fill(outbox, device, range(30, 40))
        records = await take(reader, 40)
        assert values(records) == list(range(40))
        assert [historical(record) for record in records] == [True] * 30 + [False] * 10


async def test_a_short_cut_of_the_link_changes_no_order(log, context):
    async with log.opened() as outbox:
        device = outbox.bind(spec(), context)
        reader = outbox.reader("central")
        await fill(outbox, device, range(10))
        await take(reader, 10)
        log.clock.advance(2)
        reader.rewind()
        await fill(outbox, device, range(10, 15))
        records = await take(reader, 15)
        assert values(records) == list(range(15))
        assert not any(map(historical, records))


async def test_sinks_go_at_their_own_pace(log, context):
    async with log.opened() as outbox:
        device = outbox.bind(spec(), context)
        fast, slow = outbox.reader("fast"), outbox.reader("slow")
        await fill(outbox, device, range(20))
        fast.acknowledged(await take(fast, 20))
        assert (fast.pending["data"], slow.pending["data"]) == (0, 60)
        assert values(await take(slow, 20)) == list(range(20))


async def test_what_memory_no_longer_has_is_read_from_disk(log, context):
    async with log.opened(segment_size=64 * 1024) as outbox:
        device = outbox.bind(spec(tags=20), context)
        reader = outbox.reader("central", "strict")
        for lane in outbox._lanes.values():
            lane._memory = 20_000
        for start in range(0, 2000, 100):
            await fill(outbox, device, range(start, start + 100))
        assert len(outbox._lanes[Lane.DATA].tail) < 50
        records = await take(reader, 2000)
        assert values(records) == list(range(2000))
        assert [record.seq for record in records] == list(range(1, 2001))


async def test_a_refused_record_goes_out_again_unless_that_is_final(log, context):
    async with log.opened() as outbox:
        device = outbox.bind(spec(), context)
        reader = outbox.reader("central")
        await fill(outbox, device, range(3))
        first, second, third = await take(reader, 3)
        reader.refused(first, "quota exceeded", final=False)
        reader.refused(second, "packet too large", final=True)
        reader.acknowledged([third])
        records = await take(reader, 3)
        assert values(records) == [0.0]
        assert [record.kind for record in records].count(Kind.EVENT) == 1, "the report of the dead letter"
        loss = next(record for record in records if record.kind is Kind.LOSS)
        assert loss.body["ranges"] == [[2, 2]]
        assert loss.body["rows"] == 3
        assert loss.body["reason"] == "refused: packet too large"
        reader.acknowledged(records)
        status = rendered(reader.status())["lanes"]["data"]
        assert status["dropped"] == {"refused: packet too large": 3}
        assert status["accepted"] == status["acknowledged"] + status["pending"] + 3 == 9


@pytest.mark.parametrize("order", ["live-first", "strict"])
async def test_the_balance_holds_at_any_time_and_after_restarts(log, context, order):
    rng = np.random.default_rng(7)
    delivered = set()
    for life in range(4):
        async with log.opened() as outbox:
            device = outbox.bind(spec(tags=life + 1), context)
            reader = outbox.reader("central", order)
            for start in range(0, 60, 20):
                await fill(outbox, device, range(start, start + 20))
                records = await reader.take(int(rng.integers(1, 40)))
                acked = [record for record in records if rng.random() < 0.7]
                reader.acknowledged(acked)
                delivered |= {record.id for record in acked if record.lane is Lane.DATA}
                if rng.random() < 0.5:
                    reader.rewind()
                for lane in rendered(reader.status())["lanes"].values():
                    assert lane["accepted"] == lane["acknowledged"] + lane["pending"]
        log.clock.advance(30)
    async with log.opened() as outbox:
        reader = outbox.reader("central", order)
        lane = rendered(reader.status())["lanes"]["data"]
        assert lane["accepted"] == 60 * (1 + 2 + 3 + 4)
        open_rows = reader.pending["data"]
        rest = []
        while reader.pending["data"]:
            await reader.wait()
            records = await reader.take(50)
            reader.acknowledged(records)
            rest += [record for record in records if record.lane is Lane.DATA]
        assert sum(record.rows for record in rest) == open_rows
        assert not delivered & {record.id for record in rest}
        assert len(delivered) + len(rest) == 240


async def test_a_lost_cursor_costs_repeats_and_no_data(log, context):
    async with log.opened() as outbox:
        device = outbox.bind(spec(), context)
        reader = outbox.reader("central")
        await fill(outbox, device, range(10))
        reader.acknowledged((await take(reader, 10))[:5])
    for content in (None, b"", b"{}", b'{"log": "x", "lanes": {}}'):
        path = log.directory / "cursors" / "central.json"
        path.unlink() if content is None else path.write_bytes(content)
        async with log.opened() as outbox:
            reader = outbox.reader("central")
            assert values(await take(reader, 10)) == list(range(10))
            assert reader.pending["data"] == 30


async def test_a_released_sink_holds_nothing_back(log, context):
    async with log.opened(segment_size=64 * 1024) as outbox:
        device = outbox.bind(spec(tags=50), context)
        dead, alive = outbox.reader("dead"), outbox.reader("alive")
        await fill(outbox, device, range(1000))
        alive.acknowledged(await take(alive, 1000, limit=2000))
        assert len(log.files()) > 3
        outbox.release("dead")
        await until(lambda: len(log.files()) == 1)
        assert dead.pending["data"] == 50_000
