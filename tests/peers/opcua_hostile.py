"""Who answers at the port of an OPC UA server and means no good: raw sockets, each kind of attack by its name.

    python opcua_hostile.py --port 4840 endless-chunks

says {"ready": PORT} and attacks whoever connects. `ATTACKS` has all of them. Those before a session need no certificate and
no login; the others follow once a session is open, by `Bent`, which opens one properly (without security).
"""

import argparse
import asyncio
import json
import struct
from collections.abc import Awaitable, Callable

from asyncua import ua
from asyncua.ua.ua_binary import nodeid_from_binary, struct_from_binary, struct_to_binary, uatcp_to_binary

CHANNEL, TOKEN = 7, 13
ENDPOINT_POLICY = ua.UserTokenPolicy(PolicyId="anonymous", TokenType=ua.UserTokenType.Anonymous)
BLOCK = bytes(60_000)


class Client:
    """The gateway, as seen from the server: what it asks, and how it is answered."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader, self._writer = reader, writer
        self._number = 0
        self.request = 0
        """Number of the last request."""

    async def asked(self) -> tuple[bytes, bytes]:
        """Kind and body of its next message; requests come in one chunk."""
        kind, _, size = struct.unpack("<3scI", await self._reader.readexactly(8))
        body = await self._reader.readexactly(size - 8)
        if kind == b"OPN":
            at = 4
            for _ in range(3):
                (length,) = struct.unpack_from("<i", body, at)
                at += 4 + max(0, length)
            self.request = struct.unpack_from("<II", body, at)[1]
            return kind, body[at + 8 :]
        if kind == b"MSG":
            self.request = struct.unpack_from("<II", body, 8)[1]
            return kind, body[16:]
        return kind, body

    async def send(self, data: bytes) -> None:
        """Bytes as they are."""
        self._writer.write(data)
        await self._writer.drain()

    async def acknowledge(self, **limits: int) -> None:
        """Answer its Hello."""
        await self.asked()
        await self.send(uatcp_to_binary(ua.MessageType.Acknowledge, ua.Acknowledge(**limits)))

    def chunk(self, body: bytes, kind: bytes = b"F", *, request: int | None = None, claimed: int = 0) -> bytes:
        """One chunk of an answer to the last request."""
        self._number += 1
        head = struct.pack("<IIII", CHANNEL, TOKEN, self._number, self.request if request is None else request)
        return struct.pack("<3scI", b"MSG", kind, claimed or 8 + len(head) + len(body)) + head + body

    async def answer(self, response: object) -> None:
        """A whole answer, in chunks of 60 kB."""
        body = response if isinstance(response, bytes) else struct_to_binary(response)
        for at in range(0, max(1, len(body)), len(BLOCK)):
            last = at + len(BLOCK) >= len(body)
            await self.send(self.chunk(body[at : at + len(BLOCK)], b"F" if last else b"C"))

    async def open_channel(self) -> None:
        """Answer its OpenSecureChannel, without security."""
        await self.asked()
        self._number += 1
        response = ua.OpenSecureChannelResponse()
        response.Parameters.SecurityToken = ua.ChannelSecurityToken(CHANNEL, TOKEN, RevisedLifetime=3_600_000)
        response.Parameters.ServerNonce = b""
        policy = b"http://opcfoundation.org/UA/SecurityPolicy#None"
        head = struct.pack("<I", CHANNEL) + struct.pack("<i", len(policy)) + policy + struct.pack("<ii", -1, -1)
        body = head + struct.pack("<II", self._number, self.request) + struct_to_binary(response)
        await self.send(struct.pack("<3scI", b"OPN", b"F", 8 + len(body)) + body)


Attack = Callable[[Client], Awaitable[None]]
ATTACKS: dict[str, Attack] = {}


def attack(name: str) -> Callable[[Attack], Attack]:
    def keep(do: Attack) -> Attack:
        ATTACKS[name] = do
        return do

    return keep


async def _greeted(client: Client) -> None:
    await client.acknowledge()
    await client.open_channel()
    await client.asked()


@attack("garbage")
async def garbage(client: Client) -> None:
    await client.asked()
    while True:
        await client.send(b"HTTP/1.1 400 Bad Request\r\n" * 1000)


@attack("giant-header")
async def giant_header(client: Client) -> None:
    await client.asked()
    await client.send(struct.pack("<3scI", b"MSG", b"F", 0xFFFF_FFFF))
    while True:
        await client.send(BLOCK)


@attack("drip")
async def drip(client: Client) -> None:
    await client.asked()
    for byte in struct.pack("<3scI", b"ACK", b"F", 28) + bytes(20):
        await client.send(bytes([byte]))
        await asyncio.sleep(0.3)


@attack("acknowledged-zero")
async def acknowledged_zero(client: Client) -> None:
    await client.acknowledge(ReceiveBufferSize=0, SendBufferSize=0)
    await client.open_channel()
    await asyncio.Event().wait()


@attack("acknowledged-one")
async def acknowledged_one(client: Client) -> None:
    await client.acknowledge(ReceiveBufferSize=1, SendBufferSize=1, MaxMessageSize=1, MaxChunkCount=1)
    await client.open_channel()
    await asyncio.Event().wait()


@attack("acknowledged-again-and-again")
async def acknowledged_again(client: Client) -> None:
    await client.acknowledge()
    while True:
        await client.send(uatcp_to_binary(ua.MessageType.Acknowledge, ua.Acknowledge()) * 1000)


@attack("error-text")
async def error_text(client: Client) -> None:
    await client.asked()
    reason = "\udce9\x1b[2J\n" * 500
    error = ua.ErrorMessage(ua.StatusCode(ua.StatusCodes.BadTcpInternalError), reason)
    await client.send(uatcp_to_binary(ua.MessageType.Error, error))


@attack("endless-chunks")
async def endless_chunks(client: Client) -> None:
    await _greeted(client)
    while True:
        await client.send(client.chunk(BLOCK, b"C"))


@attack("empty-chunks")
async def empty_chunks(client: Client) -> None:
    await _greeted(client)
    while True:
        await client.send(b"".join(client.chunk(b"", b"C") for _ in range(1000)))


@attack("aborted-chunks")
async def aborted_chunks(client: Client) -> None:
    await _greeted(client)
    body = struct_to_binary(ua.ErrorMessage(ua.StatusCode(ua.StatusCodes.BadTcpInternalError), "no"))
    while True:
        await client.send(b"".join(client.chunk(body, b"A") for _ in range(1000)))


@attack("answers-nobody-asked-for")
async def unasked(client: Client) -> None:
    await _greeted(client)
    while True:
        await client.send(b"".join(client.chunk(bytes(40)) for _ in range(1000)))


@attack("answers-to-later-requests")
async def later(client: Client) -> None:
    await _greeted(client)
    while True:
        await client.send(b"".join(client.chunk(bytes(40), request=1_000_000 + each) for each in range(1000)))


@attack("deep-diagnostics")
async def deep_diagnostics(client: Client) -> None:
    await _greeted(client)
    header = struct.pack("<qII", 0, 1, 0) + b"\x40" * 50_000
    await client.answer(struct.pack("<BBH", 1, 0, 464) + header)


@attack("deep-variants")
async def deep_variants(client: Client) -> None:
    await _greeted(client)
    header = struct.pack("<qII", 0, 1, 0) + b"\0" + struct.pack("<i", 0)
    extension = struct.pack("<BBH", 1, 0, 17) + b"\1" + struct.pack("<i", 50_000)
    await client.answer(struct.pack("<BBH", 1, 0, 464) + header + extension + b"\x18" * 50_000)


@attack("negative-lengths")
async def negative_lengths(client: Client) -> None:
    await _greeted(client)
    header = struct.pack("<qII", 0, 1, 0) + b"\0" + struct.pack("<i", 2**31 - 1) + struct.pack("<i", -4) * 100
    await client.answer(struct.pack("<BBH", 1, 0, 464) + header)


@attack("million-endpoints")
async def million_endpoints(client: Client) -> None:
    await _greeted(client)
    response = ua.GetEndpointsResponse()
    body = struct_to_binary(response)[:-4] + struct.pack("<i", 1_000_000) + bytes(900_000)
    await client.answer(body)


class Bent(Client):
    """Opens a session properly, and then answers each request by `answers[type of request]`, or not at all."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        super().__init__(reader, writer)
        self.answers: dict[str, Callable[[object], object]] = {
            "GetEndpointsRequest": lambda asked: ua.GetEndpointsResponse(),
            "CreateSessionRequest": session_of,
            "ActivateSessionRequest": lambda asked: ua.ActivateSessionResponse(),
            "CloseSessionRequest": lambda asked: ua.CloseSessionResponse(),
            "ReadRequest": _read,
            "CreateSubscriptionRequest": _subscribed,
            "CreateMonitoredItemsRequest": monitored,
            "DeleteSubscriptionsRequest": lambda asked: ua.DeleteSubscriptionsResponse(),
            "TranslateBrowsePathsToNodeIdsRequest": _translated,
            "BrowseRequest": _browsed,
            "CallRequest": _called,
            "SetPublishingModeRequest": _confirmed,
            "RepublishRequest": _not_kept,
            "DeleteMonitoredItemsRequest": lambda asked: ua.DeleteMonitoredItemsResponse(),
        }

    async def serve(self) -> None:
        """Until the client goes."""
        await self.acknowledge()
        await self.open_channel()
        while True:
            kind, body = await self.asked()
            if kind == b"MSG":
                await self.answer_to(_request(body))

    async def answer_to(self, request: object) -> None:
        make = self.answers.get(type(request).__name__)
        if make is not None:
            response = make(request)
            if response is not None:
                await self.answer(response)


