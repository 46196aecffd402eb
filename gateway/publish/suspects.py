"""A record that breaks the sink which is to send it must not hold up all the others for ever."""

from collections.abc import Sequence

from gateway.core.record import Record

TRIES = 3
"""How often a record may break a sink that got it alone."""


class Suspects:
    """Remembers, from one connection to the next, which records a sink was given when it broke by a bug.

    After a break as many records as it held then are handed over one at a time, which finds the one that breaks it; after
    `TRIES` breaks that one is to be set aside.
    """

    def __init__(self) -> None:
        self._held: Sequence[Record] = ()
        self._alone = 0
        self._breaks: dict[str, int] = {}

    def new_connection(self) -> None:
        """What is still held was not survived."""
        if len(self._held) == 1:
            suspect = self._held[0].id
            self._breaks[suspect] = self._breaks.get(suspect, 0) + 1
        self._alone = max(self._alone, len(self._held))
        self._held = ()

    def limit(self, room: int) -> int:
        """How many records may be handed over at once."""
        return min(room, 1) if self._alone else room

    def handing_over(self, records: Sequence[Record]) -> None:
        """The sink is about to get these."""
        self._held = records

    def survived(self) -> None:
        """It did not break."""
        if self._alone:
            self._alone = max(0, self._alone - len(self._held))
            for record in self._held:
                self._breaks.pop(record.id, None)
        self._held = ()

    def hopeless(self, records: Sequence[Record]) -> list[Record]:
        """Those of the records that are to be set aside."""
        return [record for record in records if self._breaks.get(record.id, 0) >= TRIES] if self._breaks else []

    def set_aside(self, record: Record) -> None:
        """It was found, and taken out."""
        del self._breaks[record.id]
        self._alone = max(0, self._alone - 1)
