"""One sink's way through the log."""

import asyncio
from collections.abc import Awaitable, Callable, Iterable, Mapping
from dataclasses import replace
from typing import Literal

import numpy as np
import structlog

from gateway.core.clock import Clock
from gateway.core.quality import HISTORICAL
from gateway.core.record import Lane, Record
from gateway.core.text import cleaned
from gateway.outbox.deliver.balance import SinkBalance
from gateway.outbox.deliver.dead_letters import DeadLetters
from gateway.outbox.deliver.lane_position import LanePosition
from gateway.outbox.deliver.rate import Rate, Throttle
from gateway.outbox.deliver.redelivery import Hold, Redelivery
from gateway.outbox.deliver.replay import Replay
from gateway.outbox.deliver.revived import Revived
from gateway.outbox.deliver.unkept import Waiting
from gateway.outbox.format import Gap, Letter, Span, Stored
from gateway.outbox.write import LaneLog
from gateway.status import ReaderStatus

Order = Literal["live-first", "strict"]
Fetch = Callable[[Span, int], Awaitable[list[Stored | Gap]]]

LATE_NS = 10_000_000_000
"""A reading sent later than this after its acceptance is marked historical."""

REFUSED = "refused: "
"""What the reason of a drop begins with when the far side said it."""

_AHEAD = 64
"""Records that are read from disk at a time, at least."""

_REST = 1.0
"""Seconds until a record that could not be read is tried again."""


