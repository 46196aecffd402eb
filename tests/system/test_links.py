"""What a broken link to the broker costs: no reading, and at most a window of repeats each time. The daemon is a process, the
broker mosquitto, the judge mosquitto_sub; the link breaks in a proxy."""

import asyncio
import random
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path

import pytest

from gateway.testing import eventually
from tests.peers.broker import Broker, Subscriber
from tests.peers.proxy import FaultProxy

from . import accounting
from .daemon import Daemon, all_up, pending, sink
from .plant import modbus, modbus_devices, mqtt

pytestmark = pytest.mark.system

DEVICES = ("press-1", "press-2", "press-3")
WINDOW = 40
"""Records on their way at most: twice mosquitto's receive maximum."""
ACK_TIMEOUT = 2.0
KILLED_FOR = 20.0
"""Seconds."""
NOTICED = 60.0
"""Seconds in which this machine, shared with others, must notice what the daemon notices in a few."""


class Line:
    """Devices, the daemon, the broker behind a link that can be broken, and who counts what arrives."""

    def __init__(self, directory: Path, **options: str) -> None:
        """`options` of the sink."""
        self.directory = directory
        self.options = options

    @asynccontextmanager
    async def running(self) -> AsyncIterator["Line"]:
        async with AsyncExitStack() as stack:
            ports = await stack.enter_async_context(modbus_devices("--ports", "3", "--floats", "20", "--period", "0.2"))
            self.devices = [await stack.enter_async_context(FaultProxy("127.0.0.1", port)) for port in ports]
            self.broker = Broker(self.directory, ["max_inflight_messages 0", "max_keepalive 65535"])
            await asyncio.to_thread(self.broker.start)
            stack.callback(self.broker.stop)
            self.link = await stack.enter_async_context(FaultProxy("127.0.0.1", self.broker.port))
            self.subscriber = Subscriber(self.broker)
            await asyncio.to_thread(self.subscriber.__enter__)
            stack.callback(self.subscriber.__exit__)
            config = [mqtt(self.link.port, ack_timeout=f'"{ACK_TIMEOUT:g}s"', **self.options)]
            for name, proxy in zip(DEVICES, self.devices, strict=True):
                config.append(modbus(name, proxy.port, floats=20, scan='"100ms"'))
            self.daemon = await stack.enter_async_context(Daemon(self.directory / "gateway", "\n".join(config)))
            await self.daemon.until(all_up, "everything is up", NOTICED)
            await self.daemon.until(
                lambda status: sink(status)["acknowledged_readings"] > 500, "readings flow", NOTICED
            )
            yield self

    async def mended(self) -> None:
        """Wait until the sink is up and all is delivered; then let the devices go, so that nothing more comes, and stop."""
        await self.daemon.until(lambda status: sink(status)["state"] == "up", "the sink is up again", 2 * NOTICED)
        for proxy in self.devices:
            proxy.cut()
        await self.daemon.until(
            lambda status: (
                all(each["state"] == "down" for each in status["devices"])
                and not pending(status)
                and not status["outbox"]["lanes"]["data"]["queued"]
            ),
            "all is delivered",
            2 * NOTICED,
        )
        self.status = await self.daemon.delivered()  # also that the devices' last values are stale
        assert await self.daemon.stop() == 0

    async def judge(self, what: str) -> None:
        """Every accepted reading has arrived; repeats are no more than a window for each end of a connection, but for the
        last one, which was closed in good order."""
        ends = self.link.accepted - 1
        accepted = self.status["outbox"]["lanes"]["data"]["accepted"]
        await eventually(lambda: self.values() >= accepted, what="every accepted reading has arrived", timeout=NOTICED)
        found = accounting.records(self.subscriber.received)
        readings = [body for body in found.values() if "values" in body.body]
        assert sum(len(each.body["values"]) for each in readings) == accepted, "more arrived than were accepted"
        assert not [each for each in found.values() if each.topic.endswith("/_loss")]
        assert not accounting.every_hole_is_named(found)
        messages = sum('"id":"' in each.payload for each in self.subscriber.received)
        repeats = messages - len(found)
        assert repeats <= WINDOW * ends, f"{repeats} repeats after {ends} ends of the connection"
        print(
            f"{what}: {accepted} readings accepted, {accepted} arrived, 0 lost; {ends} ends, {repeats} records repeated"
        )

    def judge_by_numbers(self, kills: int) -> None:
        """After kills: each number of an accepted record has arrived, or is named as one that was never used."""
        found = accounting.records(self.subscriber.received)
        skips = accounting.every_hole_is_named(found)
        assert not [each for each in found.values() if each.topic.endswith("/_loss")]
        messages = sum('"id":"' in each.payload for each in self.subscriber.received)
        print(f"{kills} kills: {len(found)} records arrived, 0 lost, {messages - len(found)} repeated, skips: {skips}")

    def values(self) -> int:
        found = accounting.records(self.subscriber.received)
        return sum(len(each.body["values"]) for each in found.values() if "values" in each.body)


