"""Numbers published over a link that is cut again and again, and what an independent subscriber has heard of them."""

import asyncio
import random
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from contextlib import suppress
from typing import Any, NamedTuple

from gateway.core.errors import LinkError
from gateway.mqtt import MqttSession
from gateway.testing import eventually
from tests.mqtt.noted import noted_session
from tests.peers.broker import Received
from tests.peers.proxy import FaultProxy


class Feed:
    """Offers numbers at a pace of some thousands a second, and publishes them until all were acknowledged, over as many
    connections as that takes."""

    def __init__(self, port: int, count: int, **options: Any) -> None:
        self._port, self._count, self._options = port, count, options
        self._offered = 0
        self._owed: dict[int, None] = {}
        self.acknowledged = 0
        self.window = 0

    async def run(self) -> None:
        while self.acknowledged < self._count:
            noted = noted_session(self._port, **self._options)
            noted.session._on_acknowledged = self._taken
            with suppress(LinkError):
                await noted.session.connect()
                self.window = noted.session.receive_maximum
                self._publish(noted.session, self._owed)
                await self._go_on(noted.session)
            await noted.session.disconnect()

    async def _go_on(self, session: MqttSession) -> None:
        while not session.is_closed and self.acknowledged < self._count:
            fresh = range(self._offered, min(self._offered + 40, self._count))
            self._offered = fresh.stop
            self._owed.update(dict.fromkeys(fresh))
            self._publish(session, fresh)
            await asyncio.sleep(0.01)

    def _publish(self, session: MqttSession, numbers: Iterable[int]) -> None:
        session.publish_many([("a", b"%d" % number, False, number) for number in numbers])

    def _taken(self, numbers: list[int]) -> None:
        for number in numbers:
            del self._owed[number]
        self.acknowledged += len(numbers)


class Survived(NamedTuple):
    """What came through."""

    lost: list[int]
    repeats: int
    cuts: int
    window: int


async def over_a_bad_link(
    port: int, received: Callable[[], Sequence[Received]], count: int, **options: Any
) -> Survived:
    """Publish so many numbers to "a", while the link is cut every 0.2 to 0.6 s. `received`: what the subscriber has."""
    chance = random.Random(14)
    async with FaultProxy("127.0.0.1", port) as proxy:
        feed = Feed(proxy.port, count, **options)
        feeding = asyncio.create_task(feed.run())
        await eventually(lambda: feed.acknowledged > 100, timeout=90)
        while not feeding.done():
            proxy.drop()
            await asyncio.wait({feeding}, timeout=chance.uniform(0.2, 0.6))
        await feeding
        cuts = proxy.accepted - 1

    def heard() -> Counter[int]:
        return Counter(int(message.payload) for message in received() if message.topic == "a")

    with suppress(AssertionError):  # then some are lost
        await eventually(lambda: len(heard()) == count, timeout=90)
    numbers = heard()
    survived = Survived(sorted(set(range(count)) - set(numbers)), numbers.total() - len(numbers), cuts, feed.window)
    print(f"{count} messages, {cuts} cuts: {len(survived.lost)} lost, {survived.repeats} repeats, window {feed.window}")
    return survived


def judge(survived: Survived) -> None:
    """Nothing is lost, and at most a window comes twice for each cut."""
    assert survived.cuts >= 1
    assert survived.lost == []
    assert survived.repeats <= survived.cuts * survived.window
