"""What people do with dead letters, by the control socket."""

from collections.abc import Sequence

from gateway.core.command import Actor, Body
from gateway.core.errors import GatewayError
from gateway.operate.audit_log import AuditLog
from gateway.outbox import Outbox


class DeadLetterCommands:
    """Retry and drop; both are audited before they begin."""

    def __init__(self, outbox: Outbox, audit: AuditLog) -> None:
        self._outbox = outbox
        self._audit = audit

    def commands(self) -> dict[str, Body]:
        """By their names on the socket."""
        return {"dead_retry": self.retry, "dead_drop": self.drop}

    async def retry(self, by: Actor, ids: Sequence[str] = (), sink: str | None = None) -> dict[str, list[str]]:
        """Send them once more. Raises GatewayError when there are none such."""
        self._some(ids, sink)
        async with self._audit.audited(by, "outbox.dead.retry", ids=list(ids) or "all", sink=sink or "any"):
            return {"retried": await self._outbox.revive(ids, sink)}

    async def drop(self, by: Actor, ids: Sequence[str] = (), sink: str | None = None) -> dict[str, int]:
        """Keep them no longer. Raises GatewayError when there are none such."""
        names = self._some(ids, sink)
        async with self._audit.audited(by, "outbox.dead.drop", ids=list(ids) or "all", sink=sink or "any"):
            self._outbox.dead.drop(names)
        return {"dropped": len(names)}

    def _some(self, ids: Sequence[str], sink: str | None) -> Sequence[str]:
        names = list(self._outbox.dead.named(ids, sink))
        if not names:
            which = f"with {'these ids' if len(ids) > 1 else f'id {ids[0]}'}" if ids else "at all"
            raise GatewayError(
                f"no dead letter {which}{f' of sink {sink}' if sink else ''}: edge-gateway outbox dead list"
            )
        return names
