"""From scores to raised and cleared: n of the last m ticks above the threshold raise, k of the last l below it clear.

A tick without a verdict is neither above nor below, so missing data raises nothing and clears nothing.
"""

import numpy as np
from numpy.typing import NDArray

from gateway.detect.models import Persistence

Rows = NDArray[np.intp]
Flags = NDArray[np.bool_]


class NofM:
    """The verdicts of one model over its assets. Each asset's last ticks are the bits of one integer."""

    def __init__(self, assets: int, raise_at: Persistence, clear_at: Persistence, hold: int = 0) -> None:
        """`hold`: for how many further ticks without a break the n of m must stay before it raises."""
        self.active = np.zeros(assets, np.bool_)
        """Which assets are raised."""
        self._raise_at = raise_at
        self._clear_at = clear_at
        self._above = np.zeros(assets, np.uint64)
        self._below = np.zeros(assets, np.uint64)
        self._hold = hold
        self._held = np.zeros(assets, np.int64)

    def continue_from(self, other: "NofM", mine: Rows, theirs: Rows) -> None:
        """Take over the ticks so far of another one's assets, by the same rules."""
        for name in ("active", "_above", "_below", "_held"):
            getattr(self, name)[mine] = getattr(other, name)[theirs]

    def forget(self, assets: Rows) -> None:
        """Drop the ticks so far; what is raised stays raised."""
        self._above[assets] = self._below[assets] = 0
        self._held[assets] = 0

    def tick(self, assets: Rows, above: Flags, below: Flags) -> tuple[Rows, Rows]:
        """Add one tick of these assets. Gives those it raises and those it clears, as positions in `assets`."""
        hits = self._count(self._above, assets, above, self._raise_at.of)
        calm = self._count(self._below, assets, below, self._clear_at.of)
        active = self.active[assets]
        held = np.where(hits >= self._raise_at.n, self._held[assets] + 1, 0)
        self._held[assets] = held
        raised = ~active & (held > self._hold)
        cleared = active & (calm >= self._clear_at.n) & ~above
        self.active[assets] = (active | raised) & ~cleared
        return np.flatnonzero(raised), np.flatnonzero(cleared)

    @staticmethod
    def _count(history: NDArray[np.uint64], assets: Rows, flag: Flags, of: int) -> NDArray[np.uint8]:
        history[assets] = (history[assets] << np.uint64(1)) | flag.astype(np.uint64)
        count: NDArray[np.uint8] = np.bitwise_count(history[assets] & np.uint64((1 << of) - 1))
        return count
