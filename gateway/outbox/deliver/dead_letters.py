"""Dead letters: records that a far side refused for good, kept for a person to look at, to send again, or to drop.

They count as dropped in the sink's balance, and as acknowledged once a later attempt succeeds.
"""

from collections.abc import Iterable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import structlog

from gateway.core.clock import Clock
from gateway.core.event import Event, EventLog
from gateway.core.record import Record
from gateway.outbox.format import LETTER_AT_MOST, Letter, dump_letter, load_letter
from gateway.outbox.write import Writer
from gateway.places.regular import read_regular
from gateway.status import DeadStatus

log = structlog.get_logger()

AT_MOST = 1000
"""Letters that are kept; of more, the oldest go."""
BYTES_AT_MOST = 32 * 1024 * 1024
DIRECTORY = "dead"


@dataclass(slots=True)
class _Kept:
    sink: str
    id: str
    size: int


class DeadLetters:
    """Those of one log, in a folder of its own. Decided in the event loop, written by the writer's thread."""

    def __init__(self, directory: Path, writer: Writer, clock: Clock, events: EventLog) -> None:
        """Blocking: looks at what is there. `events` is told of the first letter of each sink and reason."""
        self.directory = directory / DIRECTORY
        self.given_up = 0
        """Letters that had to make room since the start."""
        self._writer = writer
        self._clock = clock
        self._events = events
        self._reported: set[tuple[str, str]] = set()
        self._kept: dict[str, _Kept] = {}
        with suppress(OSError):
            self.directory.mkdir(exist_ok=True)
        for path, letter in letters(directory):
            if isinstance(letter, Letter):
                self._kept[path.name] = _Kept(letter.sink, letter.record.id, _size(path))
            else:
                log.warning("a dead letter is damaged; it stays where it is", file=str(path), why=letter)
        self._size = sum(kept.size for kept in self._kept.values())

    def add(self, sink: str, record: Record, reason: str) -> None:
        """Keep this record."""
        letter = Letter(sink, reason, self._clock.wall_ns(), record)
        data = dump_letter(letter)
        self._forget([letter.name])
        self._kept[letter.name] = _Kept(sink, record.id, len(data))
        self._size += len(data)
        self._writer.save_durably(self.directory / letter.name, data)
        while len(self._kept) > AT_MOST or self._size > BYTES_AT_MOST:
            self.given_up += 1
            self._drop([next(iter(self._kept))])
        self._tell(letter)

    def _tell(self, letter: Letter) -> None:
        """Say it once for each sink and reason, to the log and as an event."""
        if (letter.sink, letter.reason) in self._reported:
            return
        self._reported.add((letter.sink, letter.reason))
        look = "edge-gateway outbox dead list"
        log.error("a record was refused for good and is kept as a dead letter", sink=letter.sink, id=letter.record.id,
                  reason=letter.reason, look=look)  # fmt: skip
        detail = {"sink": letter.sink, "reason": letter.reason, "record": letter.record.id}
        message = f"Sink {letter.sink} does not take records of {letter.about}: {letter.reason}. They are kept: {look}."
        name = f"dead-{letter.sink}-{letter.record.lane.word}-{letter.record.seq}"
        self._events.append_event(Event(name, "gateway", "dead-letter", "", letter.died_ns, message, "warning", detail))

    def named(self, ids: Sequence[str], sink: str | None) -> dict[str, str]:
        """Files of the letters with these ids (all, if none are given) and of this sink (any): name → sink."""
        return {
            name: kept.sink
            for name, kept in self._kept.items()
            if (not ids or kept.id in ids) and sink in (None, kept.sink)
        }

    def read(self, name: str) -> Letter:
        """A letter, from the disk. Raises OSError, and ValueError for a damaged one."""
        return load_letter(read_regular(self.directory / name, LETTER_AT_MOST))

    def drop(self, names: Iterable[str]) -> None:
        """Keep these no longer."""
        self._drop([name for name in names if name in self._kept])

    def _drop(self, names: Sequence[str]) -> None:
        self._forget(names)
        self._writer.remove([self.directory / name for name in names])

    def _forget(self, names: Sequence[str]) -> None:
        for name in names:
            if kept := self._kept.pop(name, None):
                self._size -= kept.size

    def status(self) -> DeadStatus:
        """How many are kept, by sink; their bytes; and how many had to make room."""
        sinks: dict[str, int] = {}
        for kept in self._kept.values():
            sinks[kept.sink] = sinks.get(kept.sink, 0) + 1
        return DeadStatus(letters=len(self._kept), sinks=sinks, size=self._size, given_up=self.given_up)


def _size(path: Path) -> int:
    with suppress(OSError):
        return path.stat().st_size
    return 0


def letters(outbox: Path) -> list[tuple[Path, Letter | str]]:
    """The dead letters in an outbox's directory, the oldest first; for one that is damaged, what is wrong. Blocking."""
    found: list[tuple[int, Path, Letter | str]] = []
    for path in (outbox / DIRECTORY).glob("*.dead"):
        with suppress(FileNotFoundError):
            try:
                letter = load_letter(read_regular(path, LETTER_AT_MOST))
                found.append((letter.died_ns, path, letter))
            except FileNotFoundError:
                raise
            except (OSError, ValueError) as error:
                found.append((0, path, str(error)))
    return [(path, letter) for _, path, letter in sorted(found, key=lambda each: (each[0], each[1].name))]
