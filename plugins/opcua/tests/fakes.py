"""A session whose answers the test writes."""

import asyncio

from asyncua import ua
from asyncua.common.utils import Buffer
from asyncua.ua.ua_binary import struct_to_binary

from plugins.opcua.publishing import Publishing


class FakeSession:
    """Stands in for `Session`: accepts every item, and answers publish requests with what the test lets it say."""

    certificate = "own.der"
    renew_at = float("inf")

    def __init__(self) -> None:
        self._answers: asyncio.Queue[ua.PublishResponse | Exception] = asyncio.Queue()
        self.acknowledged: list[int] = []
        self.publishing = Publishing(self._publish)

    def say(self, *answers: ua.PublishResponse | Exception) -> None:
        """Answer the next publish requests so."""
        for answer in answers:
            self._answers.put_nowait(answer)

    def node_id(self, address) -> ua.NodeId:
        return ua.NodeId(1)

    async def request(self, request, response):
        result = ua.CreateSubscriptionResponse()
        result.Parameters.SubscriptionId = 7
        result.Parameters.RevisedPublishingInterval = request.Parameters.RequestedPublishingInterval
        result.Parameters.RevisedMaxKeepAliveCount = request.Parameters.RequestedMaxKeepAliveCount
        return result

    async def monitor(self, subscription, items):
        parameters = [item.RequestedParameters for item in items]
        return [
            ua.MonitoredItemCreateResult(RevisedSamplingInterval=each.SamplingInterval, RevisedQueueSize=each.QueueSize)
            for each in parameters
        ]

    async def unsubscribe(self, subscriptions) -> None:
        pass

    async def _publish(self, acknowledgements):
        self.acknowledged += [each.SequenceNumber for each in acknowledgements]
        answer = await self._answers.get()
        if isinstance(answer, Exception):
            raise answer
        return Buffer(struct_to_binary(answer))


def notification(sequence: int, *values: float, subscription: int = 7) -> ua.PublishResponse:
    """A publish answer with values of tag 0; without values a keep-alive."""
    items = [ua.MonitoredItemNotification(0, ua.DataValue(ua.Variant(value))) for value in values]
    response = ua.PublishResponse()
    response.Parameters.SubscriptionId = subscription
    response.Parameters.NotificationMessage.SequenceNumber = sequence
    if items:
        response.Parameters.NotificationMessage.NotificationData = [ua.DataChangeNotification(MonitoredItems=items)]
    return response
