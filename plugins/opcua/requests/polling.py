"""Reads the tags at their scans, for servers whose subscriptions are missing, few, or not to be trusted."""

import asyncio
import heapq
from collections.abc import AsyncGenerator
from functools import partial

from asyncua import ua

from gateway.plugin import Device, Readings, Tags

from ..config import OpcUaConfig
from ..session.session import Session
from .reading import ReadPlan, Say
from .services import read

_STATE = (ua.NodeId(ua.ObjectIds.Server_ServerStatus_State), ua.AttributeIds.Value)
"""What is read so that the server does not forget a session between two polls."""


async def poll(
    session: Session, device: Device, say: Say = lambda row, what, raw: None
) -> AsyncGenerator[Readings, None]:
    """All tags of each scan, as often as it says; a poll that is late leaves out those it has missed. `say` is told of tags,
    by row of their device, whose values cannot be tags."""
    loop = asyncio.get_running_loop()
    plans = _plans(session, device)
    due = [(loop.time(), number) for number in range(len(plans))]
    heard = loop.time()
    while True:
        at, number = due[0]
        scan, rows, plan = plans[number]
        sign_at = heard + session.granted / 3
        duty = min(at, session.renew_at, sign_at)
        await asyncio.sleep(duty - loop.time())
        heard = loop.time()
        if duty < at:
            await (session.renew() if duty == session.renew_at else read(session, [_STATE]))
            continue
        yield await plan.read(partial(_say, say, rows))
        missed = max(0.0, loop.time() - at) // scan
        heapq.heapreplace(due, (at + scan * (missed + 1), number))


def _say(say: Say, rows: list[int], row: int, what: str, raw: bytes) -> None:
    say(rows[row], what, raw)


def _plans(session: Session, device: Device) -> list[tuple[float, list[int], ReadPlan]]:
    config: OpcUaConfig = device.config
    by_scan: dict[float, list[int]] = {}
    for row, tag in enumerate(device.tags):
        by_scan.setdefault(tag.config.scan or config.scan, []).append(row)
    return [
        (scan, rows, ReadPlan(session, device, Tags(device.name, [device.tags[row] for row in rows])))
        for scan, rows in by_scan.items()
    ]
