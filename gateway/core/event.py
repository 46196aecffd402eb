"""What the gateway has to say beside readings: anomalies, alarms, changes of its own state."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

from gateway.core.parsing import JsonObject


@dataclass(frozen=True, slots=True)
class Contribution:
    """How much one tag had part in a score. Correlated tags share; it is no proof of cause."""

    tag: str
    share: float
    """0 to 1; the shares of an event add up to 1 unless all are 0."""
    value: float
    expected: float


@dataclass(frozen=True, slots=True)
class Event:
    """One event, as it is stored and published.

    `kind` names the family ("anomaly", "model", "device", "clock", "gateway"); `state` what happened ("raised",
    "cleared", "failed", …). `id` is the same from raise to clear.
    """

    id: str
    kind: str
    state: str
    device: str
    t_ns: int
    """Source time of what raised it, nanoseconds since 1970 UTC."""
    message: str
    """One sentence for a person."""
    severity: str = "info"
    """info, advisory, warning or alarm."""
    detail: Mapping[str, Any] = field(default_factory=dict)
    """Further JSON values, such as model, score, threshold, window."""
    contributions: Sequence[Contribution] = ()

    def body(self) -> JsonObject:
        """The event as a JSON object."""
        body: JsonObject = {
            "event": self.id,
            "kind": self.kind,
            "state": self.state,
            "device": self.device,
            "ts": self.t_ns // 1_000_000,
            "severity": self.severity,
            "message": self.message,
            **self.detail,
        }
        if self.contributions:
            body["contributions"] = [
                {"tag": part.tag, "share": part.share, "value": part.value, "expected": part.expected}
                for part in self.contributions
            ]
        return body


class EventLog(Protocol):
    """Where events go that are told to the far side: the outbox."""

    def append_event(self, event: Event) -> None:
        """Keep it, and send it on."""
        ...
