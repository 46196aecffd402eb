"""Devices that share a line."""

import asyncio
from contextlib import nullcontext

from gateway.core.errors import DeviceError
from gateway.supervise import Deadlines, backoff
from tests.acquire.plant import FakeDriver, Rig, spec


async def test_one_bad_device_on_a_shared_line_leaves_the_others_alone(plant, monkeypatch):
    monkeypatch.setattr(backoff.Backoff, "pause", lambda *_: 3600.0)
    rig = Rig(plant)
    asked = []

    async def on_read(tags):
        asked.append(tags.device)
        if tags.device == "dead":
            raise DeviceError("no answer from unit 2")
        return [1.0] * len(tags)

    plant.on_read = on_read
    async with await rig.run(spec("dead", bus="com1"), spec("well", bus="com1")):
        await rig.road.until(lambda: len(rig.road.kept) >= 10)
    assert plant.connects == 1
    assert ("dead", "down", "no answer from unit 2") in rig.road.states
    assert asked.count("dead") == 1 < asked.count("well")


async def test_a_silent_device_on_a_shared_line_counts_against_that_device_only(plant):
    rig = Rig(plant)

    async def on_read(tags):
        if tags.device == "dead":
            await asyncio.Event().wait()
        return [1.0] * len(tags)

    plant.on_read = on_read
    async with await rig.run(*(spec(name, bus="com1", timeout="200ms") for name in ("dead", "well"))):
        await rig.road.until(
            lambda: len(rig.road.kept) >= 10 and ("dead", "down", "no answer within 0.2 s") in rig.road.states
        )
    assert plant.connects == 1


async def test_a_driver_that_takes_turns_itself_reads_all_devices_of_a_line_at_once_and_none_twice(plant):
    class TakingTurns(FakeDriver):
        takes_turns = True

    rig = Rig(plant, TakingTurns)
    under_way: list[str] = []
    let_go = asyncio.Event()

    async def on_read(tags):
        assert tags.device not in under_way or len(tags) == 1
        under_way.append(tags.device)
        try:
            if tags.device == "slow" and len(tags) > 1:
                await let_go.wait()
        finally:
            under_way.remove(tags.device)
        return [1.0] * len(tags)

    plant.on_read = on_read
    async with await rig.run(*(spec(name, bus="com1") for name in ("slow", "quick", "third"))):
        await rig.road.until(lambda: {readings.device.name for readings in rig.road.kept} == {"quick", "third"})
        await rig.road.until(lambda: len(rig.road.kept) >= 10)
        now = await asyncio.wait_for(rig.acquirer.read("slow", ["a"]), 20)
        assert now.value.tolist() == [1.0]
        assert under_way == ["slow"]
        let_go.set()
        await rig.road.until(lambda: "slow" in {readings.device.name for readings in rig.road.kept})


async def test_a_read_in_turns_may_take_the_time_of_all_scans_of_the_line(plant, monkeypatch):
    given = []
    monkeypatch.setattr(Deadlines, "within", lambda *asked: given.append(asked[1]) or nullcontext())

    class TakingTurns(FakeDriver):
        takes_turns = True

    rig = Rig(plant, TakingTurns)
    async with await rig.run(*(spec(name, bus="com1", timeout="2s") for name in ("one", "two", "three"))):
        await rig.road.until(lambda: len(rig.road.kept) >= 3)
    assert given == [6.0, 6.0, 6.0]
