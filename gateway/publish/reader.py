"""What a publisher needs of the outbox; `gateway.outbox` has it, tests have a small one in memory."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Protocol

from gateway.core.record import Record


class Reader(Protocol):
    """One sink's place in the outbox. All calls in the event loop."""

    @property
    def pending(self) -> Mapping[str, int]:
        """Readings per lane that the sink has not acknowledged, handed out or not."""
        ...

    async def wait(self) -> None:
        """Return once there are records to hand out."""
        ...

    async def take(self, limit: int) -> Sequence[Record]:
        """Hand out at most `limit` records, perhaps none."""
        ...

    def acknowledged(self, records: Iterable[Record]) -> None:
        """The far side has these."""
        ...

    def refused(self, record: Record, reason: str, final: bool) -> None:
        """The far side will never take this one (final), or may later."""
        ...

    def rewind(self) -> None:
        """The link is lost: what was handed out and not acknowledged is to be handed out again."""
        ...

    def status(self) -> Mapping[str, Any]:
        """Counts for `status`."""
        ...


class Log(Protocol):
    """The outbox."""

    def reader(self, sink: str, order: str) -> Reader:
        """The reader of this sink."""
        ...
