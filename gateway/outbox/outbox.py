"""The store-and-forward log as the rest of the gateway sees it.

Everything here runs in the event loop and never waits for the disk: what is appended is gathered for a moment, numbered,
encoded, and handed to the writer's thread as one group; the thread tells when it is on disk, and then readers may have it.
"""

import asyncio
import os
import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Protocol

import structlog

from gateway.config.model import DeviceSpec, OutboxSection
from gateway.core.clock import Clock, ClockState
from gateway.core.context import Context
from gateway.core.event import Event
from gateway.core.readings import Readings
from gateway.core.record import Kind, Lane
from gateway.core.selection import EVERYTHING, Selection
from gateway.core.tag import Device
from gateway.core.works import Works
from gateway.outbox import start
from gateway.outbox.batch_accounts import BatchAccounts
from gateway.outbox.cursor_files import CursorFiles
from gateway.outbox.deliver import (
    DeadLetters,
    Order,
    Reader,
    Readers,
    Replays,
    Unkept,
)
from gateway.outbox.disk_news import DiskNews, own_event
from gateway.outbox.format import Numbers, SetAside, all_set_aside, body_of
from gateway.outbox.housekeeping import Housekeeping
from gateway.outbox.kept import Kept
from gateway.outbox.losses import skip_body
from gateway.outbox.receipts import ReceiptFiles, Receipts
from gateway.outbox.retention import default_max_size
from gateway.outbox.write import (
    Admission,
    Ballast,
    Disk,
    Intake,
    LaneLog,
    LogClock,
    Spill,
    Writer,
    fitted,
)
from gateway.plugin.driver import Found
from gateway.status import OutboxStatus

log = structlog.get_logger()

TAIL_AT_MOST = {Lane.ALARM: 512 * 1024, Lane.DATA: 4 * 1024 * 1024}
"""Bytes of memory for records that live sinks read without the disk."""

_LAST_RECORDS = 1.0
"""Seconds that a stop waits for its last records, so that its receipts can be closed in order."""
_TICK = 1.0
_PATIENCE = 5.0


class OutboxListener(Protocol):
    """Who hears what the log has to tell beside records."""

    def heard(self, event: Mapping[str, Any]) -> None:
        """An event, as it is published."""
        ...

    def keeping(self, why_not: str) -> None:
        """From now on what is appended is kept on no disk, and why; or, when empty, it is."""
        ...


