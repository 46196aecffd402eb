"""Time-outs without a timer each: one sweep over all that is under way."""

import asyncio
from types import TracebackType


class Deadlines:
    """Cancels tasks that have been in a `within` block for too long, and turns that into TimeoutError there.

    `sweep` must be called now and then; a time-out comes late by the time between two calls.
    """

    def __init__(self) -> None:
        self._until: dict[asyncio.Task[object], float] = {}
        self._late: set[asyncio.Task[object]] = set()

    def within(self, seconds: float) -> "_Within":
        """A context manager for the current task, which may enter it again and again; blocks of one task must not be
        nested."""
        return _Within(self, seconds)

    def sweep(self) -> None:
        """Cancel what is over its time."""
        if not self._until:
            return
        now = asyncio.get_running_loop().time()
        for task in [task for task, until in self._until.items() if until < now]:
            del self._until[task]
            self._late.add(task)
            task.cancel()


class _Within:
    __slots__ = ("_all", "_seconds", "_task", "_time")

    def __init__(self, deadlines: Deadlines, seconds: float) -> None:
        self._all = deadlines
        self._seconds = seconds
        task = asyncio.current_task()
        assert task is not None
        self._task: asyncio.Task[object] = task
        self._time = asyncio.get_running_loop().time

    def __enter__(self) -> None:
        self._all._until[self._task] = self._time() + self._seconds

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._all._until.pop(self._task, None)
        if self._task in self._all._late:
            self._all._late.discard(self._task)
            if self._task.uncancel() == 0 and kind is asyncio.CancelledError:
                raise TimeoutError(f"no answer within {self._seconds:g} s") from error
