"""Alarms that are raised again and again: ISA-18.2 calls an alarm chattering that is raised three times within a minute."""

from gateway.alarms.alarm import Key
from gateway.core.clock import Clock

TIMES = 3
WITHIN_NS = 60_000_000_000
QUIET_NS = 600_000_000_000
"""After so long without a raise it chatters no more."""
MOST = 10_000
"""Alarms whose raises are remembered; those that were not raised for the longest time are forgotten first."""


class Chatter:
    """Counts how often alarms are raised. By the boot clock, and not kept over a restart."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._raised: dict[Key, list[int]] = {}
        """When each was raised within the last minute, and last; by when that was."""
        self._chatters: set[Key] = set()

    def raised(self, key: Key) -> bool:
        """It is raised. Gives whether it chatters."""
        now = self._clock.boot_ns()
        times = [t for t in self._raised.pop(key, ()) if now - t < WITHIN_NS]
        self._raised[key] = times = [*times, now][-TIMES:]
        if len(times) == TIMES:
            self._chatters.add(key)
        if len(self._raised) > MOST:
            self._forget_oldest()
        return key in self._chatters

    def __contains__(self, key: Key) -> bool:
        return key in self._chatters

    def forget_quiet(self) -> None:
        """Forget those that have not been raised for long."""
        now = self._clock.boot_ns()
        while self._raised and now - next(iter(self._raised.values()))[-1] > QUIET_NS:
            self._forget_oldest()

    def _forget_oldest(self) -> None:
        key = next(iter(self._raised))
        del self._raised[key]
        self._chatters.discard(key)
