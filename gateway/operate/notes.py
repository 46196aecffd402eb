"""What the gateway writes into its audit trail."""

import asyncio
from pathlib import Path
from typing import Any

import structlog

from gateway.core.clock import Clock
from gateway.trust.audit import AuditError, AuditTrail

log = structlog.get_logger()


class Notes:
    """The trail, opened when it is first written to: a disk that takes nothing does not keep the gateway from starting.

    All four write one record and return when it is on disk, a few milliseconds later; `before` and `noted` are for what
    must not happen without its record, and raise AuditError; `after` and `told` are for what has happened anyway, and
    write into the log where the trail takes nothing.
    """

    def __init__(self, path: Path, clock: Clock) -> None:
        self._path = path
        self._clock = clock
        self._trail: AuditTrail | None = None

    def before(self, action: str, who: str, **fields: Any) -> None:
        """Blocking."""
        if self._trail is None:
            self._trail = AuditTrail(self._path, self._clock)
        self._trail.write(action, who, **fields)

    def after(self, action: str, who: str, **fields: Any) -> None:
        """Blocking."""
        try:
            self.before(action, who, **fields)
        except AuditError as error:
            log.error(str(error), action=action, who=who, **fields)

    async def noted(self, action: str, who: str, **fields: Any) -> None:
        """As `before`, in a thread."""
        await asyncio.to_thread(self.before, action, who, **fields)

    async def told(self, action: str, who: str, **fields: Any) -> None:
        """As `after`, in a thread."""
        await asyncio.to_thread(self.after, action, who, **fields)
