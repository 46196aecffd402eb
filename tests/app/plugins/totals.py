"""Counts the readings of each device, and says how many there were when it is asked."""

import asyncio
from collections import Counter

from gateway.plugin import Actor, Argument, Declared, Readings, Service, ServiceConfig, arguments


class TotalsConfig(ServiceConfig):
    """Options of the service."""

    begin_at: int = 0
    """What it begins to count at."""


class Totals(Service[TotalsConfig]):
    """Counts."""

    async def run(self) -> None:
        self.totals = Counter({device.name: self.config.begin_at for device in self.host.devices})
        self.host.observe(self.count)
        self.host.started()
        await asyncio.Event().wait()

    def count(self, readings: Readings, boot_ns: int) -> None:
        self.totals[readings.device.name] += len(readings)

    def commands(self):
        return {
            "count": (Declared({"device": Argument(arguments.text)}), self.counted),
            "reset": (Declared(role="engineer", audited=True), self.reset),
        }

    async def counted(self, by: Actor, device: str) -> int:
        return self.totals[device]

    async def reset(self, by: Actor) -> None:
        self.totals.clear()