def _request(body: bytes) -> object:
    data = ua.utils.Buffer(body)
    kind = ua.extension_objects_by_typeid.get(nodeid_from_binary(data))
    return struct_from_binary(kind, ua.utils.Buffer(body)) if kind else None


def session_of(asked: object) -> ua.CreateSessionResponse:
    """A new session, in which no endpoints are told."""
    response = ua.CreateSessionResponse()
    response.Parameters.SessionId = ua.NodeId(1, 1)
    response.Parameters.AuthenticationToken = ua.NodeId(2, 1)
    response.Parameters.RevisedSessionTimeout = 60_000.0
    return response


def value_of(node: ua.NodeId) -> ua.DataValue:
    """Namespaces for the node that tells them; a number for each other."""
    if node == ua.NodeId(2255):
        names = ["http://opcfoundation.org/UA/", "urn:server", "http://peer.example/plant"]
        return ua.DataValue(ua.Variant(names, ua.VariantType.String))
    return ua.DataValue(ua.Variant(1.5, ua.VariantType.Double))


def _read(asked: ua.ReadRequest) -> ua.ReadResponse:
    values = [value_of(each.NodeId) for each in asked.Parameters.NodesToRead]
    return ua.ReadResponse(Results=values)


def _translated(asked: ua.TranslateBrowsePathsToNodeIdsRequest) -> ua.TranslateBrowsePathsToNodeIdsResponse:
    none = ua.BrowsePathResult(StatusCode=ua.StatusCode(ua.StatusCodes.BadNoMatch))
    return ua.TranslateBrowsePathsToNodeIdsResponse(Results=[none] * len(asked.Parameters.BrowsePaths))


