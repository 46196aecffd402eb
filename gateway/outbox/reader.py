"""One sink's way through the log."""

import asyncio
from collections.abc import Awaitable, Callable, Iterable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Literal

import numpy as np
import structlog

from gateway.core.clock import Clock
from gateway.core.quality import HISTORICAL
from gateway.core.record import Kind, Lane, Record
from gateway.outbox.intervals import IntervalSet
from gateway.outbox.lane import LaneLog
from gateway.outbox.progress import Progress
from gateway.outbox.reading import Hole, Span, Stored
from gateway.outbox.segment import Segment

Order = Literal["live-first", "strict"]
Fetch = Callable[[Span, int], Awaitable[list[Stored | Hole]]]

LATE_NS = 10_000_000_000
"""A reading sent later than this after its acceptance is marked historical."""

_AHEAD = 64
"""Records that are read from disk at a time, at least."""

_REST = 1.0
"""Seconds until a record that was refused for now, or could not be read, is tried again."""


@dataclass(slots=True)
class Loss:
    """What one sink will not get, gathered until it is written down."""

    lane: Lane
    reason: str
    seqs: IntervalSet = field(default_factory=IntervalSet)
    rows: int = 0
    wall_from: int = 0
    wall_to: int = 0


@dataclass(slots=True)
class _Handed:
    total: int
    rows: int
    late: bool
    resting: bool = False


class Track:
    """Where a reader stands in one lane."""

    def __init__(self, log: LaneLog, progress: Progress) -> None:
        self.log = log
        self.progress = progress
        self.handed: dict[int, _Handed] = {}
        self.ahead: dict[int, Stored] = {}
        self.live = log.written_seq
        """From here on records go out as they come; what is open before it is history."""
        self.newest = progress.seqs.end
        """One above the greatest number that went out."""
        self._position = 0
        """All below is settled or handed out."""

    def next(self, end: int) -> int | None:
        """The least number below `end` that is open and not handed out."""
        seq = self.progress.seqs.gap(self._position)
        while seq in self.handed:
            seq = self.progress.seqs.gap(seq + 1)
        self._position = seq
        return seq if seq < end else None

    def hand_out(self, stored: Stored) -> Record:
        """Mark it as handed out."""
        seq = stored.record.seq
        self.handed[seq] = _Handed(stored.total, stored.record.rows, seq < self.newest)
        self.newest = max(self.newest, seq + 1)
        return stored.record

    def open_again(self, seq: int) -> None:
        """It is to be handed out once more."""
        if self.handed.pop(seq, None) is not None:
            self._position = min(self._position, seq)

    def rewind(self) -> None:
        """All that was handed out and not acknowledged is open again."""
        self.handed.clear()
        self.ahead.clear()
        self._position = 0
        self.newest = self.progress.seqs.end


