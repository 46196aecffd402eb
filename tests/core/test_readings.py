import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from gateway.core.quality import all_good
from gateway.core.readings import Readings
from gateway.core.tag import Device, Tag, Tags


def block(values: list[float]) -> Readings:
    tags = Tags("press", [Tag(row + 1, "press", f"tag{row}") for row in range(len(values))])
    n = len(values)
    return Readings(
        Device("press", "none", tags), np.zeros(n, np.int64), tags.ids, np.array(values), np.zeros(n, np.uint32)
    )


@given(st.lists(st.floats(), min_size=1, max_size=20))
def test_float32_is_what_numpy_makes_of_the_values_and_warns_of_nothing(values):
    with np.errstate(over="ignore"):
        plain = np.array(values).astype(np.float32)
    assert block(values).float32().tobytes() == plain.tobytes()


def test_float32_is_made_once():
    readings = block([1.5, 1e300])
    assert readings.float32() is readings.float32()
    assert readings.float32().tolist() == [1.5, np.inf]


def test_rows_that_are_taken_out_have_a_float32_of_their_own():
    readings = block([1.5, 2.5, 3.5])
    readings.float32()
    assert readings.take(np.array([2])).float32().tolist() == [3.5]


@given(st.lists(st.integers(0, 2**32 - 1), max_size=20))
def test_all_good_is_said_of_rows_without_any_code_or_flag(qualities):
    assert all_good(np.array(qualities, np.uint32)) == (not any(qualities))
