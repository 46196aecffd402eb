"""Notices steps of the wall clock, by the boot clock, and whether a time service keeps it right."""

import asyncio
from collections.abc import Callable

from gateway.core.clock import STEP_NS, Clock, ClockState


class ClockWatch:
    """Calls `on_step` with the seconds by which the wall clock was set forward (or back, when negative), and `on_state` when
    `state` says something new."""

    def __init__(
        self,
        clock: Clock,
        on_step: Callable[[float], None],
        *,
        offset: int | None = None,
        state: Callable[[], ClockState] = lambda: ClockState.SYNCHRONISED,
        on_state: Callable[[ClockState], None] = lambda _: None,
    ) -> None:
        """`offset`: wall clock less boot clock (ns), as it was known last in this boot; default: as it is now."""
        self._clock = clock
        self._on_step = on_step
        self._offset = self._now() if offset is None else offset
        self._state = state
        self._on_state = on_state
        self._said = state()

    def _now(self) -> int:
        return self._clock.wall_ns() - self._clock.boot_ns()

    def look(self) -> None:
        """Compare once. Drift below a step is followed silently."""
        offset = self._now()
        step, self._offset = offset - self._offset, offset
        if abs(step) > STEP_NS:
            self._on_step(step / 1e9)
        state = self._state()
        if state is not self._said:
            self._said = state
            self._on_state(state)

    async def run(self) -> None:
        """Look every second, until cancelled."""
        while True:
            self.look()
            await asyncio.sleep(1.0)
