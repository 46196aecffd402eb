"""More than forty ways in which an OPC UA server misbehaves, one service at a time, for `bending.BendingProxy`.

The server has the tags P0, P1 and so on. BENT is the one that some manners are about.
"""

import asyncio
import struct
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

from asyncua import ua
from asyncua.ua.ua_binary import struct_to_binary

from tests.peers.opcua_hostile import ODD_VALUES, raw_value

from .bending import Bend, Exchange, HangUpError, Under, fault, tag_of

BENT = 5


@dataclass(frozen=True, slots=True)
class Manner:
    """One way to misbehave."""

    service: str
    """Whose answers are bent."""
    bend: Bend
    costs: str
    """What a driver may lose by it: "nothing", "bent" (the tag of that number), or "all"."""
    options: Mapping[str, Any] = field(default_factory=dict)
    """Of the device."""
    anew: bool = False
    """The service is asked at the beginning of a session only: the connection breaks, and the old session is forgotten."""
    cut: bool = False
    """The connection breaks, and the session can be continued."""
    ask: Callable[[Any], Any] | None = None
    """What the server is asked in place of what the client asks."""
    unasked: bool = False
    """The server does not hear of the requests."""


POLL = {"acquisition": "poll"}


def _publish(bend: Bend, costs: str) -> Manner:
    return Manner("Publish", bend, costs)


def _polled(bend: Bend, costs: str) -> Manner:
    return Manner("Read", bend, costs, POLL)


def _first(service: str, bend: Bend, costs: str, **more: bool) -> Manner:
    return Manner(service, bend, costs, anew=True, **more)


def _refused(service: str, name: str, costs: str = "all") -> Manner:
    return Manner(service, lambda x: fault(name), costs, anew=True, unasked=True)


def _silent(x: Exchange) -> None:
    return None


def _hang_up(x: Exchange) -> None:
    raise HangUpError


def _twice(x: Exchange) -> list[bytes]:
    return [x.body, x.body]


