"""The subscriptions of one session: created or taken over, kept under watch, and turned into readings.

There is no background task. `next` waits for the first of several publish answers under way, and between two answers it
does what has fallen due: renew the channel, try refused nodes again, and give the session up when the server is silent.
A publish answer is acknowledged only after its readings were taken. A number that is left out among the answers was sent
into the void, as happens when a connection breaks: it is asked for again before what came after it is handed on.
"""

import asyncio
import contextlib
import math
import time
from collections import Counter, deque
from collections.abc import AsyncGenerator, Callable, Iterator, Sequence
from dataclasses import replace
from itertools import groupby

import structlog
from asyncua import ua
from asyncua.ua.uaerrors import BadNoSubscription, BadTimeout, BadTooManyPublishRequests

from gateway.plugin import Device, LinkError, Readings, Tags

from ..config import OpcUaConfig
from ..remarks import Remarks
from ..requests.changes import Changes
from ..requests.reading import ReadPlan
from ..requests.services import read, republish, take_over, unsubscribe
from ..session.errors import TooManyError, in_few_words, in_words
from ..session.publishing import Answer
from ..session.session import Session
from ..values.bulk_decoder import Decoder
from ..values.notification import CutOffError, Notification, decode_publish
from .events import Events
from .history import since_last
from .items import Items
from .making import FULL
from .quiet import Quiet
from .report import Report
from .subscription import SILENT_KEEP_ALIVES, Left, Subscription, subscribe

Chore = AsyncGenerator[Readings | None, None]
"""Something that takes several requests, step by step, each of which may bring readings."""

MOST_MISSING = 1000
"""Messages that are asked for once more, one after the other."""
MOST_STRANGERS = 100
"""Subscriptions of before that are ended when they are heard of."""
LEAST_PAUSE = 0.5
"""Seconds between two signs of life to a server that forgets sessions soon."""
ITEMS_EACH = 10_000
"""Items of one subscription, where the server has more of them: node-opcua takes half as long for 100,000 in tens."""
SPARE_REQUESTS = 2
"""Publish requests under way beyond one for each subscription, so that the server never has to wait for one."""
GOODBYE = 1.0
"""Seconds that the server has to end the subscriptions."""
STOOD_STILL = 0.5
"""Seconds by which the gateway comes late to the end of a silence when it stood still itself: what the server sent meanwhile
has yet to be read, so it has one more keep-alive."""
ASK_AFTER = 10.0
"""Seconds of silence, on a server that says more seldom that it lives, after which it is asked."""
_STATE = ua.NodeId(ua.ObjectIds.Server_ServerStatus_State)


