"""Which subscription takes which tags, and until when each of them must have said something."""

import asyncio
import math

import structlog

from ..config import OpcUaConfig
from ..requests.services import unsubscribe
from ..session.errors import TooManyError
from ..session.session import OpcUaSession
from .items import Items
from .making import FULL
from .subscription import SILENT_KEEP_ALIVES, Subscription, subscribe

ITEMS_EACH = 10_000
"""Items of one subscription, where the server has more of them: node-opcua takes half as long for 100,000 in tens."""
SPARE_REQUESTS = 2
"""Publish requests under way beyond one for each subscription, so that the server never has to wait for one."""
LEAST_PAUSE = 0.5
"""Seconds between two signs of life to a server that forgets sessions soon."""
STOOD_STILL = 0.5
"""Seconds by which the gateway comes late to the end of a silence when it stood still itself: what the server sent meanwhile
has yet to be read, so it has one more keep-alive."""
ASK_AFTER = 10.0
"""Seconds of silence, on a server that says more seldom that it lives, after which it is asked."""


class Subscriptions:
    """Those of one session that are alive."""

    def __init__(
        self, session: OpcUaSession, config: OpcUaConfig, items: Items, log: structlog.stdlib.BoundLogger
    ) -> None:
        self._session = session
        self._config = config
        self._items = items
        self._log = log
        self.by_id: dict[int, Subscription] = {}
        self._ask_after = ASK_AFTER
        self.ask_at = float("inf")
        """Loop time at which a server that says so seldom that it lives is to be asked."""

    def watch(self, subscription: Subscription) -> None:
        """It is alive: answers are asked for, and its silence counts from now on."""
        now = asyncio.get_running_loop().time()
        subscription.deadline = now + subscription.silence
        self._ask_after = min(self._ask_after, max(LEAST_PAUSE, self._session.granted / 3))
        if subscription.silence > SILENT_KEEP_ALIVES * self._ask_after:
            self.ask_at = now + self._ask_after
        self.by_id[subscription.id] = subscription
        self._session.publishing.window = len(self.by_id) + SPARE_REQUESTS
        self._session.publishing.fill()

    def asked(self, now: float) -> None:
        """The server has answered a question."""
        self.ask_at = now + self._ask_after

    async def place(self, scan: float, rows: list[int]) -> dict[int, int]:
        """Have these rows reported, in as many subscriptions as it takes. Returns row → status code of those that the server
        refuses."""
        refused: dict[int, int] = {}
        subscription, made, most = self._items.latest(scan), 0, float(ITEMS_EACH)
        while rows:
            if subscription is None:
                try:
                    subscription = await subscribe(self._session, self._config, scan, self._log)
                except TooManyError as error:
                    if not self.by_id:
                        raise
                    subscription = self._items.latest(scan)
                    if subscription is None or most == math.inf:
                        self._log.warning("the server has no more subscriptions", reason=str(error))
                        return refused | dict.fromkeys(rows, FULL)
                    made, most = 0, math.inf  # then the last one takes what the server lets it
                    continue
                self.watch(subscription)
                made += 1
            room = int(min(len(rows), max(0, most - self._items.count(subscription))))
            told = await self._items.create(subscription, rows[:room]) if room else {}
            subscription.whole = True
            full = [*(row for row, code in told.items() if code == FULL), *rows[room:]]
            refused |= {row: code for row, code in told.items() if code != FULL}
            if made and len(full) == len(rows):  # no room anywhere
                if made > 1:
                    await self.end(subscription)
                return refused | dict.fromkeys(full, FULL)
            rows, subscription = full, None
        return refused

    async def end(self, subscription: Subscription) -> None:
        """Delete it on the server."""
        del self.by_id[subscription.id]
        self._session.publishing.window = len(self.by_id) + SPARE_REQUESTS
        await unsubscribe(self._session, [subscription.id])

    def silent(self, now: float) -> Subscription | None:
        """One that has been silent for too long. Where the gateway itself comes late, it has one more chance."""
        for subscription in self.by_id.values():
            if now >= subscription.deadline + STOOD_STILL:
                subscription.deadline = now + subscription.silence / SILENT_KEEP_ALIVES
            elif now >= subscription.deadline:
                return subscription
        return None

    def look_at(self) -> float:
        """Loop time at which one of them will have been silent for too long, or the server is to be asked."""
        return min(self.ask_at, *(subscription.deadline for subscription in self.by_id.values()), float("inf"))
