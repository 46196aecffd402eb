"""The store-and-forward log as the rest of the gateway sees it.

Everything here runs in the event loop and never waits for the disk: what is appended is gathered for a moment, numbered,
encoded, and handed to the writer's thread as one group; the thread tells when it is on disk, and then readers may have it.
"""

import asyncio
import os
import shutil
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import structlog

from gateway.config.model import DeviceSpec, OutboxSection
from gateway.core.clock import Clock, ClockState
from gateway.core.context import Context
from gateway.core.event import Event
from gateway.core.readings import Readings
from gateway.core.record import Kind, Lane, Record
from gateway.core.tag import Device
from gateway.core.text import cleaned
from gateway.outbox import start
from gateway.outbox.deliver import (
    PATIENCE,
    UNKEPT_AT_MOST,
    DeadLetters,
    Order,
    Reader,
    Readers,
    Replays,
    Unkept,
)
from gateway.outbox.format import Numbers, SetAside, all_set_aside, body_of, synced_path
from gateway.outbox.housekeeping import Housekeeping
from gateway.outbox.kept import Kept
from gateway.outbox.losses import skip_body
from gateway.outbox.receipts import ReceiptFiles, Receipts
from gateway.outbox.retention import default_max_size
from gateway.outbox.write import (
    NO_ROOM,
    Admission,
    Ballast,
    Body,
    Disk,
    Entry,
    Group,
    Growth,
    Intake,
    LaneLog,
    LogClock,
    Renewal,
    Spill,
    Writer,
    fitted,
)
from gateway.plugin.driver import Found
from gateway.status import OutboxStatus

log = structlog.get_logger()

GATHER = 0.002
"""Seconds that a slot's first record waits for the others."""

TAIL_AT_MOST = {Lane.ALARM: 512 * 1024, Lane.DATA: 4 * 1024 * 1024}
"""Bytes of memory for records that live sinks read without the disk."""