async def kill_the_broker(line: Line, seconds: float) -> None:
    line.link.freeze()
    await asyncio.to_thread(line.subscriber.catch_up)
    line.broker.kill()
    line.link.cut()  # until the subscriber is back, else the new broker would take messages that nobody wants
    await line.daemon.until(lambda status: sink(status)["state"] == "down", "the end is noticed", NOTICED)
    await asyncio.sleep(seconds)
    before = line.broker.log.read_text(errors="replace").count("Sending SUBACK")
    await asyncio.to_thread(line.broker.start)
    await eventually(
        lambda: line.broker.log.read_text(errors="replace").count("Sending SUBACK") > before,
        what="mosquitto_sub is back",
        timeout=60,
    )
    await line.link.restore()


async def swallow_everything(line: Line, seconds: float) -> None:
    """Sockets stay open, nothing passes: noticed and named."""
    line.link.freeze()
    begun = time.monotonic()
    await line.daemon.until(lambda status: sink(status)["state"] == "down", "the black hole is noticed", NOTICED)
    print(f"black hole named after {time.monotonic() - begun:.1f} s, ack_timeout is {ACK_TIMEOUT:g} s")
    await line.daemon.logs("swallows")
    await asyncio.sleep(seconds)
    await line.link.restore()


async def cut_again_and_again(line: Line, seconds: float) -> None:
    """Every 0.2 to 0.6 s, whatever is under way."""
    chance = random.Random(20261122)
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        await asyncio.sleep(chance.uniform(0.2, 0.6))
        line.link.drop()


Trouble = Callable[[Line, float], Awaitable[None]]
ALL = pytest.mark.parametrize("trouble", [kill_the_broker, swallow_everything, cut_again_and_again])


async def survive(directory: Path, trouble: Trouble, seconds: float) -> None:
    async with Line(directory).running() as line:
        await trouble(line, seconds)
        await line.mended()
        await line.judge(f"{trouble.__name__.replace('_', ' ')} for {seconds:g} s")
        assert "Traceback" not in line.daemon.log


@pytest.mark.timeout(400)
@ALL
async def test_a_broken_link_loses_nothing(tmp_path: Path, trouble: Trouble) -> None:
    await survive(tmp_path, trouble, 3)


@pytest.mark.slow
@pytest.mark.timeout(600)
@ALL
async def test_a_link_broken_for_a_minute_loses_nothing(tmp_path: Path, trouble: Trouble) -> None:
    await survive(tmp_path, trouble, 60)


@pytest.mark.slow
@pytest.mark.timeout(600)
@pytest.mark.parametrize("qos", ["1", "0"])
async def test_a_gateway_that_is_killed_each_second_loses_nothing_that_it_had_accepted(
    tmp_path: Path, qos: str
) -> None:
    async with Line(tmp_path, qos=qos).running() as line:
        kills, end = 0, time.monotonic() + KILLED_FOR
        while time.monotonic() < end:
            await asyncio.sleep(1)
            await line.daemon.kill()
            kills += 1
            await line.daemon.start()
        await line.mended()
        await asyncio.to_thread(line.subscriber.catch_up)
        line.judge_by_numbers(kills)
        assert kills > 3
