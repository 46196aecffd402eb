"""An OPC UA server of our own for one connection, without security, one of whose answers is hostile (OPC 10000-6 §7.1).

    Conversation(link, Read=lambda talk, request: …).run()

An answer is a response of the library, its bytes, or None for none. The library encodes; it does not serve.
"""

import itertools
import select
import struct
import time
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

from asyncua import ua
from asyncua.common.utils import Buffer
from asyncua.ua.ua_binary import nodeid_from_binary, struct_from_binary, struct_to_binary

from tests.attack.attacks import Link, Site

NAMESPACES = ["http://opcfoundation.org/UA/", "urn:hostile", "http://hostile.example/plant"]
CHANNEL, TOKEN = 7, 9
CHUNK = 60_000
"""Bytes of an answer in one chunk, a little less than the gateway's buffer."""
_NAMES = {value: name.removesuffix("Request_Encoding_DefaultBinary") for value, name in ua.ObjectIdNames.items()}

Answer = Callable[["Conversation", Any], Any]


class Conversation:
    """Answers what the gateway asks; `items` are the handles that it monitors."""

    def __init__(self, link: Link, *, beat: float = 0.1, lifetime: int = 3_600_000, **answers: Answer) -> None:
        """`answers` stand in for those below, by the name of the service; `beat` is seconds between notifications,
        `lifetime` that of a channel's token in ms."""
        self.link = link
        self.items: list[int] = []
        self.subscription = 1
        """The one of the items."""
        self.event_items: list[int] = []
        self.event_subscription = 1
        self.publishes: list[tuple[int, int]] = []
        """Request id and handle of the publish requests that wait."""
        self.request_id = 0
        self.type = b"MSG"
        self._answers = answers
        self._beat = beat
        self._lifetime = lifetime
        self._numbers = itertools.count(1)
        self._notified = itertools.count(1)
        self._subscriptions = itertools.count(1)
        self._next = 0.0

    def greet(self) -> None:
        """Hello and acknowledge."""
        self.message()
        self.link.send(struct.pack("<4sIIIIII", b"ACKF", 28, 0, 65536, 65536, 0, 0))

    def message(self) -> tuple[bytes, bytes]:
        """The next chunk: its type and what follows its size."""
        head = self.link.read(8)
        return head[:4], self.link.read(struct.unpack_from("<I", head, 4)[0] - 8)

    def run(self) -> None:
        """Until the gateway goes."""
        self.greet()
        while True:
            self.step()

    def step(self) -> None:
        """Answer one request, or notify."""
        if select.select([self.link.sock], [], [], self._beat)[0]:
            kind, data = self.message()
            if kind[:3] == b"OPN":
                self._open(data)
            elif kind[:3] == b"CLO":
                raise EOFError
            else:
                self.request_id = struct.unpack_from("<I", data, 12)[0]
                self._serve(data[16:])
        if self.publishes and self.items and time.monotonic() >= self._next:
            self._next = time.monotonic() + self._beat
            self.notify(self.changes(self.items))

    def _open(self, data: bytes) -> None:
        body = Buffer(data[4:])
        lengths = 0
        for _ in range(3):  # policy, certificate, thumbprint
            size = struct.unpack("<i", body.read(4))[0]
            body.read(max(size, 0))
            lengths += 4 + max(size, 0)
        self.request_id = struct.unpack("<II", body.read(8))[1]
        request = struct_from_binary(ua.OpenSecureChannelRequest, body)
        answer = ua.OpenSecureChannelResponse()
        answer.Parameters.SecurityToken = ua.ChannelSecurityToken(CHANNEL, TOKEN, datetime.now(UTC), self._lifetime)
        policy = b"http://opcfoundation.org/UA/SecurityPolicy#None"
        head = struct.pack("<I", CHANNEL) + struct.pack("<i", len(policy)) + policy + b"\xff" * 8
        head += struct.pack("<II", next(self._numbers), self.request_id)
        body = head + self.encoded(answer, request.RequestHeader.RequestHandle)
        self.link.send(struct.pack("<4sI", b"OPNF", len(body) + 8) + body)

    def _serve(self, body: bytes) -> None:
        kind = nodeid_from_binary(Buffer(body))
        name = _NAMES.get(kind.Identifier, "")
        request = struct_from_binary(getattr(ua, f"{name}Request"), Buffer(body))
        answer = self._answers.get(name) or getattr(self, f"on_{name}", None)
        told = (
            answer(self, request)
            if name in self._answers
            else answer(request)
            if answer
            else fault("BadServiceUnsupported")
        )
        if told is not None:
            self.answer(told, request.RequestHeader.RequestHandle)

    def answer(self, told: Any, handle: int, request_id: int | None = None) -> None:
        """Send a response, in as many chunks as it takes."""
        body = told if isinstance(told, bytes) else self.encoded(told, handle)
        number = self.request_id if request_id is None else request_id
        parts = [body[at : at + CHUNK] for at in range(0, len(body), CHUNK)]
        for part in parts[:-1]:
            self.link.send(self.chunk(b"MSGC", part, number))
        self.link.send(self.chunk(b"MSGF", parts[-1], number))

    def chunk(self, kind: bytes, body: bytes, request_id: int | None = None) -> bytes:
        """One chunk as it is sent."""
        number = self.request_id if request_id is None else request_id
        return struct.pack("<4sIIIII", kind, len(body) + 24, CHANNEL, TOKEN, next(self._numbers), number) + body

    def encoded(self, told: Any, handle: int) -> bytes:
        """A response's bytes."""
        told.ResponseHeader.RequestHandle = handle
        told.ResponseHeader.Timestamp = datetime.now(UTC)
        return bytes(struct_to_binary(told))

    def notify(self, *data: Any) -> None:
        """Answer the oldest publish request."""
        request_id, handle = self.publishes.pop(0)
        answer = ua.PublishResponse()
        answer.Parameters.SubscriptionId = self.subscription
        answer.Parameters.NotificationMessage = ua.NotificationMessage(
            next(self._notified), datetime.now(UTC), [ua.ExtensionObject() if each is None else each for each in data]
        )
        self.answer(answer, handle, request_id)

    def changes(self, handles: list[int], value: Any = None) -> ua.DataChangeNotification:
        """A value for each of these items."""
        one = _double(time.time() % 1000) if value is None else value
        return ua.DataChangeNotification(MonitoredItems=[ua.MonitoredItemNotification(each, one) for each in handles])

    # What a good server answers.

    def on_GetEndpoints(self, _: Any) -> Any:
        answer = ua.GetEndpointsResponse()
        answer.Endpoints = [endpoint()]
        return answer

    def on_CreateSession(self, _: Any) -> Any:
        answer = ua.CreateSessionResponse()
        told = answer.Parameters
        told.SessionId, told.AuthenticationToken = ua.NodeId(1, 1), ua.NodeId(2, 1)
        told.RevisedSessionTimeout, told.ServerNonce = 60_000.0, b"\1" * 32
        told.ServerEndpoints = [endpoint()]
        return answer

    def on_ActivateSession(self, _: Any) -> Any:
        return ua.ActivateSessionResponse()

    def on_CloseSession(self, _: Any) -> Any:
        return ua.CloseSessionResponse()

    def on_Read(self, request: Any) -> Any:
        answer = ua.ReadResponse()
        answer.Results = [attribute(each) for each in request.Parameters.NodesToRead]
        return answer

    def on_TranslateBrowsePathsToNodeIds(self, request: Any) -> Any:
        answer = ua.TranslateBrowsePathsToNodeIdsResponse()
        none = ua.BrowsePathResult(ua.StatusCode(ua.StatusCodes.BadNoMatch))
        answer.Results = [none] * len(request.Parameters.BrowsePaths)
        return answer

    def on_Browse(self, request: Any) -> Any:
        answer = ua.BrowseResponse()
        answer.Results = [ua.BrowseResult() for _ in request.Parameters.NodesToBrowse]
        return answer

    def on_CreateSubscription(self, request: Any) -> Any:
        answer = ua.CreateSubscriptionResponse()
        asked = request.Parameters
        answer.Parameters = ua.CreateSubscriptionResult(
            next(self._subscriptions),
            asked.RequestedPublishingInterval,
            asked.RequestedLifetimeCount,
            asked.RequestedMaxKeepAliveCount,
        )
        return answer

    def on_CreateMonitoredItems(self, request: Any) -> Any:
        answer = ua.CreateMonitoredItemsResponse()
        items = request.Parameters.ItemsToCreate
        handles = [each.RequestedParameters.ClientHandle for each in items]
        if items and items[0].ItemToMonitor.AttributeId == ua.AttributeIds.EventNotifier:
            self.event_items, self.event_subscription = handles, request.Parameters.SubscriptionId
        else:
            self.items, self.subscription = self.items + handles, request.Parameters.SubscriptionId
        answer.Results = [ua.MonitoredItemCreateResult(ua.StatusCode(0), n, 100.0, 10) for n, _ in enumerate(items, 1)]
        return answer

    def on_Call(self, request: Any) -> Any:
        answer = ua.CallResponse()
        answer.Results = [ua.CallMethodResult(ua.StatusCode(0)) for _ in request.Parameters.MethodsToCall]
        return answer

    def on_DeleteSubscriptions(self, request: Any) -> Any:
        answer = ua.DeleteSubscriptionsResponse()
        answer.Results = [ua.StatusCode(0)] * len(request.Parameters.SubscriptionIds)
        return answer

    def on_TransferSubscriptions(self, request: Any) -> Any:
        answer = ua.TransferSubscriptionsResponse()
        gone = ua.TransferResult(ua.StatusCode(ua.StatusCodes.BadSubscriptionIdInvalid))
        answer.Parameters.Results = [gone] * len(request.Parameters.SubscriptionIds)
        return answer

    def on_SetPublishingMode(self, request: Any) -> Any:
        answer = ua.SetPublishingModeResponse()
        gone = ua.StatusCode(ua.StatusCodes.BadSubscriptionIdInvalid)
        answer.Parameters.Results = [gone] * len(request.Parameters.SubscriptionIds)
        return answer

    def on_Republish(self, _: Any) -> Any:
        return fault("BadMessageNotAvailable")

    def on_Publish(self, request: Any) -> None:
        self.publishes.append((self.request_id, request.RequestHeader.RequestHandle))


