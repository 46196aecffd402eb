"""What led to an alarm, as it was kept: its event, the window of an anomaly, the last ones like it and what was done then,
and what else happened around it. Nothing is scored again; `edge-gateway explain` does that."""

import asyncio
from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np

from gateway.alarms import EvidenceStore, Kept
from gateway.core.command import Actor, Body
from gateway.core.errors import GatewayError
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


class Why:
    """Answers `why`."""

    def __init__(self, detection: Detection, outbox: Outbox, audit: AuditLog) -> None:
        self._detection = detection
        self._outbox = outbox
        self._audit = audit

    def commands(self) -> dict[str, Body]:
        """By their names on the socket."""
        return {"why": self.why}

    async def why(self, by: Actor, alarm: str) -> dict[str, Any]:
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
        around = await self._outbox.kept.events((at - AROUND_MS) * 1_000_000, (at + AROUND_MS + LATE_MS) * 1_000_000)
        like = await asyncio.to_thread(self._like, kept) if kept is not None else []
        return {
            "alarm": stands,
            "event": event,
            "window": await asyncio.to_thread(_window, kept) if kept is not None else None,
            "similar": like,
            "around": list(_around(around, listed, at, str(event.get("event") or (stands.event if stands else "")))),
        }

    def _like(self, kept: Kept) -> list[dict[str, Any]]:
        """The last windows of the same device and model that the same tags stood out in. Blocking."""
        own = _shares(kept.event)
        found: list[dict[str, Any]] = []
        for each in self._detection.evidence.newest(LOOKED_AT):
            other = each.event
            same = all(other.get(name) == kept.event.get(name) for name in ("device", "model"))
            if not same or other["event"] == kept.event["event"]:
                continue
            if (likeness := _cosine(own, _shares(other))) >= ALIKE:
                told = {name: other.get(name) for name in ("event", "ts", "severity", "message", "score", "threshold")}
                found.append({**told, "likeness": round(likeness, 3)})
            if len(found) == SIMILAR:
                break
        records = self._audit.tail(RECORDS) if found else []
        device = str(kept.event.get("device", ""))
        return [{**each, "done": list(_done(records, each, device))} for each in found]


def _kept(store: EvidenceStore, event: str) -> Kept | None:
    try:
        return store.find(event) if event else None
    except GatewayError:
        return None


def _window(kept: Kept) -> dict[str, Any] | None:
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
        "from": first,
        "to": last,
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


def _done(records: Sequence[Event], like: Event, device: str) -> Iterator[dict[str, Any]]:
    """What people did about it: with the alarm itself, and with its device within an hour."""
    for record in records:
        action, at = record.get("action"), _ms(record.get("ts"))
        if at is None or not like["ts"] <= at:
            continue
        of_device = str(record.get("target", "")).startswith(f"{device}/") and at <= like["ts"] + THEN_MS
        if (action in _STEPS and record.get("event") == like["event"]) or (action in _DONE and of_device):
            told = {name: record[name] for name in ("target", "old", "new", "why") if name in record}
            yield {"at": at, "by": record.get("who", ""), "action": action, **told}


def _ms(text: Any) -> int | None:
    try:
        return round(datetime.fromisoformat(text).timestamp() * 1000)
    except (TypeError, ValueError):
        return None


def _around(events: Sequence[Event], listed: Sequence[AlarmStatus], at: int, own: str) -> Iterator[dict[str, Any]]:
    """What was raised or told within ten minutes, in the order of time: each event once, the first of its id."""
    names = ("event", "kind", "state", "device", "ts", "severity", "message")
    seen = {own}
    told: list[dict[str, Any]] = [{name: event.get(name) for name in names} for event in events]
    told += [
        {
            "event": each.event, "kind": each.kind, "state": each.state, "device": each.device, "ts": each.raised,
            "severity": each.severity, "message": each.message,
        }
        for each in listed
    ]  # fmt: skip
    near = [(each["ts"], each) for each in told if isinstance(each["ts"], int) and isinstance(each["event"], str)]
    near = [(ts, each) for ts, each in near if abs(ts - at) <= AROUND_MS]
    for _, each in sorted(near, key=lambda event: event[0]):
        if (event := str(each["event"])) not in seen and len(seen) <= MANY:
            seen.add(event)
            yield each


def _number(value: float) -> float | None:
    return float(f"{value:.7g}") if np.isfinite(value) else None
