"""What makes the brokers drop our repeats: batches with numbers, kept until it is certain what became of them.

Kafka knows a batch again by producer id, partition and number (KIP-98). A batch whose answer was lost with a connection is
therefore sent once more as it was, byte for byte, before anything else goes to its partition: then it is in the log once,
whether or not it was before. That holds as long as this process lives; after a restart there is a new producer id, and the
record's id in the headers is what a consumer knows repeats by.
"""

from collections import deque
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

from aiokafka.record.default_records import DefaultRecordBatchBuilder

from gateway.plugin import Lane, Record

GZIP = 1
REMEMBERED = 20_000
"""Records, at most, that the brokers are known to have taken while nobody waited for the answer."""

NO_TIME = -1
"""Of a record whose time the brokers do not take; its own stands in its value."""

Headers = list[tuple[str, bytes]]
Place = tuple[str, int]
"""Topic and partition."""


@dataclass(slots=True)
class Entry:
    """A message that waits."""

    record: Record
    key: bytes
    value: bytes
    headers: Headers
    last: bool
    """Whether it is the record's last one."""


@dataclass(slots=True)
class Batch:
    """Messages as they are sent, under numbers."""

    data: bytes
    first: int
    """Number of the first message within the partition."""
    entries: list[Entry]
    producer: int
    """The producer id that counts it; -1: none does."""
    lost: bool = False
    """Whether an answer to it was lost: then it may be in the log."""

    @property
    def next(self) -> int:
        """The number after its last one."""
        return (self.first + len(self.entries)) & 0x7FFF_FFFF

    @property
    def completes(self) -> list[Record]:
        """The records whose last message it holds."""
        return [entry.record for entry in self.entries if entry.last]


@dataclass(slots=True)
class Producer:
    """What one connection leaves for the next."""

    cluster: str = ""
    meant: tuple[object, ...] = ()
    """What the configuration said; with another one nothing of this means anything."""
    id: int = -1
    epoch: int = -1
    numbers: dict[Place, int] = field(default_factory=dict)
    """The next number of each partition."""
    doubtful: dict[Place, Batch] = field(default_factory=dict)
    """Of each partition, the batch of which it is not known whether it is in the log."""
    taken: dict[str, None] = field(default_factory=dict)
    """Ids of records that were found to be in the log before they were handed over again."""

    def renew(self) -> None:
        """Begin with another producer id. What is in doubt keeps the one that it was sent under."""
        self.id = self.epoch = -1
        self.numbers.clear()

    def remember(self, ids: Iterator[str]) -> None:
        """These are in the log."""
        for name in ids:
            self.taken[name] = None
        while len(self.taken) > REMEMBERED:
            del self.taken[next(iter(self.taken))]


