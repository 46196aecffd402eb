"""For each way in which a server misbehaves, and for its repair: how many tags were wrongly good (none may be), which
neighbours were lost (none), and how soon all was good again (within 15 s)."""

import asyncio
import time
from collections.abc import Callable, Iterable
from contextlib import suppress
from typing import Any

import pytest

from gateway.acquire.acquirer import Acquirer
from gateway.config.model import DeviceSpec
from gateway.core.clock import SystemClock
from gateway.core.live import LiveTable
from gateway.plugin import Device, LinkError, Readings, Tag, Tags
from gateway.supervise import running
from gateway.testing import OneDriver, eventually
from plugins.opcua import OpcUa
from plugins.opcua.config import NodeConfig, OpcUaConfig
from tests.peers.opcua_servers import OpcUaPeer, require_node_opcua

from .bending import BendingProxy
from .conftest import make_device, node, streaming
from .manners import BENT, MANNERS, Manner

COUNT = 8
NAMES = [f"P{number}" for number in range(COUNT)]
SOON = 15.0
STALE = 3.0
OLD = 9.0
"""Seconds after which a value is wrongly good: the tags go stale before, also on a machine that stands still for a while."""
LASTS = 11.0
"""Seconds for which a server misbehaves."""


class Control:
    """How slow the machine is, and the server: a driver that nothing is bent for connects to it again and again. What it
    takes longer than it should, others are allowed several times, for they may have to connect more than once."""

    def __init__(self) -> None:
        self._begun = time.monotonic()
        self._took: list[tuple[float, float]] = []
        """When it was connected, and after how many seconds."""

    async def run(self, port: int) -> None:
        device = make_device(f"opc.tcp://127.0.0.1:{port}", NAMES, scan="500ms", timeout="2s")
        while True:
            self._begun = time.monotonic()
            with suppress(OSError, LinkError, TimeoutError, AssertionError):  # as others, it tries again
                async with streaming(device) as collector:
                    await collector.until(lambda: all(map(collector.values, NAMES)), 8 * SOON)
                    now = time.monotonic()
                    self._took.append((now, now - self._begun))
            await asyncio.sleep(0.2)

    def slack(self, since: float) -> float:
        """Seconds that are allowed beyond a limit for what lasts since then (monotonic clock)."""
        worst = max(took for took in (*(took for at, took in self._took if at > since), time.monotonic() - self._begun))
        return 5 * max(0.0, worst - 2.0)


class Road:
    """Where the line's readings go: the live table, and a note of what was wrong in it."""

    def __init__(self, slack: Callable[[float], float] = lambda since: 0.0) -> None:
        self.live = LiveTable()
        self.wrong: set[str] = set()
        self.reason = ""
        self.slack = slack
        self.stood_still = 0.0
        """Seconds for which this process did nothing."""
        self._ids: dict[tuple[str, str], int] = {}

    def bind(self, spec: DeviceSpec, found: Any) -> Device:
        tags = []
        for name, config in spec.tags.items():
            kind = found[name].type if name in found else ""
            number = self._ids.setdefault((name, kind), len(self._ids))
            tags.append(Tag(number, spec.config.name, name, kind, config=config))
        return Device(spec.config.name, spec.config.driver, Tags(spec.config.name, tags), config=spec.config)

    def define(self, device: Device) -> Any:
        return self.live.define(device)

    def seen(self, readings: Readings, boot_ns: int) -> None:
        self.live.update(readings, boot_ns)

    def keep(self, readings: Readings) -> None: ...

    def settle(self) -> None: ...

    def told(self, told: Any) -> None: ...

    def event(self, event: Any) -> None: ...

    def device_changed(self, device: Device, health: Any) -> None:
        self.reason = health.reason or self.reason

    def good(self) -> dict[int, float]:
        """Number of each good tag → age of its value, s. What cannot be its value is noted as wrong."""
        now, found = time.time(), {}
        for number, live in enumerate(self.live["plc"]):
            if live.quality:
                continue
            if not isinstance(live.value, float) or live.value % 100 != number:
                self.wrong.add(f"P{number} was {live.value!r}")
            else:
                found[number] = now - live.value // 100 / 10
        return found

    async def watch(self) -> None:
        """Note what is good though its value is old. A look after which this process stood still does not count."""
        old: dict[int, int] = {}
        loop = asyncio.get_running_loop()
        while True:
            before = loop.time()
            await asyncio.sleep(0.1)
            late = loop.time() - before - 0.1
            self.stood_still += late if late > 0.1 else 0.0
            if late > 0.4:
                old.clear()
            limit = OLD + self.slack(before - 2 * OLD)
            old = {number: old.get(number, 0) + 1 for number, age in self.good().items() if age > limit}
            self.wrong |= {f"P{number} was good for too long" for number, times in old.items() if times > 10}

    async def until(self, wanted: set[int], since: float, within: float) -> float:
        """Seconds until these tags are good together, with values from after `since` (wall clock); beyond what the machine
        takes."""
        begin, still = time.monotonic(), self.stood_still
        while True:
            fresh = {number for number, age in self.good().items() if time.time() - age > since}
            took = time.monotonic() - begin - (self.stood_still - still) - self.slack(begin)
            if wanted <= fresh:
                return took
            if took > within:
                raise TimeoutError(f"only {sorted(fresh)} are good: {self.reason}")
            await asyncio.sleep(0.05)


