"""One sink's way through the log."""

import asyncio
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from typing import Literal, Protocol

import numpy as np
import structlog

from gateway.core.clock import Clock
from gateway.core.quality import HISTORICAL
from gateway.core.record import Lane, Record
from gateway.core.selection import EVERYTHING, Selection
from gateway.core.text import cleaned
from gateway.outbox.deliver.balance import SinkBalance
from gateway.outbox.deliver.dead_letters import DeadLetters
from gateway.outbox.deliver.lane_position import LanePosition
from gateway.outbox.deliver.rate import Rate, Throttle
from gateway.outbox.deliver.redelivery import Hold, Redelivery
from gateway.outbox.deliver.replay import Replay
from gateway.outbox.deliver.revived import Revived
from gateway.outbox.deliver.unkept_queue import UnkeptQueue
from gateway.outbox.format import Gap, Letter, Span, Stored
from gateway.outbox.write import LaneLog
from gateway.status import ReaderStatus

Order = Literal["live-first", "strict"]

Again = Literal["dead letter", "replay"]

LATE_NS = 10_000_000_000
"""A reading sent later than this after its acceptance is marked historical."""

REFUSED = "refused: "
"""What the reason of a drop begins with when the far side said it."""

_AHEAD = 64
"""Records that are read from disk at a time, at least."""

_LOOKED_AT = 500
"""Records that are looked at in one go, of those that were there before a selection."""

_REST = 1.0
"""Seconds until a record that could not be read is tried again."""


class ReaderHost(Protocol):
    """What readers ask of their log."""

    clock: Clock
    boot: int
    """Number of the present boot of the machine."""
    dead: DeadLetters

    async def fetch(self, span: Span, limit: int) -> list[Stored | Gap]:
        """Records from disk, about so many at the most. Raises OSError."""
        ...

    def corrected(self, record: Record) -> Record:
        """The record as it is handed out, with right times."""
        ...


