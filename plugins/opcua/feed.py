"""The subscriptions of one session: created, kept under watch, and turned into readings.

There is no background task. `next` waits for the first of several publish answers under way, and between two answers it
does what has fallen due: renew the channel, try refused nodes again, and give the session up when the server is silent.
A publish answer is acknowledged only after its readings were taken.
"""

import asyncio
import contextlib
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import structlog
from asyncua import ua
from asyncua.ua.uaerrors import BadNoSubscription, BadTimeout, BadTooManyPublishRequests

from gateway.plugin import Device, LinkError, Readings, quality

from .address import parse_address
from .config import OpcUaConfig
from .decode import OVERFLOW, Notification, as_readings, decode_publish, kind_of
from .errors import in_words, name_of
from .publishing import Answer
from .session import SESSION_TIMEOUT, Session

SPARE_REQUESTS = 2
"""Publish requests under way beyond one for each subscription, so that the server never has to wait for one."""
SILENT_KEEP_ALIVES = 3
GOODBYE = 1.0
"""Seconds that the server has to end the subscriptions."""
SHOWN = 5
"""Tags that one line of the log names."""
FIRST_RETRY, LAST_RETRY = 10.0, 300.0
"""Seconds after which refused nodes are tried again; doubling."""


@dataclass(slots=True)
class Subscription:
    """One subscription on the server: the tags with the same scan."""

    id: int
    silence: float
    """Seconds without any answer after which the session is given up."""
    deadline: float
    sequence: int = 1
    """Number of the next message."""


def keep_alive_count(scan: float, stale_after: float | None) -> int:
    """Publishing intervals after which a server with nothing to report says that it lives: two such signs before the
    tags would go stale, but at most ten intervals."""
    stale = stale_after or max(5.0, 3 * scan)
    return max(1, min(10, int(stale / 2 / scan)))


