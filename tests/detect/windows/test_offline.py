"""A table gets the same labels, row for row, as the running gateway gives the same readings."""

import asyncio

import numpy as np
import pytest

from gateway.core.readings import Readings
from gateway.detect.models.session import open_model
from gateway.detect.windows.judge import ABOVE, INPUTS, NORMAL, OUT_OF_RANGE, WARMUP
from gateway.detect.windows.offline import label
from tests.detect.graphs import save
from tests.detect.test_detector import Plant, device

S = 1_000_000_000
T0 = 1_800_000_000 * S


@pytest.fixture
def opened(tmp_path):
    return open_model(save(tmp_path / "oven.onnx"))


def table(seconds=400, seed=1):
    """Readings of two tags at odd times, with excursions, gaps and bad values."""
    random = np.random.default_rng(seed)
    t_ns = T0 + np.cumsum(random.integers(300, 1700, seconds)) * 1_000_000
    values = np.stack([random.normal(50, 4, seconds), random.normal(10, 0.5, seconds)], axis=1)
    for begin in random.integers(0, seconds, 6):
        values[begin : begin + random.integers(3, 20), 0] += random.choice([-30, 30])
    values[random.random(values.shape) < 0.03] = np.nan
    t_ns[seconds // 2 :] += 200 * S
    return t_ns, values


def test_every_kind_of_label_is_given(opened):
    t_ns, values = table()
    labels = label(opened, t_ns, values)
    assert {WARMUP, NORMAL, ABOVE} <= set(labels.verdict.tolist())
    assert 0 < labels.active.sum() < len(labels.active)
    assert (np.isnan(labels.score) == np.isin(labels.verdict, [WARMUP, INPUTS])).all()
    assert (np.diff(labels.end_ns) > 0).all()


def test_a_low_score_outside_the_trained_range_has_a_label_of_its_own(opened):
    labels = label(opened, T0 + np.arange(10) * S, np.tile([50.0, 20.0], (10, 1)))
    assert set(labels.verdict.tolist()) == {WARMUP, OUT_OF_RANGE}


@pytest.mark.parametrize("block", [1, 7, 64, 50])
def test_labels_do_not_depend_on_how_the_rows_are_cut_into_blocks(opened, block):
    t_ns, values = table()
    one, other = label(opened, t_ns, values, 16), label(opened, t_ns, values, block)
    for name in ("end_ns", "verdict", "active", "score"):
        np.testing.assert_array_equal(getattr(one, name), getattr(other, name))


def test_cut_off_at_any_row_no_earlier_label_changes(opened):
    t_ns, values = table(120)
    whole = label(opened, t_ns, values)
    for rows in range(len(t_ns)):
        part = label(opened, t_ns[:rows], values[:rows], 1)
        known = part.end_ns + S // 2 <= (t_ns[rows - 1] if rows else 0)  # the last cell may yet take a value
        count = int(known.sum())
        np.testing.assert_array_equal(part.verdict[:count], whole.verdict[:count])
        np.testing.assert_array_equal(part.score[:count], whole.score[:count])
        np.testing.assert_array_equal(part.active[:count], whole.active[:count])


def test_no_rows_have_no_labels(opened):
    assert len(label(opened, np.empty(0, np.int64), np.empty((0, 2))).end_ns) == 0


@pytest.mark.parametrize("seed", [1, 2, 3])
async def test_the_running_detector_raises_and_clears_at_the_same_cells(tmp_path, opened, seed):
    t_ns, values = table(seed=seed)
    labels = label(opened, t_ns, values)
    one = device(units={"temp": "°C", "flow": "l/min"})
    plant = Plant([("oven.onnx", {"devices": ("oven-1",)})], [one], tmp_path)
    await plant.detector.load()
    verdicts = []
    for at, row in zip([*t_ns.tolist(), int(t_ns[-1]) + S // 2], [*values, None], strict=True):
        plant.clock.advance((at - plant.clock.wall_ns()) / S)
        if row is not None:
            there = ~np.isnan(row)
            ids, n = one.tags.ids[there], int(there.sum())
            plant.detector.feed(
                Readings(one, np.full(n, at), ids, row[there], np.zeros(n, np.uint32)), plant.clock.boot_ns()
            )
        plant.tick()
        verdicts.append(int(plant.detector.models.all[0].watch.judge.said[0]))
    await asyncio.gather(*plant.tasks)
    flips = np.flatnonzero(np.diff(labels.active.astype(int), prepend=0))
    told = [(event.detail["window_to"], event.state == "raised") for event in plant.events]
    assert told == [(int(labels.end_ns[at]) // 1_000_000, bool(labels.active[at])) for at in flips]
    assert verdicts[-1] == labels.verdict[-1]
    assert len(told) >= 2
