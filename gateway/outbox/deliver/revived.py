"""Dead letters that are tried once more."""

from collections import deque

from gateway.core.record import Record
from gateway.outbox.format import Letter


class Revived:
    """Of one sink: handed out beside what the log holds, under the ids they always had."""

    def __init__(self) -> None:
        self._waiting: deque[Letter] = deque()
        self._out: dict[Record, Letter] = {}

    def add(self, letter: Letter) -> None:
        """Try this one, unless that is being done already."""
        if all(other.name != letter.name for other in (*self._waiting, *self._out.values())):
            self._waiting.append(letter)

    def take(self, room: int) -> list[Record]:
        """Up to so many, handed out now."""
        letters = [self._waiting.popleft() for _ in range(min(room, len(self._waiting)))]
        self._out |= {letter.record: letter for letter in letters}
        return [letter.record for letter in letters]

    def holds(self, record: Record) -> bool:
        """Whether it was handed out from here, and not answered."""
        return record in self._out

    def answered(self, record: Record) -> Letter | None:
        """The letter that this record was handed out for, which is under way no more; None for any other record."""
        return self._out.pop(record, None) if self._out else None

    def rewind(self) -> None:
        """The link is lost: what was under way waits again."""
        self._waiting.extendleft(reversed(self._out.values()))
        self._out.clear()
