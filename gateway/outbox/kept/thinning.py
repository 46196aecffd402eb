"""As many points as a chart has room for. Of each bucket of time the least and the greatest value stay, each at its own time,
so that no peak is lost; where a bucket has no value at all, one hole says so."""

from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

Times = NDArray[np.int64]
Values = NDArray[np.float64]

MUCH = 200_000
"""Points that are gathered before they are thinned."""


@dataclass(slots=True)
class Series:
    """Values of one tag, taken in portions: never more than `MUCH` points, and those of one portion, are in memory."""

    from_ns: int
    to_ns: int
    points: int
    """That are wanted at most."""
    readings: int = 0
    """That there were, holes among them."""
    is_thinned: bool = False
    _t: list[Times] = field(default_factory=list)
    _v: list[Values] = field(default_factory=list)
    _held: int = 0

    def add(self, t_ns: Times, value: Values, readings: int | None = None, *, is_thinned: bool = False) -> None:
        """One portion more, of source times within the span; NaN is a hole. `readings`: how many it was before it was
        thinned."""
        self.readings += len(t_ns) if readings is None else readings
        self.is_thinned |= is_thinned
        self._t.append(t_ns)
        self._v.append(value)
        self._held += len(t_ns)
        if self._held > max(MUCH, 4 * self.points):
            self._thin()

    def _thin(self) -> None:
        t, v = thinned(np.concatenate(self._t), np.concatenate(self._v), self.from_ns, self.to_ns, self.points)
        self._t, self._v, self._held, self.is_thinned = [t], [v], len(t), True

    def done(self) -> tuple[Times, Values]:
        """All of it, in the order of time."""
        if self._held > self.points:
            self._thin()
        if not self._t:
            return np.empty(0, np.int64), np.empty(0)
        t, v = np.concatenate(self._t), np.concatenate(self._v)
        self._t, self._v = [t], [v]
        order = np.argsort(t, kind="stable")
        return t[order], v[order]


def thinned(t_ns: Times, value: Values, from_ns: int, to_ns: int, points: int) -> tuple[Times, Values]:
    """At most `points` of them, at least two: int64[m], float64[m]. Done with what it gave and more, it comes to what it had
    come to with all at once."""
    buckets = max(1, points // 2)
    width = max(1, -(-(to_ns - from_ns) // buckets))
    place = (t_ns - from_ns) // width
    there = ~np.isnan(value)
    rows = np.flatnonzero(there)
    kept = _ends(place[rows], value[rows])
    chosen = rows[kept]
    holes = np.flatnonzero(~there)
    if len(holes):
        empty = holes[~np.isin(place[holes], place[chosen])]
        _, first = np.unique(place[empty], return_index=True)
        chosen = np.concatenate([chosen, empty[first]])
    chosen.sort()
    return t_ns[chosen], value[chosen]


def _ends(place: NDArray[np.int64], value: Values) -> NDArray[np.intp]:
    """Rows of the least and the greatest value of each place, each row once."""
    if not len(place):
        return np.empty(0, np.intp)
    order = np.lexsort((value, place))
    sorted_places = place[order]
    change = np.flatnonzero(np.diff(sorted_places)) + 1
    first = np.concatenate([[0], change])
    last = np.concatenate([change, [len(order)]]) - 1
    return np.unique(order[np.concatenate([first, last])])
