"""A far side that takes what is sent and never answers: it is named, and nothing is lost."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

from gateway import __version__
from gateway.config.kinds import SINK
from gateway.config.model import GatewaySection
from gateway.core.live import LiveTable
from gateway.core.tag import Device
from gateway.outbox import Outbox
from gateway.plugin.discovery import Plugins
from gateway.publish import Publisher, SinkSurroundings
from gateway.selftest.check import Check, Progress
from gateway.selftest.far_side import FarSide, far_side
from gateway.selftest.full_disk import within
from gateway.selftest.logs import CLOCK, ROWS, bind, block, opened

ACK_TIMEOUT = 1.0
NAMED_WITHIN, DELIVERED_WITHIN = 30.0, 60.0
"""Seconds. The watchdog is not that slow, but the machine may be."""
FREEZES = 3
_RECORDS = 600
"""For each freeze; half of them while it lasts."""


def frozen_broker(directory: Path, progress: Progress) -> Check:
    """The check, with the shipped MQTT sink; the log is made in `directory`."""
    check = Check("a frozen broker")
    asyncio.run(_try(directory / "frozen", check, progress))
    return check.done()


async def _try(directory: Path, check: Check, progress: Progress) -> None:
    async with opened(directory) as outbox, far_side() as far:
        device = bind(outbox)
        async with _publishing(outbox, device, far) as publisher:
            named = []
            for freeze in range(FREEZES):
                progress(check.name, freeze, FREEZES)
                named.append(await _freeze(outbox, device, publisher, far, check, freeze * _RECORDS))
            delivered = await within(lambda: _delivered(publisher), DELIVERED_WITHIN)
            check.expect(
                delivered, f"not everything was acknowledged within {DELIVERED_WITHIN:g} s after the last freeze"
            )
            _judge(check, publisher, far)
            check.figures |= {"ack_timeout": f"{ACK_TIMEOUT:g} s", "named after, at most": f"{max(named):.1f} s"}


async def _freeze(
    outbox: Outbox, device: Device, publisher: Publisher, far: FarSide, check: Check, number: int
) -> float:
    """Freeze it while records are on their way; returns after how many seconds that was named."""
    check.expect(
        await within(lambda: publisher.health.state == "up", DELIVERED_WITHIN), "the sink did not come up again"
    )
    middle, end = number + _RECORDS // 2, number + _RECORDS
    _offer(outbox, device, range(number, middle))
    await within(lambda: len(far.came) > number, DELIVERED_WITHIN)
    far.frozen = True
    begin = CLOCK.monotonic()
    _offer(outbox, device, range(middle, end))
    named = await within(lambda: publisher.health.state == "down", NAMED_WITHIN)
    seconds, reason = CLOCK.monotonic() - begin, publisher.health.reason
    far.thaw()
    check.expect(named, f"a broker that swallows packets was not named within {NAMED_WITHIN:g} s")
    check.expect(not named or "acknowledgement" in reason, f"another reason was named: {reason}")
    return seconds


def _offer(outbox: Outbox, device: Device, numbers: range) -> None:
    for number in numbers:
        outbox.append(block(device, number))


def _delivered(publisher: Publisher) -> bool:
    return not any(lane.pending for lane in publisher.status().outbox.lanes.values())


def _judge(check: Check, publisher: Publisher, far: FarSide) -> None:
    offered = FREEZES * _RECORDS
    values = sorted(values[0] for values in far.came.values())
    lost = offered - len(set(values))
    reused = sum(len(set(values)) > 1 for values in far.came.values())
    most = FREEZES * publisher.config.window
    check.figures = {"freezes": FREEZES, "records": offered, "lost": lost, "numbers reused": reused}
    check.figures["repeats"] = far.repeats
    check.expect(lost == 0, f"{lost} records never came")
    check.expect(len(values) == len(set(values)), "a record came under two ids")
    check.expect(reused == 0, f"{reused} ids name two records")
    check.expect(far.repeats <= most, f"{far.repeats} repeats, and one window for each freeze is {most}")
    balance = publisher.status().outbox.lanes["data"]
    rows = offered * ROWS
    said = (balance.accepted, balance.acknowledged, balance.pending, balance.dropped)
    check.expect(said == (rows, rows, 0, {}), f"the balance is {balance}, and should be {rows} acknowledged")


@asynccontextmanager
async def _publishing(outbox: Outbox, device: Device, far: FarSide) -> AsyncIterator[Publisher]:
    plugins = Plugins()
    options = {"name": "selftest", "plugin": "mqtt", "host": "127.0.0.1", "port": far.port, "protocol": "5"}
    publisher = Publisher(
        plugins.options(SINK, "mqtt")[0].model_validate({**options, "window": 50, "ack_timeout": f"{ACK_TIMEOUT:g}s"}),
        plugins.sink("mqtt"),
        outbox,
        SinkSurroundings(
            GatewaySection(name="selftest", site="selftest"),
            __version__,
            CLOCK,
            LiveTable([device]),
            devices=lambda: [device],
            device_state=lambda _: (True, ""),
        ),
    )
    run = asyncio.create_task(publisher.run())
    try:
        yield publisher
    finally:
        run.cancel()
        await asyncio.wait([run])
