"""What the detector says, in the words of the plant."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from uuid import uuid4

import numpy as np
from numpy.typing import NDArray

from gateway.core.amounts import format_duration
from gateway.core.event import Contribution, Event
from gateway.detect.models import Card
from gateway.detect.windows import Figures
from gateway.status import rendered

NAMED = 3
"""Tags in a message, at most; the event lists all."""
ENOUGH = 0.85
"""Share of the score that the tags in a message need not exceed."""


@dataclass(frozen=True, slots=True)
class ModelIdentity:
    """Who is speaking: the fields that every event of a model carries."""

    model: str
    card: Card
    sha256: str
    gateway_version: str
    onnxruntime: str
    """Its version; together with the processor's type it decides the last bit of a score."""
    cpu: str

    def detail(self) -> Mapping[str, object]:
        return {
            "model": self.model,
            "model_version": self.card.version,
            "model_sha256": self.sha256,
            "gateway_version": self.gateway_version,
            "onnxruntime": self.onnxruntime,
            "cpu": self.cpu,
        }


@dataclass(frozen=True, slots=True)
class ScoredWindow:
    """One score with what led to it."""

    device: str
    score: float
    from_ns: int
    """Begin of the window, source time."""
    to_ns: int
    window_sha256: str
    """Of the window as little-endian float32, row after row."""
    contributions: tuple[Contribution, ...]
    """Largest share first."""


def contributions(
    card: Card, shares: NDArray[np.float32], values: NDArray[np.float32], expected: NDArray[np.float32] | None
) -> tuple[Contribution, ...]:
    """The tags' parts in one score, largest first; `shares`, `values`, `expected` are float32[T]."""
    parts = np.nan_to_num(np.maximum(shares.astype(np.float64), 0.0), posinf=0.0)
    parts /= parts.sum() or 1.0
    usual = expected if expected is not None else [entry.expected for entry in card.inputs]
    return tuple(
        Contribution(card.inputs[i].tag, round(float(parts[i]), 4), _short(values[i]), _short(usual[i]))
        for i in np.argsort(-parts, kind="stable").tolist()
    )


def raised(identity: ModelIdentity, scored: ScoredWindow) -> Event:
    """The begin of an anomaly."""
    units = {entry.tag: entry.unit for entry in identity.card.inputs}
    told = "; ".join(_tell(part, units[part.tag]) for part in _foremost(scored.contributions))
    message = f"{scored.device} behaves unusually" + (f": {told}" if told else "")
    return _anomaly(identity, scored, uuid4().hex, "raised", message)


def cleared(identity: ModelIdentity, scored: ScoredWindow, event_id: str, since_ns: int) -> Event:
    """The end of the anomaly that was raised under this id."""
    lasted = format_duration(max(0, scored.to_ns - since_ns) / 1e9)
    return _anomaly(identity, scored, event_id, "cleared", f"{scored.device} behaves as usual again, after {lasted}")


def drifted(identity: ModelIdentity, device: str, t_ns: int, figures: Figures) -> Event:
    """What a model sees is no longer what it was trained on."""
    message = f'{device} has drifted from what model "{identity.model}" was trained on: {"; ".join(figures.reasons)}'
    severity = "warning" if figures.is_far else "advisory"
    detail = {**identity.detail(), "drift": rendered(figures.status())}
    return Event(uuid4().hex, "drift", "raised", device, t_ns, message, severity, detail)


def settled(identity: ModelIdentity, device: str, t_ns: int, figures: Figures, event_id: str) -> Event:
    """What a model sees is again as in its training."""
    message = f'{device} is again as model "{identity.model}" was trained'
    detail = {**identity.detail(), "drift": rendered(figures.status())}
    return Event(event_id, "drift", "cleared", device, t_ns, message, "advisory", detail)


def failed(model: str, reason: str, t_ns: int, detail: Mapping[str, object], device: str = "") -> Event:
    """A model that cannot be used, or not for one device."""
    scope = f" for {device}" if device else ""
    message = f'model "{model}" cannot be used{scope}: {reason}'
    return Event(uuid4().hex, "model", "failed", device, t_ns, message, "warning", {**detail, "reason": reason})


def next_failed(model: str, file: str, sha256: str, reason: str, t_ns: int, detail: Mapping[str, object]) -> Event:
    """A next version that cannot be used; `detail`: of the active one."""
    message = f'the next version of model "{model}" cannot be used, the active one goes on: {reason}'
    candidate = {"file": file, "sha256": sha256}
    detail = {**detail, "candidate": candidate, "reason": reason}
    return Event(uuid4().hex, "model", "candidate_failed", "", t_ns, message, "warning", detail)


def file_changed(model: str, remark: str, t_ns: int, detail: Mapping[str, object]) -> Event:
    """The file of the active version has been changed beside the gateway."""
    message = f'model "{model}": {remark}'
    return Event(uuid4().hex, "model", "file_changed", "", t_ns, message, "warning", {**detail, "reason": remark})


def _anomaly(identity: ModelIdentity, scored: ScoredWindow, event_id: str, state: str, message: str) -> Event:
    detail = {
        **identity.detail(),
        "score": _short(scored.score),
        "threshold": identity.card.threshold,
        "window_from": scored.from_ns // 1_000_000,
        "window_to": scored.to_ns // 1_000_000,
        "window_sha256": scored.window_sha256,
    }
    return Event(
        event_id,
        "anomaly",
        state,
        scored.device,
        scored.to_ns,
        message,
        identity.card.severity,
        detail,
        scored.contributions,
    )


def _foremost(parts: Sequence[Contribution]) -> list[Contribution]:
    chosen: list[Contribution] = []
    for part in parts[:NAMED]:
        if part.share > 0 and sum(other.share for other in chosen) < ENOUGH:
            chosen.append(part)
    return chosen


def _tell(part: Contribution, unit: str) -> str:
    return f"{part.tag} {part.value:.4g} {unit}".rstrip() + f" (expected {part.expected:.4g})"


def _short(value: float) -> float:
    """A float32 as the number a person would write for it."""
    return float(f"{value:.7g}")
