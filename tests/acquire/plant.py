"""Made-up devices and where their readings go, for tests of lines."""

import asyncio
from collections.abc import Callable

from gateway.acquire.acquirer import Acquirer
from gateway.config.base import DeviceConfig, TagConfig
from gateway.config.model import DeviceSpec
from gateway.core.clock import SystemClock
from gateway.core.device_event import DeviceEvent
from gateway.core.event import Event
from gateway.core.live import LiveTable
from gateway.core.readings import Readings
from gateway.core.tag import Device, Tag, Tags
from gateway.plugin.driver import Driver, Found
from gateway.supervise import running
from gateway.testing import OneDriver


class Bus(DeviceConfig):
    bus: str | None = None


class FakeDriver(Driver[Bus, TagConfig]):
    """Answers as `plant` says at the moment."""

    plant: "Plant"

    @classmethod
    def line_key(cls, config):
        return config.bus

    async def connect(self):
        self.plant.connects += 1
        await self.plant.on_connect()

    async def describe(self):
        return {
            tag: self.plant.found[tag.name]
            for device in self.devices
            for tag in device.tags
            if tag.name in self.plant.found
        }

    async def read(self, tags):
        return await self.plant.on_read(tags)

    async def close(self):
        self.plant.closes += 1


class Subscribing(FakeDriver):
    async def stream(self):
        async for readings in self.plant.on_stream(self):
            yield readings


class Plant:
    def __init__(self):
        self.connects = self.closes = 0
        self.found: dict[str, Found] = {}

    async def on_connect(self):
        pass

    async def on_read(self, tags):
        return [1.0] * len(tags)


class Road:
    """Keeps what it is given."""

    def __init__(self):
        self.kept: list[Readings] = []
        self.states: list[tuple[str, str, str]] = []
        self.live = LiveTable()
        self.settled = 0
        self.events: list[Event] = []
        self.said: list[DeviceEvent] = []
        self._ids: dict = {}
        self.new = asyncio.Event()

    def bind(self, spec, found):
        tags = []
        for name in spec.tags:
            known = found[name].type if name in found else ""
            number = self._ids.setdefault((spec.config.name, name, known), len(self._ids))
            tags.append(Tag(number, spec.config.name, name, known))
        return Device(spec.config.name, spec.config.driver, Tags(spec.config.name, tags), config=spec.config)

    def define(self, device):
        return self.live.define(device)

    def seen(self, readings, boot_ns):
        self.live.update(readings, boot_ns)

    def keep(self, readings):
        self.kept.append(readings)
        self.new.set()

    def settle(self):
        self.settled += 1

    def told(self, told):
        self.said.append(told)
        self.new.set()

    def event(self, event):
        self.events.append(event)

    def device_changed(self, device, health):
        self.states.append((device.name, health.state, health.reason))
        self.new.set()

    async def until(self, condition: Callable[[], bool]):
        async with asyncio.timeout(25):
            while not condition():
                self.new.clear()
                await self.new.wait()


def spec(name="plc", tags=("a", "b"), **options):
    """A device that is given time enough to answer, on any machine, unless the test says otherwise."""
    options = {"name": name, "driver": "fake", "scan": "20ms", "timeout": "60s", **options}
    return DeviceSpec(Bus.model_validate(options), {tag: TagConfig() for tag in tags})


class Rig:
    def __init__(self, plant, driver=FakeDriver):
        self.road = Road()
        kind = type("Driver", (driver,), {"plant": plant})
        self.acquirer = Acquirer(self.road, OneDriver(kind), SystemClock())

    async def run(self, *specs):
        await self.acquirer.apply(specs)
        return running(self.acquirer.run())
