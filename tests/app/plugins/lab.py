"""A driver that does what the test says; `Lab.bench` is what it works on, over all connections."""

import asyncio
from collections.abc import Callable, Hashable, Mapping, Sequence

from gateway.plugin import (
    Condition,
    Device,
    DeviceConfig,
    DeviceError,
    DeviceEvent,
    Driver,
    Found,
    LinkError,
    Tag,
    TagConfig,
    Tags,
    Values,
)


class Bench:
    def __init__(self) -> None:
        self.connects: list[str] = []
        self.closes: list[str] = []
        self.found: dict[str, Found] = {}
        self.value = 1.0
        self.connecting = asyncio.Event()
        self.connecting.set()
        self.closing = asyncio.Event()
        self.closing.set()
        self.deaf = False
        """Whether closing goes on although it is cancelled."""
        self.written: list[tuple[str, object]] = []
        self.sticks = True
        """Whether a written value can be read back."""
        self.block: Callable[[], None] | None = None
        """Called by the next read, in the event loop."""
        self.lost: set[str] = set()
        """Devices whose connection breaks at the next read."""
        self.broken = ""
        """Name of a device whose line cannot be told."""
        self.lines: dict[str, Lab] = {}
        """The last line of each device."""
        self.acknowledged: list[tuple[str, str, str]] = []
        """Condition, event and comment."""
        self.called: list[tuple[str, str, list[object]]] = []


class LabConfig(DeviceConfig):
    bus: str | None = None
    """Devices with the same one share a line."""


class Lab(Driver[LabConfig, TagConfig]):
    bench: Bench

    @classmethod
    def line_key(cls, config: LabConfig) -> Hashable:
        if config.name == cls.bench.broken:
            raise RuntimeError("a bug in line_key")
        return config.bus

    async def connect(self) -> None:
        self.bench.connects.append(self.config.name)
        self.bench.lines[self.config.name] = self
        await self.bench.connecting.wait()

    async def describe(self) -> Mapping[Tag, Found]:
        found = self.bench.found
        return {tag: found[tag.name] for device in self.devices for tag in device.tags if tag.name in found}

    async def read(self, tags: Tags) -> Values:
        if self.bench.block is not None:
            self.bench.block()
        if tags.device in self.bench.lost:
            self.bench.lost.remove(tags.device)
            raise LinkError("cut")
        return [self.bench.value] * len(tags)

    async def write(self, tag: Tag, value: float | bool | int | str) -> None:
        if value == 13:
            raise DeviceError("the interlock is closed")
        self.bench.written.append((tag.name, value))
        if self.bench.sticks:
            self.bench.value = float(value)

    def stands(
        self, event: str, active: bool, acknowledged: bool | None, t_ns: int = 1_800_000_000_000_000_000
    ) -> None:
        """Tell how the condition "hot" stands."""
        condition = Condition("c1", "Oven.Hot", active, acknowledged, active or acknowledged is False)
        self.tell(DeviceEvent(self.config.name, event, t_ns, f"{event} of hot", "alarm", {"limit": "High"}, condition))

    async def acknowledge(self, device: Device, condition: str, event: str, comment: str) -> None:
        if comment == "no":
            raise DeviceError("the operator's key is missing")
        self.bench.acknowledged.append((condition, event, comment))
        self.stands(f"{event}-seen", True, True)

    @classmethod
    def methods(cls, config: LabConfig) -> Mapping[str, Sequence[str]]:
        return {"oven": ["heat", "vent"]} if config.bus is None else {}

    async def call(
        self, device: Device, target: str, method: str, arguments: Sequence[object]
    ) -> Sequence[tuple[str, object]]:
        if method == "vent":
            raise DeviceError("the flap is stuck")
        self.bench.called.append((target, method, list(arguments)))
        return [("count", len(arguments)), ("ok", True)]

    async def close(self) -> None:
        self.bench.closes.append(self.config.name)
        while not self.bench.closing.is_set():
            try:
                await self.bench.closing.wait()
            except asyncio.CancelledError:
                if not self.bench.deaf:
                    raise
