"""The watchdog is fed from the progress of the parts, not by a bare timer. A PLC that is off is healthy."""

import asyncio
from collections.abc import Callable, Mapping
from typing import Protocol

import structlog

from gateway.supervise.systemd import listens, notify, watchdog_interval


class Progressing(Protocol):
    """A part that is watched."""

    def late(self) -> float:
        """Seconds since it last made progress; 0 while it has nothing to do."""
        ...


class Watchdog:
    """Tells systemd that the gateway lives, for as long as every part makes progress within `limit` seconds."""

    def __init__(self, parts: Mapping[str, Progressing], limit: float = 20.0, status: Callable[[], str] = str) -> None:
        self._parts = parts
        self._limit = limit
        self._status = status
        self._stuck: tuple[str, ...] = ()

    def stuck(self) -> tuple[str, ...]:
        """Names of the parts without progress."""
        return tuple(name for name, part in self._parts.items() if part.late() > self._limit)

    async def run(self) -> None:
        """Feed, until cancelled. Without systemd it only watches and logs."""
        interval = (watchdog_interval() or 30.0) / 3
        while True:
            self.feed()
            await asyncio.sleep(interval)

    def feed(self) -> None:
        """One look, and one word to systemd when all is well."""
        stuck = self.stuck()
        if stuck != self._stuck:
            log = structlog.get_logger()
            if stuck:
                log.error("no progress, the watchdog will not be fed", parts=", ".join(stuck), seconds=self._limit)
            else:
                log.info("all parts make progress again")
        self._stuck = stuck
        if not stuck and listens():  # the status of hundreds of devices takes its time
            notify(WATCHDOG=1, STATUS=self._status())
