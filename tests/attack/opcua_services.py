"""OPC UA servers whose answers to requests are odd, endless, slow, or none."""

import struct
import time
from datetime import UTC, datetime, timedelta
from typing import Any

from asyncua import ua

from tests.attack.attacks import Link, served
from tests.attack.opcua_wire import (
    Conversation,
    attribute,
    device,
    fault,
    polled,
    six_slow,
    thousands,
)


@served(device)
def bad_at_once(link: Link) -> None:
    """Each session ends at once: every request is answered with BadSessionIdInvalid."""
    said = {name: lambda *_: fault("BadSessionIdInvalid") for name in ("Read", "CreateSubscription", "Publish")}
    Conversation(link, **said).run()


@served(polled)
def bad_to_every_poll(link: Link) -> None:
    """Describing works; each poll is answered at once with another error."""
    codes = [name for name in dir(ua.StatusCodes) if name.startswith("Bad")]
    count = iter(range(10**9))

    def read(talk: Conversation, request: Any) -> Any:
        number = next(count)
        return talk.on_Read(request) if number < 8 else fault(codes[number % len(codes)])

    Conversation(link, Read=read).run()


@served(polled)
def read_without_results(link: Link) -> None:
    """ReadResponse without results, to each poll and description."""
    Conversation(link, Read=lambda *_: ua.ReadResponse()).run()


@served(polled)
def one_result_for_ten(link: Link) -> None:
    """ReadResponse with one result for all."""

    def read(talk: Conversation, request: Any) -> Any:
        answer = talk.on_Read(request)
        if request.Parameters.NodesToRead[0].NodeId.NamespaceIndex:
            answer.Results = answer.Results[:1]
        return answer

    Conversation(link, Read=read).run()


@served(device)
def results_60_000(link: Link) -> None:
    """Each read is answered with 60,000 results."""

    def read(_: Conversation, request: Any) -> Any:
        answer = ua.ReadResponse()
        answer.Results = [attribute(request.Parameters.NodesToRead[0])] * 60_000
        return answer

    Conversation(link, Read=read).run()


@served(device)
def items_without_results(link: Link) -> None:
    """CreateMonitoredItems without results, then with ids that are all the same."""
    Conversation(link, CreateMonitoredItems=lambda *_: ua.CreateMonitoredItemsResponse()).run()


@served(device, seconds=8.0)
def history_without_end(link: Link) -> None:
    """Loses its subscriptions at each connection, and then has always more of history, a thousand values a portion."""
    begin = time.monotonic()
    since = datetime.now(UTC)

    portion = b""

    def history(talk: Conversation, request: Any) -> bytes:
        nonlocal portion
        if not portion:
            answer = ua.HistoryReadResponse()
            later = [since + timedelta(microseconds=n + 1) for n in range(1000)]
            data = ua.HistoryData(DataValues=[ua.DataValue(ua.Variant(1.5), SourceTimestamp=each) for each in later])
            answer.Results = [ua.HistoryReadResult(HistoryData=data, ContinuationPoint=b"more")]
            portion = talk.encoded(answer, 0)
        handle = struct.pack("<I", request.RequestHeader.RequestHandle)
        return portion[:12] + handle + portion[16:]

    def publish(talk: Conversation, request: Any) -> None:
        talk.on_Publish(request)
        if time.monotonic() - begin > 1.0:
            raise EOFError

    talk = Conversation(link, HistoryRead=history, Publish=publish)
    talk.run()


@served(six_slow, seconds=15.0)
def six_slow_servers(link: Link) -> None:
    """Six honest servers with 4,000 tags each, two nodes a read, two milliseconds an answer."""

    def read(talk: Conversation, request: Any) -> Any:
        time.sleep(0.002)
        answer = talk.on_Read(request)
        for each, asked in zip(answer.Results, request.Parameters.NodesToRead, strict=True):
            if asked.NodeId.NamespaceIndex == 0 and asked.NodeId.Identifier in (11705, 11710, 11712):
                each.Value = ua.Variant(2, ua.VariantType.UInt32)
        return answer

    Conversation(link, Read=read).run()


@served(six_slow, seconds=10.0)
def six_servers_that_fall(link: Link) -> None:
    """Six servers with 4,000 tags each that hang up as soon as all is subscribed."""

    def publish(talk: Conversation, request: Any) -> None:
        raise EOFError

    Conversation(link, Publish=publish).run()


@served(device)
def types_without_end(link: Link) -> None:
    """A structure of fifty members, each of a structure of its own of fifty members, and so on without an end."""
    fresh = iter(range(10_000, 10**9))

    def definition() -> ua.DataValue:
        fields = [ua.StructureField(Name=f"m{n}", DataType=ua.NodeId(next(fresh), 2)) for n in range(50)]
        told = ua.StructureDefinition(DefaultEncodingId=ua.NodeId(next(fresh), 2), Fields=fields)
        return ua.DataValue(ua.Variant(told))

    def read(_: Conversation, request: Any) -> Any:
        answer = ua.ReadResponse()
        for asked in request.Parameters.NodesToRead:
            if asked.AttributeId == ua.AttributeIds.DataTypeDefinition:
                answer.Results.append(definition())
            elif asked.AttributeId == ua.AttributeIds.DataType:
                answer.Results.append(ua.DataValue(ua.Variant(ua.NodeId(next(fresh), 2))))
            else:
                answer.Results.append(attribute(asked))
        return answer

    Conversation(link, Read=read).run()


