"""A connection whose driver reports by itself."""

import asyncio
from contextlib import aclosing

from gateway.acquire.connection import LineConnection
from gateway.acquire.driving import stream
from gateway.config.base import DeviceConfig
from gateway.core.errors import LinkError, PluginError
from gateway.core.readings import Readings
from gateway.plugin import checked
from gateway.supervise.foreign import outcome

SILENCE = 10
"""A subscription without a sign of life for this many scans, and at least 30 s, is torn down, unless `max_silence` says
otherwise."""
WITHOUT_A_PAUSE = 0.05
"""Seconds for which blocks of a subscription may come one after the other before others have their turn."""


def silent_after(config: DeviceConfig) -> float:
    """Seconds without a sign of life after which a subscription counts as lost."""
    return config.max_silence or max(30.0, SILENCE * config.scan)


class Subscribing(LineConnection):
    """Takes what the driver's stream brings, until it ends or has nothing to say for too long."""

    _silence: asyncio.Timeout | None = None

    def alive(self) -> None:
        super().alive()
        if self._silence is not None and not self._silence.expired():
            self._silence.reschedule(asyncio.get_running_loop().time() + silent_after(self.config))

    async def _read(self) -> None:
        patience = silent_after(self.config)
        pump = self.foreign.start(self._pump)
        try:
            async with asyncio.timeout(patience) as self._silence:
                await asyncio.wait([pump])
        except TimeoutError as error:
            raise LinkError(f"connected, but nothing came for {patience:g} s: dialling anew") from error
        finally:
            self._silence = None
            self.over()  # before the pump ends, which may take its time
            await self.foreign.end([pump])
        outcome(pump)  # raises what ended it
        raise LinkError("the subscription ended")

    async def _pump(self) -> None:
        loop = asyncio.get_running_loop()
        others = loop.time()
        async with aclosing(stream(self.driver)) as blocks:
            async for block in blocks:
                if not self.is_open:
                    return  # it was told to end, and has gone on
                self.alive()
                source = self.sources.get(block.device.name) if isinstance(block, Readings) else None
                if source is None:
                    raise PluginError("stream yielded what is no Readings of a device of this line")
                source.accept(checked.readings(block, source.device, source.now()))
                self.answered.add(source.device.tags)
                self.health.up()
                if loop.time() - others > WITHOUT_A_PAUSE:
                    await asyncio.sleep(0)  # a generator that never waits keeps nobody else from working
                    others = loop.time()
