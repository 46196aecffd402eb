"""A start of a log and another one after it, and what they give back."""

import asyncio
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from gateway.core.record import Kind, Lane, Record
from gateway.outbox import Outbox, Reader
from gateway.outbox.format import IntervalSet
from gateway.selftest.logs import bind, block, opened
from gateway.status import Balance

AFTER = 1_000_000
"""Value of the first record that is appended after the start."""
_NEW = 5


@dataclass(frozen=True, slots=True)
class Restart:
    """What was seen."""

    log_id: str
    delivered: list[Record]
    """All that the sink was given, new records with it; it has acknowledged all of them."""
    named: dict[Lane, IntervalSet]
    """Numbers that losses and skips name."""
    opening: Mapping[Lane, Balance]
    """The sink's balance right after the start."""
    closing: Mapping[Lane, Balance]
    """The same at the end."""

    def imbalance(self, rows: int) -> Iterator[str]:
        """Where the sink's account and the records it was given disagree; `rows` readings in a record of readings."""
        for lane in Lane:
            first, last = self.opening[lane], self.closing[lane]
            given = sum(rows if record.kind is Kind.READINGS else 1 for record in self.delivered if record.lane is lane)
            if last.pending:
                yield f"{lane.word}: {last.pending} readings are said to wait, and nothing is left"
            if last.acknowledged - first.acknowledged != given:
                said = f"{last.acknowledged} - {first.acknowledged}"
                yield f"{lane.word}: {given} readings were acknowledged, and {said} are said"
            if last.accepted != last.acknowledged + sum(last.dropped.values()):
                yield f"{lane.word}: the balance does not add up: {last}"


async def restarted(directory: Path, sink: str, **section: Any) -> Restart:
    """Start, append some records, take and acknowledge everything; and once more, for a stop writes down what was lost.
    Raises whatever a start raises."""
    async with opened(directory, **section) as outbox:
        reader = outbox.reader(sink, "strict")
        opening = _balances(reader)
        device = bind(outbox)
        for number in range(_NEW):
            outbox.append(block(device, AFTER + number))
        delivered = await _take_all(outbox, reader)
    async with opened(directory, **section) as outbox:
        reader = outbox.reader(sink, "strict")
        delivered += await _take_all(outbox, reader)
        return Restart(outbox.log_id, delivered, _named(delivered), opening, _balances(reader))


def _balances(reader: Reader) -> Mapping[Lane, Balance]:
    lanes = reader.status().lanes
    return {lane: lanes[lane.word] for lane in Lane}


async def _take_all(outbox: Outbox, reader: Reader) -> list[Record]:
    taken: list[Record] = []
    async with asyncio.timeout(60):
        await outbox.written_out(30)
        while any(reader.pending.values()):
            await reader.wait()
            records = await reader.take(1000)
            reader.acknowledged(records)
            taken += records
    return taken


def _named(records: list[Record]) -> dict[Lane, IntervalSet]:
    named = {lane: IntervalSet() for lane in Lane}
    for record in records:
        if record.kind in (Kind.LOSS, Kind.SKIP) and record.body is not None:
            for low, high in record.body["ranges"]:
                named[Lane[str(record.body["lane"]).upper()]].add(low, high + 1)
    return named
