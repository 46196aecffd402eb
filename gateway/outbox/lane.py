"""One lane of the log, as the event loop knows it: its numbers, its files, and the records still in memory."""

from bisect import bisect_left
from collections import deque

from gateway.core.record import Lane, Record
from gateway.outbox.reading import Hole, Span, Stored
from gateway.outbox.segment import Growth, Segment, grow

_RECORD_COST = 700
"""Bytes of memory that a record takes beside its columns."""


class LaneLog:
    """Numbers are given out here; a record counts as accepted once `written` has been told of it."""

    def __init__(self, lane: Lane, segments: list[Segment], next_seq: int, total: int, memory: int) -> None:
        self.lane = lane
        self.segments = segments
        self.next_seq = next_seq
        self.next_total = total
        self.written_seq = next_seq
        """One above the last record that is on disk."""
        self.total = total
        """Readings accepted since the log began."""
        self.tail: dict[int, Stored] = {}
        """The last records on disk, in sequence, as far as memory goes."""
        self._memory = memory
        self._tail_bytes = 0
        self._unwritten: deque[Stored] = deque()

    def number(self, record: Record) -> int:
        """Take a record that carries `next_seq`, on its way to the disk; returns the running count before it."""
        total = self.next_total
        self._unwritten.append(Stored(record, total))
        self.next_seq += 1
        self.next_total += record.rows
        return total

    @property
    def queued(self) -> int:
        """Records with a number that are not on disk yet."""
        return len(self._unwritten)

    def written(self, growth: Growth) -> list[Record]:
        """These records are on disk now; the same as objects."""
        if not self.segments or self.segments[-1].path != growth.path:
            first = growth.entries[0]
            if self.segments:
                self.segments[-1].footer = growth.finished
            self.segments.append(Segment(growth.path, self.lane, first.seq, first.total))
        grow(self.segments[-1], growth)
        records = []
        for _ in growth.entries:
            stored = self._unwritten.popleft()
            records.append(stored.record)
            self.tail[stored.record.seq] = stored
            self._tail_bytes += cost(stored.record)
        self.written_seq = self.segments[-1].last + 1
        self.total = self.segments[-1].end
        self._trim()
        return records

    def _trim(self) -> None:
        while self._tail_bytes > self._memory:
            self._forget(next(iter(self.tail)))

    def settled(self, below: int) -> None:
        """Every sink is done with what is below this number: memory need not keep it."""
        while self.tail and (seq := next(iter(self.tail))) < below:
            self._forget(seq)

    def _forget(self, seq: int) -> None:
        self._tail_bytes -= cost(self.tail.pop(seq).record)

    @property
    def size(self) -> int:
        """Bytes on disk."""
        return sum(segment.size + segment.footer for segment in self.segments)

    def locate(self, seq: int) -> Span | Hole:
        """Where to read this number, which is below `written_seq`; or the hole that it lies in."""
        at = bisect_left(self.segments, seq, key=lambda segment: segment.last)
        if at == len(self.segments):
            end, wall = (self.segments[-1].end, self.segments[-1].wall_to) if self.segments else (self.total, 0)
            return Hole((seq, self.written_seq), (end, self.total), (wall, 0))
        segment = self.segments[at]
        if seq < segment.first:
            before, wall = (self.segments[at - 1].end, self.segments[at - 1].wall_to) if at else (segment.start, 0)
            return Hole((seq, segment.first), (before, segment.start), (wall, segment.wall_from))
        number, total, offset = segment.place(seq)
        accepted = (segment.wall_from, segment.wall_to)
        return Span(segment.path, offset, segment.size, number, total, segment.last, segment.end, seq, accepted)


def cost(record: Record) -> int:
    """About how many bytes of memory a record takes."""
    return _RECORD_COST + 24 * record.rows if record.readings is not None else 4 * _RECORD_COST
