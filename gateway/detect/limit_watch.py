"""One `[[alarm]]` over the devices it watches: from broken limits to alarms, in words."""

from collections.abc import Sequence
from typing import ClassVar
from uuid import uuid4

import numpy as np

from gateway.alarms import Alarms, Key
from gateway.config.model import AlarmSection
from gateway.core.amounts import format_duration
from gateway.core.clock import Clock
from gateway.core.event import Event
from gateway.core.tag import Device
from gateway.detect.fault import fault
from gateway.detect.patterns import matching
from gateway.detect.watcher import Fed, Spawn, Watcher
from gateway.detect.windows import Change, Limit, Limits, Slots
from gateway.status import LimitedStatus, LimitStatus
from gateway.supervise.contained import containing

_BY_BOOT_CLOCK = ("no_data", "stuck")
"""Conditions that have no source time of their own."""
LIMIT_SECONDS = 0.25
"""How often limits are looked at, at least."""


class LimitWatch:
    """Binds the devices' tags to one limit, and tells `alarms` what it finds. What they know to be raised goes on.
    A `Watcher`."""

    pause: ClassVar[float] = LIMIT_SECONDS

    def __init__(
        self, section: AlarmSection, devices: Sequence[str], alarms: Alarms, clock: Clock, gateway_version: str
    ) -> None:
        self.section = section
        self.failure = ""
        """What once went wrong; the limit is watched on."""
        self.devices = tuple(devices)
        self.slots = Slots(1)
        self._row = {name: row for row, name in enumerate(devices)}
        self._limits = Limits(limit_of(section), len(devices))
        self._units = [""] * len(devices)
        self._alarms = alarms
        self._clock = clock
        self._version = gateway_version
        for name in alarms.holding("alarm", section.name).keys() & self._row.keys():
            self._limits.broken[self._row[name]] = True

    def key(self, device: str) -> Key:
        """Under which a device's alarm is known."""
        return Key("alarm", self.section.name, device)

    @property
    def alarm_keys(self) -> set[Key]:
        """All alarms that it may raise."""
        return {self.key(device) for device in self.devices}

    def restore(self, before: Sequence[Watcher]) -> None:
        """See `Watcher`: its delays go on."""
        for each in before:
            if isinstance(each, LimitWatch) and (each.section, each.devices) == (self.section, self.devices):
                self.slots, self._limits, self._units = each.slots, each._limits, each._units
                self.failure = each.failure
                return

    def bind(self, device: Device, described: bool) -> None:
        """Watch the tag of this device as it is now described."""
        row = self._row[device.name]
        tag = next((tag for tag in device.tags if tag.name == self.section.tag), None)
        if self.slots.connect(row, None if tag is None else np.array([tag.id], np.uint32)):
            self._limits.forget(row)
        self._units[row] = tag.unit if tag else ""

    def advance(self, fed: Fed, boot_ns: int, spawn: Spawn) -> None:
        """See `Watcher`. What goes wrong is told in the log, and in `status`; the limit is watched on."""
        try:
            with containing():
                samples = self.slots.samples(*fed.columns) if fed.columns else None
                for change in self._limits.advance(samples, boot_ns):
                    for at in range(len(change.rows)):
                        self._tell(change, at)
        except Exception as error:  # noqa: BLE001 - the other limits and models go on
            if not self.failure:
                self.failure = fault(error)

    def _tell(self, change: Change, at: int) -> None:
        row, value = int(change.rows[at]), float(change.value[at])
        t_ns = self._clock.wall_ns() if self.section.condition in _BY_BOOT_CLOCK else int(change.t_ns[at])
        key = self.key(self.devices[row])
        if change.broken[at]:
            message = _broken(self.section, key.device, value, self._units[row])
            event = self._event(uuid4().hex, "raised", row, t_ns, value, message)
            self._alarms.raised(key, event, self.section.latch)
        elif begin := self._alarms.get(key):
            lasted = format_duration(max(0, t_ns - begin.raised_ns) / 1e9)
            message = f"{key.device} {self.section.tag} is as it should be again, after {lasted}"
            self._alarms.cleared(key, self._event(begin.event, "cleared", row, t_ns, value, message))

    def _event(self, event_id: str, state: str, row: int, t_ns: int, value: float, message: str) -> Event:
        section = self.section
        detail: dict[str, object] = {
            "alarm": section.name,
            "tag": section.tag,
            "condition": section.condition,
            "limit": getattr(section, section.condition),
            "value": value if np.isfinite(value) else None,
            "unit": self._units[row],
            "gateway_version": self._version,
        }
        if section.action:
            detail["action"] = section.action
        return Event(event_id, "alarm", state, self.devices[row], t_ns, message, section.severity, detail)

    def status(self) -> LimitStatus:
        """The limit and its devices."""
        section = self.section
        return LimitStatus(
            name=section.name,
            tag=section.tag,
            condition=section.condition,
            limit=getattr(section, section.condition),
            reason=self.failure,
            devices=[
                LimitedStatus(
                    device=name,
                    broken=bool(self._limits.broken[row]),
                    value=float(self._limits.value[row]) if np.isfinite(self._limits.value[row]) else None,
                )
                for name, row in self._row.items()
            ],
        )


def limit_watches(
    sections: Sequence[AlarmSection], devices: Sequence[Device], alarms: Alarms, clock: Clock, gateway_version: str
) -> list[LimitWatch]:
    """A watch for each `[[alarm]]`, over those of the devices that it names."""
    names = [device.name for device in devices]
    return [
        LimitWatch(section, matching(section.devices, names), alarms, clock, gateway_version) for section in sections
    ]


def limit_of(section: AlarmSection) -> Limit:
    """What a `[[alarm]]` says, in nanoseconds."""
    limit = float(getattr(section, section.condition))
    return Limit(
        section.condition,
        limit * 1e9 if section.condition in _BY_BOOT_CLOCK else limit,
        section.hysteresis,
        round(section.per * 1e9),
        round(section.on_delay * 1e9),
        round(section.off_delay * 1e9),
    )


def _broken(section: AlarmSection, device: str, value: float, unit: str) -> str:
    def amount(number: float) -> str:
        return f"{number:.4g} {unit}".rstrip()

    what = f"{section.name}: {device} {section.tag}"
    match section.condition:
        case "high":
            told = f"{what} is {amount(value)}, above {amount(section.high or 0)}"
        case "low":
            told = f"{what} is {amount(value)}, below {amount(section.low or 0)}"
        case "rate":
            told = f"{what} has changed by {amount(value)} within {format_duration(section.per)}"
        case "stuck":
            told = (
                f"{what} has been exactly {value:.6g} {unit}".rstrip() + f" for {format_duration(section.stuck or 0)}"
            )
        case _:
            told = f"{what} has had no good value for {format_duration(section.no_data or 0)}"
    return f"{told}; {section.action}" if section.action else told
