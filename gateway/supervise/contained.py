"""Calls into code that is not ours, from which only an Exception comes out, or a cancellation that somebody asked for.

Else SystemExit ends the process, and a CancelledError that nobody asked for ends a task in silence: a TaskGroup takes it for
a wish. Libraries do raise that: on Python 3.11 a wait of asyncua ends with a subclass of CancelledError when its time-out and
the answer come in one turn of the loop.
"""

import asyncio
from collections.abc import Awaitable, Callable
from types import TracebackType
from typing import Any, TypeVar

from gateway.core.errors import PluginError
from gateway.core.text import in_words

R = TypeVar("R")


async def contained(call: Awaitable[R]) -> R:
    """What the call returns. A cancellation of this task is always raised, also where the call swallowed it or turned it
    into an error of its own; PluginError stands for one that nobody asked for, and for SystemExit and its like."""
    before = _cancelling()
    with containing():
        try:
            result = await call
        except Exception:
            if _cancelling() > before:
                raise asyncio.CancelledError from None
            raise
    if _cancelling() > before:
        raise asyncio.CancelledError
    return result


def alone(call: Callable[[], Awaitable[R]]) -> asyncio.Task[R]:
    """Make a call in a task of its own, out of which only an Exception comes, or a cancellation of that task.

    Who cancels the task knows it, so unlike in `contained` nothing is concluded from its having been cancelled: before Python
    3.13 a TaskGroup, one of whose tasks fails while it waits for them, leaves its own cancellation on the task that it is in,
    which looks as if somebody had wished it."""
    return asyncio.create_task(_alone(call))


async def _alone(call: Callable[[], Awaitable[R]]) -> R:
    with containing():  # also what raises before there is anything to await
        return await call()


def _cancelling() -> int:
    """How often this task was told to end. No variable of `contained` names the task: its frame hangs on the error in which
    the task ends, and the three would keep each other."""
    task = _current_task()
    return task.cancelling() if task is not None else 0


class containing:  # noqa: N801 - a context manager that reads as a word
    """The same for a block, without looking for swallowed cancellations. The block must not be one of a generator that
    yields within it."""

    __slots__ = ("_before",)

    def __enter__(self) -> None:
        self._before = _current_task()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if error is not None and not isinstance(error, Exception):
            contain(error, self._before)


def contain(error: BaseException, entered: asyncio.Task[Any] | None) -> None:
    """Raise what stands for an error that is no Exception, and came out of a block that this task has entered."""
    outside = _current_task() is not entered
    del entered  # this frame hangs on what is raised
    if isinstance(error, asyncio.CancelledError):
        if _cancelling():
            raise asyncio.CancelledError from error  # plain: asyncio.timeout knows no subclass of it
        raise PluginError("it was cancelled, though nobody asked for that") from error
    if isinstance(error, GeneratorExit) and outside:
        return  # the coroutine is closed from outside
    raise PluginError(f"it raised {type(error).__name__}, which would end the gateway: {in_words(error)}") from error


def _current_task() -> asyncio.Task[Any] | None:
    try:
        return asyncio.current_task()
    except RuntimeError:  # no loop runs in this thread
        return None
