"""Who was refused a command, in the audit trail."""

import asyncio

from gateway.core.command import Actor
from gateway.operate.audit_log import AuditLog

EACH = 60.0
"""Seconds between two records of the same user and command: nobody fills the trail by asking again and again."""
_MANY = 1000


class Refusals:
    """Counts what it does not record, and says it with the next record."""

    def __init__(self, audit: AuditLog) -> None:
        self._audit = audit
        self._since: dict[tuple[str, str], tuple[float, int]] = {}
        """When it was last recorded (the loop's time), and how often it happened since."""

    async def __call__(self, by: Actor, command: str) -> None:
        """See `gateway.operate.commands.Refused`. The trail may take nothing: he is refused all the same."""
        now = asyncio.get_running_loop().time()
        at, times = self._since.get((by.name, command), (-EACH, 0))
        if now < at + EACH:
            self._since[by.name, command] = at, times + 1
            return
        if len(self._since) >= _MANY:
            del self._since[next(iter(self._since))]
        self._since[by.name, command] = now, 0
        await self._audit.record("access.refused", by.name, command=command, roles=sorted(by.roles), since_last=times)
