"""What the server reports at a time, as readings, though it may come in several messages.

The gateway works by blocks, and plans once for tags that come in the same order: so the messages of one report become one
block, or, where each tag has several values in it, a block of the first ones, a block of the second ones, and so on.
"""

import numpy as np
from asyncua import ua
from numpy.typing import NDArray

from gateway.plugin import Device, Readings

from ..remarks import Remarks
from ..values.blocks import OVERFLOW, Block, joined
from ..values.kinds import Kinds
from ..values.notification import Handles
from ..values.structures import Types
from ..values.value_part import Parts
from .quiet import Quiet

MORE_WITHIN = 0.25
"""Seconds that messages wait for those of the same report, of which the server says that there are more."""
MOST = 50_000
"""Values of a report that are handed on though there are more."""
EXACT = 100
"""Numbers that a value counts for which is none: it costs so much more."""
WORTH = 100
"""Tags that a block of its own is worth."""
KNOWN = 8
"""Sequences of tags whose ids are kept, so that the same sequence is the same object."""

Rows = NDArray[np.intp]


class ValueReport:
    """The values that were taken and not yet handed on, by the row of their tag in the device."""

    def __init__(self, device: Device, types: Types, remark: Remarks, quiet: Quiet) -> None:
        self._device = device
        self._quiet = quiet
        self._remark = remark
        self._parts = Parts([tag.config for tag in device.tags], types)
        self._kinds = Kinds(device.tags)
        self.changed: set[int] = set()
        """Rows of which the server has to be asked anew what they are."""
        self._values: list[tuple[Rows, Block]] = []
        self._weight = 0
        self._known: dict[bytes, NDArray[np.uint32]] = {}
        self.latest = np.zeros(len(device.tags), np.int64)
        """Source time of each row's last value, ns since 1970; 0 where there was none."""
        self.recovered: dict[int, int] = {}
        """Row → source time of its last value that history gave, until the subscription reports a later one."""
        self.messages: list[ua.SubscriptionAcknowledgement] = []
        """Those in which they came."""
        self.until = float("inf")
        """Loop time until which further messages are waited for."""

    @property
    def full(self) -> bool:
        """Whether there are so many values that they are handed on though there are more to come."""
        return self._weight >= MOST

    def add(self, handles: Handles, block: Block, now: float) -> None:
        """Take over a portion of what a message holds, at this loop time. Values with a handle that was never given are left
        out."""
        self.until = min(self.until, now + MORE_WITHIN)
        known = handles < len(self.latest)
        if known.all():
            self._add(handles, block, now)
        elif known.any():
            self._add(handles[known], block.some(np.flatnonzero(known)), now)

    def _add(self, rows: Rows, block: Block, now: float) -> None:
        self._weight += len(rows) + EXACT * len(block.exact)
        self._parts.take(block, rows)
        self.changed.update(self._kinds.judge(block, rows))
        if block.quality.any():
            for at in np.flatnonzero(block.quality & OVERFLOW == OVERFLOW).tolist():
                self._remark(int(rows[at]), "the server's queue was full, values are lost: raise queue_size")
        for at, why in block.unusable.items():
            self._remark(int(rows[at]), why, block.raw.get(at, b""))
        self.latest[rows] = block.t_ns
        self._quiet.heard(rows, block, now)
        self._values.append((rows, block))

    def take(self) -> list[Readings]:
        """All of it, in blocks; those of a tag in their order."""
        taken, self._values, self.messages, self.until, self._weight = self._values, [], [], float("inf"), 0
        if not taken:
            return []
        rows = np.concatenate([each for each, _ in taken])
        block = joined([each for _, each in taken])
        blocks = [self._readings(rows, block, turn) for turn in in_turns(rows)]
        return [readings for readings in blocks if len(readings)]

    def from_history(self, row: int, block: Block) -> Readings:
        """Values that the server's history gives of one tag. What the subscription reports of them again is left out."""
        rows = np.full(len(block.value), row)
        self._parts.take(block, rows)
        self._kinds.judge(block, rows)
        self.recovered[row] = int(block.t_ns[-1])
        return block.readings(self._device, self._device.tags.ids[rows])

    def _readings(self, rows: Rows, block: Block, turn: Rows | None) -> Readings:
        if turn is None:
            readings = block.readings(self._device, self._ids(rows))
        else:
            rows = rows[turn]
            readings = block.some(turn).readings(self._device, self._ids(rows))
        return self._only_new(readings, rows) if self.recovered else readings

    def _ids(self, rows: Rows) -> NDArray[np.uint32]:
        """The tags' ids; of the same rows always the same object, which is never written to."""
        known = self._known.get(raw := rows.tobytes())
        if known is None:
            ids = self._device.tags.ids
            known = ids if np.array_equal(rows, np.arange(len(ids))) else ids[rows]
            known.flags.writeable = False
            if len(self._known) >= KNOWN:
                del self._known[next(iter(self._known))]
            self._known[raw] = known
        return known

    def _only_new(self, readings: Readings, rows: Rows) -> Readings:
        known = [self.recovered.get(row, 0) for row in rows.tolist()]
        new = np.flatnonzero(readings.t_ns > known)
        for row in rows[new].tolist():
            self.recovered.pop(row, None)
        return readings.take(new)


def in_turns(rows: Rows) -> list[Rows | None]:
    """Where in a report each tag's first value stands, where its second one, and so on, each by ascending rows. None, alone,
    for all as they come: where they are in order already, and where that would make many small blocks."""
    if (rows[1:] > rows[:-1]).all():
        return [None]
    order = np.argsort(rows, kind="stable")
    ordered = rows[order]
    begins = np.flatnonzero(np.concatenate(([True], ordered[1:] != ordered[:-1])))
    counts = np.diff(np.append(begins, len(rows)))
    turns = int(counts.max())
    if len(begins) < WORTH or turns * len(begins) > 2 * len(rows):
        return [None]
    turn = np.arange(len(rows)) - np.repeat(begins, counts)
    return [order[turn == each] for each in range(turns)]
