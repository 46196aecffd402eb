"""How many readings of history go out per second."""

import asyncio

_QUANTUM = 0.05
"""Seconds that a wait lasts at least beyond what is needed, so that not each record wakes the loop."""
_CREDIT = 0.5
"""Seconds of the rate that may be caught up at once after a pause."""


class Rate:
    """A bound of readings per second over any longer time; None: no bound. Times in seconds of one clock.

    Generic cell rate algorithm (ITU-T I.371): each record moves the time until which all that passed is paid for.
    """

    def __init__(self, per_second: float | None = None) -> None:
        self.per_second = per_second
        self._paid_until = float("-inf")

    def allows(self, now: float) -> bool:
        """Whether a record may pass now, however large it is."""
        return self.per_second is None or self._paid_until <= now

    def passed(self, rows: int, now: float) -> None:
        """A record of so many readings has passed."""
        if self.per_second is not None:
            self._paid_until = max(self._paid_until, now - _CREDIT) + rows / self.per_second

    def wait(self, now: float) -> float:
        """Seconds after which it is worth asking again."""
        return max(0.0, self._paid_until - now) + _QUANTUM


class Throttle:
    """Holds something to a rate, by the event loop's clock; `ready` is set when what was held may go on."""

    def __init__(self, rate: Rate, ready: asyncio.Event) -> None:
        self._rate = rate
        self._ready = ready
        self._timer: asyncio.TimerHandle | None = None

    def allows(self) -> bool:
        """Whether a record may pass now; if not, `ready` is set later."""
        loop = asyncio.get_running_loop()
        if self._rate.allows(loop.time()):
            return True
        if self._timer is None:
            self._timer = loop.call_later(self._rate.wait(loop.time()), self._go_on)
        return False

    def passed(self, rows: int) -> None:
        """A record of so many readings has passed."""
        self._rate.passed(rows, asyncio.get_running_loop().time())

    def _go_on(self) -> None:
        self._timer = None
        self._ready.set()
