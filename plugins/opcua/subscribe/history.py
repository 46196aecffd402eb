"""What a server recorded while nobody was listening, to close a gap that its subscriptions did not survive."""

import time
from collections.abc import AsyncGenerator, Mapping
from contextlib import suppress
from datetime import UTC, datetime, timedelta

import structlog
from asyncua import ua

from gateway.plugin import Device, Readings

from ..requests.services import read
from ..session.errors import LacksError, agreeing, in_words
from ..session.session import OpcUaSession
from ..values.blocks import as_block, nanoseconds
from .report import ValueReport

VALUES_AT_ONCE = 1000
"""Values of each node in one answer."""
MOST_VALUES = 100_000
"""Values of one node in all: what a server tells beyond is left out, and that is said."""
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_RECORDED = 0x04
"""Bit of the access level: its history can be read."""


async def since(
    session: OpcUaSession, nodes: Mapping[int, ua.NodeId], after: Mapping[int, int], ranges: Mapping[int, str | None]
) -> AsyncGenerator[tuple[int, list[ua.DataValue]], None]:
    """For each row whose node the server records: its values, or the wished part of each, after a source time (ns since
    1970), in order, in one or more portions; an empty one at last where it had more than is taken. A server without history
    yields nothing."""
    with suppress(LacksError):
        for row in await _recorded(session, nodes):
            count = 0
            async for values in _values(session, nodes[row], after[row], ranges[row]):
                count += len(values)
                yield row, values
                if count >= MOST_VALUES:
                    yield row, []
                    break


async def since_last(
    session: OpcUaSession,
    device: Device,
    nodes: Mapping[int, ua.NodeId],
    report: ValueReport,
    log: structlog.stdlib.BoundLogger,
) -> AsyncGenerator[Readings, None]:
    """What the server recorded of these rows since their last values."""
    after = {row: int(report.latest[row]) for row in nodes}
    ranges = {row: device.tags[row].config.index_range for row in nodes}
    async for row, values in since(session, nodes, after, ranges):
        if values:
            yield report.from_history(row, as_block(values, time.time_ns(), session.types))
        else:
            log.warning("the server's history has more than is read", tag=device.tags[row].name, read=MOST_VALUES)


async def _recorded(session: OpcUaSession, nodes: Mapping[int, ua.NodeId]) -> list[int]:
    levels = await read(session, [(node, ua.AttributeIds.AccessLevel) for node in nodes.values()])
    told = [level.Value.Value if level.Value is not None else None for level in levels]
    return [row for row, level in zip(nodes, told, strict=True) if isinstance(level, int) and level & _RECORDED]


async def _values(
    session: OpcUaSession, node: ua.NodeId, after_ns: int, part: str | None
) -> AsyncGenerator[list[ua.DataValue], None]:
    request = ua.HistoryReadRequest()
    details = ua.ReadRawModifiedDetails(IsReadModified=False, NumValuesPerNode=VALUES_AT_ONCE, ReturnBounds=False)
    details.StartTime = _EPOCH + timedelta(microseconds=after_ns // 1000 + 1)
    details.EndTime = datetime.now(UTC) + timedelta(days=1)
    request.Parameters.HistoryReadDetails = details
    request.Parameters.TimestampsToReturn = ua.TimestampsToReturn.Both
    request.Parameters.ReleaseContinuationPoints = False
    point: bytes | None = None
    while True:
        request.Parameters.NodesToRead = [ua.HistoryReadValueId(NodeId=node, IndexRange=part, ContinuationPoint=point)]
        with in_words("reading history", session.certificate):
            (result,) = agreeing(1, (await session.request(request, ua.HistoryReadResponse)).Results)
        values = _in_order(result, after_ns)
        if values:
            yield values
            after_ns = nanoseconds(values[-1].SourceTimestamp) or after_ns
        point = result.ContinuationPoint
        if not values or (not point and len(values) < VALUES_AT_ONCE):
            return
        if not point:  # some servers stop at the number that was asked for without saying that there is more
            details.StartTime = values[-1].SourceTimestamp + timedelta(microseconds=1)


def _in_order(result: ua.HistoryReadResult, after_ns: int) -> list[ua.DataValue]:
    """The values that are really later: servers round the start, and some send the newest first."""
    if not result.StatusCode.is_good() or not isinstance(result.HistoryData, ua.HistoryData):
        return []
    start = _EPOCH + timedelta(microseconds=after_ns // 1000)
    later = [each for each in result.HistoryData.DataValues if each.SourceTimestamp and each.SourceTimestamp > start]
    return sorted(later, key=lambda each: each.SourceTimestamp)