def endpoint(**said: Any) -> ua.EndpointDescription:
    """An endpoint without security, for anonymous clients."""
    told = ua.EndpointDescription()
    told.EndpointUrl = "opc.tcp://127.0.0.1:4840"
    told.SecurityMode = ua.MessageSecurityMode.None_
    told.SecurityPolicyUri = "http://opcfoundation.org/UA/SecurityPolicy#None"
    told.UserIdentityTokens = [ua.UserTokenPolicy("anonymous", ua.UserTokenType.Anonymous)]
    told.TransportProfileUri = "http://opcfoundation.org/UA-Profile/Transport/uatcp-uasc-uabinary"
    for name, value in said.items():
        setattr(told, name, value)
    return told


def attribute(asked: Any) -> ua.DataValue:
    """A good server's value of an attribute."""
    if asked.AttributeId == ua.AttributeIds.Value:
        node = asked.NodeId.Identifier if asked.NodeId.NamespaceIndex == 0 else None
        if node == 2255:
            return ua.DataValue(ua.Variant(NAMESPACES))
        if node is not None:
            return ua.DataValue(ua.Variant(0, ua.VariantType.UInt32))
        return _double(21.5)
    if asked.AttributeId == ua.AttributeIds.DataType:
        return ua.DataValue(ua.Variant(ua.NodeId(11)))
    if asked.AttributeId == ua.AttributeIds.Description:
        return ua.DataValue(ua.Variant(ua.LocalizedText("a value")))
    return ua.DataValue(ua.Variant(5, ua.VariantType.Byte))


