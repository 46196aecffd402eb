"""What a server recorded while nobody was listening, to close a gap that its subscriptions did not survive."""

import time
from collections.abc import AsyncGenerator, Mapping
from contextlib import aclosing, suppress

import structlog
from asyncua import ua

from gateway.plugin import Device, DeviceError, Readings

from ..requests.recorded import recorded
from ..requests.services import read
from ..session.errors import LacksError
from ..session.session import OpcUaSession
from ..values.blocks import as_block
from .report import ValueReport

MOST_VALUES = 100_000
"""Values of one node in all: what a server tells beyond is left out, and that is said."""
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
            with suppress(DeviceError):
                async with aclosing(recorded(session, nodes[row], ranges[row], after[row] + 1)) as pages:
                    async for values in pages:
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