def _half(x: Exchange) -> bytes:
    return x.body[: len(x.body) // 2]


def _late(seconds: float) -> Bend:
    async def wait(x: Exchange) -> bytes:
        await asyncio.sleep(seconds)
        return x.body

    return wait


def _changed(change: Callable[[Any], Any]) -> Bend:
    """The right answer with something changed in it; faults stay as they are."""

    def bend(x: Exchange) -> Any:
        answer = x.answer
        if not isinstance(answer, ua.ServiceFault):
            change(answer)
        return answer

    return bend


def _header(**fields: Any) -> Bend:
    def change(answer: Any) -> None:
        for name, value in fields.items():
            setattr(answer.ResponseHeader, name, value)

    return _changed(change)


def _parameters(**fields: Any) -> Bend:
    def change(answer: Any) -> None:
        for name, value in fields.items():
            setattr(answer.Parameters, name, value)

    return _changed(change)


# --- values, as they are reported or read ---


def _spoilt_value(x: Exchange, value: bytes) -> bytes:
    """The answer with these bytes in place of the bent tag's data value."""
    mark = ua.DataValue(ua.Variant(b"here it is: %d" % id(x), ua.VariantType.ByteString))
    answer = _with_value(x, lambda _: mark)
    return answer.replace(struct_to_binary(mark), value)


def _part(x: Exchange, answer: ua.PublishResponse) -> Any:
    parts = answer.Parameters.NotificationMessage.NotificationData or []
    return next((part for part in parts if isinstance(part, ua.DataChangeNotification)), None)


def _with_value(x: Exchange, change: Callable[[ua.DataValue], ua.DataValue]) -> bytes:
    answer = x.answer
    if isinstance(answer, ua.PublishResponse) and (part := _part(x, answer)) is not None:
        for item in part.MonitoredItems:
            if x.rows.get(item.ClientHandle) == BENT:
                item.Value = change(item.Value)
    elif isinstance(answer, ua.ReadResponse):
        for row, wanted in enumerate(x.asked.Parameters.NodesToRead):
            if tag_of(wanted.NodeId) == BENT and wanted.AttributeId == ua.AttributeIds.Value:
                answer.Results[row] = change(answer.Results[row])
    body: bytes = struct_to_binary(answer)
    # the library writes parts of a notification as it likes; their lengths follow what is in them
    return body


def _value(value: Any, kind: ua.VariantType | None = None, **fields: Any) -> Bend:
    """The bent tag has this value."""

    def change(before: ua.DataValue) -> ua.DataValue:
        times = {"SourceTimestamp": before.SourceTimestamp, "ServerTimestamp": before.ServerTimestamp}
        return ua.DataValue(ua.Variant(value, kind), **{**times, **fields})

    return lambda x: _with_value(x, change)


def _status(name: str) -> Bend:
    def change(before: ua.DataValue) -> ua.DataValue:
        code = ua.StatusCode(getattr(ua.StatusCodes, name))
        return ua.DataValue(before.Value, code, before.SourceTimestamp, before.ServerTimestamp)

    return lambda x: _with_value(x, change)


def _times(source: Callable[[datetime], datetime | None], server: datetime | None = None) -> Bend:
    def change(before: ua.DataValue) -> ua.DataValue:
        now = datetime.now(UTC)
        return ua.DataValue(before.Value, SourceTimestamp=source(now), ServerTimestamp=server)

    return lambda x: _with_value(x, change)


def _no_value(x: Exchange) -> bytes:
    return _with_value(x, lambda before: ua.DataValue(SourceTimestamp=before.SourceTimestamp))


def _raw(name: str) -> Bend:
    return lambda x: _raw_value(x, raw_value(ODD_VALUES[name]))


def _raw_value(x: Exchange, value: bytes) -> bytes:
    """In a notification the length of the part has to follow."""
    answer = x.answer
    if not isinstance(answer, ua.PublishResponse):
        return _spoilt_value(x, value)
    part = _part(x, answer)
    if part is None or all(x.rows.get(item.ClientHandle) != BENT for item in part.MonitoredItems):
        return x.body
    items = b"".join(
        struct.pack("<I", item.ClientHandle)
        + (value if x.rows.get(item.ClientHandle) == BENT else struct_to_binary(item.Value))
        for item in part.MonitoredItems
    )
    whole = struct_to_binary(part)
    spoilt = struct.pack("<i", len(part.MonitoredItems)) + items + struct.pack("<i", -1)
    head = struct.pack("<BBHB", 1, 0, ua.ObjectIds.DataChangeNotification_Encoding_DefaultBinary, 1)
    body: bytes = struct_to_binary(answer)
    before = head + struct.pack("<i", len(whole)) + whole
    assert before in body
    return body.replace(before, head + struct.pack("<i", len(spoilt)) + spoilt)


# --- notifications ---


def _is_data(answer: Any) -> bool:
    return isinstance(answer, ua.PublishResponse) and bool(answer.Parameters.NotificationMessage.NotificationData)


def _message(change: Callable[[Any, dict[str, Any]], None]) -> Bend:
    """Notification messages with something changed; keep-alives and faults stay as they are."""

    def bend(x: Exchange) -> Any:
        answer = x.answer
        if not _is_data(answer):
            return x.body
        change(answer.Parameters, x.state)
        return answer

    return bend


def _keep_alive_in_its_place(parameters: Any, state: dict[str, Any]) -> None:
    parameters.NotificationMessage.NotificationData = []


def _skipping(x: Exchange) -> Any:
    """Each third message is left out: a keep-alive comes in its place, so that it has to be asked for."""
    answer = x.answer
    if not _is_data(answer):
        return x.body
    x.state["count"] = x.state.get("count", 0) + 1
    if x.state["count"] % 3 == 0:
        answer.Parameters.NotificationMessage.NotificationData = []
        answer.Parameters.NotificationMessage.SequenceNumber += 1
    return answer


def _numbered(parameters: Any, state: dict[str, Any], step: int, begin: int = 1) -> None:
    state["number"] = number = state.get("number", begin - step) + step
    parameters.NotificationMessage.SequenceNumber = number % 2**32 or 1


def _stranger(parameters: Any, state: dict[str, Any]) -> None:
    for part in parameters.NotificationMessage.NotificationData:
        if isinstance(part, ua.DataChangeNotification):
            part.MonitoredItems += [
                ua.MonitoredItemNotification(handle, ua.DataValue(ua.Variant(1.0))) for handle in (999_999, 2**32 - 1)
            ]


def _unknown_part(parameters: Any, state: dict[str, Any]) -> None:
    parameters.NotificationMessage.NotificationData += [ua.Range(0.0, 1.0)]


def _status_change(name: str) -> Bend:
    def change(parameters: Any, state: dict[str, Any]) -> None:
        told = ua.StatusChangeNotification(Status=ua.StatusCode(getattr(ua.StatusCodes, name)))
        parameters.NotificationMessage.NotificationData = [told]

    return _message(change)


def _not_reported(x: Exchange) -> Any:
    """The bent tag is left out of each message."""
    answer = x.answer
    if not _is_data(answer):
        return x.body
    part = _part(x, answer)
    if part is not None:
        part.MonitoredItems = [each for each in part.MonitoredItems if x.rows.get(each.ClientHandle) != BENT]
    return answer


def _again_before(x: Exchange) -> Any:
    """The last message once more, in answer to this request, and the right one in answer to the next."""
    held: list[bytes] = x.state.setdefault("held", [])
    held.append(x.body)
    x.state["odd"] = not x.state.get("odd")
    return held[0] if x.state["odd"] or len(held) == 1 else held.pop(0)


def _of_the_one_before(x: Exchange) -> Any:
    before, x.state["before"] = x.state.get("before"), x.request
    return Under(before, x.body) if before is not None else x.body


# --- requests that hold the bent tag ---


def _has_bent(x: Exchange) -> bool:
    parameters = x.asked.Parameters
    wanted = getattr(parameters, "NodesToRead", None) or [
        each.ItemToMonitor for each in getattr(parameters, "ItemsToCreate", None) or ()
    ]
    return any(tag_of(each.NodeId) == BENT for each in wanted)


def _if_bent(bend: Bend) -> Bend:
    return lambda x: bend(x) if _has_bent(x) else x.body


def _results(change: Callable[[list[Any]], list[Any]]) -> Bend:
    def set_results(answer: Any) -> None:
        holder = answer if hasattr(answer, "Results") else answer.Parameters
        holder.Results = change(list(holder.Results))

    return _changed(set_results)


def _at_most(count: int, name: str) -> Bend:
    def bend(x: Exchange) -> Any:
        parameters = x.asked.Parameters
        asked = getattr(parameters, "NodesToRead", None) or getattr(parameters, "ItemsToCreate", None) or ()
        return fault(name) if len(asked) > count else x.body

    return bend


def _without_bent(request: Any) -> Any:
    """The server does not hear of the bent tag's item."""
    wanted = request.Parameters.ItemsToCreate
    request.Parameters.ItemsToCreate = [each for each in wanted if tag_of(each.ItemToMonitor.NodeId) != BENT]
    return request


def _refused_item(name: str) -> Manner:
    """The bent tag's item is refused, and all others are made."""
    refused = ua.MonitoredItemCreateResult(StatusCode=ua.StatusCode(getattr(ua.StatusCodes, name)))

    def bend(x: Exchange) -> Any:
        answer = x.answer
        results = iter([] if isinstance(answer, ua.ServiceFault) else answer.Results)
        bent = [tag_of(each.ItemToMonitor.NodeId) == BENT for each in x.asked.Parameters.ItemsToCreate]
        made = ua.CreateMonitoredItemsResponse(Results=[refused if each else next(results) for each in bent])
        made.ResponseHeader.RequestHandle = answer.ResponseHeader.RequestHandle
        return made

    return Manner("CreateMonitoredItems", bend, "bent", anew=True, ask=_without_bent)


def _all_items(**fields: Any) -> Bend:
    def change(answer: Any) -> None:
        for result in answer.Results:
            for name, value in fields.items():
                setattr(result, name, value)

    return _changed(change)


def _odd_filter_result(x: Exchange) -> bytes:
    """A structure that nobody knows stands behind the bent item."""
    odd = ua.MonitoredItemCreateResult(MonitoredItemId=1234567)
    answer = x.answer
    if isinstance(answer, ua.ServiceFault):
        return x.body
    for row, asked in enumerate(x.asked.Parameters.ItemsToCreate):
        if tag_of(asked.ItemToMonitor.NodeId) == BENT:
            odd = answer.Results[row]
    right = struct_to_binary(odd)
    body: bytes = struct_to_binary(answer)
    return body.replace(right, right[:-3] + struct.pack("<BBHBi", 1, 0, 886, 1, 3) + b"abc", 1)


def _namespaces(names: list[str]) -> Bend:
    def bend(x: Exchange) -> Any:
        answer = x.answer
        for row, wanted in enumerate(x.asked.Parameters.NodesToRead):
            if wanted.NodeId == ua.NodeId(2255):
                answer.Results[row] = ua.DataValue(ua.Variant(names, ua.VariantType.String))
        return answer

    return bend


def _attribute(attribute: ua.AttributeIds, value: ua.DataValue) -> Bend:
    """All answers about this attribute of tags."""

    def bend(x: Exchange) -> Any:
        answer = x.answer
        if isinstance(answer, ua.ServiceFault):
            return answer
        for row, wanted in enumerate(x.asked.Parameters.NodesToRead):
            if wanted.AttributeId == attribute and tag_of(wanted.NodeId) >= 0:
                answer.Results[row] = value
        return answer

    return bend


def _if_more(count: int, bend: Bend) -> Bend:
    """Requests for more than so many nodes or items."""

    def bent(x: Exchange) -> Any:
        parameters = x.asked.Parameters
        asked = getattr(parameters, "NodesToRead", None) or getattr(parameters, "ItemsToCreate", None) or ()
        return bend(x) if len(asked) > count else x.body

    return bent


def _if_describing_bent(attribute: ua.AttributeIds, bend: Bend) -> Bend:
    def bent(x: Exchange) -> Any:
        asked = x.asked.Parameters.NodesToRead
        return (
            bend(x) if any(tag_of(each.NodeId) == BENT and each.AttributeId == attribute for each in asked) else x.body
        )

    return bent


def _bad_all(name: str) -> Bend:
    def bad(results: list[Any]) -> list[Any]:
        return [ua.DataValue(StatusCode=ua.StatusCode(getattr(ua.StatusCodes, name)))] * len(results)

    return _results(bad)


def _less(results: list[Any]) -> list[Any]:
    return results[:-1]


def _more(results: list[Any]) -> list[Any]:
    return [*results, *results[-1:]]


def _none(results: list[Any]) -> list[Any]:
    return []


def _wrong_targets(x: Exchange) -> Any:
    target = ua.BrowsePathTarget(ua.ExpandedNodeId(2255), 2**32 - 1)
    return _changed(lambda answer: [setattr(each, "Targets", [target]) for each in answer.Results])(x)


_NAN, _HUGE = float("nan"), 1e300
_HOUR = timedelta(hours=1)
_1601 = datetime(1601, 1, 1, tzinfo=UTC)

_OF_ONE_VALUE: Mapping[str, tuple[Bend, str]] = {
    **{f"has {name} as one value": (_raw(name), "bent") for name in ODD_VALUES if name != "sizes of a million"},
    "has a text where a number should be": (_value("open", ua.VariantType.String), "bent"),
    "has an array where a number should be": (_value([1.0, 2.0], ua.VariantType.Double), "bent"),
    "has a structure where a number should be": (_value(ua.Range(0.0, 1.0)), "bent"),
    "has another type of number": (_value(7, ua.VariantType.Int64, StatusCode=ua.StatusCode(0x80310000)), "bent"),
    "has no number": (_value(_NAN, ua.VariantType.Double), "bent"),
    "has no value": (_no_value, "bent"),
    "says bad of one value": (_status("BadNotConnected"), "bent"),
    "says uncertain of one value": (_status("UncertainLastUsableValue"), "bent"),
    "gives no source time": (_times(lambda now: None), "nothing"),
    "gives the time 1601": (_times(lambda now: _1601, _1601), "nothing"),
    "has a clock one hour ahead": (_times(lambda now: now + _HOUR), "nothing"),
    "has a clock one hour behind": (_times(lambda now: now - _HOUR), "nothing"),
}

_REPORTED: Mapping[str, Manner] = {
    "answers each publish request twice": _publish(_twice, "nothing"),
    "says the last notification again": _publish(_again_before, "nothing"),
    "leaves out notifications, and has them when asked": _publish(_skipping, "nothing"),
    "numbers all notifications alike": _publish(_message(lambda p, s: _numbered(p, s, 0)), "nothing"),
    "numbers notifications in leaps": _publish(_message(lambda p, s: _numbered(p, s, 1_000_000)), "nothing"),
    "numbers notifications backwards": _publish(_message(lambda p, s: _numbered(p, s, -1, 1000)), "nothing"),
    "says that it lives, and nothing else": _publish(_message(_keep_alive_in_its_place), "nothing"),
    "does not report one tag": _publish(_not_reported, "nothing"),
    "reports items that nobody has made": _publish(_message(_stranger), "nothing"),
    "reports parts of an unknown kind": _publish(_message(_unknown_part), "nothing"),
    "says always that there is more": _publish(_parameters(MoreNotifications=True), "nothing"),
    "refuses all acknowledgements": _publish(
        _parameters(Results=[ua.StatusCode(ua.StatusCodes.BadSequenceNumberUnknown)] * 100), "nothing"
    ),
    "has ten thousand notifications to give again": _publish(
        _parameters(AvailableSequenceNumbers=list(range(1, 10_001))), "nothing"
    ),
    "gives request handles of others": _publish(_header(RequestHandle=4711), "nothing"),
    "gives a table of texts": _publish(_header(StringTable=["a", "b" * 1000]), "nothing"),
    "reports half a second late": _publish(_late(0.5), "nothing"),
    "is silent about publishing": _publish(_silent, "all"),
    "hangs up at publishing": _publish(_hang_up, "all"),
    "breaks publish answers off": _publish(_half, "all"),
    "answers publish requests by numbers never asked": _publish(lambda x: Under(x.request + 1000, x.body), "all"),
    "answers publish requests by the number before": _publish(_of_the_one_before, "all"),
    "reports of another subscription": _publish(_parameters(SubscriptionId=999_999), "all"),
    "ends the subscription at once": _publish(_status_change("BadTimeout"), "all"),
    "gives the subscription to another": _publish(_status_change("GoodSubscriptionTransferred"), "all"),
    **{
        f"refuses publish requests by {name}": _publish(lambda x, name=name: fault(name), "all")
        for name in (
            "BadTooManyPublishRequests", "BadNoSubscription", "BadTimeout", "BadInternalError", "BadSessionIdInvalid",
            "BadServiceUnsupported", "Good",
        )
    },
}  # fmt: skip

_READ: Mapping[str, Manner] = {
    "answers each read twice": _polled(_twice, "nothing"),
    "reads late": _polled(_late(0.3), "nothing"),
    "reads three nodes at a time": _polled(_at_most(3, "BadTooManyOperations"), "nothing"),
    "finds answers of four values too large": _polled(_at_most(3, "BadResponseTooLarge"), "nothing"),
    "has one value too few where one tag is asked for": _polled(_if_bent(_results(_less)), "bent"),
    "has one value too many where one tag is asked for": _polled(_if_bent(_results(_more)), "bent"),
    "has no values where one tag is asked for": _polled(_if_bent(_results(_none)), "bent"),
    **{
        f"refuses reads in which one tag is by {name}": _polled(_if_bent(lambda x, name=name: fault(name)), "bent")
        for name in (
            "BadInternalError",
            "BadNodeIdUnknown",
            "BadUserAccessDenied",
            "BadDecodingError",
            "BadTimeout",
            "BadTcpServerTooBusy",
            "BadSecurityModeInsufficient",
        )
    },
    "is silent about one tag": _polled(_if_bent(_silent), "bent"),
    "breaks answers off in which one tag is": _polled(_if_bent(_half), "bent"),
    "hangs up over one tag": _polled(_if_bent(_hang_up), "bent"),
    "hangs up over more than six nodes": _polled(_if_more(6, _hang_up), "nothing"),
    "is silent about more than six nodes": _polled(_if_more(6, _silent), "nothing"),
    "reads one tag later than anybody waits": _polled(_if_bent(_late(3.0)), "bent"),
    "has one value too few": _polled(_results(_less), "all"),
    "is silent about reading": _polled(_silent, "all"),
    "hangs up at reading": _polled(_hang_up, "all"),
    "breaks read answers off": _polled(_half, "all"),
    "refuses all reads": _polled(lambda x: fault("BadTooManyOperations"), "all"),
    "has ended the session at reading": _polled(lambda x: fault("BadSessionIdInvalid"), "all"),
    "waits for first values of all": _polled(_bad_all("BadWaitingForInitialData"), "all"),
    "reads later than anybody waits": _polled(_late(3.0), "all"),
}

_AT_THE_BEGINNING: Mapping[str, Manner] = {
    "keeps sessions for a millisecond": _first("CreateSession", _parameters(RevisedSessionTimeout=1.0), "nothing"),
    "keeps sessions for no time that is a number": _first(
        "CreateSession", _parameters(RevisedSessionTimeout=_NAN), "nothing"
    ),
    "keeps sessions for ever": _first("CreateSession", _parameters(RevisedSessionTimeout=_HUGE), "nothing"),
    "keeps sessions for less than no time": _first("CreateSession", _parameters(RevisedSessionTimeout=-1.0), "nothing"),
    "names no endpoints": _first("CreateSession", _parameters(ServerEndpoints=None), "nothing"),
    "gives no nonce": _first("CreateSession", _parameters(ServerNonce=None), "nothing"),
    "takes requests of a byte": _first("CreateSession", _parameters(MaxRequestMessageSize=1), "nothing"),
    "has no session free": _refused("CreateSession", "BadTooManySessions"),
    "is silent about sessions": _first("CreateSession", _silent, "all"),
    "hangs up at sessions": _first("CreateSession", _hang_up, "all"),
    "lets nobody in": _refused("ActivateSession", "BadIdentityTokenRejected"),
    "is silent at the door": _first("ActivateSession", _silent, "all"),
    **{
        f"grants publishing intervals of {what}": _first(
            "CreateSubscription", _parameters(RevisedPublishingInterval=value), "nothing"
        )
        for what, value in {"nothing": 0.0, "no number": _NAN, "less": -5.0, "ages": _HUGE}.items()
    },
    "grants no keep-alives": _first("CreateSubscription", _parameters(RevisedMaxKeepAliveCount=0), "nothing"),
    "grants keep-alives once in an age": _first(
        "CreateSubscription", _parameters(RevisedMaxKeepAliveCount=2**32 - 1), "nothing"
    ),
    "has no subscription free": _refused("CreateSubscription", "BadTooManySubscriptions"),
    "has no subscriptions": _refused("CreateSubscription", "BadServiceUnsupported"),
    "is silent about subscriptions": _first("CreateSubscription", _silent, "all"),
    "calls all subscriptions 0": _first("CreateSubscription", _parameters(SubscriptionId=0), "all"),
    **{
        f"refuses one item by {name}": _refused_item(name)
        for name in ("BadNodeIdUnknown", "BadTooManyMonitoredItems", "BadFilterNotAllowed", "BadOutOfMemory")
    },
    "takes three items at a time": _first(
        "CreateMonitoredItems", _at_most(3, "BadTooManyOperations"), "nothing", unasked=False
    ),
    "grants sampling of no number": _first("CreateMonitoredItems", _all_items(RevisedSamplingInterval=_NAN), "nothing"),
    "grants sampling once in an age": _first(
        "CreateMonitoredItems", _all_items(RevisedSamplingInterval=_HUGE), "nothing"
    ),
    "grants no queue": _first("CreateMonitoredItems", _all_items(RevisedQueueSize=0), "nothing"),
    "calls all items 7": _first("CreateMonitoredItems", _all_items(MonitoredItemId=7), "nothing"),
    "tells an odd result of one filter": _first("CreateMonitoredItems", _odd_filter_result, "nothing"),
    "has one item too few where one tag is": _first("CreateMonitoredItems", _if_bent(_results(_less)), "nothing"),
    "has one item too many where one tag is": _first("CreateMonitoredItems", _if_bent(_results(_more)), "nothing"),
    "refuses items among which one tag is": _first(
        "CreateMonitoredItems", _if_bent(lambda x: fault("BadInternalError")), "nothing"
    ),
    "has no room for items": _refused("CreateMonitoredItems", "BadTooManyMonitoredItems"),
    "hangs up over one item": _first("CreateMonitoredItems", _if_bent(_hang_up), "bent"),
    "is silent about one item": _first("CreateMonitoredItems", _if_bent(_silent), "bent"),
    "hangs up over more than three items": _first("CreateMonitoredItems", _if_more(3, _hang_up), "nothing"),
    "is silent about more than three items": _first("CreateMonitoredItems", _if_more(3, _silent), "nothing"),
    "is silent about items": _first("CreateMonitoredItems", _silent, "all"),
    "makes items later than anybody waits": _first("CreateMonitoredItems", _late(3.0), "all"),
    "hangs up at items": _first("CreateMonitoredItems", _hang_up, "all"),
    "answers items twice": _first("CreateMonitoredItems", _twice, "nothing"),
    "finds no units": _refused("TranslateBrowsePathsToNodeIds", "BadInternalError", "nothing"),
    "has one unit too few": _first("TranslateBrowsePathsToNodeIds", _results(_less), "nothing"),
    "has wrong units": _first("TranslateBrowsePathsToNodeIds", _wrong_targets, "nothing"),
    "is silent about units": _first("TranslateBrowsePathsToNodeIds", _silent, "nothing"),
    "hangs up over units": _first("TranslateBrowsePathsToNodeIds", _hang_up, "nothing"),
    "hangs up over the type of one tag": _first(
        "Read", _if_describing_bent(ua.AttributeIds.DataType, _hang_up), "nothing"
    ),
    "hangs up over the description of one tag": _first(
        "Read", _if_describing_bent(ua.AttributeIds.Description, _hang_up), "nothing"
    ),
    "breaks units off": _first("TranslateBrowsePathsToNodeIds", _half, "nothing"),
    "has other namespaces": _first("Read", _namespaces(["http://opcfoundation.org/UA/", "urn:other"]), "all"),
    "has no namespaces": _first("Read", _namespaces([]), "all"),
    "says of all types that they are texts": _first(
        "Read", _attribute(ua.AttributeIds.DataType, ua.DataValue(ua.Variant(ua.NodeId(12)))), "nothing"
    ),
    "says nothing of types": _first("Read", _attribute(ua.AttributeIds.DataType, ua.DataValue()), "nothing"),
    "describes with numbers": _first(
        "Read", _attribute(ua.AttributeIds.Description, ua.DataValue(ua.Variant(7.5))), "nothing"
    ),
    "forgets to answer when asked to describe": _first(
        "Read", lambda x: None if x.asked.Parameters.NodesToRead[0].AttributeId == 5 else x.body, "nothing"
    ),
}

_AFTER_A_CUT: Mapping[str, Manner] = {
    "does not go on with subscriptions": Manner(
        "SetPublishingMode", lambda x: fault("BadInternalError"), "nothing", cut=True, unasked=True
    ),
    "is silent about going on": Manner("SetPublishingMode", _silent, "nothing", cut=True),
    "has one subscription too few to go on with": Manner("SetPublishingMode", _results(_less), "nothing", cut=True),
    "has nothing to give again": Manner(
        "Republish", lambda x: fault("BadMessageNotAvailable"), "nothing", cut=True, unasked=True
    ),
    "breaks what it gives again off": Manner("Republish", _half, "nothing", cut=True),
    "is silent when asked again": Manner("Republish", _silent, "nothing", cut=True),
    "does not know the session": Manner(
        "ActivateSession", lambda x: fault("BadSessionIdInvalid"), "all", cut=True, unasked=True
    ),
}

MANNERS: Mapping[str, Manner] = {
    **_REPORTED,
    **{f"{name}, reported": _publish(bend, costs) for name, (bend, costs) in _OF_ONE_VALUE.items()},
    **_READ,
    **{f"{name}, read": _polled(bend, costs) for name, (bend, costs) in _OF_ONE_VALUE.items()},
    **_AT_THE_BEGINNING,
    **_AFTER_A_CUT,
}
"""By name; more than a hundred."""
