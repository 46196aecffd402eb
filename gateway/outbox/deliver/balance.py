"""What of the log one sink has got, is owed, and has lost."""

from collections.abc import Mapping

from gateway.core.clock import Clock
from gateway.core.record import Kind, Lane, Record
from gateway.outbox.deliver.lane_position import LanePosition, Loss
from gateway.outbox.format import Segment


class SinkBalance:
    """Over its lanes: accepted = acknowledged + pending + dropped, in readings."""

    def __init__(self, sink: str, positions: Mapping[Lane, LanePosition], clock: Clock) -> None:
        self.sink = sink
        self.positions = positions
        self.losses: dict[tuple[Lane, str], Loss] = {}
        self.changed = True
        """Whether the cursor on disk is behind."""
        self._clock = clock

    def saved(self) -> None:
        """The cursor goes to the disk as it is now."""
        self.changed = False

    def lose(
        self,
        lane: Lane,
        seqs: tuple[int, int],
        rows: tuple[int, int],
        reason: str,
        wall: tuple[int, int],
        record: Record | None = None,
        left_out: int = 0,
    ) -> None:
        """These numbers and readings (half-open), accepted between these times (0: unknown), will not be delivered to
        this sink. `left_out`: how many of the readings were not meant for it."""
        cursor = self.positions[lane].cursor
        open_before = cursor.seqs.missing(*seqs)
        count = cursor.drop(seqs, rows, reason, left_out)
        if record is not None and left_out and count:
            self.positions[lane].left_out.settled(record, left_out)
        self.changed = True
        if not count or (record is not None and record.kind in (Kind.LOSS, Kind.SKIP)):
            return
        loss = self.losses.setdefault((lane, reason), Loss(lane, reason))
        for low, high in open_before:
            loss.seqs.add(low, high)
        loss.rows += count
        loss.wall_from = wall[0] if loss.wall_from is None else min(loss.wall_from, wall[0])
        loss.wall_to = max(loss.wall_to, wall[1] or self._clock.wall_ns())

    def give_up(self, segment: Segment, reason: str) -> tuple[int, list[tuple[int, int]]]:
        """This file goes; says how many readings the sink loses by it, and which numbers (half-open)."""
        self.changed = True
        position = self.positions[segment.lane]
        seqs = (segment.first, segment.last + 1)
        lost = position.cursor.seqs.missing(*seqs)
        left_out = position.left_out.give_up(segment)
        return position.cursor.drop(seqs, (segment.start, segment.end), reason, left_out), lost

    def take_losses(self) -> list[Loss]:
        """What was lost since the last call."""
        losses, self.losses = list(self.losses.values()), {}
        return losses

    @property
    def pending(self) -> dict[str, int]:
        """Readings, per lane, that are accepted and neither acknowledged nor dropped."""
        return {lane.word: position.cursor.pending(position.log.total) for lane, position in self.positions.items()}

    def settled_below(self, lane: Lane) -> int:
        """The least number of the lane that this sink is not done with."""
        return self.positions[lane].settled_below

    def is_settled(self, segment: Segment) -> bool:
        """Whether the sink is done with every record of this file, or wants nothing of those that it is not done with."""
        position = self.positions[segment.lane]
        return position.cursor.seqs.covers(segment.first, segment.last + 1) or position.left_out.is_all_of(segment)

    def removed(self, segment: Segment) -> None:
        """This file goes, of which the sink `is_settled`: what stands open in it was not meant for it."""
        if not self.positions[segment.lane].cursor.seqs.covers(segment.first, segment.last + 1):
            self.give_up(segment, "")
