"""The contract of a sink."""

from collections.abc import Mapping, Sequence
from typing import Any, Generic, TypeVar

import structlog

from gateway.config.base import SinkConfig
from gateway.core.record import Record
from gateway.core.tag import Device
from gateway.plugin.hosts import SinkHost

S = TypeVar("S", bound=SinkConfig)


class Sink(Generic[S]):
    """One object is one connection to a destination; a NEW object serves each attempt.

    The publisher calls, all in the event loop: `connect` once; then, while `serve` runs, `device_changed` for every
    device and later as devices come and go, and `send` whenever records wait and fewer than `window` are open; at the end
    `close`, once, and only after a `connect` that succeeded. What was sent and not acknowledged when the connection ends
    is sent again by the next object. Retrying, backoff and the progress watchdog are the publisher's.

    Errors are those of a driver; a sink has no DeviceError.
    """

    config: S
    host: SinkHost
    log: structlog.stdlib.BoundLogger

    def __init__(self, config: S, host: SinkHost) -> None:
        self.config = config
        self.host = host
        self.log = structlog.get_logger().bind(sink=config.name)

    @property
    def window(self) -> int:
        """How many records may be open; asked after `connect`."""
        return self.config.window

    @property
    def promise(self) -> Mapping[str, Any]:
        """What this connection is, for `status`, such as {"protocol": "MQTT 5", "weaker": "..."}."""
        return {}

    @property
    def progress(self) -> int:
        """A number that changes whenever the far side has taken something, be it less than a record: then a link on which no
        record is acknowledged is slow, not dead."""
        return 0

    @property
    def own_fault(self) -> bool:
        """Whether the connection may have ended over something that the sink sent by itself, such as a description; then
        none of the records that were on their way is suspected. Asked at the end."""
        return False

    async def connect(self) -> None:
        """Open the connection. Raises on failure, and then leaves nothing open."""
        raise NotImplementedError

    async def serve(self) -> None:
        """Run until the connection ends, and raise why. Cancelled at a stop."""
        raise NotImplementedError

    def send(self, records: Sequence[Record]) -> None:
        """Hand over records without waiting; each is answered by `host.acknowledged` or `host.refused` later."""
        raise NotImplementedError

    def device_changed(self, device: Device, online: bool, reason: str) -> None:
        """A device's description or state has changed. Default: nothing."""

    async def check(self) -> str:
        """For `check --connect`, on an object of its own that is never sent anything: see whether the destination takes us,
        and change nothing there, also not for a gateway that is connected. Returns in words what was found, such as the
        protocol. Raises as `connect` does. Default: connect and close."""
        await self.connect()
        await self.close()
        return ""

    async def close(self) -> None:
        """Close the connection in good order. Must not raise for one that is already dead."""
