"""Points in time as people write them."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.core.times import parse_moment, parse_time, rfc3339

NOW = 1_800_000_000_123_456_789


@pytest.mark.parametrize(
    ("text", "t_ns"),
    [
        ("now", NOW),
        (" Now ", NOW),
        ("2h ago", NOW - 7200 * 10**9),
        ("1.5 d ago", NOW - 129_600 * 10**9),
        ("500ms AGO", NOW - 500_000_000),
        ("2027-01-15T08:00:00Z", 1_800_000_000_000_000_000),
    ],
)
def test_moments_are_told_from_now_or_from_the_calendar(text: str, t_ns: int) -> None:
    assert parse_moment(text, NOW) == t_ns


@pytest.mark.parametrize(
    ("text", "advice"),
    [
        ("2h", '"2h ago"'),
        ("ago", '"2h ago"'),
        ("two hours ago", "write a duration such as"),
        ("2 fortnights ago", "write a duration such as"),
        ("2026-02-30", "2026-11-22T02:33:00Z"),
    ],
)
def test_what_is_no_moment_is_refused_with_the_way_to_write_one(text: str, advice: str) -> None:
    with pytest.raises(ValueError, match=advice):
        parse_moment(text, NOW)


@given(st.text(max_size=30))
def test_any_text_is_a_moment_or_refused_in_words(text: str) -> None:
    try:
        parse_moment(text, NOW)
    except ValueError as error:
        assert str(error).startswith("write ")


@given(st.integers(-(10**18), 4 * 10**18))
def test_what_is_shown_is_read_back_to_the_nanosecond(t_ns: int) -> None:
    assert parse_time(rfc3339(t_ns)) == t_ns
