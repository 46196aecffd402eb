"""How far what a model sees and says has moved away from its training.

For each device and input the values of the last span are counted in the ten bins of the training data, and compared by the
population stability index, PSI = Σ (p − q) ln(p / q) with p the share now and q in training. Beside it stand the share of
ticks with an input missing, outside the trained range, and above the threshold. The span moves on in steps of a 24th, so that
a day is judged anew each hour; nothing is judged before one whole span has passed.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from gateway.detect.models import CUTS, Card, Input
from gateway.status import DriftStatus

STEPS = 24
_RING = STEPS + 1
MOVED = 0.2
"""PSI above which an input has drifted; customary."""
FAR = 0.3
"""PSI above which a model is no longer to be relied on."""
MOSTLY = 0.5
"""Share of ticks with an input missing that is told."""
FLOOR = 1e-3
LEAST_TICKS = 240
"""Fewer say nothing: PSI is then mostly chance, about 9 / ticks."""

Rows = NDArray[np.intp]
Flags = NDArray[np.bool_]

Counts = Mapping[str, NDArray[Any]]
"""Arrays by name, as a file can hold them."""

TICKS, MISSING, OUTSIDE, ABOVE = range(4)


@dataclass(frozen=True, slots=True)
class Figures:
    """One device over the last span."""

    psi: float
    """Of the input that has moved farthest; NaN where the card has no quantiles."""
    tag: str
    """That input; empty where there is none."""
    missing: float
    """Shares of the ticks; see above."""
    outside: float
    above: float
    expected_above: float

    @property
    def reasons(self) -> list[str]:
        """What has drifted, in words."""
        found = [f"{self.tag} is not what it was in training (PSI {self.psi:.2f})"] if self.psi > MOVED else []
        found += [f"inputs were missing {self.missing:.0%} of the time"] if self.missing > MOSTLY else []
        if self.above > max(10 * self.expected_above, MOSTLY / 10):
            found.append(f"the score was high {self.above:.0%} of the time, {self.expected_above:.1%} was expected")
        return found

    @property
    def is_far(self) -> bool:
        """Whether the model has not been trained for what it sees."""
        return self.psi > FAR

    def status(self) -> DriftStatus:
        """The figures for `status` and events, rounded."""
        psi = round(self.psi, 4) if np.isfinite(self.psi) else None
        missing, outside, above = (round(share, 4) for share in (self.missing, self.outside, self.above))
        return DriftStatus(psi=psi, tag=self.tag, missing=missing, outside=outside, above=above)


class Drift:
    """Counts the ticks of one model over its assets."""

    def __init__(self, card: Card, assets: int, span_ns: int) -> None:
        self._card = card
        self._cut = [place for place, entry in enumerate(card.inputs) if entry.quantiles]
        """The inputs of which the card says how they were distributed; only these are counted in bins."""
        cut = [card.inputs[place] for place in self._cut]
        self._edges = np.array([entry.quantiles for entry in cut], np.float32).reshape(-1, CUTS)
        self._trained = np.array([_trained(entry) for entry in cut]).reshape(-1, CUTS + 1)
        self._bins = np.zeros((_RING, assets, len(cut), CUTS + 1), np.int32)
        self._shares = np.zeros((_RING, assets, 4), np.int32)
        self._offset = np.arange(len(cut)) * (CUTS + 1)
        self._step_ns = max(1, span_ns // STEPS)
        self._step = np.zeros(assets, np.int64)
        """The step that each asset is in, by its own time."""
        self._begun = np.zeros(assets, np.int64)

    def counts(self) -> Counts:
        """A copy of all that was counted."""
        return {
            "span": np.array(self._step_ns * STEPS),
            "bins": self._bins.copy(), "shares": self._shares.copy(), "step": self._step.copy(), "begun": self._begun.copy(),
        }  # fmt: skip

    def restore(self, counts: Counts, mine: Rows, theirs: Rows) -> bool:
        """Go on from counts of the same card: row `mine[i]` was `theirs[i]`. Gives whether span and form are the same."""
        own = self.counts()
        if own.keys() != counts.keys() or any(counts[name].dtype.kind != "i" for name in own):
            return False
        bins, shares, step, begun = (counts[name] for name in ("bins", "shares", "step", "begun"))
        assets = step.size
        form = (_RING, assets, *self._bins.shape[2:]), (_RING, assets, 4), (assets,), (assets,)
        if (bins.shape, shares.shape, step.shape, begun.shape) != form or (theirs >= assets).any():
            return False
        if not np.array_equal(counts["span"], own["span"]):
            return False
        self._bins[:, mine], self._shares[:, mine] = bins[:, theirs], shares[:, theirs]
        self._step[mine], self._begun[mine] = step[theirs], begun[theirs]
        return True

    def continue_from(self, other: "Drift", mine: Rows, theirs: Rows) -> None:
        """Take over what was counted of another one's assets, with the same card; nothing where the span is another."""
        self.restore(other.counts(), mine, theirs)

    def tick(
        self, assets: Rows, end_ns: NDArray[np.int64], cell: NDArray[np.float32], scored: Flags, inside: Flags
    ) -> Rows:
        """Count one cell of these assets, float32[n, T]; `scored`: all inputs were there. Gives the positions in
        `assets` of those of which a step ended, so that their `figures` are new."""
        step = end_ns // self._step_ns
        ended: Rows = np.flatnonzero(step != self._step[assets])
        if len(ended):
            self._next_step(assets[ended], step[ended])
        place = step % _RING
        if self._cut:
            self._count(assets[scored], place[scored], cell[scored][:, self._cut])
        self._shares[place, assets, TICKS] += 1
        self._shares[place, assets, MISSING] += ~scored
        self._shares[place, assets, OUTSIDE] += scored & ~inside
        return ended

    def _count(self, assets: Rows, place: NDArray[np.int64], cell: NDArray[np.float32]) -> None:
        inputs = cell.shape[1]
        bins = (cell[:, :, np.newaxis] > self._edges).sum(axis=2)
        flat = self._bins.reshape(_RING, len(self._step), -1)
        flat[np.repeat(place, inputs), np.repeat(assets, inputs), (self._offset + bins).reshape(-1)] += 1

    def above(self, assets: Rows) -> None:
        """These scored above the threshold."""
        self._shares[self._step[assets] % _RING, assets, ABOVE] += 1

    def _next_step(self, assets: Rows, step: NDArray[np.int64]) -> None:
        """Go on to another step, whose counts of a span ago are forgotten; behind a leap of the clock all are."""
        leapt = (step < self._step[assets]) | (step > self._step[assets] + 1)
        self._bins[:, assets[leapt]] = 0
        self._shares[:, assets[leapt]] = 0
        self._begun[assets[leapt]] = step[leapt]
        self._bins[step % _RING, assets] = 0
        self._shares[step % _RING, assets] = 0
        self._step[assets] = step

    def figures(self, asset: int) -> Figures | None:
        """Those of one asset over the span that ended with its last step; None before there was a whole one."""
        if self._step[asset] - self._begun[asset] < STEPS:
            return None
        past = np.arange(_RING) != self._step[asset] % _RING
        ticks, missing, outside, above = self._shares[past, asset].sum(axis=0).tolist()
        if ticks < LEAST_TICKS:
            return None
        scored = max(1, ticks - missing)
        moved, tag = np.nan, ""
        if self._cut and scored >= LEAST_TICKS:
            index = psi(self._bins[past, asset].sum(axis=0), self._trained)
            moved, tag = float(index.max()), self._card.inputs[self._cut[int(index.argmax())]].tag
        return Figures(
            moved,
            tag,
            missing / ticks,
            outside / scored,
            above / scored,
            self._card.expected_alarm_rate,
        )


