"""The last day of a model's scores, thinned for the eye: a machine that drifts away is seen before it is an anomaly."""

import numpy as np
from numpy.typing import NDArray

from gateway.detect.windows.grid import Rows, Times

STEP_MS = 120_000
"""Of each step the greatest score is kept."""
STEPS = 720
"""A day of them; three kilobytes for an asset."""


class ScoreTrend:
    """Row i is asset i. Kept in memory alone: after a restart it begins anew."""

    def __init__(self, assets: int) -> None:
        self._most = np.full((assets, STEPS), np.nan, np.float32)
        self._newest = 0
        """Number of the newest step since 1970."""

    def take(self, assets: Rows, end_ns: Times, scores: NDArray[np.floating]) -> None:
        """The scores of windows that end then, at most one of each asset; what is no number is none."""
        steps = end_ns // (STEP_MS * 1_000_000)
        self._turn_to(int(steps.max(initial=0)))
        late = steps <= self._newest - STEPS
        if late.any():
            assets, steps, scores = assets[~late], steps[~late], scores[~late]
        places = steps % STEPS
        known = np.where(np.isfinite(scores), scores, np.nan)
        self._most[assets, places] = np.fmax(self._most[assets, places], known)

    def _turn_to(self, step: int) -> None:
        ahead = step - self._newest
        if abs(ahead) >= STEPS:  # the first, after a day without, or the clock was set back by more than there is
            self._most[:] = np.nan
            self._newest = step
        elif ahead > 0:
            self._most[:, np.arange(self._newest + 1, step + 1) % STEPS] = np.nan
            self._newest = step

    def continue_from(self, other: "ScoreTrend", mine: Rows, theirs: Rows) -> None:
        """Take over assets of another one, which is not used any more."""
        self._newest = other._newest
        self._most[mine] = other._most[theirs]

    def forget(self, asset: int) -> None:
        """Begin anew with this asset."""
        self._most[asset] = np.nan

    def of(self, asset: int) -> tuple[list[int], list[float]]:
        """When each step began, in milliseconds since 1970, and its greatest score; steps without one are left out."""
        steps = np.arange(self._newest - STEPS + 1, self._newest + 1)
        most = self._most[asset, steps % STEPS]
        there = np.isfinite(most)
        return (steps[there] * STEP_MS).tolist(), np.round(most[there].astype(np.float64), 4).tolist()
