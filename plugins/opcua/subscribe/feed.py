"""What comes next in one session: subscriptions are made, or taken over from the last connection; then answers are taken.

There is no background task. `next` waits for the first of several publish answers under way, and between two answers it
does what has fallen due: renew the channel, try refused nodes again, and climb the ladder when a subscription is silent.
Which tags a subscription takes is decided in `subscriptions.py`, what becomes of its messages in `messages.py`, and what is
done about silence in `silence.py`.
"""

import asyncio
import contextlib
import math
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from itertools import groupby

import structlog
from asyncua import ua
from asyncua.ua.uaerrors import BadNoSubscription, BadTimeout, BadTooManyPublishRequests

from gateway.plugin import Device, LinkError, Readings

from ..remarks import Remarks
from ..requests.services import read, take_over, unsubscribe
from ..session.errors import in_words
from ..session.publishing import PublishAnswer
from ..session.session import OpcUaSession
from ..values.notification import Notification, decode_publish
from .events import EventFeed
from .history import since_last
from .items import Items
from .messages import Chore, Messages
from .quiet import Quiet
from .report import ValueReport
from .silence import STATE, Silence
from .subscription import Left, Subscription
from .subscriptions import Subscriptions

MOST_STRANGERS = 100
"""Subscriptions of before that are ended when they are heard of."""
GOODBYE = 1.0
"""Seconds that the server has to end the subscriptions."""


