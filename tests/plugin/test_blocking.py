"""The contract suites find a plugin that blocks the event loop, and not one that only works on a slow machine."""

import asyncio
import time

import pytest

from gateway.testing import eventually
from gateway.testing.blocking import CERTAIN, LIMIT, Blocking


async def sleeps_in_the_loop() -> str:
    await asyncio.sleep(0)
    time.sleep(0.2)
    return "done"


async def works() -> str:
    until = time.thread_time() + 0.2
    while time.thread_time() < until:
        pass
    return "done"


async def waits() -> str:
    await asyncio.sleep(0.2)
    await asyncio.to_thread(time.sleep, 0.2)
    return "done"


async def test_a_call_that_sleeps_in_the_loop_is_found() -> None:
    """What this process's servers waited for a processor meanwhile is taken off, and can be all of it on a busy machine."""
    blocking = Blocking()

    async def longer_than_allowed() -> bool:
        assert await blocking.measured(sleeps_in_the_loop()) == "done"
        return blocking.longest >= LIMIT

    await eventually(longer_than_allowed)
    if blocking.longest < CERTAIN:
        blocking.check()  # once may be chance
    with pytest.raises(AssertionError, match="blocked the event loop for"):
        blocking.check()


@pytest.mark.parametrize("call", [works, waits])
async def test_a_call_that_works_or_waits_as_it_should_is_let_pass(call) -> None:
    blocking = Blocking()
    assert await blocking.measured(call()) == "done"
    blocking.check()


async def test_what_a_call_raises_or_is_told_passes_through() -> None:
    async def call() -> None:
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            raise ValueError("told") from None

    task = asyncio.create_task(Blocking().measured(call()))
    await asyncio.sleep(0)
    task.cancel()
    with pytest.raises(ValueError, match="told"):
        await task
