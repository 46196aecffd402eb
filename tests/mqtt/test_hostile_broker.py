"""Whoever answers at the broker's port may send what he likes: the connection ends with words, memory stays, others go on."""

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from gateway.core.errors import LinkError
from gateway.core.text import cleaned
from gateway.mqtt.paho_client import BatchedClient, PlainClient
from tests.mqtt.noted import noted_session
from tests.peers.hostile_broker import AFTER, INSTEAD, hostile_broker

pytestmark = pytest.mark.timeout(120)

BOTH = pytest.mark.parametrize("client_type", [BatchedClient, PlainClient])
MEMORY = 150 * 2**20
GAP = 2.0
"""Seconds of the processor's time, so that a machine that stands still fails nobody; it is some milliseconds, and a held loop
works for as long as the attack lasts."""

SILENT = {"silence": "not answered", "dripping-welcome": "not answered", "dripping-message": "not answered a ping"}
HARMLESS = {"good-bye-with-escapes", "refusal-with-escapes", "close"}
"""Modes after which the words are about something other than what no broker sends."""


def resident() -> int:
    """Bytes of this process in memory."""
    return int(Path("/proc/self/statm").read_text().split()[1]) * 4096


class Beside:
    """What an honest neighbour in the same loop, and the memory, have to bear."""

    def __init__(self) -> None:
        self.gap = 0.0
        self.grown = 0

    async def watch(self) -> None:
        before, last = resident(), time.thread_time()
        while True:
            await asyncio.sleep(0.005)
            self.gap = max(self.gap, time.thread_time() - last)
            last = time.thread_time()
            self.grown = max(self.grown, resident() - before)


@asynccontextmanager
async def beside() -> AsyncIterator[Beside]:
    neighbour = Beside()
    task = asyncio.create_task(neighbour.watch())
    try:
        yield neighbour
    finally:
        task.cancel()
        await asyncio.wait([task])


async def end(
    port: int, client_type: type[PlainClient], timeout: float = 30.0, *, subscribe: bool = False
) -> LinkError:
    """Why the session ended, be it before or after the welcome."""
    noted = noted_session(port, client_type=client_type, timeout=timeout, keep_alive=1.0, protocol="5")
    try:
        await noted.session.connect()
        asking = asyncio.create_task(noted.session.subscribe("#")) if subscribe else None
        for n in range(20):
            noted.session.publish_many([("a", bytes(1000), False, n)])
        why = await noted.session.closed()
        if asking is not None:
            await asyncio.wait([asking])
            asking.exception()
    except LinkError as error:
        return error
    assert isinstance(why, LinkError), why
    return why


@BOTH
@pytest.mark.parametrize("mode", [*INSTEAD, *AFTER])
async def test_an_attack_ends_the_connection_and_costs_nobody_anything(
    mode: str, client_type: type[PlainClient]
) -> None:
    with hostile_broker(mode) as port:
        async with beside() as neighbour, asyncio.timeout(60):
            why = str(
                await end(port, client_type, 2.0 if mode == "close" or SILENT.get(mode) == "not answered" else 30.0)
            )
    assert neighbour.grown < MEMORY
    assert neighbour.gap < GAP
    assert cleaned(why, 1500) == why
    if mode in SILENT:
        assert SILENT[mode] in why
    elif mode not in HARMLESS:
        assert "MQTT" in why or "fits" in why, why


@BOTH
@pytest.mark.parametrize("mode", ["giant-message", "qos-2-storm", "qos-1-storm", "message-storm"])
async def test_who_has_subscribed_bears_no_more_than_it_has_asked_for(
    mode: str, client_type: type[PlainClient]
) -> None:
    """A storm of what was asked for goes on; it must leave room for others, and takes no memory."""
    with hostile_broker(mode) as port:
        async with beside() as neighbour:
            ending = asyncio.create_task(end(port, client_type, subscribe=True))
            await asyncio.wait([ending], timeout=1.5)
            assert neighbour.grown < MEMORY
            assert neighbour.gap < GAP
            if mode == "giant-message":
                words = str(await ending)  # by when it came
                assert "a message without a proper topic" in words or "no MQTT broker does that" in words
            if mode == "qos-2-storm":
                assert "no MQTT broker does that" in str(await ending)
            ending.cancel()
            await asyncio.wait([ending])
