"""The file of a lane that is being written."""

import errno
import os
from array import array
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import NamedTuple

from gateway.core.record import Lane
from gateway.outbox.format import (
    HEADER_SIZE,
    INDEX_STEP,
    PLAIN,
    WITH_CONTEXTS,
    ContextFrame,
    Definition,
    Segment,
    footer,
    header,
)
from gateway.outbox.write.ballast import NO_ROOM, no_inodes
from gateway.places.durable import sync_path
from gateway.places.regular import is_still, open_regular

_OVERSIZE = 12
"""How many times its size a file may have where no other one can be made; sixteen times is all that the log may take."""


class Entry(NamedTuple):
    """A record on its way to the disk."""

    seq: int
    total: int
    rows: int
    wall_ns: int
    definition: Definition | None
    frame: bytes
    digests: Sequence[bytes] = ()
    """Of readings: the hash of each message that the record becomes."""
    read: int = 0
    """Readings that were read of the device since its last record, for its receipt."""
    context: ContextFrame | None = None
    """Of readings: what the device works for; None for nothing."""


class Growth(NamedTuple):
    """What one write has added to a lane."""

    path: Path
    """The file it went to; a new one when the last was finished."""
    entries: Sequence[Entry]
    places: "array[int]"
    """What the index gets."""
    size: int
    """Bytes of whole frames in the file now."""
    finished: int
    """Bytes of the footer that the file before it has got."""


class Renewal(NamedTuple):
    """Records that were written anew, because nobody knows whether the disk has them where they were."""

    path: Path
    """The file that they had gone to."""
    kept: Segment | None
    """What of it is durable; None: no record."""
    growth: Growth


def grow(segment: Segment, growth: Growth) -> None:
    """Take account of records that were written."""
    last = growth.entries[-1]
    segment.last, segment.end, segment.size = last.seq, last.total + last.rows, growth.size
    segment.records += len(growth.entries)
    segment.span(growth.entries[0].wall_ns)
    segment.span(last.wall_ns)
    segment.index.extend(growth.places)


