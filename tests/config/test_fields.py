import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.config.fields import write_duration, write_size
from gateway.core.amounts import parse_duration, parse_size


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(0, "0s"), (0.01, "10ms"), (0.2, "200ms"), (1, "1s"), (1.5, "1.5s"), (10, "10s"), (60, "1min"), (100, "100s"),
     (7200, "2h"), (86400, "1d"), (604800, "1w"), (0.0005, "0.5ms")],
)  # fmt: skip
def test_durations_are_written_as_people_write_them(seconds: float, text: str) -> None:
    assert write_duration(seconds) == text


@given(st.floats(0, 1e9))
def test_a_written_duration_reads_back(seconds: float) -> None:
    assert parse_duration(write_duration(seconds)) == pytest.approx(seconds, rel=1e-12, abs=1e-300)


@given(st.integers(0, 2**50))
def test_a_written_size_reads_back(size: int) -> None:
    assert parse_size(write_size(size)) == size
