"""Lines that subscribe."""

import asyncio

import numpy as np

from gateway.core.readings import Readings
from tests.acquire.plant import Rig, Subscribing, spec


class Both(Subscribing):
    """A driver of one version ago, whose `subscribes` knows no configuration."""

    @classmethod
    def subscribes(cls):
        return False


async def test_a_subscription_delivers_and_its_silence_is_torn_down(plant, monkeypatch):
    monkeypatch.setattr("gateway.acquire.subscribing.silent_after", lambda config: 0.1)
    rig = Rig(plant, Subscribing)

    async def on_stream(driver):
        (device,) = driver.devices
        yield Readings(device, np.array([5, 5]), device.tags.ids, np.array([1.0, 2.0]), np.zeros(2, np.uint32))
        await asyncio.Event().wait()

    plant.on_stream = on_stream
    async with await rig.run(spec()):
        await rig.road.until(lambda: plant.connects >= 2)
    assert rig.road.kept[0].value.tolist() == [1.0, 2.0]
    assert any("nothing came for 0.1 s" in reason for _, _, reason in rig.road.states)
    assert plant.closes == plant.connects


async def test_a_sign_of_life_keeps_a_quiet_subscription_up(plant, monkeypatch):
    monkeypatch.setattr("gateway.acquire.subscribing.silent_after", lambda config: 3000.0)
    loop, ahead = asyncio.get_running_loop(), 0.0
    now = loop.time
    monkeypatch.setattr(loop, "time", lambda: now() + ahead)
    rig = Rig(plant, Subscribing)

    async def on_stream(driver):
        nonlocal ahead
        (device,) = driver.devices
        for _ in range(12):
            ahead += 2900  # seconds that pass at once
            driver.alive()
            await asyncio.sleep(0.01)
        yield Readings(device, np.array([5, 5]), device.tags.ids, np.array([1.0, 2.0]), np.zeros(2, np.uint32))

    plant.on_stream = on_stream
    async with await rig.run(spec()):
        while not rig.road.kept:  # without a deadline: it would come with the first leap of the clock
            rig.road.new.clear()
            await rig.road.new.wait()
    assert plant.connects == 1


async def test_a_subscribes_without_an_argument_still_works(plant):
    rig = Rig(plant, Both)
    async with await rig.run(spec()):
        await rig.road.until(lambda: len(rig.road.kept) >= 3)