class Feed:
    """Readings of one device, as the server reports them."""

    def __init__(
        self,
        session: OpcUaSession,
        device: Device,
        alive: Callable[[], None],
        log: structlog.stdlib.BoundLogger,
        events: EventFeed | None = None,
    ) -> None:
        self._session = session
        self._device = device
        self._alive = alive
        self._log = log
        self._broken: LinkError | None = None
        self._chores: deque[Chore] = deque()
        """What goes before the next answer."""
        self._strangers: set[int] = set()
        self._answered = False
        """Whether a publish request was answered with what makes sense."""
        self._useless = False
        """Whether what the last connection left was taken over, and has brought nothing."""
        self._publishing = session.publishing
        self._started = asyncio.get_running_loop().time()
        remark = Remarks(device, log)
        self._quiet = Quiet(session, device)
        self._items = Items(session, device, remark, log, self._quiet)
        self._report = ValueReport(device, session.types, remark, self._quiet)
        self._events = events
        self._messages = Messages(session, device, self._items, self._report, events, log)
        self._subscriptions = Subscriptions(session, device.config, self._items, log)
        self._silence = Silence(session, self._subscriptions, self._items, self._messages, events, log)
        self.steps = self._silence.steps
        """What was done about silence, by kind."""

    @property
    def distrusted(self) -> bool:
        """Whether the session is of no more use: the next connection takes another one."""
        return self._useless or self._silence.hopeless

    async def start(self, left: Left | None = None) -> None:
        """Go on where the last connection ended, as far as the server still can; subscribe the rest."""
        with self._after_what_came():
            await self._start(left)

    @contextlib.contextmanager
    def _after_what_came(self) -> Iterator[None]:
        """A link that breaks does so only after what it has brought is taken."""
        try:
            yield
        except LinkError as error:
            self._messages.hand_on()
            if not self._messages.ready:
                raise
            self._broken = error

    async def _start(self, left: Left | None) -> None:
        if left is not None:
            self._report.latest = left.latest
            if left.half:  # what a broken connection has not finished is not believed
                await unsubscribe(self._session, left.half)
            if left.subscriptions and left.namespaces == self._session.namespaces:
                await self._take_over(left)
            elif left.subscriptions:  # its nodes may be others now
                await unsubscribe(self._session, [subscription.id for subscription in left.subscriptions])
        rows = [row for row in range(len(self._device.tags)) if row not in self._items.home]
        refused: dict[int, int] = {}
        for scan, members in groupby(sorted(rows, key=self._items.scan), self._items.scan):
            refused |= await self._subscriptions.place(scan, list(members))
        self._messages.append(self._items.park(refused))
        if self._events is not None:
            await self._listen(self._events, left)
        if left is not None:
            self._chores.append(self._recover(left, [row for row in rows if row not in refused]))

    async def _listen(self, events: EventFeed, left: Left | None) -> None:
        """Go on with the events' subscription, or make one."""
        for subscription in self._subscriptions.by_id.values():
            if subscription.events:
                events.resume(subscription)
                return
        if (made := await events.listen()) is not None:
            made.whole = True
            self._subscriptions.watch(made)
        if left is not None and any(each.events for each in left.subscriptions):
            events.lost("the server no longer had the subscription after an outage")

    async def _recover(self, left: Left, rows: Sequence[int]) -> Chore:
        """Rows whose subscription was lost: what the server's history holds of the time since. What the new subscription
        reports of it again is left out."""
        nodes = {row: node for row in rows if left.latest[row] and (node := self._items.node(row)) is not None}
        count = 0
        async for readings in since_last(self._session, self._device, nodes, self._report, self._log):
            count += len(readings)
            yield readings
        if count:
            self._log.info("values of the outage were read from the server's history", count=count)

    async def _take_over(self, left: Left) -> None:
        living = await take_over(self._session, [subscription.id for subscription in left.subscriptions])
        self._publishing.acknowledge(*(each for each in left.acknowledgements if each.SubscriptionId in living))
        taken = [subscription for subscription in left.subscriptions if subscription.id in living]
        for subscription in taken:
            rows = {row: left.numbers[row] for row, home in left.home.items() if home is subscription}
            self._subscriptions.by_id[subscription.id] = subscription
            self._items.take_over(subscription, rows)
            self._messages.unconfirmed[subscription.id] = set(rows)
            subscription.deadline = float("inf")
        self._chores += [self._catch_up(subscription) for subscription in taken]
        if len(taken) < len(left.subscriptions):
            self._log.warning("the server no longer had the subscriptions; what it kept meanwhile is lost")

    async def _catch_up(self, subscription: Subscription) -> Chore:
        async for step in self._messages.catch_up(subscription):
            yield step
        self._subscriptions.watch(subscription)

    def left(self, before: Left | None = None) -> Left:
        """What the next connection can take over; `before`, what this one could not yet take."""
        session, items = self._session, self._items
        half = [each.id for each in self._subscriptions.by_id.values() if not each.whole]
        if before is not None:
            made = [each.id for each in self._subscriptions.by_id.values() if each not in before.subscriptions]
            return replace(before, half=[*{*before.half, *half, *made}], tries=before.tries + 1)
        whole = [each for each in self._subscriptions.by_id.values() if each.whole]
        kept = (session.ticket, session.namespaces, whole, items.home, items.numbers, self._report.latest)
        return Left(*kept, self._publishing.unheard(), half)

    async def next(self) -> Readings | None:
        """The next block; None for a mere sign of life. Raises LinkError when the session is of no more use."""
        if not self._messages.ready:
            if self._broken is not None:
                raise self._broken
            with self._after_what_came():
                await self._wait()
        if len(self._messages.ready) > 1:  # others have their turn between two blocks
            await asyncio.sleep(0)
        return self._messages.ready.popleft() if self._messages.ready else None

    async def _wait(self) -> None:
        """Until an answer has come or a duty is done."""
        now = asyncio.get_running_loop().time()
        if now >= self._session.renew_at:
            await self._session.renew()
        if self._chores:
            await self._step(self._chores[0])
            return
        self._publishing.fill()
        if await self._look_after_items(now):
            return
        if self._events is not None and now >= self._events.refresh_at:
            await self._events.refresh()
        if now >= self._subscriptions.ask_at:
            await read(self._session, [(STATE, ua.AttributeIds.Value)])
            self._alive()
            self._subscriptions.asked(now)
        if not self._publishing.answered and (silent := self._subscriptions.silent(now)) is not None:
            if (chore := await self._silence.next_step(silent)) is not None:
                self._chores.append(chore)
            return
        try:
            async with asyncio.timeout_at(min(self._report.until, self._next_duty())):
                answer = await self._publishing.next()
        except TimeoutError:
            self._messages.hand_on()
            return
        if notification := self._decoded(answer):
            await self._take(notification)

    async def _look_after_items(self, now: float) -> bool:
        """What is due of nodes and items. Whether anything was."""
        if now >= self._items.retry_at:
            self._messages.append(await self._items.retry())
            self._report.changed |= self._items.accepted
            self._items.accepted = set()
        elif now >= self._messages.changes.look_at():
            await self._messages.changes.look()
        elif now >= self._quiet.look_at:
            await self._look_after_quiet_tags(now)
        else:
            return False
        return True

    async def _look_after_quiet_tags(self, now: float) -> None:
        read, missed = await self._quiet.look(now)
        self._messages.append(read)
        if missed:
            self.steps["items_made_anew"] += len(missed)
            self._messages.append(await self._items.make_anew(missed))

    async def _step(self, chore: Chore) -> None:
        """One step of what has to be done before the next answer is taken."""
        try:
            self._messages.append(await anext(chore))
            self._alive()
        except StopAsyncIteration:
            self._chores.popleft()

    async def stop(self) -> None:
        """Delete the subscriptions, if the server is still there to hear it."""
        with contextlib.suppress(LinkError, TimeoutError):
            async with asyncio.timeout(GOODBYE):
                await unsubscribe(self._session, list(self._subscriptions.by_id))

    def _next_duty(self) -> float:
        now = asyncio.get_running_loop().time()
        return min(
            self._subscriptions.look_at(),
            self._session.renew_at,
            self._items.retry_at,
            self._quiet.look_at,
            self._messages.changes.look_at(),
            self._events.refresh_at if self._events is not None else math.inf,
            self._publishing.rests_until if self._publishing.rests_until > now else math.inf,
        )

    def _decoded(self, answer: PublishAnswer) -> Notification | None:
        """The answer, unless it only says that a request was not wanted."""
        with in_words("subscription", self._session.certificate):
            try:
                notification = decode_publish(answer.outcome.result())
            except BadTooManyPublishRequests:
                self._publishing.window = max(1, self._publishing.window - 1)
                self._publishing.rest()
            except BadTimeout:
                self._publishing.rest()
            except BadNoSubscription:
                if answer.sent >= self._started:
                    raise
                self._publishing.rest()
            except ua.UaError:
                self._useless |= not self._answered
                raise
            else:
                self._answered = True
                return notification
        return None

    async def _take(self, notification: Notification) -> None:
        subscription = self._subscriptions.by_id.get(notification.subscription)
        if subscription is None:
            await self._pass_over(notification)
            return
        self._alive()
        self._silence.heard(subscription)
        self._chores.append(self._messages.in_order(subscription, notification))
        await self._step(self._chores[0])

    async def _pass_over(self, notification: Notification) -> None:
        """One of a subscription that nobody here knows: a broken connection had asked for it and never heard of it."""
        if notification.subscription not in self._strangers and len(self._strangers) < MOST_STRANGERS:
            self._strangers.add(notification.subscription)
            await unsubscribe(self._session, [notification.subscription])
