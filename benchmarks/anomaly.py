"""How well learned models find faults on data that nobody of this project wrote. `python benchmarks/anomaly.py DATA`

DATA is a folder with `skab*/`, `tep/` and `nab/` in it, as far as one has them; it may hold all 34 files of SKAB. One
configuration for everything, that of `edge-gateway learn`; labels as the running gateway gives them, row by row, from what
came before: every row gets one. A row is called faulty when its score is above the limit. Beside it stands the alarm, which
needs 8 of 10 scores to begin and to end, and does not end while values are outside the trained range.

The headroom of the limit (1.85) was chosen on seven files of SKAB, those that the project has; the four views and their
windows are those of a prototype that was compared with others on all 34. TEP and NAB had no part in any choice.
"""

import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
from numpy.typing import NDArray

from gateway.detect.learn import Learned, Order, Table, learn, read_file
from gateway.detect.models import open_model
from gateway.detect.windows import label

Flags = NDArray[np.bool_]
MINUTE = 60_000_000_000
SKAB_TRAIN = 400
TEP_FAULT = 160
NAB_TRAIN = 0.15
"""Share of the rows: NAB's probationary period."""
FAILURE = 3
"""The place of NAB's window around the known failure."""


@dataclass(frozen=True, slots=True)
class Judged:
    """Each row of a table."""

    above: Flags
    active: Flags
    score: NDArray[np.float64]
    undecided: int
    """Rows without a score: the first 19 of the training, and those behind a gap."""


def judge(learned: Learned, table: Table) -> Judged:
    """What the gateway says of each row of a table: what it said of the newest cell that had ended by then."""
    with TemporaryDirectory() as folder:
        path = Path(folder) / "model.onnx"
        path.write_bytes(learned.content)
        opened = open_model(path)
    mine = table.of(opened.card.tags)
    found = label(opened, mine.t_ns, mine.rows)
    cell = np.searchsorted(found.end_ns, mine.t_ns, "right") - 1
    score = found.score[cell]
    return Judged(np.nan_to_num(score) > opened.card.threshold, found.active[cell], score, int(np.isnan(score).sum()))


def skab(folder: Path) -> None:
    """Published protocol: the first 400 rows of each file train, the others are judged, sums over all files."""
    files = sorted(path for path in folder.glob("*/*.csv") if "anomaly-free" not in path.parts)
    print(f"SKAB, {len(files)} files of {folder.name}, limits from the first {SKAB_TRAIN} rows of each")
    counts = {"rows": np.zeros(4, int), "alarm": np.zeros(4, int)}
    undecided = 0
    for path in files:
        table = read_file(path)
        faulty = table.rows[:, table.tags.index("anomaly")] > 0.5
        table = table.of([tag for tag in table.tags if tag not in ("anomaly", "changepoint")])
        found = judge(learn(_first(table, SKAB_TRAIN), Order(path.stem)), table)
        test = slice(SKAB_TRAIN, None)
        counts["rows"] += confusion(found.above[test], faulty[test])
        counts["alarm"] += confusion(found.active[test], faulty[test])
        undecided += int(np.isnan(found.score[test]).sum())
        f1, far, mar = rates(confusion(found.above[test], faulty[test]))
        print(f"  {path.parent.name}/{path.name:<8} F1 {f1:.2f}  false {far:5.1f} %  missed {mar:5.1f} %")
    for name, sums in counts.items():
        f1, far, mar = rates(sums)
        goal = f"  (aim: F1 ≥ 0.80 at ≤ 25 %) {_met(f1 >= 0.80 and far <= 25)}" if name == "rows" else ""
        print(f"  all, {name:<6} F1 {f1:.3f}  false {far:.1f} %  missed {mar:.1f} %{goal}")
    print(f"  rows without a score, counted as not faulty: {undecided}")


