"""How long to wait before the next attempt."""

import random
from collections.abc import Callable
from dataclasses import dataclass


@dataclass
class Backoff:
    """Doubling pauses with jitter, so that many lines lost together do not return together. All in seconds."""

    first: float = 1.0
    limit: float = 60.0
    well: float = 30.0
    """A session that was up for this long starts anew at `first`."""
    jitter: Callable[[], float] = random.random

    def __post_init__(self) -> None:
        self._next = self.first

    def pause(self, was_up: float) -> float:
        """The next pause, after a session that was up for `was_up`: between half and the whole of the doubling step."""
        if was_up >= self.well:
            self._next = self.first
        step, self._next = self._next, min(self._next * 2, self.limit)
        return step * (0.5 + self.jitter() / 2)
