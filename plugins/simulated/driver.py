"""The driver: values are waves of the wall clock."""

import time

from gateway.plugin import Driver, LinkError, Tags, Values

from .config import SimulatedDevice, SimulatedTag
from .waves import Waves


class Simulated(Driver[SimulatedDevice, SimulatedTag]):
    """Values are a function of the wall clock, so that every connection, and every run, goes on where the last one was."""

    async def connect(self) -> None:
        after = self.config.fail_after
        self._until = time.monotonic() + after if after is not None else float("inf")
        self._waves: dict[Tags, Waves] = {}

    async def read(self, tags: Tags) -> Values:
        if time.monotonic() >= self._until:
            raise LinkError(f"simulated failure: the device has fail_after = {self.config.fail_after:g} s")
        waves = self._waves.get(tags)
        if waves is None:
            waves = self._waves[tags] = Waves([tag.config for tag in tags], self.config.seed)
        return waves.at(time.time())
