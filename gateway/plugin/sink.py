"""The contract of a sink."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Generic, Protocol, TypeVar

import structlog

from gateway.config.base import SinkConfig
from gateway.core.context import Context
from gateway.core.readings import Readings
from gateway.core.record import Record
from gateway.core.tag import Device

S = TypeVar("S", bound=SinkConfig)


@dataclass(frozen=True, slots=True)
class Message:
    """A record, or a part of one, ready for a broker."""

    topic: str
    payload: bytes


class Encoder(Protocol):
    """Turns records and descriptions into JSON messages (docs/json.md)."""

    def messages(self, record: Record) -> list[Message]:
        """The messages of a record, at least one."""
        ...

    def description(self, device: Device) -> Message:
        """The device's tags with types and units, to be retained."""
        ...

    def state(self, device: Device, online: bool, reason: str) -> Message:
        """Whether the device is being read, to be retained."""
        ...

    def gateway_state(self, online: bool) -> Message:
        """Whether the gateway is connected, to be retained; the offline one is the will."""
        ...


class SinkHost(Protocol):
    """What a sink may ask of the gateway."""

    gateway: str
    """Name of this gateway."""

    version: str
    context: Context
    memory: dict[str, Any]
    """What one connection of this sink leaves for the next; empty when the gateway starts."""

    def acknowledged(self, records: Iterable[Record]) -> None:
        """The far side has taken these for good."""
        ...

    def refused(self, record: Record, reason: str, final: bool) -> None:
        """The far side took this one not: final, it never will (dead letter); else it is sent again later."""
        ...

    def encoder(self, topic: str, per_tag: bool) -> Encoder:
        """The shared JSON encoding, with this topic template."""
        ...

    def devices(self) -> Sequence[Device]:
        """All devices as they are now."""
        ...

    def device_state(self, device: str) -> tuple[bool, str]:
        """Whether a device is being read, and the reason if not."""
        ...

    def snapshot(self, device: str) -> Readings:
        """The device's live values, with their own source times."""
        ...


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
