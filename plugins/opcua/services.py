"""The services of a session that deal in nodes, items and subscriptions, in requests that the server bears."""

import asyncio
import struct
from collections.abc import AsyncGenerator, Iterable, Sequence
from typing import TypeVar

from asyncua import ua
from asyncua.common.utils import Buffer
from asyncua.ua.uaerrors import (
    BadMessageNotAvailable,
    BadNotImplemented,
    BadServiceUnsupported,
    BadSubscriptionIdInvalid,
    BadTooManyMonitoredItems,
)

from gateway.plugin import LinkError, Tag, doubting

from .address import parse_address
from .bounds import LARGE, Measured, NotUnderstoodError, after_header, decoded
from .errors import TOO_MUCH, agreeing, in_words
from .extent import data_value_end
from .fast import LARGEST_VALUE
from .notification import Notification, decode_republish
from .session import Session

UNDECODABLE = ua.DataValue(StatusCode=ua.StatusCode(ua.StatusCodes.BadDecodingError))
FULL = int(ua.StatusCodes.BadTooManyMonitoredItems)
"""Of an item for which a subscription, or the server, has no more room."""

PORTION = 500
"""Tags for which something is made in one turn of the event loop: some milliseconds."""

T = TypeVar("T")

Wanted = tuple[ua.NodeId, ua.AttributeIds] | tuple[ua.NodeId, ua.AttributeIds, str | None]
"""A node, an attribute, and the part of its array."""


async def unhurried(items: Iterable[T]) -> AsyncGenerator[T, None]:
    """The items, with a turn for the others after each portion of them: a device may have tens of thousands of tags."""
    for count, each in enumerate(items, start=1):
        yield each
        if count % PORTION == 0:
            await asyncio.sleep(0)


async def nodes_of(session: Session, tags: Iterable[Tag]) -> list[ua.NodeId | None]:
    """The node of each tag; None where the server has no such namespace."""
    return [session.node_id(parse_address(tag.config.address)) async for tag in unhurried(tags)]


async def read(session: Session, wanted: Sequence[Wanted]) -> list[ua.DataValue]:
    """Attributes of nodes, in order; BadDecodingError for one that cannot be decoded."""

    async def call(chunk: Sequence[Wanted]) -> Sequence[ua.DataValue]:
        request = ua.ReadRequest()
        request.Parameters.TimestampsToReturn = ua.TimestampsToReturn.Both
        request.Parameters.NodesToRead = [ua.ReadValueId(node, each, *part) for node, each, *part in chunk]
        answer = await session.answer_to(request)
        try:
            count = len(chunk)
            return await asyncio.to_thread(_values, answer, count) if len(answer) > LARGE else _values(answer, count)
        except NotUnderstoodError:
            if len(chunk) == 1:
                return [UNDECODABLE]
        half = len(chunk) // 2
        return [*await call(chunk[:half]), *await call(chunk[half:])]

    with in_words("reading", session.certificate):
        return await session.in_chunks("read", wanted, call)


def _values(answer: Buffer, asked: int) -> Sequence[ua.DataValue]:
    """The values of a read answer. Raises LinkError where there are not as many as were asked for, NotUnderstoodError where
    one has no end that can be told."""
    rest = after_header(answer)
    with doubting(NotUnderstoodError):
        (count,) = struct.unpack("<i", rest.read(4))
    if count != asked:
        raise LinkError(f"the server's answer has {max(0, count)} results where {asked} were asked for")
    with doubting(NotUnderstoodError):
        data, at, end = rest.data, rest.cur_pos, rest.cur_pos + len(rest)
        values = []
        for _ in range(count):
            start, at = at, data_value_end(data, at, end)
            values.append(_value(data, start, at) if at - start <= LARGEST_VALUE else UNDECODABLE)
    return values


def _value(data: bytes, start: int, end: int) -> ua.DataValue:
    try:
        return decoded(ua.DataValue, Measured(data, start, end - start))
    except NotUnderstoodError:
        return UNDECODABLE


