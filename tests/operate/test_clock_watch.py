from gateway.core.clock import ClockState, FakeClock
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


def test_a_step_since_it_was_looked_at_before_the_restart_is_told() -> None:
    clock, steps = FakeClock(), list[float]()
    before = clock.wall_ns() - clock.boot_ns()
    clock.step(-3600)
    watch = ClockWatch(clock, steps.append, offset=before)
    watch.look()
    watch.look()
    assert steps == [-3600.0]


def test_each_change_of_the_clocks_state_is_told_once_and_the_one_at_the_start_is_no_change() -> None:
    told, states = list[ClockState](), [ClockState.NOT_YET]
    watch = ClockWatch(FakeClock(), lambda _: None, state=lambda: states[-1], on_state=told.append)
    for state in (ClockState.NOT_YET, ClockState.SYNCHRONISED, ClockState.SYNCHRONISED, ClockState.LOST):
        states.append(state)
        watch.look()
    assert told == [ClockState.SYNCHRONISED, ClockState.LOST]
