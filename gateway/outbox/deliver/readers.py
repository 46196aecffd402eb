"""The sinks' places in the log: where a reader begins, and what of its account no file has any more."""

import asyncio
from collections.abc import Iterator, Mapping, Sequence

import structlog

from gateway.core.clock import Clock
from gateway.core.record import Lane, Record
from gateway.core.selection import EVERYTHING, Selection
from gateway.outbox.deliver.dead_letters import DeadLetters
from gateway.outbox.deliver.lane_position import LanePosition
from gateway.outbox.deliver.left_out import LeftOut, PeriodOf
from gateway.outbox.deliver.reader import Order, Reader
from gateway.outbox.deliver.unkept_queue import marked
from gateway.outbox.format import Gap, LaneCursor, Span, Stored, read_records
from gateway.outbox.start import State
from gateway.outbox.write import LaneLog

log = structlog.get_logger()


class Readers(Mapping[str, Reader]):
    """One reader for each sink that is configured, by the sink's name; the `ReaderHost` of them all."""

    def __init__(
        self, lanes: Mapping[Lane, LaneLog], found: State, clock: Clock, dead: DeadLetters, *, in_memory: bool = False
    ) -> None:
        """`in_memory`: the log is itself in memory, so no record of it is kept."""
        self.clock = clock
        self.boot = found.boot
        self.dead = dead
        self._lanes = lanes
        self._state = found
        self._in_memory = in_memory
        self._readers: dict[str, Reader] = {}
        self.period_of: PeriodOf = lambda _: None

    def __getitem__(self, sink: str) -> Reader:
        return self._readers[sink]

    def __iter__(self) -> Iterator[str]:
        return iter(self._readers)

    def __len__(self) -> int:
        return len(self._readers)

    def reader(self, sink: str, order: Order, backfill: float | None, selection: Selection = EVERYTHING) -> Reader:
        """This sink's place in the log; the same object each time, until it is released. `selection`: what it is meant to
        get."""
        reader = self._readers.get(sink)
        if reader is None:
            reader = self._readers[sink] = self._begin(sink, order, selection)
        reader.order = order
        reader.backfill.per_second = backfill
        return reader

    def release(self, sink: str) -> Reader | None:
        """This sink holds nothing back any more; where it stood is known if it comes back."""
        reader = self._readers.pop(sink, None)
        if reader is not None:
            if reader.replay is not None:
                reader.replay.end("its sink was changed or removed")
            self._state.cursors[sink] = {lane: position.cursor for lane, position in reader.positions.items()}
        return reader

    def wake(self) -> None:
        """There is something new for all of them."""
        for reader in self._readers.values():
            reader.wake()

    def accepted(self, lane: Lane, records: Sequence[Record], totals: Sequence[int]) -> None:
        """These records may be handed out from now on; `totals`: the running count before each."""
        for reader in self._readers.values():
            reader.accepted(lane, records, totals)

    async def look_back(self) -> None:
        """Have those that want something else than before look at what they have not had. Raises OSError."""
        for reader in [each for each in self._readers.values() if each.selection]:
            await reader.look_back()

    async def revive(self, ids: Sequence[str] = (), sink: str | None = None) -> list[str]:
        """Send dead letters once more: those with these ids (all, if none are given), of this sink (any). Gives the ids of
        those that are tried now; a sink that is not configured gets none."""
        tried = []
        for name, whose in self.dead.named(ids, sink).items():
            if whose in self._readers:
                try:
                    letter = await asyncio.to_thread(self.dead.read, name)
                except (OSError, ValueError) as error:
                    log.warning("a dead letter cannot be read", file=name, error=str(error))
                    continue
                self._readers[whose].revive(letter)
                tried.append(letter.record.id)
        return tried

    def _begin(self, sink: str, order: Order, selection: Selection) -> Reader:
        known = self._state.cursors.get(sink) or {lane: _oldest(log) for lane, log in self._lanes.items()}
        positions = {
            lane: LanePosition(log, known[lane], LeftOut(selection, log, known[lane], lambda seq: self.period_of(seq)))
            for lane, log in self._lanes.items()
        }
        reader = Reader(sink, order, positions, self, selection)
        for lane in Lane:
            self._align(reader, lane)
        return reader

    def _align(self, reader: Reader, lane: Lane) -> None:
        """Settle what the sink's cursor says is open and no file has any more."""
        seq, total, wall = 0, 0, 0
        for segment in self._lanes[lane].segments:
            holds = (wall, segment.wall_from)
            reader.lose(lane, (seq, segment.first), (total, segment.start), "not on disk", holds)
            seq, total, wall = segment.last + 1, segment.end, segment.wall_to
        end, end_total = self._state.next_seq[lane], self._state.total[lane]
        if seq <= end:
            reader.lose(lane, (seq, end), (total, end_total), "not on disk", (wall, self._state.loaded_ns))
        reader.positions[lane].newest = reader.positions[lane].cursor.seqs.end

    async def fetch(self, span: Span, limit: int) -> list[Stored | Gap]:
        """Records from disk, about so many at the most. Raises OSError."""
        return await asyncio.to_thread(read_records, span, limit, self._state.log_id, self._state.dictionary)

    def corrected(self, record: Record) -> Record:
        """The record as it is handed out: with right times, and marked where nothing is kept."""
        right = self._state.synced.corrected(record)
        return marked(right) if self._in_memory else right


def _oldest(lane: LaneLog) -> LaneCursor:
    cursor = LaneCursor()
    if lane.segments:
        cursor.begin(lane.segments[0].first, lane.segments[0].start)
    else:
        cursor.begin(lane.written_seq, lane.total)
    return cursor
