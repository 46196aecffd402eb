"""An outbox in memory, for one sink."""

import asyncio
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from gateway.core.record import Record


class MemoryLog:
    """What a publisher needs of `gateway.outbox.Outbox` and its `Reader`."""

    def __init__(self) -> None:
        self.waiting: list[Record] = []
        self.out: dict[str, Record] = {}
        self.taken: list[str] = []
        """Ids in the order of their acknowledgement."""
        self.dead: dict[str, str] = {}
        """Id → reason of the refusal."""
        self._some = asyncio.Event()
        self.waiting_after_refusal = 0
        """Records that were refused for now and wait."""
        self.barred: list[str] = []

    def append(self, *records: Record) -> None:
        self.waiting += records
        self._some.set()

    def reader(self, sink: str, order: str, backfill: float | None, selection: object = None) -> "MemoryLog":
        return self

    @property
    def pending(self) -> dict[str, int]:
        return {"data": sum(record.rows for record in (*self.waiting, *self.out.values()))}

    async def wait(self) -> None:
        await self._some.wait()

    async def take(self, limit: int, *, history_first: bool = False) -> Sequence[Record]:
        await asyncio.sleep(0)  # as from a disk
        taken, self.waiting = self.waiting[:limit], self.waiting[limit:]
        self.out |= {record.id: record for record in taken}
        if not self.waiting:
            self._some.clear()
        return taken

    def acknowledged(self, records: Iterable[Record]) -> None:
        for record in records:
            del self.out[record.id]
            self.taken.append(record.id)
        if self.waiting:
            self._some.set()

    def refused(self, record: Record, reason: str, final: bool) -> None:
        del self.out[record.id]
        if final:
            self.dead[record.id] = reason
        else:
            self.waiting_after_refusal += 1
            asyncio.get_running_loop().call_later(0.1, self._again, record)

    def _again(self, record: Record) -> None:
        self.waiting_after_refusal -= 1
        self.append(record)

    def rewind(self) -> None:
        again = sorted(self.out.values(), key=lambda record: record.seq)
        self.out = {}
        self.waiting[:0] = again
        if self.waiting:
            self._some.set()

    def status(self) -> Mapping[str, Any]:
        return {"pending": self.pending}
