"""A driver of one class whose lines poll or subscribe, as their configuration says."""

import asyncio
from collections.abc import AsyncIterator

import numpy as np

from gateway.plugin import DeviceConfig, Driver, Readings, TagConfig, Tags, Values


class EitherConfig(DeviceConfig):
    reports: bool = False
    """Whether the device reports by itself."""

    bus: str | None = None
    """Devices with the same one share a line."""


class Either(Driver[EitherConfig, TagConfig]):
    @classmethod
    def line_key(cls, config: EitherConfig) -> str | None:
        return config.bus

    @classmethod
    def subscribes(cls, config: EitherConfig) -> bool:
        return config.reports

    async def connect(self) -> None:
        self._reads = 0

    async def read(self, tags: Tags) -> Values:
        self._reads += 1
        return [float(self._reads)] * len(tags)

    async def stream(self) -> AsyncIterator[Readings]:
        (device,) = self.devices
        n = len(device.tags)
        for reported in range(1001, 10_000):
            yield Readings(
                device, np.full(n, 10**18), device.tags.ids, np.full(n, float(reported)), np.zeros(n, np.uint32)
            )
            await asyncio.sleep(0.05)