def _double(value: float) -> ua.DataValue:
    now = datetime.now(UTC)
    return ua.DataValue(ua.Variant(value, ua.VariantType.Double), SourceTimestamp=now, ServerTimestamp=now)


def fault(name: str) -> ua.ServiceFault:
    """The answer that says that the service cannot be had."""
    told = ua.ServiceFault()
    told.ResponseHeader.ServiceResult = ua.StatusCode(getattr(ua.StatusCodes, name))
    return told


# What the configuration says of such servers.


def device(site: Site, name: str = "bad", port: int = 0, tags: int = 10, more: str = "", scan: str = "200ms") -> str:
    lines = "\n".join(f'tag_{n} = {{ address = "ns=2;s=T{n}" }}' for n in range(tags))
    return f"""
[[device]]
name = "{name}"
driver = "opcua"
url = "opc.tcp://127.0.0.1:{site.ports[port]}"
security = "none"
scan = "{scan}"
timeout = "3s"
{more}
[device.tags]
{lines}
"""


def polled(site: Site) -> str:
    return device(site, more='acquisition = "poll"')


def alarmed(site: Site) -> str:
    return device(site, more="events = true")


def secured(site: Site) -> str:
    return device(site).replace('security = "none"', "")


def thousands(site: Site) -> str:
    return device(site, tags=20_000, scan="1s")


def six_slow(site: Site) -> str:
    return "".join(device(site, f"bad-{port}", port, tags=4000, scan="1s") for port in range(6))
