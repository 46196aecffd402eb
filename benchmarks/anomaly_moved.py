"""How far the figures of `anomaly.py` hang on when a fault begins and how long it lasts, and on which files the headroom of
the limit was chosen. `python benchmarks/anomaly_moved.py DATA`, with SKAB's files in DATA/skab*/

The rows of each file are put together anew: more, less or no normal running before the fault, a shorter or longer fault, a
fault in two parts, rows left out at random. Training rows stay, and times run on at one second. What a detector knows of a
position would show in the missed rate, which should stay; but for a short fault, of which the slow begin is a larger part. F1
and the false alarm rate also hang on how many rows are faulty, and on how many of the normal ones follow a fault.
"""

import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from benchmarks.anomaly import SKAB_TRAIN, Flags, Judged, confusion, judge, rates
from gateway.detect.learn import Learned, Order, Table, learn, read_file
from gateway.detect.learn.package import HEADROOM, QUANTILE, TAIL

HEADROOMS = np.arange(1.2, 2.6, 0.05)
MOST_FALSE = 25.0
Rows = NDArray[np.intp]
Case = tuple[float, float, NDArray[np.float64], Flags]
"""The two quantiles that the limit follows from, and the scores and labels of the rows behind the training."""


def moved(faulty: Flags) -> Iterator[tuple[str, Rows]]:
    """Names, and which rows in which order."""
    rows = np.arange(len(faulty))
    train, place = rows[:SKAB_TRAIN], np.flatnonzero(faulty)
    before, fault, after = rows[SKAB_TRAIN : place[0]], rows[place[0] : place[-1] + 1], rows[place[-1] + 1 :]
    half = len(fault) // 2
    orders = {
        "as it is": (before, fault, after),
        "later": (before, before[::-1], before, fault, after),
        "earlier": (before[len(before) // 2 :], fault, after),
        "at once": (fault, after),
        "shorter": (before, fault[: len(fault) // 3], after),
        "longer": (before, fault, fault[::-1], after),
        "twice": (before, fault[:half], after, before, fault[half:], after),
    }
    for name, parts in orders.items():
        yield name, np.concatenate([train, *parts])
    some = np.random.default_rng(5).random(len(rows)) < 0.7
    some[:SKAB_TRAIN] = True
    yield "70 % of rows", rows[some]


def case(learned: Learned, found: Judged, faulty: Flags) -> Case:
    """Scores are relative to the learned limit; other headrooms follow from them."""
    low, high = np.quantile(learned.unseen, (QUANTILE, TAIL))
    return float(low), float(high), np.nan_to_num(found.score[SKAB_TRAIN:]), faulty[SKAB_TRAIN:]


def counts(cases: list[Case], headroom: float) -> NDArray[np.int64]:
    """Sums over files."""
    each = [confusion(score > max(headroom * low, high), faulty) for low, high, score, faulty in cases]
    total: NDArray[np.int64] = np.sum(each, axis=0)
    return total


def chosen(cases: list[Case]) -> float:
    """The headroom with the best F1 among those with few enough false alarms."""

    def worth(headroom: float) -> float:
        f1, far, _ = rates(counts(cases, headroom))
        return f1 - (far > MOST_FALSE)

    return float(max(HEADROOMS, key=worth))


def main() -> int:
    if len(sys.argv) != 2:
        print(__doc__)
        return 2
    files = sorted(path for path in Path(sys.argv[1]).glob("skab*/*/*.csv") if "anomaly-free" not in path.parts)
    if len(files) < 2:
        print(f"there are no files of SKAB in {sys.argv[1]}/skab*/*/*.csv", file=sys.stderr)
        return 1
    cases: dict[str, list[Case]] = {}
    for path in files:
        table = read_file(path)
        faulty = table.rows[:, table.tags.index("anomaly")] > 0.5
        table = table.of([tag for tag in table.tags if tag not in ("anomaly", "changepoint")])
        first = Table(table.tags, table.units, table.t_ns[:SKAB_TRAIN], table.rows[:SKAB_TRAIN])
        learned = learn(first, Order(path.stem))
        for name, rows in moved(faulty):
            t_ns = table.t_ns[0] + np.arange(len(rows)) * 1_000_000_000
            played = Table(table.tags, table.units, t_ns, table.rows[rows])
            cases.setdefault(name, []).append(case(learned, judge(learned, played), faulty[rows]))
    print(f"SKAB, {len(files)} files, faults moved; headroom {HEADROOM:g}")
    for name, each in cases.items():
        f1, far, mar = rates(counts(each, HEADROOM))
        print(f"  {name:<13} F1 {f1:.3f}  false {far:4.1f} %  missed {mar:4.1f} %")
    left_out = np.zeros(4, np.int64)
    headrooms = []
    plain = cases["as it is"]
    for place in range(len(files)):
        headrooms.append(chosen(plain[:place] + plain[place + 1 :]))
        left_out += counts(plain[place : place + 1], headrooms[-1])
    f1, far, mar = rates(left_out)
    print(f"headroom chosen without the file that it is judged on: {min(headrooms):.2f} to {max(headrooms):.2f}")
    print(f"  {'all':<13} F1 {f1:.3f}  false {far:4.1f} %  missed {mar:4.1f} %")
    return 0


if __name__ == "__main__":
    sys.exit(main())
