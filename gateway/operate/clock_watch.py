"""Notices steps of the wall clock, by the boot clock, and whether a time service keeps it right."""

import asyncio
from collections.abc import Iterator, Mapping
from typing import Any

import structlog

from gateway.acquire.wheel import Wheel
from gateway.core.clock import STEP_NS, Clock
from gateway.operate.audit_log import AuditLog
from gateway.outbox import Outbox
from gateway.supervise import running

log = structlog.get_logger()

Noticed = tuple[str, Mapping[str, Any]]
"""An action of the audit trail, with its fields."""


class ClockWatch:
    """Turns the wheel to a clock that was set, and writes into the audit trail what it has noticed. The outbox notices by
    itself, and tells the far side."""

    def __init__(self, clock: Clock, outbox: Outbox, wheel: Wheel, audit: AuditLog) -> None:
        """The outbox knows how the clocks stood before a restart."""
        self._clock = clock
        self._outbox = outbox
        self._wheel = wheel
        self._audit = audit
        self._offset = outbox.offset_before
        self._state = outbox.clock_state

    def look(self) -> Iterator[Noticed]:
        """Compare once. Drift below a step is followed silently."""
        offset = self._clock.wall_ns() - self._clock.boot_ns()
        step, self._offset = offset - self._offset, offset
        if abs(step) > STEP_NS:
            seconds = round(step / 1e9, 3)
            log.warning("the clock was set", seconds=seconds)
            self._wheel.align()
            yield "clock.step", {"seconds": seconds}
        state = self._outbox.clock_state
        if state is not self._state:
            self._state = state
            yield "clock.state", {"state": state.words}

    async def run(self) -> None:
        """Look every second, until cancelled. A disk that takes its time over the trail holds nothing up."""
        async with running() as aside:
            while True:
                for action, said in self.look():
                    aside.start_aside(self._audit.record(action, "system", **said), "audit")
                await asyncio.sleep(1.0)