def psi(counts: NDArray[np.int32], trained: NDArray[np.float64]) -> NDArray[np.float64]:
    """The population stability index of each row: counts now, int[T, bins], against shares in training, float64[T, bins].
    No share counts for less than FLOOR, so that an empty bin is no infinity."""
    total = np.maximum(counts.sum(axis=1, keepdims=True), 1)
    share, expected = np.maximum(counts / total, FLOOR), np.maximum(trained, FLOOR)
    index: NDArray[np.float64] = ((share - expected) * np.log(share / expected)).sum(axis=1)
    return index


def trained_bins(values: NDArray[np.float64]) -> tuple[list[float], list[float]]:
    """What a card's input says of its training data, float64[n]: `quantiles` and `shares`."""
    cuts = np.quantile(values, np.arange(1, CUTS + 1) / (CUTS + 1), method="inverted_cdf").astype(np.float32)
    inside = (values.astype(np.float32)[:, np.newaxis] > cuts).sum(axis=1)
    shares = np.bincount(inside, minlength=CUTS + 1) / len(values)
    return cuts.astype(float).tolist(), shares.tolist()


def _trained(entry: Input) -> list[float]:
    """Share of the training data in each bin. Cuts that are equal leave bins between them that hold nothing: a tag that has
    few values, or one."""
    if entry.shares:
        return list(entry.shares)
    shares = [0.0] * (CUTS + 1)
    cuts = list(entry.quantiles)
    for place in range(CUTS + 1):
        if place < len(cuts):
            home = cuts.index(cuts[place])
        else:
            home = cuts.index(cuts[-1]) if cuts and cuts[-1] >= entry.max else CUTS
        shares[home] += 1 / (CUTS + 1)
    return shares
