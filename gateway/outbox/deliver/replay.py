"""History sent once more to one sink, beside what is new.

A replay takes the records from the files and hands them to the sink's reader, which lets them go out behind all else, in a
quarter of the window and at a bounded rate. They carry the ids that they always had, and are marked historical. The sink's
account does not change by them: only what it is done with already is sent once more; what is still open goes out anyway.
"""

import asyncio
from collections import deque
from collections.abc import Callable, Sequence
from typing import Protocol

import structlog

from gateway.core.record import Lane, Record
from gateway.outbox.deliver.history import Asked, Part, Piece, mark
from gateway.outbox.deliver.rate import Rate
from gateway.status import ReplayStatus

RATE = 20_000
"""Readings per second, unless another rate is asked for."""
AHEAD = 256
"""Records held in memory, at least, when there are more on disk."""
SHARE = 4
"""A replay takes one in so many of the window's records."""
PAUSE = 1.0
"""Seconds until a file that could not be read, or a record that was refused for now, is tried again."""


class ReplaySource(Protocol):
    """Where a replay gets records from: the log, as one sink has had it."""

    async def look(self, part: Part, asked: Asked) -> Piece:
        """The next records of a file that are asked for. Raises OSError."""
        ...

    def meant(self, sink: str, records: Sequence[Record]) -> list[Record]:
        """What of these is meant for the sink."""
        ...

    def had(self, sink: str, record: Record) -> bool:
        """Whether the sink is done with this record; else it goes out to it by itself."""
        ...


