"""What became of a batch: counts that add up, gaps where they were, and a watermark that never lies."""

import random

import pytest

from gateway.core.context import Context
from gateway.core.errors import GatewayError
from gateway.core.record import Kind, Record
from gateway.outbox import Outbox
from tests.outbox.making import Log, block, fill, spec, take

SPAN = (-(2**63), 2**63 - 1)
HOUR = 3600


async def account(outbox: Outbox, batch: str) -> dict:
    return await outbox.batches.of(batch, SPAN, outbox.written_out(25))


def batch_of(record: Record) -> str:
    assert record.readings is not None
    return record.readings.device.context.batch


@pytest.mark.parametrize("seed", range(12))
async def test_what_is_accepted_before_its_watermark_is_delivered(log: Log, context: Context, seed: int) -> None:
    """Interleaved batches on three devices over hours and a restart, a far side that takes them in any order and not all."""
    chance = random.Random(seed)
    accepted: list[Record] = []
    has: set[int] = set()

    async def check(outbox: Outbox) -> None:
        for batch in sorted({batch_of(each) for each in accepted} - {""}):
            said = await account(outbox, batch)
            own = [each for each in accepted if batch_of(each) == batch]
            late = [each.wall_ns // 1_000_000 for each in own if each.seq not in has]
            assert said["readings"] == sum(each.rows for each in own)
            of = said["sinks"]["central"]
            assert of["acknowledged"] == sum(each.rows for each in own if each.seq in has)
            assert of["pending"] == sum(each.rows for each in own if each.seq not in has)
            assert not late or said["complete_to"] <= min(late)
            if not late:
                assert said["complete_to"] == log.clock.wall_ns() // 1_000_000
            assert said["complete"] is (not late and not any(work.batch == batch for work in outbox.works))

    for _ in range(3):
        async with log.opened(keep=1e6) as outbox:
            devices = [outbox.bind(spec(f"press-{n}"), context) for n in range(3)]
            reader = outbox.reader("central")
            open_ones: list[Record] = []
            for _ in range(12):
                device = chance.choice(devices)
                outbox.works.set(device.name, Context(batch=chance.choice(["", "B-1", "B-2", "B-3"])))
                count = chance.randrange(1, 4)
                await fill(outbox, device, range(count))
                new = [each for each in await take(reader, 1, 1000) if each.kind is Kind.READINGS]
                while len({each.seq for each in new + accepted}) < outbox.status().lanes["data"].accepted // 3:
                    new += [each for each in await reader.take(1000) if each.kind is Kind.READINGS]
                accepted += [each for each in new if each.seq not in {known.seq for known in accepted}]
                open_ones += new
                taken = [each for each in open_ones if chance.random() < 0.6]
                open_ones = [each for each in open_ones if each not in taken]
                reader.acknowledged(taken)
                has |= {each.seq for each in taken}
                log.clock.advance(chance.choice([1, 30, 700, HOUR]))
                if chance.random() < 0.4:
                    await check(outbox)
            await check(outbox)


async def test_a_gap_counts_to_what_the_device_worked_for_then(log: Log, context: Context) -> None:
    async with log.opened() as outbox:
        device, reader = outbox.bind(spec(), context), outbox.reader("central")
        outbox.works.set("press-1", Context(batch="B-1"))
        await fill(outbox, device, range(1))
        outbox.receipts.device_changed(device, False, "cable cut")
        log.clock.advance(100)
        outbox.works.set("press-1", Context(batch="B-2"))
        outbox.receipts.tick(queued=False)
        log.clock.advance(50)
        outbox.receipts.device_changed(device, True, "")
        await fill(outbox, device, range(1, 2))
        reader.acknowledged(await take(reader, 2))
        one, two = [await account(outbox, batch) for batch in ("B-1", "B-2")]
    (gap,) = one["devices"]["press-1"]["gaps"]
    assert (gap["reason"], gap["to"] - gap["from"]) == ("offline: cable cut", 100_000)
    (gap,) = two["devices"]["press-1"]["gaps"]
    assert gap["to"] - gap["from"] == 50_000


async def test_polls_that_were_left_out_are_counted_once(log: Log, context: Context) -> None:
    class Polls:
        count = 0

        def missed(self) -> dict[str, int]:
            return {"press-1": self.count}

    polls = Polls()
    async with log.opened() as outbox:
        outbox.receipts.count_missed(polls)
        device, reader = outbox.bind(spec(), context), outbox.reader("central")
        for number, batch in enumerate(["B-1", "B-2", "B-1"], 1):
            outbox.works.set("press-1", Context(batch=batch))
            await fill(outbox, device, range(1))
            polls.count += number
        reader.acknowledged(await take(reader, 3))
        log.clock.advance(HOUR)
        outbox.receipts.tick(queued=False)
        found = {batch: (await account(outbox, batch))["missed_polls"] for batch in ("B-1", "B-2")}
    assert found == {"B-1": 4, "B-2": 2}


async def test_what_is_lost_of_a_batch_is_said_and_it_is_never_complete(log: Log, context: Context) -> None:
    async with log.opened() as outbox:
        device, reader = outbox.bind(spec(), context), outbox.reader("central")
        outbox.works.set("press-1", Context(batch="B-1"))
        await fill(outbox, device, range(3))
        first, *rest = await take(reader, 3)
        reader.refused(first, "too large", final=True)
        reader.acknowledged(rest)
        outbox.works.set("press-1", Context())
        outbox.append(block(device, 9))
        said = await account(outbox, "B-1")
        assert said["sinks"]["central"]["dropped"] == {"refused: too large": 3}
        assert not said["complete"]
        with pytest.raises(GatewayError, match="no receipt of that time names a batch B-2"):
            await account(outbox, "B-2")
