"""Labels rows of a table with a model, by the very steps that the running gateway takes."""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from gateway.detect.models import OpenModel
from gateway.detect.windows.grid import Samples, Times
from gateway.detect.windows.judge import Judge

_NEAR = 32
"""Periods; the grid takes more than twice as many for a gap."""


@dataclass(frozen=True, slots=True)
class Labels:
    """One row for each cell of the time grid that was closed, in order of time."""

    end_ns: Times
    """End of the cell, source time."""
    score: NDArray[np.float64]
    """NaN where there is none."""
    verdict: NDArray[np.uint8]
    """See `judge.VERDICTS`."""
    active: NDArray[np.bool_]
    """Whether an anomaly is raised."""


def label(opened: OpenModel, t_ns: Times, values: NDArray[np.float64], block: int = 16) -> Labels:
    """Label readings of one device: row i of `values`, float64[n, T] in the order of the card's inputs, was taken at t_ns[i]
    (ascending; NaN: not read). Raises ModelError when the model fails.

    Rows are fed in blocks of at most `block`, which changes no label and saves time. The last cell is closed as if half a
    period had passed without another reading. In a gap of the data time goes on as it does for the running gateway: values
    hold until their age limit; cells beyond that, when every decision has forgotten what was before, are left out.
    """
    judge = Judge(opened.card, 1)
    found: list[tuple[int, float, int, bool]] = []
    before = int(t_ns[0]) if len(t_ns) else 0
    for samples, boot_ns in blocks(judge.grid.period_ns, t_ns, values, block):
        if boot_ns - before > _NEAR * judge.grid.period_ns:
            found += _closed(judge, opened, None, min(boot_ns, before + judge.grid.within_gap_ns))
        found += _closed(judge, opened, samples, boot_ns)
        before = boot_ns
    if len(t_ns):
        found += _closed(judge, opened, None, int(t_ns[-1]) + judge.grid.lateness_ns)
    end, score, verdict, active = zip(*found, strict=True) if found else ((), (), (), ())
    return Labels(np.array(end, np.int64), np.array(score, float), np.array(verdict, np.uint8), np.array(active, bool))


def _closed(
    judge: Judge, opened: OpenModel, samples: Samples | None, boot_ns: int
) -> list[tuple[int, float, int, bool]]:
    found = []
    for closed in judge.grid.advance(samples, boot_ns):
        tick, _ = judge.close(closed)
        if len(tick.assets):
            judge.verdicts(tick, opened.session.score(tick.windows))
        found.append((int(closed.end_ns[0]), float(judge.score[0]), int(judge.said[0]), bool(judge.n_of_m.active[0])))
    return found


def blocks(period_ns: int, t_ns: Times, values: NDArray[np.float64], block: int = 16) -> Iterator[tuple[Samples, int]]:
    """A table as a grid with one asset takes it: samples, and when they were got."""
    inputs = values.shape[1]
    for rows in _cuts(t_ns, block, _NEAR * period_ns):
        flat, times = values[rows].reshape(-1), np.repeat(t_ns[rows], inputs)
        there = ~np.isnan(flat)
        slot = np.tile(np.arange(inputs), len(flat) // inputs)[there]
        quality = np.zeros(len(slot), np.uint32)
        yield Samples(slot, times[there], flat[there], quality, times[there]), int(t_ns[rows][-1])


def _cuts(t_ns: Times, block: int, near_ns: int) -> Iterator[slice]:
    """Blocks that end at most `near_ns` after the end of the one before, or hold one row: so that none hides a gap."""
    first = 0
    while first < len(t_ns):
        reach = int(np.searchsorted(t_ns, t_ns[max(first - 1, 0)] + near_ns, "right"))
        last = max(first + 1, min(first + block, reach))
        yield slice(first, last)
        first = last
