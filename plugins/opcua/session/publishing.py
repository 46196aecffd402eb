"""Publish requests: a few are always under way, so that the server can answer whenever it has something."""

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

from asyncua import ua

MOST_A_SECOND = 500
"""Publish requests in one second: a server that answers each at once does not get more."""
LARGE = 1024 * 1024
"""Bytes of an answer beside which no others are to come."""
REST = 1.0
"""Seconds until the next request to a server that has refused one."""

Acknowledgements = list[ua.SubscriptionAcknowledgement]
Send = Callable[[Sequence[ua.SubscriptionAcknowledgement]], Awaitable[Any]]


@dataclass(frozen=True, slots=True)
class PublishAnswer:
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
        self._under_way: dict[asyncio.Future[Any], Acknowledgements] = {}
        self._doubted: set[asyncio.Future[Any]] = set()
        """Those under way that may never be answered."""
        self._answers: asyncio.Queue[PublishAnswer] = asyncio.Queue()
        self._acknowledgements: Acknowledgements = []
        self._sent: deque[float] = deque(maxlen=MOST_A_SECOND)
        self._large = False
        """Whether the last answer was so large that one at a time is enough."""
        self.rests_until = 0.0
        """Loop time until which no request is sent."""

    def rest(self) -> None:
        """The server has refused a request: it gets the next one later."""
        self.rests_until = asyncio.get_running_loop().time() + REST

    def acknowledge(self, *messages: ua.SubscriptionAcknowledgement) -> None:
        """Let the server forget messages; it hears of it with the next request."""
        self._acknowledgements += messages

    def unheard(self) -> Acknowledgements:
        """What the server may not have heard yet."""
        return [each for sent in self._under_way.values() for each in sent] + self._acknowledgements

    def doubt(self) -> None:
        """Those under way may never be answered, as where a server has lost them: it gets as many others, for it can say
        nothing without one."""
        self._doubted = {*self._under_way}

    def fill(self) -> None:
        """Send requests until as many as wished are under way."""
        now = asyncio.get_running_loop().time()
        window = 1 if self._large else self.window
        while len(self._under_way) - len(self._doubted) < window and now >= self.rests_until:
            if len(self._sent) == MOST_A_SECOND and now - self._sent[0] < 1.0:
                self.rests_until = self._sent[0] + 1.0
                return
            self._sent.append(now)
            acknowledgements, self._acknowledgements = self._acknowledgements, []
            request = asyncio.ensure_future(self._send(acknowledgements))
            self._under_way[request] = acknowledgements
            sent = asyncio.get_running_loop().time()
            request.add_done_callback(partial(self._arrived, sent))

    def _arrived(self, sent: float, outcome: asyncio.Future[Any]) -> None:
        acknowledgements = self._under_way.pop(outcome)
        doubted = outcome in self._doubted
        self._doubted.discard(outcome)
        if outcome.cancelled():
            return
        if outcome.exception() is None:
            self._large = len(outcome.result()) > LARGE
        else:
            self._acknowledgements = acknowledgements + self._acknowledgements
            if doubted:  # there were too many; what is wrong beside that is said of the others too
                return
        self._answers.put_nowait(PublishAnswer(sent, outcome))

    @property
    def answered(self) -> bool:
        """Whether an answer is waiting to be taken."""
        return not self._answers.empty()

    async def next(self) -> PublishAnswer:
        """The next answer."""
        return await self._answers.get()

    def stop(self) -> None:
        """Forget the requests under way."""
        for request in list(self._under_way):
            request.cancel()
