"""What led to an alarm, as it was kept: its event, the window of an anomaly, the last ones like it and what was done then,
and what else happened around it. Nothing is scored again; `edge-gateway explain` does that."""

import asyncio
from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime
from functools import lru_cache
from pathlib import Path
from typing import Any, TypedDict

import numpy as np

from gateway.alarms import EvidenceStore, KeptEvidence
from gateway.core.command import Actor, Body
from gateway.core.errors import GatewayError
from gateway.core.names import seen_by
from gateway.detect import Detection
from gateway.detect.models import ModelError, parse_card, read_onnx
from gateway.operate.audit_log import AuditLog
from gateway.outbox import Outbox
from gateway.status import AlarmStatus

CURVES = 12
"""Tags of a window that are told, those with the largest shares."""
ROWS = 2000
"""Rows of a window that are told, the last ones."""
LOOKED_AT = 300
"""Windows that may be like it, the newest."""
SIMILAR = 5
ALIKE = 0.9
"""Least cosine between the shares of two windows that are called alike."""
AROUND_MS = 10 * 60_000
"""What happened within is told with an alarm."""
LATE_MS = 5 * 60_000
"""An event may be accepted so much later than the source time that it carries."""
THEN_MS = 3_600_000
"""What was done within this time belongs to an alarm."""
RECORDS = 5000
"""Of the audit trail, the last ones, that are looked through for what was done."""
MANY = 100
"""Events around it that are told."""
_STEPS = ("alarm.acknowledge", "alarm.shelve")
_DONE = ("write", "call")

Event = Mapping[str, Any]


class CurveAnswer(TypedDict):
    """A tag's column of a window."""

    tag: str
    unit: str
    values: list[float | None]


class WindowAnswer(TypedDict):
    """What an anomaly was found in; times in milliseconds since 1970."""

    from_ms: int
    to_ms: int
    ts: list[int]
    """Of each row."""
    tags: list[CurveAnswer]
    left_out: int
    """Tags that are not told."""


class DoneAnswer(TypedDict):
    """What somebody did about an alarm."""

    at: int
    """Milliseconds since 1970."""
    by: str
    action: str
    """As the audit trail calls it."""
    target: str
    old: Any
    new: Any
    why: str


class SimilarAnswer(TypedDict):
    """An anomaly like another one."""

    event: str
    ts: int
    severity: str
    message: str
    score: float | None
    threshold: float | None
    likeness: float
    """Cosine between the shares, 0 to 1."""
    done: list[DoneAnswer]


class AroundAnswer(TypedDict):
    """An event within ten minutes."""

    event: str
    kind: str
    state: str
    device: str
    ts: int
    severity: str
    message: str


class WhyAnswer(TypedDict):
    """All that is kept of an alarm."""

    alarm: AlarmStatus | None
    """As it stands; None: it is over."""
    event: Event
    """As it was told (docs/json.md); empty where nothing is kept of it."""
    window: WindowAnswer | None
    similar: list[SimilarAnswer]
    around: list[AroundAnswer]


class Why:
    """Answers `why` from what the parts know."""

    def __init__(self, detection: Detection, outbox: Outbox, audit: AuditLog) -> None:
        self._detection = detection
        self._outbox = outbox
        self._audit = audit

    def commands(self) -> dict[str, Body]:
        """By their names on the socket."""
        return {"why": self.why}

    async def why(self, by: Actor, alarm: str) -> WhyAnswer:
        """`alarm`: its name, or the beginning of its event's id, also of one that is over. Raises GatewayError for one of
        which nothing is known."""
        listed = self._detection.alarms.listed()
        stands = next((each for each in listed if alarm in (each.name, each.event)), None)
        kept = await asyncio.to_thread(_kept, self._detection.evidence, stands.event if stands else alarm)
        if stands is None and kept is not None:
            stands = next((each for each in listed if each.event == kept.event["event"]), None)
        if stands is None and kept is None:
            found = self._detection.alarms.find(alarm)  # raises, and says which there are
            stands = next((each for each in listed if each.event == found.event), None)
        if stands is None and kept is None:
            raise GatewayError(f'alarm "{alarm}" is not raised, and nothing is kept of it')
        event = kept.event if kept is not None else {}
        at = int(event.get("ts") or (stands.raised if stands else 0))
        around, _ = await self._outbox.kept.events((at - AROUND_MS) * 1_000_000, (at + AROUND_MS + LATE_MS) * 1_000_000)
        like = await asyncio.to_thread(self._like, kept) if kept is not None else []
        return {
            "alarm": stands,
            "event": event,
            "window": await asyncio.to_thread(_window, kept) if kept is not None else None,
            "similar": like,
            "around": list(
                _around(seen_by(by, around), listed, at, str(event.get("event") or (stands.event if stands else "")))
            ),
        }

    def _like(self, kept: KeptEvidence) -> list[SimilarAnswer]:
        """The last windows of the same device and model that the same tags stood out in. Blocking."""
        own = _shares(kept.event)
        found: list[SimilarAnswer] = []
        for each in self._detection.evidence.newest(LOOKED_AT):
            other = each.event
            same = all(other.get(name) == kept.event.get(name) for name in ("device", "model"))
            if not same or other["event"] == kept.event["event"]:
                continue
            if (likeness := _cosine(own, _shares(other))) >= ALIKE:
                found.append(_similar(other, likeness))
            if len(found) == SIMILAR:
                break
        records = self._audit.tail(RECORDS) if found else []
        for like in found:
            like["done"] = list(_done(records, like, str(kept.event["device"])))
        return found


