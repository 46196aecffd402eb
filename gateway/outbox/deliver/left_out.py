"""What of a lane is not meant for a sink: it is counted as soon as it is there, so that it is owed at no time."""

from bisect import bisect_right
from collections.abc import Callable

from gateway.core.record import Record
from gateway.core.selection import Selection
from gateway.outbox.format import LaneCursor, Segment
from gateway.outbox.write import LaneLog

PeriodOf = Callable[[int], int | None]
"""With which number the period of receipts begins that a number of the data lane belongs to; None: with none that is open."""

_Counts = dict[int, dict[str, int]]


class LeftOut:
    """Of one sink and lane. Numbers in intervals would grow with each record while the sink is away; counts do not."""

    def __init__(self, selection: Selection, log: LaneLog, cursor: LaneCursor, period_of: PeriodOf) -> None:
        self._selection = selection
        self._log = log
        self._cursor = cursor
        self._period_of = period_of
        self._by_file: dict[int, int] = {}
        """Readings of open records, by the first number of the file that holds them."""
        self._open: _Counts = {}
        """The same by the period of receipts, and by device in its context."""
        cursor.ahead = 0
        self.looked_to = 0 if selection else log.written_seq
        """All records below this number, and from `news` on, were looked at."""
        self.news = log.written_seq

    @property
    def is_behind(self) -> bool:
        """Whether records that were there before this selection are still to be looked at."""
        return self.looked_to < self.news

    def note(self, record: Record, total: int) -> bool:
        """Look at a record that is open; `total`: the running count before it. Whether anything of it is wanted."""
        left = self._selection.left_out(record)
        if not left:
            return True
        self._cursor.ahead += left
        file = self._file_of(record.seq)
        self._by_file[file] = self._by_file.get(file, 0) + left
        self._count(self._open, record, left)
        if left < record.rows:
            return True
        if self._cursor.seqs.end == record.seq:  # it makes no further interval
            self.settle(record, total, left)
        return False

    def settle(self, record: Record, total: int, left: int) -> None:
        """A record of which nothing is wanted is done with."""
        if self._cursor.acknowledge(record.seq, total, record.rows, left):
            self.settled(record, left)

    def settled(self, record: Record, left: int) -> None:
        """A record of which so many readings are left out is done with."""
        file = self._file_of(record.seq)
        self._by_file[file] = max(0, self._by_file.get(file, 0) - left)
        self._count(self._open, record, -left)
        self._count(self._cursor.left_out, record, left)

    def give_up(self, segment: Segment) -> int:
        """This file goes; says how many readings in it, of those that are open, are left out."""
        return self._by_file.pop(segment.first, 0)

    def is_all_of(self, segment: Segment) -> bool:
        """Whether nothing else is open in this file."""
        left = self._by_file.get(segment.first, 0)
        return left > 0 and left == sum(
            high - low for low, high in self._cursor.rows.missing(segment.start, segment.end)
        )

    def of_period(self, first: int, device: str) -> tuple[int, int]:
        """Readings of a device in its context in a period of receipts: done with, and open."""
        return self._cursor.left_out.get(first, {}).get(device, 0), self._open.get(first, {}).get(device, 0)

    def look(self) -> None:
        """Once a second: where nothing is open, nothing open is left out."""
        if self._cursor.seqs.gap(0) >= self._log.written_seq:
            self._cursor.ahead = 0
            self._by_file.clear()
            self._open.clear()

    def _count(self, counts: _Counts, record: Record, left: int) -> None:
        if record.readings is None or (first := self._period_of(record.seq)) is None:
            return
        of_period = counts.setdefault(first, {})
        key = self._selection.key(record.readings.device)
        of_period[key] = max(0, of_period.get(key, 0) + left)

    def _file_of(self, seq: int) -> int:
        segments = self._log.segments
        if segments and segments[-1].first <= seq:
            return segments[-1].first
        at = bisect_right(segments, seq, key=lambda segment: segment.first)
        return segments[at - 1].first if at else 0