class LaneFile:
    """The file of a lane that is being written; used by the writer's thread only. All calls raise OSError.

    A sync that failed tells the kernel's bad news once: asked again it may say that all is well, without the data being on
    the disk. So what was not synced before is kept in memory, and written anew into another file."""

    def __init__(self, directory: Path, log: str, lane: Lane, segment_size: int) -> None:
        self._directory = directory
        self._log = log
        self._lane = lane
        self._limit = segment_size
        self._file = -1
        self._segment: Segment | None = None
        self._defined: set[int] = set()
        """Definitions that stand in the file by their numbers, contexts by less than nothing."""
        self._finished = 0
        self._unsynced: list[Entry] = []
        """Written and not yet durable."""
        self._durable: Segment | None = None
        """The file as it was when all of it was durable."""
        self._doubtful: tuple[Path, Segment | None, list[Entry]] | None = None
        """A file whose sync has failed, what of it is durable, and what else it was given."""
        self._renewals: list[Renewal] = []
        self._surplus: list[tuple[Path, int]] = []
        """Files that hold more than so many bytes, which count no more."""
        self.written_bytes = 0
        """Bytes written since the start."""
        self.syncs = 0
        """How often something was made durable since the start."""

    def write(self, entries: Sequence[Entry]) -> Growth:
        """Append these records with one write. After an error nothing of them stands in the file."""
        self._renew()
        minor = WITH_CONTEXTS if any(entry.context is not None for entry in entries) else PLAIN
        if self._segment is not None and (self._segment.size >= self._limit or self._segment.minor < minor):
            self._rotate(entries[0], minor)
        segment = self._segment or self._begin(*self._create(entries[0].seq, entries[0].total, minor))
        parts, defined, index = self._assemble(segment, entries)
        data = b"".join(parts)
        self._append(data, segment.size)
        self._defined |= defined
        self._unsynced += entries
        growth = Growth(segment.path, entries, index, segment.size + len(data), self._finished)
        self._finished = 0
        grow(segment, growth)
        return growth

    def _assemble(self, segment: Segment, entries: Sequence[Entry]) -> tuple[list[bytes], set[int], "array[int]"]:
        parts: list[bytes] = []
        defined: set[int] = set()
        index = array("Q")
        offset, indexed = segment.size, segment.index[-1] if segment.index else 0
        for entry in entries:
            definition = entry.definition
            if definition is not None and definition.id not in self._defined and definition.id not in defined:
                parts.append(definition.frame())
                offset += len(parts[-1])
                defined.add(definition.id)
            context = entry.context
            if context is not None and -context.number not in self._defined and -context.number not in defined:
                parts.append(context.data)
                offset += len(context.data)
                defined.add(-context.number)
            if not indexed or offset - indexed >= INDEX_STEP:
                index.extend((entry.seq, entry.total, offset))
                indexed = offset
            parts.append(entry.frame)
            offset += len(entry.frame)
        return parts, defined, index

    def _rotate(self, entry: Entry, minor: int) -> None:
        """Finish the file, once the next one is there: a disk may have room for bytes and none for files (inodes). Then the
        present one goes on."""
        assert self._segment is not None
        try:
            segment, file = self._create(entry.seq, entry.total, minor)
        except OSError as error:
            larger = self._segment.size < _OVERSIZE * self._limit
            if error.errno in NO_ROOM and larger and no_inodes(self._directory):
                return
            raise
        try:
            self.finish()
        except OSError:
            os.close(file)
            segment.path.unlink(missing_ok=True)
            raise
        self._begin(segment, file)

    def _renew(self) -> None:
        """Write anew, and durably, what a failed sync has left in doubt. Until that has worked, it stays in memory; then
        nothing of the old file counts but what was durable."""
        if self._doubtful is None:
            return
        old, kept, entries = self._doubtful
        minor = WITH_CONTEXTS if any(entry.context is not None for entry in entries) else PLAIN
        segment, file = self._create(entries[0].seq, entries[0].total, minor, ".new")
        try:
            self._defined = set()
            parts, defined, index = self._assemble(segment, entries)
            data = b"".join(parts)
            _write_all(file, data, segment.size)
            os.fdatasync(file)
            segment.path = segment.path.replace(segment.path.with_suffix(""))
            sync_path(self._directory)
        except OSError:
            os.close(file)
            raise
        self._doubtful = None
        self.syncs += 2
        self.written_bytes += len(data)
        self._begin(segment, file)
        self._defined = defined
        growth = Growth(segment.path, entries, index, segment.size + len(data), 0)
        grow(segment, growth)
        self._note_durable()
        self._renewals.append(Renewal(old, kept, growth))
        if kept is not None:
            self._surplus.append((old, kept.size))

    def take_renewals(self) -> list[Renewal]:
        """What was written anew since the last call."""
        renewals, self._renewals = self._renewals, []
        return renewals

    def _sync(self) -> None:
        try:
            os.fdatasync(self._file)
        except OSError:
            assert self._segment is not None
            if self._unsynced:
                self._doubtful = (self._segment.path, self._durable, self._unsynced)
            self.abandon()
            raise
        self.syncs += 1
        self._note_durable()

    def _note_durable(self) -> None:
        segment, self._unsynced = self._segment, []
        if segment is not None:
            self._durable = replace(segment, index=segment.index[:])

    def _create(self, first: int, start: int, minor: int, suffix: str = "") -> tuple[Segment, int]:
        path = self._directory / f"{first:016x}.seg{suffix}"
        self._directory.mkdir(exist_ok=True)
        file = open_regular(path, os.O_RDWR | os.O_CREAT | os.O_TRUNC)
        try:
            _write_all(file, header(self._log, self._lane, first, start, minor), 0)
            sync_path(self._directory)
        except OSError:
            os.close(file)
            raise
        self.syncs += 1
        self.written_bytes += HEADER_SIZE
        return Segment(path, self._lane, first, start, minor=minor), file

    def _begin(self, segment: Segment, file: int) -> Segment:
        self._defined = set()
        self._segment, self._file = segment, file
        self._durable, self._unsynced = None, []
        return segment

    def _append(self, data: bytes, offset: int) -> None:
        try:
            _write_all(self._file, data, offset)
        except OSError as error:
            os.ftruncate(self._file, offset)
            if error.errno == errno.EFBIG:
                self.commit()
                self.abandon()
            raise
        self.written_bytes += len(data)

    def commit(self) -> None:
        """Make all that was written durable."""
        self._renew()
        if self._unsynced:
            self._sync()

    def finish(self) -> None:
        """Write the footer, commit and close; the next write opens a new file."""
        self._renew()
        if self._segment is not None:
            data = footer(self._segment)
            self._append(data, self._segment.size)
            self._sync()
            self._finished = len(data)
        self.abandon()

    def look(self) -> Path | None:
        """The file that is being written, if somebody has removed it or put another in its place; it is given up, and the
        next write opens a new one."""
        while self._surplus:  # not at once, since somebody may be reading there
            with suppress(FileNotFoundError):
                os.truncate(*self._surplus[0])
            del self._surplus[0]
        if self._segment is None or is_still(self._segment.path, self._file):
            return None
        path = self._segment.path
        self.abandon()
        return path

    def abandon(self) -> None:
        """Close without a footer; the next write opens a new file."""
        if self._file >= 0:
            os.close(self._file)
        self._file, self._segment, self._durable, self._unsynced = -1, None, None, []


def _write_all(file: int, data: bytes, offset: int) -> None:
    view = memoryview(data)
    while view:
        written = os.pwrite(file, view, offset)
        offset += written
        view = view[written:]
