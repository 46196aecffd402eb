"""What a sink has achieved since the start, for `status`."""

from collections import deque
from collections.abc import Iterable
from dataclasses import dataclass, field

from gateway.core.record import Record

_SAMPLES = 12
"""Looks over which it is measured how fast the backlog shrinks."""


@dataclass
class SinkCounts:
    """Counts since the start of the daemon; the balance over restarts is the outbox's."""

    records: int = 0
    readings: int = 0
    acknowledged_ns: int | None = None
    """Boot time of the last acknowledgement."""
    refused: int = 0
    """Refusals after which the record was sent again."""
    dead: int = 0
    """Records that the far side will never take."""
    refusal: str = ""
    """The last reason given."""

    _pending: deque[tuple[int, int]] = field(default_factory=lambda: deque(maxlen=_SAMPLES))
    """Boot times, and readings that waited then; of the present connection."""

    def new_session(self) -> None:
        """What was measured on the one before counts no more."""
        self._pending.clear()

    def waiting(self, readings: int, boot_ns: int) -> None:
        """So many readings wait now; told regularly."""
        self._pending.append((boot_ns, readings))

    def drained_in(self) -> float | None:
        """Seconds until nothing waits if it goes on as in the last looks; None if they do not tell, or it does not shrink."""
        if len(self._pending) < 2:
            return None
        (begun, before), (now, left) = self._pending[0], self._pending[-1]
        return left / (before - left) * (now - begun) / 1e9 if before > left else None

    def acknowledged(self, records: Iterable[Record], boot_ns: int) -> None:
        """The far side took these."""
        for record in records:
            self.records += 1
            self.readings += record.rows
        self.acknowledged_ns = boot_ns

    def not_taken(self, reason: str, final: bool) -> None:
        """The far side took one not."""
        self.refusal = reason
        if final:
            self.dead += 1
        else:
            self.refused += 1
