"""Which barrier loses nothing with a broker: tried by cutting connections at the moment of its answer."""

import asyncio
from collections.abc import Callable
from dataclasses import replace
from typing import Any

from gateway.core.errors import LinkError
from gateway.mqtt.broker_options import Barrier, MqttOptions
from gateway.mqtt.broker_session import MqttSession
from gateway.mqtt.packets import Received

ROUNDS, MESSAGES = 3, 200
PATIENCE = 3.0
"""Seconds that the last message of a round may take to come."""


class BarrierTrial:
    """Publishes to a private topic with QoS 0, not retained, and listens there by another connection."""

    def __init__(self, options: MqttOptions, topic: str) -> None:
        """Two clients connect, with "-ear" and "-mouth" behind the name in `options`."""
        self._options = options
        self._topic = topic
        self._heard: set[bytes] = set()

    async def lossless(self) -> Barrier | None:
        """The first barrier behind which all messages arrive, though the connection is cut the moment it is answered; None
        if each loses some. Raises LinkError, also where the broker hands on nothing that is published there."""
        ear = self._session(replace(self._options, client_id=f"{self._options.client_id}-ear"))
        await ear.connect()
        try:
            await ear.subscribe(self._topic, qos=0)
            if not await self._arrives("unsubscribe", ["here"], cut=False):
                raise LinkError(
                    f'it hands on nothing that is published to "{self._topic}": allow it to write and read there'
                )
            tried: tuple[Barrier, ...] = ("unsubscribe", "marker")
            for barrier in tried:
                if await self._loses_nothing(barrier):
                    return barrier
            return None
        finally:
            await ear.disconnect()

    async def _loses_nothing(self, barrier: Barrier) -> bool:
        for number in range(ROUNDS):
            if not await self._arrives(barrier, [f"{barrier} {number} {each}" for each in range(MESSAGES)]):
                return False
        return True

    def _session(
        self, options: MqttOptions, answered: Callable[[list[Any]], None] = lambda tokens: None
    ) -> MqttSession:
        def message(message: Received) -> None:
            self._heard.add(message.payload)

        return MqttSession(options, on_acknowledged=answered, on_refused=lambda *_: None, on_message=message)

    async def _arrives(self, barrier: Barrier, texts: list[str], cut: bool = True) -> bool:
        """Whether these messages come, of a connection that ends when their barrier is answered."""

        def answered(tokens: list[Any]) -> None:
            if cut:
                mouth.abort()
            done.set()

        done = asyncio.Event()
        named = replace(self._options, client_id=f"{self._options.client_id}-mouth")
        asked = replace(named, qos=0, barrier=barrier, marker_topic=self._topic, max_in_flight=2 * MESSAGES)
        mouth = self._session(asked, answered)
        await mouth.connect()
        payloads = [text.encode() for text in texts]
        mouth.publish_many([(self._topic, payload, False, None) for payload in payloads])
        if not await _within(self._options.timeout, lambda: done.is_set() or mouth.is_closed):
            mouth.abort()
        await mouth.disconnect()
        return await _within(PATIENCE, lambda: self._heard.issuperset(payloads)) and done.is_set()


async def _within(seconds: float, condition: Callable[[], bool]) -> bool:
    clock = asyncio.get_running_loop().time
    deadline = clock() + seconds
    while not condition() and clock() < deadline:  # noqa: ASYNC110 -- looked at seldom, by a person's command
        await asyncio.sleep(0.01)
    return condition()
