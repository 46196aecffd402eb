"""Whether the files of a log are as they were written: every checksum, number, running count and definition.

Nothing is changed. A hole in the numbers is in order when a skip or loss record names it, when the running count shows
that no reading is in it, or when every sink is done with it.
"""

import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from gateway.core.parsing import doubting
from gateway.core.record import Kind, Lane
from gateway.outbox.format import (
    CONTEXT,
    DEFINITION,
    DICTIONARY_AT_MOST,
    FOOTER,
    HEAD_SIZE,
    HEADER_SIZE,
    SEGMENT_AT_MOST,
    TRAILER_MAGIC,
    TRAILER_SIZE,
    UNKNOWN,
    Definition,
    Dictionary,
    FrameHeader,
    IntervalSet,
    Numbers,
    Segment,
    is_record,
    peek,
    read_definition,
    read_footer,
    read_frames,
    read_work,
    unpacked,
)
from gateway.outbox.inspect.log_files import LogFiles
from gateway.outbox.inspect.report import FileFinding, LogReport
from gateway.places.regular import NO_FILE, open_regular, read_regular

Progress = Callable[[int], None]
"""Told how many bytes were looked at since the last call."""


@dataclass(frozen=True, slots=True)
class _Hole:
    path: Path
    offset: int | None
    lane: Lane
    seqs: tuple[int, int]
    """Half-open."""
    rows: int
    """Readings that are missing, by the running count."""


def verify(log: LogFiles, progress: Progress = lambda _: None) -> LogReport:
    """Look through all files. Raises OSError when the disk does not read."""
    return _Verification(log, progress).run()


