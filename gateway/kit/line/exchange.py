"""Requests whose answers somebody awaits together, and how patiently."""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Generic

from gateway.kit.line.answers import UNSENT, JointAnswer
from gateway.kit.line.framing import R


@dataclass(frozen=True, slots=True)
class AskingPace:
    """How a device bears to be asked. Times in seconds."""

    patience: float = 3.0
    """How long one request may take."""

    whole: float = 3.0
    """How long all of them together may take."""

    retries: int = 0
    """How often a request without a sound answer is repeated."""

    pause: float = 0.0
    """Silence that the device wants after each of its answers."""

    busy_retries: int = 2
    """How many requests of an exchange are repeated because the device says that it has no time."""


class Exchange(Generic[R]):
    """Requests to one unit, in order. `answers` holds what has come, `done` is set when all is there."""

    __slots__ = ("answers", "done", "heard", "missing", "pace", "put_off", "requests", "unit", "unsent", "until")

    def __init__(
        self, requests: Sequence[R], pace: AskingPace, until: float, done: "asyncio.Future[list[JointAnswer]]"
    ) -> None:
        self.requests = requests
        self.unit = requests[0].unit
        self.pace = pace
        self.until = until
        self.answers: list[JointAnswer] = [b""] * len(requests)
        self.done = done
        self.missing = len(requests)
        self.unsent = 0
        self.heard = False
        """Whether the unit has answered any of them."""
        self.put_off = 0
        """How often the unit had no time for one of them."""

    def take(self, index: int, answer: JointAnswer) -> None:
        """One answer has come, or will not."""
        self.answers[index] = answer
        self.missing -= 1
        if self.missing == 0 and not self.done.done():
            self.done.set_result(self.answers)

    def skip_rest(self, answer: JointAnswer) -> None:
        """Send no more of it: this stands for the other answers. To be followed by a `take`."""
        unsent = len(self.requests) - self.unsent
        self.answers[self.unsent :] = [answer] * unsent
        self.unsent = len(self.requests)
        self.missing -= unsent

    def end(self) -> None:
        """It has taken too long: what is missing stays without answer. Only for one with nothing under way."""
        self.skip_rest(UNSENT)
        if not self.done.done():
            self.done.set_result(self.answers)
