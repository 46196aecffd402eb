"""The messages of subscriptions, each in its turn: one that is left out was sent into the void, and is asked for again before
what came after it is handed on. What was taken of them is acknowledged once it is handed on."""

import asyncio
import time
from collections import deque
from collections.abc import AsyncGenerator

import structlog

from gateway.plugin import Device, LinkError, Readings, Tags

from ..requests.changes import NodeChanges
from ..requests.reading import ReadPlan
from ..requests.services import republish
from ..session.errors import in_few_words, in_words
from ..session.session import OpcUaSession
from ..values.bulk_decoder import Decoder
from ..values.notification import EndUnknownError, Notification
from .events import EventFeed
from .items import Items
from .report import ValueReport
from .subscription import Subscription

Chore = AsyncGenerator[Readings | None, None]
"""Something that takes several requests, step by step, each of which may bring readings."""

MOST_MISSING = 1000
"""Messages that are asked for once more, one after the other."""


class Messages:
    """Turns the messages of one session into readings."""

    def __init__(
        self,
        session: OpcUaSession,
        device: Device,
        items: Items,
        report: ValueReport,
        events: EventFeed | None,
        log: structlog.stdlib.BoundLogger,
    ) -> None:
        self._session = session
        self._device = device
        self._items = items
        self._report = report
        self._events = events
        self._log = log
        self._decoder = Decoder(session.types)
        self.changes = NodeChanges(session, device, report.changed)
        self.ready: deque[Readings] = deque()
        """What can be handed to the gateway."""
        self.unconfirmed: dict[int, set[int]] = {}
        """Subscription taken over → rows whose last value nothing has confirmed since."""

    def append(self, readings: Readings | None) -> None:
        """These are ready too."""
        if readings is not None and len(readings):
            self.ready.append(readings)

    def hand_on(self) -> None:
        """What has come of the report is ready to be taken, after which its messages are acknowledged."""
        self._session.publishing.acknowledge(*self._report.messages)
        self.ready += self._report.take()

    async def fetch(self, subscription: Subscription) -> Notification | None:
        """Ask once more for the message whose turn it is. None if the server has none of that number."""
        return await republish(self._session, subscription.id, subscription.sequence)

    async def in_order(self, subscription: Subscription, notification: Notification) -> Chore:
        """What was sent before a message and has not come, and then that one."""
        for _ in range(MOST_MISSING):
            if not subscription.missing(notification.sequence):
                break
            if (message := await self.fetch(subscription)) is None:
                break
            async for step in self._keep(subscription, message):
                yield step
            yield None
        if count := subscription.missing(notification.sequence):
            self._log.warning("notifications of the server are missing", count=count)
            subscription.sequence = notification.sequence
            if subscription.events and self._events is not None:
                self._events.lost("notifications of the server are missing")
        if not notification.keep_alive:
            async for step in self._keep(subscription, notification):
                yield step
        if subscription.id in self.unconfirmed and not notification.more:
            yield await self._confirmed(self.unconfirmed.pop(subscription.id))

    async def catch_up(self, subscription: Subscription) -> Chore:
        """What was sent into the void, before anything else of a subscription that is taken over."""
        for _ in range(MOST_MISSING):
            if (message := await self.fetch(subscription)) is None:
                break
            async for step in self._keep(subscription, message):
                yield step
            yield None

    async def late(self, subscription: Subscription, message: Notification) -> Chore:
        """What comes so late says how things were: how they are is read, and only that is good."""
        async for step in self._keep(subscription, message):
            yield step
        self.hand_on()
        yield await self._confirmed({row for row, home in self._items.home.items() if home is subscription})

    async def _keep(self, subscription: Subscription, notification: Notification) -> Chore:
        """Take over what a message holds; a step ends when there is so much that it is handed on."""
        if notification.ended is not None:
            raise LinkError(f"the server has ended the subscription ({in_few_words(notification.ended)})")
        unsure: set[int] = set()
        with in_words("subscription", self._session.certificate):
            try:
                async for _ in self._take_values(subscription, notification):
                    yield None
            except EndUnknownError as error:
                unsure = {row for row, home in self._items.home.items() if home is subscription} - {error.handle}
                self.append(await self._items.drop(error.handle, str(error), error.raw))
            if self._events is not None:
                await self._events.take(notification)
                self._heed_hints(self._events)
        subscription.passed(notification.sequence)
        self._report.messages.append(notification.acknowledgement)
        if not notification.more or self._report.full or unsure:
            self.hand_on()
        if unsure:
            yield await self._confirmed(unsure)

    def _heed_hints(self, events: EventFeed) -> None:
        """The server says that nodes have changed: what it refused may be there now, and what it described be otherwise."""
        if events.changed is not None:
            self._items.retry_soon()
            self.changes.hint(events.changed)
            events.changed = None

    async def _take_values(self, subscription: Subscription, notification: Notification) -> Chore:
        """In portions: others have their turn between them."""
        loop = asyncio.get_running_loop()
        later = False
        for handles, block in notification.values(self._decoder, time.time_ns()):
            if later:
                await asyncio.sleep(0)
            later = True
            if subscription.id in self.unconfirmed:
                self.unconfirmed[subscription.id].difference_update(handles.tolist())
            self._report.add(handles, block, loop.time())
            if self._report.full:
                self.hand_on()
                yield None

    async def _confirmed(self, rows: set[int]) -> Readings | None:
        """Values that did not change while the link was down are not reported again: read, so that they are fresh."""
        if not rows:
            return None
        tags = Tags(self._device.name, [self._device.tags[row] for row in sorted(rows)])
        return await ReadPlan(self._session, self._device, tags).read()
