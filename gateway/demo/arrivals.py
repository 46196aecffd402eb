"""The far side of the demonstration: a subscriber at the broker that counts, and shows what arrives."""

import json
from dataclasses import dataclass, field
from typing import NotRequired, TypedDict

Value = float | bool | str | None


class EventMessage(TypedDict):
    """An event, as docs/json.md describes it; some of its members."""

    id: str
    ts: int
    kind: str
    state: str
    message: str
    contributions: NotRequired[list["PartMessage"]]
    model: NotRequired[str]
    """What made it, and why: all of what follows, or none."""
    model_version: str
    model_sha256: str
    score: float
    threshold: float


class PartMessage(TypedDict):
    """What a tag had part in a score."""

    tag: str
    share: float
    value: float
    expected: float


class ReadingsMessage(TypedDict):
    """A message of readings of one device."""

    id: str
    ts: int
    values: dict[str, Value]
    q: NotRequired[dict[str, str]]
    """Qualities that are not good."""


@dataclass
class Arrivals:
    """What has arrived at the broker, judged from the messages alone."""

    messages: int = 0
    values: int = 0
    repeats: int = 0
    latest: dict[str, tuple[dict[str, Value], float]] = field(default_factory=dict)
    """Device → last values by tag, and when they came (monotonic)."""
    units: dict[tuple[str, str], str] = field(default_factory=dict)
    qualities: dict[tuple[str, str], str] = field(default_factory=dict)
    events: list[EventMessage] = field(default_factory=list)
    latencies: dict[str, list[float]] = field(default_factory=dict)
    """Device → seconds from source time to arrival, one per message of readings."""
    first_value: float | None = None
    _seen: set[str] = field(default_factory=set)
    _last: dict[str, int] = field(default_factory=dict)
    gaps: int = 0

    def take(self, topic: str, payload: bytes, now: float, wall: float) -> EventMessage | None:
        """One message; returns it if it is an event."""
        device, last = topic.split("/")[-2:]
        body = json.loads(payload)
        if last == "_tags":
            self.units |= {(device, tag): said.get("unit", "") for tag, said in body["tags"].items()}
        elif last == "_event":
            if self._is_new(body["id"]):
                event: EventMessage = body
                self.events.append(event)
                return event
        elif "values" in body and self._is_new(body["id"]):
            self._values(last, body, now, wall)
        elif "id" in body:
            self._is_new(body["id"])  # a receipt at the turn of an hour has a number too
        return None

    def _values(self, device: str, body: ReadingsMessage, now: float, wall: float) -> None:
        self.messages += 1
        self.values += len(body["values"])
        self.first_value = self.first_value or now
        self.latencies.setdefault(device, []).append(wall - body["ts"] / 1000)
        known = self.latest.get(device, ({}, 0.0))[0]
        known.update(body["values"])
        for tag in body["values"]:
            quality = body.get("q", {}).get(tag)
            self.qualities[device, tag] = str(quality) if quality else "good"
        self.latest[device] = (known, now)

    def _is_new(self, number: str) -> bool:
        if number in self._seen:
            self.repeats += 1
            return False
        self._seen.add(number)
        lane, _, seq = number.partition(":")[2].partition(":")
        at = int(seq.split(":")[0])
        self.gaps += max(0, at - self._last.get(lane, at - 1) - 1)
        self._last[lane] = max(at, self._last.get(lane, at))
        return True


def summary(arrived: Arrivals, seconds: float) -> list[str]:
    """What the demonstration has shown, in plain words."""
    raised = [event for event in arrived.events if event.get("state") == "raised"]
    return [
        f"In {seconds:.0f} s {arrived.values} values of {len(arrived.latest)} devices arrived at the broker"
        f" in {arrived.messages} messages.",
        f"Numbers missing: {arrived.gaps}. Repeated: {arrived.repeats}.",
        *(_lateness(device, sorted(times)) for device, times in sorted(arrived.latencies.items())),
        f"Anomaly events raised: {len(raised)}.",
    ]


def _lateness(device: str, late: list[float]) -> str:
    median, most = (late[int(len(late) * share)] * 1000 for share in (0.5, 0.99))
    return (
        f"{device}, from source time to arrival: {median:.0f} ms at the median, {most:.0f} ms at the 99th percentile."
    )
