"""Notices steps of the wall clock, by the boot clock."""

import asyncio
from collections.abc import Callable

from gateway.core.clock import STEP_NS, Clock


class ClockWatch:
    """Calls `on_step` with the seconds by which the wall clock was set forward (or back, when negative)."""

    def __init__(self, clock: Clock, on_step: Callable[[float], None]) -> None:
        self._clock = clock
        self._on_step = on_step
        self._offset = self._now()

    def _now(self) -> int:
        return self._clock.wall_ns() - self._clock.boot_ns()

    def look(self) -> None:
        """Compare once. Drift below a step is followed silently."""
        offset = self._now()
        step, self._offset = offset - self._offset, offset
        if abs(step) > STEP_NS:
            self._on_step(step / 1e9)

    async def run(self) -> None:
        """Look every second, until cancelled."""
        while True:
            await asyncio.sleep(1.0)
            self.look()
