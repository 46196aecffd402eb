"""A record over which the sessions of a sink end must not hold up all the others for ever: it is found, and set aside.

Where the plugin breaks on it by a bug, it is one of those that were handed over in that moment: as many go one at a time
then, until the one is alone. Where the far side ends the connection, nobody says over which record.

MQTT 3.1.1 has no other answer to a message that is too large or not allowed, and some brokers give none with MQTT 5. The end
of a connection does not tell over which record it came, and each connection begins with other records. So after some ends
records go one at a time, and guilt is counted against the record, and against what it is about: its device, whose topic may
not be allowed, or whose records may be too large.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

from gateway.core.record import Record

ENDS = 3
"""Connections in a row that must end with the same record, or others of the same device, unanswered before records go one
at a time. Answers to those before it may be lost with a connection, so it need not be the oldest of all."""
TRIALS = 3
"""How often the plugin must break on what it was given alone; or the connection end over what was alone on its way, each
time after another record was taken by itself on the same connection: so that no bad link makes a good record look bad."""
AT_MOST = 20
"""Records in doubt; with more it is the link that is bad."""
SEARCHED = 20
"""Records that go one at a time after an end, at least; else twice as many as were on their way."""
QUICK = 20
"""Connections that may follow each other quickly in a search; if it takes more, it is the link that is bad."""
KEPT_APART_NS = 600_000_000_000
"""How long records like a convicted one (same device, as many readings or more) are not tried, if none such was taken."""

BREAKS = "the sink plugin breaks on this record; its traceback stands further up in the log"
ENDS_OVER = "the far side ends the connection over records of"


@dataclass(slots=True)
class _Doubt:
    """What speaks against the records of one device, since one of them was taken."""

    rows: int
    """Least number of readings of one over which a connection ended."""
    ids: set[str] = field(default_factory=set)
    strikes: int = 0


class _Breaks:
    """On which records the plugin has broken."""

    def __init__(self) -> None:
        self._held: Sequence[Record] = ()
        """What it was given, and did not survive yet."""
        self._times: dict[str, int] = {}
        """How often it broke on a record alone."""
        self.alone = 0
        """How many records go one at a time, so that the next break tells on which it was."""

    def new_session(self) -> None:
        """What is still held was not survived."""
        if len(self._held) == 1:
            (record,) = self._held
            self._times[record.id] = self._times.get(record.id, 0) + 1
        self.alone = max(self.alone, len(self._held))
        self._held = ()

    def handing_over(self, records: Sequence[Record]) -> None:
        """The plugin is about to get these."""
        self._held = records

    def survived(self) -> None:
        """It did not break."""
        if self.alone:
            self.alone = max(0, self.alone - len(self._held))
            for record in self._held:
                self._times.pop(record.id, None)
        self._held = ()

    def condemned(self, records: Sequence[Record]) -> list[Record]:
        """Those of the records that are set aside."""
        found = [record for record in records if self._times.get(record.id, 0) >= TRIALS] if self._times else []
        for record in found:
            del self._times[record.id]
            self.alone = max(0, self.alone - 1)
        return found


class Quarantine:
    """Remembers, from one session of a sink to the next, over which records they ended, and says what may go now."""

    def __init__(self) -> None:
        self._breaks = _Breaks()
        self._put_by: list[Record] = []
        """Records in doubt, taken from the outbox and not handed over yet."""
        self._common: frozenset[str] = frozenset()
        """What was unanswered at the last end, and at those before it that are counted: ids, and what they are about."""
        self._ends = 0
        self._trials: dict[str, int] = {}
        """Records in doubt, and how often a connection ended over them."""
        self._subjects: dict[str, _Doubt] = {}
        self._alone = 0
        """How many records go one at a time, so that the next end tells over which it was."""
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
        """Whether records must go one at a time, each after the answer to the one before."""
        return self._alone > 0 or bool(self._put_by)

    @property
    def holds(self) -> bool:
        """Whether records wait here that were taken from the outbox."""
        return bool(self._put_by)

    def at_once(self, room: int) -> int:
        """How many records may be handed over at once, if there is room for so many."""
        return min(room, 1) if self._breaks.alone else room

    def next_put_by(self) -> Record | None:
        """One that was in doubt, now that another was taken."""
        return self._put_by.pop(0) if self._put_by and self.proven else None

    def may_go(self, records: Sequence[Record], at_most: int) -> Sequence[Record]:
        """What is to go of what the outbox has given, one record or none: one in doubt is put by (up to `at_most`) until
        another was taken, or there is no other."""
        if not records and self._put_by:
            least = next((n for n, record in enumerate(self._put_by) if record.id not in self._trials), 0)
            return [self._put_by.pop(least)]
        if records and not self.proven and self.doubts(records[0]) and len(self._put_by) < at_most:
            self._put_by += records
            return []
        return records

    @property
    def suspect(self) -> str:
        """What connections seem to end over; empty while nothing speaks against anything."""
        struck = [(doubt.strikes, about) for about, doubt in self._subjects.items() if doubt.strikes]
        return max(struck)[1] if struck else ""

    def doubts(self, record: Record) -> bool:
        """Whether it should go only after another one has been taken."""
        return record.id in self._trials or len(self._against(record).ids) > 1

    def _against(self, record: Record) -> _Doubt:
        doubt = self._subjects.get(record.about)
        return doubt if doubt is not None and record.rows >= doubt.rows else _NONE

    def new_session(self) -> None:
        """The next one begins; what was put by is in the outbox again."""
        self._breaks.new_session()
        self._put_by.clear()
        self._hurried = self._hurried + 1 if self.in_a_hurry else max(0, self._hurried - 1)
        self.proven = self._fruitful = False

    @property
    def in_a_hurry(self) -> bool:
        """Whether the next connection should come soon: the last one brought records through, or is part of a search."""
        return (self._alone > 0 or self._fruitful) and self._hurried < QUICK

    def handing_over(self, records: Sequence[Record]) -> None:
        """The plugin is about to get these."""
        self._breaks.handing_over(records)

    def survived(self) -> None:
        """It did not break on them."""
        self._breaks.survived()

    def fruitful(self) -> None:
        """The connection has carried something, be it no record, or is part of another search."""
        self._fruitful = True

    def acknowledged(self, records: Iterable[Record]) -> None:
        """The far side has answered these."""
        self._fruitful = True
        if not self._common:
            return
        for record in records:
            self._alone = max(0, self._alone - 1)
            name = record.about
            self._taken[name] = max(record.rows, self._taken.get(name, 0))
            if self._against(record) is not _NONE:
                del self._subjects[name]
            if self._trials.pop(record.id, None) is None:
                self.proven = True

    def link_lost(self, under_way: Sequence[Record]) -> None:
        """The connection has ended with these unanswered, the oldest first."""
        if not under_way:
            return
        searching = self._alone > 0 or bool(self._trials)
        if searching and len(under_way) == 1:
            self._strike(under_way[0])
        elif not searching:
            self._count(under_way)
        if len(self._trials) > AT_MOST:
            self._trials.clear()
            self._subjects.clear()
            self._alone = 0
        elif searching or self._ends >= ENDS:
            if not self._trials:
                self._trials[next((each for each in under_way if self._was_there(each)), under_way[0]).id] = 0
            self._alone = max(self._alone, SEARCHED, 2 * len(under_way))

    def _strike(self, record: Record) -> None:
        self._trials[record.id] = self._trials.get(record.id, 0) + self.proven
        doubt = self._subjects.setdefault(record.about, _Doubt(record.rows))
        doubt.rows = min(doubt.rows, record.rows)
        doubt.ids.add(record.id)
        doubt.strikes += self.proven

    def _count(self, under_way: Sequence[Record]) -> None:
        """One more end, or the first over these."""
        unanswered = {name for record in under_way for name in (record.id, record.about)}
        common = self._common.intersection(unanswered)
        self._ends = self._ends + 1 if common else 1
        self._common = common or frozenset(unanswered)

    def _was_there(self, record: Record) -> bool:
        return record.id in self._common

    def condemned(self, records: Sequence[Record], boot_ns: int) -> list[tuple[Record, str]]:
        """Those of the records that are set aside now, and why."""
        broken = self._breaks.condemned(records)
        found = [(record, BREAKS) for record in broken]
        if self._trials or self._subjects or self._convicted:
            rest = [record for record in records if record not in broken]
            for record in [each for each in rest if self._guilty(each) or self._alike(each, boot_ns)]:
                self._set_aside(record, boot_ns)
                found.append((record, f"{ENDS_OVER} {record.about}: too large, or not allowed?"))
        return found

    def _guilty(self, record: Record) -> bool:
        return self._trials.get(record.id, 0) >= TRIALS or self._against(record).strikes >= TRIALS

    def _alike(self, record: Record, boot_ns: int) -> bool:
        rows, until = self._convicted.get(record.about, (0, 0))
        return boot_ns < until and record.rows >= rows

    def _set_aside(self, record: Record, boot_ns: int) -> None:
        """Its like are too for some time, unless such a one was taken; all of the device, if a smaller one than
        before is to blame."""
        guilty, name = self._guilty(record), record.about
        self._trials.pop(record.id, None)
        if not guilty:
            return
        self._subjects.pop(name, None)
        self._hurried = self._ends = 0
        self._alone = SEARCHED if self._trials else 0
        if record.rows > self._taken.get(name, 0):
            known = boot_ns < self._convicted.get(name, (0, 0))[1]
            self._convicted[name] = (0 if known else record.rows, boot_ns + KEPT_APART_NS)


_NONE = _Doubt(0)
