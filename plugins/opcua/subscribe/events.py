"""Events of a server: one subscription for the notifiers of a device, and how its conditions stand.

The subscription is kept, taken over and asked for what got lost as those of values are (`feed.py`). Conditions outlive it:
after each connect the server is asked to state once more all that it retains, between two marks, so that those which ended
meanwhile are known too (ConditionRefresh, OPC 10000-9 §5.5.7).
"""

import asyncio
import time
from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from uuid import uuid4

import numpy as np
import structlog
from asyncua import ua

from gateway.plugin import Condition, DeviceEvent, Retained, Told, quality

from ..address import parse_place
from ..config import OpcUaConfig
from ..requests.event_fields import (
    CHANGES,
    OVERFLOW,
    REFRESH_END,
    REFRESH_REQUIRED,
    REFRESH_START,
    EventFields,
    as_event,
    event_filter,
    fields_of,
    is_branch,
    node_of,
)
from ..requests.services import call, unsubscribe
from ..session.errors import in_few_words, in_words, name_of
from ..session.session import OpcUaSession
from ..values.notification import Notification
from .making import Wishes, make
from .subscription import Subscription, say_revised, subscribe

SERVER = "i=2253"
"""The server's own object, which has the events of all."""
REMEMBERED = 1000
"""Ids of events without condition that are known as told: of two notifiers one may tell what the other told."""
MOST_CONDITIONS = 2000
"""Conditions of one device that are followed."""
BETWEEN = 2.0
"""Seconds between two questions how the conditions stand, however often the server wants to be asked."""
ASK_AGAIN, LAST_ASK = 10.0, 300.0
"""Seconds after which a server that was busy, or whose answer did not fit into its queue, is asked once more; doubling."""
BETWEEN_LINES = 10.0
"""Seconds between two lines of the log that events are lost; each loss is told as an event."""
_REFRESH = ua.NodeId(ua.ObjectIds.ConditionType), ua.NodeId(ua.ObjectIds.ConditionType_ConditionRefresh)
_NO_CONDITIONS = {"BadMethodInvalid", "BadNodeIdUnknown", "BadNodeIdInvalid", "BadNotImplemented", "BadServiceUnsupported",
                  "BadNothingToDo", "BadNotSupported"}  # fmt: skip
_NOT_FOR_US = {*_NO_CONDITIONS, "BadUserAccessDenied"}
"""Answers to the request as a whole that leave the session as it is."""


