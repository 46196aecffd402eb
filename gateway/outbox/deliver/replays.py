"""Who may send history once more, and what of it there is."""

import asyncio
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace

from gateway.core.errors import GatewayError
from gateway.core.record import Lane, Record
from gateway.core.times import rfc3339
from gateway.outbox.deliver.history import Asked, Part, Piece, look, parts
from gateway.outbox.deliver.readers import Readers
from gateway.outbox.deliver.replay import RATE, Replay
from gateway.outbox.format import Segment
from gateway.outbox.start import State
from gateway.outbox.write import LaneLog


class Replays:
    """One replay for each sink at a time; the last one of each is remembered."""

    def __init__(self, lanes: Mapping[Lane, LaneLog], readers: Readers, found: State) -> None:
        self._lanes = lanes
        self._readers = readers
        self._state = found

    def __iter__(self) -> Iterator[Replay]:
        return (reader.replay for reader in self._readers.values() if reader.replay is not None)

    def named(self, sink: str) -> Replay:
        """The last one of this sink. Raises GatewayError if there was none."""
        for replay in self:
            if replay.sink == sink:
                return replay
        raise GatewayError(f'there was no replay to "{sink}" since the gateway started')

    def _parts(self, sink: str, asked: Asked) -> list[Part]:
        """The files that a replay would go through, as long as they are now. Raises GatewayError for one that cannot be."""
        if sink not in self._readers:
            known = f"there are: {', '.join(self._readers)}" if self._readers else "none is configured"
            raise GatewayError(f'no sink "{sink}"; {known}')
        running = self._readers[sink].replay
        if running is not None and not running.outcome:
            raise GatewayError(
                f'a replay to "{sink}" is under way; wait, or  edge-gateway outbox replay --cancel --sink "{sink}"'
            )
        self._check_devices(asked)
        segments = {lane: log.segments for lane, log in self._lanes.items()}
        there = list(parts(segments, asked))
        if not there:
            raise GatewayError(f"nothing was accepted in this time; {_reach(segments)}")
        return there

    def make(self, sink: str, asked: Asked, ended: Callable[[Replay], None], rate: float | None = RATE) -> Replay:
        """One to `begin`; `ended` is called once, at the end. `rate`: readings per second; None: no bound. Raises
        GatewayError for one that cannot be."""
        there = self._parts(sink, asked)
        reader = self._readers[sink]
        reader.replay = Replay(
            sink,
            asked,
            there,
            source=self,
            ready=reader.ready,
            ended=ended,
            rate=rate,
        )
        return reader.replay

    def stop(self, outcome: str) -> None:
        """End those that run, in these words."""
        for replay in self:
            replay.end(outcome)

    async def look(self, part: Part, asked: Asked) -> Piece:
        """The next records of a file that are asked for, with right times. Raises OSError."""
        piece = await asyncio.to_thread(look, part, asked, self._state.log_id, self._state.dictionary)
        return piece._replace(records=[self._state.synced.corrected(record) for record in piece.records])

    def meant(self, sink: str, records: Sequence[Record]) -> list[Record]:
        """What of these is meant for the sink."""
        selection = self._readers[sink].selection
        if not selection:
            return list(records)
        return [selection.narrowed(each) for each in records if selection.left_out(each) < each.rows]

    def had(self, sink: str, record: Record) -> bool:
        """Whether the sink is done with this record."""
        return record.seq in self._readers[sink].positions[record.lane].cursor.seqs

    def _check_devices(self, asked: Asked) -> None:
        known = self._state.dictionary.devices
        for pattern in asked.devices:
            if not any(replace(asked, devices=[pattern]).device(name) for name in known):
                raise GatewayError(f'the log has nothing of a device "{pattern}"; it has: {", ".join(known)}')


def _reach(lanes: Mapping[Lane, Sequence[Segment]]) -> str:
    """From when to when there is anything."""
    segments = [segment for lane in lanes.values() for segment in lane if segment.records]
    if not segments:
        return "the log is empty: what was delivered does not stay, unless [outbox] keep says how long"
    first, last = min(each.wall_from for each in segments), max(each.wall_to for each in segments)
    return f"the log reaches from {rfc3339(first)[:19]}Z to {rfc3339(last)[:19]}Z"