class Reader(SinkBalance):
    """Hands out records to one sink: alarms first, then live data, then history at a bounded rate, or strictly in
    sequence. All calls from the event loop; the end of a link is told by `rewind`."""

    def __init__(
        self,
        sink: str,
        order: Order,
        positions: Mapping[Lane, LanePosition],
        host: ReaderHost,
        selection: Selection = EVERYTHING,
    ) -> None:
        super().__init__(sink, positions, host.clock)
        self.selection = selection
        """What this sink is meant to get."""
        self.order = order
        self.marks_late = True
        """Whether what goes out late is flagged as historical; not for a sink that gathers, to which late means nothing."""
        self.backfill = Rate()
        """Bounds history, and nothing else."""
        self.replay: Replay | None = None
        """The last one; it may have ended."""
        self.unkept = UnkeptQueue()
        """What goes out from memory while the disk takes nothing."""
        self._host = host
        self.ready = asyncio.Event()
        """Set when `take` may have something to hand out."""
        self.ready.set()
        self._held_back = False
        self.redelivery = Redelivery(sink, self.ready)
        """What the far side has refused for now."""
        self._hold = Hold(sink, positions[Lane.DATA], self.ready)
        """The same of readings in strict order."""
        self._revived = Revived()
        self._pace = Throttle(self.backfill, self.ready)
        self._age = 0
        """How often it was rewound; what was asked for before is forgotten after."""
        self._log = structlog.get_logger().bind(sink=sink)

    async def wait(self) -> None:
        """Until `take` may have something to hand out."""
        await self.ready.wait()

    def wake(self) -> None:
        """Something has changed."""
        self.ready.set()

    def accepted(self, lane: Lane, records: Sequence[Record], totals: Iterable[int]) -> None:
        """These records may be handed out from now on; `totals`: the running count before each."""
        if not self.selection:
            self.ready.set()
            return
        note = self.positions[lane].left_out.note
        if [record for record, total in zip(records, totals, strict=False) if note(record, total)]:
            self.ready.set()
        self.changed = True

    def unkept_too(self, record: Record) -> None:
        """Hand out a record that no disk keeps, if it is meant for this sink."""
        left = self.selection.left_out(record) if self.selection else 0
        if left < record.rows:
            self.unkept.add(self.selection.narrowed(record) if left else record)

    async def look_back(self) -> None:
        """Look at what was accepted before the sink wanted what it wants now, as far as it is open. Raises OSError."""
        for position in self.positions.values():
            left_out, seqs = position.left_out, position.cursor.seqs
            self.changed |= left_out.is_behind
            while (seq := seqs.gap(left_out.looked_to)) < left_out.news:
                place = position.log.locate(seq)
                for item in [place] if isinstance(place, Gap) else await self._host.fetch(place, _LOOKED_AT):
                    if isinstance(item, Gap):
                        left_out.looked_to = max(left_out.looked_to, item.seqs[1])
                    elif left_out.looked_to <= item.record.seq < left_out.news:
                        left_out.looked_to = item.record.seq + 1
                        if item.record.seq not in seqs:
                            left_out.note(item.record, item.total)
                left_out.looked_to = max(left_out.looked_to, seq + 1)
                self.wake()
            left_out.looked_to = max(left_out.looked_to, left_out.news)
            left_out.look()

    async def take(self, limit: int, *, history_first: bool = False) -> list[Record]:
        """Up to `limit` (at least 1) records that were not handed out yet; none when there is nothing now. From memory
        while live, else read in a thread. `history_first`: begin with history, however much live data there is. For one
        caller at a time."""
        self.ready.clear()
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
            if history_first:
                records += await self._history(room, True)
            records += self._live(limit - len(records))
            records += await self._history(limit - len(records), not records)
        if self.replay is not None and not holds:
            room = limit - len(records)
            records += self.replay.take(self._under_way + room, room)
        if len(records) >= limit:
            self.ready.set()
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
        history = sum(entry.history for entry in self.positions[Lane.DATA].handed.values())
        return max(0, min(room, max(1, (self._under_way + room) // 2) - history))

    @property
    def _under_way(self) -> int:
        return sum(len(position.handed) for position in self.positions.values())

    def _live(self, room: int) -> list[Record]:
        position = self.positions[Lane.DATA]
        log = position.log
        records: list[Record] = []
        if position.live < log.written_seq and self._late(log.tail.get(position.live)):
            position.live = self._first_young(log)
        while len(records) < room and position.live < log.written_seq:
            stored = log.tail.get(position.live)
            if stored is None:
                break
            free = position.live not in position.handed and position.live not in position.cursor.seqs
            if free and self.selection and self._leaves_out(position, stored):
                free = False
            if free and not (self.redelivery and self.redelivery.keeps(position, stored.record)):
                records.append(self._marked(position, stored, young=True))
            position.live += 1
        return records

    def _passes_over(self, position: LanePosition, stored: Stored) -> bool:
        """Whether it does not go out, at all or now."""
        if self.selection and self._leaves_out(position, stored):
            return True
        if self.redelivery and self.redelivery.keeps(position, stored.record):
            position.pass_over(stored.record.seq)
            return True
        return False

    def _leaves_out(self, position: LanePosition, stored: Stored) -> bool:
        """Whether nothing of it is meant for this sink; then it is done with."""
        if self.selection.left_out(stored.record) < stored.record.rows:
            return False
        position.leave_out(stored)
        self.changed = True
        return True

    def _first_young(self, log: LaneLog) -> int:
        """The least number from which on all are live data."""
        first = log.written_seq
        for seq in reversed(log.tail):
            if self._late(log.tail[seq]):
                break
            first = seq
        return first

    def _late(self, stored: Stored | None) -> bool:
        if stored is None or stored.record.boot != self._host.boot:
            return True
        return self._clock.boot_ns() - stored.record.boot_ns > LATE_NS

    async def _in_sequence(self, lane: Lane, room: int, may_wait: bool = True) -> list[Record]:
        position = self.positions[lane]
        records: list[Record] = []
        age = self._age
        live_first = lane is Lane.DATA and self.order == "live-first"
        passed = 0
        while len(records) < room:
            seq = position.next(self._end(position, live_first))
            if seq is None or (live_first and not self._pace.allows()):
                break
            stored = position.log.tail.get(seq) or position.ahead.pop(seq, None)
            if stored is not None and self._passes_over(position, stored):
                passed += 1
                if passed >= _AHEAD:
                    self.ready.set()  # and go on later, since there may be thousands, and live data goes first
                    break
            elif stored is not None:
                records.append(self._marked(position, stored, live_first))
                if live_first:
                    self._pace.passed(stored.record.rows)
            elif not may_wait:
                self.ready.set()
                break
            elif not await self._read_on(position, seq, room - len(records)) or age != self._age:
                break
        return records if age == self._age else []

    def _end(self, position: LanePosition, live_first: bool) -> int:
        """Numbers below it may go out, and what is to go once more."""
        end = position.log.written_seq
        if position.left_out.is_behind:
            end = position.left_out.looked_to
        if live_first:
            return min(position.live, end)
        return 0 if position.log.lane is Lane.DATA and self._hold else end

    async def _read_on(self, position: LanePosition, seq: int, count: int) -> bool:
        """Read from disk; False when it does not work now."""
        place = position.log.locate(seq)
        age = self._age
        count = 1 if position.is_sent_again(seq) else max(count, _AHEAD)
        try:
            items = [place] if isinstance(place, Gap) else await self._host.fetch(place, count)
        except OSError as error:
            self._log.warning("the outbox cannot be read; trying again", error=str(error))
            asyncio.get_running_loop().call_later(_REST, self.wake)
            return False
        if age == self._age:
            for item in items:
                if isinstance(item, Gap) and item.never_written:
                    position.cursor.exempt(item.seqs, item.rows)
                elif isinstance(item, Gap):
                    self.lose(position.log.lane, item.seqs, item.rows, "damaged on disk", item.wall)
                elif position.wants(item.record.seq):
                    position.ahead[item.record.seq] = item
        return bool(items)

    def _marked(self, position: LanePosition, stored: Stored, history: bool = False, *, young: bool = False) -> Record:
        """Handed out, with corrected times, and flagged when it goes out late. `young`: an older one was young just now."""
        left_out = self.selection.left_out(stored.record) if self.selection else 0
        record = self._host.corrected(position.hand_out(stored, history, left_out))
        if left_out:
            record = self.selection.narrowed(record)
        if record.readings is None:
            return record
        on_time = not position.handed[record.seq].late and (young or not self._late(stored))
        if on_time or not self.marks_late:
            return record
        quality = record.readings.quality | np.uint32(HISTORICAL)
        return replace(record, readings=replace(record.readings, quality=quality))

    def acknowledged(self, records: Iterable[Record]) -> None:
        """The far side has these. One that is not under way (a late answer after a rewind) is passed over."""
        for record in records:
            position = self.positions[record.lane]
            if letter := self._revived.answered(record):
                position.cursor.regain(record.seq, record.rows, REFUSED + letter.reason)
                self._host.dead.drop([letter.name])
            elif handed := position.handed.pop(record.seq, None):
                position.acknowledged(record, handed)
                if self.redelivery:
                    self.redelivery.settled(position, record)
                if record.lane is Lane.DATA:
                    self._hold.settled(record)
            elif self.replay is not None:
                self.replay.acknowledged(record)
        self.changed = True
        if self._held_back or self.selection:  # what is left out may be all that stood behind them
            self.ready.set()

    def refused(self, record: Record, reason: str, final: bool) -> None:
        """The far side did not take it: final, it is counted as lost with the reason, and kept as a dead letter; else it goes
        out again after a pause. A dead letter just stays one."""
        reason = cleaned(reason)
        position = self.positions[record.lane]
        handed = position.handed.get(record.seq)
        if self._revived.answered(record):
            return
        if handed is None:
            if self.replay is not None:
                self.replay.refused(record, final)
            return
        if final:
            del position.handed[record.seq]
            self._host.dead.add(self.sink, record, reason)
            self.redelivery.settled(position, record, taken=False)
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
                handed.left_out,
            )
            return
        del position.handed[record.seq]
        if self.order == "strict" and record.lane is Lane.DATA:
            self._hold.add(record, reason)
        else:
            self.redelivery.add(position, record, reason)
        if self._held_back:
            self.ready.set()

    @property
    def waiting_after_refusal(self) -> int:
        """Records that were refused for now and wait."""
        return self.redelivery.count + self._hold.count

    @property
    def barred(self) -> list[str]:
        """What nothing goes out about, because it is refused again and again."""
        return self.redelivery.barred

    def again(self, record: Record) -> Again | None:
        """Why a record is under way out of its turn; None for one in sequence."""
        if self._revived.holds(record):
            return "dead letter"
        return "replay" if self.replay is not None and self.replay.holds(record) else None

    def revive(self, letter: Letter) -> None:
        """Send a dead letter of this sink once more."""
        self._revived.add(letter)
        self.wake()

    def rewind(self) -> None:
        """The link is lost: what was handed out and not acknowledged is pending again."""
        self._age += 1
        self.redelivery.forget()
        self._hold.forget()
        self._revived.rewind()
        if self.replay is not None:
            self.replay.rewind()
        for position in self.positions.values():
            position.rewind()
        data = self.positions[Lane.DATA]
        data.live = min(self._first_young(data.log), data.live)
        self.ready.set()

    def needed_from(self, lane: Lane) -> int:
        """The least number of the lane whose file must stay for this sink."""
        replayed = self.replay.needs(lane) if self.replay is not None else None
        below = self.settled_below(lane)
        return below if replayed is None else min(below, replayed)

    def status(self) -> ReaderStatus:
        """The balance per lane in readings, and how many records are under way."""
        lanes = {lane.word: position.status() for lane, position in self.positions.items()}
        return ReaderStatus(sink=self.sink, order=self.order, backfill_rate=self.backfill.per_second, lanes=lanes)
