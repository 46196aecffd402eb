"""The road of a reading inside, between the device and the outbox:

    devices ─ Acquirer ─ Pipeline ─┬─ observers: production context, live table, detector, receipts, and who comes later
                                   └─ Outbox ─ Publisher… ─ sinks

What acquisition may say stands in `gateway.acquire.device.Road`, which this is.
"""

from collections.abc import Callable, Collection, Mapping
from typing import Any

import structlog

from gateway.acquire.device import Road
from gateway.config.model import DeviceSpec, GatewaySection, place
from gateway.core.device_event import Told
from gateway.core.event import Event
from gateway.core.live import LiveDevice, LiveTable
from gateway.core.readings import Readings
from gateway.core.tag import Device
from gateway.detect import Detection
from gateway.outbox import Outbox, OutboxListener
from gateway.plugin.driver import Found
from gateway.plugin.hosts import EventListener, Observer
from gateway.production import Production
from gateway.publish import Publishers
from gateway.supervise import Health, containing

log = structlog.get_logger()

UNREAD = (False, "not read yet")
"""State of a device before its first answer."""


class Pipeline(Road, OutboxListener):
    """Joins acquisition with all that wants to know of it."""

    def __init__(
        self,
        gateway: GatewaySection,
        live: LiveTable,
        outbox: Outbox,
        publishers: Publishers,
        detection: Detection,
        production: Production,
    ) -> None:
        """All parts outlive each reload; `gateway` is what a reload cannot change."""
        self._gateway = gateway
        self._live = live
        self._outbox = outbox
        self._publishers = publishers
        self._detection = detection
        self._states: dict[str, tuple[bool, str]] = {}
        seen = (production.seen, live.update, detection.seen, outbox.receipts.seen)
        self._observers: tuple[Observer, ...] = seen
        self._listeners: tuple[EventListener, ...] = ()
        outbox.listen(self)

    def observe(self, name: str, observer: Observer) -> Callable[[], None]:
        """Let it see what comes from now on, behind the gateway's own parts, until the returned function is called. One that
        raises is told by its `name`, and sees no more."""

        def watched(readings: Readings, boot_ns: int) -> None:
            try:
                with containing():
                    observer(readings, boot_ns)
            except Exception as error:
                log.error("an observer failed, and is shown no more readings", observer=name, exc_info=error)
                leave()

        def leave() -> None:
            self._observers = tuple(each for each in self._observers if each is not watched)

        self._observers += (watched,)
        return leave

    def listen(self, name: str, listener: EventListener) -> Callable[[], None]:
        """The same for events."""

        def watched(event: Mapping[str, Any]) -> None:
            try:
                with containing():
                    listener(event)
            except Exception as error:
                log.error("a listener failed, and is told no more events", listener=name, exc_info=error)
                leave()

        def leave() -> None:
            self._listeners = tuple(each for each in self._listeners if each is not watched)

        self._listeners += (watched,)
        return leave

    # What acquisition says.

    def bind(self, spec: DeviceSpec, found: Mapping[str, Found]) -> Device:
        return self._outbox.bind(spec, place(self._gateway, spec.config), found)

    def define(self, device: Device) -> LiveDevice:
        live = self._live.define(device)
        self._publishers.tell(device, *self.state_of(device.name))
        return live

    def seen(self, readings: Readings, boot_ns: int) -> None:
        for observer in self._observers:
            observer(readings, boot_ns)

    def keep(self, readings: Readings) -> None:
        self._outbox.append(readings)

    def settle(self) -> None:
        self._outbox.flush()

    def told(self, what: Told) -> None:
        self._detection.conditions.told(what)

    def event(self, event: Event) -> None:
        log.warning("event", kind=event.kind, state=event.state, device=event.device, message=event.message)
        self._outbox.append_event(event)

    def device_changed(self, device: Device, health: Health) -> None:
        online = health.state == "up"
        self._states[device.name] = (online, health.reason)
        self._publishers.tell(device, *self.state_of(device.name))
        if health.state != "stopped":
            self._outbox.receipts.device_changed(device, online, health.reason)

    # What the outbox says.

    def heard(self, event: Mapping[str, Any]) -> None:
        for listener in self._listeners:
            listener(event)

    def keeping(self, why_not: str) -> None:
        for live in self._live:  # each is told anew: its reason says now, or no more, that nothing is kept
            self._publishers.tell(live.device, *self.state_of(live.device.name))

    # What others ask.

    def state_of(self, device: str) -> tuple[bool, str]:
        """Whether it is being read, and why not, or why what is read of it is kept on no disk."""
        online, reason = self._states.get(device, UNREAD)
        if online and self._outbox.not_kept:
            reason = f"nothing is kept: {self._outbox.not_kept}"
        return online, reason

    def forget_all_but(self, names: Collection[str]) -> None:
        """All other devices have left the configuration."""
        for device in [live.device for live in self._live if live.device.name not in names]:
            self._live.forget(device.name)
            self._states.pop(device.name, None)
            self._outbox.receipts.removed(device.name)
            self._publishers.tell(device, False, "removed from the configuration")
