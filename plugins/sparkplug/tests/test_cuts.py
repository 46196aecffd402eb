"""A link that is cut again and again: what an independent subscriber has heard in the end."""

import asyncio
import random
from collections import Counter, deque
from collections.abc import Awaitable, Callable, Iterable
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from gateway.core.record import Record
from gateway.plugin import LinkError
from gateway.testing import eventually
from plugins.sparkplug import SparkplugSink
from plugins.sparkplug.tests.checker import Checker, Plan
from plugins.sparkplug.tests.plant import PRESS, Ears, Plant, block, config, record
from plugins.sparkplug.tests.wire import Ended, Noted, Tap, tap
from tests.peers.broker import Broker

pytestmark = pytest.mark.timeout(120)


@dataclass
class Feed(Plant):
    """Hands out records as the publisher does: what is not acknowledged goes again, the oldest first."""

    waiting: deque[Record] = field(default_factory=deque)
    sent: dict[str, Record] = field(default_factory=dict)

    def acknowledged(self, records: Iterable[Record]) -> None:
        for each in records:
            if self.sent.pop(each.id, None) is not None:
                self.taken.append(each.id)

    def next(self, window: int) -> list[Record]:
        found = [self.waiting.popleft() for _ in range(min(window - len(self.sent), len(self.waiting)))]
        self.sent |= {each.id: each for each in found}
        return found

    def rewind(self) -> None:
        self.waiting.extendleft(reversed(self.sent.values()))
        self.sent.clear()


async def _one_session(sink: SparkplugSink, feed: Feed) -> None:
    """Send until all is acknowledged, or the connection ends."""
    serving = asyncio.create_task(sink.serve())
    try:
        while (feed.waiting or feed.sent) and not serving.done():
            if records := feed.next(sink.window):
                sink.send(records)
            await asyncio.sleep(0.005)
    finally:
        serving.cancel()
        with suppress(asyncio.CancelledError, LinkError, OSError):
            await serving


Knife = Callable[[Feed, Tap], Awaitable[None]]


async def at_records(feed: Feed, relay: Tap) -> None:
    """Cuts each time that some more records were acknowledged."""
    for taken in range(100, 1900, 300):
        await eventually(lambda taken=taken: len(feed.taken) >= taken, 60)
        relay.cut()


async def at_times(feed: Feed, relay: Tap) -> None:
    """Cuts every 0.2 to 0.6 s."""
    chance = random.Random(7)
    while True:
        await asyncio.sleep(chance.uniform(0.2, 0.6))
        relay.cut()


async def _survives_cuts(folder: Path, count: int, knife: Knife) -> None:
    feed = Feed([PRESS], waiting=deque(record(block(PRESS, n, [n, n]), n) for n in range(1, count + 1)))
    with Broker(folder) as broker, Ears(broker, "spBv1.0/g/DDATA/#") as ears:
        async with tap(broker.port) as relay:
            cutting = asyncio.create_task(knife(feed, relay))
            while feed.waiting or feed.sent:
                sink = SparkplugSink(config(relay.port), feed)
                try:
                    await sink.connect()
                except (LinkError, OSError):
                    continue
                await _one_session(sink, feed)
                await sink.close()
                feed.rewind()
            cutting.cancel()
        cuts = sum(isinstance(each, Ended) for each in relay.log) - 1
        await eventually(lambda: ears.received[-1:] and len(_heard(ears)) >= count, 60)
        heard = _heard(ears)
    repeats = sum(heard.values()) - len(heard)
    print(f"{count} records, {cuts} cuts: {count - len(heard)} lost, {repeats} repeats")
    assert set(heard) == set(range(1, count + 1)), "none lost, and none that nobody sent"
    assert cuts >= 1
    assert repeats <= cuts * 200, "at most a window with each cut"
    whole = [each for each in relay.log if not isinstance(each, Noted) or each.sender == "node"]
    assert Checker(Plan("g", "gw1", devices=("press",))).judge(whole) == []


def _heard(ears: Ears) -> Counter[int]:
    return Counter(round(each.payload.metrics[0].float_value) for each in ears.said)


async def test_a_link_that_is_cut_again_and_again_loses_nothing(tmp_path: Path) -> None:
    await _survives_cuts(tmp_path, 2000, at_records)


@pytest.mark.slow
async def test_twenty_thousand_records_over_a_link_cut_every_half_second(tmp_path: Path) -> None:
    await _survives_cuts(tmp_path, 20_000, at_times)
