"""The files of a log, looked at and never changed: also of a copied directory, and while a gateway writes them.

What a running gateway does meanwhile is no damage: files of which everything was delivered go, the last one grows.
"""

import os
from collections.abc import Iterable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import unquote

from gateway.core.errors import GatewayError
from gateway.core.record import Lane, Record
from gateway.outbox.dictionary import Dictionary
from gateway.outbox.frames import FOOTER, Head, is_record
from gateway.outbox.identity import Numbers, read_identity, read_numbers
from gateway.outbox.progress import Progress
from gateway.outbox.reading import frames, record
from gateway.outbox.segment import HEADER_SIZE, Segment, read_footer, read_header
from gateway.outbox.state import read_cursor


@dataclass(frozen=True, slots=True)
class Cursor:
    """A sink's file."""

    sink: str
    path: Path
    lanes: dict[Lane, Progress] | None
    """None if it is damaged."""
    problem: str = ""


class LogFiles:
    """A log on disk. Raises GatewayError for a directory that is none, and OSError for one that cannot be read."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.log_id = _log_id(directory)
        self.dictionary = Dictionary()
        with suppress(FileNotFoundError):  # definitions stand in the segments too
            self.dictionary.load((directory / "tags").read_bytes())

    def paths(self, lane: Lane) -> list[Path]:
        """The segment files of a lane, oldest first."""
        return sorted((self.directory / lane.word).glob("*.seg"))

    def segment(self, path: Path, lane: Lane) -> Segment | None:
        """What a file holds: by its footer, else by looking through it. None for one that is gone or holds nothing yet.
        Raises ValueError for one that is damaged at its beginning or belongs to another log."""
        try:
            file = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
        except FileNotFoundError:
            return None
        try:
            size = os.fstat(file).st_size
            if size <= HEADER_SIZE:
                return None
            first, start = self.begin(os.pread(file, HEADER_SIZE, 0), lane)
            return read_footer(path, file) or _looked_through(path, Segment(path, lane, first, start), size)
        finally:
            os.close(file)

    def begin(self, header: bytes, lane: Lane) -> tuple[int, int]:
        """First number and running count of a file of this lane. Raises ValueError."""
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
            except ValueError as error:
                if unreadable is not None:
                    unreadable.append(f"{path}: {error}")
                continue
            if segment is not None and segment.records:
                found.append(segment)
        return sorted(found, key=lambda segment: segment.first)

    def heads(self, segments: Iterable[Segment], from_seq: int = 0) -> Iterator[tuple[Segment, Head, memoryview]]:
        """The records of these files from a number on, payloads undecoded; a file that is gone meanwhile has none."""
        for segment in segments:
            if segment.last < from_seq:
                continue
            _, _, offset = segment.place(from_seq)
            try:
                for head, payload, _ in frames(segment.path, offset, segment.size):
                    if is_record(head) and head.seq >= from_seq:
                        yield segment, head, payload
            except FileNotFoundError:
                continue

    def record(self, segment: Segment, head: Head, payload: memoryview) -> Record:
        """The record of a frame. Raises ValueError if its tags are defined nowhere, or it is of a later version."""
        return record(head, payload, segment.path, self.log_id, self.dictionary)

    def numbers(self) -> Numbers | None:
        """Where numbering stands; None if the file is missing or damaged."""
        try:
            return read_numbers(self.directory / "numbers")
        except FileNotFoundError:
            return None

    def cursors(self) -> list[Cursor]:
        """How far each sink has come."""
        return [self._cursor(path) for path in sorted((self.directory / "cursors").glob("*.json"))]

    def _cursor(self, path: Path) -> Cursor:
        sink = unquote(path.stem)
        try:
            return Cursor(sink, path, read_cursor(path, self.log_id))
        except ValueError as error:
            return Cursor(sink, path, None, str(error))


def _log_id(directory: Path) -> str:
    path = directory / "log.json"
    try:
        return read_identity(path)[0]
    except FileNotFoundError:
        raise GatewayError(f"{directory} is no outbox: it has no log.json") from None
    except ValueError:
        raise GatewayError(f"{path} is damaged: the log's id cannot be read") from None


def _looked_through(path: Path, segment: Segment, size: int) -> Segment:
    for head, _, end in frames(path, HEADER_SIZE, size):
        if head.kind != FOOTER:
            segment.size = end
        if is_record(head) and head.seq > segment.last:
            segment.note(head, end - head.size)
    return segment
