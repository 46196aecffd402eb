"""A service that asks the gateway for who asks it."""

import asyncio
from typing import Any

from gateway.plugin import Actor, Declared, Service, ServiceConfig


class Asking(Service[ServiceConfig]):
    """Hands on."""

    async def run(self) -> None:
        self.host.started()
        await asyncio.Event().wait()

    def commands(self) -> Any:
        return {"look": (Declared(), self.look)}

    async def look(self, by: Actor) -> dict[str, Any]:
        alarms = await self.host.ask(by, "alarms")
        return {"alarms": alarms, "by": by.name, "values": self.host.values("oven").value.tolist()}
