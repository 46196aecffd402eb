"""A log in a temporary directory, and devices to fill it."""

import asyncio
import contextlib
from collections.abc import AsyncIterator
from pathlib import Path

import numpy as np

from gateway.config.base import DeviceConfig, TagConfig
from gateway.config.model import DeviceSpec, OutboxSection
from gateway.core.clock import FakeClock
from gateway.core.readings import Readings
from gateway.core.record import Record
from gateway.core.tag import Device
from gateway.outbox import Outbox, Reader
from gateway.testing import eventually as until


def spec(name: str = "press-1", tags: int = 3, **options: object) -> DeviceSpec:
    config = DeviceConfig(name=name, driver="fake")
    return DeviceSpec(config, {f"tag{i}": TagConfig(**options) for i in range(tags)})


def block(device: Device, number: float, **columns: object) -> Readings:
    n = len(device.tags)
    return Readings(
        device,
        columns.get("t_ns", np.full(n, 1_800_000_000_000_000_000 + int(number), np.int64)),
        columns.get("tag", device.tags.ids),
        columns.get("value", np.full(n, float(number))),
        columns.get("quality", np.zeros(n, np.uint32)),
        columns.get("exact", {}),
    )


async def take(reader: Reader, count: int, limit: int = 200) -> list[Record]:
    """This many records, handed out as they come."""
    records: list[Record] = []
    async with asyncio.timeout(25):
        while len(records) < count:
            await reader.wait()
            records += await reader.take(limit)
    return records


class Log:
    """Opens the log of one directory, and again, with the same clock."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.clock = FakeClock()
        self.section = OutboxSection(commit_interval="20ms")

    @contextlib.asynccontextmanager
    async def opened(self, config_hash: str = "c0ffee00", **section: object) -> AsyncIterator[Outbox]:
        section = self.section.model_copy(update=section)
        outbox = Outbox.open(self.directory, section, clock=self.clock, config_hash=config_hash)
        run = asyncio.create_task(outbox.run())
        try:
            yield outbox
        finally:
            run.cancel()
            await asyncio.gather(run, return_exceptions=True)
            await outbox.close()

    def files(self, lane: str = "data") -> list[Path]:
        return sorted((self.directory / lane).glob("*.seg"))


async def fill(outbox: Outbox, device: Device, numbers: range) -> None:
    """Append one block for each number, and wait until all are accepted."""
    before = outbox.status().lanes["data"].accepted
    for number in numbers:
        outbox.append(block(device, number))
    rows = before + len(numbers) * len(device.tags)
    await until(lambda: outbox.status().lanes["data"].accepted == rows)


def values(records: list[Record]) -> list[float]:
    """The number that `block` was given, of each record of readings."""
    return [float(record.readings.value[0]) for record in records if record.readings is not None]
