"""The sinks' places in the log: where a reader begins, and what of its account no file has any more."""

import asyncio
from collections.abc import Callable, Iterator, Mapping

from gateway.core.clock import Clock
from gateway.core.record import Lane, Record
from gateway.outbox.deliver.dead_letters import DeadLetters
from gateway.outbox.deliver.lane_position import LanePosition
from gateway.outbox.deliver.reader import Order, Reader
from gateway.outbox.format import Gap, LaneCursor, Span, Stored, read_records
from gateway.outbox.start import State
from gateway.outbox.write import LaneLog


class Readers(Mapping[str, Reader]):
    """One reader for each sink that is configured, by the sink's name."""

    def __init__(
        self,
        lanes: Mapping[Lane, LaneLog],
        found: State,
        clock: Clock,
        dead: DeadLetters,
        corrected: Callable[[Record], Record],
    ) -> None:
        self._lanes = lanes
        self._state = found
        self._clock = clock
        self._dead = dead
        self._corrected = corrected
        self._readers: dict[str, Reader] = {}

    def __getitem__(self, sink: str) -> Reader:
        return self._readers[sink]

    def __iter__(self) -> Iterator[str]:
        return iter(self._readers)

    def __len__(self) -> int:
        return len(self._readers)

    def reader(self, sink: str, order: Order, backfill: float | None) -> Reader:
        """This sink's place in the log; the same object each time."""
        reader = self._readers.get(sink)
        if reader is None:
            reader = self._readers[sink] = self._begin(sink, order)
        reader.order = order
        reader.backfill.per_second = backfill
        return reader

    def release(self, sink: str) -> Reader | None:
        """This sink holds nothing back any more; where it stood is known if it comes back."""
        reader = self._readers.pop(sink, None)
        if reader is not None:
            if reader.replay is not None:
                reader.replay.end("its sink was changed or removed")
            self._state.cursors[sink] = {lane: track.progress for lane, track in reader.tracks.items()}
        return reader

    def _begin(self, sink: str, order: Order) -> Reader:
        known = self._state.cursors.get(sink) or {lane: _oldest(log) for lane, log in self._lanes.items()}
        tracks = {lane: LanePosition(log, known[lane]) for lane, log in self._lanes.items()}
        reader = Reader(
            sink,
            order,
            tracks,
            self._fetch,
            clock=self._clock,
            boot=self._state.boot,
            dead=self._dead,
            corrected=self._corrected,
        )
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
        reader.tracks[lane].newest = reader.tracks[lane].progress.seqs.end

    async def _fetch(self, span: Span, limit: int) -> list[Stored | Gap]:
        return await asyncio.to_thread(read_records, span, limit, self._state.log_id, self._state.dictionary)


def _oldest(lane: LaneLog) -> LaneCursor:
    progress = LaneCursor()
    if lane.segments:
        progress.begin(lane.segments[0].first, lane.segments[0].start)
    else:
        progress.begin(lane.written_seq, lane.total)
    return progress
