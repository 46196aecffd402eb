import asyncio
import gc
import weakref
from functools import partial
from types import SimpleNamespace

import pytest
import structlog
from structlog.testing import capture_logs

from gateway.core.clock import FakeClock
from gateway.core.errors import LinkError
from gateway.supervise import Backoff, Deadlines, Foreign, Health, keep_running, running
from gateway.supervise.foreign import outcome
from gateway.supervise.keep_running import let_go
from gateway.supervise.watchdog import Watchdog
from gateway.testing import eventually


def quick() -> Backoff:
    return Backoff(first=0.001, limit=0.002)


async def run_until(condition, *parts):
    async with running(*parts):
        await eventually(condition)


async def test_an_outage_is_said_once_when_it_begins_and_once_when_it_ends():
    health = Health("plc", FakeClock())
    attempts = 0

    async def session():
        nonlocal attempts
        attempts += 1
        if attempts < 4:
            raise LinkError("connection refused")
        health.up()
        await asyncio.Event().wait()

    with capture_logs() as logs:
        await run_until(lambda: health.state == "up", keep_running(session, health, quick()))
    assert [(line["log_level"], line["event"].split(" after")[0]) for line in logs] == [
        ("warning", "down"),
        ("info", "up again"),
    ]
    assert logs[0]["reason"] == "connection refused"
    assert health.state == "stopped"


async def test_a_new_reason_is_said_again():
    health = Health("plc", FakeClock())
    reasons = iter(["refused", "refused", "no route", "no route"])

    async def session():
        reason = next(reasons, None)
        if reason is None:
            health.up()
            await asyncio.Event().wait()
        raise ConnectionRefusedError(reason)

    with capture_logs() as logs:
        await run_until(lambda: health.state == "up", keep_running(session, health, quick()))
    assert [line["reason"] for line in logs if "reason" in line] == ["refused", "no route"]


def test_a_reason_of_which_only_numbers_change_is_said_once():
    health = Health("plc", FakeClock())
    with capture_logs() as logs:
        for number in (17, 4711):
            health.down(f"an answer that was not asked for (transaction id {number})")
    assert len(logs) == 1
    assert "4711" in health.reason


async def test_a_bug_is_faulted_with_its_traceback_and_tried_again():
    health = Health("plc", FakeClock())
    seen = []

    async def session():
        seen.append(health.state)
        if len(seen) < 3:
            raise KeyError("oops")
        await asyncio.Event().wait()

    with capture_logs() as logs:
        await run_until(lambda: len(seen) == 3, keep_running(session, health, quick()))
    assert seen == ["starting", "faulted", "faulted"]
    assert len(logs) == 1
    assert isinstance(logs[0]["exc_info"], KeyError)


def test_a_bug_is_logged_again_for_another_reason_and_after_another_state():
    health = Health("plc", FakeClock())
    with capture_logs() as logs:
        for reason in ("KeyError: a", "KeyError: a", "TypeError: b"):
            health.faulted(reason, KeyError("oops"))
        health.down("TypeError: b")
        health.faulted("TypeError: b", KeyError("oops"))
    assert [entry["event"] for entry in logs] == ["faulted", "faulted", "down", "faulted"]


def test_the_next_attempt_comes_nearer_and_there_is_none_of_what_works():
    clock = FakeClock()
    health = Health("plc", clock)
    assert health.next_attempt is None
    health.down("no route")
    health.tries_again_in(5.0)
    clock.advance(2.0)
    assert health.next_attempt == pytest.approx(3.0)
    clock.advance(10.0)
    assert health.next_attempt == 0.0
    health.up()
    assert health.next_attempt is None


def test_an_error_whose_causes_stand_in_a_circle_is_let_go_of():
    errors = [LinkError("first"), OSError("second")]
    for error, other in (errors, errors[::-1]):
        with pytest.raises(type(error)):
            raise error
        error.__cause__ = error.__context__ = other
    let_go(errors[0])
    assert [error.__traceback__ for error in errors] == [None, None]


@pytest.mark.parametrize(
    ("errors", "state"), [([OSError("gone")], "down"), ([OSError("gone"), ValueError("x")], "faulted")]
)
async def test_errors_of_a_task_group_are_judged_one_by_one(errors, state):
    states = []
    health = Health("plc", FakeClock(), on_change=lambda health: states.append(health.state))

    async def session():
        raise ExceptionGroup("several", errors)

    await run_until(lambda: health.failures > 1, keep_running(session, health, quick()))
    assert states == [state, "stopped"]


async def test_a_session_whose_task_group_fails_while_it_waits_for_its_tasks_is_begun_again_and_can_be_stopped():
    """Before Python 3.13 the group leaves its own cancellation on the session's task."""
    health, sessions = Health("plc", FakeClock()), 0

    async def lost():
        await asyncio.sleep(0)
        raise LinkError("reset by peer")

    async def session():
        nonlocal sessions
        sessions += 1
        async with asyncio.TaskGroup() as group:
            group.create_task(lost())

    task = asyncio.create_task(keep_running(session, health, quick()))
    async with asyncio.timeout(25):
        while sessions < 3:
            await asyncio.sleep(0.001)
        assert (health.state, health.reason) == ("down", "reset by peer")
        task.cancel()
        await asyncio.wait([task])
    assert task.cancelled()


