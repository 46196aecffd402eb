"""The log under torture: one device of three tags; every record carries its own number as value."""

import asyncio
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path
from typing import Any, NoReturn

import numpy as np
import structlog

from gateway.config.base import DeviceConfig, TagConfig
from gateway.config.model import DeviceSpec, OutboxSection
from gateway.core.clock import SystemClock
from gateway.core.context import Context
from gateway.core.event import Event
from gateway.core.readings import Readings
from gateway.core.record import Kind, Record
from gateway.core.tag import Device
from gateway.outbox import Outbox

ROWS = 3
"""Readings in each record."""
SINKS = ("prompt", "slow")
CLOCK = SystemClock()

_SPEC = DeviceSpec(DeviceConfig(name="selftest", driver="none"), {f"tag{i}": TagConfig() for i in range(ROWS)})


def open_log(directory: Path, **section: Any) -> Outbox:
    """The log with small files and short intervals, so that much happens in little time."""
    said = {"commit_interval": 0.05, "segment_size": 64 * 1024, "max_size": 2**30, "min_free": 0, **section}
    return Outbox.open(directory, OutboxSection().model_copy(update=said), clock=CLOCK, config_hash="5e1f7e57")


@asynccontextmanager
async def opened(directory: Path, **section: Any) -> AsyncIterator[Outbox]:
    """The log, running; closed in good order."""
    outbox = open_log(directory, **section)
    run = asyncio.create_task(outbox.run())
    try:
        yield outbox
    finally:
        run.cancel()
        await asyncio.gather(run, return_exceptions=True)
        await outbox.close()


def bind(outbox: Outbox) -> Device:
    """The device of all records."""
    return outbox.bind(_SPEC, Context(site="selftest"))


def block(device: Device, number: int) -> Readings:
    """The readings of record `number`."""
    times = np.full(ROWS, CLOCK.wall_ns(), np.int64)
    return Readings(device, times, device.tags.ids, np.full(ROWS, float(number)), np.zeros(ROWS, np.uint32))


def event(number: int) -> Event:
    """The event `number`."""
    return Event(
        f"selftest-{number}", "selftest", "raised", "selftest", CLOCK.wall_ns(), "a test", detail={"n": number}
    )


def number_of(record: Record) -> int:
    """The number that a record carries; a negative one of its own for what the log itself has to say."""
    if record.readings is not None:
        return int(record.readings.value[0])
    if record.kind is Kind.EVENT and record.body is not None and "n" in record.body:
        return int(record.body["n"])
    return -record.seq


def _drop(*_: Any) -> NoReturn:
    raise structlog.DropEvent


@contextmanager
def silence() -> Iterator[None]:
    """What the log says of the damage that it is made to meet, is of no interest."""
    before = structlog.get_config()
    structlog.configure(processors=[_drop])
    try:
        yield
    finally:
        structlog.configure(**before)