_LAST_RECORDS = 1.0
"""Seconds that a stop waits for its last records, so that its receipts can be closed in order."""
_TICK = 1.0
_PATIENCE = 5.0


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
        self._log_clock = LogClock(clock, found.boot, found.epoch, found.offset, found.synced, self._keep_clock)
        self._intake = Intake(self.log_id, self._lanes, found.dictionary, self._log_clock, self._not_stored)
        self._loop: asyncio.AbstractEventLoop | None = None
        self._timer: asyncio.Handle | None = None
        self._admission = Admission(clock)
        self._misfits: set[str] = set()
        """Why blocks could not be stored, as far as it was logged."""
        self._disk = Disk(self._admission)
        self._unkept = Unkept(self.log_id, f"{found.boot:08x}{clock.boot_ns():x}")
        self._stuck: set[Lane] = set()
        """Lanes of which the disk takes nothing."""
        self._first_queued = dict.fromkeys(Lane, 0)
        self._substitute = substitute_for
        """Why this log is in memory, in the place of one on a disk; empty for all others."""
        self.keeping: Callable[[str], None] = lambda _: None
        self.heard: Callable[[Mapping[str, Any]], None] = lambda _: None
        """Called with each event, as it is published."""
        """Told `not_kept` when it changes."""
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
            tell=self._tell,
            events=self,
        )
        self.dead = DeadLetters(directory, self._writer, clock, self)
        self._readers = Readers(self._lanes, found, clock, self.dead, in_memory=bool(substitute_for))
        self.receipts = Receipts(
            ReceiptFiles(directory / "receipts", self._writer.save, self._writer.remove),
            clock,
            self._readers,
            self._append_body,
            next_record=lambda: (self._lanes[Lane.DATA].written_seq, self._log_clock.epoch),
        )
        self.replays = Replays(self._lanes, self._readers, found)
        self.kept = Kept(self._lanes, found)
        self._housekeeping = Housekeeping(
            directory,
            found,
            section,
            clock,
            max_size=max_size,
            free=free,
            ballast=self._ballast,
            admission=self._admission,
            lanes=self._lanes,
            readers=self._readers,
            writer=self._writer,
            append_body=self._append_body,
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
            outbox._intake.body(Kind.EVENT, _set_aside_event(found.set_aside, clock).body())
        outbox.receipts.recover(found.found.lanes[Lane.DATA], found.log_id, found.dictionary)
        for lane, numbers in found.skipped.items():
            log.warning("the last stop was not clean; numbers are skipped", lane=lane.word, numbers=numbers)
            outbox._intake.body(Kind.SKIP, skip_body(lane, numbers))
        outbox._writer.start()
        return outbox

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
        n = len(readings)
        if not n:
            return
        try:
            readings = fitted(readings)
        except ValueError as error:
            self._misfit(readings.device, n, str(error))
            return
        if self._stuck and Lane.DATA in self._stuck:
            self._hand_out([self._unkept.readings(readings, self._intake.stamp())])
        if not self._admission.admits(Lane.DATA, n):
            self.receipts.not_accepted(readings.device, n)
            return
        self._intake.readings(readings, self.receipts.take_read(readings.device))
        if self._timer is None:
            self._loop = asyncio.get_running_loop()
            self._timer = self._loop.call_later(GATHER, self._flush)

    def _misfit(self, device: Device, rows: int, why: str) -> None:
        reason = f"what {device.name} gave cannot be stored: {why}"
        if reason not in self._misfits:
            self._misfits.add(reason)
            log.error("readings are not accepted", device=device.name, reason=why)
        self._admission.turn_away(Lane.DATA, rows, reason)
        self.receipts.not_accepted(device, rows)

    def _not_stored(self, content: Readings | Body, read: int, error: Exception) -> None:
        """What was taken cannot be encoded; the rest of its group is."""
        why = cleaned(f"{type(error).__name__}: {error}")
        if isinstance(content, Readings):
            self.receipts.read(content.device, read)
            self._misfit(content.device, len(content), why)
        else:
            log.error("an event cannot be stored", reason=why)
            self._admission.turn_away(Lane.ALARM, 1, f"it cannot be stored: {why}")

    def append_event(self, event: Event) -> None:
        """Take an event into the alarm lane; written and committed at once."""
        body = body_of(event)
        self.heard(body)
        if Lane.ALARM in self._stuck:
            self._hand_out([self._unkept.body(Kind.EVENT, body, self._intake.stamp())])
        if self._admission.admits(Lane.ALARM, 1):
            self._append_body(Kind.EVENT, body)

    def _hand_out(self, unkept: Sequence[Record]) -> None:
        for reader in self._readers.values():
            for record in unkept:
                reader.unkept.add(record)
            reader.wake()

    def _append_body(self, kind: Kind, body: Mapping[str, Any]) -> None:
        self._intake.body(kind, body)
        self._flush_soon()

    def _flush_soon(self) -> None:
        self._loop = asyncio.get_running_loop()
        if self._timer is not None:
            self._timer.cancel()
        self._timer = self._loop.call_soon(self._flush)

    def flush(self) -> None:
        """Write what was appended without gathering any longer: the caller knows that no more comes now."""
        if self._timer is not None:
            self._timer.cancel()
            self._flush()

    async def written_out(self, timeout: float) -> None:
        """Wait until all that was appended is on disk, and readers may have it; at most so many seconds."""
        self.flush()
        if not self.not_kept:  # else there is nothing to wait for: the disk takes none of it
            await self._disk.written_out(timeout)

    def late(self) -> float:
        """Seconds for which the writer has not finished a group that it was given; 0 when it has nothing to do. A disk that
        refuses does not count: the writer tries on."""
        return self._disk.late()

    def _flush(self) -> None:
        self._timer = None
        if self._intake:
            group = self._intake.group()
            self._disk.begins()
            for lane, size in group.sizes.items():
                self._admission.taken(lane, size)
            self._writer.write(group)

    def reader(self, sink: str, order: Order = "live-first", backfill: float | None = None) -> Reader:
        """This sink's place in the log; the same object each time. A sink that is new, or whose cursor was lost, begins
        with the oldest record on disk. `backfill`: readings of history per second at most; None: as fast as it goes."""
        return self._readers.reader(sink, order, backfill)

    async def revive(self, ids: Sequence[str] = (), sink: str | None = None) -> list[str]:
        """Send dead letters once more: those with these ids (all, if none are given), of this sink (any). Gives the ids of
        those that are tried now; a sink that is not configured gets none."""
        tried = []
        for name, whose in self.dead.named(ids, sink).items():
            if whose in self._readers:
                try:
                    letter = await asyncio.to_thread(self.dead.read, name)
                except (OSError, ValueError) as error:
                    log.warning("a dead letter cannot be read", file=name, error=str(error))
                    continue
                self._readers[whose].revive(letter)
                tried.append(letter.record.id)
        return tried

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
            self._housekeeping.save_cursor(reader)

    # Told by the writer's thread

    def _tell(self, news: Sequence[Callable[[], None]]) -> None:
        try:
            if self._loop is not None:
                self._loop.call_soon_threadsafe(self._hear, news)
        except RuntimeError:
            pass  # the loop is closed: nobody is left to be told

    def _hear(self, news: Sequence[Callable[[], None]]) -> None:
        for heard, call in enumerate(news, 1):
            try:
                call()
            except Exception:  # for the loop to report; the others are to be heard all the same
                asyncio.get_running_loop().call_soon(self._hear, news[heard:])
                raise

    def held(self, lane: Lane, entries: Sequence[Entry]) -> None:
        """These records are held in memory: accepted under the weaker promise of `mode = "spill"`."""
        self._accepted(lane, self._lanes[lane].accepted(entries), entries, finished=False)

    def _accepted(self, lane: Lane, records: Sequence[Record], entries: Sequence[Entry], *, finished: bool) -> None:
        if lane is Lane.DATA:
            self.receipts.written(records, entries, finished=finished)
        for reader in self._readers.values():
            reader.wake()

    def written(self, lane: Lane, growth: Growth) -> None:
        """These records are on disk: accepted, and readers may have them."""
        self._accepted(lane, self._lanes[lane].written(growth), growth.entries, finished=bool(growth.finished))

    def renewed(self, lane: Lane, renewal: Renewal) -> None:
        """The disk did not say whether it has these records; now they are on it, in another file."""
        log.error("the disk failed to keep what it was given; it was written anew", file=str(renewal.path))
        self._accepted(lane, self._lanes[lane].renewed(renewal), renewal.growth.entries, finished=False)

    def group_done(self, group: Group) -> None:
        """All of it is on disk, or given up at a stop."""
        self._disk.done(sum(group.sizes.values()), all_written=not self._writer.unwritten)

    def disk_trouble(self, error: OSError, lane: Lane) -> None:
        """A write failed and will be tried again; a full disk makes the oldest data go."""
        self._disk.refuses(self._housekeeping.explained(error))
        if self._disk.gone and not self._unkept.why:
            self._look_at_disk()
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
        self.append_event(_own_event(self._clock, "removed", message, "warning"))

    def ended(self, error: BaseException | None) -> None:
        """The thread has ended."""
        self._disk.ends(error)

    async def run(self) -> None:
        """Keep house until cancelled. Raises only if the writer's thread died of a bug."""
        self._flush_soon()
        while not await self._disk.ended(0):
            self._tick()
            await self.receipts.issue()
            await self._disk.ended(_TICK)
        if self._disk.failure is not None:
            raise self._disk.failure

    def _tick(self) -> None:
        self._look_at_disk()
        self._intake.look()
        if self._intake and self._timer is None:
            self._flush_soon()
        self._housekeeping.tick()
        self.receipts.tick(queued=bool(self._lanes[Lane.DATA].queued))

    def _look_at_disk(self) -> None:
        """Begin, or end, to send from memory what the disk does not take. On a full disk that may be readings alone: events
        have room of their own."""
        why = self._disk.takes_nothing(PATIENCE)
        first = {lane: log.first_queued for lane, log in self._lanes.items()}
        still = {lane for lane in Lane if first[lane] and first[lane] == self._first_queued[lane]}
        stuck = (set(Lane) if self._disk.gone else still) if why else set()
        for lane in stuck - self._stuck:
            self._hand_out(self._unkept.copies(self._lanes[lane].waiting(UNKEPT_AT_MOST[lane])))
        before, self._unkept.why = self._unkept.why, why if stuck else ""
        self._stuck, self._first_queued = stuck, first
        if bool(before) == bool(stuck):
            return
        what = "Alarms and live values are" if Lane.ALARM in stuck else "Live values are"
        words = f"The disk does not take the outbox: {why}. {what} sent from memory, and not kept."
        self.append_event(
            _own_event(self._clock, "not-kept", words, "alarm") if stuck
            else _own_event(self._clock, "kept", "The disk takes the outbox again: what is read is kept.", "info")
        )  # fmt: skip
        self.keeping(self.not_kept)

    @property
    def not_kept(self) -> str:
        """Why what is read now is kept on no disk; empty while it is."""
        return self._unkept.why or self._substitute

    async def close(self) -> None:
        """Write and commit what is open, then end. With a disk in trouble it gives up after some seconds; the next start
        then counts this as an unclean stop."""
        self._loop = asyncio.get_running_loop()
        self._housekeeping.write_losses(all_of_them=True)
        if self._timer is not None:
            self._timer.cancel()
        self._flush()
        self._housekeeping.tell_settled()
        self._housekeeping.save_cursors()
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

    def _keep_clock(self, epoch: int, offset: int) -> None:
        self._writer.note_clock(epoch, offset, synced_path(self._directory), self._state.synced.dump())

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


def _own_event(clock: Clock, state: str, message: str, severity: str) -> Event:
    now = clock.wall_ns()
    (log.info if severity == "info" else log.error)(message)
    return Event(f"outbox-{state}-{now}", "outbox", state, "", now, message, severity)


def _set_aside_event(old: SetAside, clock: Clock) -> Event:
    detail = {"old": old.log, "directory": str(old.directory)}
    return Event("outbox-new-log", "outbox", "begun", "", clock.wall_ns(), old.message, "warning", detail)


def _free(directory: Path) -> int:
    stat = os.statvfs(directory)
    return stat.f_bavail * stat.f_frsize
