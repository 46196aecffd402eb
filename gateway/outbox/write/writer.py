"""The one thread that writes: records, commits, removals, cursors. Its jobs come through one queue, in order."""

import asyncio
import os
import threading
import time
from collections import deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from queue import Empty, SimpleQueue
from typing import Protocol, TypeVar

import structlog

from gateway.core.record import Lane
from gateway.outbox.format import SLOT_SIZE, Numbers, NumbersFile, synced_path
from gateway.outbox.write.ballast import NO_ROOM, Ballast
from gateway.outbox.write.ground import Ground, Spares
from gateway.outbox.write.lane_file import Entry, Growth, LaneFile, Renewal
from gateway.outbox.write.small_files import SmallFiles
from gateway.outbox.write.spill import Spill
from gateway.places.durable import write_whole

log = structlog.get_logger()

RESERVED = {Lane.ALARM: 1024, Lane.DATA: 65_536}
"""How many numbers are promised to the disk at a time."""

_RETRY = (0.1, 1.0)


@dataclass(frozen=True, slots=True)
class Group:
    """What was gathered for one write."""

    lanes: Mapping[Lane, Sequence[Entry]]
    definitions: Sequence[bytes]
    """Lines for the file of definitions."""
    all_definitions: bool
    """Whether these are all that it is to have; else they come behind what it has."""
    sizes: Mapping[Lane, int]
    """Bytes of the frames."""


R = TypeVar("R")


class Events(Protocol):
    """What the thread tells; each is called in the event loop."""

    def held(self, lane: Lane, entries: Sequence[Entry]) -> None: ...
    def written(self, lane: Lane, growth: Growth) -> None: ...
    def renewed(self, lane: Lane, renewal: Renewal) -> None: ...
    def group_done(self, group: Group, all_written: bool) -> None: ...
    def disk_trouble(self, error: OSError, lane: Lane) -> None: ...
    def measured(self, free: int, nodes: int | None) -> None: ...
    def gone(self, paths: Sequence[Path]) -> None: ...
    def ended(self, error: BaseException | None) -> None: ...


