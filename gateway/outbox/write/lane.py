"""One lane of the log, as the event loop knows it: its numbers, its files, and the records still in memory."""

from bisect import bisect_left
from collections import deque
from collections.abc import Sequence
from itertools import islice

from gateway.core.record import Lane, Record
from gateway.outbox.format import Gap, Segment, Span, Stored, files_status
from gateway.outbox.write.lane_file import Entry, Growth, Renewal, grow
from gateway.status import LaneStatus

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
        """One above the last record that is accepted."""
        self.disk_seq = next_seq
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
        """Records with a number that are not accepted yet."""
        return len(self._unwritten)

    @property
    def first_queued(self) -> int:
        """The number of the first of them; 0 for none."""
        return self._unwritten[0].record.seq if self._unwritten else 0

    @property
    def queued_since_ns(self) -> int | None:
        """When the first of them came in, ns since 1970; None for none."""
        return self._unwritten[0].record.wall_ns if self._unwritten else None

    def waiting(self, at_most: int) -> list[Record]:
        """The newest of them, as far as they go."""
        newest = islice(reversed(self._unwritten), at_most)
        return [stored.record for stored in newest][::-1]

    @property
    def held(self) -> int:
        """Records that were accepted, and are in memory only: not on disk, and not yet with every sink."""
        return sum(seq >= self.disk_seq for seq in self.tail)

    def accepted(self, entries: Sequence[Entry]) -> list[Record]:
        """These records may be handed out now, and memory keeps them until they are on disk; the same as objects."""
        records = []
        for _ in entries:
            stored = self._unwritten.popleft()
            records.append(stored.record)
            self.tail[stored.record.seq] = stored
            self._tail_bytes += cost(stored.record)
        last = entries[-1]
        self.written_seq, self.total = last.seq + 1, last.total + last.rows
        return records

    def written(self, growth: Growth) -> list[Record]:
        """These records are on disk now; as objects, if they were not accepted before."""
        if not self.segments or self.segments[-1].path != growth.path:
            first = growth.entries[0]
            if self.segments:
                self.segments[-1].footer = growth.finished
            self.segments.append(Segment(growth.path, self.lane, first.seq, first.total))
        grow(self.segments[-1], growth)
        records = self.accepted(growth.entries) if growth.entries[-1].seq >= self.written_seq else []
        self.disk_seq = self.segments[-1].last + 1
        self._trim()
        return records

    def renewed(self, renewal: Renewal) -> list[Record]:
        """These records are on disk now, in another file than was said, if it was; as objects, if they were not accepted
        before."""
        if self.segments and self.segments[-1].path == renewal.path:
            self.segments[-1:] = [renewal.kept] if renewal.kept is not None else []
        return self.written(renewal.growth)

    def _trim(self) -> None:
        while self._tail_bytes > self._memory and (seq := next(iter(self.tail))) < self.disk_seq:
            self._forget(seq)

    def settled(self, below: int) -> None:
        """Every sink is done with what is below this number: memory need not keep it."""
        while self.tail and (seq := next(iter(self.tail))) < below:
            self._forget(seq)

    def _forget(self, seq: int) -> None:
        self._tail_bytes -= cost(self.tail.pop(seq).record)

    @property
    def size(self) -> int:
        """Bytes on disk."""
        return sum(segment.taken for segment in self.segments)

    def status(self) -> LaneStatus:
        """Its numbers, and how many records and files."""
        return LaneStatus(
            next=self.next_seq,
            accepted=self.total,
            queued=self.queued,
            held=self.held,
            files=files_status(self.segments),
        )

    def locate(self, seq: int) -> Span | Gap:
        """Where to read this number, which is below `written_seq`; or the hole that it lies in."""
        at = bisect_left(self.segments, seq, key=lambda segment: segment.last)
        if at == len(self.segments):
            end, wall = (self.segments[-1].end, self.segments[-1].wall_to) if self.segments else (self.total, 0)
            return Gap((seq, self.written_seq), (end, self.total), (wall, 0))
        segment = self.segments[at]
        if seq < segment.first:
            before, wall = (self.segments[at - 1].end, self.segments[at - 1].wall_to) if at else (segment.start, 0)
            return Gap((seq, segment.first), (before, segment.start), (wall, segment.wall_from))
        number, total, offset = segment.place(seq)
        accepted = (segment.wall_from, segment.wall_to)
        return Span(segment.path, offset, segment.size, number, total, segment.last, segment.end, seq, accepted)


def cost(record: Record) -> int:
    """About how many bytes of memory a record takes."""
    return _RECORD_COST + 24 * record.rows if record.readings is not None else 4 * _RECORD_COST
