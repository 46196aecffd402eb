"""One subscription on the server: what was wished, what the server granted, and how far its messages have come."""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import structlog
from asyncua import ua

from .config import OpcUaConfig
from .errors import in_words
from .session import Session, Ticket

SILENT_KEEP_ALIVES = 3
OUTLIVES = 3
"""Times the session's hold for which the server keeps a subscription: another session may still take it over."""


@dataclass(slots=True)
class Subscription:
    """The tags with the same scan."""

    id: int
    silence: float
    """Seconds without any answer after which the session is given up."""
    deadline: float = 0.0
    """Loop time at which it will have been silent for so long."""
    sequence: int = 1
    """Number of the next message."""

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
    refused: dict[int, int]
    acknowledgements: list[ua.SubscriptionAcknowledgement] = field(default_factory=list)
    """What the server may not have heard."""


def keep_alive_count(scan: float, stale_after: float | None) -> int:
    """Publishing intervals after which a server with nothing to report says that it lives: two such signs before the
    tags would go stale, but at most ten intervals."""
    stale = stale_after or max(5.0, 3 * scan)
    return max(1, min(10, int(stale / 2 / scan)))


async def subscribe(
    session: Session, config: OpcUaConfig, scan: float, log: structlog.stdlib.BoundLogger
) -> Subscription:
    """A new subscription, as the server grants it."""
    count = keep_alive_count(scan, config.stale_after)
    request = ua.CreateSubscriptionRequest()
    request.Parameters = ua.CreateSubscriptionParameters(
        RequestedPublishingInterval=scan * 1000,
        RequestedMaxKeepAliveCount=count,
        RequestedLifetimeCount=max(3 * count, int(OUTLIVES * config.hold / scan)),
        MaxNotificationsPerPublish=0,
        PublishingEnabled=True,
    )
    with in_words("subscribing", session.certificate):
        response = await session.request(request, ua.CreateSubscriptionResponse)
    given = response.Parameters
    interval = given.RevisedPublishingInterval / 1000
    keep_alive = max(1, given.RevisedMaxKeepAliveCount) * interval
    if abs(interval - scan) > 1e-3 or given.RevisedMaxKeepAliveCount != count:
        log.info("the server revised the subscription", scan=scan, publishing_interval=interval, keep_alive=keep_alive)
    return Subscription(int(given.SubscriptionId), SILENT_KEEP_ALIVES * keep_alive)


def item(row: int, node: ua.NodeId, config: OpcUaConfig) -> ua.MonitoredItemCreateRequest:
    """What is asked for one tag; its row is the handle under which its values come."""
    return ua.MonitoredItemCreateRequest(
        ItemToMonitor=ua.ReadValueId(NodeId=node, AttributeId=ua.AttributeIds.Value),
        MonitoringMode=ua.MonitoringMode.Reporting,
        RequestedParameters=ua.MonitoringParameters(
            ClientHandle=row,
            SamplingInterval=-1.0 if config.sampling is None else config.sampling * 1000,
            QueueSize=config.queue_size,
        ),
    )


def say_revised(results: list[ua.MonitoredItemCreateResult], config: OpcUaConfig, say: Callable[..., Any]) -> None:
    """Tell what the server grants instead of what was wished, the least of all items."""
    good = [result for result in results if result.StatusCode.is_good()]
    queue = min((int(result.RevisedQueueSize) for result in good), default=config.queue_size)
    sampling = max((float(result.RevisedSamplingInterval) for result in good), default=0.0) / 1000
    if queue < config.queue_size:
        say("the server keeps fewer values", queue_size=queue, wished=config.queue_size)
    if config.sampling is not None and sampling > config.sampling:
        say("the server looks less often", sampling=sampling, wished=config.sampling)
