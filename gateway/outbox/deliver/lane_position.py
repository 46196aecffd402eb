"""Where a reader stands in one lane, and what it has lost there."""

from dataclasses import asdict, dataclass, field
from heapq import heappop, heappush

from gateway.core.record import Lane, Record
from gateway.outbox.deliver.left_out import LeftOut
from gateway.outbox.format import IntervalSet, LaneCursor, Stored
from gateway.outbox.write import LaneLog
from gateway.status import BalanceStatus


@dataclass(slots=True)
class Loss:
    """What one sink will not get, gathered until it is written down."""

    lane: Lane
    reason: str
    seqs: IntervalSet = field(default_factory=IntervalSet)
    rows: int = 0
    wall_from: int | None = None
    """When the first of them was accepted at the earliest, ns since 1970; 0 if no older record is left to tell."""
    wall_to: int = 0


@dataclass(slots=True)
class Handed:
    """A record that is under way."""

    total: int
    rows: int
    late: bool
    """Whether a later one had gone out before."""
    history: bool
    """Whether it went out as history."""
    left_out: int = 0
    """Readings of the record that are not meant for this sink."""


class LanePosition:
    """Where a reader stands in one lane."""

    def __init__(self, log: LaneLog, cursor: LaneCursor, left_out: LeftOut) -> None:
        self.log = log
        self.cursor = cursor
        self.left_out = left_out
        self.handed: dict[int, Handed] = {}
        self.ahead: dict[int, Stored] = {}
        self.live = log.written_seq
        """From here on records go out as they come; what is open before it is history."""
        self.newest = cursor.seqs.end
        """One above the greatest number that went out."""
        self._position = 0
        """All below is settled, handed out, or passed over for now."""
        self._again: list[int] = []
        """A heap of numbers below the position that are to be handed out once more, in turn with those from there on."""
        self._turn_of_again = True

    def next(self, end: int) -> int | None:
        """A number below `end` that is open and not handed out, of those that are to go once more or, in turn, the least."""
        while self._again and (self._again[0] in self.cursor.seqs or self._again[0] in self.handed):
            heappop(self._again)
        if self._again and self._turn_of_again:
            return self._again[0]
        seq = self.cursor.seqs.gap(self._position)
        while seq in self.handed:
            seq = self.cursor.seqs.gap(seq + 1)
        self._position = seq
        if seq < end:
            return seq
        return self._again[0] if self._again else None

    def hand_out(self, stored: Stored, history: bool, left_out: int) -> Record:
        """Mark it as handed out, but for so many readings."""
        seq = stored.record.seq
        self.handed[seq] = Handed(stored.total, stored.record.rows, seq < self.newest, history, left_out)
        self.newest = max(self.newest, seq + 1)
        again = self.is_sent_again(seq)
        self._turn_of_again = not again
        if again:
            heappop(self._again)  # at once: it may be refused before the next look
        if self.ahead:
            self.ahead.pop(seq, None)
        return stored.record

    def leave_out(self, stored: Stored) -> None:
        """Nothing of it goes out: it is done with."""
        seq = stored.record.seq
        self.left_out.settle(stored.record, stored.total, stored.record.rows)
        if self.is_sent_again(seq):
            heappop(self._again)
        self.ahead.pop(seq, None)

    def acknowledged(self, record: Record, handed: Handed) -> None:
        """The far side has what was handed out of this record."""
        left = handed.left_out
        if self.cursor.acknowledge(record.seq, handed.total, handed.rows, left) and left:
            self.left_out.settled(record, left)

    @property
    def settled_below(self) -> int:
        """The least number that the sink is not done with."""
        return self.cursor.seqs.gap(0)

    def status(self) -> BalanceStatus:
        """The balance in readings, how many records are under way, and about when the oldest pending one was accepted."""
        balance = self.cursor.balance(self.log.total)
        return BalanceStatus(**asdict(balance), under_way=len(self.handed), oldest=self._oldest())

    def _oldest(self) -> int | None:
        """In ns since 1970; None if nothing is pending."""
        seq = self.settled_below
        if seq >= self.log.written_seq:
            return None
        stored = self.log.tail.get(seq)
        if stored is not None:
            return stored.record.wall_ns
        return next((segment.wall_from for segment in self.log.segments if segment.last >= seq), None)

    def send_again(self, seq: int) -> None:
        """It is to be handed out once more, before anything else."""
        heappush(self._again, seq)

    def pass_over(self, seq: int) -> None:
        """What `next` gave is not to go out now."""
        if self._again and self._again[0] == seq:
            heappop(self._again)
        if seq == self._position:  # and not past what is open before one that was sent again
            self._position += 1
        self.ahead.pop(seq, None)

    def back_to(self, seq: int) -> None:
        """What is open from here on is to be looked at anew."""
        self._position = min(self._position, seq)

    def is_sent_again(self, seq: int) -> bool:
        """Whether `next` gave it because of `send_again`: what stands behind it on disk is of no use."""
        return bool(self._again) and self._again[0] == seq

    def wants(self, seq: int) -> bool:
        """Whether it is worth keeping, now that it was read from disk."""
        wanted = seq >= self._position or self.is_sent_again(seq)
        return wanted and seq not in self.cursor.seqs and seq not in self.handed

    def rewind(self) -> None:
        """All that was handed out and not acknowledged is open again."""
        self.handed.clear()
        self.ahead.clear()
        self._again.clear()
        self._position = 0
        self.newest = self.cursor.seqs.end
