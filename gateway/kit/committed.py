"""What a sink that commits by range has committed, so that no record of it is committed twice."""

from collections.abc import Iterable, Mapping
from typing import Any

from gateway.core.intervals import IntervalSet
from gateway.core.record import Record
from gateway.plugin.range_sink import Batch

KEPT_IDS = 10_000
"""Ids of records out of sequence that are remembered."""


class Committed:
    """Numbers by log and lane. In sequence a record that stands below one that was committed is committed itself, was never
    this sink's, or is lost; so one interval says it all, however many records are left out."""

    def __init__(self) -> None:
        self._lanes: dict[str, IntervalSet] = {}
        """By "log:lane"."""
        self._marks: dict[str, int] = {}
        """One above the last number that came in sequence."""
        self._ids: dict[str, None] = {}
        """Of dead letters, and of what no disk keeps."""

    def __contains__(self, record: Record) -> bool:
        return self._has(record, "")

    def _has(self, record: Record, again: str) -> bool:
        if record.unkept or again == "dead letter":
            return record.id in self._ids
        return record.seq in self._lanes.get(_key(record), _NOTHING)

    def new(self, batch: Batch) -> list[Record]:
        """Those of a batch that are not committed."""
        return [record for record in batch.records if not self._has(record, batch.again.get(record, ""))]

    def add(self, records: Iterable[Record], again: Mapping[Record, str]) -> None:
        """These, in the order of their batch, are committed now."""
        for record in records:
            key, why = _key(record), again.get(record, "")
            if record.unkept or why == "dead letter":
                self._ids[record.id] = None
                if len(self._ids) > KEPT_IDS:
                    del self._ids[next(iter(self._ids))]
                continue
            held = self._lanes.setdefault(key, IntervalSet())
            first = record.seq
            if not why:
                first = min(first, self._marks.get(key, first))
                self._marks[key] = max(record.seq + 1, self._marks.get(key, 0))
            held.add(first, record.seq + 1)

    def dump(self) -> dict[str, Any]:
        """As JSON values."""
        lanes = {key: held.pairs() for key, held in self._lanes.items()}
        return {"lanes": lanes, "marks": dict(self._marks), "ids": list(self._ids)}

    @classmethod
    def load(cls, said: Any) -> "Committed":
        """From what `dump` gave. Raises ValueError, TypeError, KeyError or AttributeError for anything else."""
        made = cls()
        made._lanes = {
            str(key): IntervalSet((int(low), int(high)) for low, high in pairs) for key, pairs in said["lanes"].items()
        }
        made._marks = {str(key): int(mark) for key, mark in said["marks"].items()}
        made._ids = dict.fromkeys(map(str, said["ids"]))
        return made


_NOTHING = IntervalSet()


def _key(record: Record) -> str:
    return f"{record.log}:{record.lane.word}"
