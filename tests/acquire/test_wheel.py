import asyncio

import pytest

from gateway.acquire.wheel import Wheel
from gateway.core.clock import FakeClock
from gateway.supervise import running


class LoopTime:
    """Replaces the loop's clock and timers by ones that jump."""

    def __init__(self, monkeypatch):
        loop = asyncio.get_running_loop()
        self.now = 1000.0
        self.timers: list = []
        monkeypatch.setattr(loop, "time", lambda: self.now)
        monkeypatch.setattr(loop, "call_at", self.call_at)

    def call_at(self, when, callback, *args, **_):
        timer = Timer(when, callback)
        self.timers.append(timer)
        return timer

    def run(self, until: float, stall: float = 0.0):
        while timers := [t for t in self.timers if not t.cancelled and t.when <= until]:
            timer = min(timers, key=lambda t: t.when)
            self.timers.remove(timer)
            self.now = max(self.now, timer.when + stall)
            timer.callback()
        self.now = until


class Timer:
    def __init__(self, when, callback):
        self.when, self.callback, self.cancelled = when, callback, False

    def cancel(self):
        self.cancelled = True


@pytest.fixture
async def time(monkeypatch):
    return LoopTime(monkeypatch)


def start(wheel):
    task = wheel.run()
    task.send(None)
    return task


async def test_each_scan_comes_once_per_period(time):
    wheel = Wheel(FakeClock())
    calls = {"fast": 0, "slow": 0, "odd": 0}

    def count(name):
        def due():
            calls[name] += 1

        return due

    for name, period in (("fast", 0.1), ("slow", 1.0), ("odd", 0.25)):
        wheel.add(count(name), period, name)
    running_wheel = start(wheel)
    time.run(time.now + 10)
    running_wheel.close()
    assert calls == {"fast": 100, "slow": 10, "odd": 40}


@pytest.mark.parametrize(("devices", "slots"), [(1, 1), (100, 5), (200, 10), (1000, 20)])
async def test_devices_are_spread_over_few_moments_by_their_names(time, devices, slots):
    wheel = Wheel(FakeClock())
    at = {}
    for number in range(devices):
        wheel.add(lambda n=number: at.setdefault(n, time.now), 1.0, f"device-{number}")
    running_wheel = start(wheel)
    time.run(time.now + 1)
    running_wheel.close()
    assert len(at) == devices
    assert len({round(when, 3) for when in at.values()}) == slots


async def test_aligned_scans_come_on_the_full_period_of_the_clock(time):
    clock = FakeClock()
    start_wall = clock.wall_ns() / 1e9
    started = time.now
    wheel = Wheel(clock)
    walls = []
    wheel.add(lambda: walls.append(start_wall + time.now - started), 5.0, "x", align=True)
    running_wheel = start(wheel)
    time.run(time.now + 12)
    running_wheel.close()
    assert 2 <= len(walls) <= 3
    assert all(abs(wall / 5 - round(wall / 5)) < 0.01 for wall in walls)


async def test_a_late_loop_leaves_turns_out_and_counts_them_rather_than_catching_up(time):
    wheel = Wheel(FakeClock())
    calls = []
    turn = wheel.add(lambda: calls.append(time.now), 0.1, "x")
    running_wheel = start(wheel)
    time.run(time.now + 1)
    assert len(calls) == 10
    time.now += 2.0
    time.run(time.now + 1)
    running_wheel.close()
    assert 19 <= turn.missed <= 20
    assert 20 <= len(calls) <= 21


async def test_a_removed_scan_comes_no_more_and_one_added_later_comes(time):
    wheel = Wheel(FakeClock())
    calls = []
    turn = wheel.add(lambda: calls.append("old"), 0.1, "x")
    running_wheel = start(wheel)
    time.run(time.now + 0.35)
    wheel.remove(turn)
    wheel.add(lambda: calls.append("new"), 0.1, "x")
    time.run(time.now + 0.35)
    running_wheel.close()
    assert calls[0] == "old"
    assert calls[-1] == "new"
    assert calls == sorted(calls, reverse=True)


async def test_what_a_scan_raises_ends_the_wheel():
    wheel = Wheel(FakeClock())

    def due():
        raise ZeroDivisionError

    wheel.add(due, 0.01, "x")
    with pytest.raises(ExceptionGroup) as caught:
        async with asyncio.timeout(25), running(wheel.run()):
            await asyncio.Event().wait()
    assert caught.group_contains(ZeroDivisionError)
