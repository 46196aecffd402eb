"""Calls that may take long, or for ever, away from the event loop."""

import asyncio
import os
from collections.abc import Callable
from contextlib import suppress
from threading import Lock, Thread, get_native_id
from typing import Generic, TypeVar

from gateway.core.errors import PluginError

R = TypeVar("R")

NICENESS = 5
"""Of these threads, as in nice(1); Linux keeps it for each thread."""


def _nothing() -> None:
    pass


async def in_own_thread(call: Callable[[], R], timeout: float, leave: Callable[[], None] = _nothing) -> R:
    """Run a blocking call in a thread made for it. Raises TimeoutError after `timeout` seconds. What the call raises comes
    out as an Exception, whatever it was.

    A call that is no longer waited for is asked to end by `leave`. One that hangs nevertheless cannot be stopped; its thread
    is left behind, and as a daemon it does not hold up the exit, as one of a pool would. A thread costs 0.1 ms, which a call
    that is worth a thread does not notice. Where the cores are few, it steps back behind the event loop.
    """
    loop = asyncio.get_running_loop()
    done: asyncio.Future[R] = loop.create_future()
    work = _Work(call)

    def deliver() -> None:
        if done.done():
            return
        if work.error is not None:
            done.set_exception(work.error)
        else:
            done.set_result(work.result)  # type: ignore[arg-type]

    def run() -> None:
        work.run()
        with suppress(RuntimeError):  # the loop is closed: nobody waits any more
            loop.call_soon_threadsafe(deliver)

    Thread(target=run, name="detect", daemon=True).start()
    try:
        async with asyncio.timeout(timeout):
            return await done
    finally:
        if not done.done() or done.cancelled():
            work.is_left()
            leave()


def hanging() -> int:
    """How many calls go on though nobody waits for them any more."""
    return _left.count


class _Left:
    def __init__(self) -> None:
        self.count = 0
        self.lock = Lock()


_left = _Left()


class _Work(Generic[R]):
    """One call in its thread."""

    def __init__(self, call: Callable[[], R]) -> None:
        self._call = call
        self._ended = self._counted = False
        self.result: R | None = None
        self.error: Exception | None = None

    def run(self) -> None:
        with suppress(OSError):  # forbidden, as in some containers
            os.setpriority(os.PRIO_PROCESS, get_native_id(), NICENESS)
        try:
            self.result = self._call()
        except BaseException as error:  # noqa: BLE001 - raised again in the loop, which SystemExit would end
            if isinstance(error, Exception) and not isinstance(error, StopIteration):
                self.error = error
            else:
                self.error = PluginError(f"it raised {type(error).__name__}: {error}")
        with _left.lock:
            self._ended = True
            _left.count -= self._counted

    def is_left(self) -> None:
        """Nobody waits for it any more."""
        with _left.lock:
            self._counted = not self._ended
            _left.count += self._counted