def _browsed(asked: ua.BrowseRequest) -> ua.BrowseResponse:
    return ua.BrowseResponse(Results=[ua.BrowseResult() for _ in asked.Parameters.NodesToBrowse])


def _called(asked: ua.CallRequest) -> ua.CallResponse:
    no = ua.CallMethodResult(StatusCode=ua.StatusCode(ua.StatusCodes.BadMethodInvalid))
    return ua.CallResponse(Results=[no] * len(asked.Parameters.MethodsToCall))


def _confirmed(asked: ua.SetPublishingModeRequest) -> ua.SetPublishingModeResponse:
    response = ua.SetPublishingModeResponse()
    response.Parameters.Results = [ua.StatusCode(0)] * len(asked.Parameters.SubscriptionIds)
    return response


def _not_kept(asked: object) -> ua.ServiceFault:
    made = ua.ServiceFault()
    made.ResponseHeader.ServiceResult = ua.StatusCode(ua.StatusCodes.BadMessageNotAvailable)
    return made


def _subscribed(asked: ua.CreateSubscriptionRequest) -> ua.CreateSubscriptionResponse:
    response = ua.CreateSubscriptionResponse()
    response.Parameters.SubscriptionId = 7
    response.Parameters.RevisedPublishingInterval = asked.Parameters.RequestedPublishingInterval
    response.Parameters.RevisedMaxKeepAliveCount = asked.Parameters.RequestedMaxKeepAliveCount
    return response


