"""What the writer's thread tells, heard in the event loop: records are accepted, the disk is in trouble, files are gone."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Protocol

import structlog

from gateway.core.clock import Clock
from gateway.core.event import Event, EventLog
from gateway.core.record import Lane, Record
from gateway.outbox.deliver import Readers
from gateway.outbox.housekeeping import Housekeeping
from gateway.outbox.receipts import Receipts
from gateway.outbox.write import NO_ROOM, Disk, Entry, Group, Growth, LaneLog, Renewal

log = structlog.get_logger()


class DiskHost(EventLog, Protocol):
    """The log, as far as it goes on with what is told."""

    def look_at_disk(self) -> None:
        """See whether the disk takes what it is given."""
        ...


class DiskNews:
    """Implements `gateway.outbox.write.Events`."""

    def __init__(
        self,
        lanes: Mapping[Lane, LaneLog],
        readers: Readers,
        receipts: Receipts,
        disk: Disk,
        housekeeping: Housekeeping,
        host: DiskHost,
        clock: Clock,
    ) -> None:
        self._lanes = lanes
        self._readers = readers
        self._receipts = receipts
        self._disk = disk
        self._housekeeping = housekeeping
        self._host = host
        self._clock = clock

    def held(self, lane: Lane, entries: Sequence[Entry]) -> None:
        """These records are held in memory: accepted under the weaker promise of `mode = "spill"`."""
        self._accepted(lane, self._lanes[lane].accepted(entries), entries, finished=False)

    def written(self, lane: Lane, growth: Growth) -> None:
        """These records are on disk: accepted, and readers may have them."""
        self._accepted(lane, self._lanes[lane].written(growth), growth.entries, finished=bool(growth.finished))

    def renewed(self, lane: Lane, renewal: Renewal) -> None:
        """The disk did not say whether it has these records; now they are on it, in another file."""
        log.error("the disk failed to keep what it was given; it was written anew", file=str(renewal.path))
        self._accepted(lane, self._lanes[lane].renewed(renewal), renewal.growth.entries, finished=False)

    def _accepted(self, lane: Lane, records: Sequence[Record], entries: Sequence[Entry], *, finished: bool) -> None:
        if lane is Lane.DATA:
            self._receipts.written(records, entries, finished=finished)
        self._readers.accepted(lane, records, [entry.total for entry in entries])

    def group_done(self, group: Group, all_written: bool) -> None:
        """The thread is finished with it: on disk, or given up at a stop."""
        self._disk.done(sum(group.sizes.values()), all_written=all_written)

    def disk_trouble(self, error: OSError, lane: Lane) -> None:
        """A write failed and will be tried again; a full disk makes the oldest data go."""
        was_gone = self._disk.gone
        self._disk.refuses(self._housekeeping.explained(error))
        if self._disk.gone and not was_gone:
            self._host.look_at_disk()
        if error.errno in NO_ROOM:
            self._housekeeping.disk_full(lane)

    def measured(self, free: int, nodes: int | None) -> None:
        """So many bytes and inodes of the disk are free."""
        self._disk.stands()
        self._housekeeping.measured(free, nodes)

    def gone(self, paths: Sequence[Path]) -> None:
        """Somebody else has removed these files of the log."""
        self._housekeeping.gone(paths)
        names = ", ".join(path.name for path in paths)
        message = (
            f"Somebody has removed files of the outbox while the gateway ran: {names}. What was lost by it is recorded."
        )
        self._host.append_event(own_event(self._clock, "removed", message, "warning"))

    def ended(self, error: BaseException | None) -> None:
        """The thread has ended."""
        self._disk.ends(error)


def own_event(clock: Clock, state: str, message: str, severity: str) -> Event:
    """What the log tells of itself, in its own log too."""
    now = clock.wall_ns()
    (log.info if severity == "info" else log.error)(message)
    return Event(f"outbox-{state}-{now}", "outbox", state, "", now, message, severity)
