"""Receipts: what was read, accepted and delivered of each device and hour, as records of the alarm lane.

A period is what was accepted within one hour of the wall clock, by one run of the gateway, in one epoch of the clock. Its
receipts are issued when every sink has all of it, else after `GRACE`; and anew whenever a further sink has nothing of it
pending, until none has: then they are final. They go into the alarm lane: it is committed at once, outlives the data when
the disk is full, and takes no numbers of the lane that the receipts are about.
"""

import asyncio
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import structlog

from gateway.core.clock import Clock
from gateway.core.parsing import doubting
from gateway.core.readings import Readings
from gateway.core.record import Lane, Record
from gateway.core.selection import context_key
from gateway.core.tag import Device
from gateway.core.text import cleaned
from gateway.core.works import Works
from gateway.outbox.deliver import Reader
from gateway.outbox.format import Dictionary, Segment, is_record, read_frames, read_record
from gateway.outbox.receipts.body import Index, Standing, bodies, standing
from gateway.outbox.receipts.period import HOUR_NS, OpenPeriod, Period, Tally
from gateway.outbox.receipts.receipt_files import ReceiptFiles, kept
from gateway.outbox.write import Entry, LaneLog, LogClock

log = structlog.get_logger()

GRACE = 10.0
"""Seconds that an ended period waits for the acknowledgement of its last records before its receipts say "pending"."""

_NONE: tuple[None, int] = (None, 0)
AGAIN_AT_MOST = 256 * 1024 * 1024
"""Bytes of the log that a start reads again for its receipts; a file's worth, unless what was saved is damaged."""
_ATTEMPTS, _PAUSE = 40, 0.05
"""How often, and with which pause (s), an index is looked for that the writer still has to put on disk."""


class Polls(Protocol):
    """Who knows how devices are polled."""

    def missed(self) -> Mapping[str, int]:
        """Polls of each device that were left out since the start."""
        ...


