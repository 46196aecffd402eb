"""What became of a production batch: its receipts as one, and up to when nothing of it is pending."""

from collections.abc import Awaitable, Mapping
from typing import Any

from gateway.core.clock import Clock
from gateway.core.errors import GatewayError
from gateway.core.record import Lane
from gateway.core.works import Works
from gateway.outbox.deliver import Readers
from gateway.outbox.format import Gap
from gateway.outbox.receipts import Receipts, batch_receipt
from gateway.outbox.write import LaneLog

MILLISECOND = 1_000_000


class BatchAccounts:
    """Of one log. All calls from the event loop."""

    def __init__(self, receipts: Receipts, readers: Readers, lane: LaneLog, works: Works, clock: Clock) -> None:
        """`lane`: the data lane."""
        self._receipts = receipts
        self._readers = readers
        self._lane = lane
        self._works = works
        self._clock = clock

    async def of(self, batch: str, span: tuple[int, int], written: Awaitable[None]) -> dict[str, Any]:
        """What it gave by the receipts of hours in this span (ns since 1970). `written`: returns when all that was appended
        is on disk, or the disk does not take it. Raises GatewayError for a batch that no receipt names."""
        working = any(work.batch == batch for work in self._works)
        now = self._clock.wall_ns()
        await written
        queued_ns = self._lane.queued_since_ns  # the disk may be behind; what has come meanwhile is later than now
        told = [each for each in await self._receipts.so_far(*span) if each["context"].get("batch") == batch]
        if not told:
            raise GatewayError(f"no receipt of that time names a batch {batch}")
        moments: dict[int, int] = {}
        for each in told:
            for sink, account in each["sinks"].items():
                if account["pending"]:
                    account["pending_from"] = await self._pending_from(sink, each, moments)
        is_counted = queued_ns is None or queued_ns > now
        return batch_receipt(
            batch, told, now if is_counted else queued_ns or 0, is_over=is_counted and not working, is_open=working
        )

    async def _pending_from(self, sink: str, receipt: Mapping[str, Any], moments: dict[int, int]) -> int:
        """No later than when the first record of a receipt was accepted that this sink has not; ms since 1970."""
        reader = self._readers.get(sink)
        if reader is None:
            return int(receipt["from"])
        seq = reader.positions[Lane.DATA].cursor.seqs.gap(receipt["first"])
        if seq not in moments:
            moments[seq] = await self._accepted_ms(seq)
        return max(int(receipt["from"]), moments[seq])

    async def _accepted_ms(self, seq: int) -> int:
        """When a record was accepted; 0 where that cannot be found out."""
        stored = self._lane.tail.get(seq)
        if stored is not None:
            return stored.record.wall_ns // MILLISECOND
        if seq >= self._lane.written_seq:
            return 0
        place = self._lane.locate(seq)
        try:
            items = [place] if isinstance(place, Gap) else await self._readers.fetch(place, 1)
        except OSError:
            return 0
        first = items[0] if items else None
        if first is None or isinstance(first, Gap) or first.record.seq != seq:
            return 0
        return first.record.wall_ns // MILLISECOND
