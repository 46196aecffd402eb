"""Publish requests: a few are always under way, so that the server can answer whenever it has something."""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

from asyncua import ua

Send = Callable[[Sequence[ua.SubscriptionAcknowledgement]], Awaitable[Any]]


@dataclass(frozen=True, slots=True)
class Answer:
    """What became of one publish request."""

    sent: float
    """Loop time at which the request was sent."""
    outcome: asyncio.Future[Any]
    """Done; `result()` gives the answer's bytes or raises."""


class Publishing:
    """The publish requests of one session. Answers come in the order in which they arrive."""

    def __init__(self, send: Send) -> None:
        self.window = 0
        """Requests to be kept under way."""
        self._send = send
        self._under_way: set[asyncio.Future[Any]] = set()
        self._answers: asyncio.Queue[Answer] = asyncio.Queue()
        self._acknowledgements: list[ua.SubscriptionAcknowledgement] = []

    def acknowledge(self, subscription: int, sequence: int) -> None:
        """Let the server forget a notification; it hears of it with the next request."""
        self._acknowledgements.append(ua.SubscriptionAcknowledgement(subscription, sequence))

    def fill(self) -> None:
        """Send requests until as many as wished are under way."""
        while len(self._under_way) < self.window:
            acknowledgements, self._acknowledgements = self._acknowledgements, []
            request = asyncio.ensure_future(self._send(acknowledgements))
            self._under_way.add(request)
            sent = asyncio.get_running_loop().time()
            request.add_done_callback(partial(self._arrived, sent))

    def _arrived(self, sent: float, outcome: asyncio.Future[Any]) -> None:
        self._under_way.discard(outcome)
        if not outcome.cancelled():
            outcome.exception()  # whoever does not come for it any more has left on purpose
            self._answers.put_nowait(Answer(sent, outcome))

    @property
    def answered(self) -> bool:
        """Whether an answer is waiting to be taken."""
        return not self._answers.empty()

    async def next(self) -> Answer:
        """The next answer."""
        return await self._answers.get()

    def stop(self) -> None:
        """Forget the requests under way."""
        for request in self._under_way:
            request.cancel()
