"""What goes out though the disk takes nothing: alarms and live data, handed to the sinks from memory, and marked.

It has no number, since numbers are promised to the disk before they are used. It is not accepted, stands in no balance and on
no receipt, and is sent once, if at all. What waits for the disk meanwhile is accepted, and sent again under its number, if
the disk comes back in time.
"""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any, NamedTuple

from gateway.core.readings import Readings
from gateway.core.record import Kind, Lane, Record
from gateway.outbox.deliver.readers import Readers
from gateway.outbox.deliver.unkept_queue import UNKEPT_AT_MOST
from gateway.outbox.format import Stamp, encoded
from gateway.outbox.write import Disk, LaneLog

PATIENCE = 3.0
"""Seconds for which the disk may take nothing until this begins: a full one has mostly made room by then."""


class DiskChange(NamedTuple):
    """What is to be told, since it begins or ends."""

    state: str
    message: str
    severity: str


class Unkept:
    """Makes the records and hands them to the readers, while a lane is `stuck`."""

    def __init__(self, log_id: str, start: str, lanes: Mapping[Lane, LaneLog], disk: Disk, readers: Readers) -> None:
        """`start`: something that no other start of this gateway has."""
        self.why = ""
        """Why the disk takes nothing; empty while it takes what it is given."""
        self.stuck: set[Lane] = set()
        """Lanes of which it takes nothing."""
        self._log_id = log_id
        self._start = start
        self._lanes = lanes
        self._disk = disk
        self._readers = readers
        self._first_queued = dict.fromkeys(Lane, 0)
        self._count = 0

    def readings(self, readings: Readings, stamp: Stamp) -> None:
        """Hand out a block."""
        self._hand_out([self._record(Lane.DATA, Kind.READINGS, stamp, len(readings), readings, None)])

    def event(self, body: Mapping[str, Any], stamp: Stamp) -> None:
        """Hand out an event."""
        self._hand_out([self._record(Lane.ALARM, Kind.EVENT, stamp, 1, None, encoded(Kind.EVENT, body)[1])])

    def look(self) -> DiskChange | None:
        """Begin, or end, to send from memory what the disk does not take. On a full disk that may be readings alone: events
        have room of their own."""
        why = self._disk.takes_nothing(PATIENCE)
        first = {lane: log.first_queued for lane, log in self._lanes.items()}
        still = {lane for lane in Lane if first[lane] and first[lane] == self._first_queued[lane]}
        stuck = (set(Lane) if self._disk.gone else still) if why else set()
        for lane in stuck - self.stuck:
            waiting = self._lanes[lane].waiting(UNKEPT_AT_MOST[lane])
            self._hand_out([replace(record, seq=0, unkept=self._next()) for record in waiting])
        before, self.why = self.why, why if stuck else ""
        self.stuck, self._first_queued = stuck, first
        if bool(before) == bool(stuck):
            return None
        if not stuck:
            return DiskChange("kept", "The disk takes the outbox again: what is read is kept.", "info")
        what = "Alarms and live values are" if Lane.ALARM in stuck else "Live values are"
        words = f"The disk does not take the outbox: {why}. {what} sent from memory, and not kept."
        return DiskChange("not-kept", words, "alarm")

    def _hand_out(self, records: Sequence[Record]) -> None:
        for reader in self._readers.values():
            for record in records:
                reader.unkept_too(record)
        self._readers.wake()

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