def monitored(asked: ua.CreateMonitoredItemsRequest) -> ua.CreateMonitoredItemsResponse:
    """All items are granted."""
    count = len(asked.Parameters.ItemsToCreate)
    made = [ua.MonitoredItemCreateResult(MonitoredItemId=each + 1, RevisedQueueSize=1) for each in range(count)]
    return ua.CreateMonitoredItemsResponse(Results=made)


def published(number: int, *parts: object) -> ua.PublishResponse:
    """One message of the subscription."""
    response = ua.PublishResponse()
    response.Parameters.SubscriptionId = 7
    response.Parameters.NotificationMessage.SequenceNumber = number
    response.Parameters.NotificationMessage.NotificationData = list(parts)
    return response


def values(count: int, value: object = 1.5) -> ua.DataChangeNotification:
    """The same value of tag 0, many times."""
    item = ua.MonitoredItemNotification(0, ua.DataValue(ua.Variant(value)))
    return ua.DataChangeNotification(MonitoredItems=[item] * count)


def bent(name: str) -> Callable[[Callable[[], dict[str, Callable[[object], object]]]], None]:
    """An attack that answers some requests in its own way."""

    def keep(make: Callable[[], dict[str, Callable[[object], object]]]) -> None:
        async def serve(client: Client) -> None:
            server = Bent(client._reader, client._writer)
            server.answers |= make()
            await server.serve()

        ATTACKS[name] = serve

    return keep


def counting(make: Callable[[int], object]) -> Callable[[object], object]:
    """An answer made of its number, from 1."""
    numbers = iter(range(1, 2**31))
    return lambda asked: make(next(numbers))


@bent("read-without-results")
def _() -> dict[str, Callable[[object], object]]:
    def read(asked: ua.ReadRequest) -> ua.ReadResponse:
        return ua.ReadResponse(Results=[]) if len(asked.Parameters.NodesToRead) < 3 else _read(asked)

    return {"ReadRequest": read}


@bent("read-with-a-million-results")
def _() -> dict[str, Callable[[object], object]]:
    body = struct_to_binary(ua.ReadResponse())[:-8] + struct.pack("<i", 5_000_000) + bytes(5_000_000 + 4)
    return {"ReadRequest": lambda asked: _read(asked) if len(asked.Parameters.NodesToRead) > 3 else body}


@bent("publish-flood")
def _() -> dict[str, Callable[[object], object]]:
    return {"PublishRequest": counting(published)}


@bent("publish-refused-at-once")
def _() -> dict[str, Callable[[object], object]]:
    fault = ua.ServiceFault()
    fault.ResponseHeader.ServiceResult = ua.StatusCode(ua.StatusCodes.BadTimeout)
    return {"PublishRequest": lambda asked: fault}


@bent("publish-of-60000-values")
def _() -> dict[str, Callable[[object], object]]:
    body = values(60_000)
    return {"PublishRequest": counting(lambda number: published(number, body))}