@served(device)
def types_in_a_ring(link: Link) -> None:
    """Each data type is a subtype of the next one, without an end; and has a thousand properties."""
    fresh = iter(range(10_000, 10**9))

    def browse(_: Conversation, request: Any) -> Any:
        answer = ua.BrowseResponse()
        many = [ua.ReferenceDescription(NodeId=ua.ExpandedNodeId(next(fresh), 2)) for _ in range(1000)]
        answer.Results = [ua.BrowseResult(References=many) for _ in request.Parameters.NodesToBrowse]
        return answer

    def read(_: Conversation, request: Any) -> Any:
        answer = ua.ReadResponse()
        for asked in request.Parameters.NodesToRead:
            own = asked.AttributeId == ua.AttributeIds.DataType
            answer.Results.append(ua.DataValue(ua.Variant(ua.NodeId(next(fresh), 2))) if own else attribute(asked))
        return answer

    Conversation(link, Browse=browse, Read=read).run()


@served(device)
def descriptions_of_5_mb(link: Link) -> None:
    """Each tag's description, unit and namespace is a text of five megabytes."""
    long = "long " * 1_000_000

    def read(_: Conversation, request: Any) -> Any:
        answer = ua.ReadResponse()
        for asked in request.Parameters.NodesToRead:
            told = attribute(asked)
            if asked.AttributeId == ua.AttributeIds.Description:
                told = ua.DataValue(ua.Variant(ua.LocalizedText(long)))
            elif asked.NodeId.NamespaceIndex == 0 and asked.NodeId.Identifier == 2255:
                told = ua.DataValue(ua.Variant([long[:100_000]] * 50))
            answer.Results.append(told)
        return answer

    Conversation(link, Read=read).run()


@served(device)
def revised_to_nothing(link: Link) -> None:
    """Channels, sessions and subscriptions are granted for no time at all, or for one that is no number."""

    def session(talk: Conversation, request: Any) -> Any:
        answer = talk.on_CreateSession(request)
        answer.Parameters.RevisedSessionTimeout = float("nan")
        return answer

    def subscription(talk: Conversation, request: Any) -> Any:
        answer = talk.on_CreateSubscription(request)
        answer.Parameters.RevisedPublishingInterval = [0.0, float("nan"), -1e308, 1e-300][talk.request_id % 4]
        answer.Parameters.RevisedLifetimeCount = answer.Parameters.RevisedMaxKeepAliveCount = 0
        return answer

    def items(talk: Conversation, request: Any) -> Any:
        answer = talk.on_CreateMonitoredItems(request)
        for each in answer.Results:
            each.RevisedSamplingInterval, each.RevisedQueueSize = float("nan"), 2**32 - 1
        return answer

    said = {"CreateSession": session, "CreateSubscription": subscription, "CreateMonitoredItems": items}
    Conversation(link, lifetime=0, **said).run()


@served(device)
def renewed_each_millisecond(link: Link) -> None:
    """A channel whose token is good for a millisecond, in an otherwise good session."""
    Conversation(link, lifetime=1).run()


@served(thousands)
def one_node_a_request(link: Link) -> None:
    """A server of 20,000 tags that allows one node in each request."""

    def read(talk: Conversation, request: Any) -> Any:
        answer = talk.on_Read(request)
        for each, asked in zip(answer.Results, request.Parameters.NodesToRead, strict=True):
            if asked.NodeId.NamespaceIndex == 0 and asked.NodeId.Identifier in (11705, 11710, 11712, 11714):
                each.Value = ua.Variant(1, ua.VariantType.UInt32)
        return answer

    Conversation(link, Read=read).run()


@served(device)
def faults_with_long_words(link: Link) -> None:
    """Faults with a table of a hundred thousand texts, of escapes, in each answer's header."""

    def read(_: Conversation, __: Any) -> Any:
        told = fault("BadOutOfMemory")
        told.ResponseHeader.StringTable = ["\x1b[2J\r\n"] * 100_000
        return told

    Conversation(link, Read=read).run()


@served(device, asks=({"command": "browse", "arguments": {"device": "bad"}},))
def browse_without_end(link: Link) -> None:
    """Somebody asks to browse, and each folder holds a thousand new folders."""
    fresh = iter(range(10_000, 10**9))

    def page() -> Any:
        found = [
            ua.ReferenceDescription(
                ReferenceTypeId=ua.NodeId(35),
                IsForward=True,
                NodeId=ua.ExpandedNodeId(number, 2),
                BrowseName=ua.QualifiedName(f"folder {number}", 2),
                DisplayName=ua.LocalizedText(f"folder {number}"),
                NodeClass=ua.NodeClass.Object,
                TypeDefinition=ua.ExpandedNodeId(61),
            )
            for number in (next(fresh) for _ in range(1000))
        ]
        return ua.BrowseResult(References=found, ContinuationPoint=b"more")

    def browse(_: Conversation, request: Any) -> Any:
        answer = ua.BrowseResponse()
        answer.Results = [page() for _ in request.Parameters.NodesToBrowse]
        return answer

    def browse_next(_: Conversation, request: Any) -> Any:
        answer = ua.BrowseNextResponse()
        answer.Parameters.Results = [page() for _ in request.Parameters.ContinuationPoints]
        return answer

    Conversation(link, Browse=browse, BrowseNext=browse_next).run()
