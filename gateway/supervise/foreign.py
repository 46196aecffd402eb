"""Calls into code that may not end when it is told to."""

import asyncio
from collections.abc import Awaitable, Callable, Collection
from pathlib import Path
from typing import Any, TypeVar

from gateway.core.errors import PluginError
from gateway.supervise.contained import alone

R = TypeVar("R")

PATIENCE = 2.0
"""Seconds that a call may take to end after it was cancelled."""
_ASYNCIO = str(Path(asyncio.__file__).parent)
MOST_LEFT = 10
"""Calls of one part that may be left behind; with so many under way it makes no new ones."""


class Foreign:
    """Calls of one part into code that is not ours, each in a task of its own: what does not end although it is cancelled is
    left behind, with a warning, and the part goes on without it."""

    def __init__(self, log: Any) -> None:
        self._log = log
        self._left: set[asyncio.Task[Any]] = set()

    def start(self, call: Callable[[], Awaitable[R]]) -> asyncio.Task[R]:
        """Begin a call. Its task ends as `alone` says."""
        return alone(call)

    async def call(self, call: Callable[[], Awaitable[R]]) -> R:
        """What the call returns; raises as `outcome` does, and PluginError when too many calls were left behind."""
        self.check()
        task = self.start(call)
        try:
            await asyncio.wait([task])
        except asyncio.CancelledError:
            await self.end([task])
            raise
        return outcome(task)

    async def end(self, tasks: Collection[asyncio.Task[Any]], patience: float | None = None) -> None:
        """Cancel these, and wait for their end, for so many seconds at most (`PATIENCE`)."""
        for task in tasks:
            task.cancel()
        open_ones = [task for task in tasks if not task.done()]
        if open_ones:
            await asyncio.wait(open_ones, timeout=PATIENCE if patience is None else patience)
        for task in tasks:
            if not task.done():
                self._leave(task)
            elif not task.cancelled():
                task.exception()  # what it raised over its end is of no interest, which asyncio wants to be told

    def check(self) -> None:
        """Raise PluginError when so many calls were left behind that there must be no more."""
        if len(self._left) >= MOST_LEFT:
            places = ", ".join(sorted({place(task) for task in self._left}))
            raise PluginError(
                f"{len(self._left)} calls do not end although they were cancelled (at {places}); no new one is made until "
                "one of them ends: the plugin must let CancelledError pass"
            )

    def _leave(self, task: asyncio.Task[Any]) -> None:
        self._log.warning(
            "a call of the plugin does not end although it was cancelled; it is left behind",
            at=place(task),
        )
        self._left.add(task)
        task.add_done_callback(self._ended)

    def _ended(self, task: asyncio.Task[Any]) -> None:
        self._left.discard(task)
        if not task.cancelled():
            task.exception()  # else asyncio reports that nobody has looked at it


def outcome(task: asyncio.Task[R]) -> R:
    """The result of a task that has ended, for who has not cancelled it."""
    if task.cancelled():
        raise PluginError("it was cancelled, though nobody asked for that")
    return task.result()


def place(task: asyncio.Task[Any]) -> str:
    """file:line where a task waits, outside of asyncio itself."""
    at: Any = task.get_coro()
    found = "?"
    while at is not None:
        frame = getattr(at, "cr_frame", None) or getattr(at, "gi_frame", None) or getattr(at, "ag_frame", None)
        if frame is not None and not frame.f_code.co_filename.startswith(_ASYNCIO):
            found = f"{frame.f_code.co_filename}:{frame.f_lineno}"
        at = getattr(at, "cr_await", None) or getattr(at, "gi_yieldfrom", None) or getattr(at, "ag_await", None)
    return found


class Opening:
    """A connecting that may be given up and succeed all the same: whoever is later closes."""

    def __init__(self, connect: Callable[[], Awaitable[None]], close: Callable[[], Awaitable[None]]) -> None:
        self._connect = connect
        self._close = close
        self._open = False
        self._unwanted = False

    async def open(self) -> None:
        """Connect; and close at once where nobody wants that any more."""
        await self._connect()
        self._open = True
        if self._unwanted:
            await self._close()

    async def give_up(self) -> None:
        """Nobody wants it: close it now, or when it is open."""
        self._unwanted = True
        if self._open:
            await self._close()
