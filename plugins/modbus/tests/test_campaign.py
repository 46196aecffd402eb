"""For each way in which a device misbehaves, and for its repair: how many tags were wrongly good (none may be), which
neighbours were lost (none), and how soon all was good again (within 15 s)."""

import asyncio
import random
from typing import Any

import pytest

from gateway.plugin import Device, DeviceError, LinkError, Readings
from plugins.modbus.driver import Modbus
from plugins.modbus.tests.bent import BENT, MANNERS, Bent, Manner
from plugins.modbus.tests.bent_rtu import RTU_MANNERS, BentRtu
from plugins.modbus.tests.fakes import make_device, words

COUNT = 12
SOON = 15.0


@pytest.fixture(autouse=True)
def _probes_soon(monkeypatch: pytest.MonkeyPatch) -> None:
    """After a second, so that of SOON the most is left to a busy machine; the tests of the plan judge the pause itself."""
    monkeypatch.setattr("gateway.kit.blocks.plan.PROBE_AFTER", 1.0)


class Road:
    """Reads a device as a line does: a new driver after each loss, with a pause, and notes what was good."""

    def __init__(self, device: Device, pause: float = 0.05) -> None:
        self._device = device
        self._pause = pause
        self.wrong: list[tuple[int, float]] = []
        self.good: set[int] = set()
        """The tags that were good at the last scan."""
        self.scans = 0
        self.reason = ""

    async def run(self) -> None:
        while True:
            driver = Modbus([self._device])
            try:
                await driver.connect()
                try:
                    while True:
                        await self._scan(driver)
                finally:
                    await driver.close()
            except (LinkError, TimeoutError) as error:
                self.good, self.reason = set(), str(error)
                self.scans += 1
            await asyncio.sleep(self._pause)

    async def _scan(self, driver: Modbus) -> None:
        try:
            async with asyncio.timeout(self._device.config.timeout):
                values = await driver.read(self._device.tags)
        except DeviceError as error:
            self.good, self.reason = set(), str(error)
        else:
            self._note(values)
        self.scans += 1
        await asyncio.sleep(0.02)

    def _note(self, values: Any) -> None:
        if isinstance(values, Readings):
            found = {n: value for n, value in enumerate(values.value.tolist()) if values.quality[n] == 0}
        else:
            found = dict(enumerate(values))
        self.good = set(found)
        self.wrong += [(n, value) for n, value in found.items() if value != n]

    async def until(self, wanted: set[int]) -> float:
        """Seconds until these tags are good together."""
        begin = asyncio.get_running_loop().time()
        while not wanted <= self.good:
            await asyncio.sleep(0.01)
            assert asyncio.get_running_loop().time() < begin + 4 * SOON, f"only {self.good} are good: {self.reason}"
        return asyncio.get_running_loop().time() - begin


def device_at(bent: Bent, **options: Any) -> Device:
    return make_device(words(*range(COUNT)), port=bent.port, **{"timeout": "400ms"} | options)


async def campaign(name: str, manner: Manner, transport: str) -> tuple[int, set[int], float]:
    """Tags wrongly good, neighbours lost in the end, and seconds from the repair until all was good."""
    every, spared = set(range(COUNT)), set(range(COUNT)) - {BENT}
    async with (Bent if transport == "tcp" else BentRtu)() as bent:
        # What costs nothing is read however slow this machine is; where answers are missing, waiting for them takes time.
        patience = "5s" if manner.costs == "nothing" else "400ms"
        road = Road(device_at(bent, transport=transport, timeout=patience))
        running = asyncio.ensure_future(road.run())
        try:
            await road.until(every)
            bent.manner = manner
            scans = road.scans
            while road.scans < scans + 4:
                await asyncio.sleep(0.01)
            lost: set[int] = set()
            if manner.costs != "all":
                wanted = every if manner.costs == "nothing" else spared
                try:
                    async with asyncio.timeout(SOON):
                        await road.until(wanted)
                except TimeoutError:
                    lost = wanted - road.good
            if manner.costs == "bent":
                assert BENT not in road.good
            bent.manner = None
            recovery = await road.until(every)
        finally:
            running.cancel()
            await asyncio.wait([running])
        if not running.cancelled() and running.exception():
            raise AssertionError(f"{name}: the driver broke") from running.exception()
    return len(road.wrong), lost, recovery


def test_there_are_forty_ways_to_misbehave() -> None:
    assert len(MANNERS) >= 40


@pytest.mark.timeout(240)
@pytest.mark.parametrize("transport", ["tcp", "rtu-over-tcp"])
async def test_no_manner_makes_a_tag_wrongly_good_loses_a_neighbour_or_outlasts_its_repair(transport: str) -> None:
    room = asyncio.Semaphore(16)
    manners = MANNERS if transport == "tcp" else RTU_MANNERS

    async def one(name: str) -> tuple[int, set[int], float]:
        async with room:
            return await campaign(name, manners[name], transport)

    found = dict(zip(manners, await asyncio.gather(*map(one, manners)), strict=True))
    for name, (wrong, lost, recovery) in found.items():
        print(f"{name:50} wrongly good {wrong}, neighbours lost {len(lost)}, recovery {recovery:5.1f} s")
    assert {name for name, (wrong, _, _) in found.items() if wrong} == set()
    assert {name: lost for name, (_, lost, _) in found.items() if lost} == {}
    assert {name: after for name, (_, _, after) in found.items() if after > SOON} == {}


async def session(seed: int, turns: int) -> None:
    """A whole session with a device that changes its manner at every other answer, and is repaired at the end; `seed` chooses
    the manners."""
    dice = random.Random(seed)
    async with Bent() as bent:
        road = Road(device_at(bent, timeout="200ms"), pause=0.01)
        running = asyncio.ensure_future(road.run())
        try:
            for _ in range(turns):
                bent.manner = dice.choice([None, *MANNERS.values()])
                await asyncio.sleep(dice.random() * 0.2)
                if dice.random() < 0.1:
                    bent.hang_up()
            bent.manner = None
            assert await road.until(set(range(COUNT))) <= 2 * SOON, f"seed {seed}"
        finally:
            running.cancel()
            await asyncio.wait([running])
        assert running.cancelled(), f"seed {seed}: {running}"
        assert road.wrong == [], f"seed {seed}"


async def test_whole_sessions_of_changing_manners_bring_nothing_wrong() -> None:
    begins_with_foreign_answers = 2522876837
    await asyncio.gather(*(session(seed, 20) for seed in (0, 1, 2, begins_with_foreign_answers)))


@pytest.mark.slow
@pytest.mark.timeout(300)
async def test_many_sessions_of_changing_manners_bring_nothing_wrong(new_seed: int) -> None:
    for part in range(3):
        await asyncio.gather(*(session(new_seed + 10 * part + n, 100) for n in range(10)))
