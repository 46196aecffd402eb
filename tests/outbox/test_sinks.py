"""Several sinks on one log: one that is away for a week neither holds up the others nor fills the disk."""

from gateway.core.quality import HISTORICAL
from gateway.core.record import Kind, Lane, Record
from gateway.status import rendered
from tests.outbox.making import fill, spec, take, until, values

SCANS = 6000
BOUND = 2 * 1024 * 1024


async def test_a_sink_that_is_away_for_a_week_costs_only_itself(log, context):
    """A week of scans, 100 s apart, of which the bound holds a part."""
    async with log.opened(segment_size=64 * 1024, max_size=BOUND, min_free=0) as outbox:
        device = outbox.bind(spec(tags=100), context)
        here, away = outbox.reader("here"), outbox.reader("away")
        for start in range(0, SCANS, 100):
            await fill(outbox, device, range(start, start + 100))
            log.clock.advance(10_000)
            got = [record for record in await take(here, 100, limit=300) if record.lane is Lane.DATA]
            assert values(got) == list(range(start, start + 100)), "all of it, at once and in order"
            here.acknowledged(got)
            outbox._tick()
            assert here.pending["data"] == 0
        await until(lambda: outbox.size <= BOUND)
        told = {reader.sink: rendered(reader.status())["lanes"]["data"] for reader in (here, away)}
        assert told["here"]["dropped"] == {}
        (lost,) = told["away"]["dropped"].values()
        assert 0 < lost < 100 * SCANS
        assert lost + told["away"]["pending"] == told["away"]["accepted"] == 100 * SCANS

        await fill(outbox, device, range(SCANS, SCANS + 5))
        first: list[Record] = []
        while not values(first):
            first += await take(away, 1, limit=200)  # events, of which there are many, go before
        live = [
            record
            for record in first
            if record.readings is not None and not (record.readings.quality & HISTORICAL).any()
        ]
        assert values(live) == list(range(SCANS, SCANS + 5)), "back again: live data first"
        records = first
        away.acknowledged(first)
        while away.pending["data"]:
            await away.wait()
            taken = await away.take(200)
            away.acknowledged(taken)
            records += taken
        kept = sorted(values(records))
        assert kept == list(range(SCANS + 5 - len(kept), SCANS + 5)), "the newest, without a gap"
        named = sum(record.body["sinks"].get("away", 0) for record in records if record.kind is Kind.LOSS)
        assert named == lost, "each loss is itself a record"
        assert lost + 100 * len(kept) == 100 * (SCANS + 5)


async def test_a_cursor_with_many_holes_is_written_more_rarely_and_always_at_the_end(log, context):
    async with log.opened() as outbox:
        device, reader = outbox.bind(spec(), context), outbox.reader("central")
        await fill(outbox, device, range(2004))
        records = await take(reader, 2004)
        reader.acknowledged(records[:2])
        outbox._tick()
        assert not reader.changed
        reader.acknowledged(records[4:2000:2])
        outbox._tick()
        assert not reader.changed, "the first large one"
        reader.acknowledged(records[2000:2001])
        outbox._tick()
        assert reader.changed, "too soon after it"
        log.clock.advance(60)
        outbox._tick()
        assert not reader.changed
        reader.acknowledged(records[2002:2003])
    async with log.opened() as outbox:
        assert outbox.reader("central").pending["data"] == (2004 - 2 - 998 - 2) * len(device.tags)
