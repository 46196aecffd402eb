"""Sets of whole numbers that come mostly in order, kept as few half-open intervals."""

from bisect import bisect_left, bisect_right
from collections.abc import Iterable


class IntervalSet:
    """Half-open intervals [low, high), sorted, never touching."""

    __slots__ = ("_highs", "_lows", "count")

    def __init__(self, pairs: Iterable[tuple[int, int]] = ()) -> None:
        self._lows: list[int] = []
        self._highs: list[int] = []
        self.count = 0
        """How many numbers are in the set."""
        for low, high in pairs:
            self.add(low, high)

    def add(self, low: int, high: int) -> int:
        """Put in [low, high); says how many numbers were new."""
        if low >= high:
            return 0
        if self._highs and low == self._highs[-1]:
            self._highs[-1] = high
            self.count += high - low
            return high - low
        first = bisect_left(self._highs, low)
        last = bisect_right(self._lows, high)
        held = 0
        if first < last:
            held = sum(self._highs[i] - self._lows[i] for i in range(first, last))
            low = min(low, self._lows[first])
            high = max(high, self._highs[last - 1])
        self._lows[first:last] = [low]
        self._highs[first:last] = [high]
        self.count += high - low - held
        return high - low - held

    def gap(self, start: int) -> int:
        """The least number from `start` on that is not in the set."""
        index = bisect_right(self._highs, start)
        if index < len(self._lows) and self._lows[index] <= start:
            return self._highs[index]
        return start

    def covers(self, low: int, high: int) -> bool:
        """Whether all of [low, high) is in the set."""
        return low >= high or self.gap(low) >= high

    def __contains__(self, number: int) -> bool:
        return self.gap(number) != number

    @property
    def end(self) -> int:
        """One above the greatest number; 0 for an empty set."""
        return self._highs[-1] if self._highs else 0

    def pairs(self) -> list[tuple[int, int]]:
        """The intervals, ascending."""
        return list(zip(self._lows, self._highs, strict=True))

    def missing(self, low: int, high: int) -> list[tuple[int, int]]:
        """The intervals of [low, high) that are not in the set."""
        gaps = []
        while (low := self.gap(low)) < high:
            index = bisect_right(self._lows, low)
            upper = min(high, self._lows[index] if index < len(self._lows) else high)
            gaps.append((low, upper))
            low = upper
        return gaps

    def __repr__(self) -> str:
        return f"IntervalSet({self.pairs()})"
