"""The contract of a sink that commits by range and time: files, tables, whatever does not take record by record."""

import asyncio
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import ParamSpec, TypeVar

from gateway.config.base import RangeSinkConfig
from gateway.core.record import Record
from gateway.plugin.hosts import Memory
from gateway.plugin.sink import Sink

S = TypeVar("S", bound=RangeSinkConfig)
P = ParamSpec("P")
R = TypeVar("R")

_THREAD = "range sink: thread"


@dataclass(frozen=True, slots=True)
class Batch:
    """What is to be committed together: of each lane in ascending order, apart from what goes out once more."""

    records: Sequence[Record]
    """At least one."""

    again: Mapping[Record, str] = field(default_factory=lambda: MappingProxyType({}))
    """Those of them that are out of their turn, and why: "replay", which the destination may have, or "dead letter", which it
    has not. Numbers between all others are done with: they were never meant for this sink, or are lost."""


class RangeSink(Sink[S]):
    """One object is one attempt to write to a destination; a NEW object serves each attempt.

    The publisher calls `connect` once; then `commit` again and again, one at a time, whenever `commit_interval` has passed
    or `commit_size` waits in the outbox; at the end `close`. Nothing is gathered in the sink: what waits for its commit
    stands in the outbox. When `commit` returns, all of the batch is acknowledged but for what was refused (`host.refused`,
    final); when it raises, nothing is, and the next object gets the same records again, perhaps cut otherwise. So the sink
    itself knows what it has committed (`gateway.kit.committed`), and commits nothing twice. Over what breaks a sink by a
    bug batches are halved until one record is alone, which is then a dead letter.

    What blocks runs `in_thread`. Errors are those of a sink.
    """

    async def commit(self, batch: Batch) -> None:
        """Write it for good: durable, and to be seen by readers as a whole."""
        raise NotImplementedError

    async def serve(self) -> None:
        """Run until the connection ends. Default: there is no connection that could."""
        await asyncio.Event().wait()

    def send(self, records: Sequence[Record]) -> None:
        """Never called: this sink commits."""
        raise TypeError("a sink that commits by range is not sent single records")

    async def in_thread(self, call: Callable[P, R], *args: P.args, **kwargs: P.kwargs) -> R:
        """Run a blocking call in the sink's one worker thread. It is the thread of all its connections, so that no call
        overlaps with one that a connection before has left behind."""
        thread = self.host.memory.get(_THREAD)
        if thread is None:
            thread = self.host.memory[_THREAD] = ThreadPoolExecutor(1, thread_name_prefix=f"sink-{self.config.name}")
        return await asyncio.get_running_loop().run_in_executor(thread, lambda: call(*args, **kwargs))


def release(memory: Memory) -> None:
    """The sink is over, with all its connections: lets its worker thread go."""
    thread = memory.pop(_THREAD, None)
    if isinstance(thread, ThreadPoolExecutor):
        thread.shutdown(wait=False, cancel_futures=True)
