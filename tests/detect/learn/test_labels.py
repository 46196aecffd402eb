"""A learned model labels each row from what came before it alone: streamed as in a table, cut off anywhere, begun anywhere,
at any time of any day."""

import asyncio

import numpy as np
import pytest

from gateway.core.quality import GOOD
from gateway.core.readings import Readings
from gateway.detect.learn.package import Order, learn
from gateway.detect.models.session import open_model
from gateway.detect.windows.offline import label
from tests.detect.learn.learning import SECOND, TAGS, UNITS, running
from tests.detect.test_detector import Plant, device

WINDOW = 20
FORGOTTEN = WINDOW + 10
"""Cells after which neither window nor persistence knows what was before."""


@pytest.fixture(scope="module")
def learned(tmp_path_factory):
    """The folder with a model, and the model."""
    folder = tmp_path_factory.mktemp("learned")
    (folder / "mixer.onnx").write_bytes(learn(running(), Order("mixer")).content)
    return folder, open_model(folder / "mixer.onnx")


def table(rows=260, seed=4):
    """Rows with three faults, some values missing, and a gap."""
    values, random = running(rows, seed).rows.copy(), np.random.default_rng(seed)
    for begin in (60, 120, 200):
        values[begin : begin + 25, 1] -= 2.5
    values[random.random(values.shape) < 0.02] = np.nan
    t_ns = 1_900_000_000 * SECOND + np.arange(rows) * SECOND
    t_ns[170:] += 3 * 60 * SECOND
    return t_ns, values


def assert_same(one, other, first=0):
    """Cells from `first` on, at whatever times, have the same labels, bit for bit."""
    for name in ("verdict", "score"):
        np.testing.assert_array_equal(getattr(one, name)[first:], getattr(other, name)[-len(one.score) + first :])


@pytest.mark.parametrize("seed", [4, 5])
async def test_each_row_streamed_through_the_detector_has_the_label_it_has_in_a_table(learned, seed):
    folder, opened = learned
    t_ns, values = table(seed=seed)
    t_ns = t_ns + np.random.default_rng(seed).integers(-300, 300, len(t_ns)) * 1_000_000
    wanted = label(opened, t_ns, values)
    one = device("mixer-1", units=dict(zip(TAGS, UNITS, strict=True)))
    plant = Plant([("mixer.onnx", {"devices": ("mixer-1",)})], [one], folder)
    await plant.detector.load()
    judge = plant.detector.models.all[0].watch.judge
    found, last = [], 0

    def look(at):
        """Let the time pass until `at`, and note the cell that was closed."""
        nonlocal last
        plant.clock.advance((at - plant.clock.wall_ns()) / SECOND)
        plant.tick()
        end = int(judge.grid._next_end[0]) - judge.grid.period_ns
        if end > last > 0:
            assert end == last + SECOND, "none is passed over"
            found.append((end, int(judge.said[0]), float(judge.score[0]), bool(judge.n_of_m.active[0])))
        last = max(end, 0)

    for at, row in zip(t_ns.tolist(), values, strict=True):
        while plant.clock.wall_ns() + SECOND // 4 < at and last:
            look(plant.clock.wall_ns() + SECOND // 4)
        plant.clock.advance((at - plant.clock.wall_ns()) / SECOND)
        there = ~np.isnan(row)
        ids, n = one.tags.ids[there], int(there.sum())
        plant.detector.feed(
            Readings(one, np.full(n, at), ids, row[there], np.full(n, GOOD, np.uint32)), plant.clock.boot_ns()
        )
        look(at)
    look(int(t_ns[-1]) + SECOND // 2)
    await asyncio.gather(*plant.tasks)
    ends, said, score, active = (np.array(column) for column in zip(*found, strict=True))
    known = np.isin(ends, wanted.end_ns)
    gap = int(np.argmax(np.diff(t_ns)))
    assert ((ends[~known] > t_ns[gap]) & (ends[~known] < t_ns[gap + 1] + SECOND)).all(), (
        "a table has no rows in its gap"
    )
    np.testing.assert_array_equal(ends[known], wanted.end_ns)
    for name, column in (("verdict", said), ("score", score), ("active", active)):
        np.testing.assert_array_equal(column[known], getattr(wanted, name))
    assert active.any()
    assert not active.all()


def test_cut_off_at_any_row_no_earlier_label_changes(learned):
    _, opened = learned
    t_ns, values = table(150)
    whole = label(opened, t_ns, values)
    for rows in range(1, len(t_ns), 3):
        part = label(opened, t_ns[:rows], values[:rows])
        count = int((part.end_ns + SECOND // 2 <= t_ns[rows - 1]).sum())  # the last cell may yet take a value
        for name in ("verdict", "score", "active"):
            np.testing.assert_array_equal(getattr(part, name)[:count], getattr(whole, name)[:count])


@pytest.mark.parametrize("cut", [1, 7, 59, 61, 130])
def test_no_label_depends_on_where_in_the_table_its_row_stands(learned, cut):
    _, opened = learned
    t_ns, values = table(170)
    whole, part = label(opened, t_ns, values), label(opened, t_ns[cut:], values[cut:])
    assert_same(part, whole, first=FORGOTTEN)


@pytest.mark.parametrize("days", [-4000, 1, 0.25, 12_345])
def test_no_label_depends_on_the_time_of_day_or_the_date(learned, days):
    _, opened = learned
    t_ns, values = table()
    moved = label(opened, t_ns + int(days * 86_400) * SECOND, values)
    here = label(opened, t_ns, values)
    assert_same(here, moved)
    np.testing.assert_array_equal(here.active, moved.active)


def test_a_fault_that_begins_elsewhere_and_lasts_otherwise_has_the_same_labels(learned):
    _, opened = learned
    normal = running(300, 9).rows
    faulty = normal.copy()
    faulty[:, 1] -= 2.5
    t_ns = 1_900_000_000 * SECOND + np.arange(300) * SECOND
    all_faulty = label(opened, t_ns, faulty)
    for begin, end in ((40, 80), (41, 200), (150, 290)):
        rows = normal.copy()
        rows[begin:end] = faulty[begin:end]
        found = label(opened, t_ns, rows)
        inside = slice(begin + WINDOW, end)
        np.testing.assert_array_equal(found.score[inside], all_faulty.score[inside])
        assert (found.score[inside] > 1).all()
