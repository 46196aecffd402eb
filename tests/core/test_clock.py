"""The clocks of this machine, and what is said where the kernel says nothing."""

import pytest

from gateway.core import clock
from gateway.core.clock import SystemClock


def refused() -> tuple[bool, int]:
    raise OSError(1, "Operation not permitted")


def test_the_kernel_tells_whether_its_clock_is_synchronised() -> None:
    try:
        synchronised, max_error_us = clock.read_kernel()
    except OSError as error:
        pytest.skip(f"adjtimex is forbidden here ({error}): run outside of a container whose seccomp profile blocks it")
    assert SystemClock().synchronised() in (True, False)
    assert max_error_us >= 0
    assert not synchronised or max_error_us <= 16_000_000


@pytest.mark.parametrize(("error_us", "synchronised"), [(850, True), (16_000_000, False)])
def test_its_answer_is_taken_as_it_is(monkeypatch: pytest.MonkeyPatch, error_us: int, synchronised: bool) -> None:
    monkeypatch.setattr(clock, "read_kernel", lambda: (synchronised, error_us))
    assert SystemClock().synchronised() is synchronised


def test_where_the_kernel_may_not_be_asked_timesyncd_is_and_else_nothing_is_claimed(monkeypatch, tmp_path) -> None:
    monkeypatch.setattr(clock, "read_kernel", refused)
    monkeypatch.setattr(clock, "TIMESYNCD", tmp_path / "timesync")
    assert SystemClock().synchronised() is None
    (tmp_path / "timesync").mkdir()
    assert SystemClock().synchronised() is False
    (tmp_path / "timesync" / "synchronized").touch()
    assert SystemClock().synchronised() is True


def test_a_c_library_without_the_call_is_an_error_that_is_caught(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(clock, "_adjtimex", lambda: None)
    with pytest.raises(OSError, match="adjtimex"):
        clock.read_kernel()
