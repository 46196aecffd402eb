"""A driver in which each callback can be made to raise; `Odd.trouble` says which, and what."""

import asyncio
from collections.abc import AsyncIterator, Hashable, Mapping, Sequence
from typing import Any

import numpy as np

from gateway.plugin import Device, DeviceConfig, Driver, Found, LinkError, Readings, Tag, TagConfig, Tags, Values
from gateway.plugin.guessing import Guess


class Calm:
    """No trouble anywhere."""

    streams = False
    cut = False
    lasts = False

    def at(self, place: str) -> None:
        """Nothing happens."""


class OddConfig(DeviceConfig):
    pass


class Odd(Driver[OddConfig, TagConfig]):
    trouble: Any = Calm()

    @classmethod
    def line_key(cls, config: OddConfig) -> Hashable | None:
        cls.trouble.at("line_key")
        return None

    @classmethod
    def plan(cls, device: Device) -> list[str]:
        cls.trouble.at("plan")
        return []

    @classmethod
    def doubts(cls, devices: Sequence[Device]) -> list[str]:
        cls.trouble.at("doubts")
        return []

    @classmethod
    def subscribes(cls, config: OddConfig) -> bool:
        cls.trouble.at("subscribes")
        return bool(cls.trouble.streams)

    def __init__(self, *arguments: Any) -> None:
        self.trouble.at("__init__")
        super().__init__(*arguments)

    async def connect(self) -> None:
        self.trouble.at("connect")
        self.trouble.cut = self.trouble.cut and self.trouble.lasts

    async def describe(self) -> Mapping[Tag, Found]:
        self.trouble.at("describe")
        return {}

    async def read(self, tags: Tags) -> Values:
        self.trouble.at("read")
        if self.trouble.cut:
            raise LinkError("cut")
        return [1.0] * len(tags)

    async def stream(self) -> AsyncIterator[Readings]:
        (device,) = self.devices
        n = len(device.tags)
        while not self.trouble.cut:
            self.trouble.at("stream")
            yield Readings(device, np.full(n, 5), device.tags.ids, np.ones(n), np.zeros(n, np.uint32))
            await asyncio.sleep(0.01)
        raise LinkError("cut")

    async def write(self, tag: Tag, value: float | bool | int | str) -> None:
        self.trouble.at("write")

    async def acknowledge(self, device: Device, condition: str, event: str, comment: str) -> None:
        self.trouble.at("acknowledge")

    @classmethod
    def methods(cls, config: OddConfig) -> Mapping[str, Sequence[str]]:
        cls.trouble.at("methods")
        return {"oven": ["heat"]}

    async def call(
        self, device: Device, target: str, method: str, arguments: Sequence[Any]
    ) -> Sequence[tuple[str, Any]]:
        self.trouble.at("call")
        return []

    async def browse(self) -> AsyncIterator[tuple[str, Found]]:
        self.trouble.at("browse")
        yield "place 1", Found("float64")

    async def guesses(self, device: Device, address: str, count: int) -> Sequence[Guess]:
        self.trouble.at("guesses")
        return []

    @property
    def counts(self) -> Mapping[str, int]:
        self.trouble.at("counts")
        return {}

    @property
    def facts(self) -> Mapping[str, str | float]:
        self.trouble.at("facts")
        return {}

    @property
    def remarks(self) -> Sequence[str]:
        self.trouble.at("remarks")
        return []

    async def close(self) -> None:
        self.trouble.at("close")

    def release(self) -> None:
        self.trouble.at("release")
        super().release()