class Feed:
    """Readings of one device, as the server reports them."""

    def __init__(
        self,
        session: Session,
        device: Device,
        alive: Callable[[], None],
        log: structlog.stdlib.BoundLogger,
        events: Events | None = None,
    ) -> None:
        self._session = session
        self._device = device
        self._config: OpcUaConfig = device.config
        self._alive = alive
        self._log = log
        self._decoder = Decoder(session.types)
        self._ready: deque[Readings] = deque()
        self._broken: LinkError | None = None
        self._subscriptions: dict[int, Subscription] = {}
        self._unconfirmed: dict[int, set[int]] = {}
        """Subscription taken over → rows whose last value nothing has confirmed since."""
        self._ask_at = float("inf")
        self._ask_after = ASK_AFTER
        self._chores: deque[Chore] = deque()
        """What goes before the next answer."""
        self._strangers: set[int] = set()
        self._distrusted: set[int] = set()
        """Subscriptions made in place of silent ones, which have not said anything yet."""
        self._asked_again: set[int] = set()
        """Those whose last message was asked for once more, and that have not said anything since."""
        self._answered = False
        """Whether a publish request was answered with what makes sense."""
        self.distrusted = False
        """Whether the session is of no more use: the next connection takes another one."""
        self.steps: Counter[str] = Counter()
        """What was done about silence, by kind."""
        self._publishing = session.publishing
        self._started = asyncio.get_running_loop().time()
        remark = Remarks(device, log)
        self._quiet = Quiet(session, device)
        self._items = Items(session, device, remark, log, self._quiet)
        self._report = Report(device, session.types, remark, self._quiet)
        self._changes = Changes(session, device, self._report.changed)
        self._events = events

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
            self._hand_on()
            if not self._ready:
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
            refused |= await self._subscribe(scan, list(members))
        self._append(self._items.park(refused))
        if self._events is not None:
            await self._listen(self._events, left)
        if left is not None:
            self._chores.append(self._recover(left, [row for row in rows if row not in refused]))

    async def _subscribe(self, scan: float, rows: list[int]) -> dict[int, int]:
        """Have these rows reported, in as many subscriptions as it takes. Returns row → status code of those that the server
        refuses."""
        refused: dict[int, int] = {}
        subscription, made, most = self._items.latest(scan), 0, float(ITEMS_EACH)
        while rows:
            if subscription is None:
                try:
                    subscription = await subscribe(self._session, self._config, scan, self._log)
                except TooManyError as error:
                    if not self._subscriptions:
                        raise
                    subscription = self._items.latest(scan)
                    if subscription is None or most == math.inf:
                        self._log.warning("the server has no more subscriptions", reason=str(error))
                        return refused | dict.fromkeys(rows, FULL)
                    made, most = 0, math.inf  # then the last one takes what the server lets it
                    continue
                self._watch(subscription)
                made += 1
            room = int(min(len(rows), max(0, most - self._items.count(subscription))))
            told = await self._items.create(subscription, rows[:room]) if room else {}
            subscription.whole = True
            full = [*(row for row, code in told.items() if code == FULL), *rows[room:]]
            refused |= {row: code for row, code in told.items() if code != FULL}
            if made and len(full) == len(rows):  # no room anywhere
                if made > 1:
                    await self._end(subscription)
                return refused | dict.fromkeys(full, FULL)
            rows, subscription = full, None
        return refused

    async def _end(self, subscription: Subscription) -> None:
        del self._subscriptions[subscription.id]
        self._publishing.window = len(self._subscriptions) + SPARE_REQUESTS
        await unsubscribe(self._session, [subscription.id])

    async def _listen(self, events: Events, left: Left | None) -> None:
        """Go on with the events' subscription, or make one."""
        for subscription in self._subscriptions.values():
            if subscription.events:
                events.resume(subscription)
                return
        if (made := await events.listen()) is not None:
            made.whole = True
            self._watch(made)
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

    def _watch(self, subscription: Subscription) -> None:
        now = asyncio.get_running_loop().time()
        subscription.deadline = now + subscription.silence
        self._ask_after = min(self._ask_after, max(LEAST_PAUSE, self._session.granted / 3))
        if subscription.silence > SILENT_KEEP_ALIVES * self._ask_after:
            self._ask_at = now + self._ask_after
        self._subscriptions[subscription.id] = subscription
        self._publishing.window = len(self._subscriptions) + SPARE_REQUESTS
        self._publishing.fill()

    async def _take_over(self, left: Left) -> None:
        living = await take_over(self._session, [subscription.id for subscription in left.subscriptions])
        self._publishing.acknowledge(*(each for each in left.acknowledgements if each.SubscriptionId in living))
        taken = [subscription for subscription in left.subscriptions if subscription.id in living]
        for subscription in taken:
            rows = {row: left.numbers[row] for row, home in left.home.items() if home is subscription}
            self._subscriptions[subscription.id] = subscription
            self._items.take_over(subscription, rows)
            self._unconfirmed[subscription.id] = set(rows)
            subscription.deadline = float("inf")
        self._chores += [self._catch_up(subscription) for subscription in taken]
        if len(taken) < len(left.subscriptions):
            self._log.warning("the server no longer had the subscriptions; what it kept meanwhile is lost")

    async def _catch_up(self, subscription: Subscription) -> Chore:
        """What was sent into the void, before anything else of a subscription that is taken over."""
        for _ in range(MOST_MISSING):
            if (message := await self._fetch(subscription)) is None:
                break
            async for step in self._keep(subscription, message):
                yield step
            yield None
        self._watch(subscription)

    def left(self, before: Left | None = None) -> Left:
        """What the next connection can take over; `before`, what this one could not yet take."""
        session, items = self._session, self._items
        half = [each.id for each in self._subscriptions.values() if not each.whole]
        if before is not None:
            made = [each.id for each in self._subscriptions.values() if each not in before.subscriptions]
            return replace(before, half=[*{*before.half, *half, *made}], tries=before.tries + 1)
        whole = [each for each in self._subscriptions.values() if each.whole]
        kept = (session.ticket, session.namespaces, whole, items.home, items.numbers, self._report.latest)
        return Left(*kept, self._publishing.unheard(), half)

    async def next(self) -> Readings | None:
        """The next block; None for a mere sign of life. Raises LinkError when the session is of no more use."""
        if not self._ready:
            if self._broken is not None:
                raise self._broken
            with self._after_what_came():
                await self._wait()
        if len(self._ready) > 1:  # others have their turn between two blocks
            await asyncio.sleep(0)
        return self._ready.popleft() if self._ready else None

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
        if now >= self._ask_at:
            await read(self._session, [(_STATE, ua.AttributeIds.Value)])
            self._alive()
            self._ask_at = now + self._ask_after
        if not self._publishing.answered and (silent := self._silent(now)) is not None:
            await self._break_silence(silent)
            return
        try:
            async with asyncio.timeout_at(min(self._report.until, self._next_duty())):
                answer = await self._publishing.next()
        except TimeoutError:
            self._hand_on()
            return
        if notification := self._decoded(answer):
            await self._take(notification)

    async def _look_after_items(self, now: float) -> bool:
        """What is due of nodes and items. Whether anything was."""
        if now >= self._items.retry_at:
            self._append(await self._items.retry())
            self._report.changed |= self._items.accepted
            self._items.accepted = set()
        elif now >= self._changes.look_at():
            await self._changes.look()
        elif now >= self._quiet.look_at:
            await self._look_after_quiet_tags(now)
        else:
            return False
        return True

    async def _look_after_quiet_tags(self, now: float) -> None:
        read, missed = await self._quiet.look(now)
        self._append(read)
        if missed:
            self.steps["items_made_anew"] += len(missed)
            self._append(await self._items.make_anew(missed))

    async def _step(self, chore: Chore) -> None:
        """One step of what has to be done before the next answer is taken."""
        try:
            self._append(await anext(chore))
            self._alive()
        except StopAsyncIteration:
            self._chores.popleft()

    async def stop(self) -> None:
        """Delete the subscriptions, if the server is still there to hear it."""
        with contextlib.suppress(LinkError, TimeoutError):
            async with asyncio.timeout(GOODBYE):
                await unsubscribe(self._session, list(self._subscriptions))

    def _next_duty(self) -> float:
        deadlines = [subscription.deadline for subscription in self._subscriptions.values()]
        deadlines += [self._events.refresh_at] if self._events is not None else []
        if self._publishing.rests_until > asyncio.get_running_loop().time():
            deadlines.append(self._publishing.rests_until)
        return min(
            *deadlines,
            self._session.renew_at,
            self._items.retry_at,
            self._quiet.look_at,
            self._changes.look_at(),
            self._ask_at,
        )

    def _silent(self, now: float) -> Subscription | None:
        """One that has been silent for too long. Where the gateway itself comes late, it has one more chance."""
        for subscription in self._subscriptions.values():
            if now >= subscription.deadline + STOOD_STILL:
                subscription.deadline = now + subscription.silence / SILENT_KEEP_ALIVES
            elif now >= subscription.deadline:
                return subscription
        return None

    async def _break_silence(self, subscription: Subscription) -> None:
        """The ladder: a server that still answers is asked for what it sent last, then for another subscription; after that,
        or if it does not answer, the connection is given up, and after another subscription the session too."""
        silence = f"{subscription.silence:.1f} s, {SILENT_KEEP_ALIVES} keep-alives"
        told = f"connected, but the server has sent nothing for {silence}"
        if subscription.id in self._distrusted:
            self.distrusted = True
            self.steps["sessions_given_up"] += 1
            raise LinkError(f"{told}, though it answers and made another subscription: taking a new session")
        try:
            async with asyncio.timeout(max(LEAST_PAUSE, subscription.silence / SILENT_KEEP_ALIVES)):
                await read(self._session, [(_STATE, ua.AttributeIds.Value)])
                message = None
                if subscription.id not in self._asked_again:
                    message = await self._fetch(subscription)
        except TimeoutError as error:
            self.steps["silent_connections"] += 1
            raise LinkError(told) from error
        if message is not None:
            self.steps["republished"] += 1
            self._log.warning("the server had a message that did not come, and sent it when asked", silence=silence)
            subscription.deadline = asyncio.get_running_loop().time() + subscription.silence
            self._asked_again.add(subscription.id)
            self._chores.append(self._late(subscription, message))
        else:
            self.steps["resubscribed"] += 1
            self._log.warning(
                "a subscription has fallen silent though the server answers: making another", silence=silence
            )
            await self._replace(subscription)

    async def _late(self, subscription: Subscription, message: Notification) -> Chore:
        """What comes so late says how things were: how they are is read, and only that is good."""
        async for step in self._keep(subscription, message):
            yield step
        self._hand_on()
        yield await self._confirmed({row for row, home in self._items.home.items() if home is subscription})

    async def _replace(self, subscription: Subscription) -> None:
        """Another subscription in place of one that says nothing."""
        await self._end(subscription)
        before = {*self._subscriptions}
        if subscription.events and self._events is not None:
            if (made := await self._events.listen()) is not None:
                made.whole = True
                self._watch(made)
            self._events.lost("their subscription had fallen silent")
        else:
            rows = self._items.release(subscription)
            self._append(self._items.park(await self._subscribe(subscription.scan, rows)))
        self._distrusted |= self._subscriptions.keys() - before

    def _decoded(self, answer: Answer) -> Notification | None:
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
                self.distrusted |= not self._answered  # what it left was taken over, and it has brought nothing since
                raise
            else:
                self._answered = True
                return notification
        return None

    async def _take(self, notification: Notification) -> None:
        subscription = self._subscriptions.get(notification.subscription)
        if subscription is None:
            await self._pass_over(notification)
            return
        self._alive()
        self._distrusted.discard(subscription.id)
        self._asked_again.discard(subscription.id)
        subscription.deadline = asyncio.get_running_loop().time() + subscription.silence
        self._chores.append(self._take_in_order(subscription, notification))
        await self._step(self._chores[0])

    async def _pass_over(self, notification: Notification) -> None:
        """One of a subscription that nobody here knows: a broken connection had asked for it and never heard of it."""
        if notification.subscription not in self._strangers and len(self._strangers) < MOST_STRANGERS:
            self._strangers.add(notification.subscription)
            await unsubscribe(self._session, [notification.subscription])

    async def _take_in_order(self, subscription: Subscription, notification: Notification) -> Chore:
        """What was sent before a message and has not come, and then that one."""
        for _ in range(MOST_MISSING):
            if not subscription.missing(notification.sequence):
                break
            if (message := await self._fetch(subscription)) is None:
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
        if subscription.id in self._unconfirmed and not notification.more:
            yield await self._confirmed(self._unconfirmed.pop(subscription.id))

    async def _fetch(self, subscription: Subscription) -> Notification | None:
        """Ask once more for the message whose turn it is. None if the server has none of that number."""
        return await republish(self._session, subscription.id, subscription.sequence)

    async def _keep(self, subscription: Subscription, notification: Notification) -> Chore:
        """Take over what a message holds; a step ends when there is so much that it is handed on."""
        if notification.ended is not None:
            raise LinkError(f"the server has ended the subscription ({in_few_words(notification.ended)})")
        unsure: set[int] = set()
        with in_words("subscription", self._session.certificate):
            try:
                async for _ in self._take_values(subscription, notification):
                    yield None
            except CutOffError as error:
                unsure = {row for row, home in self._items.home.items() if home is subscription} - {error.handle}
                self._append(await self._items.drop(error.handle, str(error), error.raw))
            if self._events is not None:
                await self._events.take(notification)
                self._heed_hints(self._events)
        subscription.passed(notification.sequence)
        self._report.messages.append(notification.acknowledgement)
        if not notification.more or self._report.full or unsure:
            self._hand_on()
        if unsure:
            yield await self._confirmed(unsure)

    def _heed_hints(self, events: Events) -> None:
        """The server says that nodes have changed: what it refused may be there now, and what it described be otherwise."""
        if events.changed is not None:
            self._items.retry_soon()
            self._changes.hint(events.changed)
            events.changed = None

    async def _take_values(self, subscription: Subscription, notification: Notification) -> Chore:
        """In portions: others have their turn between them."""
        loop = asyncio.get_running_loop()
        later = False
        for handles, block in notification.values(self._decoder, time.time_ns()):
            if later:
                await asyncio.sleep(0)
            later = True
            if subscription.id in self._unconfirmed:
                self._unconfirmed[subscription.id].difference_update(handles.tolist())
            self._report.add(handles, block, loop.time())
            if self._report.full:
                self._hand_on()
                yield None

    def _hand_on(self) -> None:
        """What has come of the report is ready to be taken, after which its messages are acknowledged."""
        self._publishing.acknowledge(*self._report.messages)
        self._ready += self._report.take()

    def _append(self, readings: Readings | None) -> None:
        if readings is not None and len(readings):
            self._ready.append(readings)

    async def _confirmed(self, rows: set[int]) -> Readings | None:
        """Values that did not change while the link was down are not reported again: read, so that they are fresh."""
        if not rows:
            return None
        tags = Tags(self._device.name, [self._device.tags[row] for row in sorted(rows)])
        return await ReadPlan(self._session, self._device, tags).read()
