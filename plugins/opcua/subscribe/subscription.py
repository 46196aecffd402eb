"""One subscription on the server: what was wished, what the server granted, and how far its messages have come."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import structlog
from asyncua import ua
from numpy.typing import NDArray

from gateway.plugin import Tags, quality

from ..config import NodeConfig, OpcUaConfig
from ..session.errors import in_words
from ..session.session import OpcUaSession, Ticket
from .making import Made, Wishes

SILENT_KEEP_ALIVES = 3
MOST_TRIES = 2
"""Times that what a lost connection left is tried; then it is left to the server to forget."""
SHORTEST_SILENCE = 0.5
"""Seconds, whatever intervals the server grants."""
LONGEST_KEEP_ALIVE = 60.0
"""Seconds that are believed: a server that is silent for longer is asked."""
AT_ONCE = 5000
"""Values, or events, in one message: the server is asked to send no more at a time."""
OUTLIVES = 3
"""Times the session's hold for which the server keeps a subscription: another session may still take it over."""


@dataclass(slots=True)
class Subscription:
    """The tags with the same scan, or the events of the device."""

    id: int
    silence: float
    """Seconds without any answer after which the session is given up."""
    deadline: float = 0.0
    """Loop time at which it will have been silent for so long."""
    sequence: int = 1
    """Number of the next message."""
    scan: float = 0.0
    interval: float = 0.0
    """Seconds between two reports, as the server grants it."""
    whole: bool = False
    """Whether all that it is to report was made: only then does the next connection go on with it."""
    events: Mapping[int, int] = field(default_factory=dict)
    """Number of each notifier → events that the server keeps of it; empty for one that brings values."""

    def missing(self, sequence: int) -> int:
        """How many messages lie between the last one and the one of this number; 0 also for one of before."""
        count = (sequence - self.sequence) & 0xFFFF_FFFF
        return count if count < 0x8000_0000 else 0

    def passed(self, sequence: int) -> None:
        """The message of this number has come. The one after the highest number is number one."""
        self.sequence = sequence % 0xFFFF_FFFF + 1


@dataclass(frozen=True, slots=True)
class Left:
    """What a lost connection leaves on the server, for the next one to take over."""

    ticket: Ticket
    namespaces: list[str]
    subscriptions: list[Subscription]
    home: dict[int, Subscription]
    """Row of each tag that has a place → its subscription."""
    numbers: dict[int, int]
    """Row → the server's number of its item."""
    latest: NDArray[np.int64]
    """Source time of the last value of each row, ns since 1970; 0 where there was none."""
    acknowledgements: list[ua.SubscriptionAcknowledgement] = field(default_factory=list)
    """What the server may not have heard."""
    half: list[int] = field(default_factory=list)
    """Subscriptions that were not finished: they are of no use."""
    tries: int = 0
    """How often taking it over has failed at a server that answered otherwise."""


def keep_alive_count(scan: float, stale_after: float | None) -> int:
    """Publishing intervals after which a server with nothing to report says that it lives: two such signs before the
    tags would go stale, but at most ten intervals."""
    stale = stale_after or max(5.0, 3 * scan)
    return max(1, min(10, int(stale / 2 / scan)))


async def subscribe(
    session: OpcUaSession, config: OpcUaConfig, scan: float, log: structlog.stdlib.BoundLogger
) -> Subscription:
    """A new subscription, as the server grants it."""
    count = keep_alive_count(scan, config.stale_after)
    request = ua.CreateSubscriptionRequest()
    request.Parameters = ua.CreateSubscriptionParameters(
        RequestedPublishingInterval=scan * 1000,
        RequestedMaxKeepAliveCount=count,
        RequestedLifetimeCount=max(3 * count, int(OUTLIVES * config.hold / scan)),
        MaxNotificationsPerPublish=AT_ONCE,
        PublishingEnabled=True,
    )
    with in_words("subscribing", session.certificate):
        response = await session.request(request, ua.CreateSubscriptionResponse)
    given = response.Parameters
    told = given.RevisedPublishingInterval / 1000
    interval = told if 0 < told < float("inf") else scan
    keep_alive = min(LONGEST_KEEP_ALIVE, max(1, given.RevisedMaxKeepAliveCount) * interval)
    if abs(interval - scan) > 1e-3 or given.RevisedMaxKeepAliveCount != count:
        log.info("the server revised the subscription", scan=scan, publishing_interval=interval, keep_alive=keep_alive)
    silence = max(SHORTEST_SILENCE, SILENT_KEEP_ALIVES * keep_alive)
    return Subscription(int(given.SubscriptionId), silence, scan=scan, interval=interval)


FILTER_REFUSED = {
    ua.StatusCodes.BadFilterNotAllowed,
    ua.StatusCodes.BadMonitoredItemFilterInvalid,
    ua.StatusCodes.BadMonitoredItemFilterUnsupported,
    ua.StatusCodes.BadDeadbandFilterInvalid,
}
"""The server cannot apply a deadband to this variable."""


def wishes(
    rows: Sequence[int], nodes: Sequence[ua.NodeId], config: OpcUaConfig, tags: Tags, *, filtered: bool
) -> Wishes:
    """What is asked for tags of these rows, which are also the handles under which their values come."""
    count = len(rows)
    sampling, queue = np.empty(count), np.empty(count, np.uint32)
    ranges: list[str | None] = []
    filters: list[ua.DataChangeFilter | None] = []
    for at, row in enumerate(rows):
        tag: NodeConfig = tags[row].config
        often = tag.sampling if tag.sampling is not None else config.sampling
        sampling[at] = -1.0 if often is None else often * 1000
        queue[at] = tag.queue_size or config.queue_size
        ranges.append(tag.index_range)
        filters.append(_deadband(tag.server_deadband) if filtered and tag.server_deadband is not None else None)
    return Wishes(nodes, rows, sampling, queue, ranges, filters)


def _deadband(width: float | str) -> ua.DataChangeFilter:
    percent = isinstance(width, str)
    return ua.DataChangeFilter(
        Trigger=ua.DataChangeTrigger.StatusValue,
        DeadbandType=ua.DeadbandType.Percent if percent else ua.DeadbandType.Absolute,
        DeadbandValue=float(str(width).rstrip("%")),
    )


def say_revised(wished: Wishes, made: Made, say: Callable[..., Any]) -> None:
    """Tell what the server grants instead of what was wished, for the items that get least of it."""
    good = made.status < quality.UNCERTAIN
    fewer = np.flatnonzero(good & (made.queue < wished.queue))
    if len(fewer):
        least = fewer[np.argmin(made.queue[fewer])]
        say(
            "the server keeps fewer values",
            queue_size=int(made.queue[least]),
            wished=int(wished.queue[least]),
            tags=len(fewer),
        )
    slower = np.flatnonzero(good & (wished.sampling >= 0) & (made.sampling > wished.sampling))
    if len(slower):
        most = slower[np.argmax(made.sampling[slower])]
        sampling, asked = float(made.sampling[most]) / 1000, float(wished.sampling[most]) / 1000
        say("the server looks less often", sampling=sampling, wished=asked, tags=len(slower))
