"""What a device has to say beside values: its events, and how its conditions stand."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

DEVICE, DEVICE_AUDIT = "device", "device_audit"
"""Kinds of events of devices."""


@dataclass(frozen=True, slots=True)
class Condition:
    """How a condition of a device stood at an event, in the terms of OPC 10000-9."""

    id: str
    """The device's own id of it, the same for good."""
    name: str
    """What people call it; best unique on the device, such as "Boiler.LevelHigh"."""
    active: bool
    acknowledged: bool | None
    """None for one that nobody has to acknowledge."""
    retained: bool
    """Whether the device still counts it among those that matter: it is active, or waits for somebody."""


@dataclass(frozen=True, slots=True)
class DeviceEvent:
    """One event of a device."""

    device: str
    id: str
    """The device's own id of the event; one that came before is taken for a repeat."""
    t_ns: int
    """Source time, nanoseconds since 1970 UTC."""
    message: str
    severity: str = "info"
    """info, advisory, warning or alarm."""
    detail: Mapping[str, Any] = field(default_factory=dict)
    """Further JSON values."""
    condition: Condition | None = None
    """The condition whose state it tells; None for an event that has none."""
    state: str = "reported"
    """Of an event without condition: "reported", or "lost" where it tells that events are missing."""
    restated: bool = False
    """Whether the device says once more how the condition stands, because it was asked."""
    by: str = ""
    """Who did it, where the device says so."""
    kind: str = DEVICE
    """Of an event without condition: `DEVICE`, or `DEVICE_AUDIT` where the device notes what somebody did at it."""


@dataclass(frozen=True, slots=True)
class Retained:
    """All conditions that a device still retains: whatever else was raised is over."""

    device: str
    conditions: frozenset[str]
    """Their ids."""


Told = DeviceEvent | Retained
