"""What stands in a log's directory at a start. Nothing here refuses to start: what is damaged is set aside, and told."""

import os
from dataclasses import dataclass, field
from pathlib import Path

import structlog

from gateway.core.record import Lane
from gateway.outbox.frames import DEFINITION, HEAD_SIZE, is_record, scan
from gateway.outbox.segment import HEADER_SIZE, Segment, footer, read_footer, read_header

log = structlog.get_logger()

_QUARANTINED_AT_MOST = 8


@dataclass(slots=True)
class Found:
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


def recover(directory: Path, log_id: str) -> Found:
    """All segments of the log. A finished one costs three reads; one that was open at the stop is scanned, cut behind its
    last whole record, and finished."""
    found = Found()
    for lane in Lane:
        folder = directory / lane.word
        folder.mkdir(parents=True, exist_ok=True)
        for path in sorted(folder.glob("*.seg")):
            try:
                segment = _recover_file(path, log_id, lane, found)
            except (OSError, ValueError) as error:
                log.error("a file of the outbox cannot be read and is set aside", file=str(path), error=str(error))
                found.unreadable.append(str(path))
                _set_aside(directory, path, move=True)
                continue
            if segment is not None:
                found.lanes[lane].append(segment)
        found.lanes[lane] = _in_order(found.lanes[lane])
    return found


def _recover_file(path: Path, log_id: str, lane: Lane, found: Found) -> Segment | None:
    file = os.open(path, os.O_RDWR | os.O_CLOEXEC)
    try:
        begin = os.pread(file, HEADER_SIZE, 0)
        if os.fstat(file).st_size <= HEADER_SIZE:
            path.unlink()
            return None
        whose, of, first, start = read_header(begin)
        if (whose, of) != (log_id, lane):
            raise ValueError(f"it belongs to lane {of.word} of log {whose}")
        segment = read_footer(path, file)
        if segment is not None:
            return segment
        return _scan_file(path, file, Segment(path, lane, first, start), found)
    finally:
        os.close(file)


def _scan_file(path: Path, file: int, segment: Segment, found: Found) -> Segment | None:
    data = os.pread(file, os.fstat(file).st_size, 0)
    end, leapt = HEADER_SIZE, 0
    for offset, head in scan(data, HEADER_SIZE):
        leapt += offset - end
        end = offset + head.size
        if is_record(head) and head.seq > segment.last:
            segment.note(head, offset)
    segment.size = end
    if leapt:
        log.error("a file of the outbox is damaged; what can be read of it is kept", file=str(path), bytes=leapt)
        found.damaged.append(str(path))
        _set_aside(path.parent.parent, path, move=False)
    if len(data) > end:
        log.warning("the end of a file of the outbox was cut off half written", file=str(path), bytes=len(data) - end)
        found.torn_bytes += len(data) - end
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


def _set_aside(directory: Path, path: Path, *, move: bool) -> None:
    quarantine = directory / "quarantine"
    try:
        quarantine.mkdir(exist_ok=True)
        target = quarantine / f"{path.parent.name}-{path.name}"
        target.unlink(missing_ok=True)
        if move:
            path.rename(target)
        else:
            target.write_bytes(path.read_bytes())
        kept = sorted(quarantine.iterdir(), key=lambda entry: entry.stat().st_mtime)
        for entry in kept[:-_QUARANTINED_AT_MOST]:
            entry.unlink()
    except OSError as error:
        log.warning("a damaged file could not be set aside", file=str(path), error=str(error))


def _in_order(segments: list[Segment]) -> list[Segment]:
    """Only segments whose numbers follow each other; one that overlaps was not written by this log."""
    kept: list[Segment] = []
    for segment in sorted(segments, key=lambda segment: segment.first):
        if kept and (segment.first <= kept[-1].last or segment.start < kept[-1].end):
            log.error("a file of the outbox repeats numbers of another and is left alone", file=str(segment.path))
        else:
            kept.append(segment)
    return kept


def definitions_of(path: Path) -> list[bytes]:
    """The payloads of one file's definition frames; none if it is gone."""
    try:
        data = path.read_bytes()
    except OSError:
        return []
    return [
        data[offset + HEAD_SIZE : offset + head.size]
        for offset, head in scan(data, HEADER_SIZE)
        if head.kind == DEFINITION
    ]
