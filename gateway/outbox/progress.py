"""What one sink has settled of one lane, and the balance of it. Pure."""

from typing import Any

from gateway.outbox.intervals import IntervalSet


class Progress:
    """Numbers and readings that are done with. A record covers one number and `rows` places in the lane's running count
    of readings; keeping both as sets makes the balance right whatever is reported twice, lost, or found damaged."""

    def __init__(self) -> None:
        self.seqs = IntervalSet([(0, 1)])
        self.rows = IntervalSet()
        self.base = 0
        """The lane's count of readings when this sink's account begins."""
        self.acknowledged = 0
        self.dropped: dict[str, int] = {}

    def begin(self, seq: int, total: int) -> None:
        """Open the account at this number; what is older was never this sink's."""
        self.seqs.add(0, seq)
        self.rows.add(0, total)
        self.base = total

    def acknowledge(self, seq: int, total: int, rows: int) -> None:
        """The far side has this record."""
        self.seqs.add(seq, seq + 1)
        self.acknowledged += self.rows.add(total, total + rows)

    def drop(self, seqs: tuple[int, int], rows: tuple[int, int], reason: str) -> int:
        """These numbers (half-open) will never be delivered; says how many readings are lost by it."""
        self.seqs.add(*seqs)
        lost = self.rows.add(*rows)
        if lost:
            self.dropped[reason] = self.dropped.get(reason, 0) + lost
        return lost

    def regain(self, rows: int, reason: str) -> None:
        """So many readings that were dropped for this reason have been acknowledged after all."""
        rows = min(rows, self.dropped.get(reason, 0))
        self.acknowledged += rows
        left = self.dropped.pop(reason, 0) - rows
        if left:
            self.dropped[reason] = left

    def pending(self, total: int) -> int:
        """Readings accepted and neither acknowledged nor dropped, at this count of the lane."""
        return total - self.rows.count

    def pending_below(self, total: int) -> int:
        """The same of those before a count of the lane."""
        return sum(high - low for low, high in self.rows.missing(0, total))

    def balance(self, total: int) -> dict[str, Any]:
        """accepted = acknowledged + pending + dropped, in readings."""
        return {
            "accepted": total - self.base,
            "acknowledged": self.acknowledged,
            "pending": self.pending(total),
            "dropped": dict(self.dropped),
        }

    def dump(self) -> dict[str, Any]:
        """As JSON, for the cursor file."""
        return {
            "seqs": self.seqs.pairs(),
            "rows": self.rows.pairs(),
            "base": self.base,
            "acknowledged": self.acknowledged,
            "dropped": self.dropped,
        }

    @classmethod
    def load(cls, body: dict[str, Any]) -> "Progress":
        """The inverse of `dump`. Raises ValueError for anything that does not balance."""
        progress = cls()
        try:
            progress.seqs = IntervalSet((int(low), int(high)) for low, high in body["seqs"])
            progress.rows = IntervalSet((int(low), int(high)) for low, high in body["rows"])
            progress.base = int(body["base"])
            progress.acknowledged = int(body["acknowledged"])
            progress.dropped = {str(reason): int(count) for reason, count in body["dropped"].items()}
        except (KeyError, TypeError, AttributeError) as error:
            raise ValueError(f"no cursor: {error!r}") from error
        settled = progress.base + progress.acknowledged + sum(progress.dropped.values())
        if settled != progress.rows.count or not progress.seqs.covers(0, 1):
            raise ValueError("a cursor that does not balance")
        return progress
