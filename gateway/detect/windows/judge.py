"""From closed cells and scores to verdicts: what one model says of its assets. No devices, no alarms, no threads.

for closed in judge.grid.advance(samples, boot_ns):
    tick, _ = judge.close(closed)
    transitions = judge.verdicts(tick, session.score(tick.windows))
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from gateway.detect.models import Card, Floats, Scores
from gateway.detect.windows.drift import Drift
from gateway.detect.windows.grid import USABLE, Closed, Grid, Rows, Times, is_scored
from gateway.detect.windows.n_of_m import NofM
from gateway.detect.windows.score_trend import ScoreTrend

RANGE_MARGIN = 0.1
"""How far beyond its trained range a value may lie and still be called normal, as a share of the range."""

WAITING, WARMUP, NORMAL, ABOVE, INPUTS, OUT_OF_RANGE, NO_NUMBER = range(7)
"""What a model last said of an asset."""
VERDICTS = ("waiting", "warm-up", "normal", "above", "input missing", "out of range", "no number")
"""The same in words."""


@dataclass(frozen=True, slots=True)
class Tick:
    """Complete windows that are scored together."""

    assets: Rows
    end_ns: Times
    windows: Floats
    """float32[n, W, T]; to be copied by who keeps it beyond the next cell."""
    inside: NDArray[np.bool_]
    """Whether all of the window lies in the trained range."""


@dataclass(frozen=True, slots=True)
class Transition:
    """A raise or a clear, with what led to it."""

    asset: int
    is_raise: bool
    end_ns: int
    window: Floats
    """float32[W, T]"""
    scores: Scores
    """Of this window alone."""


class Judge:
    """The windows and verdicts of one model; row i is asset i."""

    def __init__(self, card: Card, assets: int, drift_span_ns: int = 86_400_000_000_000) -> None:
        ages = np.array([entry.max_age_ms for entry in card.inputs], np.int64) * 1_000_000
        self.grid = Grid(assets, card.window, card.period_ms * 1_000_000, ages)
        self.n_of_m = NofM(assets, card.raise_at, card.clear_at, -(-card.min_duration_ms // card.period_ms))
        self.drift = Drift(card, assets, drift_span_ns)
        self.drifted = np.zeros(assets, np.bool_)
        """Assets of which nothing is called normal, because their inputs are far from the training."""
        self.said = np.full(assets, WAITING, np.uint8)
        """See VERDICTS."""
        self.score = np.full(assets, np.nan)
        self.trend = ScoreTrend(assets)
        self._card = card
        low, high = (np.array([getattr(entry, end) for entry in card.inputs]) for end in ("min", "max"))
        margin = RANGE_MARGIN * (high - low)
        self._low, self._high = (low - margin).astype(np.float32), (high + margin).astype(np.float32)
        self._inside_run = np.zeros(assets, np.int64)

    def continue_from(self, other: "Judge", mine: Rows, theirs: Rows, same_card: bool) -> None:
        """Take over assets of another version of the same form, which is not used any more: their windows, and with the
        same card all that was said of them."""
        self.grid.continue_from(other.grid, mine, theirs)
        if not same_card:
            windows = self.grid.windows[mine][:, ::-1]
            outside = ~np.logical_and.reduce((windows >= self._low) & (windows <= self._high), axis=2)
            since = np.where(outside.any(axis=1), outside.argmax(axis=1), self._card.window)
            self._inside_run[mine] = np.minimum(since, self.grid.run[mine])
            return
        self.n_of_m.continue_from(other.n_of_m, mine, theirs)
        self.drift.continue_from(other.drift, mine, theirs)
        self.trend.continue_from(other.trend, mine, theirs)
        for name in ("drifted", "said", "score", "_inside_run"):
            getattr(self, name)[mine] = getattr(other, name)[theirs]

    def forget(self, asset: int) -> None:
        """Begin anew with this asset, whose inputs are other tags now."""
        self.grid.forget(np.array([asset]))
        self.trend.forget(asset)
        self.said[asset], self.score[asset] = WAITING, np.nan

    def close(self, closed: Closed) -> tuple[Tick, Rows]:
        """Which of these cells complete a window that can be scored; the other assets get a tick without a verdict. Gives
        also the positions in `closed` of assets whose drift is known anew."""
        assets = closed.assets
        self.n_of_m.forget(assets[closed.anew])
        cell, codes = self.grid.windows[assets, -1], self.grid.codes[assets]
        within = (cell >= self._low) & (cell <= self._high) & (codes == USABLE)
        inside = np.logical_and.reduce(within, axis=1)
        self._inside_run[assets] = np.where(inside, self._inside_run[assets] + 1, 0)
        scored = np.logical_and.reduce(is_scored(codes), axis=1)
        stepped = self.drift.tick(assets, closed.end_ns, cell, scored, inside)
        complete: NDArray[np.bool_] = self.grid.run[assets] >= self._card.window
        rest = assets[~complete]
        if len(rest):
            none = np.zeros(len(rest), np.bool_)
            self.n_of_m.tick(rest, none, none)
            self.said[rest] = np.where(scored[~complete], WARMUP, INPUTS)
            self.score[rest] = np.nan
        ready = assets[complete]
        windows = self.grid.windows if len(ready) == len(self.grid.windows) else self.grid.windows[ready]
        return Tick(ready, closed.end_ns[complete], windows, self._inside_run[ready] >= self._card.window), stepped

    def outside(self, asset: int) -> NDArray[np.bool_]:
        """Which inputs of its window have been outside their trained range."""
        window = self.grid.windows[asset]
        within = (window >= self._low) & (window <= self._high)
        outside: NDArray[np.bool_] = ~np.logical_and.reduce(within, axis=0)
        return outside

    def verdicts(self, tick: Tick, scores: Scores) -> list[Transition]:
        """Draw the verdicts of one tick. Gives what is raised and what cleared by them."""
        known = np.isfinite(scores.score)
        above = known & (scores.score > self._card.threshold)
        below = known & ~above & tick.inside & ~self.drifted[tick.assets]
        self.drift.above(tick.assets[above])
        self.score[tick.assets] = scores.score
        self.trend.take(tick.assets, tick.end_ns, scores.score)
        self.said[tick.assets] = np.select([above, below, known], [ABOVE, NORMAL, OUT_OF_RANGE], NO_NUMBER)
        raised, cleared = self.n_of_m.tick(tick.assets, above, below)
        return [
            Transition(int(tick.assets[at]), is_raise, int(tick.end_ns[at]), tick.windows[at].copy(), scores.of(at))
            for is_raise, turned in ((True, raised), (False, cleared))
            for at in turned.tolist()
        ]
