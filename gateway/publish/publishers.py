"""All sinks together."""

import asyncio
from collections.abc import Callable, Sequence
from typing import Any

import structlog

from gateway.config.base import SinkConfig
from gateway.core.tag import Device
from gateway.outbox import Outbox
from gateway.publish.publisher import Publisher
from gateway.status import SinkStatus
from gateway.supervise import Running, running

log = structlog.get_logger()


class Publishers:
    """One publisher for each sink. Sinks can be exchanged while it runs."""

    def __init__(self, make: Callable[[SinkConfig], Publisher], outbox: Outbox) -> None:
        self._make = make
        self._outbox = outbox
        self._publishers: dict[str, Publisher] = {}
        self._tasks: dict[str, asyncio.Task[Any]] = {}
        self._running: Running | None = None

    async def run(self) -> None:
        """Publish, until cancelled."""
        async with running() as self._running:
            try:
                for name in self._publishers:
                    self._start(name)
                await asyncio.Event().wait()
            finally:
                self._running = None

    def apply(self, sinks: Sequence[SinkConfig]) -> None:
        """Publish to these sinks too."""
        for sink in sinks:
            if sink.name not in self._publishers:
                self._publishers[sink.name] = self._make(sink)
                self._start(sink.name)

    async def retire(self, sinks: Sequence[SinkConfig]) -> None:
        """Stop those that are not exactly among these."""
        ended = [name for name, publisher in self._publishers.items() if publisher.config not in sinks]
        tasks = [task for name in ended if (task := self._tasks.pop(name, None))]
        for task in tasks:
            task.cancel()
        if tasks:
            await asyncio.wait(tasks)
        for name in ended:
            del self._publishers[name]
            self._outbox.release(name)

    def tell(self, device: Device, online: bool, reason: str) -> None:
        """A device came, went, or has a new description."""
        for publisher in self._publishers.values():
            publisher.device_changed(device, online, reason)

    def status(self) -> list[SinkStatus]:
        """State and counts of each sink."""
        return [publisher.status() for publisher in self._publishers.values()]

    def _start(self, name: str) -> None:
        if self._running is None:
            return
        task = self._tasks[name] = self._running.start(self._publishers[name].run())
        task.add_done_callback(lambda task: self._ended(name, task))

    def _ended(self, name: str, task: asyncio.Task[Any]) -> None:
        """Nobody has retired this sink, yet its task has ended, as by a library that cancels all tasks it finds."""
        if self._running is not None and self._tasks.get(name) is task:
            log.error("the task of a sink has ended though nobody asked for it; it is started anew", sink=name)
            self._start(name)
