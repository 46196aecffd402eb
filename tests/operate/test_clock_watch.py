from gateway.core.clock import FakeClock
from gateway.operate.clock_watch import ClockWatch


def watched() -> tuple[FakeClock, list[float], ClockWatch]:
    clock, steps = FakeClock(), list[float]()
    return clock, steps, ClockWatch(clock, steps.append)


def test_a_step_in_either_direction_is_told_once_with_its_seconds() -> None:
    clock, steps, watch = watched()
    for step in (3600.0, -7.5):
        clock.advance(1)
        clock.step(step)
        watch.look()
        clock.advance(1)
        watch.look()
    assert steps == [3600.0, -7.5]


def test_time_that_passes_is_no_step_however_long_nobody_looked() -> None:
    clock, steps, watch = watched()
    clock.advance(86_400)
    watch.look()
    assert steps == []


def test_a_clock_that_is_slewed_is_followed_silently() -> None:
    clock, steps, watch = watched()
    for _ in range(100):
        clock.advance(1)
        clock.step(0.4)
        watch.look()
    assert steps == []