class Partition:
    """What waits for one partition, and the one batch that may be under way: so nothing overtakes within it, whatever is
    sent again. Pure: no socket, no clock."""

    def __init__(self, place: Place, producer: Producer, largest: int, compressed: bool) -> None:
        self.place = place
        self._producer = producer
        self._alarms: deque[Entry] = deque()
        self._waiting: deque[Entry] = deque()
        self.under_way: Batch | None = None
        self.awaited: dict[str, Record] = {}
        """Records handed over that stand in the batch in doubt, by id."""
        self._largest = largest
        self._compressed = compressed
        self._timed = True
        self._at_once = 0
        """Messages of a batch, at most, while one is sought that is not taken; 0: as many as fit."""
        self._inherited = place in producer.doubtful
        """Whether the connection before has left a batch in doubt, which is not sent yet."""

    @property
    def has_work(self) -> bool:
        """Whether a batch can be made now."""
        return self.under_way is None and bool(self._waiting or self._alarms or self.awaited or self._inherited)

    def add(self, entries: Sequence[Entry], urgent: bool) -> None:
        """These wait now; urgent ones before the others."""
        (self._alarms if urgent else self._waiting).extend(entries)

    def next_batch(self) -> Batch:
        """The batch in doubt, or a new one of what waits. Only when it `has_work`."""
        self._inherited = False
        self.under_way = self._producer.doubtful.get(self.place) or self._made()
        return self.under_way

    def _made(self) -> Batch:
        queue = self._alarms or self._waiting
        producer = self._producer
        first = producer.numbers.get(self.place, 0)
        numbers = (producer.id, producer.epoch, first if producer.id >= 0 else -1)
        builder = DefaultRecordBatchBuilder(2, GZIP if self._compressed else 0, 0, *numbers, self._largest)
        append = builder.append
        entries: list[Entry] = []
        while queue and (not self._at_once or len(entries) < self._at_once):
            entry = queue[0]
            at = entry.record.wall_ns // 1_000_000 if self._timed else NO_TIME
            if append(len(entries), at, entry.key, entry.value, entry.headers) is None:
                break
            entries.append(queue.popleft())
        return Batch(bytes(builder.build()), first, entries, producer.id)

    def taken(self) -> list[Record]:
        """What was under way is in the log. Returns the records that are complete by that."""
        batch = self._answered()
        self._producer.doubtful.pop(self.place, None)
        if batch.producer == self._producer.id:
            self._producer.numbers[self.place] = batch.next
        if self._at_once and len(batch.entries) == self._at_once:
            self._at_once *= 2
        done = batch.completes
        if not batch.lost:
            return done
        self._producer.remember(each.id for each in done if each.id not in self.awaited)
        done = [self.awaited[each.id] for each in done if each.id in self.awaited]
        self.awaited.clear()
        return done

    def lost(self) -> None:
        """It is not known what became of what was under way."""
        if self.under_way is not None:
            batch = self._answered()
            batch.lost = True
            self._producer.doubtful[self.place] = batch

    def not_now(self, certain: bool) -> list[Record]:
        """What was under way was not taken for now. `certain`: nor is it in the log. Returns all records of this partition:
        none of them waits here any longer, and whoever sends them again decides when."""
        batch = self.under_way
        records = [] if batch is None or batch.lost else [entry.record for entry in batch.entries]
        if batch is None or not certain or batch.lost:
            self.lost()
        else:
            self._answered()
        return self._all_but(records)

    def uncounted(self) -> None:
        """The brokers no longer know the numbers of what was under way: it can no longer be told from a repeat."""
        self._answered()
        self._producer.doubtful.pop(self.place, None)
        self._producer.renew()

    def never(self) -> list[Record]:
        """One of the messages under way will never be taken. Returns its record when it was alone; else smaller batches find
        out which."""
        entries = self._back()
        if len(entries) > 1:
            self._at_once = len(entries) // 2
            return []
        guilty = {id(entry.record): entry.record for entry in entries}
        self._alarms = deque(entry for entry in self._alarms if id(entry.record) not in guilty)
        self._waiting = deque(entry for entry in self._waiting if id(entry.record) not in guilty)
        return list(guilty.values())

    def without_times(self) -> None:
        """The brokers do not like the times of what was under way: it goes again without, and so does what follows."""
        self._back()
        self._timed = False

    def _back(self) -> list[Entry]:
        """What was under way, and is certain not to be in the log, waits again, before all else; but for what was in doubt
        and is not handed over yet, which comes anew. Returns it."""
        batch = self._answered()
        entries = batch.entries
        if batch.lost:
            self._producer.doubtful.pop(self.place, None)
            for entry in entries:
                entry.record = self.awaited.get(entry.record.id, entry.record)
            entries = [entry for entry in entries if entry.record.id in self.awaited]
            self.awaited.clear()
        alarms = bool(entries) and entries[0].record.lane is Lane.ALARM
        (self._alarms if alarms else self._waiting).extendleft(reversed(entries))
        return entries

    def _answered(self) -> Batch:
        assert self.under_way is not None
        batch, self.under_way = self.under_way, None
        return batch

    def _all_but(self, records: list[Record]) -> list[Record]:
        waiting = [entry.record for entry in (*self._alarms, *self._waiting)]
        found = {id(each): each for each in (*records, *self.awaited.values(), *waiting)}
        self._alarms.clear()
        self._waiting.clear()
        self.awaited.clear()
        return list(found.values())


def memory_of(memory: dict[str, Any]) -> Producer:
    """The producer that a sink's connections share."""
    found = memory.get("producer")
    if not isinstance(found, Producer):
        found = memory["producer"] = Producer()
    return found
