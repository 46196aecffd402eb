"""A device that hangs up over what it is asked: the line finds out over what, and reads the rest."""

import asyncio

from gateway.acquire.acquirer import Acquirer
from gateway.config.model import DeviceSpec
from gateway.core.clock import SystemClock
from gateway.plugin import quality
from gateway.supervise import running
from gateway.testing import OneDriver, eventually
from plugins.modbus.config import ModbusDevice, ModbusTag
from plugins.modbus.driver import Modbus
from plugins.modbus.tests.bent import BENT, HANGS_UP, Bent, Manner
from tests.acquire.plant import Road

COUNT = 12


class Line(Road):
    """Which registers are good, and which of them wrongly."""

    def good(self) -> set[int]:
        return {row for row, live in enumerate(self.live["plc"]) if live.quality == quality.GOOD}

    def wrong(self) -> set[int]:
        return {row for row in self.good() if list(self.live["plc"])[row].value != row}

    def bind(self, spec, found):
        device = super().bind(spec, found)
        for tag in device.tags:
            object.__setattr__(tag, "config", spec.tags[tag.name])
        return device


async def campaign(manner: Manner) -> None:
    every = set(range(COUNT))
    wanted = every if manner.costs == "nothing" else every - {BENT}
    async with Bent() as bent:
        options = {"host": "127.0.0.1", "port": bent.port, "timeout": "1s", "scan": "100ms"}
        config = ModbusDevice.model_validate({"name": "plc", "driver": "modbus"} | options)
        tags = {f"w{n}": ModbusTag.model_validate({"address": f"hr:{n}", "type": "uint16"}) for n in range(COUNT)}
        road = Line()
        acquirer = Acquirer(road, OneDriver(Modbus), SystemClock())
        await acquirer.apply([DeviceSpec(config, tags)])
        async with running(acquirer.run()):
            await eventually(lambda: road.good() == every)
            bent.manner = manner
            await eventually(lambda: BENT not in road.good())
            await eventually(lambda: road.good() == wanted)
            seen = bent.asked
            await eventually(lambda: bent.asked > seen + 100 and road.good() == wanted)
            bent.manner = None
            await eventually(lambda: road.good() == every)
            assert road.wrong() == set()


async def test_its_neighbours_are_good_and_it_is_back_after_the_repair() -> None:
    await asyncio.gather(*(campaign(manner) for manner in HANGS_UP.values()))
