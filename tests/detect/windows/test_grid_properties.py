"""What holds of windows whatever a plant's data does: irregular, late, twice, by exception, with clocks that step."""

from dataclasses import dataclass

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from gateway.core.quality import BAD_TIMEOUT, FORCED, GOOD, REPEATED, STALE
from gateway.detect.windows.grid import USABLE, Grid, Samples

MS = 1_000_000
S = 1000 * MS
T0 = 1_800_000_000 * S
MAX_AGE = 5 * S
WINDOW = 3


@dataclass(frozen=True)
class Sample:
    """One reading; its value names it, so that a cell tells where it came from."""

    slot: int
    t: int
    value: float
    quality: int
    arrived: int


def advance(grid, samples):
    """Feed one block; gives (end, values, codes, run) of each cell that was closed."""
    columns = [
        np.array([getattr(sample, name) for sample in samples], kind)
        for name, kind in (
            ("slot", np.intp),
            ("t", np.int64),
            ("value", float),
            ("quality", np.uint32),
            ("arrived", np.int64),
        )
    ]
    return [
        (int(closed.end_ns[0]), np.nan_to_num(grid.windows[0, -1]).tolist(), grid.codes[0].tolist(), int(grid.run[0]))
        for closed in grid.advance(Samples(*columns), samples[-1].arrived)
    ]


def cells(blocks):
    grid = Grid(1, WINDOW, S, np.array([MAX_AGE] * 2, np.int64))
    return [cell for block in blocks if block for cell in advance(grid, block)]


qualities = st.sampled_from([GOOD] * 6 + [BAD_TIMEOUT, GOOD | STALE, GOOD | FORCED, REPEATED])


@st.composite
def streams(draw, steps=(0,), lateness=400):
    """Readings in the order of their arrival. The source's clock is set by one of `steps` (s) now and then; a reading is up
    to `lateness` ms older than its arrival."""
    boot, offset, samples = 10 * S, T0 - 10 * S, []
    for number in range(draw(st.integers(1, 20))):
        boot += draw(st.integers(0, 2500)) * MS
        offset += draw(st.sampled_from([0] * 9 + list(steps))) * S
        t = boot + offset - draw(st.integers(0, lateness)) * MS
        samples.append(Sample(draw(st.integers(0, 1)), t, float(number + 1), draw(qualities), boot))
    return samples


def blocks_of(draw, samples):
    cut = []
    while samples:
        n = draw(st.integers(1, 5))
        cut.append(samples[:n])
        samples = samples[n:]
    return cut


@settings(max_examples=40)
@given(streams(steps=(3600, -3600, 7, -7), lateness=8000), st.data())
def test_a_usable_cell_holds_a_good_value_from_before_its_end_that_had_arrived(samples, data):
    grid = Grid(1, WINDOW, S, np.array([MAX_AGE] * 2, np.int64))
    seen = {}
    for block in blocks_of(data.draw, samples):
        seen |= {sample.value: sample for sample in block}
        for end, values, codes, run in advance(grid, block):
            assert end % S == 0
            for value, code in zip(values, codes, strict=True):
                if code != USABLE:
                    assert run == 0
                    continue
                sample = seen[value]  # values count from 1, and what is missing shows as 0
                assert sample.quality in (GOOD, REPEATED)
                assert sample.t <= end or sample.quality == REPEATED, "a repeat says that the value holds now"


@settings(max_examples=40)
@given(streams(steps=(3600, -3600)), st.data())
def test_cut_off_anywhere_no_earlier_cell_changes(samples, data):
    blocks = blocks_of(data.draw, samples)
    whole = cells(blocks)
    part = cells(blocks[: data.draw(st.integers(0, len(blocks)))])
    assert part == whole[: len(part)]


@settings(max_examples=40)
@given(streams(), st.data())
def test_samples_that_come_twice_change_nothing(samples, data):
    blocks = blocks_of(data.draw, samples)
    assert cells([block + block for block in blocks]) == cells(blocks)


@settings(max_examples=40)
@given(streams(lateness=0), st.data())
def test_order_within_a_block_does_not_matter_where_times_differ(samples, data):
    samples = [Sample(s.slot, s.t + n, s.value, GOOD, s.arrived + n) for n, s in enumerate(samples)]
    blocks = blocks_of(data.draw, samples)
    mixed = [[*data.draw(st.permutations(block[:-1])), block[-1]] for block in blocks]
    assert cells(mixed) == cells(blocks)


@settings(max_examples=40)
@given(st.lists(st.integers(0, 3), min_size=40, max_size=80), st.integers(1, 20))
def test_by_exception_with_a_heartbeat_gives_the_windows_of_every_scan(values, heartbeat):
    """Scans of 250 ms; only changes are delivered, and repeats with the flag so often that no value grows too old."""
    every, changes, last = [], [], None
    for number, value in enumerate(values):
        at = number * 250 * MS
        scan = [Sample(slot, T0 + at, float(value + slot), GOOD, S + at) for slot in (0, 1)]
        every.append(scan)
        if last is None or value != last[0]:
            last = value, T0 + at
            changes.append(scan)
        elif number % heartbeat == 0:
            changes.append([Sample(s.slot, last[1], s.value, REPEATED, s.arrived) for s in scan])
    tick = [Sample(0, T0 + 2**40, np.nan, STALE, S + len(values) * 250 * MS)]
    want, got = cells([*every, tick]), cells([*changes, tick])
    assert [cell[:3] for cell in got] == [cell[:3] for cell in want][: len(got)]
    assert len(got) == len(want)


@settings(max_examples=40)
@given(st.lists(st.tuples(st.integers(100, 2500), st.sampled_from([0] * 5 + [3600, -3600, 90_000])), max_size=30))
def test_a_window_never_spans_a_step_of_the_clock(scans):
    """All values of a complete window come from one side of a step."""
    grid = Grid(1, WINDOW, S, np.array([MAX_AGE] * 2, np.int64))
    boot, offset, side, seen = 10 * S, T0 - 10 * S, 0, {}
    for number, (pause, step) in enumerate(scans):
        boot, offset, side = boot + pause * MS, offset + step * S, side + (step != 0)
        both = [Sample(slot, boot + offset, float(2 * number + slot + 1), GOOD, boot) for slot in (0, 1)]
        seen |= {sample.value: side for sample in both}
        for *_, run in advance(grid, both):
            if run >= WINDOW:
                assert len({seen[value] for value in grid.windows[0].reshape(-1).tolist()}) == 1
