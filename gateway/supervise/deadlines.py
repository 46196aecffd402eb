"""Time-outs without a timer each: one sweep over all that is under way."""

import asyncio
from collections.abc import Callable
from types import TracebackType
from typing import Any

from gateway.supervise.contained import contain

DEAF = 2.0
"""Seconds that a task may take to leave its block after it was cancelled."""


class Deadlines:
    """Cancels tasks that have been in a `within` block for too long, and turns whatever comes of that into TimeoutError
    there. What else comes out of a block is contained (`gateway.supervise.contained`).

    `sweep` must be called now and then; a time-out comes late by the time between two calls.
    """

    def __init__(self) -> None:
        self._until: dict[asyncio.Task[Any], tuple[float, _Within]] = {}
        self._late: dict[asyncio.Task[Any], tuple[float, _Within]] = {}
        """Cancelled, and not out of their block: until when they may take for that."""

    def within(self, seconds: float, deaf: Callable[[], None] = lambda: None) -> "_Within":
        """A context manager for the current task, which may enter it again and again; blocks of one task must not be
        nested. `deaf` is called when the task goes on in the block for `DEAF` seconds after it was cancelled."""
        return _Within(self, seconds, deaf)

    def sweep(self) -> None:
        """Cancel what is over its time."""
        if not (self._until or self._late):
            return
        now = asyncio.get_running_loop().time()
        for task, (until, block) in list(self._late.items()):
            if until < now:
                self._late[task] = (float("inf"), block)  # kept, since it may leave its block yet; told once
                block.deaf()
        for task, (until, block) in list(self._until.items()):
            if until < now:
                del self._until[task]
                self._late[task] = (now + DEAF, block)
                task.cancel()


class _Within:
    __slots__ = ("_all", "_seconds", "_task", "_time", "deaf")

    def __init__(self, deadlines: Deadlines, seconds: float, deaf: Callable[[], None]) -> None:
        self._all = deadlines
        self._seconds = seconds
        self.deaf = deaf
        task = asyncio.current_task()
        assert task is not None
        self._task: asyncio.Task[Any] = task
        self._time = asyncio.get_running_loop().time

    def __enter__(self) -> None:
        self._all._until[self._task] = (self._time() + self._seconds, self)

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._all._until.pop(self._task, None)
        late = self._all._late
        # What a block answered after all stands; what it raised, of whatever kind, was raised because of the cancellation.
        if late and late.pop(self._task, None) is not None and self._task.uncancel() == 0 and kind is not None:
            raise TimeoutError(f"no answer within {self._seconds:g} s") from error
        if error is not None and not isinstance(error, Exception):
            contain(error, self._task)