class Outbox:
    """One log: `open`, then `bind` devices and take `reader`s, `append` while `run` runs, and `close`."""

    def __init__(
        self, directory: Path, section: OutboxSection, clock: Clock, found: start.State, substitute_for: str = ""
    ) -> None:
        self.log_id = found.log_id
        self._set_aside = [str(path) for path in all_set_aside(directory)]
        self._directory = directory
        self._clock = clock
        self._state = found
        self._lanes = {
            lane: LaneLog(lane, found.found.lanes[lane], found.next_seq[lane], found.total[lane], TAIL_AT_MOST[lane])
            for lane in Lane
        }
        self._disk = Disk(Admission(clock))
        self._substitute = substitute_for
        """Why this log is in memory, in the place of one on a disk; empty for all others."""
        self._listener: OutboxListener | None = None
        self.works = Works()
        """What devices work for: all that is appended is stamped with it."""
        own = sum(lane.size for lane in self._lanes.values())
        free = _free(directory)
        max_size = section.max_size or default_max_size(free, own)
        self._ballast = Ballast(directory / "ballast", min(section.ballast, max_size // 16))
        self._writer = Writer(
            directory,
            self.log_id,
            found.numbers,
            self._ballast,
            Spill(found.next_seq[Lane.DATA] - 1) if section.mode == "spill" else None,
            segment_size=max(64 * 1024, min(section.segment_size, max_size // 16)),
            commit_interval=section.commit_interval,
        )
        self._log_clock = LogClock(clock, found.boot, found.epoch, found.offset, found.synced, self._writer)
        self.dead = DeadLetters(directory, self._writer, clock, self)
        self._readers = Readers(self._lanes, found, clock, self.dead, in_memory=bool(substitute_for))
        self.receipts = Receipts(
            ReceiptFiles(directory / "receipts", self._writer),
            clock,
            self._readers,
            self._lanes[Lane.DATA],
            self._log_clock,
            self.works,
        )
        self._readers.period_of = self.receipts.period_of
        self.batches = BatchAccounts(self.receipts, self._readers, self._lanes[Lane.DATA], self.works, clock)
        self._looking_back: asyncio.Task[None] | None = None
        self._intake = Intake(
            self.log_id, self._lanes, found.dictionary, self._log_clock, self._disk, self._writer, self.receipts
        )
        start_id = f"{found.boot:08x}{clock.boot_ns():x}"
        self._unkept = Unkept(self.log_id, start_id, self._lanes, self._disk, self._readers)
        self.replays = Replays(self._lanes, self._readers, found)
        self.kept = Kept(self._lanes, found, self._writer, clock)
        self._cursors = CursorFiles(directory, self.log_id, clock, self._readers, self._writer)
        self._housekeeping = Housekeeping(
            directory,
            found,
            section,
            clock,
            max_size=max_size,
            free=free,
            ballast=self._ballast,
            admission=self._disk.admission,
            lanes=self._lanes,
            readers=self._readers,
            writer=self._writer,
            intake=self._intake,
            cursors=self._cursors,
        )
        self._disk_news = DiskNews(
            self._lanes, self._readers, self.receipts, self._disk, self._housekeeping, self, clock
        )

    @classmethod
    def open(
        cls, directory: Path, section: OutboxSection, *, clock: Clock, config_hash: str, substitute_for: str = ""
    ) -> "Outbox":
        """The log in this directory, made or recovered. Blocking. Damaged data is set aside and told, never a reason not
        to start. Raises OSError only when the directory cannot be written at all."""
        found = start.load(directory, clock.wall_ns(), clock.boot_ns())
        outbox = cls(directory, section, clock, found, substitute_for)
        outbox.configured(config_hash)
        outbox._intake.look()
        if found.set_aside is not None:
            outbox._intake.gather(Kind.EVENT, _set_aside_event(found.set_aside, clock).body())
        outbox.receipts.recover(found.found.lanes[Lane.DATA], found.log_id, found.dictionary)
        for lane, numbers in found.skipped.items():
            log.warning("the last stop was not clean; numbers are skipped", lane=lane.word, numbers=numbers)
            outbox._intake.gather(Kind.SKIP, skip_body(lane, numbers))
        outbox._writer.begin(outbox._disk_news)
        return outbox

    def listen(self, listener: OutboxListener) -> None:
        """Tell this one, from now on, what the log has to tell beside records."""
        self._listener = listener

    def configured(self, config_hash: str) -> None:
        """From now on records carry this configuration's hash."""
        self._intake.configured(config_hash)

    def bind(self, spec: DeviceSpec, context: Context, found: Mapping[str, Found] | None = None) -> Device:
        """The device of a `[[device]]` table, with its tags numbered: the same definition has the same id for ever.

        `found` (by tag name) fills type, unit and description where the config leaves them open; without it, what was
        found the last time for the same options counts. A scaled tag is a float64.
        """
        return self._state.dictionary.bind(spec, context, found or {}, self._intake.config)

    def append(self, readings: Readings) -> None:
        """Take a block; accepted once it is written. Returns at once and never raises, neither for trouble with the disk nor
        for a block that cannot be stored: that is counted and told as not accepted."""
        if not len(readings):
            return
        try:
            readings = self.works.readings(fitted(readings))
        except ValueError as error:
            self._intake.misfit(self.works.device(readings.device), len(readings), str(error))
            return
        if self._unkept.stuck and Lane.DATA in self._unkept.stuck:
            self._unkept.readings(readings, self._intake.stamp())
        self._intake.readings(readings)

    def append_event(self, event: Event) -> None:
        """Take an event into the alarm lane; written and committed at once."""
        body = self.works.event(body_of(event))
        if self._listener is not None:
            self._listener.heard(body)
        if Lane.ALARM in self._unkept.stuck:
            self._unkept.event(body, self._intake.stamp())
        self._intake.event(body)

    def flush(self) -> None:
        """Write what was appended without gathering any longer: the caller knows that no more comes now."""
        self._intake.flush()

    async def written_out(self, timeout: float) -> None:
        """Wait until all that was appended is on disk, and readers may have it; at most so many seconds."""
        self.flush()
        if not self.not_kept:  # else there is nothing to wait for: the disk takes none of it
            await self._disk.written_out(timeout)

    def late(self) -> float:
        """Seconds for which the writer has not finished a group that it was given; 0 when it has nothing to do. A disk that
        refuses does not count: the writer tries on."""
        return self._disk.late()

    def reader(
        self,
        sink: str,
        order: Order = "live-first",
        backfill: float | None = None,
        selection: Selection = EVERYTHING,
    ) -> Reader:
        """This sink's place in the log; the same object each time, until it is released. A sink that is new, or whose cursor
        was lost, begins with the oldest record on disk. `backfill`: readings of history per second at most; None: as fast as
        it goes. `selection`: what the sink is meant to get."""
        return self._readers.reader(sink, order, backfill, selection)

    async def revive(self, ids: Sequence[str] = (), sink: str | None = None) -> list[str]:
        """Send dead letters once more: those with these ids (all, if none are given), of this sink (any). Gives the ids of
        those that are tried now; a sink that is not configured gets none."""
        return await self._readers.revive(ids, sink)

    def marks(self) -> dict[str, int]:
        """The running counts of readings, by lane, behind all that was appended so far."""
        self.flush()
        return {lane.lane.word: lane.next_total for lane in self._lanes.values()}

    def pending_below(self, sink: str, marks: Mapping[str, int]) -> int:
        """Readings that were appended before these marks and that the sink is not done with. Raises KeyError for a sink
        that is not configured."""
        positions = self._readers[sink].positions
        return sum(position.cursor.pending_below(marks[lane.word]) for lane, position in positions.items())

    def release(self, sink: str) -> None:
        """This sink is no longer configured: it holds nothing back any more. Its cursor stays on disk."""
        reader = self._readers.release(sink)
        if reader is not None:
            self._cursors.save_of(reader)

    async def run(self) -> None:
        """Keep house until cancelled. Raises only if the writer's thread died of a bug."""
        self._intake.flush_soon()
        while not await self._disk.ended(0):
            self._tick()
            if self._looking_back is None or self._looking_back.done():
                self._looking_back = asyncio.create_task(self._look_back())
            await self._issue_receipts()
            await self._disk.ended(_TICK)
        if self._disk.failure is not None:
            raise self._disk.failure

    async def _look_back(self) -> None:
        """Beside all else, since a long history may have to be read."""
        try:
            await self._readers.look_back()
        except OSError as error:
            log.warning("the outbox cannot be read; trying again", error=str(error))

    def _tick(self) -> None:
        self.look_at_disk()
        self._intake.tick()
        self._housekeeping.tick()
        self.kept.summaries.tick(self._housekeeping.may_be_summarised)
        self.receipts.tick(queued=bool(self._lanes[Lane.DATA].queued))

    async def _issue_receipts(self) -> None:
        for receipt in await self.receipts.issue():
            self._intake.body(Kind.RECEIPT, receipt)

    def look_at_disk(self) -> None:
        """See whether it takes what it is given; what it does not take is sent from memory."""
        if change := self._unkept.look():
            self.append_event(own_event(self._clock, *change))
            if self._listener is not None:
                self._listener.keeping(self.not_kept)

    @property
    def not_kept(self) -> str:
        """Why what is read now is kept on no disk; empty while it is."""
        return self._unkept.why or self._substitute

    async def close(self) -> None:
        """Write and commit what is open, then end. With a disk in trouble it gives up after some seconds; the next start
        then counts this as an unclean stop."""
        if self._looking_back is not None:
            self._looking_back.cancel()
            await asyncio.wait([self._looking_back])
        await self.kept.summaries.close()
        self._housekeeping.write_losses(all_of_them=True)
        self._intake.flush()
        self._housekeeping.tell_settled()
        self._cursors.save()
        await self.written_out(_LAST_RECORDS)
        if not self._lanes[Lane.DATA].queued:
            self.receipts.stop()
        alarm, data = self._lanes[Lane.ALARM], self._lanes[Lane.DATA]
        self._writer.stop(
            Numbers(
                reserved=(alarm.next_seq, data.next_seq),
                next=(alarm.next_seq, data.next_seq),
                total=(alarm.next_total, data.next_total),
                boot=self._state.boot,
                epoch=self._log_clock.epoch,
                offset=self._log_clock.offset,
                clean=True,
            ),
            0.0 if self.not_kept else _PATIENCE,
        )
        await self._disk.ended()
        await asyncio.to_thread(self._writer.join)
        if self._substitute:
            await asyncio.to_thread(shutil.rmtree, self._directory, ignore_errors=True)

    # What is told

    @property
    def clock_state(self) -> ClockState:
        """How far the wall clock can be trusted now."""
        return self._log_clock.state

    @property
    def set_aside(self) -> SetAside | None:
        """The log that this one had to take the place of when it was opened."""
        return self._state.set_aside

    @property
    def epoch(self) -> int:
        """Grows by one at each step of the wall clock, and at each boot."""
        return self._log_clock.epoch

    @property
    def offset_before(self) -> int:
        """Wall clock less boot clock (ns) when the log was closed, or, in a new boot, opened."""
        return self._state.offset

    @property
    def last_accepted_ns(self) -> int | None:
        """When the newest record of readings on disk was accepted, ns since 1970; None for an empty log."""
        segments = self._lanes[Lane.DATA].segments
        return segments[-1].wall_to if segments else None

    @property
    def size(self) -> int:
        """Bytes on disk."""
        return self._housekeeping.size

    def said_of(self, part: str) -> list[str]:
        """What is to be remarked of a part of the gateway, such as "device press-1"."""
        kind, _, name = part.partition(" ")
        return self._state.dictionary.said_of(name) if kind == "device" else []

    def status(self) -> OutboxStatus:
        """For people and metrics: sizes in bytes, everything else in readings or records."""
        return OutboxStatus(
            log=self.log_id,
            room=self._housekeeping.status(),
            disk=self._disk.trouble or self._substitute or "ok",
            kept=not self.not_kept,
            lanes={lane.lane.word: lane.status() for lane in self._lanes.values()},
            dead=self.dead.status(),
            readers=[reader.status() for reader in self._readers.values()],
            replays=[replay.status() for replay in self.replays],
            set_aside=self._set_aside,
            recovered=self._state.status(),
        )


def _set_aside_event(old: SetAside, clock: Clock) -> Event:
    detail = {"old": old.log, "directory": str(old.directory)}
    return Event("outbox-new-log", "outbox", "begun", "", clock.wall_ns(), old.message, "warning", detail)


def _free(directory: Path) -> int:
    stat = os.statvfs(directory)
    return stat.f_bavail * stat.f_frsize