def tep(folder: Path) -> None:
    """Fit on d00; detection with the limit at 1 % of the normal test run, and with the learned limit."""
    learned = learn(_tep_table(np.loadtxt(folder / "d00.dat").T), Order("tep", period_ns=3 * MINUTE))
    normal = judge(learned, _tep_table(np.loadtxt(folder / "d00_te.dat")))
    limit = float(np.nanquantile(normal.score, 0.99))
    print(f"TEP, fit on d00 ({len(learned.cells.rows)} rows, {len(learned.card['inputs'])} tags)")
    print(
        f"  normal test run: {100 * normal.above.mean():.1f} % of rows above the limit learned from the training rows alone"
    )
    for number in (4, 5, 13):
        score = judge(learned, _tep_table(np.loadtxt(folder / f"d{number:02}_te.dat"))).score[TEP_FAULT:]
        share, own = (100 * float(np.mean(score > edge)) for edge in (limit, 1.0))
        aim = f"(aim: ≥ 95 %) {_met(share >= 95)}"
        print(f"  fault {number:>2}: {share:.1f} % at 1 % false {aim}; {own:.1f} % at the learned limit")


def nab(folder: Path) -> None:
    """Fit on the first 15 %; the windows of the label file, and alarms outside them."""
    import json

    table = read_file(folder / "machine_temperature_system_failure.csv")
    count = round(NAB_TRAIN * len(table))
    found = judge(learn(_first(table, count), Order("machine", period_ns=5 * MINUTE)), table)
    (windows,) = json.loads((folder / "labels_windows.json").read_text(encoding="utf-8")).values()
    times = [[int(np.datetime64(edge, "ns").astype(np.int64)) for edge in window] for window in windows]
    outside = np.arange(len(table)) >= count
    print(f"NAB machine temperature, fit on the first {count} of {len(table)} rows")
    for number, (begin, end) in enumerate(times):
        inside = (table.t_ns >= begin) & (table.t_ns <= end)
        outside &= ~inside
        print(
            f"  window {number + 1}, from {windows[number][0][:16]}: {_nab_window(table, found, inside, count, number)}"
        )
    weeks = outside.sum() * 5 / (60 * 24 * 7)
    raised = int(((np.diff(found.active.astype(int)) == 1) & outside[1:]).sum())
    print(f"  false alarms: {raised} in {weeks:.1f} weeks outside the windows, {raised / weeks:.2f} a week")


def _nab_window(table: Table, found: Judged, inside: Flags, train: int, number: int) -> str:
    if np.flatnonzero(inside)[0] < train:
        return "lies in the training rows"
    rows = np.flatnonzero(inside & found.active)
    aim = f" (aim: found before its end) {_met(len(rows) > 0)}" if number == FAILURE else ""
    if not len(rows):
        return f"missed{aim}"
    delay = (table.t_ns[rows[0]] - table.t_ns[np.flatnonzero(inside)[0]]) / (60 * MINUTE)
    return f"found {delay:.1f} h after its begin{aim}"


def confusion(said: Flags, faulty: Flags) -> NDArray[np.int64]:
    """True positives, false positives, false negatives, true negatives."""
    return np.array([np.sum(a & b) for b in (faulty, ~faulty) for a in (said, ~said)])[[0, 2, 1, 3]]


def rates(counts: NDArray[np.int64]) -> tuple[float, float, float]:
    """F1, and in percent false alarm rate and missed alarm rate."""
    tp, fp, fn, tn = counts.tolist()
    return 2 * tp / max(1, 2 * tp + fp + fn), 100 * fp / max(1, fp + tn), 100 * fn / max(1, fn + tp)


def _first(table: Table, rows: int) -> Table:
    return Table(table.tags, table.units, table.t_ns[:rows], table.rows[:rows])


def _tep_table(rows: NDArray[np.float64]) -> Table:
    tags = [*(f"XMEAS{number}" for number in range(1, 42)), *(f"XMV{number}" for number in range(1, 12))]
    return Table(tuple(tags), ("",) * len(tags), np.arange(1, len(rows) + 1) * 3 * MINUTE, rows)


def _met(met: bool) -> str:
    return "reached" if met else "NOT REACHED"


def _folders(data: Path) -> Iterator[Path]:
    yield from sorted(path for path in data.iterdir() if path.is_dir())


def main() -> int:
    if len(sys.argv) != 2:
        print(__doc__)
        return 2
    benches = {"skab": skab, "tep": tep, "nab": nab}
    for folder in _folders(Path(sys.argv[1])):
        for name, bench in benches.items():
            if folder.name.startswith(name):
                bench(folder)
    return 0


if __name__ == "__main__":
    sys.exit(main())
