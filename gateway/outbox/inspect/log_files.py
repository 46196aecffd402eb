"""The files of a log, looked at and never changed: also of a copied directory, and while a gateway writes them.

What a running gateway does meanwhile is no damage: files of which everything was delivered go, the last one grows.
"""

import os
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

from gateway.core.errors import GatewayError
from gateway.core.parsing import doubting
from gateway.core.record import Lane, Record
from gateway.outbox.format import (
    DICTIONARY_AT_MOST,
    FOOTER,
    HEADER_SIZE,
    SEGMENT_AT_MOST,
    Dictionary,
    FrameHeader,
    LaneCursor,
    Numbers,
    Segment,
    is_record,
    read_cursor,
    read_footer,
    read_frames,
    read_header,
    read_identity,
    read_numbers,
    read_record,
    sink_of,
    summary_sizes,
)
from gateway.places.regular import NO_FILE, open_regular, read_regular


@dataclass(frozen=True, slots=True)
class Cursor:
    """A sink's file."""

    sink: str
    path: Path
    lanes: dict[Lane, LaneCursor] | None
    """None if it is damaged."""
    problem: str = ""


class LogFiles:
    """A log on disk. Raises GatewayError for a directory that is none, and OSError for one that cannot be read."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.log_id = _log_id(directory)
        self.dictionary = Dictionary()
        try:
            self.dictionary.load(read_regular(directory / "tags", DICTIONARY_AT_MOST))
        except OSError as error:  # definitions stand in the segments too
            if not (isinstance(error, FileNotFoundError) or error.errno in NO_FILE):
                raise

    @property
    def summaries(self) -> int:
        """Bytes of all summaries."""
        return sum(summary_sizes(self.directory).values())

    def paths(self, lane: Lane) -> list[Path]:
        """The segment files of a lane, oldest first."""
        return sorted((self.directory / lane.word).glob("*.seg"))

    def segment(self, path: Path, lane: Lane) -> Segment | None:
        """What a file holds: by its footer, else by looking through it. None for one that is gone or holds nothing yet.
        Raises ValueError for one that is damaged at its beginning or belongs to another log."""
        try:
            file = open_regular(path)
        except FileNotFoundError:
            return None
        try:
            size = os.fstat(file).st_size
            if size <= HEADER_SIZE:
                return None
            if size > SEGMENT_AT_MOST:
                raise ValueError(f"it is longer than {SEGMENT_AT_MOST} bytes")
            first, start = self.begin(os.pread(file, HEADER_SIZE, 0), lane)
            return read_footer(path, file, lane, (first, start)) or _looked_through(
                path, Segment(path, lane, first, start), size
            )
        finally:
            os.close(file)

    def begin(self, header: bytes, lane: Lane) -> tuple[int, int]:
        """First number and running count of a file of this lane. Raises ValueError."""
        with doubting(ValueError):
            whose, of, first, start = read_header(header)
        if (whose, of) != (self.log_id, lane):
            raise ValueError(f"it belongs to lane {of.word} of log {whose}")
        return first, start

    def segments(self, lane: Lane, unreadable: list[str] | None = None) -> list[Segment]:
        """All files of a lane that can be read, in order; the names of others are put into `unreadable`."""
        found = []
        for path in self.paths(lane):
            try:
                segment = self.segment(path, lane)
            except (OSError, ValueError) as error:
                if isinstance(error, OSError) and error.errno not in NO_FILE:
                    raise
                if unreadable is not None:
                    unreadable.append(f"{path}: {error}")
                continue
            if segment is not None and segment.records:
                found.append(segment)
        return sorted(found, key=lambda segment: segment.first)

    def heads(
        self, segments: Iterable[Segment], from_seq: int = 0
    ) -> Iterator[tuple[Segment, FrameHeader, memoryview]]:
        """The records of these files from a number on, payloads undecoded; a file that is gone meanwhile has none."""
        for segment in segments:
            if segment.last < from_seq:
                continue
            _, _, offset = segment.place(from_seq)
            try:
                for head, payload, _ in read_frames(segment.path, offset, segment.size):
                    if is_record(head) and head.seq >= from_seq:
                        yield segment, head, payload
            except FileNotFoundError:
                continue

    def record(self, segment: Segment, head: FrameHeader, payload: memoryview) -> Record:
        """The record of a frame. Raises ValueError if its tags are defined nowhere, or it is of a later version."""
        return read_record(head, payload, segment.path, self.log_id, self.dictionary)

    def numbers(self) -> Numbers | None:
        """Where numbering stands; None if the file is missing or damaged."""
        try:
            return read_numbers(self.directory / "numbers")
        except OSError as error:
            if isinstance(error, FileNotFoundError) or error.errno in NO_FILE:
                return None
            raise

    def cursors(self) -> list[Cursor]:
        """How far each sink has come."""
        paths = sorted((self.directory / "cursors").glob("*.json"))
        return [cursor for path in paths if (cursor := self._cursor(path))]

    def _cursor(self, path: Path) -> Cursor | None:
        try:
            sink, lanes = read_cursor(path, self.log_id)
            return Cursor(sink, path, lanes)
        except FileNotFoundError:
            return None
        except (OSError, ValueError) as error:
            return Cursor(sink_of(path), path, None, str(error))


def _log_id(directory: Path) -> str:
    path = directory / "log.json"
    try:
        return read_identity(path)[0]
    except (FileNotFoundError, NotADirectoryError):
        raise GatewayError(f"{directory} is no outbox: it has no log.json") from None
    except ValueError:
        raise GatewayError(f"{path} is damaged: the log's id cannot be read") from None
    except OSError as error:
        if error.errno not in NO_FILE:
            raise
        raise GatewayError(f"{path}: {error.strerror}") from None


def _looked_through(path: Path, segment: Segment, size: int) -> Segment:
    for head, _, end in read_frames(path, HEADER_SIZE, size):
        if head.kind != FOOTER:
            segment.size = end
        if is_record(head) and head.seq > segment.last and head.total >= segment.end and head.lane == segment.lane:
            segment.note(head, end - head.size)
    return segment
