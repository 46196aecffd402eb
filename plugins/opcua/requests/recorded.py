"""Raw values of one variable out of a server's history, in order, page by page (HistoryRead, OPC 10000-11 §6.4.3)."""

import time
from collections.abc import AsyncGenerator, Sequence
from contextlib import aclosing, suppress
from datetime import UTC, datetime, timedelta

import numpy as np
from asyncua import ua

from gateway.plugin import Device, DeviceError, LinkError, Readings, Tag

from ..address import parse_place
from ..session.errors import LacksError, agreeing, in_few_words, in_words, name_of
from ..session.session import OpcUaSession
from ..values.blocks import as_block, nanoseconds
from ..values.kinds import Kinds
from ..values.value_part import Parts

VALUES_AT_ONCE = 1000
"""Values in one answer."""
EMPTY_PAGES = 3
"""Pages without anything new, after each other, of a server that says that there is more."""
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_LAST = datetime(2200, 1, 1, tzinfo=UTC)
_BOUNDS = {"BadBoundNotFound", "BadBoundNotSupported"}
"""Status codes of what stands at the ends of a span without having been recorded."""
_REASONS = {
    "BadHistoryOperationUnsupported": "the server keeps no history of it",
    "BadHistoryOperationInvalid": "the server keeps no history of it",
    "BadServiceUnsupported": "the server has no history",
    "BadUserAccessDenied": "this user may not read its history: give him the right on the server",
    "BadNotReadable": "this user may not read its history: give him the right on the server",
    "BadInvalidTimestampArgument": "the server refuses this span of time: take a shorter one, or a later beginning",
    "BadOutOfRange": "the server refuses this span of time: take a shorter one, or a later beginning",
    "BadNoContinuationPoints": "the server has no room to go on: end other clients that read its history, and try again",
}


async def recorded(
    session: OpcUaSession, node: ua.NodeId, part: str | None, from_ns: int, to_ns: int | None = None
) -> AsyncGenerator[list[ua.DataValue], None]:
    """The values of a node, or the wished part of each, with source times in [from_ns, to_ns), each time once, in portions.
    Raises DeviceError where the server gives no history of it, and LacksError where it has none at all."""
    request = ua.HistoryReadRequest()
    details = ua.ReadRawModifiedDetails(IsReadModified=False, NumValuesPerNode=VALUES_AT_ONCE, ReturnBounds=False)
    details.StartTime, details.EndTime = _time(from_ns), datetime.now(UTC) + timedelta(days=1)
    if to_ns is not None:
        details.EndTime = _time(to_ns)
    request.Parameters.HistoryReadDetails = details
    request.Parameters.TimestampsToReturn = ua.TimestampsToReturn.Both
    point: bytes | None = None
    empty = 0
    try:
        while True:
            result, point = await _page(session, request, node, part, point), None
            told = _values(result)
            values = _in_order(told, from_ns, to_ns)
            point = result.ContinuationPoint or None
            empty = 0 if values else empty + 1
            if values:
                yield values
                from_ns = (nanoseconds(values[-1].SourceTimestamp) or from_ns) + 1000
            if point and empty >= EMPTY_PAGES:
                raise DeviceError("the server says that its history goes on, and gives nothing more of it")
            if not point and (not values or len(told) < VALUES_AT_ONCE):
                return
            if not point:  # some servers stop at the number that was asked for without saying that there is more
                details.StartTime = _time(from_ns)
    finally:
        if point:
            with suppress(LinkError, DeviceError):
                await _page(session, request, node, part, point, release=True)


async def _page(
    session: OpcUaSession,
    request: ua.HistoryReadRequest,
    node: ua.NodeId,
    part: str | None,
    point: bytes | None,
    *,
    release: bool = False,
) -> ua.HistoryReadResult:
    request.Parameters.ReleaseContinuationPoints = release
    request.Parameters.NodesToRead = [ua.HistoryReadValueId(NodeId=node, IndexRange=part, ContinuationPoint=point)]
    with in_words("reading history", session.certificate):
        (result,) = agreeing(1, (await session.request(request, ua.HistoryReadResponse)).Results)
    if not result.StatusCode.is_good() and name_of(int(result.StatusCode.value)) != "BadNoData":
        name = name_of(int(result.StatusCode.value))
        raise DeviceError(
            f"{_REASONS[name]} ({name})" if name in _REASONS else in_few_words(int(result.StatusCode.value))
        )
    return result


def _values(result: ua.HistoryReadResult) -> Sequence[ua.DataValue]:
    return list(result.HistoryData.DataValues or ()) if isinstance(result.HistoryData, ua.HistoryData) else []


def _in_order(told: Sequence[ua.DataValue], from_ns: int, to_ns: int | None) -> list[ua.DataValue]:
    """Those within the span, the first of each time: servers round the ends, give bounds unasked, and some send the newest
    first. What has no time of its own has no place in history."""
    found: dict[int, ua.DataValue] = {}
    for each in told:
        t_ns = nanoseconds(each.SourceTimestamp)
        if t_ns is None or t_ns < from_ns or (to_ns is not None and t_ns >= to_ns):
            continue
        if each.StatusCode is None or name_of(int(each.StatusCode.value)) not in _BOUNDS:
            found.setdefault(t_ns, each)
    return [found[t_ns] for t_ns in sorted(found)]


def _time(t_ns: int) -> datetime:
    """The first microsecond that is not before."""
    return min(_LAST, max(_EPOCH, _EPOCH + timedelta(microseconds=-(-t_ns // 1000))))


async def recorded_readings(
    session: OpcUaSession, device: Device, tag: Tag, from_ns: int, to_ns: int
) -> AsyncGenerator[Readings, None]:
    """The same of a tag, as readings. Raises DeviceError with the reason, also where the server has no history at all."""
    place = parse_place(tag.config.address)
    node = session.node_id(place)
    if node is None:
        raise DeviceError(session.why_none(place))
    parts, kinds = Parts([tag.config], session.types), Kinds([tag])
    try:
        async with aclosing(recorded(session, node, tag.config.index_range, from_ns, to_ns)) as pages:
            async for values in pages:
                block = as_block(values, time.time_ns(), session.types)
                rows = np.zeros(len(values), np.intp)
                parts.take(block, rows)
                kinds.judge(block, rows)
                yield block.readings(device, np.full(len(values), tag.id, np.uint32))
    except LacksError as error:
        raise DeviceError("the server has no history (Historical Access)") from error
