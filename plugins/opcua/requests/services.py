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
)

from gateway.plugin import Tag, doubting

from ..address import parse_place
from ..session.errors import TOO_MUCH, agreeing, in_words, of_what_was_asked
from ..session.session import OpcUaSession
from ..values.bounds import LARGE, CountError, Measured, NotUnderstoodError, after_header, decoded
from ..values.bulk_decoder import LARGEST_VALUE
from ..values.extent import data_value_end
from ..values.notification import Notification, decode_republish

UNDECODABLE = ua.DataValue(StatusCode=ua.StatusCode(ua.StatusCodes.BadDecodingError))
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


async def nodes_of(session: OpcUaSession, tags: Iterable[Tag]) -> list[ua.NodeId | None]:
    """The node of each tag; None where the server has no such namespace."""
    return [session.node_id(parse_place(tag.config.address)) async for tag in unhurried(tags)]


async def read(session: OpcUaSession, wanted: Sequence[Wanted]) -> list[ua.DataValue]:
    """Attributes of nodes, in order; BadDecodingError for one that cannot be decoded, and the server's word on one that
    makes it refuse whole requests."""

    async def call(chunk: Sequence[Wanted]) -> Sequence[ua.DataValue]:
        request = ua.ReadRequest()
        request.Parameters.TimestampsToReturn = ua.TimestampsToReturn.Both
        request.Parameters.NodesToRead = [ua.ReadValueId(node, each, *part) for node, each, *part in chunk]
        try:
            answer = await session.answer_to(request)
            count = len(chunk)
            return await asyncio.to_thread(_values, answer, count) if len(answer) > LARGE else _values(answer, count)
        except NotUnderstoodError:
            refused = UNDECODABLE
        except TOO_MUCH:
            raise
        except ua.UaStatusCodeError as error:
            if not of_what_was_asked(error):
                raise
            refused = ua.DataValue(StatusCode=ua.StatusCode(error.code))
        if len(chunk) == 1:
            return [refused]
        half = len(chunk) // 2
        return [*await call(chunk[:half]), *await call(chunk[half:])]

    with in_words("reading", session.certificate):
        return await session.in_chunks("read", wanted, call)


def _values(answer: Buffer, asked: int) -> Sequence[ua.DataValue]:
    """The values of a read answer. Raises NotUnderstoodError where there are not as many as were asked for, or one has no end
    that can be told."""
    rest = after_header(answer)
    with doubting(NotUnderstoodError):
        (count,) = struct.unpack("<i", rest.read(4))
    if count != asked:
        raise CountError(asked, count)
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


async def forget(session: OpcUaSession, subscription: int, item: int) -> None:
    """Delete an item of a subscription."""
    request = ua.DeleteMonitoredItemsRequest()
    request.Parameters.SubscriptionId = subscription
    request.Parameters.MonitoredItemIds = [item]
    with in_words("unsubscribing", session.certificate):
        await session.request(request, ua.DeleteMonitoredItemsResponse)


async def unsubscribe(session: OpcUaSession, subscriptions: Sequence[int]) -> None:
    """Delete these subscriptions on the server."""
    request = ua.DeleteSubscriptionsRequest()
    request.Parameters.SubscriptionIds = list(subscriptions)
    with in_words("unsubscribing", session.certificate):
        await session.request(request, ua.DeleteSubscriptionsResponse)


async def take_over(session: OpcUaSession, subscriptions: Sequence[int]) -> list[int]:
    """Those of the subscriptions that the server still has, now of this session."""
    with in_words("taking subscriptions over", session.certificate):
        results = await (_confirm if session.continued else _transfer)(session, list(subscriptions))
        agreeing(len(subscriptions), results)
    return [each for each, status in zip(subscriptions, results, strict=True) if status.is_good()]


async def _confirm(session: OpcUaSession, subscriptions: list[int]) -> Sequence[ua.StatusCode]:
    request = ua.SetPublishingModeRequest()
    request.Parameters.PublishingEnabled = True
    request.Parameters.SubscriptionIds = subscriptions
    try:
        return list((await session.request(request, ua.SetPublishingModeResponse)).Parameters.Results)
    except ua.UaStatusCodeError as error:
        if not of_what_was_asked(error) and not isinstance(error, BadServiceUnsupported | BadNotImplemented):
            raise
        return [ua.StatusCode(ua.StatusCodes.BadNotSupported)] * len(subscriptions)


async def _transfer(session: OpcUaSession, subscriptions: list[int]) -> Sequence[ua.StatusCode]:
    request = ua.TransferSubscriptionsRequest()
    request.Parameters.SubscriptionIds = subscriptions
    request.Parameters.SendInitialValues = False
    try:
        response = await session.request(request, ua.TransferSubscriptionsResponse)
    except ua.UaStatusCodeError:  # many small servers do not have this service
        return [ua.StatusCode(ua.StatusCodes.BadNotSupported)] * len(subscriptions)
    return [result.StatusCode for result in response.Parameters.Results]


async def republish(session: OpcUaSession, subscription: int, sequence: int) -> Notification | None:
    """A message that was sent but never arrived; None when the server no longer has it."""
    request = ua.RepublishRequest()
    request.Parameters = ua.RepublishParameters(subscription, sequence)
    if session.keeps_nothing:
        return None
    with in_words("asking for lost messages", session.certificate):
        try:
            message = decode_republish(subscription, await session.answer_to(request))
        except (BadMessageNotAvailable, BadSubscriptionIdInvalid, BadServiceUnsupported, BadNotImplemented):
            return None
        except TimeoutError:  # the message may be lost anyway, and the server may answer all else
            await session.sign_of_life()
            session.keeps_nothing = True
            return None
        except (NotUnderstoodError, ua.UaStatusCodeError) as error:
            if isinstance(error, ua.UaStatusCodeError) and not of_what_was_asked(error):
                raise
            return None
    return message if message.sequence == sequence and not message.keep_alive else None


async def call(
    session: OpcUaSession, target: ua.NodeId, method: ua.NodeId, arguments: Sequence[ua.Variant]
) -> ua.CallMethodResult:
    """Call a method of an object. Raises the library's errors, for `in_words`."""
    request = ua.CallRequest()
    request.Parameters.MethodsToCall = [ua.CallMethodRequest(target, method, list(arguments))]
    (result,) = agreeing(1, (await session.request(request, ua.CallResponse)).Results)
    return result
