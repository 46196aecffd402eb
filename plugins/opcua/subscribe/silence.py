"""The ladder for a subscription that has fallen silent: its last message is asked for once more, another subscription is
made, and at last the connection is given up, with the session or without."""

import asyncio
from collections import Counter

import structlog
from asyncua import ua

from gateway.plugin import LinkError

from ..requests.services import read
from ..session.session import OpcUaSession
from .events import EventFeed
from .items import Items
from .messages import Chore, Messages
from .subscription import SILENT_KEEP_ALIVES, Subscription
from .subscriptions import LEAST_PAUSE, Subscriptions

STATE = ua.NodeId(ua.ObjectIds.Server_ServerStatus_State)
"""What a server is asked for to see whether it answers."""


class Silence:
    """What was tried with each subscription, and what comes next."""

    def __init__(
        self,
        session: OpcUaSession,
        subscriptions: Subscriptions,
        items: Items,
        messages: Messages,
        events: EventFeed | None,
        log: structlog.stdlib.BoundLogger,
    ) -> None:
        self._session = session
        self._subscriptions = subscriptions
        self._items = items
        self._messages = messages
        self._events = events
        self._log = log
        self._distrusted: set[int] = set()
        """Subscriptions made in place of silent ones, which have not said anything yet."""
        self._asked_again: set[int] = set()
        """Those whose last message was asked for once more, and that have not said anything since."""
        self.hopeless = False
        """Whether the session is of no more use: it lets subscriptions be made, and none says anything."""
        self.steps: Counter[str] = Counter()
        """What was done, by kind."""

    def heard(self, subscription: Subscription) -> None:
        """It has said something."""
        self._distrusted.discard(subscription.id)
        self._asked_again.discard(subscription.id)
        subscription.deadline = asyncio.get_running_loop().time() + subscription.silence

    async def next_step(self, subscription: Subscription) -> Chore | None:
        """Take it. What is to be done before the next answer is taken. Raises LinkError where nothing is left to be
        tried: a server that still answers is asked for what it sent last, then for another subscription; after that,
        or if it does not answer, the connection is given up, and after another subscription the session too."""
        silence = f"{subscription.silence:.1f} s, {SILENT_KEEP_ALIVES} keep-alives"
        told = f"connected, but the server has sent nothing for {silence}"
        if subscription.id in self._distrusted:
            self.hopeless = True
            self.steps["sessions_given_up"] += 1
            raise LinkError(f"{told}, though it answers and made another subscription: taking a new session")
        self._session.publishing.doubt()
        try:
            async with asyncio.timeout(max(LEAST_PAUSE, subscription.silence / SILENT_KEEP_ALIVES)):
                await read(self._session, [(STATE, ua.AttributeIds.Value)])
                message = None
                if subscription.id not in self._asked_again:
                    message = await self._messages.fetch(subscription)
        except TimeoutError as error:
            self.steps["silent_connections"] += 1
            raise LinkError(told) from error
        if message is not None:
            self.steps["republished"] += 1
            self._log.warning("the server had a message that did not come, and sent it when asked", silence=silence)
            subscription.deadline = asyncio.get_running_loop().time() + subscription.silence
            self._asked_again.add(subscription.id)
            return self._messages.late(subscription, message)
        self.steps["resubscribed"] += 1
        self._log.warning("a subscription has fallen silent though the server answers: making another", silence=silence)
        await self._replace(subscription)
        return None

    async def _replace(self, subscription: Subscription) -> None:
        """Another subscription in place of one that says nothing."""
        await self._subscriptions.end(subscription)
        before = {*self._subscriptions.by_id}
        if subscription.events and self._events is not None:
            if (made := await self._events.listen()) is not None:
                made.whole = True
                self._subscriptions.watch(made)
            self._events.lost("their subscription had fallen silent")
        else:
            rows = self._items.release(subscription)
            self._messages.append(self._items.park(await self._subscriptions.place(subscription.scan, rows)))
        self._distrusted |= self._subscriptions.by_id.keys() - before
