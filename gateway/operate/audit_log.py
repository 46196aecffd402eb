"""What the gateway writes into its audit trail."""

import asyncio
import threading
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import structlog

from gateway.core.clock import Clock
from gateway.core.command import Actor
from gateway.core.parsing import JsonObject
from gateway.core.text import cleaned
from gateway.trust import audit_files
from gateway.trust.audit import AuditError, AuditTrail
from gateway.trust.audit_files import is_begun
from gateway.trust.chain import Head

log = structlog.get_logger()

EACH = 60.0
"""Seconds between two records of the same user who is refused the same: nobody fills the trail by asking again and again."""
_LATELY = 1000
"""Users and commands that are told apart."""


class AuditLog:
    """The trail, opened when it is first written to: a disk that takes nothing does not keep the gateway from starting.

    What people do is `audited`. All else writes one record and returns when it is on disk, a few milliseconds
    later; `require` is for what must not happen without its record, and raises AuditError; `record` is for what has happened
    anyway, and writes into the log where the trail takes nothing. With `_now` they block.
    """

    def __init__(self, path: Path, clock: Clock) -> None:
        self._path = path
        self._clock = clock
        self._trail: AuditTrail | None = None
        self._opening = threading.Lock()
        self.failing = ""
        """Why the last record could not be written, in words."""
        self._lately: dict[tuple[str, str, str], tuple[float, int]] = {}
        """Of an action, a user and a command: when that was last recorded (the loop's time), and how often it came since."""

    @asynccontextmanager
    async def audited(self, by: Actor, action: str, **fields: Any) -> AsyncIterator[dict[str, object]]:
        """What is done within is in the trail before; raises AuditError, and nothing is done, when it cannot be. What came of
        it is a second record, "<action>.result", with `result` and what was put into the dict that is handed out; where the
        trail does not take that one, it is done all the same: the log has it, and whoever asked is told."""
        by.in_trail = True
        await self.require(action, by.name, **fields)
        outcome: dict[str, object] = {}
        try:
            yield outcome
        except asyncio.CancelledError:
            self.record_now(f"{action}.result", by.name, **{**fields, **outcome, "result": "broken off"})
            raise
        except Exception as error:
            reason = cleaned(str(error) or type(error).__name__)
            await self._result(by, action, {**fields, **outcome, "result": f"failed: {reason}"})
            raise
        await self._result(by, action, {**fields, "result": "done", **outcome})

    async def _result(self, by: Actor, action: str, fields: Mapping[str, object]) -> None:
        try:
            await self.require(f"{action}.result", by.name, **fields)
        except AuditError as error:
            _log(error, f"{action}.result", by.name, fields)
            by.remarks.append(f"what came of it could not be written into the audit trail: {error}")

    def require_now(self, action: str, who: str, **fields: Any) -> None:
        """As `require`; blocking."""
        try:
            self._opened().write(action, who, **fields)
        except AuditError as error:
            self.failing = str(error)
            raise
        self.failing = ""

    def head(self) -> Head:
        """Where the trail ends. Blocking. Raises AuditError."""
        return self._opened().head()

    def tail(self, count: int) -> list[JsonObject]:
        """The last records, the oldest first; none where they cannot be read. Blocking."""
        try:
            return audit_files.tail(self._path, count)
        except OSError:
            return []

    @property
    def damage(self) -> str:
        """What was wrong with the trail when it was opened, in words."""
        return self._trail.damage if self._trail is not None else ""

    def _opened(self) -> AuditTrail:
        with self._opening:
            if self._trail is None:
                missing = (self._path.parent / "outbox").exists() and not is_begun(self._path)
                self._trail = AuditTrail(self._path, self._clock)
                if missing:
                    self._trail.record_damage("there was no audit trail, though this gateway had run here before")
        return self._trail

    def record_now(self, action: str, who: str, **fields: Any) -> None:
        """As `record`; blocking."""
        try:
            self.require_now(action, who, **fields)
        except AuditError as error:
            _log(error, action, who, fields)

    async def require(self, action: str, who: str, **fields: Any) -> None:
        """Write a record, or raise AuditError."""
        await asyncio.to_thread(self.require_now, action, who, **fields)

    async def record(self, action: str, who: str, **fields: Any) -> None:
        """Write a record, if that can be."""
        await asyncio.to_thread(self.record_now, action, who, **fields)

    async def refused(self, by: Actor, command: str) -> None:
        """Record that he may not do what he asked for. The trail may take nothing: he is refused all the same."""
        await self._seldom("access.refused", by, command, roles=sorted(by.roles))

    async def attempted(self, by: Actor, command: str, why_not: str = "") -> None:
        """Record that the far side of a sink has asked for something of which the trail does not tell already: it was
        refused, or changed nothing here."""
        if why_not:
            await self._seldom("request.refused", by, command, why=cleaned(why_not))
        else:
            await self._seldom("request", by, command)

    async def _seldom(self, action: str, by: Actor, command: str, **fields: object) -> None:
        """A record; of the same that comes within a minute of it, the number is said by the record after that."""
        by.in_trail = True
        now, key = asyncio.get_running_loop().time(), (action, by.name, command)
        at, times = self._lately.get(key, (-EACH, 0))
        if now < at + EACH:
            self._lately[key] = at, times + 1
            return
        if len(self._lately) >= _LATELY:
            del self._lately[next(iter(self._lately))]
        self._lately[key] = now, 0
        await self.record(action, by.name, command=command, **fields, since_last=times)


def _log(error: AuditError, action: str, who: str, fields: Mapping[str, object]) -> None:
    """Its own fields in one: some names, such as "event", mean something else in the log."""
    log.error(str(error), action=action, who=who, record=fields)