class EventFeed:
    """What one device tells beside values."""

    def __init__(
        self,
        session: OpcUaSession,
        config: OpcUaConfig,
        tell: Callable[[Told], None],
        log: structlog.stdlib.BoundLogger,
    ) -> None:
        self._session = session
        self._config = config
        self._device = config.name
        self._tell = tell
        self._log = log
        self._seen: dict[str, None] = {}
        self._subscription = 0
        self._room: Mapping[int, int] = {}
        self._refreshing: set[str] | None = None
        """Conditions that the server has restated so far; None while it restates none."""
        self._pending: set[int] = set()
        """Notifiers whose conditions are still being restated."""
        self._conditions: set[str] = set()
        """Those that the server has spoken of and still counts among those that matter."""
        self._full = False
        self._branches: defaultdict[str, set[str]] = defaultdict(set)
        """Condition → its branches that nobody has acknowledged."""
        self.changed: set[ua.NodeId] | None = None
        """Nodes that the server says have changed, as far as it names them; None where it has said nothing of the kind."""
        self.refresh_at = float("inf")
        """Loop time at which the server is to be asked how its conditions stand."""
        self._asked_at = float("-inf")
        self._log_lost_at = float("-inf")
        self._pause = 0.0
        """Seconds from the next loss to that."""

    async def listen(self) -> Subscription | None:
        """A subscription to the notifiers; None when the server has events of none of them."""
        subscription = await subscribe(self._session, self._config, self._config.scan, self._log)
        wanted = [(address, node) for address in self._notifiers() if (node := self._node(address)) is not None]
        count = len(wanted)
        wishes = Wishes(
            [node for _, node in wanted],
            range(count),
            np.zeros(count),
            np.full(count, self._config.event_queue, np.uint32),
            [None] * count,
            [event_filter(audit=self._config.audit_events)] * count,
            ua.AttributeIds.EventNotifier,
        )
        made = await make(self._session, subscription.id, wishes)
        room: dict[int, int] = {}
        say_revised(wishes, made, self._log.info)
        for number, (address, _) in enumerate(wanted):
            if made.status[number] < quality.UNCERTAIN:
                room[number] = int(made.queue[number])
            else:
                reason = in_few_words(int(made.status[number]))
                self._log.warning("the server has no events here: check notifiers", node=address, reason=reason)
        if not room:
            await unsubscribe(self._session, [subscription.id])
            return None
        subscription.events = room
        self.resume(subscription)
        return subscription

    def resume(self, subscription: Subscription) -> None:
        """Go on with this subscription; how the conditions stand is to be asked."""
        self._subscription, self._room = subscription.id, subscription.events
        self.refresh_at = asyncio.get_running_loop().time()

    def _notifiers(self) -> Sequence[str]:
        """Without those whose events the server's own object has anyway."""
        given = self._config.notifiers
        return given if given and SERVER not in given else [SERVER]

    def _node(self, address: str) -> ua.NodeId | None:
        place = parse_place(address)
        node = self._session.node_id(place)
        if node is None:
            self._log.warning(
                "the server has no such node: check notifiers", node=address, reason=self._session.why_none(place)
            )
        return node

    async def refresh(self) -> None:
        """Ask the server to state once more what it retains; the answer comes among the events."""
        self.refresh_at = float("inf")
        self._asked_at = asyncio.get_running_loop().time()
        self._refreshing = None
        number = ua.Variant(self._subscription, ua.VariantType.UInt32)
        with in_words("asking for the conditions", self._session.certificate):
            try:
                reason = name_of(int((await call(self._session, *_REFRESH, [number])).StatusCode.value))
            except ua.UaStatusCodeError as error:
                reason = name_of(error.code)
                if reason not in _NOT_FOR_US:
                    raise
        if reason == "BadRefreshInProgress":
            self.refresh_at = asyncio.get_running_loop().time() + ASK_AGAIN
        elif reason not in ("Good", *_NO_CONDITIONS):
            self._log.warning("the server does not say how its conditions stand", reason=reason)

    async def take(self, message: Notification) -> None:
        """The events of one message have come. A full queue is a loss: not every server says that it has run over."""
        now_ns = time.time_ns()
        counts = message.event_counts()
        full = any(1 < self._room.get(number, count + 1) <= count for number, count in counts.items())
        full = full or message.overflows()
        if full:  # what lies between the marks is not all that there was
            self._refreshing = None
        for events in message.events():
            for event in events:
                fields = fields_of(event.EventFields)
                if not full or fields.event_type not in (REFRESH_START, REFRESH_END):
                    self._take(event.ClientHandle, fields, now_ns)
            await asyncio.sleep(0)
        if full:
            self.lost("the server's queue was full: raise event_queue")
        elif message.undecodable:
            self.lost(f"{message.undecodable} could not be decoded")

    def lost(self, why: str) -> None:
        """Events are missing: this is said, and how the conditions stand is asked anew; later and later while that does not
        bring all of them."""
        now = asyncio.get_running_loop().time()
        if now >= self._log_lost_at:
            self._log_lost_at = now + BETWEEN_LINES
            self._log.warning("events of the device are lost", reason=why)
        now_ns, message = time.time_ns(), f"{self._device}: events are lost: {why}"
        self._tell(DeviceEvent(self._device, uuid4().hex, now_ns, message, "warning", {"reason": why}, state="lost"))
        self.refresh_at = now + self._pause
        self._pause = min(LAST_ASK, max(ASK_AGAIN, 2 * self._pause))

    def _take(self, number: int, fields: EventFields, now_ns: int) -> None:
        if fields.event_type in CHANGES:
            self.changed = (self.changed or set()) | fields.changed_nodes()
        match fields.event_type:
            case kind if kind == REFRESH_START:
                if self._refreshing is None:
                    self._refreshing, self._pending = set(), {*self._room}
                    self._conditions.clear()
            case kind if kind == REFRESH_END:
                self._refreshed(number)
            case kind if kind == REFRESH_REQUIRED:
                now = asyncio.get_running_loop().time()
                self.refresh_at = min(self.refresh_at, max(now, self._asked_at + BETWEEN))
            case kind if kind != OVERFLOW and (self._config.audit_events or not fields.is_audit):
                self._hand_up(fields, now_ns)

    def _refreshed(self, number: int) -> None:
        """The mark of the end comes for each notifier: only the last one says what is retained of all."""
        self._pending.discard(number)
        if self._refreshing is not None and not self._pending:
            self._tell(Retained(self._device, frozenset(self._refreshing)))
            self._refreshing, self._pause = None, 0.0

    def _hand_up(self, fields: EventFields, now_ns: int) -> None:
        event = as_event(self._session, self._device, fields, now_ns, restated=self._refreshing is not None)
        if event.condition is not None:
            if not self._has_room(event.condition):
                return
            if self._refreshing is not None:
                keep = self._refreshing.add if event.condition.retained else self._refreshing.discard
                keep(event.condition.id)
            self._tell(replace(event, condition=self._heeding_branches(event.condition)))
        elif self._is_new(event.id):
            self._tell(event)

    def _has_room(self, condition: Condition) -> bool:
        """Whether it is one of those that are followed; that there are too many is told once."""
        if not condition.retained and not condition.active:
            self._conditions.discard(condition.id)
            return True
        if condition.id in self._conditions or len(self._conditions) < MOST_CONDITIONS:
            self._conditions.add(condition.id)
            return True
        if not self._full:
            self._full = True
            why = f"the server has more than {MOST_CONDITIONS} conditions at a time: take fewer notifiers"
            self._log.warning("conditions of the device are left out", reason=why)
            message = f"{self._device}: conditions are left out: {why}"
            told = DeviceEvent(
                self._device, uuid4().hex, time.time_ns(), message, "warning", {"reason": why}, state="lost"
            )
            self._tell(told)
        return False

    def _heeding_branches(self, condition: Condition) -> Condition:
        """A condition that is in order again stands as acknowledged although nobody did, when a branch waits for that in its
        place."""
        open_branches = self._branches[node_of(condition.id)]
        if is_branch(condition):
            waits = condition.retained and condition.acknowledged is False
            (open_branches.add if waits else open_branches.discard)(condition.id)
        elif open_branches and not condition.active and condition.acknowledged:
            condition = replace(condition, acknowledged=None)
        if not open_branches:
            del self._branches[node_of(condition.id)]
        return condition

    def _is_new(self, event: str) -> bool:
        new = event not in self._seen
        self._seen[event] = None
        if len(self._seen) > REMEMBERED:
            del self._seen[next(iter(self._seen))]
        return new
