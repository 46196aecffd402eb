"""One connection of a sink that commits by range and time: what is due is taken from the outbox and committed as one."""

import asyncio
from collections.abc import Sequence

from gateway.config.base import RangeSinkConfig
from gateway.core.errors import LinkError
from gateway.core.record import Record
from gateway.plugin.range_sink import Batch, RangeSink
from gateway.publish.sink_session import SinkSession
from gateway.supervise.keep_running import EXPECTED

ROW = 24
"""Bytes of a reading in columns."""
OVERHEAD = 1000
"""Bytes that a record costs beside its rows."""
LOOK = 1.0
"""Seconds between two looks at how much waits."""
AT_ONCE = 500
"""Records that are taken from the outbox in one go."""
BROKEN_ALONE = 3
"""How often a sink must break on a record alone before that is a dead letter."""
BREAKS = "the sink plugin breaks on this record; its traceback stands further up in the log"


class Halving:
    """Finds, over sessions, on which record a sink breaks by a bug: as long as it does, batches are half as large."""

    def __init__(self) -> None:
        self.at_most: int | None = None
        """Records of the next batch; None: as many as may be."""
        self._alone: dict[str, int] = {}

    def broke(self, records: Sequence[Record]) -> bool:
        """The sink broke on these. Whether it is one record, which is to be set aside."""
        self.at_most = max(1, len(records) // 2)
        if len(records) > 1:
            return False
        times = self._alone.get(records[0].id, 0) + 1
        self._alone = {records[0].id: times} if times < BROKEN_ALONE else {}
        return times >= BROKEN_ALONE

    def survived(self, count: int) -> None:
        """It did not break on so many."""
        if self.at_most is not None:
            self.at_most = 2 * max(self.at_most, count)
            if self.at_most > 1_000_000:
                self.at_most = None


class RangeSession(SinkSession):
    """Commits what waits, from its connect to its close."""

    _config: RangeSinkConfig
    _sink: RangeSink[RangeSinkConfig]
    halving: Halving

    async def _forward(self) -> None:
        """Commit what waits, whenever it is time."""
        loop = asyncio.get_running_loop()
        begun = loop.time()  # a connection that is new waits first: else one that comes and goes makes tiny files
        if self._catching_up:
            begun -= self._config.commit_interval
        while True:
            await self._until_due(begun + self._config.commit_interval)
            begun = loop.time()
            if records := await self._gathered():
                await self._commit(records)

    @property
    def busy(self) -> bool:
        """Whether a commit is under way; a stop waits for no other one, since what waits is in the outbox."""
        return bool(self.in_flight)

    @property
    def _catching_up(self) -> bool:
        return self._waiting_bytes() >= self._config.commit_size or self.halving.at_most is not None

    def _waiting_bytes(self) -> int:
        return ROW * sum(self._reader.pending.values())

    async def _until_due(self, due: float) -> None:
        """Until this time of the loop, or until enough waits; and until anything does."""
        loop = asyncio.get_running_loop()
        while (left := due - loop.time()) > 0 and not self._catching_up:  # noqa: ASYNC110 - each record sets its event
            await asyncio.sleep(min(LOOK, left))
        await self._reader.wait()

    async def _gathered(self) -> list[Record]:
        """What is committed next, as far as window and size go."""
        records: list[Record] = []
        size, most = 0, min(self.in_flight.size, self.halving.at_most or self.in_flight.size)
        while len(records) < most and size < self._config.commit_size:
            each = size // len(records) if records else self._config.commit_size // 64
            room = min(AT_ONCE, most - len(records), max(1, (self._config.commit_size - size) // max(1, each)))
            taken = await self._reader.take(room)
            if not taken:
                break
            records += taken
            size += sum(map(size_of, taken))
        return records

    async def _commit(self, records: Sequence[Record]) -> None:
        self._tell_changes()
        self.in_flight.handed_over(records, self._around.clock.boot_ns())
        batch = Batch(records, {record: why for record in records if (why := self._reader.again(record))})
        try:
            await self._sink.commit(batch)
        except EXPECTED:
            raise
        except Exception:
            if self.halving.broke(records):
                self.refused(records[0], BREAKS, True)
            raise
        self.halving.survived(len(records))
        for start in range(0, len(records), AT_ONCE):
            self.acknowledged(records[start : start + AT_ONCE])
            await asyncio.sleep(
                0
            )  # others have their turn; what is not answered when it ends here comes again, and is known

    def _suspect_records(self) -> None:
        """No record is suspected when a commit fails: its batch says nothing of one."""
        self._quarantine.fruitful()

    async def _watch(self) -> None:
        """Raise LinkError when a commit does not get on."""
        while True:
            await asyncio.sleep(self._config.ack_timeout / 4)
            if self.in_flight.look(self._config.ack_timeout, self._sink.progress):
                raise LinkError(
                    f"a commit of {len(self.in_flight)} records has not got on for {self._config.ack_timeout:g} s "
                    "(ack_timeout): does the disk, or the far side, still answer?"
                )

    async def _measure(self) -> None:
        """No forecast: what waits grows until the next commit, and that is how it should be."""
        await asyncio.Event().wait()


def size_of(record: Record) -> int:
    """Bytes that it takes in memory, about."""
    exact = record.readings.exact if record.readings is not None else None
    return OVERHEAD + ROW * record.rows + (sum(map(_exact_size, exact.values())) if exact else 0)


def _exact_size(value: object) -> int:
    return 64 + (
        len(value) if isinstance(value, str | bytes) else 16 * len(value) if isinstance(value, list | dict) else 0
    )
