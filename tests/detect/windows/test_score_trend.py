"""The last day of a model's scores."""

import numpy as np
import pytest

from gateway.detect.windows.score_trend import STEP_MS, STEPS, ScoreTrend

STEP_NS = STEP_MS * 1_000_000
BEGIN = 900_000  # the number of a step since 1970


def take(trend: ScoreTrend, step: float, *scores: float) -> None:
    """Scores of assets 0, 1, … at a time in steps."""
    count = len(scores)
    trend.take(np.arange(count), np.full(count, round((BEGIN + step) * STEP_NS), np.int64), np.array(scores))


def steps(trend: ScoreTrend, asset: int = 0) -> list[tuple[int, float]]:
    ts, scores = trend.of(asset)
    return [(at // STEP_MS - BEGIN, score) for at, score in zip(ts, scores, strict=True)]


def test_of_each_step_the_greatest_is_kept() -> None:
    trend = ScoreTrend(2)
    assert steps(trend) == []
    take(trend, 0.1, 0.5, 2.0)
    take(trend, 0.5, 0.25, 3.0)
    take(trend, 1.0, 0.125, np.nan)
    assert steps(trend, 0) == [(0, 0.5), (1, 0.125)]
    assert steps(trend, 1) == [(0, 3.0)]


def test_what_is_older_than_a_day_goes_and_a_pause_leaves_nothing_of_before() -> None:
    trend = ScoreTrend(1)
    for step in range(STEPS + 5):
        take(trend, step, float(step))
    assert (steps(trend)[0], len(steps(trend))) == ((5, 5.0), STEPS)
    take(trend, 2 * STEPS - 1, 7.0)
    assert steps(trend)[0][0] == STEPS
    take(trend, 5 * STEPS, 1.0)
    assert steps(trend) == [(5 * STEPS, 1.0)]


def test_a_clock_that_is_set_back_costs_no_more_than_what_was_ahead() -> None:
    trend = ScoreTrend(1)
    take(trend, 10, 1.0)
    take(trend, 5, 2.0)
    assert steps(trend) == [(5, 2.0), (10, 1.0)]
    take(trend, -2 * STEPS, 3.0)
    assert steps(trend) == [(-2 * STEPS, 3.0)]


@pytest.mark.parametrize("odd", [np.inf, -np.inf, np.nan])
def test_what_is_no_number_is_none(odd: float) -> None:
    trend = ScoreTrend(1)
    take(trend, 0, odd)
    assert steps(trend) == []
    take(trend, 0, 0.5)
    take(trend, 0, odd)
    assert steps(trend) == [(0, 0.5)]


def test_another_takes_over_and_an_asset_begins_anew() -> None:
    before, after = ScoreTrend(3), ScoreTrend(2)
    take(before, 0, 1.0, 2.0, 3.0)
    after.continue_from(before, np.array([0, 1]), np.array([2, 0]))
    assert (steps(after, 0), steps(after, 1)) == ([(0, 3.0)], [(0, 1.0)])
    after.forget(0)
    assert steps(after, 0) == []
