import asyncio
import contextlib

import pytest
import structlog
from structlog.testing import capture_logs

from gateway.core.errors import LinkError, PluginError
from gateway.supervise import Deadlines, Foreign, deadlines, foreign, running
from gateway.supervise.foreign import Opening


@pytest.fixture(autouse=True)
def soon(monkeypatch):
    monkeypatch.setattr(foreign, "PATIENCE", 0.01)
    monkeypatch.setattr(deadlines, "DEAF", 0.01)


class Deaf:
    """A call that goes on though it is cancelled, until it is let go."""

    def __init__(self):
        self.let_go = asyncio.Event()

    async def __call__(self):
        while not self.let_go.is_set():
            with contextlib.suppress(asyncio.CancelledError):
                await self.let_go.wait()


@pytest.fixture
def log():
    return structlog.get_logger()


async def test_a_call_that_does_not_end_is_left_behind_with_the_place_where_it_waits(log):
    deaf, calls = Deaf(), Foreign(log)
    with capture_logs() as logs, pytest.raises(TimeoutError):
        async with asyncio.timeout(0):
            await calls.call(deaf)
    (said,) = logs
    assert "left behind" in said["event"]
    assert "test_foreign.py" in said["at"] or "locks.py" in said["at"]
    deaf.let_go.set()


async def test_a_call_that_ends_when_it_is_told_to_is_not_left_behind(log):
    calls, started, ended = Foreign(log), asyncio.Event(), []

    async def call():
        started.set()
        try:
            await asyncio.Event().wait()
        finally:
            ended.append(True)

    task = asyncio.create_task(calls.call(call))
    await started.wait()
    with capture_logs() as logs:
        task.cancel()
        await asyncio.wait([task])
    assert task.cancelled()
    assert (ended, logs) == ([True], [])


async def test_with_too_many_calls_left_behind_there_are_no_more_until_one_has_ended(log):
    deaf, calls = Deaf(), Foreign(log)
    for _ in range(foreign.MOST_LEFT):
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0):
                await calls.call(deaf)
    with pytest.raises(PluginError, match="10 calls do not end although they were cancelled"):
        await calls.call(deaf)
    deaf.let_go.set()
    async with asyncio.timeout(25):
        while calls._left:
            await asyncio.sleep(0)
    await calls.call(deaf)


async def test_a_call_that_cancels_its_own_task_is_an_error(log):
    async def call():
        asyncio.current_task().cancel()
        await asyncio.sleep(0)

    with pytest.raises(PluginError, match="nobody asked"):
        await Foreign(log).call(call)


async def test_a_call_whose_task_group_fails_while_it_waits_says_why(log):
    async def lost():
        await asyncio.sleep(0)
        raise LinkError("reset by peer")

    async def call():
        async with asyncio.TaskGroup() as group:
            group.create_task(lost())

    with pytest.raises(ExceptionGroup) as raised:
        await Foreign(log).call(call)
    assert [str(each) for each in raised.value.exceptions] == ["reset by peer"]


async def test_what_is_opened_after_it_was_given_up_is_closed():
    closed, may = [], asyncio.Event()

    async def close():
        closed.append(True)

    opening = Opening(may.wait, close)
    task = asyncio.create_task(opening.open())
    await asyncio.sleep(0)
    await opening.give_up()
    assert not closed
    may.set()
    await task
    assert closed == [True]


@pytest.mark.parametrize("kind", [LinkError, ValueError, type("Odd", (asyncio.CancelledError,), {})])
async def test_whatever_a_late_call_raises_is_a_timeout(kind):
    deadlines = Deadlines()

    async def read():
        with deadlines.within(0):
            try:
                await asyncio.Event().wait()
            except asyncio.CancelledError:
                raise kind from None

    task = asyncio.create_task(read())
    await asyncio.sleep(0)
    await asyncio.sleep(0.001)
    deadlines.sweep()
    with pytest.raises(TimeoutError, match="no answer within 0 s"):
        await task


@pytest.mark.parametrize("raised", [SystemExit, KeyboardInterrupt, GeneratorExit, asyncio.CancelledError])
async def test_what_would_end_the_gateway_or_the_task_comes_out_of_a_deadline_as_an_error_of_the_plugin(raised):
    async def read():
        with Deadlines().within(25):
            await asyncio.sleep(0)
            raise raised

    with pytest.raises(PluginError, match=r"would end the gateway|nobody asked for that"):
        await asyncio.create_task(read())


async def test_a_call_that_goes_on_though_it_is_late_is_told():
    sweeps, told, deaf = Deadlines(), [], Deaf()

    async def sweep():
        while True:
            sweeps.sweep()
            await asyncio.sleep(0.001)

    async def read():
        with sweeps.within(0, lambda: told.append(True)):
            await deaf()

    async with asyncio.timeout(25), running(sweep()):
        task = asyncio.create_task(read())
        while not told:
            await asyncio.sleep(0)
        deaf.let_go.set()
        await task
    assert told == [True]
