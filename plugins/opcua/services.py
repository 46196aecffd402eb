"""The services of a session that deal in nodes, items and subscriptions, in requests that the server bears."""

from collections.abc import Sequence

from asyncua import ua
from asyncua.ua.uaerrors import BadMessageNotAvailable, BadSubscriptionIdInvalid

from .errors import in_words
from .session import Session

Wanted = tuple[ua.NodeId, ua.AttributeIds] | tuple[ua.NodeId, ua.AttributeIds, str | None]
"""A node, an attribute, and the part of its array."""


async def read(session: Session, wanted: Sequence[Wanted]) -> list[ua.DataValue]:
    """Attributes of nodes, in order."""

    async def call(chunk: Sequence[Wanted]) -> Sequence[ua.DataValue]:
        request = ua.ReadRequest()
        request.Parameters.TimestampsToReturn = ua.TimestampsToReturn.Both
        request.Parameters.NodesToRead = [ua.ReadValueId(node, each, *part) for node, each, *part in chunk]
        return list((await session.request(request, ua.ReadResponse)).Results)

    with in_words("reading", session.certificate):
        return await session.in_chunks("read", wanted, call)


async def monitor(
    session: Session, subscription: int, items: Sequence[ua.MonitoredItemCreateRequest]
) -> list[ua.MonitoredItemCreateResult]:
    """Add items to a subscription. Returns the server's word on each, in order."""

    async def call(chunk: Sequence[ua.MonitoredItemCreateRequest]) -> Sequence[ua.MonitoredItemCreateResult]:
        request = ua.CreateMonitoredItemsRequest()
        request.Parameters = ua.CreateMonitoredItemsParameters(subscription, ua.TimestampsToReturn.Both, list(chunk))
        return list((await session.request(request, ua.CreateMonitoredItemsResponse)).Results)

    with in_words("subscribing", session.certificate):
        return await session.in_chunks("subscribe", items, call)


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
    return [each for each, status in zip(subscriptions, results, strict=True) if status.is_good()]


async def _confirm(session: Session, subscriptions: list[int]) -> Sequence[ua.StatusCode]:
    request = ua.SetPublishingModeRequest()
    request.Parameters.PublishingEnabled = True
    request.Parameters.SubscriptionIds = subscriptions
    return list((await session.request(request, ua.SetPublishingModeResponse)).Parameters.Results)


async def _transfer(session: Session, subscriptions: list[int]) -> Sequence[ua.StatusCode]:
    request = ua.TransferSubscriptionsRequest()
    request.Parameters.SubscriptionIds = subscriptions
    request.Parameters.SendInitialValues = False
    try:
        response = await session.request(request, ua.TransferSubscriptionsResponse)
    except ua.UaStatusCodeError:  # many small servers do not have this service
        return [ua.StatusCode(ua.StatusCodes.BadNotSupported)] * len(subscriptions)
    return [result.StatusCode for result in response.Parameters.Results]


async def republish(session: Session, subscription: int, sequence: int) -> ua.NotificationMessage | None:
    """A message that was sent but never arrived; None when the server no longer has it."""
    request = ua.RepublishRequest()
    request.Parameters = ua.RepublishParameters(subscription, sequence)
    with in_words("asking for lost messages", session.certificate):
        try:
            message = (await session.request(request, ua.RepublishResponse)).NotificationMessage
        except (BadMessageNotAvailable, BadSubscriptionIdInvalid):
            return None
    return message if message.SequenceNumber == sequence and message.NotificationData else None


async def call(
    session: Session, target: ua.NodeId, method: ua.NodeId, arguments: Sequence[ua.Variant]
) -> ua.CallMethodResult:
    """Call a method of an object. Raises the library's errors, for `in_words`."""
    request = ua.CallRequest()
    request.Parameters.MethodsToCall = [ua.CallMethodRequest(target, method, list(arguments))]
    (result,) = (await session.request(request, ua.CallResponse)).Results
    return result


async def browse(
    session: Session,
    node: ua.NodeId,
    kind: ua.NodeId,
    classes: ua.NodeClass,
    direction: ua.BrowseDirection = ua.BrowseDirection.Forward,
) -> list[ua.ReferenceDescription]:
    """What a node is tied to by references of this kind, or of one derived from it; nothing for a node that is not there."""
    request = ua.BrowseRequest()
    request.Parameters.NodesToBrowse = [
        ua.BrowseDescription(
            NodeId=node,
            BrowseDirection=direction,
            ReferenceTypeId=kind,
            IncludeSubtypes=True,
            NodeClassMask=classes,
            ResultMask=ua.BrowseResultMask.All,
        )
    ]
    with in_words("browsing", session.certificate):
        (result,) = (await session.request(request, ua.BrowseResponse)).Results
        found = list(result.References or ())
        while result.ContinuationPoint:
            more = ua.BrowseNextRequest()
            more.Parameters.ContinuationPoints = [result.ContinuationPoint]
            (result,) = (await session.request(more, ua.BrowseNextResponse)).Parameters.Results
            found += result.References or ()
    return found
