"""What one sink has settled of each lane, the balance of it, and the file that keeps it."""

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any
from urllib.parse import unquote

import orjson

from gateway.core.intervals import IntervalSet
from gateway.core.parsing import JSON_SIZE, doubting, parse_json
from gateway.core.record import Lane
from gateway.outbox.format.dead_letter import file_name
from gateway.outbox.format.frames import FARTHEST
from gateway.places.regular import read_regular
from gateway.status import Balance


class LaneCursor:
    """Numbers and readings that are done with. A record covers one number and `rows` places in the lane's running count
    of readings; keeping both as sets makes the balance right whatever is reported twice, lost, or found damaged."""

    def __init__(self) -> None:
        self.seqs = IntervalSet([(0, 1)])
        self.rows = IntervalSet()
        self.base = 0
        """The lane's count of readings when this sink's account begins."""
        self.acknowledged = 0
        self.dropped: dict[str, int] = {}
        self.not_ours = IntervalSet()
        """The numbers that were never this sink's."""
        self.lost: dict[str, IntervalSet] = {}
        """The numbers that were dropped, by reason, as far back as receipts need them."""
        self.ahead = 0
        """Readings in open records that are not meant for this sink: they stand there, and are not owed."""
        self.left_out: dict[int, dict[str, int]] = {}
        """Readings that were left out of records that are done with: by the number with which a period of receipts begins,
        and by device in its context."""

    def begin(self, seq: int, total: int) -> None:
        """Open the account at this number; what is older was never this sink's."""
        self.seqs.add(0, seq)
        self.rows.add(0, total)
        self.not_ours.add(0, seq)
        self.base = total

    def exempt(self, seqs: tuple[int, int], rows: tuple[int, int]) -> None:
        """These numbers (half-open) were never this sink's."""
        for low, high in self.seqs.missing(*seqs):
            self.not_ours.add(low, high)
        self.seqs.add(*seqs)
        self.base += self.rows.add(*rows)

    def acknowledge(self, seq: int, total: int, rows: int, left_out: int = 0) -> bool:
        """The far side has this record, or what of it is meant for it: so many readings are not. Says whether it was open."""
        self.seqs.add(seq, seq + 1)
        new = self.rows.add(total, total + rows)
        self.acknowledged += new - self._leave(left_out, new)
        return new > 0

    def drop(self, seqs: tuple[int, int], rows: tuple[int, int], reason: str, left_out: int = 0) -> int:
        """These numbers (half-open) will never be delivered; says how many readings are lost by it. So many others in them
        were not meant for this sink."""
        numbers = self.seqs.missing(*seqs)
        self.seqs.add(*seqs)
        new = self.rows.add(*rows)
        lost = new - self._leave(left_out, new)
        if lost:
            self.dropped[reason] = self.dropped.get(reason, 0) + lost
            held = self.lost.setdefault(reason, IntervalSet())
            for low, high in numbers:
                held.add(low, high)
        return lost

    def _leave(self, left_out: int, new: int) -> int:
        """So many of these readings, which stood open, are no more part of the account; how many they were."""
        left = min(left_out, new)
        self.base += left
        self.ahead -= min(left, self.ahead)
        return left

    def forget_lost(self, below: int) -> None:
        """No receipt needs lower numbers any more."""
        self.left_out = {first: counts for first, counts in self.left_out.items() if first >= below}
        for reason, lost in list(self.lost.items()):
            kept = IntervalSet((max(low, below), high) for low, high in lost.pairs() if high > below)
            if kept.count:
                self.lost[reason] = kept
            else:
                del self.lost[reason]

    def regain(self, seq: int, rows: int, reason: str) -> None:
        """This number with so many readings, dropped for this reason, has been acknowledged after all."""
        if lost := self.lost.pop(reason, None):
            parts = [part for low, high in lost.pairs() for part in ((low, min(high, seq)), (max(low, seq + 1), high))]
            kept = IntervalSet(part for part in parts if part[0] < part[1])
            if kept.count:
                self.lost[reason] = kept
        rows = min(rows, self.dropped.get(reason, 0))
        self.acknowledged += rows
        left = self.dropped.pop(reason, 0) - rows
        if left:
            self.dropped[reason] = left

    def pending(self, total: int) -> int:
        """Readings accepted and neither acknowledged nor dropped, at this count of the lane."""
        return total - self.rows.count - self._unowed(total)

    def _unowed(self, total: int) -> int:
        return min(self.ahead, total - self.rows.count)

    def pending_below(self, total: int) -> int:
        """The same of those before a count of the lane."""
        return sum(high - low for low, high in self.rows.missing(0, total))

    def balance(self, total: int) -> Balance:
        """accepted = acknowledged + pending + dropped, in readings."""
        return Balance(
            accepted=total - self.base - self._unowed(total),
            acknowledged=self.acknowledged,
            pending=self.pending(total),
            dropped=dict(self.dropped),
        )

    def dump(self) -> dict[str, Any]:
        """As JSON, for the cursor file."""
        left_out = {str(first): counts for first, counts in self.left_out.items()}
        return {
            "seqs": self.seqs.pairs(),
            "rows": self.rows.pairs(),
            "base": self.base,
            "acknowledged": self.acknowledged,
            "dropped": self.dropped,
            "not_ours": self.not_ours.pairs(),
            "lost": {reason: lost.pairs() for reason, lost in self.lost.items()},
            **({"ahead": self.ahead} if self.ahead else {}),
            **({"left_out": left_out} if left_out else {}),
        }

    @classmethod
    def load(cls, body: dict[str, Any]) -> "LaneCursor":
        """The inverse of `dump`. Raises ValueError for anything that does not balance."""
        cursor = cls()
        with doubting(ValueError):
            cursor.seqs = _set_of(body["seqs"])
            cursor.rows = _set_of(body["rows"])
            cursor.base = _count_of(body["base"])
            cursor.acknowledged = _count_of(body["acknowledged"])
            cursor.dropped = {str(reason): _count_of(count) for reason, count in body["dropped"].items()}
            cursor.not_ours = _set_of(body.get("not_ours", ()))
            cursor.lost = {str(reason): _set_of(pairs) for reason, pairs in body.get("lost", {}).items()}
            cursor.ahead = _count_of(body.get("ahead", 0))
            cursor.left_out = {int(first): _counts_of(counts) for first, counts in body.get("left_out", {}).items()}
        settled = cursor.base + cursor.acknowledged + sum(cursor.dropped.values())
        if settled != cursor.rows.count or not cursor.seqs.covers(0, 1):
            raise ValueError("a cursor that does not balance")
        return cursor