class Reader(SinkBalance):
    """Hands out records to one sink: alarms first, then live data, then history at a bounded rate, or strictly in
    sequence. All calls from the event loop; the end of a link is told by `rewind`."""

    def __init__(
        self,
        sink: str,
        order: Order,
        tracks: Mapping[Lane, LanePosition],
        fetch: Fetch,
        *,
        clock: Clock,
        boot: int,
        dead: DeadLetters,
        corrected: Callable[[Record], Record] = lambda record: record,
    ) -> None:
        super().__init__(sink, tracks, clock)
        self.order = order
        self.backfill = Rate()
        """Bounds history, and nothing else."""
        self.history_first = False
        """Whether `take` begins with history, however much live data there is."""
        self.replay: Replay | None = None
        """The last one; it may have ended."""
        self.unkept = Waiting()
        """What goes out from memory while the disk takes nothing."""
        self._fetch = fetch
        self._boot = boot
        self._corrected = corrected
        self._ready = asyncio.Event()
        self._ready.set()
        self._held_back = False
        self.resting = Redelivery(sink, self.wake)
        """What the far side has refused for now."""
        self._hold = Hold(sink, tracks[Lane.DATA], self.wake)
        """The same of readings in strict order."""
        self._revived = Revived()
        self._dead = dead
        self._pace = Throttle(self.backfill, self.wake)
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
        holds = self.order == "strict" and bool(self._hold)
        records = self.unkept.take(limit, only_alarms=holds) if self.unkept else []
        records += await self._in_sequence(Lane.ALARM, limit - len(records))
        records += self._revived.take(limit - len(records))
        room = limit - len(records)
        if self.order == "strict":
            records += await self._in_sequence(Lane.DATA, room)
            self._held_back = len(records) >= limit
        else:
            if self.history_first:
                records += await self._history(room, True)
            records += self._live(limit - len(records))
            records += await self._history(limit - len(records), not records)
        if self.replay is not None and not holds:
            room = limit - len(records)
            records += self.replay.take(self._under_way + room, room)
        if len(records) >= limit:
            self._ready.set()
        return records if age == self._age else []

    async def _history(self, room: int, may_wait: bool) -> list[Record]:
        """What is older than live data. The disk is only read when nothing else is to go out, so that nothing waits for
        it."""
        share = self._share(room)
        records = await self._in_sequence(Lane.DATA, share, may_wait)
        self._held_back = room <= 0 or len(records) >= share
        return records

    def _share(self, room: int) -> int:
        """How much history may go out: it never takes more than half of the window, so that live data always has the
        other half. The window is what is under way and what the caller has room for."""
        history = sum(entry.history for entry in self.tracks[Lane.DATA].handed.values())
        return max(0, min(room, max(1, (self._under_way + room) // 2) - history))

    @property
    def _under_way(self) -> int:
        return sum(len(track.handed) for track in self.tracks.values())

    def _live(self, room: int) -> list[Record]:
        track = self.tracks[Lane.DATA]
        log = track.log
        records: list[Record] = []
        if track.live < log.written_seq and self._late(log.tail.get(track.live)):
            track.live = self._first_young(log)
        while len(records) < room and track.live < log.written_seq:
            stored = log.tail.get(track.live)
            if stored is None:
                break
            free = track.live not in track.handed and track.live not in track.progress.seqs
            if free and not (self.resting and self.resting.keeps(track, stored.record)):
                records.append(self._marked(track, stored, young=True))
            track.live += 1
        return records

    def _first_young(self, log: LaneLog) -> int:
        """The least number from which on all are live data."""
        first = log.written_seq
        for seq in reversed(log.tail):
            if self._late(log.tail[seq]):
                break
            first = seq
        return first

    def _late(self, stored: Stored | None) -> bool:
        if stored is None or stored.record.boot != self._boot:
            return True
        return self._clock.boot_ns() - stored.record.boot_ns > LATE_NS

    async def _in_sequence(self, lane: Lane, room: int, may_wait: bool = True) -> list[Record]:
        track = self.tracks[lane]
        records: list[Record] = []
        age = self._age
        live_first = lane is Lane.DATA and self.order == "live-first"
        passed = 0
        while len(records) < room:
            seq = track.next(self._end(track, live_first))
            if seq is None or (live_first and not self._pace.allows()):
                break
            stored = track.log.tail.get(seq) or track.ahead.pop(seq, None)
            if stored is not None and self.resting and self.resting.keeps(track, stored.record):
                track.pass_over(seq)
                passed += 1
                if passed >= _AHEAD:
                    self._ready.set()  # and go on later, since there may be thousands, and live data goes first
                    break
            elif stored is not None:
                records.append(self._marked(track, stored, live_first))
                if live_first:
                    self._pace.passed(stored.record.rows)
            elif not may_wait:
                self._ready.set()
                break
            elif not await self._read_on(track, seq, room - len(records)) or age != self._age:
                break
        return records if age == self._age else []

    def _end(self, track: LanePosition, live_first: bool) -> int:
        """Numbers below it may go out, and what is to go once more."""
        if live_first:
            return min(track.live, track.log.written_seq)
        return 0 if track.log.lane is Lane.DATA and self._hold else track.log.written_seq

    async def _read_on(self, track: LanePosition, seq: int, count: int) -> bool:
        """Read from disk; False when it does not work now."""
        place = track.log.locate(seq)
        age = self._age
        count = 1 if track.is_sent_again(seq) else max(count, _AHEAD)
        try:
            items = [place] if isinstance(place, Gap) else await self._fetch(place, count)
        except OSError as error:
            self._log.warning("the outbox cannot be read; trying again", error=str(error))
            asyncio.get_running_loop().call_later(_REST, self.wake)
            return False
        if age == self._age:
            for item in items:
                if isinstance(item, Gap) and item.never_written:
                    track.progress.exempt(item.seqs, item.rows)
                elif isinstance(item, Gap):
                    self.lose(track.log.lane, item.seqs, item.rows, "damaged on disk", item.wall)
                elif track.wants(item.record.seq):
                    track.ahead[item.record.seq] = item
        return bool(items)

    def _marked(self, track: LanePosition, stored: Stored, history: bool = False, *, young: bool = False) -> Record:
        """Handed out, with corrected times, and flagged when it goes out late. `young`: an older one was young just now."""
        record = self._corrected(track.hand_out(stored, history))
        if record.readings is None:
            return record
        if not track.handed[record.seq].late and (young or not self._late(stored)):
            return record
        quality = record.readings.quality | np.uint32(HISTORICAL)
        return replace(record, readings=replace(record.readings, quality=quality))

    def acknowledged(self, records: Iterable[Record]) -> None:
        """The far side has these. One that is not under way (a late answer after a rewind) is passed over."""
        for record in records:
            track = self.tracks[record.lane]
            if letter := self._revived.answered(record):
                track.progress.regain(record.seq, record.rows, REFUSED + letter.reason)
                self._dead.drop([letter.name])
            elif handed := track.handed.pop(record.seq, None):
                track.progress.acknowledge(record.seq, handed.total, handed.rows)
                if self.resting:
                    self.resting.settled(track, record)
                if record.lane is Lane.DATA:
                    self._hold.settled(record)
            elif self.replay is not None:
                self.replay.acknowledged(record)
        self.changed = True
        if self._held_back:
            self._ready.set()

    def refused(self, record: Record, reason: str, final: bool) -> None:
        """The far side did not take it: final, it is counted as lost with the reason, and kept as a dead letter; else it goes
        out again after a pause. A dead letter just stays one."""
        reason = cleaned(reason)
        track = self.tracks[record.lane]
        handed = track.handed.get(record.seq)
        if self._revived.answered(record):
            return
        if handed is None:
            if self.replay is not None:
                self.replay.refused(record, final)
            return
        if final:
            del track.handed[record.seq]
            self._dead.add(self.sink, record, reason)
            self.resting.settled(track, record, taken=False)
            if record.lane is Lane.DATA:
                self._hold.settled(record)
            rows = (handed.total, handed.total + handed.rows)
            self.lose(
                record.lane,
                (record.seq, record.seq + 1),
                rows,
                REFUSED + reason,
                (record.wall_ns, record.wall_ns),
                record,
            )
            return
        del track.handed[record.seq]
        if self.order == "strict" and record.lane is Lane.DATA:
            self._hold.add(record, reason)
        else:
            self.resting.add(track, record, reason)
        if self._held_back:
            self._ready.set()

    @property
    def waiting_after_refusal(self) -> int:
        """Records that were refused for now and wait."""
        return self.resting.count + self._hold.count

    def revive(self, letter: Letter) -> None:
        """Send a dead letter of this sink once more."""
        self._revived.add(letter)
        self.wake()

    def rewind(self) -> None:
        """The link is lost: what was handed out and not acknowledged is pending again."""
        self._age += 1
        self.resting.forget()
        self._hold.forget()
        self._revived.rewind()
        if self.replay is not None:
            self.replay.rewind()
        for track in self.tracks.values():
            track.rewind()
        data = self.tracks[Lane.DATA]
        data.live = min(self._first_young(data.log), data.live)
        self._ready.set()

    def needed_from(self, lane: Lane) -> int:
        """The least number of the lane whose file must stay for this sink."""
        replayed = self.replay.needs(lane) if self.replay is not None else None
        below = self.settled_below(lane)
        return below if replayed is None else min(below, replayed)

    def status(self) -> ReaderStatus:
        """The balance per lane in readings, and how many records are under way."""
        lanes = {lane.word: track.status() for lane, track in self.tracks.items()}
        return ReaderStatus(sink=self.sink, order=self.order, backfill_rate=self.backfill.per_second, lanes=lanes)
