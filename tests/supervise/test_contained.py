import asyncio

import pytest

from gateway.core.clock import FakeClock
from gateway.core.errors import PluginError
from gateway.supervise import Backoff, Health, contained, keep_running, running

OUTLANDISH = [SystemExit, KeyboardInterrupt, asyncio.CancelledError, BaseException, type("Odd", (BaseException,), {})]


class OddCancelledError(asyncio.CancelledError):
    """What asyncua's wait raises on Python 3.11 when its time-out and the answer come in one turn."""


@pytest.mark.parametrize("kind", [*OUTLANDISH, OddCancelledError])
async def test_what_would_end_the_process_or_the_task_comes_out_as_an_error_of_the_plugin(kind):
    async def call():
        raise kind("odd")

    with pytest.raises(PluginError, match=r"cancelled, though nobody asked|would end the gateway"):
        await contained(call())


async def test_what_a_call_returns_passes():
    async def call():
        return "done"

    assert await contained(call()) == "done"


@pytest.mark.parametrize("kind", [OSError, ValueError, RecursionError, MemoryError])
async def test_an_ordinary_error_passes(kind):
    async def call():
        raise kind("odd")

    with pytest.raises(kind):
        await contained(call())


async def test_a_cancellation_that_was_swallowed_is_raised():
    async def deaf():
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            return "as if nothing had been"

    task = asyncio.create_task(contained(deaf()))
    await asyncio.sleep(0)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task


async def test_a_time_out_is_known_also_where_the_call_raises_a_cancellation_of_its_own_kind():
    async def call():
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            raise OddCancelledError from None

    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0):
            await contained(call())


@pytest.mark.parametrize("kind", [*OUTLANDISH, OddCancelledError])
async def test_a_line_whose_plugin_raises_anything_is_run_again(kind):
    health = Health("plc", FakeClock())
    attempts = []

    async def session():
        attempts.append(health.state)
        if len(attempts) == 1:
            raise kind("odd")
        health.up()
        await asyncio.Event().wait()

    async with asyncio.timeout(25), running(keep_running(session, health, Backoff(0.001, 0.001))):
        while health.state != "up":
            await asyncio.sleep(0)
    assert attempts == ["starting", "faulted"]


@pytest.mark.parametrize("kind", [SystemExit, OddCancelledError])
async def test_a_part_that_ends_by_anything_ends_the_body_with_an_error(kind):
    async def part():
        raise kind("odd")

    with pytest.raises(ExceptionGroup) as raised:
        async with asyncio.timeout(25), running(part()):
            await asyncio.Event().wait()
    assert [type(each) for each in raised.value.exceptions] == [PluginError]
