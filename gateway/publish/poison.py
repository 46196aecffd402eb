"""A record at which the far side ends the connection must not hold up all the others for ever.

MQTT 3.1.1 has no other answer to a message that is too large or not allowed, and some brokers give none with MQTT 5.
"""

from collections.abc import Iterable, Sequence

from gateway.core.record import Record

ENDS = 3
"""Connections in a row that must end with the same record unanswered before it is doubted; of several such the oldest.
Answers to those before it may be lost with a connection, so it need not be the oldest of all."""
TRIALS = 3
"""How often the connection must end over a doubted record that was alone on its way, each time after another record was
taken by itself on the same connection: so that no bad link makes a good record look bad."""
AT_MOST = 20
"""Records in doubt; with more it is the link that is bad."""
QUICK = 20
"""Connections that may follow each other quickly in a search; if it takes more, it is the link that is bad."""
KEPT_APART_NS = 600_000_000_000
"""How long records like a convicted one (same device, as many readings or more) are not tried, if none such was taken."""


class Poison:
    """Remembers, from one connection to the next, over which records they ended."""

    def __init__(self) -> None:
        self._common: frozenset[str] = frozenset()
        """Records that were unanswered at the last end, and at those before it that are counted."""
        self._ends = 0
        self._trials: dict[str, int] = {}
        """Records in doubt."""
        self._alone = 0
        """How many records go one at a time, so that the next end tells over which it was: answers to the ones before may
        have been lost with the connection."""
        self._convicted: dict[str, tuple[int, int]] = {}
        """What a record is about → least number of readings, and boot time until which its like is not tried."""
        self._taken: dict[str, int] = {}
        """What a record is about → most readings of one that was taken, since a connection has ended badly."""
        self._hurried = 0
        """Connections that followed quickly, less those that did not."""
        self._fruitful = False
        """Whether the present connection has carried anything."""
        self.proven = False
        """Whether the present connection has carried another record by itself."""

    @property
    def careful(self) -> bool:
        """Whether records must go one at a time."""
        return bool(self._trials) or self._alone > 0

    def doubts(self, record: Record) -> bool:
        """Whether it should go only after another one has been taken."""
        return record.id in self._trials

    def new_connection(self) -> None:
        """The next one begins."""
        self._hurried = self._hurried + 1 if self.in_a_hurry else max(0, self._hurried - 1)
        self.proven = self._fruitful = False

    @property
    def in_a_hurry(self) -> bool:
        """Whether the next connection should come soon: the last one brought records through, or is part of a search."""
        return (self.careful or self._fruitful) and self._hurried < QUICK

    def acknowledged(self, records: Iterable[Record]) -> None:
        """The far side has answered these."""
        self._fruitful = True
        if not self._common:
            return
        for record in records:
            self._alone = max(0, self._alone - 1)
            self._taken[about(record)] = max(record.rows, self._taken.get(about(record), 0))
            if self._trials.pop(record.id, None) is None:
                self.proven = True

    def link_lost(self, under_way: Sequence[Record]) -> None:
        """The connection has ended with these unanswered, the oldest first."""
        if not under_way:
            return
        oldest = under_way[0].id
        if self.careful:
            alone = len(under_way) == 1
            self._trials[oldest] = self._trials.get(oldest, 0) + (alone and self.proven and oldest in self._trials)
        else:
            self._count([record.id for record in under_way])
            if self._ends >= ENDS:
                self._trials[next(record.id for record in under_way if record.id in self._common)] = 0
                self._alone = len(under_way)
        if len(self._trials) > AT_MOST:
            self._trials.clear()
            self._alone = 0

    def _count(self, unanswered: Sequence[str]) -> None:
        """One more end, or the first over these."""
        common = self._common.intersection(unanswered)
        self._ends = self._ends + 1 if common else 1
        self._common = common or frozenset(unanswered)

    def hopeless(self, records: Sequence[Record], boot_ns: int) -> list[Record]:
        """Those of the records that are to be set aside."""
        if not (self._trials or self._convicted):
            return []
        return [record for record in records if self._guilty(record) or self._alike(record, boot_ns)]

    def _guilty(self, record: Record) -> bool:
        return self._trials.get(record.id, 0) >= TRIALS

    def _alike(self, record: Record, boot_ns: int) -> bool:
        rows, until = self._convicted.get(about(record), (0, 0))
        return boot_ns < until and record.rows >= rows

    def set_aside(self, record: Record, boot_ns: int) -> None:
        """It was. Its like are too for some time, unless such a one was taken."""
        guilty = self._trials.pop(record.id, None) is not None
        self._alone = self._hurried = 0
        if guilty and record.rows > self._taken.get(about(record), 0):
            self._convicted[about(record)] = (record.rows, boot_ns + KEPT_APART_NS)


def about(record: Record) -> str:
    """The device whose readings it holds, or what else it is."""
    return f"device {record.readings.device.name}" if record.readings is not None else record.kind.name.lower()