class Feed:
    """Readings of one device, as the server reports them."""

    def __init__(
        self, session: Session, device: Device, alive: Callable[[], None], log: structlog.stdlib.BoundLogger
    ) -> None:
        self._session = session
        self._device = device
        self._config: OpcUaConfig = device.config
        self._alive = alive
        self._log = log
        self._subscriptions: dict[int, Subscription] = {}
        self._home: dict[int, Subscription] = {}
        self._refused: dict[int, int] = {}
        self._retry_after = FIRST_RETRY
        self._retry_at = float("inf")
        self._publishing = session.publishing
        self._started = asyncio.get_running_loop().time()
        self._told: set[str] = set()

    async def start(self) -> Readings | None:
        """Subscribe. Returns the rows of the tags that the server refuses, if any."""
        by_scan: dict[float, list[int]] = {}
        for row, tag in enumerate(self._device.tags):
            by_scan.setdefault(tag.config.scan or self._config.scan, []).append(row)
        refused: dict[int, int] = {}
        for scan, rows in by_scan.items():
            subscription = await self._subscribe(scan)
            self._home.update(dict.fromkeys(rows, subscription))
            self._publishing.fill()
            refused |= await self._monitor(subscription, rows)
        return self._park(refused)

    async def next(self) -> Readings | None:
        """The next block; None for a mere sign of life. Raises LinkError when the session is of no more use."""
        self._publishing.fill()
        now = asyncio.get_running_loop().time()
        if now >= self._session.renew_at:
            await self._session.renew()
        if now >= self._retry_at:
            return await self._retry()
        if not self._publishing.answered:
            self._check_silence(now)
        try:
            async with asyncio.timeout_at(self._next_duty()):
                answer = await self._publishing.next()
        except TimeoutError:
            return None
        return self._take(answer)

    async def stop(self) -> None:
        """Delete the subscriptions, if the server is still there to hear it."""
        with contextlib.suppress(LinkError, TimeoutError):
            async with asyncio.timeout(GOODBYE):
                await self._session.unsubscribe(list(self._subscriptions))

    def _next_duty(self) -> float:
        deadlines = [subscription.deadline for subscription in self._subscriptions.values()]
        return min(*deadlines, self._session.renew_at, self._retry_at)

    def _check_silence(self, now: float) -> None:
        for subscription in self._subscriptions.values():
            if now >= subscription.deadline:
                raise LinkError(
                    f"connected, but the server has sent nothing for {subscription.silence:.1f} s, "
                    f"{SILENT_KEEP_ALIVES} keep-alives"
                )

    def _take(self, answer: Answer) -> Readings | None:
        with in_words("subscription", self._session.certificate):
            try:
                notification = decode_publish(answer.outcome.result())
            except BadTooManyPublishRequests:
                self._publishing.window = max(1, self._publishing.window - 1)
                return None
            except BadTimeout:
                return None
            except BadNoSubscription:
                if answer.sent < self._started:
                    return None
                raise
        subscription = self._subscriptions.get(notification.subscription)
        if subscription is None:
            return None
        self._alive()
        subscription.deadline = asyncio.get_running_loop().time() + subscription.silence
        self._count(subscription, notification)
        if notification.ended is not None:
            raise LinkError(f"the server has ended the subscription ({name_of(notification.ended)})")
        return self._readings(notification) if notification.handles else None

    def _count(self, subscription: Subscription, notification: Notification) -> None:
        missing = (notification.sequence - subscription.sequence) & 0xFFFF_FFFF
        if 0 < missing < 0x8000_0000:
            self._log.warning("notifications of the server are missing", count=missing)
        subscription.sequence = notification.sequence
        if not notification.keep_alive:
            subscription.sequence = notification.sequence % 0xFFFF_FFFF + 1
            self._publishing.acknowledge(notification.subscription, notification.sequence)

    def _readings(self, notification: Notification) -> Readings:
        handles = np.array(notification.handles, np.intp)
        ids = self._device.tags.ids[handles]
        readings = as_readings(self._device, ids, notification.values, time.time_ns())
        if readings.quality.any():
            self._remark(readings.quality, notification)
        return readings

    def _remark(self, codes: np.ndarray[tuple[int], np.dtype[np.uint32]], notification: Notification) -> None:
        """Say once for each tag what a status code alone does not explain."""
        for row in np.flatnonzero(codes & OVERFLOW == OVERFLOW).tolist():
            self._tell_once(notification.handles[row], "the server's queue was full, values are lost: raise queue_size")
        for row in np.flatnonzero(codes == quality.BAD_NOT_SUPPORTED).tolist():
            value = notification.values[row].Value
            if value is not None and value.Value is not None:
                self._tell_once(notification.handles[row], f"{kind_of(value)} cannot be a tag")

    def _tell_once(self, row: int, what: str) -> None:
        tag = self._device.tags[row]
        if f"{tag.name} {what}" not in self._told:
            self._told.add(f"{tag.name} {what}")
            self._log.warning(what, tag=tag.name)

    async def _subscribe(self, scan: float) -> Subscription:
        count = keep_alive_count(scan, self._config.stale_after)
        request = ua.CreateSubscriptionRequest()
        request.Parameters = ua.CreateSubscriptionParameters(
            RequestedPublishingInterval=scan * 1000,
            RequestedMaxKeepAliveCount=count,
            RequestedLifetimeCount=max(3 * count, int(SESSION_TIMEOUT / scan)),
            MaxNotificationsPerPublish=0,
            PublishingEnabled=True,
        )
        with in_words("subscribing", self._session.certificate):
            response = await self._session.request(request, ua.CreateSubscriptionResponse)
        given = response.Parameters
        interval = given.RevisedPublishingInterval / 1000
        if abs(interval - scan) > 1e-3 or given.RevisedMaxKeepAliveCount != count:
            self._log.info(
                "the server revised the subscription",
                scan=scan,
                publishing_interval=interval,
                keep_alive=given.RevisedMaxKeepAliveCount * interval,
            )
        silence = SILENT_KEEP_ALIVES * max(1, given.RevisedMaxKeepAliveCount) * interval
        deadline = asyncio.get_running_loop().time() + silence
        subscription = Subscription(int(given.SubscriptionId), silence, deadline)
        self._subscriptions[subscription.id] = subscription
        self._publishing.window = len(self._subscriptions) + SPARE_REQUESTS
        return subscription

    async def _monitor(self, subscription: Subscription, rows: Sequence[int]) -> dict[int, int]:
        """Ask for these rows' values. Returns row → status code of those that the server refuses."""
        nodes = {row: self._session.node_id(parse_address(self._device.tags[row].config.address)) for row in rows}
        refused = {row: quality.BAD_NODE_ID_UNKNOWN for row, node in nodes.items() if node is None}
        wanted = [(row, node) for row, node in nodes.items() if node is not None]
        results = await self._session.monitor(subscription.id, [self._item(row, node) for row, node in wanted])
        self._say_revised(results)
        for (row, _), result in zip(wanted, results, strict=True):
            if not result.StatusCode.is_good():
                refused[row] = int(result.StatusCode.value)
        return refused

    def _item(self, row: int, node: ua.NodeId) -> ua.MonitoredItemCreateRequest:
        sampling = self._config.sampling
        return ua.MonitoredItemCreateRequest(
            ItemToMonitor=ua.ReadValueId(NodeId=node, AttributeId=ua.AttributeIds.Value),
            MonitoringMode=ua.MonitoringMode.Reporting,
            RequestedParameters=ua.MonitoringParameters(
                ClientHandle=row,
                SamplingInterval=-1.0 if sampling is None else sampling * 1000,
                QueueSize=self._config.queue_size,
            ),
        )

    def _say_revised(self, results: Sequence[ua.MonitoredItemCreateResult]) -> None:
        good = [result for result in results if result.StatusCode.is_good()]
        queue = min((int(result.RevisedQueueSize) for result in good), default=self._config.queue_size)
        sampling = max((float(result.RevisedSamplingInterval) for result in good), default=0.0) / 1000
        if queue < self._config.queue_size:
            self._log.info("the server keeps fewer values", queue_size=queue, wished=self._config.queue_size)
        if self._config.sampling is not None and sampling > self._config.sampling:
            self._log.info("the server looks less often", sampling=sampling, wished=self._config.sampling)

    def _park(self, refused: Mapping[int, int]) -> Readings | None:
        """Set refused rows aside until their next try. Returns the bad rows of those whose reason is new."""
        fresh = {row: code for row, code in refused.items() if self._refused.get(row) != code}
        self._refused |= refused
        if self._refused:
            self._retry_at = asyncio.get_running_loop().time() + self._retry_after
            self._retry_after = min(LAST_RETRY, 2 * self._retry_after)
        else:
            self._retry_at, self._retry_after = float("inf"), FIRST_RETRY
        self._say_refused(fresh)
        return self._bad_rows(fresh) if fresh else None

    def _say_refused(self, refused: Mapping[int, int]) -> None:
        """One line for each reason, with the first tags that it concerns."""
        reasons: dict[str, list[str]] = {}
        for row, code in refused.items():
            tag = self._device.tags[row]
            reasons.setdefault(self._why_refused(tag.config.address, code), []).append(
                f"{tag.name} ({tag.config.address})"
            )
        for reason, tags in reasons.items():
            more = f" and {len(tags) - SHOWN} more" if len(tags) > SHOWN else ""
            self._log.warning("the server refuses tags", tags=", ".join(tags[:SHOWN]) + more, reason=reason)

    def _why_refused(self, address: str, code: int) -> str:
        parsed = parse_address(address)
        if self._session.node_id(parsed) is None:
            known = ", ".join(self._session.namespaces[1:]) or "none"
            return f"the server has no namespace {parsed.namespace}; it has: {known}"
        if name_of(code) == "BadNodeIdUnknown":
            return "the server has no such node: compare address with its address space (BadNodeIdUnknown)"
        return name_of(code)

    def _bad_rows(self, codes: Mapping[int, int]) -> Readings:
        rows = np.array(list(codes), np.intp)
        count = len(rows)
        return Readings(
            self._device,
            np.full(count, time.time_ns(), np.int64),
            self._device.tags.ids[rows],
            np.full(count, np.nan),
            np.array(list(codes.values()), np.uint32) & np.uint32(~quality.FLAGS & 0xFFFF_FFFF),
        )

    async def _retry(self) -> Readings | None:
        """Ask once more for what was refused; the rest of the tags is not touched."""
        by_subscription: dict[int, list[int]] = {}
        for row in self._refused:
            by_subscription.setdefault(self._home[row].id, []).append(row)
        refused: dict[int, int] = {}
        for identifier, rows in by_subscription.items():
            refused |= await self._monitor(self._subscriptions[identifier], rows)
        for row in [row for row in self._refused if row not in refused]:
            del self._refused[row]
            self._log.info("the server accepts a tag again", tag=self._device.tags[row].name)
        return self._park(refused)
