"""Reads the tags at their scans, for servers whose subscriptions are missing, few, or not to be trusted.

This is a stream, and not on the gateway's tick wheel as other polls are: one read may take several time-outs, since it
divides itself to find the node that spoils it; between reads the session is renewed, kept alive and asked what has
changed, each of which may end the connection; and what the server keeps of the session is handed on when one does
(`driver.py`, `Left`).
"""

import asyncio
import heapq
from collections.abc import AsyncGenerator, Sequence
from dataclasses import dataclass
from functools import partial

from asyncua import ua

from gateway.plugin import Device, Readings, Tags

from ..config import OpcUaConfig
from ..session.session import OpcUaSession
from .changes import NodeChanges
from .reading import ReadPlan, Say
from .services import read
from .ways import find_ways_anew

_STATE = (ua.NodeId(ua.ObjectIds.Server_ServerStatus_State), ua.AttributeIds.Value)
"""What is read so that the server does not forget a session between two polls."""
NAMES_EVERY = 10.0
"""Seconds after which a server is asked whether it has the namespaces now that it lacked."""


async def poll(
    session: OpcUaSession, device: Device, say: Say = lambda row, what, raw: None
) -> AsyncGenerator[Readings, None]:
    """All tags of each scan, as often as it says; a poll that is late leaves out those it has missed. `say` is told of tags,
    by row of their device, whose values cannot be tags. Raises LinkError where the server says otherwise than before of
    nodes that have changed, or that it did not know at the connect: the next connection takes that up."""
    loop = asyncio.get_running_loop()
    scans = _scans(session, device)
    due = [(loop.time(), number) for number in range(len(scans))]
    changed: set[int] = set()
    changes = NodeChanges(session, device, changed)
    heard = loop.time()
    names_at = heard + NAMES_EVERY if any(scan.plan.lacks_nodes for scan in scans) else float("inf")
    while True:
        at, number = due[0]
        scan = scans[number]
        sign_at = heard + session.granted / 3
        duty = min(at, session.renew_at, sign_at, names_at, changes.look_at())
        await asyncio.sleep(duty - loop.time())
        heard = loop.time()
        if duty == session.renew_at:
            await session.renew()
        elif duty == names_at:
            names_at = heard + NAMES_EVERY if await _learn_names(session, scans) else float("inf")
        elif duty == changes.look_at():
            await changes.look()
        elif duty < at:
            await read(session, [_STATE])
        else:
            yield await scan.plan.read(partial(scan.say, say))
            changed |= scan.changed()
            if scan.plan.lacks_nodes:
                names_at = min(names_at, heard + NAMES_EVERY)
            missed = max(0.0, loop.time() - at) // scan.period
            heapq.heapreplace(due, (at + scan.period * (missed + 1), number))


@dataclass(slots=True)
class _Scan:
    """Tags that are read together."""

    period: float
    """Seconds."""
    rows: list[int]
    """In their device."""
    plan: ReadPlan

    def say(self, say: Say, row: int, what: str, raw: bytes) -> None:
        say(self.rows[row], what, raw)

    def changed(self) -> set[int]:
        """Rows of the device of which the server has to be asked what they are."""
        rows = {self.rows[row] for row in self.plan.changed}
        self.plan.changed.clear()
        return rows


def _scans(session: OpcUaSession, device: Device) -> list[_Scan]:
    config: OpcUaConfig = device.config
    by_period: dict[float, list[int]] = {}
    for row, tag in enumerate(device.tags):
        by_period.setdefault(tag.config.scan or config.scan, []).append(row)
    return [
        _Scan(period, rows, ReadPlan(session, device, tags, f"read every {period:g} s"))
        for period, rows in by_period.items()
        for tags in [Tags(device.name, [device.tags[row] for row in rows])]
    ]


async def _learn_names(session: OpcUaSession, scans: Sequence[_Scan]) -> bool:
    """Ask for the namespaces once more; whether some are still lacking."""
    await session.learn_namespaces()
    await find_ways_anew(session, [place for scan in scans for place in scan.plan.lacking()])
    for scan in scans:
        scan.plan.find_nodes()
    return any(scan.plan.lacks_nodes for scan in scans)
