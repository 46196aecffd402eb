"""What people ask of the log while the gateway runs: whether a sink is through, and history once more (docs/history.md)."""

import asyncio
from collections.abc import Mapping, Sequence
from typing import Any

import structlog

from gateway.core.command import Actor, Body
from gateway.core.errors import GatewayError
from gateway.core.times import EARLIEST, LATEST, rfc3339
from gateway.operate.audit_log import AuditLog
from gateway.outbox import Outbox
from gateway.outbox.deliver import RATE, Asked, Replay
from gateway.publish import Publishers
from gateway.status import DrainedStatus, DrainStatus, ReplayStatus

log = structlog.get_logger()


class HistoryCommands:
    """Replays go on when nobody waits for them; `stop` ends them."""

    def __init__(self, outbox: Outbox, audit: AuditLog, publishers: Publishers) -> None:
        self._outbox = outbox
        self._audit = audit
        self._publishers = publishers
        self._notes: set[asyncio.Task[None]] = set()

    def commands(self) -> dict[str, Body]:
        """By their names on the control socket."""
        return {
            "drain": self.drain,
            "replay": self.replay,
            "replay_status": self.replay_status,
            "replay_cancel": self.replay_cancel,
        }

    async def drain(self, by: Actor, sink: str | None = None, marks: Mapping[str, int] | None = None) -> DrainStatus:
        """How much of what was appended before `marks` (default: before now) each sink is not done with, in readings, and
        what it has dropped since it began. Changes nothing."""
        sinks = [each for each in self._publishers.status() if sink in (None, each.name)]
        if not sinks:
            raise GatewayError(self._no_sink(sink))
        marks = self._checked(marks) if marks is not None else self._outbox.marks()
        return DrainStatus(
            marks=marks,
            sinks=[
                DrainedStatus(
                    sink=each.name,
                    state=each.state,
                    reason=each.reason,
                    pending=self._outbox.pending_below(each.name, marks),
                    dropped=sum(sum(lane.dropped.values()) for lane in each.outbox.lanes.values()),
                )
                for each in sinks
            ],
        )

    def _no_sink(self, sink: str | None) -> str:
        names = ", ".join(each.name for each in self._publishers.status())
        return f'no sink "{sink}"; there are: {names}' if names else "no sink is configured: nothing is ever sent"

    def _checked(self, marks: Mapping[str, int]) -> dict[str, int]:
        known = self._outbox.marks()
        if marks.keys() != known.keys():
            raise GatewayError(f"marks must name the lanes {', '.join(known)}")
        return {lane: min(mark, known[lane]) for lane, mark in marks.items()}

    async def replay(
        self,
        by: Actor,
        sink: str,
        from_ns: int,
        to_ns: int,
        devices: Sequence[str] = (),
        rate: float | None = RATE,
    ) -> ReplayStatus:
        """Send what was accepted in [from_ns, to_ns) to this sink once more; audited before it starts. `rate`: readings per
        second; None: no bound."""
        asked = Asked(from_ns, to_ns, tuple(devices))
        replay = self._outbox.replays.make(sink, asked, self._ended, rate)
        told = {
            "from": "the beginning" if from_ns <= EARLIEST else rfc3339(from_ns),
            "to": "now" if to_ns >= LATEST else rfc3339(to_ns),
            "devices": list(devices) or "all",
        }
        try:
            async with self._audit.audited(by, "replay.start", target=sink, **told, rate=rate):
                replay.begin()
        except GatewayError as error:
            replay.end(f"it could not be audited: {error}")
            raise
        log.info("a replay begins", sink=sink, by=by.name, **told)
        return replay.status()

    async def replay_status(self, by: Actor, sink: str) -> ReplayStatus:
        """How far the last replay to this sink is, or how it ended."""
        return self._outbox.replays.named(sink).status()

    async def replay_cancel(self, by: Actor, sink: str) -> ReplayStatus:
        """End it. What is on its way stays on its way."""
        replay = self._outbox.replays.named(sink)
        async with self._audit.audited(by, "replay.cancel", target=sink):
            replay.end(f"cancelled by {by.name}")
        return replay.status()

    async def stop(self) -> None:
        """The gateway stops: end what is under way; it stands in the audit trail when this returns."""
        self._outbox.replays.stop("the gateway stopped")
        if self._notes:
            await asyncio.wait(set(self._notes))

    def _ended(self, replay: Replay) -> None:
        told = {"outcome": replay.outcome, "records": replay.sent_records, "readings": replay.sent_readings}
        if replay.missing:
            told["missing"] = replay.missing
        log.info("a replay has ended", sink=replay.sink, **told)
        note = asyncio.create_task(self._note_end(replay.sink, told))
        self._notes.add(note)
        note.add_done_callback(self._notes.discard)

    async def _note_end(self, sink: str, told: Mapping[str, Any]) -> None:
        await self._audit.record("replay.end", "system", target=sink, **told)