@bent("publish-of-60000-texts")
def _() -> dict[str, Callable[[object], object]]:
    body = values(60_000, "abc")
    return {"PublishRequest": counting(lambda number: published(number, body))}


@bent("publish-of-small-values-in-large-numbers")
def _() -> dict[str, Callable[[object], object]]:
    items = struct.pack("<i", 2_000_000) + struct.pack("<IB", 0, 0) * 2_000_000 + struct.pack("<i", 0)
    return {"PublishRequest": counting(lambda number: with_items(published(number, values(0)), items))}


@bent("publish-of-texts-of-all-tags")
def _() -> dict[str, Callable[[object], object]]:
    def change(handle: int) -> ua.MonitoredItemNotification:
        return ua.MonitoredItemNotification(handle, ua.DataValue(ua.Variant("Kessel °C " * 3)))

    part = struct_to_binary(ua.DataChangeNotification([change(row) for row in range(20_000)] * 3))
    return {"PublishRequest": counting(lambda number: with_items(published(number, values(0)), part))}


@bent("publish-of-large-texts")
def _() -> dict[str, Callable[[object], object]]:
    body = values(10, "x" * (1 << 20))
    return {"PublishRequest": counting(lambda number: published(number, body))}


@bent("publish-of-large-arrays")
def _() -> dict[str, Callable[[object], object]]:
    body = values(2, [1.5] * 1_000_000)
    return {"PublishRequest": counting(lambda number: published(number, body))}


@bent("messages-missing-for-ever")
def _() -> dict[str, Callable[[object], object]]:
    def again(asked: ua.RepublishRequest) -> ua.RepublishResponse:
        number = asked.Parameters.RetransmitSequenceNumber
        return ua.RepublishResponse(NotificationMessage=published(number, values(1000)).Parameters.NotificationMessage)

    return {
        "PublishRequest": counting(lambda number: published(number * 1_000_000, values(1))),
        "RepublishRequest": again,
    }


def _event(number: int, text: str = "Kessel zu hei\udcdf", condition: int = 0) -> ua.EventFieldList:
    """Fields as the driver asks for them; a retained condition where it has a number."""
    named = {
        0: ua.Variant(number.to_bytes(8, "big"), ua.VariantType.ByteString),
        1: ua.Variant(ua.NodeId(ua.ObjectIds.AlarmConditionType), ua.VariantType.NodeId),
        3: ua.Variant(text, ua.VariantType.String),
        5: ua.Variant(ua.LocalizedText(text), ua.VariantType.LocalizedText),
        6: ua.Variant(700, ua.VariantType.UInt16),
    }
    if condition:
        named[7] = ua.Variant(ua.NodeId(f"C{condition}\udce9", 2), ua.VariantType.NodeId)
        named[8] = ua.Variant(text, ua.VariantType.String)
        named[10] = ua.Variant(True, ua.VariantType.Boolean)
    fields = [named.get(at, ua.Variant(None)) for at in range(20)]
    return ua.EventFieldList(ClientHandle=0, EventFields=fields)


@bent("events-of-latin-1")
def _() -> dict[str, Callable[[object], object]]:
    made = counting(lambda number: published(number, ua.EventNotificationList(Events=[_event(number, condition=1)])))
    return {"PublishRequest": made}


@bent("events-in-floods")
def _() -> dict[str, Callable[[object], object]]:
    part = ua.EventNotificationList(Events=[_event(number) for number in range(5000)])
    return {"PublishRequest": counting(lambda number: published(number, part))}


@bent("conditions-without-end")
def _() -> dict[str, Callable[[object], object]]:
    def make(number: int) -> ua.PublishResponse:
        some = range(number * 1000, number * 1000 + 1000)
        return published(number, ua.EventNotificationList(Events=[_event(each, condition=each) for each in some]))

    return {"PublishRequest": counting(make)}


def raw_value(variant: bytes) -> bytes:
    """A data value with this variant in it."""
    return b"\1" + variant


