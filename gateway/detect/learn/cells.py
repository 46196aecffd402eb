"""The cells of a table, as the running detector's own grid makes them."""

from collections.abc import Iterable
from dataclasses import dataclass
from itertools import chain

import numpy as np
from numpy.typing import NDArray

from gateway.detect.learn.table import Table, Times
from gateway.detect.windows import USABLE, Grid, Samples, blocks


@dataclass(frozen=True, slots=True)
class Cells:
    """Cells in which all inputs were usable."""

    end_ns: Times
    rows: NDArray[np.float32]
    """float32[n, T]"""
    run: NDArray[np.int64]
    """How many usable cells without a gap end with this one."""
    seen: int
    """How many cells there were, the unusable ones too."""

    def ends(self, window: int) -> NDArray[np.intp]:
        """The rows with which a whole window ends."""
        return np.flatnonzero(self.run >= window).astype(np.intp)


def cells(table: Table, period_ns: int, max_age_ns: Times) -> Cells:
    """Lay a table on the grid; some 50 µs a cell."""
    grid = Grid(1, 1, period_ns, max_age_ns)
    feed: Iterable[tuple[Samples | None, int]] = blocks(period_ns, table.t_ns, table.rows)
    if len(table):
        feed = chain(feed, [(None, int(table.t_ns[-1]) + grid.lateness_ns)])
    ends: list[int] = []
    rows: list[NDArray[np.float32]] = []
    run: list[int] = []
    seen = length = 0
    for samples, boot_ns in feed:
        for closed in grid.advance(samples, boot_ns):
            seen += 1
            usable = bool((grid.codes == USABLE).all())
            length = (1 if closed.anew[0] else length + 1) if usable else 0
            if usable:
                ends.append(int(closed.end_ns[0]))
                rows.append(grid.windows[0, 0].copy())
                run.append(length)
    found = np.array(rows, np.float32).reshape(len(rows), len(max_age_ns))
    return Cells(np.array(ends, np.int64), found, np.array(run, np.int64), seen)


def usual_period_ns(table: Table) -> int:
    """The usual time between rows, as a person would write it, such as 100 ms, 1 s or 5 min."""
    if len(table) < 2:
        return SECOND
    usual = float(np.median(np.diff(table.t_ns)))
    return min(_PERIODS, key=lambda period: abs(float(np.log(period / usual))))


SECOND = 1_000_000_000
_UNITS = (SECOND, 60 * SECOND, 3600 * SECOND)
_PERIODS = [number * SECOND // 10 for number in (1, 2, 5)]
_PERIODS += [number * unit for unit in _UNITS for number in (1, 2, 3, 4, 5, 6, 10, 12, 15, 20, 30)]
