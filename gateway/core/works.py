"""What each device works for at the moment."""

from collections.abc import Iterator, Mapping
from typing import Any

from gateway.core.context import WORK, Context
from gateway.core.quality import HISTORICAL
from gateway.core.readings import Readings
from gateway.core.tag import Device


class Works:
    """The present work of devices, by their names; whoever opens and closes batches writes it, the outbox stamps with it."""

    def __init__(self) -> None:
        self._of: dict[str, Context] = {}
        self._stamped: dict[str, tuple[Device, Device]] = {}
        """By the device's name: it as it is configured, and in its present context."""
        self._ever: set[str] = set()
        """Devices that have worked for something since the start."""

    def set(self, device: str, work: Context) -> None:
        """From now on the device works for this; a context without work stands for nothing."""
        self._stamped.pop(device, None)
        if work.works:
            self._of[device] = work
            self._ever.add(device)
        else:
            self._of.pop(device, None)

    def __iter__(self) -> Iterator[Context]:
        return iter(tuple(self._of.values()))

    def of(self, device: str) -> Context:
        """What the device works for, without a place."""
        return self._of.get(device, _NOTHING)

    def device(self, device: Device) -> Device:
        """The device in its present context."""
        work = self._of.get(device.name)
        if work is None:
            return device
        known = self._stamped.get(device.name)
        if known is None or known[0] is not device:
            known = self._stamped[device.name] = (device, device.under(device.context.at(work)))
        return known[1]

    def readings(self, readings: Readings) -> Readings:
        """A block as it was taken just now, in the present context of its device; of what a device recorded earlier (flag
        historical) nobody knows what it was for."""
        if readings.device.name not in self._ever:
            return readings
        if len(readings) and int(readings.quality[0]) & HISTORICAL:
            device = readings.device.under(readings.device.context.at(_RECORDED))
        else:
            device = self.device(readings.device)
        return readings if device is readings.device else readings.under(device)

    def event(self, body: Mapping[str, Any]) -> Mapping[str, Any]:
        """The same for an event of a device, as a JSON object; it says the work alone, in its member `context`. Whatever a
        device itself calls so is no work: only what opens and closes works says it by itself."""
        if body.get("kind") == OF_WORK:
            return body
        work = self._of.get(str(body.get("device") or ""))
        if work is not None:
            return {**body, "context": work.said()}
        return {name: value for name, value in body.items() if name != "context"} if "context" in body else body


OF_WORK = "context"
"""Kind of the events that tell what opens and closes."""
_NOTHING = Context()
_RECORDED = Context(unknown="recorded by the device, and taken over later")


def work_of(body: Mapping[str, Any]) -> Context:
    """The work that an event says; a context without any for one that says none."""
    said = body.get("context")
    if not isinstance(said, dict) or not all(name in WORK and type(text) is str for name, text in said.items()):
        return _NOTHING
    return Context(**said)
