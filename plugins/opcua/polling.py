"""Reads the tags at their scans, for servers whose subscriptions are missing, few, or not to be trusted."""

import asyncio
import heapq
from collections.abc import AsyncGenerator, Callable
from functools import partial

from gateway.plugin import Device, Readings, Tags

from .config import OpcUaConfig
from .reading import ReadPlan
from .session import Session


async def poll(
    session: Session, device: Device, say: Callable[[int, str], None] = lambda row, what: None
) -> AsyncGenerator[Readings, None]:
    """All tags of each scan, as often as it says; a poll that is late leaves out those it has missed. `say` is told of tags,
    by row of their device, whose values cannot be tags."""
    loop = asyncio.get_running_loop()
    plans = _plans(session, device)
    due = [(loop.time(), number) for number in range(len(plans))]
    while True:
        at, number = due[0]
        scan, rows, plan = plans[number]
        duty = min(at, session.renew_at)
        await asyncio.sleep(duty - loop.time())
        if duty < at:
            await session.renew()
            continue
        yield await plan.read(partial(_say, say, rows))
        missed = max(0.0, loop.time() - at) // scan
        heapq.heapreplace(due, (at + scan * (missed + 1), number))


def _say(say: Callable[[int, str], None], rows: list[int], row: int, what: str) -> None:
    say(rows[row], what)


def _plans(session: Session, device: Device) -> list[tuple[float, list[int], ReadPlan]]:
    config: OpcUaConfig = device.config
    by_scan: dict[float, list[int]] = {}
    for row, tag in enumerate(device.tags):
        by_scan.setdefault(tag.config.scan or config.scan, []).append(row)
    return [
        (scan, rows, ReadPlan(session, device, Tags(device.name, [device.tags[row] for row in rows])))
        for scan, rows in by_scan.items()
    ]
