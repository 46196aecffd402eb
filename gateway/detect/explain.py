"""Computes again what an event was found in."""

import hashlib
from dataclasses import dataclass

import numpy as np

from gateway.alarms import KeptEvidence, cpu
from gateway.core.errors import GatewayError
from gateway.detect.models import Card, Floats, graph, open_model

TOLERANCE = 1e-3
"""How far scores may lie apart, relative to the larger one, on another type of processor or onnxruntime."""


@dataclass(frozen=True, slots=True)
class Explained:
    """What was found then, and what is found now."""

    kept: KeptEvidence
    card: Card
    score: float
    contribution: Floats
    """float32[T]"""
    identical: bool
    """Whether score and contributions are the same, bit for bit."""
    largest_difference: float
    """Relative to the larger one of the two."""
    other: tuple[str, ...]
    """What differs between then and now: processor, onnxruntime; empty when the bits must be the same."""

    @property
    def agrees(self) -> bool:
        """Whether it is what it should be: the same bits on the same machine, within TOLERANCE on another."""
        return self.identical or (bool(self.other) and self.largest_difference <= TOLERANCE)


def recompute(kept: KeptEvidence) -> Explained:
    """Score the window of an event again. Raises ModelError when its model is no longer there or was changed."""
    opened = open_model(kept.model)
    if opened.file.sha256 != kept.event["model_sha256"]:
        raise GatewayError(f"{kept.model}: is not the model of the event: its SHA-256 is {opened.file.sha256}")
    if hashlib.sha256(kept.window.astype("<f4").tobytes()).hexdigest() != kept.event["window_sha256"]:
        raise GatewayError("the window that was kept is not that of the event: its SHA-256 differs")
    now = opened.session.explain(kept.window)
    assert now.contribution is not None
    then_all, now_all = (
        np.concatenate([kept.score, kept.contribution]),
        np.concatenate([now.score, now.contribution[0]]),
    )
    return Explained(
        kept,
        opened.card,
        float(now.score[0]),
        now.contribution[0],
        then_all.tobytes() == now_all.tobytes(),
        _largest_difference(then_all, now_all),
        tuple(_differing(kept)),
    )


def _differing(kept: KeptEvidence) -> list[str]:
    pairs = (("processor", kept.cpu, cpu()), ("onnxruntime", kept.onnxruntime, graph.version()))
    return [f"{what} {then} then, {now} now" for what, then, now in pairs if then != now]


def _largest_difference(left: Floats, right: Floats) -> float:
    scale = np.maximum(np.maximum(np.abs(left), np.abs(right)).max(initial=0.0), 1e-30)
    return float(np.max(np.abs(left - right) / scale, initial=0.0))
