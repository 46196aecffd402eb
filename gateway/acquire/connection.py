"""One connection of a line."""

import asyncio
from collections.abc import Mapping
from typing import Any

from gateway.acquire.device import AcquiredDevice
from gateway.core.errors import PluginError
from gateway.core.readings import Readings
from gateway.core.tag import Tags
from gateway.core.text import cleaned
from gateway.plugin import checked
from gateway.plugin.driver import Driver, Found
from gateway.supervise import Foreign, Health


class LineConnection:
    """Made before it is dialled, and gone with its end. It is either `Polling` or `Subscribing`."""

    def __init__(
        self, driver: Driver[Any, Any], sources: Mapping[str, AcquiredDevice], health: Health, foreign: Foreign
    ) -> None:
        """`health`: of the line."""
        self.driver = driver
        self.sources = sources
        self.config = next(iter(sources.values())).spec.config
        """Options of the first device, which speak for the line."""
        self.health = health
        self.foreign = foreign
        self.is_open = False
        """Whether what it brings is of any interest: a call that was told to end may go on, and bring something later."""
        self.answered: set[Tags] = set()
        """What was read on it."""
        self.foreseen = False
        """Whether it ended over what was suspected. That is no loss: all else has been read."""

    async def describe(self) -> None:
        """Have the devices defined as they describe themselves."""
        async with asyncio.timeout(max(self.config.timeout, 10.0)):
            found = checked.described(await self.foreign.call(lambda: self.driver.describe()))
        by_device: dict[str, dict[str, Found]] = {}
        for tag, what in found.items():
            by_device.setdefault(tag.device, {})[tag.name] = what
        for source in self.sources.values():
            await asyncio.sleep(0)
            await source.describe(by_device.get(source.name, {}))
        self.driver.redefine([source.device for source in self.sources.values()])

    async def read(self) -> None:
        """Read until it ends. Raises why."""
        self.is_open = True
        try:
            await self._read()
        finally:
            self.is_open = False

    async def _read(self) -> None:
        raise NotImplementedError

    def alive(self) -> None:
        """The driver has seen a sign of life."""
        for source in self.sources.values():
            source.alive()

    def brought(self, readings: Readings) -> None:
        """The driver has values of a device, between two polls. Raises PluginError for what are none."""
        source = self.sources.get(readings.device.name) if isinstance(readings, Readings) else None
        if source is None:
            raise PluginError(f"bring was given {cleaned(readings)}, which is no Readings of a device of this line")
        source.accept(checked.readings(readings, source.device, source.now()))

    def foresee(self) -> None:
        """It ends over what the driver has suspected."""
        self.foreseen = True

    def over(self) -> None:
        """From now on nothing that it brings counts."""
        self.is_open = False
