"""Four views of what is normal, as one score.

A window of LONG cells is seen by the means of its last LONG and of its last SHORT cells, each tag scaled by its usual spread:

    distance    of the long mean from the centre, given how tags move together (Mahalanobis, shrunk covariance)
    unlike      what the short mean differs by from a mix of usual ones (kernel regression, as in AAKR and MSET)
    farthest    the tag that lies farthest off on its own
    unexplained and explained: beyond and along the principal components of the short means (Q and T²)

Each is divided by its own limit on normal rows; the score is their geometric mean, divided by the common limit: above 1 is
unusual. Four simple views together were better than each alone, and than autoencoders, on SKAB's 34 files.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

LONG, SHORT = 20, 10
"""Cells."""
PROTOTYPES = 100
SHRINKAGE = 0.1
"""How far covariances are drawn towards none, so that their inverse is sound."""
EXPLAINED = 0.9
"""Share of the variance that the kept principal components have."""
FARTHEST = 1e4
"""Usual spreads at which a value is cut off: squares of it stay within a float32."""
_TINY = 1e-6
_NEIGHBOURS = 2000

Floats = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Means:
    """Windows of scaled rows, by their means."""

    long: Floats
    """float64[n, T]"""
    short: Floats

    def take(self, chosen: NDArray[np.bool_] | NDArray[np.intp]) -> "Means":
        """These windows of it."""
        return Means(self.long[chosen], self.short[chosen])


@dataclass(frozen=True, slots=True)
class Ensemble:
    """What was learned of scaled windows; T inputs."""

    long_center: Floats
    inverse: Floats
    """Inverse covariance of long means, [T, T]."""
    short_center: Floats
    short_scale: Floats
    prototypes: Floats
    """Usual short means, standardised, [P, T]."""
    bandwidth: float
    """Squared distance between neighbours."""
    axes: Floats
    """Principal components, [T, k]."""
    variances: Floats
    """[k]"""

    def views(self, means: Means) -> Floats:
        """float64[n, 5]: distance, unlike, farthest, explained, unexplained; not yet divided by limits."""
        off = means.long - self.long_center
        distance = np.sqrt(np.maximum(((off @ self.inverse) * off).sum(axis=1), 0))
        place = (means.short - self.short_center) / self.short_scale
        unlike = np.sqrt(((place - self.usual(place)) ** 2).sum(axis=1))
        along = place @ self.axes
        explained = np.sqrt((along**2 / self.variances).sum(axis=1))
        unexplained = np.sqrt(((place - along @ self.axes.T) ** 2).sum(axis=1))
        return np.stack([distance, unlike, np.abs(place).max(axis=1), explained, unexplained], axis=1)

    def usual(self, place: Floats) -> Floats:
        """The mix of prototypes that is nearest to each standardised short mean, float64[n, T]."""
        nearness = (place @ self.prototypes.T - 0.5 * (self.prototypes**2).sum(axis=1)) / self.bandwidth
        weight = np.exp(nearness - nearness.max(axis=1, keepdims=True))
        mixed: Floats = (weight / weight.sum(axis=1, keepdims=True)) @ self.prototypes
        return mixed


def fit(means: Means) -> Ensemble:
    """Learn from windows of normal running; at least two."""
    long_center = means.long.mean(axis=0)
    short_center, short_scale = means.short.mean(axis=0), means.short.std(axis=0) + 1e-3
    place = (means.short - short_center) / short_scale
    axes, variances = _principal(place)
    prototypes = place[np.linspace(0, len(place) - 1, min(PROTOTYPES, len(place))).astype(np.intp)]
    return Ensemble(
        long_center, _inverse(means.long - long_center), short_center, short_scale,
        prototypes, _bandwidth(place, prototypes), axes, variances,
    )  # fmt: skip


def raw_score(views: Floats, limits: Floats) -> Floats:
    """The geometric mean of views over their limits, float64[n]; `limits`: float64[5]."""
    distance, unlike, farthest, explained, unexplained = (views / limits).T
    both = np.sqrt((explained**2 + unexplained**2) / 2)
    raw: Floats = np.sqrt(np.sqrt(distance * unlike) * np.sqrt(farthest * both))
    return raw


def window_means(scaled: Floats, ends: NDArray[np.intp]) -> Means:
    """Means of the windows that end with these rows of float64[n, T]."""
    total = np.concatenate([np.zeros((1, scaled.shape[1])), np.cumsum(scaled, axis=0)])
    long, short = ((total[ends + 1] - total[ends + 1 - length]) / length for length in (LONG, SHORT))
    return Means(long, short)


def _inverse(off: Floats) -> Floats:
    covariance = off.T @ off / max(1, len(off) - 1)
    own = np.diag(np.diag(covariance))
    floor = _TINY * np.eye(len(covariance))
    return np.asarray(np.linalg.inv((1 - SHRINKAGE) * covariance + SHRINKAGE * own + floor), np.float64)


def _principal(place: Floats) -> tuple[Floats, Floats]:
    variances, axes = np.linalg.eigh(place.T @ place / len(place))
    variances, axes = variances[::-1], axes[:, ::-1]
    share = np.cumsum(variances) / variances.sum()
    kept = int(np.searchsorted(share, EXPLAINED)) + 1
    return axes[:, :kept], np.maximum(variances[:kept], _TINY)


def _bandwidth(place: Floats, prototypes: Floats) -> float:
    """The usual squared distance to the second nearest prototype; the nearest may be the window itself."""
    some = place[np.linspace(0, len(place) - 1, min(_NEIGHBOURS, len(place))).astype(np.intp)]
    squared = (some**2).sum(axis=1)[:, np.newaxis] - 2 * some @ prototypes.T + (prototypes**2).sum(axis=1)
    second = np.partition(squared, 1, axis=1)[:, 1] if squared.shape[1] > 1 else squared[:, 0]
    return float(max(np.median(second), _TINY))