def _similar(event: Event, likeness: float) -> SimilarAnswer:
    return {
        "event": event["event"],
        "ts": event["ts"],
        "severity": event["severity"],
        "message": event["message"],
        "score": event.get("score"),
        "threshold": event.get("threshold"),
        "likeness": round(likeness, 3),
        "done": [],
    }


def _kept(store: EvidenceStore, event: str) -> KeptEvidence | None:
    try:
        return store.find(event) if event else None
    except GatewayError:
        return None


def _window(kept: KeptEvidence) -> WindowAnswer | None:
    """The curves of the tags with the largest shares; None where nobody can say any more which column is which tag."""
    tags = _tags(kept.model)
    if tags is None or len(tags) != kept.window.shape[1]:
        return None
    first, last = kept.event.get("window_from"), kept.event.get("window_to")
    if not (isinstance(first, int) and isinstance(last, int) and first <= last):
        return None
    rows = len(kept.window)
    step = (last - first) / rows
    begin = max(0, rows - ROWS)
    columns = {tag: kept.window[begin:, column] for column, (tag, _) in enumerate(tags)}
    units = dict(tags)
    shares = _shares(kept.event)
    foremost = sorted(columns, key=lambda tag: -shares.get(tag, 0.0))[:CURVES]
    return {
        "from_ms": first,
        "to_ms": last,
        "ts": [round(first + step * (row + 1)) for row in range(begin, rows)],
        "tags": [
            {"tag": tag, "unit": units[tag], "values": [_number(value) for value in columns[tag].tolist()]}
            for tag in foremost
        ],
        "left_out": len(columns) - len(foremost),
    }


@lru_cache(maxsize=16)
def _tags(model: Path) -> tuple[tuple[str, str], ...] | None:
    """Name and unit of each column. A model's file is called by its hash, and never changes."""
    try:
        card = parse_card(read_onnx(model).metadata)
    except ModelError:
        return None
    return tuple((each.tag, each.unit) for each in card.inputs)


def _shares(event: Event) -> dict[str, float]:
    parts = event.get("contributions", ())
    return {part["tag"]: float(part["share"]) for part in parts if isinstance(part.get("share"), int | float)}


def _cosine(one: Mapping[str, float], other: Mapping[str, float]) -> float:
    scale = float(np.sqrt(sum(share**2 for share in one.values()) * sum(share**2 for share in other.values())))
    return sum(share * other.get(tag, 0.0) for tag, share in one.items()) / scale if scale else 0.0


def _done(records: Sequence[Event], like: SimilarAnswer, device: str) -> Iterator[DoneAnswer]:
    """What people did about it: with the alarm itself, and with its device within an hour."""
    for record in records:
        action, at = str(record.get("action")), _ms(record.get("ts"))
        if at is None or not like["ts"] <= at:
            continue
        of_device = str(record.get("target", "")).startswith(f"{device}/") and at <= like["ts"] + THEN_MS
        if (action in _STEPS and record.get("event") == like["event"]) or (action in _DONE and of_device):
            yield {
                "at": at, "by": str(record.get("who", "")), "action": action, "target": str(record.get("target", "")),
                "old": record.get("old"), "new": record.get("new"), "why": str(record.get("why", "")),
            }  # fmt: skip


def _ms(text: Any) -> int | None:
    try:
        return round(datetime.fromisoformat(text).timestamp() * 1000)
    except (TypeError, ValueError):
        return None


def _around(events: Sequence[Event], listed: Sequence[AlarmStatus], at: int, own: str) -> Iterator[AroundAnswer]:
    """What was raised or told within ten minutes, in the order of time: each event once, the first of its id."""
    seen = {own}
    told = [*map(_told, events), *map(_standing, listed)]
    near = [each for each in told if each["event"] and abs(each["ts"] - at) <= AROUND_MS]
    for each in sorted(near, key=lambda event: event["ts"]):
        if each["event"] not in seen and len(seen) <= MANY:
            seen.add(each["event"])
            yield each


def _told(event: Event) -> AroundAnswer:
    ts = event.get("ts")
    return {
        "event": str(event.get("event") or ""),
        "kind": str(event.get("kind") or ""),
        "state": str(event.get("state") or ""),
        "device": str(event.get("device") or ""),
        "ts": ts if isinstance(ts, int) else 0,
        "severity": str(event.get("severity") or ""),
        "message": str(event.get("message") or ""),
    }


def _standing(alarm: AlarmStatus) -> AroundAnswer:
    return {
        "event": alarm.event,
        "kind": alarm.kind,
        "state": alarm.state,
        "device": alarm.device,
        "ts": alarm.raised,
        "severity": alarm.severity,
        "message": alarm.message,
    }


def _number(value: float) -> float | None:
    return float(f"{value:.7g}") if np.isfinite(value) else None