class Receipts:
    """Of one log. All calls from the event loop, but for `recover`."""

    def __init__(
        self,
        files: ReceiptFiles,
        clock: Clock,
        readers: Mapping[str, Reader],
        lane: LaneLog,
        log_clock: LogClock,
        works: Works,
    ) -> None:
        """`lane`: the data lane, which the receipts are about. `works`: what devices work for."""
        self._works = works
        self._polls: Polls | None = None
        self._files = files
        self._clock = clock
        self._readers = readers
        self._lane = lane
        self._log_clock = log_clock
        self._open: OpenPeriod | None = None
        self._closed: list[Period] = []
        self._ended_ns: dict[Period, int] = {}
        """Boot time at which a period ended in this run."""
        self._fresh: dict[str, tuple[Device, int]] = {}
        """Readings of each device that came since its last record, by its name: a reload makes a new Device of it."""
        self._missed_before: Mapping[str, int] = {}
        self._away: dict[str, tuple[Device, str, int]] = {}
        """Which device is not being read, in which context, why, and since when (ns)."""
        self._counting: dict[str, Tally] = {}
        """By the device's name, in the open period: where its missed polls are counted."""
        self._pause: list[Any] | None = None
        """The time without a gateway before this run, as a gap; until the first period of this run has ended."""

    # At a start

    def recover(self, segments: list[Segment], log_id: str, dictionary: Dictionary) -> None:
        """Take up what the last run left: periods that are not final, and the one that was open, if it was killed.
        Blocking."""
        if not self._files.make():
            return
        self._closed = list(self._files.pending())
        last = self._files.last()
        ended = 0 if last is None else last.end
        period = self._files.open_period()
        if period is not None and period.first >= ended:
            self._open = OpenPeriod(period)
            ended = period.end
        killed = self._read_on(segments, ended, log_id, dictionary) or self._open is not None
        if self._open is not None:
            self._end_open()
        self._ended_ns = dict.fromkeys(self._closed, self._clock.boot_ns())
        self._pause = self._since(self._closed[-1] if self._closed else last, killed)

    def _since(self, last: Period | None, killed: bool) -> list[Any] | None:
        if last is None:
            return None
        return [f"the gateway was {'killed' if killed else 'stopped'}", last.wall_to_ns, self._clock.wall_ns()]

    def _read_on(self, segments: list[Segment], seq: int, log_id: str, dictionary: Dictionary) -> bool:
        """Count what was written after the last save; says whether there was something."""
        left = [segment for segment in segments if segment.last >= seq]
        while sum(segment.size for segment in left) > AGAIN_AT_MOST and len(left) > 1:
            log.warning("receipts leave out a file of the outbox: too much to read again", file=str(left.pop(0).path))
        found = False
        with np.errstate(over="ignore"):
            for segment in left:
                for head, payload, _ in read_frames(segment.path, segment.place(seq)[2], segment.size):
                    if is_record(head) and seq <= head.seq <= segment.last:
                        found = True
                        self._count_again(segment.path, head, payload, log_id, dictionary)
        return found

    def _count_again(self, path: Path, head: Any, payload: memoryview, log_id: str, dictionary: Dictionary) -> None:
        try:
            again = read_record(head, payload, path, log_id, dictionary)
            with doubting(ValueError):
                definition = dictionary.defined(head.source, path)
                digests = (
                    []
                    if definition is None or again.readings is None
                    else definition.content(again.readings.device.context).digests(again)
                )
        except ValueError as error:
            log.warning("a record cannot be read, its receipt is incomplete", seq=head.seq, error=str(error))
            if self._open is not None:
                self._open.period.incomplete = True
            return
        if again.readings is not None:
            self._enter(again, digests)
            assert self._open is not None
            self._open.period.interrupted = True

    def _end_open(self) -> None:
        assert self._open is not None
        self._open.period.interrupted = True
        self._close(self._open.period.wall_to_ns)

    # While running

    def count_missed(self, polls: Polls) -> None:
        """From now on, ask this one how many polls were left out."""
        self._polls = polls

    def read(self, device: Device, readings: int) -> None:
        """The device's driver has delivered so many. They count to the period of the device's next record."""
        self._fresh[device.name] = (device, self._fresh.get(device.name, _NONE)[1] + readings)

    def seen(self, readings: Readings, boot_ns: int) -> None:
        """The same, as an observer of the pipeline."""
        self.read(readings.device, len(readings))

    def take_read(self, device: Device) -> int:
        """What was read of the device since its last record; it goes to the disk with the next one, and is counted then."""
        return self._fresh.pop(device.name, _NONE)[1]

    def not_accepted(self, device: Device, readings: int) -> None:
        """So many were turned away."""
        self._now_open().tally(device).not_accepted += readings

    def device_changed(self, device: Device, online: bool, reason: str) -> None:
        """The device is, or is not, being read from now on."""
        self._came_back(device)
        device = self._present(device)
        if not online:
            why = cleaned(f"offline: {reason}" if reason else "offline")
            self._away[device.name] = (device, why, self._clock.wall_ns())
            self._now_open()

    def _came_back(self, device: Device) -> None:
        was = self._away.pop(device.name, None)
        if was is not None:
            current = self._now_open()
            since = max(was[2], current.period.wall_ns)
            current.tally(was[0]).gaps.append([was[1], since, max(since, self._clock.wall_ns())])

    def _present(self, device: Device) -> Device:
        return self._works.device(device.under(device.context.place))

    def _follow_works(self) -> None:
        """A device that is not being read works for something else now: its gap is that of both."""
        for device, reason, since in list(self._away.values()):
            present = self._present(device)
            if present.context.said() != device.context.said():
                self._came_back(device)
                self._away[device.name] = (present, reason, max(since, self._clock.wall_ns()))

    def removed(self, device: str) -> None:
        """The device is not to be read any more."""
        self._away.pop(device, None)

    def written(self, records: Sequence[Record], entries: Sequence[Entry], *, finished: bool) -> None:
        """These records of the data lane are on disk, which stood in these entries (none: they were accepted before).
        `finished`: the file before theirs is, and may go; what was counted so far must be on disk by then."""
        for each, entry in zip(records, entries, strict=False):
            if each.readings is not None:
                self._enter(each, entry.digests).read += entry.read
        if finished and self._open is not None:
            self._files.save_open(self._open.period, *self._open.take_index())

    def _enter(self, record: Record, digests: Sequence[bytes]) -> Tally:
        if self._open is not None and not self._open.belongs(record):
            ends_ns = self._last_moment(record.epoch)
            self._close(min(record.wall_ns, ends_ns) if record.epoch == self._open.period.epoch else ends_ns)
        if self._open is None:
            self._open = self._begun(record.seq, record.wall_ns, record.epoch)
        tally = self._open.accept(record, digests)
        if self._counting.get(tally.device) is not tally:
            self._count_missed(tally.device)
            self._counting[tally.device] = tally
        return tally

    def _count_missed(self, device: str) -> None:
        """Count the polls of a device that were left out to what it has worked for until now."""
        tally = self._counting.get(device)
        if tally is not None and self._polls is not None:
            before, count = self._missed_before.get(device, 0), self._polls.missed().get(device, 0)
            tally.missed += count - before if count >= before else count
            self._missed_before = {**self._missed_before, device: count}

    def _now_open(self) -> OpenPeriod:
        if self._open is None:
            self._open = self._begun(self._lane.written_seq, self._clock.wall_ns(), self._log_clock.epoch)
        return self._open

    def _begun(self, seq: int, wall_ns: int, epoch: int) -> OpenPeriod:
        begun = OpenPeriod(Period(seq, wall_ns, epoch, wall_to_ns=wall_ns))
        self._files.save_open(begun.period, *begun.take_index())
        return begun

    def _last_moment(self, epoch: int) -> int:
        """When the open period ends, that a record of this epoch does not belong to."""
        assert self._open is not None
        period = self._open.period
        return period.hour_ns + HOUR_NS if epoch == period.epoch else period.wall_to_ns

    @property
    def hour_is_open(self) -> bool:
        """Whether records are being added to a period."""
        return self._open is not None

    def tick(self, *, queued: bool) -> None:
        """Once a second: an hour may be over. `queued`: records with a number are not on disk yet."""
        epoch = self._log_clock.epoch
        now = self._clock.wall_ns()
        self._follow_works()
        if self._open is not None and not queued:
            period = self._open.period
            if (
                now >= period.hour_ns + HOUR_NS or epoch != period.epoch
            ):  # a clock set back would keep it open for years
                self._close(self._last_moment(epoch))
        if self._open is None and self._away:
            self._now_open()

    def stop(self) -> None:
        """The gateway ends in order, and all is written."""
        if self._fresh:
            for device, readings in self._fresh.values():
                self._now_open().tally(device).read += readings
        if self._open is not None:
            self._close(self._clock.wall_ns())
        self._files.close_open()

    def _close(self, wall_ns: int) -> None:
        assert self._open is not None
        period = self._open.period
        period.wall_to_ns = max(wall_ns, period.wall_ns)
        self._say_gaps(self._open)
        self._files.save_open(period, *self._open.take_index())
        self._files.save_closed(period, bodies(period, {}, None))
        self._closed.append(period)
        self._ended_ns[period] = self._clock.boot_ns()
        self._open = None
        self._counting = {}

    def _say_gaps(self, ending: OpenPeriod) -> None:
        period = ending.period
        for device, reason, since in self._away.values():
            ending.tally(device).gaps.append([reason, max(since, period.wall_ns), None])
        missed = self._polls.missed() if self._polls is not None else {}
        first = {tally.device: tally for tally in reversed(period.tallies)}
        last = {tally.device: tally for tally in period.tallies} | self._counting
        for name, tally in last.items():
            before, count = self._missed_before.get(name, 0), missed.get(name, 0)
            tally.missed += count - before if count >= before else count
            if self._pause is not None:
                first[name].gaps.insert(0, self._pause)
        self._missed_before, self._pause = missed, None

    # What is told

    async def issue(self) -> list[dict[str, Any]]:
        """Once a second: the receipts of the oldest period for which they are due, to be appended."""
        for period in self._closed:
            stands = self._stands(period)
            done = [sink for sink, stand in stands.items() if not stand.pending]
            if self._is_due(period, done, len(stands)):
                return await self._issued(period, stands, done)
        return []

    def _stands(self, period: Period) -> dict[str, Standing]:
        return {sink: _standing(reader, period) for sink, reader in self._readers.items()}

    def _is_due(self, period: Period, done: list[str], sinks: int) -> bool:
        if sinks and len(done) == sinks:
            return True
        if period.revision:
            return bool({*done} - {*period.done})
        return self._clock.boot_ns() - self._ended_ns.get(period, 0) >= GRACE * 1e9

    async def _issued(self, period: Period, stands: Mapping[str, Standing], done: list[str]) -> list[dict[str, Any]]:
        index = None if _plain(stands) else await self._index(period)
        period.revision += 1
        period.done, period.final = done, len(done) == len(stands)
        receipts = bodies(period, stands, index)
        self._files.save_closed(period, receipts)
        if period.final:
            self._closed.remove(period)
            self._ended_ns.pop(period, None)
            self._forget_losses()
        return receipts

    def period_of(self, seq: int) -> int | None:
        """The number with which the period begins that this one belongs to; None for one whose receipts are final."""
        if self._open is not None and seq >= self._open.period.first:
            return self._open.period.first
        return next((each.first for each in self._closed if each.first <= seq < each.end), None)

    async def _index(self, period: Period) -> Index:
        """From disk, where the writer may not have put all of it yet, and from memory."""
        for attempt in range(_ATTEMPTS):
            if attempt:
                await asyncio.sleep(_PAUSE)
            parts = await asyncio.to_thread(self._files.index, period.first)
            if self._open is not None and self._open.period is period:
                parts.append(self._open.unsaved)
            index = Index(period, parts)
            if index.is_whole:
                break
        return index

    def _forget_losses(self) -> None:
        """What is lost of final periods need not be known any more."""
        oldest = min((period.first for period in self._closed), default=self._lane.written_seq)
        if self._open is not None:
            oldest = min(oldest, self._open.period.first)
        for reader in self._readers.values():
            reader.positions[Lane.DATA].cursor.forget_lost(oldest)
            reader.positions[Lane.ALARM].cursor.lost.clear()

    async def so_far(self, from_ns: int, to_ns: int) -> list[dict[str, Any]]:
        """The receipts of hours that touch this time (half-open), oldest first, as they are at this moment: also of the hour
        that is not over."""
        told = await asyncio.to_thread(kept, self._files.directory, from_ns, to_ns)
        living = [*self._closed, *([self._open.period] if self._open else [])]
        told = [body for body in told if body["final"]]
        for period in living:
            if period.hour_ns < to_ns and period.hour_ns + HOUR_NS > from_ns:
                told += await self._now(period)
        return told

    async def _now(self, period: Period) -> list[dict[str, Any]]:
        """What the receipts of a period that is not final would say now."""
        index = None if _plain(self._stands(period)) else await self._index(period)
        is_open = self._open is not None and self._open.period is period
        return [{**body, "open": is_open} for body in bodies(period, self._stands(period), index)]


def _standing(reader: Reader, period: Period) -> Standing:
    position = reader.positions[Lane.DATA]
    keys = [context_key(tally.device, tally.context) for tally in period.tallies] if reader.selection else []
    left_out = [position.left_out.of_period(period.first, key) for key in keys]
    return standing(position.cursor, period, left_out if any(map(any, left_out)) else ())


def _plain(stands: Mapping[str, Standing]) -> bool:
    return all(stand.plain for stand in stands.values())
