"""One alarm and its state, after ISA-18.2 (IEC 62682), figure "Alarm state transition diagram".

    normal ──raise──▶ raised ──acknowledge──▶ acknowledged ──clear──▶ normal
                        └──clear──▶ cleared ──acknowledge──▶ normal

`raised` is the standard's "unacknowledged", `cleared` its "returned to normal, unacknowledged". An alarm that latches stays
active after its condition has gone (`latched`) until somebody acknowledges it. Alarms of severity info and advisory need
no acknowledgement; of its own conditions a device says whether they do. A shelved alarm keeps its state, unheard, until the
time is over. Plain data: no clock, no I/O.
"""

from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import Any

from gateway.alarms.deadline import Deadline
from gateway.core.event import Event
from gateway.status import AcknowledgedStatus, AlarmStatus, ShelvedStatus

UNHEARD = "info"
"""Severity of what a shelved alarm says."""
CONDITION = "condition"
"""Kind of the alarms that devices raise."""
_ACKNOWLEDGED_BY_A_PERSON = ("warning", "alarm")
_MS = 1_000_000


@dataclass(frozen=True, slots=True)
class Key:
    """What can be wrong with what."""

    kind: str
    """"anomaly" and "drift" for a model's, "alarm" for a limit's, "condition" for a device's own."""
    source: str
    """Name of the model, of the `[[alarm]]` or of the device's condition."""
    device: str

    @property
    def name(self) -> str:
        """What people call it."""
        name = f"{self.source}/{self.device}"
        return f"{name}/drift" if self.kind == "drift" else name


@dataclass(frozen=True, slots=True)
class Said:
    """What a person said of an alarm."""

    by: str
    at_ns: int
    words: str


@dataclass(frozen=True, slots=True)
class Origin:
    """The device's last word on a condition of its own."""

    condition: str
    """Its id on the device."""
    event: str
    """The device's id of the event."""
    t_ns: int
    retained: bool


@dataclass(slots=True)
class Alarm:
    """One alarm, from when it is first raised; times in wall-clock nanoseconds."""

    key: Key
    latch: bool = False
    event: str = ""
    """Id of the present or last occurrence, the same from raise to clear."""
    severity: str = "warning"
    message: str = ""
    raised_ns: int = 0
    cleared_ns: int = 0
    active: bool = False
    """Raised, and not cleared since."""
    condition: bool = False
    """Whether what raised it still holds; differs from `active` while it latches."""
    occurrences: int = 0
    """How often it was raised since the last acknowledgement."""
    acknowledged: Said | None = None
    shelved: Said | None = None
    shelved_until: Deadline | None = None
    asks: bool | None = None
    """Whether a device wants it acknowledged; None: that follows from its severity."""
    origin: Origin | None = None

    @property
    def state(self) -> str:
        """See above: raised, acknowledged, latched, cleared or normal."""
        if self.active:
            if not self.condition:
                return "latched"
            return "acknowledged" if self.acknowledged else "raised"
        return "cleared" if self.waits else "normal"

    @property
    def waits(self) -> bool:
        """Whether somebody has yet to acknowledge it."""
        asks = self.severity in _ACKNOWLEDGED_BY_A_PERSON if self.asks is None else self.asks
        return asks and self.acknowledged is None and self.occurrences > 0

    @property
    def is_over(self) -> bool:
        """Nothing is left to be kept of it."""
        return not self.active and not self.waits and self.shelved is None

    def raise_(self, event: Event) -> None:
        """A new occurrence."""
        self.event, self.severity, self.message = event.id, event.severity, event.message
        self.raised_ns, self.cleared_ns = event.t_ns, 0
        self.active = self.condition = True
        self.acknowledged = None
        self.occurrences += 1

    def condition_gone(self) -> bool:
        """Its condition has ended. Gives whether that clears it; an alarm that latches waits for a person."""
        self.condition = False
        return not (self.latch and self.acknowledged is None)

    def clear(self, t_ns: int) -> None:
        """The occurrence is over."""
        self.active = self.condition = False
        self.cleared_ns = t_ns
        if not self.waits:
            self.occurrences = 0

    def acknowledge(self, said: Said) -> bool:
        """A person has seen it. Gives whether that clears it, as with one that latched."""
        self.acknowledged = said
        if not self.condition:
            self.occurrences = 0
        return self.active and not self.condition

    def status(self, until_ns: int = 0, chattering: bool = False) -> AlarmStatus:
        """For a person; `until_ns`: when its shelving ends, as the wall clock goes now."""
        seen, shelved = self.acknowledged, self.shelved
        return AlarmStatus(
            event=self.event,
            name=self.key.name,
            kind=self.key.kind,
            source=self.key.source,
            device=self.key.device,
            state=self.state,
            active=self.active,
            waits=self.waits,
            severity=self.severity,
            message=self.message,
            raised=self.raised_ns // _MS,
            cleared=self.cleared_ns // _MS or None,
            occurrences=self.occurrences,
            acknowledged=AcknowledgedStatus(by=seen.by, at=seen.at_ns // _MS, comment=seen.words) if seen else None,
            shelved=ShelvedStatus(by=shelved.by, at=shelved.at_ns // _MS, reason=shelved.words, until=until_ns // _MS)
            if shelved
            else None,
            chattering=chattering,
        )


def load_alarm(body: Mapping[str, Any]) -> Alarm:
    """From its fields as JSON values. Raises TypeError and KeyError for anything else."""
    known = {field.name for field in fields(Alarm)}
    values = {name: value for name, value in body.items() if name in known}
    values["key"] = Key(**body["key"])
    for name in ("acknowledged", "shelved"):
        if values.get(name) is not None:
            values[name] = Said(**values[name])
    if values.get("shelved_until") is not None:
        values["shelved_until"] = Deadline(**values["shelved_until"])
    if values.get("origin") is not None:
        values["origin"] = Origin(**values["origin"])
    return Alarm(**values)
