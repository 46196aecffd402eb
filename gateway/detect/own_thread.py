"""Calls that may take long, or for ever, away from the event loop."""

import asyncio
from collections.abc import Callable
from contextlib import suppress
from threading import Thread
from typing import TypeVar

R = TypeVar("R")


async def in_own_thread(call: Callable[[], R], timeout: float) -> R:
    """Run a blocking call in a thread made for it. Raises TimeoutError after `timeout` seconds.

    A call that hangs cannot be stopped; its thread is left behind, and as a daemon it does not hold up the exit, as one of
    a pool would. A thread costs 0.1 ms, which a call that is worth a thread does not notice.
    """
    loop = asyncio.get_running_loop()
    done: asyncio.Future[R] = loop.create_future()

    def deliver(result: R | None, error: BaseException | None) -> None:
        if done.done():
            return
        if error is not None:
            done.set_exception(error)
        else:
            done.set_result(result)  # type: ignore[arg-type]

    def work() -> None:
        result, error = None, None
        try:
            result = call()
        except BaseException as raised:  # noqa: BLE001 - raised again in the loop
            error = raised
        with suppress(RuntimeError):  # the loop is closed: nobody waits any more
            loop.call_soon_threadsafe(deliver, result, error)

    Thread(target=work, name="detect", daemon=True).start()
    async with asyncio.timeout(timeout):
        return await done