class Reader:
    """Hands out records to one sink: alarms first, then live data, then history, or strictly in sequence. All calls from
    the event loop; the end of a link is told by `rewind`."""

    def __init__(
        self,
        sink: str,
        order: Order,
        tracks: Mapping[Lane, Track],
        fetch: Fetch,
        *,
        clock: Clock,
        boot: int,
    ) -> None:
        self.sink = sink
        self.order = order
        self.tracks = tracks
        self.losses: dict[tuple[Lane, str], Loss] = {}
        self.changed = True
        """Whether the cursor on disk is behind."""
        self._fetch = fetch
        self._clock = clock
        self._boot = boot
        self._ready = asyncio.Event()
        self._ready.set()
        self._held_back = False
        self._age = 0
        """How often it was rewound; what was asked for before is forgotten after."""
        self._log = structlog.get_logger().bind(sink=sink)

    async def wait(self) -> None:
        """Until `take` may have something to hand out."""
        await self._ready.wait()

    def wake(self) -> None:
        """Something has changed."""
        self._ready.set()

    async def take(self, limit: int) -> list[Record]:
        """Up to `limit` (at least 1) records that were not handed out yet; none when there is nothing now. From memory
        while live, else read in a thread. For one caller at a time."""
        self._ready.clear()
        age = self._age
        records = await self._in_sequence(Lane.ALARM, limit)
        if self.order == "strict":
            records += await self._in_sequence(Lane.DATA, limit - len(records))
            self._held_back = len(records) >= limit
        else:
            records += self._live(limit - len(records))
            room = self._share(limit - len(records))
            history = await self._in_sequence(Lane.DATA, room)
            records += history
            self._held_back = len(records) >= limit or len(history) >= room
        if len(records) >= limit:
            self._ready.set()
        return records if age == self._age else []

    def _share(self, room: int) -> int:
        """How much history may go out: it never takes more than half of the window, so that live data always has the
        other half. The window is what is under way and what the caller has room for."""
        handed = sum(len(track.handed) for track in self.tracks.values())
        late = sum(entry.late for entry in self.tracks[Lane.DATA].handed.values())
        return max(0, min(room, max(1, (handed + room) // 2) - late))

    def _live(self, room: int) -> list[Record]:
        track = self.tracks[Lane.DATA]
        log = track.log
        records: list[Record] = []
        if track.live < log.written_seq and self._late(log.tail.get(track.live)):
            track.live = log.written_seq
        while len(records) < room and track.live < log.written_seq:
            stored = log.tail.get(track.live)
            if stored is None:
                break
            if track.live not in track.handed and track.live not in track.progress.seqs:
                records.append(self._marked(track, stored))
            track.live += 1
        return records

    def _late(self, stored: Stored | None) -> bool:
        if stored is None or stored.record.boot != self._boot:
            return True
        return self._clock.boot_ns() - stored.record.boot_ns > LATE_NS

    async def _in_sequence(self, lane: Lane, room: int) -> list[Record]:
        track = self.tracks[lane]
        records: list[Record] = []
        age = self._age
        while len(records) < room:
            live_first = lane is Lane.DATA and self.order == "live-first"
            seq = track.next(min(track.live, track.log.written_seq) if live_first else track.log.written_seq)
            if seq is None:
                break
            stored = track.log.tail.get(seq) or track.ahead.pop(seq, None)
            if stored is not None:
                records.append(self._marked(track, stored))
            elif not await self._read_on(track, seq, room - len(records)) or age != self._age:
                break
        return records if age == self._age else []

    async def _read_on(self, track: Track, seq: int, count: int) -> bool:
        """Read from disk; False when it does not work now."""
        place = track.log.locate(seq)
        age = self._age
        try:
            items = [place] if isinstance(place, Hole) else await self._fetch(place, max(count, _AHEAD))
        except OSError as error:
            self._log.warning("the outbox cannot be read; trying again", error=str(error))
            asyncio.get_running_loop().call_later(_REST, self.wake)
            return False
        if age == self._age:
            for item in items:
                if isinstance(item, Hole):
                    self.lose(track.log.lane, item.seqs, item.rows, "damaged on disk")
                else:
                    track.ahead[item.record.seq] = item
        return bool(items)

    def _marked(self, track: Track, stored: Stored) -> Record:
        record = track.hand_out(stored)
        if record.readings is None:
            return record
        if not (track.handed[record.seq].late or self._late(stored)):
            return record
        quality = record.readings.quality | np.uint32(HISTORICAL)
        return replace(record, readings=replace(record.readings, quality=quality))

    def acknowledged(self, records: Iterable[Record]) -> None:
        """The far side has these. One that is not under way (a late answer after a rewind) is passed over."""
        for record in records:
            track = self.tracks[record.lane]
            handed = track.handed.pop(record.seq, None)
            if handed is not None:
                track.progress.acknowledge(record.seq, handed.total, handed.rows)
        self.changed = True
        if self._held_back:
            self._ready.set()

    def refused(self, record: Record, reason: str, final: bool) -> None:
        """The far side did not take it: final, it is counted as lost with the reason; else it goes out again in a second."""
        track = self.tracks[record.lane]
        handed = track.handed.get(record.seq)
        if handed is None:
            return
        if final:
            del track.handed[record.seq]
            rows = (handed.total, handed.total + handed.rows)
            self.lose(record.lane, (record.seq, record.seq + 1), rows, f"refused: {reason}", record)
        elif not handed.resting:
            handed.resting = True
            asyncio.get_running_loop().call_later(_REST, self._try_again, track, record.seq, handed)
        if self._held_back:
            self._ready.set()

    def _try_again(self, track: Track, seq: int, handed: _Handed) -> None:
        if track.handed.get(seq) is handed:
            track.open_again(seq)
            self._ready.set()

    def lose(
        self, lane: Lane, seqs: tuple[int, int], rows: tuple[int, int], reason: str, record: Record | None = None
    ) -> None:
        """These numbers and readings (half-open) will not be delivered to this sink."""
        count = self.tracks[lane].progress.drop(seqs, rows, reason)
        self.changed = True
        if not count or (record is not None and record.kind in (Kind.LOSS, Kind.SKIP)):
            return
        loss = self.losses.setdefault((lane, reason), Loss(lane, reason))
        loss.seqs.add(*seqs)
        loss.rows += count
        if record is not None:
            loss.wall_from = min(loss.wall_from or record.wall_ns, record.wall_ns)
            loss.wall_to = max(loss.wall_to, record.wall_ns)

    def give_up(self, segment: Segment, reason: str) -> int:
        """This file goes; says how many readings the sink loses by it."""
        self.changed = True
        progress = self.tracks[segment.lane].progress
        return progress.drop((segment.first, segment.last + 1), (segment.start, segment.end), reason)

    def take_losses(self) -> list[Loss]:
        """What was lost since the last call."""
        losses, self.losses = list(self.losses.values()), {}
        return losses

    def rewind(self) -> None:
        """The link is lost: what was handed out and not acknowledged is pending again."""
        self._age += 1
        for track in self.tracks.values():
            track.rewind()
        data = self.tracks[Lane.DATA]
        young = (
            seq for seq, stored in data.log.tail.items() if seq not in data.progress.seqs and not self._late(stored)
        )
        data.live = min(next(young, data.live), data.live)
        self._ready.set()

    @property
    def pending(self) -> dict[str, int]:
        """Readings, per lane, that are accepted and neither acknowledged nor dropped."""
        return {lane.word: track.progress.pending(track.log.total) for lane, track in self.tracks.items()}

    def settled_below(self, lane: Lane) -> int:
        """The least number of the lane that this sink is not done with."""
        return self.tracks[lane].progress.seqs.gap(0)

    def status(self) -> dict[str, Any]:
        """The balance per lane in readings, and how many records are under way."""
        lanes = {}
        for lane, track in self.tracks.items():
            balance = track.progress.balance(track.log.total)
            lanes[lane.word] = {**balance, "under_way": len(track.handed), "oldest": self._oldest(lane)}
        return {"sink": self.sink, "order": self.order, "lanes": lanes}

    def _oldest(self, lane: Lane) -> int | None:
        """About when the oldest pending record was accepted, ns since 1970; None if nothing is pending."""
        track = self.tracks[lane]
        seq = self.settled_below(lane)
        if seq >= track.log.written_seq:
            return None
        stored = track.log.tail.get(seq)
        if stored is not None:
            return stored.record.wall_ns
        return next((segment.wall_from for segment in track.log.segments if segment.last >= seq), None)