async def monitor(
    session: Session, subscription: int, items: Sequence[ua.MonitoredItemCreateRequest]
) -> list[ua.MonitoredItemCreateResult]:
    """Add items to a subscription. Returns the server's word on each, in order; `FULL` for those that it has no room for,
    whether it says so of each or refuses the request."""
    results: list[ua.MonitoredItemCreateResult] = []
    size = session.limits["subscribe"]
    full = False
    with in_words("subscribing", session.certificate):
        while len(results) < len(items) and not full:
            chunk = items[len(results) : len(results) + size]
            try:
                answers = await _monitor(session, subscription, chunk)
            except (*TOO_MUCH, BadTooManyMonitoredItems):
                full = len(chunk) == 1
                size = max(1, len(chunk) // 2)
            else:
                results += answers
                full = answers[-1].StatusCode.value == FULL
    if not full:
        session.limits["subscribe"] = size
    rest = ua.MonitoredItemCreateResult(StatusCode=ua.StatusCode(FULL))
    return results + [rest] * (len(items) - len(results))


async def _monitor(
    session: Session, subscription: int, items: Sequence[ua.MonitoredItemCreateRequest]
) -> Sequence[ua.MonitoredItemCreateResult]:
    request = ua.CreateMonitoredItemsRequest()
    request.Parameters = ua.CreateMonitoredItemsParameters(subscription, ua.TimestampsToReturn.Both, list(items))
    return agreeing(len(items), (await session.request(request, ua.CreateMonitoredItemsResponse)).Results)


async def forget(session: Session, subscription: int, item: int) -> None:
    """Delete an item of a subscription."""
    request = ua.DeleteMonitoredItemsRequest()
    request.Parameters.SubscriptionId = subscription
    request.Parameters.MonitoredItemIds = [item]
    with in_words("unsubscribing", session.certificate):
        await session.request(request, ua.DeleteMonitoredItemsResponse)


async def unsubscribe(session: Session, subscriptions: Sequence[int]) -> None:
    """Delete subscriptions."""
    request = ua.DeleteSubscriptionsRequest()
    request.Parameters.SubscriptionIds = list(subscriptions)
    with in_words("unsubscribing", session.certificate):
        await session.request(request, ua.DeleteSubscriptionsResponse)


async def take_over(session: Session, subscriptions: Sequence[int]) -> list[int]:
    """Those of the subscriptions that the server still has, now of this session."""
    with in_words("taking subscriptions over", session.certificate):
        results = await (_confirm if session.continued else _transfer)(session, list(subscriptions))
        agreeing(len(subscriptions), results)
    return [each for each, status in zip(subscriptions, results, strict=True) if status.is_good()]


async def _confirm(session: Session, subscriptions: list[int]) -> Sequence[ua.StatusCode]:
    request = ua.SetPublishingModeRequest()
    request.Parameters.PublishingEnabled = True
    request.Parameters.SubscriptionIds = subscriptions
    try:
        return list((await session.request(request, ua.SetPublishingModeResponse)).Parameters.Results)
    except (BadServiceUnsupported, BadNotImplemented):
        return [ua.StatusCode(ua.StatusCodes.BadNotSupported)] * len(subscriptions)


async def _transfer(session: Session, subscriptions: list[int]) -> Sequence[ua.StatusCode]:
    request = ua.TransferSubscriptionsRequest()
    request.Parameters.SubscriptionIds = subscriptions
    request.Parameters.SendInitialValues = False
    try:
        response = await session.request(request, ua.TransferSubscriptionsResponse)
    except ua.UaStatusCodeError:  # many small servers do not have this service
        return [ua.StatusCode(ua.StatusCodes.BadNotSupported)] * len(subscriptions)
    return [result.StatusCode for result in response.Parameters.Results]


async def republish(session: Session, subscription: int, sequence: int) -> Notification | None:
    """A message that was sent but never arrived; None when the server no longer has it."""
    request = ua.RepublishRequest()
    request.Parameters = ua.RepublishParameters(subscription, sequence)
    with in_words("asking for lost messages", session.certificate):
        try:
            message = decode_republish(subscription, await session.answer_to(request))
        except (BadMessageNotAvailable, BadSubscriptionIdInvalid, BadServiceUnsupported, BadNotImplemented):
            return None
    return message if message.sequence == sequence and not message.keep_alive else None


async def call(
    session: Session, target: ua.NodeId, method: ua.NodeId, arguments: Sequence[ua.Variant]
) -> ua.CallMethodResult:
    """Call a method of an object. Raises the library's errors, for `in_words`."""
    request = ua.CallRequest()
    request.Parameters.MethodsToCall = [ua.CallMethodRequest(target, method, list(arguments))]
    (result,) = agreeing(1, (await session.request(request, ua.CallResponse)).Results)
    return result
