"""What a sink may ask of the gateway."""

import asyncio
import threading
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any

from gateway.config.model import GatewaySection, own_place
from gateway.core.clock import Clock
from gateway.core.live import LiveTable
from gateway.core.readings import Readings
from gateway.core.record import Record
from gateway.core.tag import Device
from gateway.core.text import cleaned
from gateway.publish.encoder import JsonEncoder


@dataclass(frozen=True, slots=True)
class Surroundings:
    """What all sinks of a gateway are told."""

    gateway: GatewaySection
    version: str
    clock: Clock
    live: LiveTable
    devices: Callable[[], Sequence[Device]]
    device_state: Callable[[str], tuple[bool, str]]
    trouble: Callable[[], str] = lambda: ""
    """Of the gateway itself, for its state."""
    memory: dict[str, Any] = field(default_factory=dict)
    """Of one sink, over its connections."""


class Host:
    """Implements `gateway.plugin.hosts.SinkHost` for one connection."""

    def __init__(
        self,
        around: Surroundings,
        acknowledged: Callable[[Iterable[Record]], None],
        refused: Callable[[Record, str, bool], None],
    ) -> None:
        self.gateway = around.gateway.name
        self.version = around.version
        self.context = own_place(around.gateway)
        self.memory = around.memory
        self._acknowledged = acknowledged
        self._refused = refused
        self._around = around
        self._loop = asyncio.get_running_loop()
        self._thread = threading.get_ident()

    def acknowledged(self, records: Iterable[Record]) -> None:
        """The far side has taken these for good. From a thread of the sink's own it is heard a moment later."""
        if threading.get_ident() == self._thread:
            self._acknowledged(records)
        else:
            self._loop.call_soon_threadsafe(self._acknowledged, list(records))

    def refused(self, record: Record, reason: str, final: bool) -> None:
        """The far side took this one not; likewise."""
        if threading.get_ident() == self._thread:
            self._refused(record, cleaned(reason), bool(final))
        else:
            self._loop.call_soon_threadsafe(self._refused, record, cleaned(reason), bool(final))

    def encoder(self, topic: str, per_tag: bool) -> JsonEncoder:
        """The shared JSON encoding. Raises ValueError for a wrong topic template."""
        around = self._around
        return JsonEncoder(
            topic,
            per_tag,
            gateway=around.gateway,
            version=around.version,
            clock=around.clock,
            devices=around.devices,
            trouble=around.trouble,
        )

    def devices(self) -> Sequence[Device]:
        """All devices as they are now."""
        return self._around.devices()

    def device_state(self, device: str) -> tuple[bool, str]:
        """Whether a device is being read, and the reason if not."""
        return self._around.device_state(device)

    def snapshot(self, device: str) -> Readings:
        """The device's live values. Raises KeyError for a device that is not there."""
        return self._around.live[device].snapshot()
