"""What a driver can do, what people ask it for, and what it tells."""

import asyncio
from pathlib import Path

import numpy as np
import pytest

from gateway.acquire.acquirer import Acquirer
from gateway.core.clock import SystemClock
from gateway.core.device_event import DeviceEvent
from gateway.core.errors import GatewayError, LinkError, PluginError
from gateway.core.readings import Readings
from gateway.core.tag import Device, Tags
from gateway.plugin.driver import Found, subscribes
from gateway.plugin.guessing import Guess
from tests.acquire.plant import FakeDriver, Rig, Subscribing, spec


class Silent(FakeDriver):
    can = frozenset({"write"})


def test_what_a_driver_can_do_is_what_it_implements_or_declares():
    assert FakeDriver.can == {"read"}
    assert Subscribing.can == {"read", "stream"}
    assert Silent.can == {"write"} == type("Derived", (Silent,), {}).can
    assert type("Mixed", (type("Mixin", (), {"write": lambda *_: None}), FakeDriver), {}).can == {"read", "write"}


def test_a_driver_that_cannot_read_as_it_says_is_named():
    with pytest.raises(PluginError, match='plc is polled, and its driver "fake" has no read'):
        subscribes(Silent, spec().config)


async def test_a_person_can_read_now(plant):
    rig = Rig(plant)
    async with await rig.run(spec(scan="1h")):
        await rig.road.until(lambda: bool(rig.road.kept))
        readings = await rig.acquirer.read("plc", ["b"])
        assert readings.value.tolist() == [1.0]
        with pytest.raises(GatewayError, match='no device "nobody"'):
            await rig.acquirer.read("nobody", ["b"])
    assert len(rig.road.kept) == 2, "one poll and its stale mark at the stop; the asked reading is not stored"


async def test_what_a_device_tells_is_handed_on_and_what_people_want_of_it_reaches_the_driver(plant):
    class Telling(FakeDriver):
        async def connect(self):
            await super().connect()
            self.tell(DeviceEvent("plc", "e1", 5, "door open"))

        async def acknowledge(self, device, condition, event, comment):
            plant.asked = (device.name, condition, event, comment)

        @classmethod
        def methods(cls, config):
            return {"oven": ["heat"]}

        async def call(self, device, target, method, arguments):
            if method == "hang":
                raise TimeoutError
            return [(f"{device.name} {target} {method}", arguments)]

    rig = Rig(plant, Telling)
    async with await rig.run(spec()):
        await rig.road.until(lambda: bool(rig.road.said and rig.road.kept))
        assert [told.message for told in rig.road.said] == ["door open"]
        await rig.acquirer.acknowledge("plc", "c1", "e1", "seen")
        assert plant.asked == ("plc", "c1", "e1", "seen")
        assert rig.acquirer.methods("plc") == {"oven": ["heat"]}
        assert await rig.acquirer.call("plc", "oven", "heat", [80]) == [("plc oven heat", [80])]
        with pytest.raises(GatewayError, match="no answer in time; it may have been carried out"):
            await rig.acquirer.call("plc", "oven", "hang", [])


async def test_what_one_connection_leaves_in_the_memory_the_next_one_finds(plant):
    found = []

    class Remembering(FakeDriver):
        async def connect(self):
            found.append(self.host.memory.setdefault("first", len(found)))

        async def read(self, tags):
            if len(found) < 3:
                raise LinkError("cut")
            return [1.0] * len(tags)

    rig = Rig(plant, Remembering)
    async with await rig.run(spec()):
        await rig.road.until(lambda: rig.road.kept)
    assert found == [0, 0, 0]


