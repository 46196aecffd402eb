"""A destination in memory: what all sink objects of a test dial, and how it answers."""

import asyncio
from collections.abc import Callable, Sequence
from typing import Any

from gateway.core.errors import LinkError
from gateway.core.record import Record
from gateway.plugin.sink import Sink, SinkConfig

Behaviour = Callable[["FarSink", Sequence[Record]], None]


def take_all(sink: "FarSink", records: Sequence[Record]) -> None:
    """Acknowledge soon after."""
    asyncio.get_running_loop().call_soon(sink.host.acknowledged, list(records))


def swallow(sink: "FarSink", records: Sequence[Record]) -> None:
    """Never answer."""


class Far:
    """What happened, over all connections, and the present behaviour."""

    def __init__(self, behaviour: Behaviour = take_all) -> None:
        self.behaviour = behaviour
        self.sinks: list[FarSink] = []
        self.refuse_connections: BaseException | None = None
        self.hang = False
        self.close_error: Exception | None = None

    @property
    def sink(self) -> "FarSink":
        """The present connection."""
        return self.sinks[-1]

    def sent(self, connection: int) -> list[int]:
        """Numbers of the records that a connection got, in their order."""
        return self.sinks[connection].sent

    def sink_type(self) -> "type[FarSink]":
        """A plugin that dials here."""

        class Bound(FarSink):
            far = self

        return Bound


class FarSink(Sink[SinkConfig]):
    far: Far

    def __init__(self, config: SinkConfig, host: Any) -> None:
        super().__init__(config, host)
        self.sent: list[int] = []
        self.told: list[tuple[str, bool, str]] = []
        self.story: list[str] = []
        self.most_open = 0
        self.closed = 0
        self.cut: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self.far.sinks.append(self)

    async def connect(self) -> None:
        if self.far.hang:
            await asyncio.Event().wait()
        if self.far.refuse_connections:
            raise self.far.refuse_connections

    async def serve(self) -> None:
        await self.cut

    def lose(self, error: Exception | None = None) -> None:
        """Cut the link."""
        self.cut.set_exception(error or LinkError("cut by the test"))

    def send(self, records: Sequence[Record]) -> None:
        assert not isinstance(records, Record)
        self.sent += [record.seq for record in records]
        self.story += [f"record {record.seq}" for record in records]
        self.far.behaviour(self, records)

    def device_changed(self, device: Any, online: bool, reason: str) -> None:
        self.told.append((device.name, online, reason))
        self.story.append(f"device {device.name}")

    async def close(self) -> None:
        self.closed += 1
        if self.far.close_error:
            raise self.far.close_error
