"""Start and stop in an order that can be read off the code."""

import asyncio
from collections.abc import AsyncIterator, Coroutine
from contextlib import asynccontextmanager
from typing import Any

import structlog

from gateway.supervise.contained import contained


class Running:
    """The parts that run beside a body."""

    def __init__(self, group: asyncio.TaskGroup) -> None:
        self._group = group
        self._tasks: set[asyncio.Task[Any]] = set()

    def start(self, part: Coroutine[Any, Any, Any]) -> asyncio.Task[Any]:
        """Run one more part, until the body ends or the task is cancelled; see `contained` for what counts as that."""
        task = self._group.create_task(contained(part))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        task.add_done_callback(lambda _: part.close())  # of a task that is cancelled before its first step
        return task

    def start_aside(self, part: Coroutine[Any, Any, Any], what: str) -> asyncio.Task[Any]:
        """Run something that all the rest does without: what it raises is logged, and ends nothing else."""
        return self.start(_aside(part, what))

    def stop(self) -> None:
        """Cancel all parts."""
        for task in tuple(self._tasks):
            task.cancel()


async def _aside(part: Coroutine[Any, Any, Any], what: str) -> None:
    try:
        await contained(part)
    except Exception as error:  # noqa: BLE001 - whatever it is, only this is lost
        structlog.get_logger().error("failed", what=what, exc_info=error)
    finally:
        part.close()


@asynccontextmanager
async def running(*parts: Coroutine[Any, Any, Any]) -> AsyncIterator[Running]:
    """Run coroutines beside the body, cancel them when it ends, and wait for their end. A crash of one ends the body too,
    and is raised as an ExceptionGroup."""
    async with asyncio.TaskGroup() as group:
        parts_running = Running(group)
        for part in parts:
            parts_running.start(part)
        try:
            yield parts_running
        finally:
            parts_running.stop()
