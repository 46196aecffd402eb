import itertools

from hypothesis import given
from hypothesis import strategies as st

from gateway.core.intervals import IntervalSet

spans = st.lists(st.tuples(st.integers(0, 60), st.integers(0, 12)).map(lambda span: (span[0], span[0] + span[1])))


@given(spans, st.integers(0, 80))
def test_it_is_a_set_of_numbers(pairs, probe):
    kept, numbers = IntervalSet(), set()
    for low, high in pairs:
        new = set(range(low, high)) - numbers
        assert kept.add(low, high) == len(new)
        numbers |= new
    assert kept.count == len(numbers)
    assert (probe in kept) == (probe in numbers)
    assert kept.gap(probe) == next(n for n in range(probe, 200) if n not in numbers)
    assert kept.end == max(numbers, default=-1) + 1
    assert sorted(numbers) == [n for low, high in kept.pairs() for n in range(low, high)]
    assert [n for low, high in kept.missing(5, 50) for n in range(low, high)] == sorted(set(range(5, 50)) - numbers)


@given(spans)
def test_its_intervals_never_touch(pairs):
    kept = IntervalSet(pairs).pairs()
    assert all(low < high for low, high in kept)
    assert all(before[1] < after[0] for before, after in itertools.pairwise(kept))


def test_numbers_in_sequence_stay_one_interval():
    kept = IntervalSet()
    for number in range(1000):
        kept.add(number, number + 1)
    assert kept.pairs() == [(0, 1000)]
