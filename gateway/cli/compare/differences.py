"""Whether two gateways say the same of a tag.

They read at times of their own, so a value of one is the same as the other's if the other has had it at some time within the
tolerance: the value in force at its begin, or any that came until its end.
"""

import math
from collections import deque
from dataclasses import dataclass, field

from gateway.cli.compare.layouts import HeardValue, Value

_MOST = 100_000
"""Values of a tag that are remembered at once; beyond that the oldest is forgotten."""


@dataclass(slots=True)
class Side:
    """What one gateway has said of a tag."""

    values: int = 0
    different: int = 0
    recent: deque[tuple[float, Value]] = field(default_factory=lambda: deque(maxlen=_MOST))
    """Time (ms) and value: those within reach, and the one in force before."""
    waiting: deque[tuple[float, Value]] = field(default_factory=lambda: deque(maxlen=_MOST))
    """What is not judged yet, since the other's values may be still to come."""

    def add(self, ms: float, value: Value) -> None:
        """A value more."""
        self.values += 1
        self.recent.append((ms, value))
        self.waiting.append((ms, value))


@dataclass(slots=True)
class TagDifferences:
    """One tag of both."""

    name: str
    within: float
    """ms."""
    tolerance: float
    """Of the greater of the two magnitudes."""
    ours: Side = field(default_factory=Side)
    theirs: Side = field(default_factory=Side)
    first: float | None = None
    """ms since 1970 of the first difference, and the last."""
    last: float | None = None
    largest: float | None = None
    """Of numbers."""
    example: tuple[float, Value, Value] | None = None
    """Time, ours, theirs, of the first."""

    def judge(self, until: float) -> None:
        """Judge what came with times before this one (ms)."""
        for own, other in ((self.theirs, self.ours), (self.ours, self.theirs)):
            while own.waiting and own.waiting[0][0] <= until - self.within:
                ms, value = own.waiting.popleft()
                self._judge(ms, value, own, other)
        for side in (self.ours, self.theirs):
            while len(side.recent) > 1 and side.recent[1][0] < until - 3 * self.within:
                side.recent.popleft()

    def _judge(self, ms: float, value: Value, own: Side, other: Side) -> None:
        near = _in_reach(other, ms, self.within)
        if not near or any(self._same(value, each) for each in near):
            return  # nothing to compare it with yet: that the other lacks it is told by its count
        own.different += 1
        self.first = ms if self.first is None else min(self.first, ms)
        self.last = ms if self.last is None else max(self.last, ms)
        closest = min(near, key=lambda each: _distance(value, each))
        if (distance := _distance(value, closest)) < math.inf:
            self.largest = distance if self.largest is None else max(self.largest, distance)
        ours, theirs = (value, closest) if own is self.ours else (closest, value)
        self.example = self.example or (ms, ours, theirs)

    def _same(self, one: Value, other: Value) -> bool:
        if isinstance(one, str) or isinstance(other, str):
            return str(one) == str(other)
        return math.isclose(one, other, rel_tol=self.tolerance, abs_tol=1e-12)


def _in_reach(side: Side, ms: float, within: float) -> list[Value]:
    """What the other had in that time: what was in force at its begin, and what came in it."""
    before: list[Value] = []
    found: list[Value] = []
    for when, value in side.recent:
        if when < ms - within:
            before = [value]
        elif when <= ms + within:
            found.append(value)
    return before + found


def _distance(one: Value, other: Value) -> float:
    if isinstance(one, str) or isinstance(other, str):
        return math.inf
    return abs(one - other)


class Comparison:
    """All tags of both. Names are brought together by a map, and else where they are the same but for case."""

    def __init__(self, within: float, tolerance: float, names: dict[str, str]) -> None:
        """`within`: seconds; `names`: theirs → ours."""
        self.within = within * 1e3
        self.tolerance = tolerance
        self._names = {theirs.casefold(): ours.casefold() for theirs, ours in names.items()}
        self._shown: dict[str, str] = {}
        self.tags: dict[str, TagDifferences] = {}

    def ours(self, sample: HeardValue, now: float) -> None:
        """A value of ours; `now`: ms since 1970, for one without a time."""
        self._of(sample.name.casefold(), sample.name).ours.add(_time(sample, now), sample.value)

    def theirs(self, sample: HeardValue, now: float) -> None:
        """A value of theirs."""
        name = sample.name.casefold()
        self._of(self._names.get(name, name), sample.name).theirs.add(_time(sample, now), sample.value)

    def judge(self, until: float) -> None:
        """All that came with times before this one (ms)."""
        for tag in self.tags.values():
            tag.judge(until)

    def _of(self, key: str, shown: str) -> TagDifferences:
        found = self.tags.get(key)
        if found is None:
            found = self.tags[key] = TagDifferences(shown, self.within, self.tolerance)
        return found


def _time(sample: HeardValue, now: float) -> float:
    return now if sample.ms is None else sample.ms
