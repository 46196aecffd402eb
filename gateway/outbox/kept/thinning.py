"""As many points as a chart has room for. Of each step of time the least and the greatest value stay, each at its own time,
so that no peak is lost; where a step has no value at all, one hole says so.

Steps stand at multiples of their width since 1970, so a chart that moves on keeps its points; and that width is a multiple of
a power of two, so that the steps of a summary (`format/summary.py`), of which each is such a power wide, lie within them.
What is thinned, and thinned again together with others, comes to what it had come to at once.
"""

from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from gateway.outbox.format import Points

MUCH = 50_000
"""Points that are gathered before they are thinned."""
_FINENESS = 8
"""A chart's step has at least so many units."""
_LEAST, _GREATEST = np.iinfo(np.int64).min, np.iinfo(np.int64).max


@dataclass(slots=True)
class Series:
    """Values of one tag, taken in portions: never more than `MUCH` points, and those of one portion, are in memory."""

    from_ns: int
    to_ns: int
    points: int
    """That are wanted at most, four at least."""
    readings: int = 0
    """That there were, holes among them."""
    stands_for_more: bool = False
    """Whether something was taken of a summary that is fewer points than readings."""
    unit: int = field(init=False)
    """What a step is a multiple of, ns; a power of two."""
    width: int = field(init=False)
    """Of a step, ns."""
    _parts: list[Points] = field(default_factory=list)
    _held: int = 0

    def __post_init__(self) -> None:
        steps = max(2, self.points // 2)  # one is lost where the span's ends cut the first and the last
        least = max(1, -(-(self.to_ns - self.from_ns) // (steps - 1)))
        self.unit = 1 << max(0, (least // _FINENESS).bit_length() - 1)
        self.width = min(1 << 62, -(-least // self.unit) * self.unit)

    @property
    def is_thinned(self) -> bool:
        """Whether points are fewer than readings."""
        return self.readings > self.points

    def add(self, part: Points) -> None:
        """One portion more, of source times within the span."""
        readings = int(part.readings.sum())
        self.readings += readings
        self.stands_for_more |= readings > len(part.t_ns)
        self._parts.append(part)
        self._held += len(part.t_ns)
        if self._held > max(MUCH, 4 * self.points):
            self._thin()

    def _thin(self) -> None:
        all_of_it = Points.joined(self._parts)
        _, part = thinned(all_of_it.t_ns // self.width, all_of_it)
        self._parts, self._held = [part], len(part.t_ns)

    def done(self) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
        """All of it, in the order of time."""
        if not self._parts:
            return np.empty(0, np.int64), np.empty(0)
        if self.is_thinned:
            self._thin()
        part = Points.joined(self._parts)
        self._parts = [part]
        order = np.lexsort((part.value, part.t_ns))
        return part.t_ns[order], part.value[order]


def raw(t_ns: NDArray[np.int64], value: NDArray[np.float64]) -> Points:
    """Readings as they are, each standing for itself."""
    return Points(t_ns, value, np.ones(len(t_ns), np.int64))


def thinned(place: NDArray[np.int64], points: Points) -> tuple[NDArray[np.int64], Points]:
    """Of each place the least value (the earliest of them) and the greatest (the latest), or the earliest hole; and whose
    they are. In the order of places; the first of a place stands for all of its readings."""
    if not len(place):
        return place, points
    t, v, n = points
    if (place[1:] < place[:-1]).any():
        order = np.argsort(place, kind="stable")
        place, t, v, n = place[order], t[order], v[order], n[order]
    begin = np.flatnonzero(np.concatenate([[True], place[1:] != place[:-1]]))
    sizes = np.diff(np.append(begin, len(place)))
    low, high = np.fmin.reduceat(v, begin), np.fmax.reduceat(v, begin)
    is_hole = np.isnan(low)
    is_low = (v == np.repeat(low, sizes)) | np.repeat(is_hole, sizes)
    t_low = np.minimum.reduceat(np.where(is_low, t, _GREATEST), begin)
    t_high = np.maximum.reduceat(np.where(v == np.repeat(high, sizes), t, _LEAST), begin)
    has_two = ~is_hole & ((t_low != t_high) | (low != high))
    turned = has_two & (t_high < t_low)
    kept = np.column_stack((np.ones(len(begin), np.bool_), has_two)).reshape(-1)
    times, values = np.column_stack((t_low, t_high)), np.column_stack((low, high))
    times[turned], values[turned] = times[turned, ::-1], values[turned, ::-1]
    counts = np.column_stack((np.add.reduceat(n, begin), np.zeros(len(begin), np.int64)))
    part = Points(times.reshape(-1)[kept], values.reshape(-1)[kept], counts.reshape(-1)[kept])
    return np.repeat(place[begin], 2)[kept], part
