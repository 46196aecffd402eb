"""What a receipt says. Pure, but for reading the index of a period."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from gateway.core.record import Lane
from gateway.core.times import EARLIEST, LATEST, rfc3339
from gateway.outbox.format import IntervalSet, LaneCursor, read_context
from gateway.outbox.receipts.period import Period, Tally

Ranges = Sequence[tuple[int, int]]


@dataclass(frozen=True, slots=True)
class Standing:
    """How far one sink has come with a period: numbers (half-open)."""

    pending: Ranges = ()
    dropped: Mapping[str, Ranges] = field(default_factory=dict)
    """By reason."""
    before: Ranges = ()
    """Accepted before the sink was there."""
    left_out: Sequence[tuple[int, int]] = ()
    """Of each tally, if of any: readings that are not meant for the sink, in records that it is done with, and in others."""

    @property
    def plain(self) -> bool:
        """Whether the sink has acknowledged everything."""
        return not (self.pending or self.dropped or self.before or self.left_out)


def standing(cursor: LaneCursor, period: Period, left_out: Sequence[tuple[int, int]] = ()) -> Standing:
    """Of a sink with this cursor in the data lane."""
    low, high = period.first, period.end
    dropped = {reason: ranges for reason, lost in cursor.lost.items() if (ranges := _within(lost, low, high))}
    return Standing(cursor.seqs.missing(low, high), dropped, _within(cursor.not_ours, low, high), left_out)


def _within(numbers: IntervalSet, low: int, high: int) -> Ranges:
    return [(max(low, a), min(high, b)) for a, b in numbers.pairs() if a < high and b > low]


class Index:
    """Which device each number of a period belongs to, and how many readings its record holds."""

    def __init__(self, period: Period, parts: Sequence[tuple[int, bytes]]) -> None:
        """`parts`: number of the first record, and pairs of uint16 (device, readings)."""
        self._first = period.first
        self._devices = len(period.tallies)
        self._device = np.full(period.end - period.first, self._devices, np.uint16)
        self._rows = np.zeros(period.end - period.first, np.uint16)
        covered = 0
        for start, data in parts:
            pairs = np.frombuffer(data[: len(data) // 4 * 4], np.uint16).reshape(-1, 2)
            at = start - period.first
            if at >= 0:
                pairs = pairs[: max(0, len(self._rows) - at)]
                self._device[at : at + len(pairs)] = np.minimum(pairs[:, 0], self._devices)
                self._rows[at : at + len(pairs)] = pairs[:, 1]
                covered += len(pairs)
        self.is_whole = covered >= len(self._rows)
        """Whether it tells of every record."""

    def readings(self, ranges: Ranges) -> NDArray[np.int64]:
        """Per device, the readings in these ranges of numbers."""
        total = np.zeros(self._devices + 1, np.int64)
        for low, high in ranges:
            part = slice(low - self._first, max(0, high - self._first))
            counted = np.bincount(self._device[part], weights=self._rows[part], minlength=self._devices + 1)
            total += counted.astype(np.int64)
        return total


def bodies(period: Period, sinks: Mapping[str, Standing], index: Index | None) -> list[dict[str, Any]]:
    """The receipts of a period, one per device and context; `index` is needed unless all sinks stand plain."""
    columns = {sink: _columns(stands, index) for sink, stands in sinks.items()}
    return [
        _body(period, tally, {sink: _account(tally, number, columns[sink]) for sink in sinks})
        for number, tally in enumerate(period.tallies)
        if tally.says_something
    ]


_Columns = tuple[NDArray[np.int64], Mapping[str, NDArray[np.int64]], NDArray[np.int64], Sequence[tuple[int, int]]]


def _columns(stands: Standing, index: Index | None) -> _Columns | None:
    if stands.plain or index is None:
        return None
    dropped = {reason: index.readings(ranges) for reason, ranges in stands.dropped.items()}
    return index.readings(stands.pending), dropped, index.readings(stands.before), stands.left_out


def _account(tally: Tally, number: int, columns: _Columns | None) -> dict[str, Any]:
    """accepted = acknowledged + pending + dropped + before_sink + left_out, in readings."""
    if columns is None:
        return {"acknowledged": tally.readings, "pending": 0, "dropped": {}}
    pending, dropped, before, left_out = columns
    lost = {reason: int(rows[number]) for reason, rows in dropped.items() if rows[number]}
    done, unmeant = left_out[number] if number < len(left_out) else (0, 0)
    waiting = max(0, int(pending[number]) - unmeant)
    lost = _but(lost, unmeant - (int(pending[number]) - waiting))
    rest = waiting + sum(lost.values()) + int(before[number])
    account = {"acknowledged": tally.readings - rest - done - unmeant, "pending": waiting, "dropped": lost}
    account |= {"before_sink": int(before[number])} if before[number] else {}
    return account | ({"left_out": done + unmeant} if done + unmeant else {})


def _but(lost: Mapping[str, int], unmeant: int) -> dict[str, int]:
    """What of this is lost, if so many of it were not meant for the sink."""
    left: dict[str, int] = {}
    for reason, rows in lost.items():
        spared = min(rows, unmeant)
        unmeant -= spared
        left |= {reason: rows - spared} if rows > spared else {}
    return left


def _body(period: Period, tally: Tally, sinks: Mapping[str, Any]) -> dict[str, Any]:
    body: dict[str, Any] = {
        "device": tally.device,
        "hour": rfc3339(period.hour_ns)[:16] + "Z",
        "from": period.wall_ns // 1_000_000,
        "to": period.wall_to_ns // 1_000_000,
        "lane": Lane.DATA.word,
        "first": tally.first,
        "last": tally.last,
        "records": tally.records,
        "messages": tally.messages,
        "read": None if period.interrupted else tally.read,
        "readings": tally.readings,
        "not_accepted": tally.not_accepted,
        "missed_polls": tally.missed,
        "gaps": [
            {"reason": reason, "from": low // 1_000_000, "to": None if high is None else high // 1_000_000}
            for reason, low, high in tally.gaps
        ],
        "hash": tally.hash.hex(),
        "sinks": dict(sinks),
        "epoch": period.epoch,
        "interrupted": period.interrupted,
        "incomplete": period.incomplete,
        "revision": period.revision,
        "final": period.final,
        "context": tally.context,
    }
    return {**body, "message": message(body)}


def message(body: Mapping[str, Any]) -> str:
    """A receipt in one sentence."""
    words = [f"{body['readings']} readings accepted"]
    if body["not_accepted"]:
        words.append(f"{body['not_accepted']} not accepted")
    for sink, account in body["sinks"].items():
        lost = sum(account["dropped"].values())
        open_words = f"{account['pending']} pending" if account["pending"] else ""
        lost_words = f"{lost} dropped" if lost else ""
        rest = ", ".join(each for each in (open_words, lost_words) if each)
        words.append(f"{sink}: {rest or 'all delivered'}")
    if body["interrupted"]:
        words.append("the gateway was killed")
    return f"{body['device']}, {body['hour']}: {'; '.join(words)}."


_COUNTS = ("from", "to", "first", "last", "records", "messages", "readings", "not_accepted", "missed_polls", "revision")
_YES_OR_NO = ("interrupted", "incomplete", "final")
_TIMES = range(EARLIEST // 1_000_000, LATEST // 1_000_000)


def read_receipt(body: Mapping[str, Any]) -> dict[str, Any]:
    """A receipt from disk, if it has what everybody relies on. Raises an Exception for what is none."""
    read_context(body["context"])
    for text in (body["device"], body["hour"], body["hash"]):
        _expect(type(text) is str)
    for name in _COUNTS:
        _expect(type(body[name]) is int)
    for name in _YES_OR_NO:
        _expect(type(body[name]) is bool)
    _expect(body["read"] is None or type(body["read"]) is int)
    for gap in body["gaps"]:
        _expect(type(gap["reason"]) is str and gap["from"] in _TIMES and (gap["to"] is None or gap["to"] in _TIMES))
    for account in body["sinks"].values():
        counts = (account["acknowledged"], account["pending"], *account["dropped"].values())
        _expect(all(type(each) is int for each in counts))
    return dict(body)


def _expect(true: bool) -> None:
    if not true:
        raise ValueError("it is no receipt")
