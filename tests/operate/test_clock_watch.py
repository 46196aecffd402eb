from types import SimpleNamespace
from typing import Any

from gateway.core.clock import ClockState, FakeClock
from gateway.operate.clock_watch import ClockWatch


class Watched:
    """A clock, what stands around it, and what was noticed of it."""

    def __init__(self) -> None:
        self.clock = FakeClock()
        self.outbox = SimpleNamespace(offset_before=self.offset, clock_state=ClockState.NOT_YET)
        self.aligned = 0
        self.noticed: list[tuple[str, Any]] = []
        self.watch = self.restarted()

    @property
    def offset(self) -> int:
        return self.clock.wall_ns() - self.clock.boot_ns()

    def restarted(self) -> ClockWatch:
        return ClockWatch(self.clock, self.outbox, self, None)  # type: ignore[arg-type]

    def align(self) -> None:
        self.aligned += 1

    def look(self) -> None:
        self.noticed += [(action, *said.values()) for action, said in self.watch.look()]


def test_a_step_in_either_direction_is_told_once_with_its_seconds_and_the_wheel_follows() -> None:
    watched = Watched()
    for step in (3600.0, -7.5):
        watched.clock.advance(1)
        watched.clock.step(step)
        watched.look()
        watched.clock.advance(1)
        watched.look()
    assert watched.noticed == [("clock.step", 3600.0), ("clock.step", -7.5)]
    assert watched.aligned == 2


def test_time_that_passes_is_no_step_however_long_nobody_looked() -> None:
    watched = Watched()
    watched.clock.advance(86_400)
    watched.look()
    assert watched.noticed == []


def test_a_clock_that_is_slewed_is_followed_silently() -> None:
    watched = Watched()
    for _ in range(100):
        watched.clock.advance(1)
        watched.clock.step(0.4)
        watched.look()
    assert watched.noticed == []
    assert watched.aligned == 0


def test_a_step_since_it_was_looked_at_before_the_restart_is_told() -> None:
    watched = Watched()
    watched.clock.step(-3600)
    watched.watch = watched.restarted()
    watched.look()
    watched.look()
    assert watched.noticed == [("clock.step", -3600.0)]


def test_each_change_of_the_clocks_state_is_told_once_and_the_one_at_the_start_is_no_change() -> None:
    watched = Watched()
    for state in (ClockState.NOT_YET, ClockState.SYNCHRONISED, ClockState.SYNCHRONISED, ClockState.LOST):
        watched.outbox.clock_state = state
        watched.look()
    assert watched.noticed == [("clock.state", ClockState.SYNCHRONISED.words), ("clock.state", ClockState.LOST.words)]