def spec_at(port: int, options: dict[str, Any]) -> DeviceSpec:
    config = OpcUaConfig.model_validate(
        {"name": "plc", "driver": "opcua", "url": f"opc.tcp://127.0.0.1:{port}", "security": "none", "scan": "500ms"}
        | {"stale_after": f"{STALE}s", "timeout": "2s", "hold": "10s"}
        | options
    )
    return DeviceSpec(config, {f"P{n}": NodeConfig.model_validate({"address": node(f"P{n}")}) for n in range(COUNT)})


def begin(proxy: BendingProxy, manner: Manner) -> None:
    proxy.state.clear()
    proxy.served.clear()
    proxy.unasked = frozenset([manner.service]) if manner.unasked else frozenset()
    proxy.bends = {manner.service: manner.bend}
    proxy.asks = {manner.service: manner.ask} if manner.ask is not None else {}
    proxy.forgetful = manner.anew
    if manner.anew or manner.cut:
        proxy.cut()


def repair(proxy: BendingProxy) -> None:
    proxy.bends, proxy.asks, proxy.forgetful = {}, {}, False


async def campaign(port: int, manner: Manner, control: Control) -> tuple[set[str], set[int], float]:
    """What was wrongly good, neighbours lost in the end, and seconds from the repair until all was good."""
    every, road = set(range(COUNT)), Road(control.slack)
    async with BendingProxy(port) as proxy:
        acquirer = Acquirer(road, OneDriver(OpcUa), SystemClock())
        await acquirer.apply([spec_at(proxy.port, dict(manner.options))])
        async with running(acquirer.run()):
            watching = asyncio.ensure_future(road.watch())
            await road.until(every, 0.0, 8 * SOON)
            begin(proxy, manner)
            since = time.time()
            await eventually(lambda: proxy.served or manner.cut, 8 * SOON, what="the manner was tried")
            await asyncio.sleep(LASTS)
            lost: set[int] = set()
            if manner.costs != "all":
                wanted = every if manner.costs == "nothing" else every - {BENT}
                try:
                    await road.until(wanted, max(since, time.time() - OLD), SOON)
                except TimeoutError:
                    lost = wanted - road.good().keys()
            spared = manner.costs == "bent" and BENT in road.good()
            if manner.costs != "nothing":  # the worst moment: what was just asked for is not answered, or in vain
                proxy.served.clear()
                with suppress(TimeoutError):
                    async with asyncio.timeout(SOON):
                        while not proxy.served:
                            await asyncio.sleep(0.01)
            repair(proxy)
            try:
                recovery = await road.until(every, time.time(), 8 * SOON)
            except TimeoutError as error:
                recovery = float("inf")
                road.wrong.add(f"not back: {error}")
            watching.cancel()
    if spared:
        road.wrong.add("the bent tag was good")
    return road.wrong, lost, recovery


async def campaigns(port: int, names: Iterable[str], room: int) -> None:
    places = asyncio.Semaphore(room)
    found: dict[str, tuple[set[str], set[int], float]] = {}
    control = Control()

    async def one(name: str) -> None:
        async with places:
            try:
                found[name] = await campaign(port, MANNERS[name], control)
            except Exception as error:
                raise AssertionError(f"{name}: {error}") from error

    async with running(control.run(port)):
        outcomes = await asyncio.gather(*map(one, names), return_exceptions=True)
    for name, (wrong, lost, recovery) in sorted(found.items()):
        print(
            f"{name:58} wrongly good {len(wrong)}, neighbours lost {len(lost)}, recovery {recovery:5.1f} s", wrong or ""
        )
    assert [str(each) for each in outcomes if each] == []
    assert {name: wrong for name, (wrong, _, _) in found.items() if wrong} == {}
    assert {name: lost for name, (_, lost, _) in found.items() if lost} == {}
    assert {name: after for name, (_, _, after) in found.items() if after > SOON} == {}


def test_there_are_forty_ways_to_misbehave() -> None:
    assert len(MANNERS) >= 40


@pytest.mark.timeout(240)
async def test_no_manner_makes_a_tag_wrongly_good_loses_a_neighbour_or_outlasts_its_repair(tmp_path) -> None:
    async with OpcUaPeer("asyncua", tmp_path, "--clocks", str(COUNT), "--tick", "500") as peer:
        await campaigns(peer.port, [*MANNERS][::4], 40)


@pytest.mark.slow
@pytest.mark.timeout(300)
async def test_the_same_of_all_manners(tmp_path) -> None:
    async with OpcUaPeer("asyncua", tmp_path, "--clocks", str(COUNT), "--tick", "500") as peer:
        await campaigns(peer.port, [name for row, name in enumerate(MANNERS) if row % 4], 40)


@pytest.mark.slow
@pytest.mark.timeout(300)
async def test_the_same_with_node_opcua(tmp_path) -> None:
    require_node_opcua()
    async with OpcUaPeer("node-opcua", tmp_path, "--clocks", str(COUNT), "--tick", "500") as peer:
        await campaigns(peer.port, [*MANNERS][::2], 20)
