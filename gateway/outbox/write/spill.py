"""Data that is held in memory and goes to the disk only when a sink does not take it: for SD cards, which writing wears out.

What every sink has acknowledged is never written. What is older than two seconds is, and so is everything while anything on
the disk waits for a sink. A kill then loses what was held. Used by the writer's thread.
"""

from collections import deque
from collections.abc import Sequence

from gateway.outbox.write.lane_file import Entry

PROMISES = {
    "log": "a kill loses no accepted reading, a power cut at most those of the last commit interval",
    "spill": "a kill or a power cut loses readings that were younger than 2 s and not with every sink; no event",
}
"""What an accepted reading can count on, by `[outbox] mode`."""

HOLD = 2.0
"""Seconds that a record is held at most."""

HELD_AT_MOST = 2 * 1024 * 1024
"""Bytes that are held at most."""


class Spill:
    """What is held of one lane, oldest first."""

    def __init__(self, on_disk: int) -> None:
        self._settled = 0
        """Every sink is done with lower numbers."""
        self._on_disk = on_disk
        """The greatest number that was written."""
        self._held: deque[tuple[float, Sequence[Entry]]] = deque()
        self._size = 0

    def hold(self, entries: Sequence[Entry], now: float) -> None:
        """Keep these in memory."""
        self._held.append((now + HOLD, entries))
        self._size += _size(entries)

    def settle(self, below: int) -> None:
        """Every sink is done with what is below this number: it need not be written."""
        self._settled = below

    @property
    def due(self) -> float | None:
        """When the oldest must be written; None if nothing is held."""
        return self._held[0][0] if self._held else None

    def take(self, now: float) -> Sequence[Entry]:
        """What must be written now, in one group and out of memory; empty if nothing must. What is settled is forgotten."""
        while self._held:
            due, entries = self._held[0]
            settled = entries[-1].seq < self._settled
            if not settled and due > now and self._size <= HELD_AT_MOST and self._settled > self._on_disk:
                return ()
            self._held.popleft()
            self._size -= _size(entries)
            if not settled:
                self._on_disk = entries[-1].seq
                return entries
        return ()


def _size(entries: Sequence[Entry]) -> int:
    return sum(len(entry.frame) for entry in entries)
