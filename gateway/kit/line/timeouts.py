"""One timer for the time-outs of all connections of a loop: a wake-up for each would cost more than the polls."""

import asyncio
from typing import Protocol
from weakref import WeakKeyDictionary


class Awaiting(Protocol):
    """Something with requests under way."""

    def expire(self, now: float) -> float | None:
        """Give up what is over its time. Returns when the next one will be, None when nothing is under way."""
        ...


class Timeouts:
    """Calls `expire` when it is due, or later connections' is."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop
        self._awaiting: set[Awaiting] = set()
        self._timer: asyncio.TimerHandle | None = None
        self._due = 0.0
        """When the timer fires."""

    def add(self, awaiting: Awaiting, due: float) -> None:
        """From now on its requests are watched; the first is over its time at `due`."""
        self._awaiting.add(awaiting)
        if self._timer is None or due < self._due:
            self._arm(due)

    def remove(self, awaiting: Awaiting) -> None:
        """It has ended."""
        self._awaiting.discard(awaiting)
        if not self._awaiting and self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _arm(self, due: float) -> None:
        if self._timer is not None:
            self._timer.cancel()
        self._due = due
        self._timer = self._loop.call_at(due, self._expire)

    def _expire(self) -> None:
        self._timer = None
        now = self._loop.time()
        soonest: float | None = None
        for awaiting in list(self._awaiting):
            due = awaiting.expire(now)
            if due is None:
                self._awaiting.discard(awaiting)
            elif soonest is None or due < soonest:
                soonest = due
        if soonest is not None:
            self._arm(max(soonest, now + 0.001))


_timeouts: WeakKeyDictionary[asyncio.AbstractEventLoop, Timeouts] = WeakKeyDictionary()


def timeouts_of(loop: asyncio.AbstractEventLoop) -> Timeouts:
    """Those of an event loop."""
    found = _timeouts.get(loop)
    if found is None:
        found = _timeouts[loop] = Timeouts(loop)
    return found