class Replay:
    """One of them, from `begin` to its end. All calls from the event loop."""

    def __init__(
        self,
        sink: str,
        asked: Asked,
        parts: Sequence[Part],
        *,
        source: ReplaySource,
        ready: asyncio.Event,
        ended: Callable[["Replay"], None],
        rate: float | None = RATE,
    ) -> None:
        """`ready` is set when `take` may have something; `ended` is called once at the end."""
        self.sink = sink
        self.asked = asked
        self.outcome = ""
        """How it ended; empty while it runs."""
        self.sent_records = 0
        self.sent_readings = 0
        self.refused_records = 0
        """Records that the far side will never take."""
        self.missing = 0
        """Readings of the files looked at that cannot be read: damaged, or given up meanwhile."""
        self.open = 0
        """Records left out because the sink has not had them yet: they go out by themselves."""
        self.last_ns: int | None = None
        """When the readings that were acknowledged last had been accepted; events go out before all readings."""
        self._parts = deque(parts)
        self._bytes = sum(part.size for part in parts)
        self._source = source
        self._ready = ready
        self._ended = ended
        self._rate = Rate(rate)
        self._waiting: deque[Record] = deque()
        self._out: dict[Record, None] = {}
        self._log = structlog.get_logger().bind(sink=sink)
        self._timers: set[asyncio.TimerHandle] = set()
        self._reading: asyncio.Task[None] | None = None
        self._paced = False
        self._begun = False

    def begin(self) -> None:
        """Read and send from now on, unless it has been ended already."""
        self._begun = True
        self._read_on()

    @property
    def under_way(self) -> int:
        """Records that were handed out and not answered."""
        return len(self._out)

    @property
    def waiting(self) -> int:
        """Records in memory that wait for their turn."""
        return len(self._waiting)

    def holds(self, record: Record) -> bool:
        """Whether it was handed out from here, and not answered."""
        return record in self._out

    def take(self, window: int, room: int) -> list[Record]:
        """Up to `room` records to be sent now. `window`: how many records there may be under way, but for this replay's."""
        records: list[Record] = []
        room = min(room, max(1, (window + len(self._out)) // SHARE) - len(self._out))
        now = asyncio.get_running_loop().time()
        while self._waiting and len(records) < room and self._rate.allows(now):
            record = self._waiting.popleft()
            self._rate.passed(record.rows, now)
            self._out[record] = None
            records.append(record)
        if self._waiting and not self._rate.allows(now) and not self._paced:
            self._paced = True
            self._later(self._rate.wait(now), self._go_on)
        self._read_on()
        return records

    def acknowledged(self, record: Record) -> None:
        """The far side has this one; one that is not of this replay is passed over."""
        if self._answered(record):
            self.sent_records += 1
            self.sent_readings += record.rows
            if record.lane is Lane.DATA:
                self.last_ns = record.wall_ns
            self._finish()

    def refused(self, record: Record, final: bool) -> None:
        """The far side did not take it: if not for good, it goes out again."""
        if not self._answered(record):
            return
        if final:
            self.refused_records += 1
            self._finish()
        elif not self.outcome:
            self._waiting.append(record)
            self._later(PAUSE, self._ready.set)

    def _answered(self, record: Record) -> bool:
        known = record in self._out
        if known:
            del self._out[record]
            if self._waiting:
                self._ready.set()
        return known

    def rewind(self) -> None:
        """The link is lost: what was not acknowledged goes out again."""
        if not self.outcome:
            self._waiting.extendleft(reversed(self._out))
        self._out.clear()

    def needs(self, lane: Lane) -> int | None:
        """The least number that is still to be read from disk; None: none of this lane."""
        return next((part.seq for part in self._parts if part.lane is lane), None)

    def end(self, outcome: str) -> None:
        """Stop here, in these words; nothing if it has ended."""
        if self.outcome:
            return
        self.outcome = outcome
        if self._reading is not None:
            self._reading.cancel()
        for timer in self._timers:
            timer.cancel()
        self._waiting.clear()
        self._parts.clear()
        self._ended(self)

    def status(self) -> ReplayStatus:
        """For people: counts in records and readings, times in ns since 1970, `part` from 0 to 1."""
        return ReplayStatus(
            sink=self.sink,
            from_=self.asked.from_ns,
            to=self.asked.to_ns,
            devices=list(self.asked.devices),
            running=not self.outcome,
            done=self.outcome == DONE,
            outcome=self.outcome,
            part=self._part(),
            records=self.sent_records,
            readings=self.sent_readings,
            under_way=self.under_way,
            refused=self.refused_records,
            missing=self.missing,
            open=self.open,
            last=self.last_ns,
        )

    def _part(self) -> float:
        left = sum(part.size for part in self._parts)
        return round(1 - left / self._bytes, 4) if self._bytes and self.outcome != DONE else 1.0

    def _finish(self) -> None:
        if not self._parts and not self._waiting and not self._out:
            self.end(DONE)

    def _read_on(self) -> None:
        if self._begun and self._parts and len(self._waiting) < AHEAD and self._reading is None:
            self._reading = asyncio.get_running_loop().create_task(self._read())
            self._reading.add_done_callback(self._was_read)

    async def _read(self) -> None:
        """The next piece, and further ones while they hold nothing that is asked for."""
        while self._parts:
            piece = await self._source.look(self._parts[0], self.asked)
            self._parts.popleft()
            if piece.rest is not None:
                self._parts.appendleft(piece.rest)
            self.missing += piece.missing
            meant = self._source.meant(self.sink, piece.records)
            had = [record for record in meant if self._source.had(self.sink, record)]
            self.open += len(meant) - len(had)
            self._waiting.extend(map(mark, had))
            if had:
                return

    def _was_read(self, task: "asyncio.Task[None]") -> None:
        self._reading = None
        if task.cancelled() or self.outcome:
            return
        error = task.exception()
        if isinstance(error, OSError):
            self._log.warning("a replay cannot read the outbox; trying again", error=str(error))
            self._later(PAUSE, self._read_on)
        elif error is not None:
            self._log.error("a replay has failed", exc_info=error)
            self.end(f"a bug ended it: {type(error).__name__}: {error}")
        else:
            self._ready.set()
            self._finish()

    def _go_on(self) -> None:
        self._paced = False
        self._ready.set()

    def _later(self, seconds: float, call: Callable[[], None]) -> None:
        def run() -> None:
            self._timers.discard(timer)
            call()

        timer = asyncio.get_running_loop().call_later(seconds, run)
        self._timers.add(timer)


DONE = "all of it was sent"