class _Verification:
    def __init__(self, log: LogFiles, progress: Progress) -> None:
        self.log = log
        self.progress = progress
        self.report = LogReport(log.log_id)
        self.holes: list[_Hole] = []
        self.named = {lane: IntervalSet() for lane in Lane}
        self.tags: dict[int, tuple[str, ...]] = {}

    def run(self) -> LogReport:
        before = self.log.numbers()
        for lane in (Lane.DATA, Lane.ALARM):
            self._lane(lane)
        if before is not None and before.clean:
            self._orderly_end(before)
        self._definitions()
        self._cursors_and_holes()
        self._reserved()
        return self.report

    def problem(self, path: Path, offset: int | None, text: str) -> None:
        self.report.problems.append(FileFinding(self._name(path), offset, text))

    def remark(self, path: Path, offset: int | None, text: str) -> None:
        self.report.remarks.append(FileFinding(self._name(path), offset, text))

    def _name(self, path: Path) -> str:
        return str(path.relative_to(self.log.directory))

    def _lane(self, lane: Lane) -> None:
        paths = self.log.paths(lane)
        before: Segment | None = None
        for path in paths:
            try:
                segment = self._file(path, lane, before, is_last=path == paths[-1])
            except FileNotFoundError:
                self.remark(path, None, "delivered and removed while it was to be verified")
                before = None
                continue
            except ValueError as error:
                self.problem(path, 0, str(error))
                continue
            except OSError as error:
                if error.errno not in NO_FILE:
                    raise
                self.problem(path, None, str(error.strerror))
                continue
            before = segment or before
        if before is not None:
            self.report.lanes[lane].last, self.report.lanes[lane].total = before.last, before.end

    def _file(self, path: Path, lane: Lane, before: Segment | None, *, is_last: bool) -> Segment | None:
        file = open_regular(path)
        try:
            size = os.fstat(file).st_size
            if size < HEADER_SIZE and is_last:
                return None
            if size > SEGMENT_AT_MOST:
                raise ValueError(f"it is longer than {SEGMENT_AT_MOST} bytes")
            first, start = self.log.begin(os.pread(file, HEADER_SIZE, 0), lane)
            told = read_footer(path, file, lane, (first, start))
        finally:
            os.close(file)
        if path.stem != f"{first:016x}":
            self.problem(path, None, f"its name does not fit its first number {first}")
        self._follows(path, lane, before, first, start)
        segment = self._records(path, Segment(path, lane, first, start), size if told is None else told.size, told)
        self._end(path, segment, told, size, is_last)
        self.report.size += size
        if segment.records:
            self._count(lane, segment)
        return segment

    def _count(self, lane: Lane, segment: Segment) -> None:
        counted = self.report.lanes[lane]
        counted.first = counted.first if counted.files else segment.first
        counted.files += 1
        counted.records += segment.records

    def _follows(self, path: Path, lane: Lane, before: Segment | None, first: int, start: int) -> None:
        if before is None:
            return
        if first <= before.last:
            self.problem(path, 0, f"it begins with number {first}, and the file before it ends with {before.last}")
        elif start < before.end:
            self.problem(
                path, 0, f"its running count begins with {start}, and the file before it ends with {before.end}"
            )
        elif first > before.last + 1:
            self.holes.append(_Hole(path, 0, lane, (before.last + 1, first), start - before.end))
        elif start != before.end:
            self.problem(path, 0, f"its running count begins with {start} instead of {before.end}")

    def _records(self, path: Path, segment: Segment, end: int, told: Segment | None) -> Segment:
        """Every frame of the file; the segment as it is found to be, its `size` up to the last whole frame."""
        places: dict[int, tuple[int, int]] = {}
        for head, payload, behind in read_frames(path, HEADER_SIZE, end):
            place = behind - head.size
            if place > segment.size:
                self.problem(path, segment.size, f"{place - segment.size} bytes are damaged")
            joins = place == segment.size
            self.progress(head.size)
            if head.kind == FOOTER:
                segment.size, segment.footer = place, head.size
                break
            segment.size = behind
            if head.kind == DEFINITION:
                self._learn(path, place, head, payload)
            elif head.kind == CONTEXT:
                self._learn_context(path, place, head, payload)
            elif is_record(head):
                self._record(segment, head, payload, place, joins=joins)
                places[head.seq] = (head.total, place)
            else:
                self.problem(path, place, f"a frame of kind {head.kind}, which this version does not know")
        if told is not None:
            self._index(path, told, places)
        return segment

    def _record(self, segment: Segment, head: FrameHeader, payload: memoryview, place: int, *, joins: bool) -> None:
        path, expected = segment.path, segment.last + 1
        if head.seq < expected:
            self.problem(path, place, f"number {head.seq} stands behind number {segment.last}")
            return
        if head.seq > expected and joins:
            self.report.lanes[segment.lane].never_written += head.seq - expected
        elif head.seq > expected:
            self.holes.append(_Hole(path, place, segment.lane, (expected, head.seq), max(0, head.total - segment.end)))
        if head.lane != segment.lane:
            self.problem(path, place, f"number {head.seq} is of lane {head.lane}")
        if head.total < segment.end or (head.seq == expected and head.total != segment.end):
            self.problem(path, place, f"number {head.seq}: running count {head.total} instead of {segment.end}")
        segment.note(head, place)
        self.report.lanes[segment.lane].readings += head.rows
        self._content(segment, head, payload, place)

    def _content(self, segment: Segment, head: FrameHeader, payload: memoryview, place: int) -> None:
        try:
            record = self.log.record(segment, head, payload)
        except ValueError as error:
            self.problem(segment.path, place, f"number {head.seq} cannot be read: {error}")
            return
        if record.readings is not None and record.readings.device.context.unknown == UNKNOWN.unknown:
            why = UNKNOWN.unknown
            self.problem(segment.path, place, f"number {head.seq}: what its device worked for is not known: {why}")
        if record.kind in (Kind.SKIP, Kind.LOSS) and record.body is not None:
            try:
                self._names(record.body)
            except ValueError as error:
                self.problem(segment.path, place, f"number {head.seq} does not say which numbers it is about: {error}")

    def _names(self, body: Mapping[str, Any]) -> None:
        """A hole that is in order."""
        with doubting(ValueError):
            named = self.named[Lane[str(body["lane"]).upper()]]
            for low, high in body["ranges"]:
                named.add(int(low), int(high) + 1)

    def _learn(self, path: Path, place: int, head: FrameHeader, payload: memoryview) -> None:
        try:
            definition = read_definition(unpacked(bytes(payload)))
            if definition.id != head.source:
                raise ValueError(f"it says that it is source {definition.id}")
            self.log.dictionary.remember(definition)
            self._names_tags(path, definition)
        except ValueError as error:
            self.problem(path, place, f"a definition that cannot be read: {error}")

    def _learn_context(self, path: Path, place: int, head: FrameHeader, payload: memoryview) -> None:
        self.log.dictionary.contexts.passes(path, head.context, payload)
        try:
            read_work(bytes(payload))
        except ValueError as error:
            self.problem(path, place, f"a context that cannot be read: {error}")

    def _index(self, path: Path, told: Segment, places: dict[int, tuple[int, int]]) -> None:
        for at in range(0, len(told.index) - 2, 3):
            seq, total, offset = told.index[at : at + 3]
            if seq in places and places[seq] != (total, offset):
                self.problem(path, told.size, f"the footer's index tells the wrong place of number {seq}")

    def _end(self, path: Path, segment: Segment, told: Segment | None, size: int, is_last: bool) -> None:
        if told is None:
            self._open_end(path, segment, size, is_last)
            return
        if segment.size < told.size:
            self.problem(path, segment.size, f"{told.size - segment.size} bytes are damaged")
            if told.last > segment.last:
                self.holes.append(
                    _Hole(path, segment.size, segment.lane, (segment.last + 1, told.last + 1), told.end - segment.end)
                )
        elif (told.first, told.last, told.start, told.end) != (segment.first, segment.last, segment.start, segment.end):
            self.problem(path, told.size, "the footer tells other numbers than the records")
        segment.last, segment.end = told.last, told.end

    def _open_end(self, path: Path, segment: Segment, size: int, is_last: bool) -> None:
        """A file without a footer is being written, or was when the gateway stopped."""
        rest = size - segment.size
        if segment.footer and rest >= segment.footer + TRAILER_SIZE:
            self.problem(path, segment.size + segment.footer, "the file's last bytes are damaged")
        elif rest and is_last and (segment.footer or not _is_complete(path, segment.size, size)):
            self.remark(path, segment.size, f"{rest} bytes are half written; the next start cuts them off")
        elif rest:
            self.problem(path, segment.size, f"{rest} bytes are damaged")
        elif not is_last:
            self.remark(path, size, "not finished; the next start does it")

    def _definitions(self) -> None:
        path = self.log.directory / "tags"
        try:
            whole = Dictionary().load(read_regular(path, DICTIONARY_AT_MOST))
        except FileNotFoundError:
            if any(lane.records for lane in self.report.lanes.values()):
                self.remark(path, None, "missing; the next start makes it anew from the segments")
            return
        except OSError as error:
            if error.errno not in NO_FILE:
                raise
            whole = False
        if not whole:
            self.problem(path, None, "damaged; the next start makes it anew from the segments")
        for definition in self.log.dictionary.definitions.values():
            self._names_tags(path, definition)

    def _names_tags(self, path: Path, definition: Definition) -> None:
        for tag in definition.device.tags:
            told = (tag.device, tag.name, tag.type, tag.unit, tag.description, tag.scaling)
            if self.tags.setdefault(tag.id, told) != told:
                self.problem(path, None, f"tag id {tag.id} names two things: {tag} and {'/'.join(self.tags[tag.id])}")

    def _cursors_and_holes(self) -> None:
        cursors = self.log.cursors()
        for cursor in cursors:
            if cursor.lanes is None:
                self.problem(
                    cursor.path, None, f"a damaged cursor ({cursor.problem}); its sink gets again what is on disk"
                )
        settled = [cursor.lanes for cursor in cursors if cursor.lanes is not None]
        for hole in self.holes:
            self._hole(hole, [lanes[hole.lane].seqs for lanes in settled])

    def _hole(self, hole: _Hole, settled: Sequence[IntervalSet]) -> None:
        first, last = hole.seqs[0], hole.seqs[1] - 1
        name = f"{hole.lane.word} " + (f"number {first} is" if first == last else f"numbers {first} to {last} are")
        if self.named[hole.lane].covers(*hole.seqs):
            return
        if not hole.rows:
            self.remark(hole.path, hole.offset, f"{name} unused: the running count goes on without a gap")
        elif settled and all(seqs.covers(*hole.seqs) for seqs in settled):
            self.remark(hole.path, hole.offset, f"{name} missing, and every sink is done with them")
        else:
            self.problem(
                hole.path, hole.offset, f"{name} missing with {hole.rows} readings, and no skip or loss names them"
            )

    def _orderly_end(self, numbers: Numbers) -> None:
        """An orderly stop wrote down how far it had come."""
        for lane, found in self.report.lanes.items():
            missing = numbers.total[lane] - found.total
            if missing > 0:
                gone = (found.last + 1, numbers.next[lane])
                self.holes.append(_Hole(self.log.directory / "numbers", None, lane, gone, missing))

    def _reserved(self) -> None:
        """Read last: a number is reserved before it is used."""
        path = self.log.directory / "numbers"
        numbers = self.log.numbers()
        if numbers is None:
            self.problem(path, None, "missing or damaged; the next start leaps over numbers that may have been used")
            return
        for lane, found in self.report.lanes.items():
            if found.last >= numbers.reserved[lane]:
                text = f"{lane.word} number {found.last} was used, and only those below {numbers.reserved[lane]} are reserved"
                self.problem(path, None, text)


def _is_complete(path: Path, offset: int, size: int) -> bool:
    """Whether the frame at this place, or the file, has all its bytes: then no torn write explains what is wrong."""
    with os.fdopen(open_regular(path), "rb") as file:
        file.seek(offset)
        head = peek(file.read(HEAD_SIZE), 0)
        file.seek(max(0, size - TRAILER_SIZE))
        is_finished = file.read(TRAILER_SIZE).endswith(TRAILER_MAGIC)
    return is_finished or (head is not None and offset + head.size <= size)
