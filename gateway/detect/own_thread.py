"""Calls that may take long, or for ever, away from the event loop."""

import asyncio
import os
from collections.abc import Callable
from contextlib import suppress
from threading import Thread, get_native_id
from typing import TypeVar

R = TypeVar("R")

NICENESS = 5
"""Of these threads, as in nice(1); Linux keeps it for each thread."""


async def in_own_thread(call: Callable[[], R], timeout: float) -> R:
    """Run a blocking call in a thread made for it. Raises TimeoutError after `timeout` seconds.

    A call that hangs cannot be stopped; its thread is left behind, and as a daemon it does not hold up the exit, as one of
    a pool would. A thread costs 0.1 ms, which a call that is worth a thread does not notice. Where the cores are few, it
    steps back behind the event loop.
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
            with suppress(OSError):  # forbidden, as in some containers
                os.setpriority(os.PRIO_PROCESS, get_native_id(), NICENESS)
            result = call()
        except BaseException as raised:  # noqa: BLE001 - raised again in the loop
            error = raised
        with suppress(RuntimeError):  # the loop is closed: nobody waits any more
            loop.call_soon_threadsafe(deliver, result, error)

    Thread(target=work, name="detect", daemon=True).start()
    async with asyncio.timeout(timeout):
        return await done
