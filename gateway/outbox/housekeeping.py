"""Keeping house: what is delivered goes, what is too much is given up, losses and cursors are written down.

Decided in the event loop, done by the writer's thread.
"""

from collections.abc import Collection, Iterable, Mapping, Sequence
from pathlib import Path

import structlog

from gateway.config.model import OutboxSection
from gateway.core.amounts import format_size
from gateway.core.clock import Clock
from gateway.core.record import Kind, Lane
from gateway.outbox.cursor_files import CursorFiles
from gateway.outbox.deliver import Reader
from gateway.outbox.format import IntervalSet, Segment
from gateway.outbox.kept import SUMMARY_SHARE
from gateway.outbox.losses import loss_body, segment_body
from gateway.outbox.retention import Policy, data_share, done_with, surplus, yielding
from gateway.outbox.start import State
from gateway.outbox.wear import Wear
from gateway.outbox.write import NO_ROOM, PROMISES, Admission, Ballast, Intake, LaneLog, Writer
from gateway.status import BallastStatus, RoomStatus

log = structlog.get_logger()

_FEW_NODES = 8
_SOME = 1024 * 1024
_LOOK_NS = 30_000_000_000
_REMOVED = "its file was removed by somebody else"
_BELOW_FLOOR = "the disk's free space is below min_free"


