"""The event loop as the daemon runs it: nothing but the gateway itself ends it."""

import asyncio
import traceback
from collections import Counter
from collections.abc import Callable, Coroutine
from typing import Any

import structlog

from gateway.supervise.foreign import place
from gateway.supervise.keep_running import told

PATIENCE = 1.0
"""Seconds that tasks may take to end when all is over."""


class EventLoop:
    """uvloop where there is one: a small TCP exchange costs half there."""

    def __init__(self) -> None:
        self.deaf: list[str] = []
        """file:line where tasks wait that did not end at the end; the loop is left as it is then."""
        self._seen: Counter[str] = Counter()

    def run(self, main: Coroutine[Any, Any, None]) -> None:
        """Run until `main` ends; raises what it raises. SystemExit and its like end an event loop wherever they are raised,
        also in a callback or a task that a plugin made for itself: the loop is run on."""
        runner = asyncio.Runner(loop_factory=_loop_factory())
        loop = runner.get_loop()
        task = loop.create_task(main)
        try:
            while not task.done():
                try:
                    loop.run_until_complete(task)
                except BaseException as error:
                    if task.done() and (task.cancelled() or task.exception() is error):
                        raise
                    self._say(error)
            task.result()  # also where it ended in the very turn in which something else was raised
        finally:
            self.deaf = loop.run_until_complete(_wind_up())
            if not self.deaf:
                runner.close()

    def _say(self, error: BaseException) -> None:
        """With its traceback the first time, then now and then with a count."""
        at = "".join(traceback.format_tb(error.__traceback__)[-1:]) + type(error).__name__
        self._seen[at] += 1
        times = self._seen[at]
        if times & (times - 1) == 0:  # 1, 2, 4, 8, …
            trace = error if times == 1 else None
            structlog.get_logger().error(
                "a plugin would have ended the gateway; it goes on",
                reason=told(error),
                times=times,
                exc_info=trace,
            )


async def _wind_up() -> list[str]:
    """Cancel what still runs. Returns where those tasks wait that go on all the same."""
    tasks = asyncio.all_tasks() - {asyncio.current_task()}
    for task in tasks:
        task.cancel()
    if not tasks:
        return []
    _, deaf = await asyncio.wait(tasks, timeout=PATIENCE)
    return [place(task) for task in deaf]


def _loop_factory() -> Callable[[], asyncio.AbstractEventLoop] | None:
    try:
        import uvloop
    except ImportError:
        return None
    factory: Callable[[], asyncio.AbstractEventLoop] = uvloop.new_event_loop
    return factory
