"""A session whose answers the test writes."""

import asyncio
import itertools

import numpy as np
from asyncua import ua
from asyncua.common.utils import Buffer
from asyncua.ua import uaerrors
from asyncua.ua.ua_binary import struct_from_binary, struct_to_binary

from plugins.opcua.session.profile import Profile
from plugins.opcua.session.publishing import Publishing
from plugins.opcua.session.suspicion import Suspicion
from plugins.opcua.values.blocks import empty_block, joined
from plugins.opcua.values.bulk_decoder import Decoder
from plugins.opcua.values.notification import Notification
from plugins.opcua.values.structures import NO_TYPES


class FakeSession:
    """Stands in for `OpcUaSession`: accepts every item, and answers publish requests with what the test lets it say."""

    certificate = "own.der"
    renew_at = float("inf")
    continued = True
    ticket = None
    namespaces: list[str] = []
    types = NO_TYPES
    granted = 3600.0
    keeps_nothing = False
    makes_items = False
    profile = Profile()
    described: dict[str, object] = {}
    keep_alive = 0
    """Publishing intervals that it insists on; 0 takes what is wished."""

    def __init__(self) -> None:
        self._answers: asyncio.Queue[ua.PublishResponse | Exception] = asyncio.Queue()
        self.acknowledged: list[int] = []
        self.asked: list[object] = []
        self.numbers = itertools.count(7)
        """Of subscriptions."""
        self.kept: dict[int, ua.PublishResponse | Exception] = {}
        """Messages that can be asked for again."""
        self.loses = 0
        """Publish requests that are never answered, before any other."""
        self.publishing = Publishing(self._publish)
        self.suspicion = Suspicion()
        self.limits = {"read": 1000, "browse": 100, "translate": 1000, "subscribe": 1000}

    def say(self, *answers: ua.PublishResponse | Exception) -> None:
        """Answer the next publish requests so."""
        for answer in answers:
            self._answers.put_nowait(answer)

    def node_id(self, address) -> ua.NodeId:
        return ua.NodeId(1)

    def why_none(self, address) -> str:
        return "the server has no such node"

    async def request(self, request, response):
        """Any service; subscriptions and items are granted as wished."""
        self.asked.append(request)
        answer = getattr(self, f"_{type(request).__name__}", None)
        return answer(request) if answer else response()

    async def answer_to(self, request) -> Buffer:
        """The same, undecoded."""
        return Buffer(struct_to_binary(await self.request(request, None)))

    async def request_encoded(self, kind, parameters, timeout=None) -> Buffer:
        request = kind()
        request.Parameters = struct_from_binary(type(request.Parameters), Buffer(parameters))
        return await self.answer_to(request)

    async def sign_of_life(self) -> None:
        """It lives."""

    async def in_chunks(self, operation, items, call):
        return await call(items)

    def _CreateSubscriptionRequest(self, request):
        result = ua.CreateSubscriptionResponse()
        result.Parameters.SubscriptionId = next(self.numbers)
        result.Parameters.RevisedPublishingInterval = request.Parameters.RequestedPublishingInterval
        result.Parameters.RevisedMaxKeepAliveCount = self.keep_alive or request.Parameters.RequestedMaxKeepAliveCount
        return result

    def _ReadRequest(self, request):
        return ua.ReadResponse(Results=[ua.DataValue(ua.Variant(0))] * len(request.Parameters.NodesToRead))

    def _CreateMonitoredItemsRequest(self, request):
        wishes = [item.RequestedParameters for item in request.Parameters.ItemsToCreate]
        results = [
            ua.MonitoredItemCreateResult(RevisedSamplingInterval=each.SamplingInterval, RevisedQueueSize=each.QueueSize)
            for each in wishes
        ]
        return ua.CreateMonitoredItemsResponse(Results=results)

    def _RepublishRequest(self, request):
        message = self.kept.get(request.Parameters.RetransmitSequenceNumber)
        if message is None:
            raise uaerrors.BadMessageNotAvailable
        if isinstance(message, Exception):
            raise message
        return ua.RepublishResponse(NotificationMessage=message.Parameters.NotificationMessage)

    async def _publish(self, acknowledgements):
        self.acknowledged += [each.SequenceNumber for each in acknowledgements]
        if self.loses:
            self.loses -= 1
            await asyncio.Event().wait()
        answer = await self._answers.get()
        if isinstance(answer, Exception):
            raise answer
        return Buffer(struct_to_binary(answer))


def notification(sequence: int, *values: float, subscription: int = 7, more: bool = False) -> ua.PublishResponse:
    """A publish answer with values of tag 0; without values a keep-alive."""
    items = [ua.MonitoredItemNotification(0, ua.DataValue(ua.Variant(value))) for value in values]
    response = ua.PublishResponse()
    response.Parameters.MoreNotifications = more
    response.Parameters.SubscriptionId = subscription
    response.Parameters.NotificationMessage.SequenceNumber = sequence
    if items:
        response.Parameters.NotificationMessage.NotificationData = [ua.DataChangeNotification(MonitoredItems=items)]
    return response


def whole(message: Notification, decoder: Decoder | None = None, now_ns: int = 1_800_000_000_000_000_000):
    """Handles and values of a message, all at once."""
    portions = list(message.values(decoder or Decoder(), now_ns))
    handles = [each for each, _ in portions] or [np.empty(0, np.intp)]
    return np.concatenate(handles), joined([block for _, block in portions] or [empty_block(0)])