async def test_a_session_that_makes_something_else_of_its_cancellation_ends_all_the_same():
    started = asyncio.Event()

    async def session():
        started.set()
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            raise LinkError("closed") from None

    task = asyncio.create_task(keep_running(session, Health("plc", FakeClock()), quick()))
    async with asyncio.timeout(25):
        await started.wait()
        task.cancel()
        await asyncio.wait([task])
    assert task.cancelled()


async def test_a_session_that_returns_is_a_lost_connection():
    health = Health("plc", FakeClock())

    async def session():
        return None

    await run_until(lambda: health.failures > 1, keep_running(session, health, quick()))


def test_pauses_double_to_the_limit_and_shrink_by_the_time_that_a_session_was_up():
    backoff = Backoff(jitter=lambda: 1.0)
    assert [backoff.pause(0) for _ in range(8)] == [1, 2, 4, 8, 10, 10, 10, 10]
    assert backoff.pause(5) == 5
    assert backoff.pause(4) == 6
    assert backoff.pause(3600) == 1
    assert Backoff(jitter=lambda: 0.0).pause(0) == 0.5


def test_pauses_stay_short_while_there_is_a_hurry_and_then_go_on_growing() -> None:
    hurry = [False, False, True, True, True, False, False]
    backoff = Backoff(jitter=lambda: 1.0, hurry=lambda: hurry.pop(0))
    assert [backoff.pause(0) for _ in range(7)] == [1, 2, 1, 1, 1, 4, 8]


async def test_parts_stop_in_the_reverse_order_of_their_start():
    order = []

    async def part(name):
        try:
            await asyncio.Event().wait()
        finally:
            order.append(name)

    async with running(part("outbox")), running(part("publisher")), running(part("device")):
        await asyncio.sleep(0)
    assert order == ["device", "publisher", "outbox"]


async def test_a_crash_of_a_part_ends_the_body():
    async def part():
        raise ZeroDivisionError

    with pytest.raises(ExceptionGroup) as caught:
        async with running(part()):
            await asyncio.Event().wait()
    assert caught.group_contains(ZeroDivisionError)


async def test_a_deadline_turns_into_a_timeout_of_that_task_alone():
    deadlines = Deadlines()

    async def sweep():
        while True:
            deadlines.sweep()
            await asyncio.sleep(0.01)

    async def read():
        with deadlines.within(0.02):
            await asyncio.Event().wait()

    async def quick_read():
        with deadlines.within(25):
            await asyncio.sleep(0.05)
        return "done"

    async with running(sweep()):
        slow, fast = asyncio.create_task(read()), asyncio.create_task(quick_read())
        with pytest.raises(TimeoutError, match=r"no answer within 0\.02 s"):
            await slow
        assert await fast == "done"


async def test_a_cancelled_task_stays_cancelled_under_a_deadline():
    deadlines = Deadlines()

    async def read():
        with deadlines.within(25):
            await asyncio.Event().wait()

    task = asyncio.create_task(read())
    await asyncio.sleep(0)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task


def test_the_watchdog_is_fed_only_while_all_parts_make_progress(monkeypatch):
    sent = []
    monkeypatch.setenv("NOTIFY_SOCKET", "@systemd")
    monkeypatch.setattr("gateway.supervise.watchdog.notify", lambda **words: sent.append(words))
    ages = {"wheel": 0.0, "outbox": 0.0}
    parts = {name: SimpleNamespace(late=partial(ages.get, name)) for name in ages}
    watchdog = Watchdog(parts, limit=5, status=lambda: "all well")
    watchdog.feed()
    ages["outbox"] = 6
    with capture_logs() as logs:
        watchdog.feed()
        watchdog.feed()
    assert watchdog.stuck() == ("outbox",)
    assert sent == [{"WATCHDOG": 1, "STATUS": "all well"}]
    assert [line["parts"] for line in logs] == ["outbox"]


def test_where_no_systemd_listens_no_state_is_worked_out_for_it(monkeypatch):
    monkeypatch.delenv("NOTIFY_SOCKET", raising=False)
    asked = []
    Watchdog({}, status=lambda: asked.append("status") or "").feed()
    assert not asked


class Buffer:
    """What a connection had received when it failed."""


async def test_what_failed_connections_had_received_is_free_at_once_not_only_when_the_collector_comes():
    health, foreign = Health("plc", FakeClock()), Foreign(structlog.get_logger())
    received: list[weakref.ref[Buffer]] = []

    async def receive():
        buffer = Buffer()
        received.append(weakref.ref(buffer))
        await asyncio.sleep(0)
        try:
            raise OSError("reset by peer")
        except OSError as error:
            raise LinkError("lost") from error

    async def at_once():
        await receive()

    async def in_a_call():
        await foreign.call(receive)

    async def in_tasks():
        tasks = [foreign.start(receive)]
        await asyncio.wait(tasks)
        outcome(tasks[0])

    async def in_a_group():
        errors = await asyncio.gather(receive(), receive(), return_exceptions=True)
        raise BaseExceptionGroup("the connection ended", errors)

    for session in (at_once, in_a_call, in_tasks, in_a_group):
        received.clear()
        gc.collect()
        gc.disable()
        try:
            await run_until(lambda: len(received) > 8, keep_running(session, health, quick()))
            assert [each() for each in received[:6]] == [None] * 6, session.__name__
        finally:
            gc.enable()
