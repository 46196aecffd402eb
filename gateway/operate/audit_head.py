"""Tells every hour, as an event to all sinks, where the audit trail ends: who keeps that at the far side can show later that
nobody has changed what stands before it (docs/audit.md)."""

import asyncio

from gateway.core.clock import Clock
from gateway.core.event import Event, EventLog
from gateway.operate.audit_log import AuditLog
from gateway.trust.audit import AuditError

FIRST = 60.0
"""Seconds after the start, so that a gateway that seldom runs for an hour tells too."""
EVERY = 3600.0


class AuditHead:
    """Emits the events, until cancelled."""

    def __init__(self, audit: AuditLog, events: EventLog, clock: Clock) -> None:
        self._audit = audit
        self._events = events
        self._clock = clock

    async def run(self) -> None:
        """The first one soon, then one an hour."""
        await asyncio.sleep(FIRST)
        while True:
            self._events.append_event(await self.event())
            await asyncio.sleep(EVERY)

    async def event(self) -> Event:
        """Where the trail ends now, or why nobody knows."""
        now = self._clock.wall_ns()
        try:
            end = await asyncio.to_thread(self._audit.head)
        except AuditError as error:
            return Event(f"audit-{now}", "audit", "failed", "", now, str(error), "alarm")
        detail = {"n": end.n, "hash": end.hash, "damage": self._audit.damage}
        message = f"the audit trail ends with record {end.n}, hash {end.hash}"
        if self._audit.damage:
            message += f"; it was found damaged: {self._audit.damage}"
        severity = "alarm" if self._audit.damage else "info"
        return Event(f"audit-{now}", "audit", "head", "", now, message, severity, detail)