class Housekeeping:
    """Of one log; `intake` takes what it has to say."""

    def __init__(
        self,
        directory: Path,
        found: State,
        section: OutboxSection,
        clock: Clock,
        *,
        max_size: int,
        free: int,
        ballast: Ballast,
        admission: Admission,
        lanes: Mapping[Lane, LaneLog],
        readers: Mapping[str, Reader],
        writer: Writer,
        intake: Intake,
        cursors: CursorFiles,
    ) -> None:
        self.max_size = max_size
        self.free = free
        """Bytes of the disk that were free when it was last asked."""
        self._directory = directory
        self._born_ns = found.born_ns
        self._section = section
        self._policies: dict[Lane, Policy] = {
            Lane.DATA: section.when_full,
            Lane.ALARM: section.events_when_full,
        }
        self._ballast = ballast
        self._spills = section.mode == "spill"
        self._wear = Wear()
        self._accepted_before = sum(lane.total for lane in lanes.values())
        self._admission = admission
        self._clock = clock
        self._lanes = lanes
        self._readers = readers
        self._writer = writer
        self._intake = intake
        self._cursors = cursors
        self._earlier = {segment.path for lane in lanes.values() for segment in lane.segments}
        """Files of earlier runs, maybe of another boot."""
        self._look_due = 0
        self.nodes: int | None = None
        """Inodes of the disk that were free when it was last asked; None where that has no meaning."""
        self.removed: list[str] = []
        """Files of the log that somebody else has removed since the start."""
        self._told: set[tuple[str, str]] = set()
        """Sinks and reasons of losses that were logged; what follows is counted, and recorded."""

    @property
    def keep_s(self) -> float:
        """For how many seconds history is wished for."""
        return self._section.keep

    @property
    def size(self) -> int:
        """Bytes on disk."""
        return sum(lane.size for lane in self._lanes.values()) + self._ballast.taken

    def tick(self) -> None:
        """Once a second."""
        self.write_losses()
        for lane in self._lanes.values():
            self._note_age(lane.segments)
            below = self._settled_below(lane.lane)
            lane.settled(below)
            needed = min((reader.needed_from(lane.lane) for reader in self._readers.values()), default=0)
            keep = int(self._section.keep * 1e9)
            done = done_with(lane.segments, needed, self._clock.boot_ns() - keep if keep else None)
            if done:
                self._remove(done)
        self.tell_settled()
        self._cursors.save_due()
        values = sum(lane.total for lane in self._lanes.values()) - self._accepted_before
        self._wear.look(self._writer.written_bytes, self._writer.syncs, values)
        self._writer.measure(self._files_to_look_for())

    def status(self) -> RoomStatus:
        """Sizes in bytes, and what is turned away, in readings and events."""
        mode = self._section.mode
        return RoomStatus(
            size=self.size,
            max_size=self.max_size,
            free=self.free,
            inodes=self.nodes,
            removed=self.removed,
            min_free=self._section.min_free,
            keep_s=self.keep_s,
            mode=mode,
            promise=PROMISES[mode],
            not_accepted=self._admission.turned_away,
            turning_away=self._admission.status(),
            ballast=BallastStatus(size=self._ballast.taken, given_back=self._ballast.given_back),
            written_bytes=self._writer.written_bytes,
            syncs=self._writer.syncs,
            wear=self._wear.status(),
        )

    def tell_settled(self) -> None:
        """What every sink is done with need not be written any more. Cursors first: a file says so before memory forgets."""
        if self._spills:
            self._cursors.save()
            self._writer.settled(self._settled_below(Lane.DATA))

    def _settled_below(self, lane: Lane) -> int:
        return min((reader.settled_below(lane) for reader in self._readers.values()), default=0)

    def _note_age(self, segments: Sequence[Segment]) -> None:
        now = self._clock.boot_ns()
        for segment in segments:
            if segment.path not in self._earlier:
                if segment is segments[-1] or segment.boot_to is None:
                    segment.boot_to = now
            elif segment.boot_to is None and self._clock.synchronised() is not False:
                # Known once, by a clock that may be trusted; what that is set to later makes no file older.
                segment.boot_to = now - max(0, self._clock.wall_ns() - segment.wall_to)

    def write_losses(self, *, all_of_them: bool = False) -> None:
        """What sinks have lost since the last time becomes records, and what was turned away, where that is due."""
        for body in self._admission.losses(all_of_them=all_of_them):
            self._intake.body(Kind.LOSS, body)
        for reader in self._readers.values():
            for loss in reader.take_losses():
                told = (reader.sink, loss.reason)
                if told not in self._told:
                    self._told.add(told)
                    log.error(
                        "readings will not be delivered", sink=reader.sink, readings=loss.rows, reason=loss.reason
                    )
                self._intake.body(Kind.LOSS, loss_body(loss, reader.sink, self._born_ns))

    def explained(self, error: OSError) -> OSError:
        """What the system says of a disk without inodes misleads: "No space left", with bytes free."""
        if error.errno not in NO_ROOM or self.nodes is None or self.nodes >= _FEW_NODES or self.free < _SOME:
            return error
        left = f"no inodes are left for new files, though {format_size(self.free)} are free: see  df -i"
        return OSError(error.errno, left, str(error.filename or self._directory))

    def disk_full(self, lane: Lane) -> None:
        """A write of this lane found no room."""
        if not self._shorten_history(1) and not self._drop_summaries(1):
            self._give_up(surplus(self._segments(yielding(self._policies, lane)), 1), "disk full")

    def _files_to_look_for(self) -> list[Path]:
        """All but those that are being written, twice a minute; what nobody has removed costs one look each."""
        now = self._clock.boot_ns()
        if now < self._look_due:
            return []
        self._look_due = now + _LOOK_NS
        return [segment.path for lane in self._lanes.values() for segment in lane.segments[:-1]]

    def gone(self, paths: Collection[Path]) -> None:
        """Somebody has removed these files of the log. What memory has of them still goes out; the rest is a loss."""
        for lane in self._lanes.values():
            for segment in [each for each in lane.segments if each.path in paths]:
                log.error("a file of the outbox was removed by somebody else", file=str(segment.path))
                self.removed.append(str(segment.path))
                self._lose_but_memory(lane, segment)
                lane.segments.remove(segment)
                self._writer.remove(segment.files)

    def _lose_but_memory(self, lane: LaneLog, segment: Segment) -> None:
        held = next(((seq, stored.total) for seq, stored in lane.tail.items() if seq >= segment.first), None)
        end, total = min(held or (segment.last + 1, segment.end), (segment.last + 1, segment.end))
        for reader in self._readers.values():
            times = (segment.wall_from, segment.wall_to)
            reader.lose(lane.lane, (segment.first, end), (segment.start, total), _REMOVED, times)

    def measured(self, free: int, nodes: int | None = None) -> None:
        """So many bytes of the disk are free, and so many inodes; None where a file system has no number of these."""
        self.free, self.nodes = free, nodes
        if nodes is not None and nodes < _FEW_NODES:
            self._shorten_history(1)
        floor = self._section.min_free - free
        floor -= self._shorten_history(floor)
        floor -= self._drop_summaries(floor)
        if floor > 0:
            self._give_up(surplus(self._segments(yielding(self._policies)), floor), _BELOW_FLOOR)
        self._shorten_history(self.size - self.max_size)
        self._drop_summaries(self._crowding())
        self._give_up(surplus(self._segments(self._droppable()), self._excess()), self._reached)
        self._set_room(floor)

    def _shorten_history(self, excess: int) -> int:
        """Have files go that stay for history only, before any sink loses anything; says how many bytes come free."""
        segments = surplus(self._segments(Lane), excess, self._is_history)
        self._remove(segments)
        return sum(segment.taken for segment in segments)

    def may_be_summarised(self, segment: Segment) -> bool:
        """Whether there is room for a summary of it: it must never cost a reading that a sink has not had."""
        room = min(self.max_size - self.size, self.free - self._section.min_free)
        is_needed = not self._is_history(segment) and self.size > self.max_size // 2
        return room > segment.size // SUMMARY_SHARE and not is_needed

    def _drop_summaries(self, excess: int) -> int:
        """Before anything is given up, summaries go, which can be made again; says how many bytes come free."""
        freed = 0
        for segment in self._lanes[Lane.DATA].segments:
            if excess <= freed:
                break
            if segment.summary:
                self._writer.remove([segment.summary_path])
                freed += segment.summary
                segment.summary = 0
        return freed

    def _summaries(self) -> int:
        """Bytes of summaries, of what is no history, that make room for what is new."""
        segments = self._lanes[Lane.DATA].segments
        return sum(segment.summary for segment in segments if segment.summary and not self._is_history(segment))

    def _crowding(self) -> int:
        """Bytes that are more than the log, or readings in it, may take."""
        excess = self.size - self.max_size
        if self._policies[Lane.DATA] == "drop_newest":
            excess = max(excess, self._lanes[Lane.DATA].size - data_share(self.max_size))
        return excess

    def _is_history(self, segment: Segment) -> bool:
        """Whether every sink is done with it."""
        readers = self._readers.values()
        return bool(readers) and all(reader.is_settled(segment) for reader in readers)

    def _history(self, lane: Lane) -> int:
        """Bytes of this lane that stay for history only, and make room for what is new."""
        files = self._lanes[lane].segments[:-1]
        return sum(segment.taken for segment in files if self._is_history(segment))

    @property
    def _reached(self) -> str:
        return f"the outbox reached its {format_size(self.max_size)}"

    def _droppable(self) -> list[Lane]:
        return [lane for lane, policy in self._policies.items() if policy == "drop_oldest"]

    def _excess(self) -> int:
        """Bytes beyond the bound; where data keeps its old, alarms answer only for their own share."""
        excess = self.size - self.max_size
        if self._policies[Lane.DATA] == "drop_oldest":
            return excess
        return min(excess, self._lanes[Lane.ALARM].size - self.max_size + data_share(self.max_size))

    def _set_room(self, floor: int) -> None:
        for lane, policy in self._policies.items():
            if policy == "drop_oldest":
                continue
            room = self.max_size - self.size + sum(map(self._history, Lane)) + self._summaries()
            if lane is Lane.DATA:
                kept = self._lanes[lane].size - self._history(lane) - self._summaries()
                room = min(room, data_share(self.max_size) - kept)
            if floor > 0:
                self._admission.set_room(lane, -floor, _BELOW_FLOOR)
            else:
                self._admission.set_room(lane, room - self._admission.queued, self._reached)

    def _segments(self, lanes: Iterable[Lane]) -> dict[Lane, list[Segment]]:
        return {lane: self._lanes[lane].segments for lane in lanes}

    def _give_up(self, segments: list[Segment], reason: str) -> None:
        for segment in segments:
            lost, seqs = self._lost_by(segment, reason)
            if lost:
                log.error("the oldest data is given up", lane=segment.lane.word, reason=reason, readings=lost)
                self._intake.body(Kind.LOSS, segment_body(segment, reason, lost, seqs))
        self._remove(segments)

    def _lost_by(self, segment: Segment, reason: str) -> tuple[dict[str, int], IntervalSet]:
        """How many readings each sink loses by this file, and the numbers that one of them loses."""
        lost, seqs = {}, IntervalSet()
        for reader in self._readers.values():
            rows, ranges = reader.give_up(segment, reason)
            if rows:
                lost[reader.sink] = rows
                for low, high in ranges:
                    seqs.add(low, high)
        return lost, seqs

    def _remove(self, segments: list[Segment]) -> None:
        """Cursors first: a file must not be gone while a cursor still wants it."""
        for segment in segments:
            for reader in self._readers.values():
                reader.removed(segment)
        if segments:
            self._cursors.save()
            for segment in segments:
                self._lanes[segment.lane].segments.remove(segment)
            self._writer.remove([path for segment in segments for path in segment.files])
