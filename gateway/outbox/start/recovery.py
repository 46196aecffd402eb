"""What stands in a log's directory at a start. Nothing here refuses to start: what is damaged is set aside, and told."""

import os
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

import structlog

from gateway.core.parsing import doubting
from gateway.core.record import Lane
from gateway.outbox.format import (
    HEADER_SIZE,
    SEGMENT_AT_MOST,
    Segment,
    footer,
    is_record,
    read_footer,
    read_frames,
    read_header,
    summary_sizes,
)
from gateway.outbox.start.aside import set_aside
from gateway.places.regular import open_regular

log = structlog.get_logger()


@dataclass(slots=True)
class Recovered:
    """The files of a log, and what was done to them."""

    lanes: dict[Lane, list[Segment]] = field(default_factory=lambda: {lane: [] for lane in Lane})
    torn_bytes: int = 0
    """Cut off the ends of files that a stop had left half written."""
    damaged: list[str] = field(default_factory=list)
    """Files with damage within; copies of them are in `quarantine`."""
    unreadable: list[str] = field(default_factory=list)
    """Files of which nothing could be read; they were moved to `quarantine`."""

    @property
    def clean(self) -> bool:
        return not (self.torn_bytes or self.damaged or self.unreadable)


def recover(directory: Path, log_id: str) -> Recovered:
    """All segments of the log. A finished one costs three reads; one that was open at the stop is scanned, cut behind its
    last whole record, and finished."""
    found = Recovered()
    for lane in Lane:
        folder = directory / lane.word
        folder.mkdir(parents=True, exist_ok=True)
        for path in folder.glob("*.seg.new"):
            path.unlink()  # never completed
        for path in sorted(folder.glob("*.seg")):
            try:
                segment = _recover_file(path, log_id, lane, found)
            except (OSError, ValueError) as error:
                log.error("a file of the outbox cannot be read and is set aside", file=str(path), error=str(error))
                found.unreadable.append(str(path))
                set_aside(directory, path, move=True)
                continue
            if segment is not None:
                found.lanes[lane].append(segment)
        found.lanes[lane] = _in_order(found.lanes[lane])
    _find_summaries(directory, found.lanes[Lane.DATA])
    return found


def _find_summaries(directory: Path, segments: list[Segment]) -> None:
    """Each with its segment; whether one is sound is seen when it is read. What belongs to no segment goes."""
    sizes = summary_sizes(directory)
    for segment in segments:
        segment.summary = sizes.pop(segment.path.stem, 0)
    with suppress(OSError):
        for path in [
            *(directory / "summaries").glob("*.sum.part"),
            *(directory / "summaries" / f"{name}.sum" for name in sizes),
        ]:
            path.unlink()


def _recover_file(path: Path, log_id: str, lane: Lane, found: Recovered) -> Segment | None:
    file = open_regular(path, os.O_RDWR)
    try:
        with doubting(ValueError):
            return _recover_open(path, file, log_id, lane, found)
    finally:
        os.close(file)


def _recover_open(path: Path, file: int, log_id: str, lane: Lane, found: Recovered) -> Segment | None:
    begin, size = os.pread(file, HEADER_SIZE, 0), os.fstat(file).st_size
    if size <= HEADER_SIZE:
        path.unlink()
        return None
    if size > SEGMENT_AT_MOST:
        raise ValueError(f"it is longer than {SEGMENT_AT_MOST} bytes")
    whose, of, first, start = read_header(begin)
    if (whose, of) != (log_id, lane):
        raise ValueError(f"it belongs to lane {of.word} of log {whose}")
    segment = read_footer(path, file, lane, (first, start))
    if segment is not None:
        return segment
    return _scan_file(path, file, Segment(path, lane, first, start), found)


def _scan_file(path: Path, file: int, segment: Segment, found: Recovered) -> Segment | None:
    size = os.fstat(file).st_size
    end, leapt = HEADER_SIZE, 0
    for head, _, behind in read_frames(path, HEADER_SIZE, size):
        offset = behind - head.size
        leapt += offset - end
        end = behind
        if is_record(head):
            if head.seq > segment.last and head.total >= segment.end and head.lane == segment.lane:
                segment.note(head, offset)
            else:
                leapt += head.size
    segment.size = end
    if leapt:
        log.error("a file of the outbox is damaged; what can be read of it is kept", file=str(path), bytes=leapt)
        found.damaged.append(str(path))
        set_aside(path.parent.parent, path, move=False)
    if size > end:
        log.warning("the end of a file of the outbox was cut off half written", file=str(path), bytes=size - end)
        found.torn_bytes += size - end
    if not segment.records:
        path.unlink()
        return None
    _finish(file, segment)
    return segment


def _finish(file: int, segment: Segment) -> None:
    """A full disk must not stop the start: then the file stays without a footer, and is scanned again next time."""
    os.ftruncate(file, segment.size)
    try:
        end = footer(segment)
        os.pwrite(file, end, segment.size)
        os.fdatasync(file)
        segment.footer = len(end)
    except OSError as error:
        log.warning("a file of the outbox could not be finished", file=str(segment.path), error=str(error))


def _cut(before: Segment, behind: Segment) -> Segment | None:
    """The file without the records that the next one has too; None where the two do not fit."""
    cut = Segment(before.path, before.lane, before.first, before.start)
    for head, _, end in read_frames(before.path, HEADER_SIZE, before.size):
        if is_record(head) and head.seq >= behind.first:
            break
        if is_record(head):
            cut.note(head, end - head.size)
        cut.size = end
    if not cut.records or cut.end != behind.start:
        return None
    try:
        file = open_regular(cut.path, os.O_RDWR)
    except OSError:
        return None
    try:
        _finish(file, cut)
    finally:
        os.close(file)
    log.warning("records at the end of a file of the outbox were written anew into the next one", file=str(cut.path))
    return cut


def _in_order(segments: list[Segment]) -> list[Segment]:
    """Only segments whose numbers follow each other; one that overlaps was not written by this log, unless it holds anew
    what a failed sync has left in doubt at the end of the one before."""
    kept: list[Segment] = []
    for segment in sorted(segments, key=lambda segment: segment.first):
        if kept and kept[-1].first < segment.first <= kept[-1].last <= segment.last:
            kept[-1] = _cut(kept[-1], segment) or kept[-1]
        if kept and (segment.first <= kept[-1].last or segment.start < kept[-1].end):
            log.error("a file of the outbox repeats numbers of another and is left alone", file=str(segment.path))
        else:
            kept.append(segment)
    return kept