ODD_VALUES = {
    "deep": b"\x18" * 5000 + b"\0",
    "two billion numbers": b"\x86" + struct.pack("<i", 2**31 - 1),
    "two billion nulls": b"\x80" + struct.pack("<i", 2**31 - 1),
    "negative length": b"\x0c" + struct.pack("<i", -7),
    "negative count": b"\x8c" + struct.pack("<i", -7),
    "no such type": b"\x3f",
    "extension of length -1": b"\x16" + struct.pack("<BBHBi", 1, 2, 5017, 1, -1),
    "extension without body": b"\x16" + struct.pack("<BBHB", 1, 2, 5017, 0),
    "known type without body": b"\x16" + struct.pack("<BBHB", 1, 0, 886, 0),
    "known type cut off": b"\x16" + struct.pack("<BBHBi", 1, 0, 886, 1, 3) + b"abc",
    "null structure": b"\x16" + struct.pack("<BBB", 0, 0, 0),
    "sizes of a million": b"\xc6" + struct.pack("<iiiii", 1, 5, 2, 1000, 1000),
    "latin-1": b"\x0c" + struct.pack("<i", 3) + b"\xb0C!",
    "latin-1 in a list": b"\x8c" + struct.pack("<ii", 1, 3) + b"\xb0C!",
}
"""Variants, some with no end that can be told."""


def odd_items(*variants: bytes) -> bytes:
    """A publish answer in which tag 0 has each of these, and tag 1 is good behind them."""
    items = b"".join(struct.pack("<I", 0) + raw_value(each) for each in variants)
    items += struct.pack("<I", 1) + struct_to_binary(ua.DataValue(ua.Variant(2.5)))
    return struct.pack("<i", len(variants) + 1) + items + struct.pack("<i", 0)


def with_items(message: ua.PublishResponse, items: bytes) -> bytes:
    """The answer, whose part has these bytes in place of its own."""
    whole = struct_to_binary(message)
    empty = struct_to_binary(values(0))
    at = whole.rindex(struct.pack("<i", len(empty)) + empty)
    return whole[:at] + struct.pack("<i", len(items)) + items + whole[at + 4 + len(empty) :]


@bent("odd-values")
def _() -> dict[str, Callable[[object], object]]:
    all_of_them = list(ODD_VALUES.values())

    def make(number: int) -> bytes:
        return with_items(published(number, values(0)), odd_items(all_of_them[number % len(all_of_them)]))

    return {"PublishRequest": counting(make)}


@bent("browse-without-end")
def _() -> dict[str, Callable[[object], object]]:
    numbers = iter(range(1, 2**31))

    def page() -> ua.BrowseResult:
        found = [
            ua.ReferenceDescription(
                ReferenceTypeId=ua.NodeId(35),
                NodeId=ua.ExpandedNodeId(next(numbers), 2),
                BrowseName=ua.QualifiedName("a\nb\udce9", 2),
                NodeClass=ua.NodeClass.Variable,
            )
            for _ in range(100)
        ]
        return ua.BrowseResult(ContinuationPoint=b"more", References=found)

    def next_page(asked: ua.BrowseNextRequest) -> ua.BrowseNextResponse:
        response = ua.BrowseNextResponse()
        response.Parameters.Results = [page() for _ in asked.Parameters.ContinuationPoints]
        return response

    return {
        "BrowseRequest": lambda asked: ua.BrowseResponse(Results=[page() for _ in asked.Parameters.NodesToBrowse]),
        "BrowseNextRequest": next_page,
    }


async def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--port", type=int, default=0)
    parser.add_argument("attack", choices=ATTACKS)
    options = parser.parse_args()

    async def attacked(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            await ATTACKS[options.attack](Client(reader, writer))
        except (OSError, asyncio.IncompleteReadError):
            pass
        finally:
            writer.close()

    server = await asyncio.start_server(attacked, "127.0.0.1", options.port)
    print(json.dumps({"ready": server.sockets[0].getsockname()[1]}), flush=True)
    await server.serve_forever()


if __name__ == "__main__":
    asyncio.run(main())