class Writer(threading.Thread):
    """Owns every file that is written. Public methods are called from the event loop and return at once."""

    def __init__(
        self,
        directory: Path,
        log_id: str,
        numbers: NumbersFile,
        ballast: Ballast,
        spill: Spill | None,
        *,
        segment_size: int,
        commit_interval: float,
    ) -> None:
        super().__init__(name="outbox-writer", daemon=True)
        self._directory = directory
        self._numbers = numbers
        self._ballast = ballast
        self._spill = spill
        """Holds data back in memory; None where it is written at once."""
        self._files = {lane: LaneFile(directory / lane.word, log_id, lane, segment_size) for lane in Lane}
        self._write_at_most = segment_size // 4
        self._interval = commit_interval
        self._events: Events
        self._loop: asyncio.AbstractEventLoop | None = None
        """The one that is told; known with the first work."""
        self._news: list[Callable[[], None]] = []
        """What the event loop is to be told: all of a step at once, because waking it costs more than hearing it."""
        self._urgent: deque[Sequence[Entry]] = deque()
        """Alarms, which overtake data that waits for the disk."""
        self._jobs: SimpleQueue[Callable[[], None]] = SimpleQueue()
        self._ground = Ground(directory)
        self._spares = Spares()
        self._small = SmallFiles(directory, ballast, self._spares)
        self._groundless: OSError | None = None
        """Why nothing can be written where the log was opened."""
        self._room = threading.Event()
        self._due: float | None = None
        self._stopping = False
        self._give_up_at = float("inf")
        self.unwritten = False
        """After the end: whether records were left that no file has."""

    @property
    def written_bytes(self) -> int:
        """Bytes that were written since the start, into all files."""
        return self._small.written_bytes + sum(file.written_bytes for file in self._files.values())

    @property
    def syncs(self) -> int:
        """How often something was made durable since the start."""
        return self._small.syncs + sum(file.syncs for file in self._files.values())

    def begin(self, events: Events) -> None:
        """Start the thread; `events` is told in the event loop that gives it work."""
        self._events = events
        self.start()

    def write(self, group: Group) -> None:
        """Write these records; `written` and `group_done` tell when."""
        self._loop = asyncio.get_running_loop()
        if alarms := group.lanes.get(Lane.ALARM):
            self._urgent.append(alarms)
            self._room.set()
        self._jobs.put(partial(self._write, group))

    def settled(self, below: int) -> None:
        """Every sink is done with data below this number: what is held of it need not be written, once the cursors are that
        were given to `save` before."""
        self._jobs.put(partial(self._settled, below))

    def _settled(self, below: int) -> None:
        if self._spill is not None:
            self._spill.settle(below)

    def count(self, written_bytes: int) -> None:
        """So many were written beside this thread; for how a flash disk wears."""
        self._jobs.put(partial(self._small.count, written_bytes, 0))

    def remove(self, paths: Sequence[Path]) -> None:
        """Delete these files, also while a write waits for room."""
        self._small.removing.extend(paths)
        self._room.set()
        self._jobs.put(self._small.remove)

    def save(self, path: Path, data: bytes) -> None:
        """Replace a small file, after those of earlier calls, and before any file goes that is removed after this call; not
        synced."""
        self._small.replacing.append((path, data, False))
        self._jobs.put(self._small.replace)

    def save_durably(self, path: Path, data: bytes) -> None:
        """The same, and synced at one of the next calls of `measure`: at each of them some."""
        self._small.replacing.append((path, data, True))
        self._jobs.put(self._small.replace)

    def note_clock(self, epoch: int, offset: int, synced: bytes) -> None:
        """Have epoch and offset of the clock, and the file of synchronised boots, on disk and synced."""
        self._jobs.put(partial(self._note_clock, epoch, offset, synced))

    def measure(self, files: Sequence[Path] = ()) -> None:
        """Tell how much room the disk has, and which of these files, and of those that are being written, are gone; sync
        some small files that wait for it."""
        self._loop = asyncio.get_running_loop()
        self._jobs.put(partial(self._measure, files))

    def stop(self, numbers: Numbers, patience: float) -> None:
        """Finish all jobs, within so many seconds if the disk is in trouble, then end; `numbers` are written last."""
        self._loop = asyncio.get_running_loop()
        self._give_up_at = time.monotonic() + patience
        self._jobs.put(partial(self._finish, numbers))

    def run(self) -> None:
        failure: BaseException | None = None
        try:
            self._ballast.try_to_make()
            while not self._stopping:
                self._step()
        except BaseException as error:  # noqa: BLE001 - the loop raises it
            failure = error
        self._news.append(partial(self._events.ended, failure))
        self._say()

    def _say(self) -> None:
        if self._news:
            news, self._news = self._news, []
            self._tell(news)

    def _tell(self, news: Sequence[Callable[[], None]]) -> None:
        try:
            if self._loop is not None:
                self._loop.call_soon_threadsafe(_hear, news)
        except RuntimeError:
            pass  # the loop is closed: nobody is left to be told

    def _step(self) -> None:
        try:
            spill_due = self._spill.due if self._spill is not None else None
            due = min((due for due in (self._due, spill_due) if due is not None), default=None)
            wait = None if due is None else max(0.0, due - time.monotonic())
            self._jobs.get(timeout=wait)()
        except Empty:
            pass
        if self._spill is not None:
            self._write_spilled(self._spill, time.monotonic())
        self._say()
        if self._due is not None and time.monotonic() >= self._due:
            self._persist(self._commit, Lane.DATA)
            for lane in Lane:
                self._tell_renewals(lane)
            self._say()

    def _write(self, group: Group) -> None:
        self._write_urgent()
        if group.definitions:
            action = partial(self._small.write_definitions, group.definitions, instead=group.all_definitions)
            self._persist(action, Lane.DATA)
        if data := group.lanes.get(Lane.DATA):
            if self._spill is None:
                self._write_lane(Lane.DATA, data)
            else:
                self._hold(self._spill, data)
        self._news.append(partial(self._events.group_done, group, not self.unwritten))

    def _hold(self, spill: Spill, entries: Sequence[Entry]) -> None:
        """Readers may have them as soon as their numbers are promised to the disk."""
        self._persist(partial(self._reserve, Lane.DATA, entries[-1].seq), Lane.DATA)
        if not self.unwritten:
            spill.hold(entries, time.monotonic())
            self._news.append(partial(self._events.held, Lane.DATA, entries))

    def _write_spilled(self, spill: Spill, now: float) -> None:
        while entries := spill.take(now):
            self._write_lane(Lane.DATA, entries)

    def _write_urgent(self) -> None:
        while self._urgent:
            self._write_lane(Lane.ALARM, self._urgent.popleft())

    def _write_lane(self, lane: Lane, entries: Sequence[Entry]) -> None:
        for part in parts(entries, self._write_at_most):
            self._write_part(lane, part)

    def _write_part(self, lane: Lane, entries: Sequence[Entry]) -> None:
        growth = self._persist(partial(self._append, lane, entries), lane)
        if lane is Lane.ALARM:
            self._persist(partial(self._commit_lane, lane), lane)
        elif self._due is None:
            self._due = time.monotonic() + self._interval
        renewals = self._tell_renewals(lane)
        if growth is not None and not (lane is Lane.ALARM and renewals):  # else it was told as part of one
            self._news.append(partial(self._events.written, lane, growth))
            if lane is Lane.ALARM:
                self._say()  # data behind it may have to wait for the disk

    def _tell_renewals(self, lane: Lane) -> bool:
        renewals = self._files[lane].take_renewals()
        self._news += [partial(self._events.renewed, lane, renewal) for renewal in renewals]
        return bool(renewals)

    def _append(self, lane: Lane, entries: Sequence[Entry]) -> Growth:
        if self._groundless is not None:
            self._look_down()
        if lane is Lane.DATA:
            self._ballast.make()
        self._reserve(lane, entries[-1].seq)
        return self._files[lane].write(entries)

    def _reserve(self, lane: Lane, last: int) -> None:
        numbers = self._numbers.numbers
        assert numbers is not None
        if last >= numbers.reserved[lane]:
            self._numbers.reserve(lane, last + RESERVED[lane])
            self._small.count(SLOT_SIZE, 1)

    def _commit(self) -> None:
        self._due = None
        for lane in Lane:
            self._commit_lane(lane)

    def _commit_lane(self, lane: Lane) -> None:
        self._files[lane].commit()

    def _persist(self, action: Callable[[], R], lane: Lane) -> R | None:
        """Do it, and again until the disk lets it; the event loop is told of each refusal and may make room. Alarms find
        room in the ballast, and go on while data waits."""
        pause = _RETRY[0]
        while not self.unwritten:
            self._small.remove()
            self._room.clear()
            try:
                return self._spares.lending(action)
            except OSError as error:
                if lane is Lane.ALARM and error.errno in NO_ROOM and self._ballast.give_back():
                    continue
                self._news.append(partial(self._events.disk_trouble, error, lane))
            if time.monotonic() > self._give_up_at:
                self.unwritten = True
            if lane is not Lane.ALARM:
                self._write_urgent()
            self._say()
            self._room.wait(max(0.0, min(pause, self._give_up_at - time.monotonic())))
            pause = min(2 * pause, _RETRY[1])
        return None

    def _note_clock(self, epoch: int, offset: int, synced: bytes) -> None:
        self._persist(partial(self._numbers.note_clock, epoch, offset), Lane.ALARM)
        self._persist(partial(write_whole, synced_path(self._directory), synced), Lane.ALARM)
        self._small.count(SLOT_SIZE + len(synced), 3)

    def _measure(self, files: Sequence[Path]) -> None:
        self._spares.refill()
        self._small.sync()
        self._ballast.try_to_make()
        try:
            self._look_down()
            gone = [path for file in self._files.values() if (path := file.look())]
            gone += [path for path in files if not path.exists()]
            self._numbers.look()
        except OSError as error:
            self._news.append(partial(self._events.disk_trouble, error, Lane.DATA))
            return
        if gone:
            self._news.append(partial(self._events.gone, gone))
        try:
            stat = os.statvfs(self._directory)
        except OSError:
            return  # a disk that cannot be asked cannot be written either, and that is told
        nodes = stat.f_favail if stat.f_files else None
        self._news.append(partial(self._events.measured, stat.f_bavail * stat.f_frsize, nodes))

    def _look_down(self) -> None:
        """Raises OSError while the log's folder is not the one that was opened; what was being written there is given up."""
        try:
            self._ground.look()
        except OSError as error:
            if self._groundless is None:
                for file in self._files.values():
                    file.abandon()
            self._groundless = error
            raise
        self._groundless = None

    def _finish(self, numbers: Numbers) -> None:
        self._stopping = True
        if self._spill is not None:
            self._write_spilled(self._spill, float("inf"))
        for lane, file in self._files.items():
            self._persist(file.finish, lane)
        self._small.sync()
        if not self.unwritten:
            self._numbers.write(numbers)
        self._numbers.close()
        self._spares.close()


def _hear(news: Sequence[Callable[[], None]]) -> None:
    """In the event loop."""
    for heard, call in enumerate(news, 1):
        try:
            call()
        except Exception:  # for the loop to report; the others are to be heard all the same
            asyncio.get_running_loop().call_soon(_hear, news[heard:])
            raise


def parts(entries: Sequence[Entry], size: int) -> Iterator[Sequence[Entry]]:
    """The entries in runs of about `size` bytes, so that no file grows far beyond its size."""
    start = taken = 0
    for number, entry in enumerate(entries):
        taken += len(entry.frame)
        if taken >= size:
            yield entries[start : number + 1]
            start, taken = number + 1, 0
    if start < len(entries):
        yield entries[start:]
