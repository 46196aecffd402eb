"""How long to wait before the next attempt."""

import random
from collections.abc import Callable
from dataclasses import dataclass


@dataclass
class Backoff:
    """Doubling pauses with jitter, so that many lines lost together do not return together. All in seconds.

    Each second for which a session was up takes one off the next pause: a device that was lost for long and is lost again
    soon after is not made to wait for what happened before, and one that hangs up at once waits ever longer.
    """

    first: float = 1.0
    limit: float = 10.0
    jitter: Callable[[], float] = random.random
    hurry: Callable[[], bool] = lambda: False
    """Asked before each pause; while it says so, the pause is a first one, and the doubling waits."""

    most: Callable[[], float] = lambda: float("inf")
    """Asked before each pause: no longer than this."""

    def __post_init__(self) -> None:
        self._next = self.first

    def pause(self, was_up: float) -> float:
        """The next pause, after a session that was up for `was_up`: between half and the whole of the doubling step."""
        if self.hurry():
            return self._jittered(self.first)
        limit = min(self.limit, self.most())
        step = min(max(self.first, self._next - was_up), limit)
        self._next = min(step * 2, limit)
        return self._jittered(step)

    def _jittered(self, step: float) -> float:
        return step * (0.5 + self.jitter() / 2)
