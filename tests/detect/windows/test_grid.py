"""Windows follow from source times alone, and never hold what is bad, old or not there."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.core.quality import BAD_TIMEOUT, CLAMPED, FORCED, GOOD, REPEATED, STALE, UNCERTAIN
from gateway.detect.windows.grid import AT_LIMIT, LOST, NOT_GOOD, SET_BY_HAND, TOO_OLD, UNSEEN, USABLE, Grid, Samples

S = 1_000_000_000
T0 = 1_800_000_000 * S


class Feeder:
    """Feeds a grid of 1 s cells, W = 3, two inputs, age limit 5 s, with times in seconds."""

    def __init__(self, assets=1, lag=0.0, max_age=5.0):
        self.grid = Grid(assets, 3, S, np.array([max_age * S] * 2, np.int64))
        self.lag = lag
        self.cells = []

    def at(self, seconds, *rows, arrived=None):
        """Rows of (slot, value[, quality[, t]]) that arrive at `arrived`, by default at their own time."""
        arrived = seconds if arrived is None else arrived
        samples = None
        if rows:
            full = [(*row, *(GOOD, seconds)[len(row) - 2 :]) for row in rows]
            samples = Samples(
                np.array([row[0] for row in full], np.intp),
                np.array([T0 + round(row[3] * S) if row[3] else 0 for row in full], np.int64),
                np.array([row[1] for row in full], np.float64),
                np.array([row[2] for row in full], np.uint32),
                np.full(len(full), round((arrived + self.lag) * S), np.int64),
            )
        for closed in self.grid.advance(samples, round((arrived + self.lag) * S)):
            for asset, end in zip(closed.assets, closed.end_ns, strict=True):
                cell = self.grid.windows[asset, -1].copy()
                run = int(self.grid.run[asset])
                self.cells.append(
                    (int(asset), (int(end) - T0) / S, cell.tolist(), run, self.grid.codes[asset].tolist())
                )
        return self


def both(value, *rest):
    return (0, value, *rest), (1, value + 100, *rest)


def test_windows_go_on_though_the_source_time_stands_still():
    fed = Feeder()
    for second in range(1, 30):
        fed.at(second, *both(float(second), GOOD, 1))
    _, end, cell, run, _ = fed.cells[-1]
    assert end == 28.0
    assert cell in ([28.0, 128.0], [29.0, 129.0])
    assert run > 20


def test_a_cell_holds_the_last_value_up_to_its_end_and_closes_half_a_period_later():
    feeder = Feeder().at(0.7, *both(1)).at(0.9, *both(2)).at(1.2, *both(3)).at(1.49)
    assert feeder.cells == []
    assert feeder.at(1.5).cells == [(0, 1.0, [2.0, 102.0], 1, [USABLE, USABLE])]


def test_a_value_from_after_the_end_of_a_cell_does_not_change_it():
    feeder = Feeder().at(0.5, *both(1)).at(1.0, *both(2)).at(1.000001, *both(3)).at(2)
    assert feeder.cells[0][2] == [2.0, 102.0]


def test_a_slower_tag_that_catches_up_within_half_a_period_still_counts():
    feeder = Feeder().at(0.9, *both(1)).at(1.4, (0, 2.0)).at(1.45, (1, 7.0, GOOD, 0.95)).at(1.5)
    assert feeder.cells[0][2] == [1.0, 7.0]
    assert feeder.grid.late == 0


def test_a_later_one_is_counted_and_holds_from_then_on():
    feeder = Feeder().at(0.9, *both(1)).at(1.6, (0, 2.0)).at(1.7, (1, 7.0, GOOD, 0.95)).at(2.5)
    assert [cell[2] for cell in feeder.cells] == [[1.0, 101.0], [2.0, 7.0]]
    assert feeder.grid.late == 1


def test_a_window_is_complete_after_w_usable_cells_and_lies_oldest_first():
    feeder = Feeder()
    for second in range(1, 5):
        feeder.at(second, *both(second))
    feeder.at(4.5)
    assert [cell[3] for cell in feeder.cells] == [1, 2, 3, 4]
    assert feeder.grid.windows[0].tolist() == [[2, 102], [3, 103], [4, 104]]


@pytest.mark.parametrize(
    ("quality", "value", "code"),
    [
        (BAD_TIMEOUT, np.nan, NOT_GOOD),
        (UNCERTAIN, 1.0, NOT_GOOD),
        (GOOD, np.nan, NOT_GOOD),
        (GOOD, np.inf, NOT_GOOD),
        (GOOD, 1e300, NOT_GOOD),
        (GOOD | FORCED, 1.0, SET_BY_HAND),
        (GOOD | STALE, 1.0, LOST),
        (GOOD | CLAMPED, 1.0, AT_LIMIT),
    ],
)
def test_what_is_not_good_breaks_the_window_until_it_is_whole_again(quality, value, code):
    feeder = Feeder()
    for second in range(1, 9):
        feeder.at(second, (0, value, quality) if second == 4 else (0, 1.0), (1, 5.0))
    feeder.at(8.5)
    assert feeder.cells[3][4] == [code, USABLE]
    assert [cell[3] for cell in feeder.cells][3:] == ([4, 5, 6, 7, 8] if code == AT_LIMIT else [0, 1, 2, 3, 4])


def test_a_tag_that_was_never_read_is_unseen():
    feeder = Feeder().at(1, (0, 1.0)).at(1.5)
    assert feeder.cells[0][3:] == (0, [USABLE, UNSEEN])


def test_a_quiet_tag_holds_until_its_age_limit_and_the_grid_goes_on_without_it():
    feeder = Feeder().at(1, *both(1))
    for half in range(3, 20):
        feeder.at(half / 2)
    assert [cell[1] for cell in feeder.cells] == [1, 2, 3, 4, 5, 6, 7, 8, 9]
    assert [cell[4][0] for cell in feeder.cells] == [USABLE] * 6 + [TOO_OLD] * 3


def test_a_repeat_with_its_old_source_time_confirms_the_value():
    feeder = Feeder().at(1, *both(1)).at(5.2, *both(1, REPEATED, 1)).at(10.5)
    assert [cell[4] for cell in feeder.cells][-1] == [USABLE, USABLE]
    assert feeder.at(11.6).cells[-1][4] == [TOO_OLD, TOO_OLD]


def test_a_first_value_with_an_old_source_time_is_the_present_one():
    feeder = Feeder().at(7200, (0, 1.0), (1, 5.0, GOOD, 10)).at(7200.5)
    assert feeder.cells == [(0, 7200.0, [1.0, 5.0], 1, [USABLE, USABLE])]


def test_going_stale_holds_from_when_it_is_noticed_and_ends_with_the_next_reading():
    feeder = Feeder().at(1, *both(1)).at(3.2, *both(1, STALE, 1)).at(5.5)
    assert [cell[4][0] for cell in feeder.cells] == [USABLE, USABLE, USABLE, LOST, LOST]
    assert feeder.at(6, *both(2)).at(6.5).cells[-1][2:4] == ([2.0, 102.0], 1)


def test_of_two_samples_of_the_same_time_the_last_one_stays():
    assert Feeder().at(1, *both(1), *both(2)).at(1.5).cells[0][2] == [2.0, 102.0]


def test_a_source_whose_clock_is_hours_off_gives_the_same_windows():
    right, wrong = Feeder(), Feeder(lag=7200)
    for second in range(1, 6):
        right.at(second, *both(second))
        wrong.at(second, *both(second))
    assert right.cells == wrong.cells != []


def test_a_clock_that_is_set_back_begins_the_window_anew():
    feeder = Feeder()
    for second in range(100, 105):
        feeder.at(second, *both(second))
    for second in range(5):
        feeder.at(40 + second, *both(second), arrived=105 + second)
    assert [cell[1] for cell in feeder.cells] == [100, 101, 102, 103, 40, 41, 42, 43]
    assert [cell[3] for cell in feeder.cells] == [1, 2, 3, 4, 1, 2, 3, 4]
    assert feeder.grid.restarts == 1


def test_a_long_gap_is_skipped_and_begins_the_window_anew():
    feeder = Feeder().at(1, *both(1)).at(2, *both(2)).at(9000, *both(3)).at(9001, *both(4))
    assert [cell[1] for cell in feeder.cells] == [1, 9000]
    assert feeder.cells[-1][3] == 1
    assert feeder.grid.restarts == 1


@pytest.mark.parametrize(("senseless", "usable_since"), [(1e6, 3), (2.5e9, 3), (7e9, 1)])
def test_a_senseless_source_time_does_not_stop_the_grid(senseless, usable_since):
    feeder = Feeder().at(1, *both(1)).at(2, (0, 2.0, GOOD, senseless), (1, 5.0))
    for second in range(3, 8):
        feeder.at(second, *both(second))
    assert feeder.cells[-1][1:4] == (6.0, [6.0, 106.0], 7 - usable_since)


def test_readings_without_any_source_time_wait_for_the_first_one():
    feeder = Feeder().at(1, *both(np.nan, BAD_TIMEOUT, 0)).at(5)
    assert feeder.cells == []
    assert feeder.at(6, (0, 1.0)).at(6.5).cells[0][4] == [USABLE, NOT_GOOD]


def test_assets_are_independent_of_each_other():
    feeder = Feeder(assets=3)
    for second in range(1, 6):
        feeder.at(second, (0, 1.0), (1, 2.0), (4, float(second)), (5, np.nan, BAD_TIMEOUT))
    assert {asset for asset, *_ in feeder.cells} == {0, 2}
    assert [cell[3] for cell in feeder.cells if cell[0] == 0] == [1, 2, 3, 4]
    assert [cell[3] for cell in feeder.cells if cell[0] == 2] == [0, 0, 0, 0]
    assert [cell[2][0] for cell in feeder.cells if cell[0] == 2] == [1, 2, 3, 4]


def naive(samples):
    """Cells of one asset by definition: samples as (t, input, value), in order of time."""
    cells = []
    end = -(-samples[0][0] // S) * S
    while end + S // 2 <= samples[-1][0]:
        last = [next(((t, v) for t, i, v in reversed(samples) if i == of and t <= end), None) for of in (0, 1)]
        codes = [UNSEEN if not one else TOO_OLD if end - one[0] > 5 * S else USABLE for one in last]
        cells.append((end, [one[1] if one else None for one in last], codes))
        end += S
    return cells


@given(
    st.lists(st.tuples(st.integers(1, 3_000), st.sampled_from([0, 1]), st.integers(0, 99)), min_size=1, max_size=60),
    st.data(),
)
def test_cells_are_those_of_the_definition_however_the_samples_are_cut_into_blocks(steps, data):
    t, samples = T0, []
    for step, of, value in steps:
        t += step * 1_000_000
        samples.append((t, of, float(value)))
    grid, cells, at = Grid(1, 3, S, np.array([5 * S] * 2, np.int64)), [], 0
    while at < len(samples):
        cut = samples[at : at + data.draw(st.integers(1, 8))]
        at += len(cut)
        times = np.array([t for t, _, _ in cut])
        block = Samples(
            np.array([i for _, i, _ in cut], np.intp), times, np.array([v for *_, v in cut]),
            np.zeros(len(cut), np.uint32), times,
        )  # fmt: skip
        for closed in grid.advance(block, int(times[-1])):
            held = [None if np.isnan(v) else float(v) for v in grid.windows[0, -1]]
            cells.append((int(closed.end_ns[0]), held, grid.codes[0].tolist()))
    assert cells == naive(samples)
