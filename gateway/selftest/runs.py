"""Which number named what: runs of records, so that millions of them take little room. Pure."""

from bisect import bisect_right
from collections.abc import Iterable, Iterator

Run = tuple[int, int, int]
"""First sequence number, the value it carries, and how many follow with both one higher each."""


def runs(pairs: Iterable[tuple[int, int]]) -> Iterator[Run]:
    """(number, value) pairs as runs."""
    first = value = count = 0
    for seq, said in pairs:
        if count and (seq, said) == (first + count, value + count):
            count += 1
            continue
        if count:
            yield first, value, count
        first, value, count = seq, said, 1
    if count:
        yield first, value, count


class Named:
    """What each number was seen to name."""

    def __init__(self) -> None:
        self._runs: list[tuple[int, int, int]] = []
        """First number, one above the last, value less number; sorted, disjoint."""
        self.count = 0
        """How many numbers were seen."""
        self.reused = 0
        """How often a number named something else than before."""

    def add(self, run: Run) -> None:
        """These were seen."""
        seq, value, count = run
        shift, end = value - seq, seq + count
        while seq < end:
            at = bisect_right(self._runs, seq, key=lambda known: known[0]) - 1
            if at >= 0 and seq < self._runs[at][1]:
                stop = min(end, self._runs[at][1])
                self.reused += stop - seq if self._runs[at][2] != shift else 0
            else:
                stop = min(end, self._runs[at + 1][0] if at + 1 < len(self._runs) else end)
                self._put(at, seq, stop, shift)
            seq = stop

    def _put(self, before: int, seq: int, stop: int, shift: int) -> None:
        self.count += stop - seq
        if before >= 0 and self._runs[before][1:] == (seq, shift):
            self._runs[before] = (self._runs[before][0], stop, shift)
        else:
            self._runs.insert(before + 1, (seq, stop, shift))
