"""What goes out though the disk takes nothing: alarms and live data, handed to the sinks from memory, and marked.

It has no number, since numbers are promised to the disk before they are used. It is not accepted, stands in no balance and on
no receipt, and is sent once, if at all. What waits for the disk meanwhile is accepted, and sent again under its number, if
the disk comes back in time.
"""

from collections import deque
from collections.abc import Iterable, Mapping
from dataclasses import replace
from typing import Any

from gateway.core.readings import Readings
from gateway.core.record import Kind, Lane, Record
from gateway.outbox.format import Stamp, encoded

PATIENCE = 3.0
"""Seconds for which the disk may take nothing until this begins: a full one has mostly made room by then."""
UNKEPT_AT_MOST = {Lane.ALARM: 1000, Lane.DATA: 500}
"""Records that wait for one sink; of more, the oldest go."""


class Waiting:
    """Of one sink. What is under way when its link ends is gone."""

    def __init__(self) -> None:
        self._lanes = {lane: deque[Record](maxlen=UNKEPT_AT_MOST[lane]) for lane in Lane}

    def __bool__(self) -> bool:
        return any(self._lanes.values())

    def add(self, record: Record) -> None:
        """It goes out next, alarms first."""
        self._lanes[record.lane].append(record)

    def take(self, limit: int, *, only_alarms: bool = False) -> list[Record]:
        """Up to so many."""
        taken: list[Record] = []
        for lane in (Lane.ALARM,) if only_alarms else Lane:
            waiting = self._lanes[lane]
            taken += [waiting.popleft() for _ in range(min(limit - len(taken), len(waiting)))]
        return taken


class Unkept:
    """Makes the records. `why` says since when: empty while the disk takes what it is given."""

    def __init__(self, log_id: str, start: str) -> None:
        """`start`: something that no other start of this gateway has."""
        self.why = ""
        self._log_id = log_id
        self._start = start
        self._count = 0

    def readings(self, readings: Readings, stamp: Stamp) -> Record:
        """A block as a record without a number."""
        return self._record(Lane.DATA, Kind.READINGS, stamp, len(readings), readings, None)

    def body(self, kind: Kind, body: Mapping[str, Any], stamp: Stamp) -> Record:
        """An event or loss as a record without a number."""
        return self._record(Lane.ALARM, kind, stamp, 1, None, encoded(kind, body)[1])

    def copies(self, waiting: Iterable[Record]) -> list[Record]:
        """Those that have a number and wait for the disk, as records without one."""
        return [replace(record, seq=0, unkept=self._next()) for record in waiting]

    def _record(
        self,
        lane: Lane,
        kind: Kind,
        stamp: Stamp,
        rows: int,
        readings: Readings | None,
        body: Mapping[str, Any] | None,
    ) -> Record:
        wall_ns, boot_ns, boot, epoch, config, clock = stamp
        return Record(
            self._log_id, lane, 0, kind, wall_ns, boot_ns, boot, epoch, f"{config:08x}", rows, readings, body, clock,
            unkept=self._next(),
        )  # fmt: skip

    def _next(self) -> str:
        self._count += 1
        return f"unkept-{self._start}-{self._count}"


def marked(record: Record) -> Record:
    """A record of a log that is itself in memory: not kept."""
    return record if record.unkept else replace(record, unkept=str(record.seq))