async def test_a_driver_of_version_0_1_is_given_the_function_to_call_at_signs_of_life(plant):
    class Old(Subscribing):
        def __init__(self, devices, alive=lambda: None):
            super().__init__(devices, alive)
            self.sign = alive

    async def on_stream(driver):
        driver.sign()
        driver.alive()
        driver.tell(DeviceEvent("plc", "e1", 5, str(driver.state_dir)))
        (device,) = driver.devices
        yield Readings(device, np.array([5, 5]), device.tags.ids, np.array([1.0, 2.0]), np.zeros(2, np.uint32))
        await asyncio.Event().wait()

    plant.on_stream = on_stream
    rig = Rig(plant, Old)
    async with await rig.run(spec()):
        await rig.road.until(lambda: rig.road.said and rig.road.kept)
    signs = []
    alone = Old([Device("plc", "old", Tags("plc", []), config=spec().config)], lambda: signs.append(1))
    alone.alive()
    alone.host.alive()
    assert signs == [1, 1]


async def test_a_driver_that_knows_no_conditions_says_so(plant):
    rig = Rig(plant)
    async with await rig.run(spec()):
        await rig.road.until(lambda: bool(rig.road.kept))
        assert rig.acquirer.methods("plc") == {}
        with pytest.raises(GatewayError, match="acknowledges nothing"):
            await rig.acquirer.acknowledge("plc", "c1", "e1", "")


async def test_a_person_can_ask_what_an_address_may_mean(plant):
    class Guessing(FakeDriver):
        async def guesses(self, device, address, count):
            return [Guess({"address": address, "type": device.name}, float(count))]

    rig = Rig(plant, Guessing)
    async with await rig.run(spec()):
        await rig.road.until(lambda: bool(rig.road.kept))
        assert await rig.acquirer.guesses("plc", "hr:0", 4) == [Guess({"address": "hr:0", "type": "plc"}, 4.0)]


async def test_a_driver_whose_devices_tell_their_types_says_so(plant):
    rig = Rig(plant)
    async with await rig.run(spec()):
        with pytest.raises(GatewayError, match="nothing to guess"):
            await rig.acquirer.guesses("plc", "hr:0", 4)


async def test_a_write_that_may_go_beside_reads_does_not_wait_for_them(plant):
    written = []

    class Interleaving(FakeDriver):
        writes_beside_reads = True

        async def write(self, tag, value):
            written.append((tag.name, value))

    rig = Rig(plant, Interleaving)
    under_way = asyncio.Event()

    async def on_read(tags):
        if plant.connects == 1 and rig.road.kept:
            under_way.set()
            await asyncio.Event().wait()
        return [1.0] * len(tags)

    plant.on_read = on_read
    async with await rig.run(spec(timeout="60s")):
        await asyncio.wait_for(under_way.wait(), 20)
        (source,) = rig.acquirer.sources
        await asyncio.wait_for(rig.acquirer.write(source.device.tags[0], 7), 20)
        assert written == [("a", 7)]


async def test_a_device_is_browsed_and_its_connection_told_by_the_driver_that_is_connected(plant):
    class Telling(FakeDriver):
        facts = {"security": "none"}
        remarks = ["not protected"]

        async def browse(self):
            yield "place 1", Found("float64", path=str(self.state_dir))

    answering = asyncio.Event()
    plant.on_connect = answering.wait
    rig = Rig(plant, Telling)
    rig.acquirer = Acquirer(rig.road, rig.acquirer._drivers, SystemClock(), Path("kept"))
    async with await rig.run(spec()):
        (source,) = rig.acquirer.sources
        assert await rig.acquirer.browse("plc") is None
        assert (source.line.facts(), source.line.remarks()) == ({}, [])
        answering.set()
        await rig.road.until(lambda: bool(rig.road.kept))
        assert await rig.acquirer.browse("plc") == [("place 1", Found("float64", path="kept"))]
        assert (source.line.facts(), source.line.remarks()) == ({"security": "none"}, ["not protected"])
    assert plant.connects == 1


async def test_a_driver_that_cannot_browse_is_named(plant):
    rig = Rig(plant)
    async with await rig.run(spec()):
        await rig.road.until(lambda: bool(rig.road.kept))
        with pytest.raises(GatewayError, match="its driver cannot browse"):
            await rig.acquirer.browse("plc")