def _count_of(value: Any) -> int:
    if type(value) is not int or not 0 <= value < FARTHEST:
        raise ValueError(f"a count of {value!r}")
    return value


def _counts_of(counts: Mapping[str, Any]) -> dict[str, int]:
    return {str(name): _count_of(count) for name, count in counts.items()}


def _set_of(pairs: Iterable[Any]) -> IntervalSet:
    """Ascending, as `dump` gives them: in another order a long list of them would take hours."""
    found, before = IntervalSet(), -1
    for low, high in pairs:
        if not before < _count_of(low) < _count_of(high):
            raise ValueError("its numbers do not ascend")
        found.add(low, high)
        before = high
    return found


def cursor_path(directory: Path, sink: str) -> Path:
    """The file that keeps how far a sink has come."""
    return directory / "cursors" / f"{file_name(sink)}.json"


def sink_of(path: Path) -> str:
    """Whose cursor a file is, by its name alone."""
    return unquote(path.stem)


def dump_cursor(log_id: str, sink: str, cursors: dict[Lane, LaneCursor]) -> bytes:
    """The content of a cursor's file."""
    lanes = {lane.word: cursor.dump() for lane, cursor in cursors.items()}
    return orjson.dumps({"log": log_id, "sink": sink, "lanes": lanes})


def read_cursor(path: Path, log_id: str) -> tuple[str, dict[Lane, LaneCursor]]:
    """A sink, and how far it has come. Raises OSError, and ValueError for a damaged file or one of another log."""
    data = read_regular(path, JSON_SIZE)
    with doubting(ValueError):
        body = parse_json(data)
        if body["log"] != log_id:
            raise ValueError(f"it belongs to log {body['log']}")
        sink = str(body.get("sink") or sink_of(path))
        return sink, {lane: LaneCursor.load(body["lanes"][lane.word]) for lane in Lane}
