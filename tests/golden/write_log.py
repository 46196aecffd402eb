"""Wrote the log directories of `log-0.1.tar.xz` with version 0.1 of the gateway: python -m tests.golden.write_log DIR

Kept to say what stands in them; the archive is never made anew, since a later version must read what an earlier one wrote.
"""

import asyncio
import os
import subprocess
import sys
from pathlib import Path

import numpy as np

from gateway.config.base import DeviceConfig, TagConfig
from gateway.config.model import DeviceSpec, OutboxSection
from gateway.core import quality
from gateway.core.clock import FakeClock
from gateway.core.context import Context
from gateway.core.event import Contribution, Event
from gateway.core.readings import Readings
from gateway.core.record import Lane
from gateway.core.tag import VALUE_TYPES, Device
from gateway.outbox import Outbox
from gateway.outbox.start import state
from gateway.plugin.driver import Found

WALL = 1_800_000_000_000_000_000
PLACE = Context(site="north", area="solids", line="coating")
BOOT = 0x0B007000
"""The boot in which the logs were written."""

state.boot_number = lambda: BOOT


class Life:
    """One run of the gateway's log, at its own time."""

    def __init__(self, directory: Path, clock: FakeClock, **section: object) -> None:
        self.clock = clock
        options = OutboxSection(commit_interval="20ms", ballast="0 B", segment_size="64 KiB", min_free="1 MiB")
        section = {name: value for name, value in section.items() if value is not None}
        self.log = Outbox.open(directory, options.model_copy(update=section), clock=clock, config_hash="c0ffee00")
        self.coater = self.bind("coater-1", {kind: kind for kind in VALUE_TYPES})
        self.press = self.bind("프레스-1", {"speed": "float32", "pressure": "float64", "running": "bool"})

    def bind(self, name: str, types: dict[str, str]) -> Device:
        tags = {tag: TagConfig(unit="°C" if tag == "float32" else "", description=f"a {tag}") for tag in types}
        spec = DeviceSpec(DeviceConfig(name=name, driver="fake"), tags)
        return self.log.bind(spec, PLACE, {tag: Found(kind) for tag, kind in types.items()})

    def scan(self, device: Device, number: float) -> None:
        n = len(device.tags)
        exact = {
            row: value
            for row, tag in enumerate(device.tags)
            if (value := {"string": f"Lot {number:g}", "bytes": b"\0\xff", "int64": 2**60 + int(number)}.get(tag.type))
        }
        values = np.full(n, float(number))
        values[list(exact)] = np.nan
        codes = np.zeros(n, np.uint32)
        if number % 7 == 3:
            codes[0], values[0] = quality.BAD_NO_COMMUNICATION, np.nan
            codes[1] = quality.UNCERTAIN_LAST_VALUE | quality.STALE
            exact.pop(0, None)
        times = np.full(n, self.clock.wall_ns(), np.int64)
        times[-1] -= 5_000_000
        self.log.append(Readings(device, times, device.tags.ids, values, codes, exact, own_time=number % 2 == 0))

    def event(self, number: int, state: str) -> None:
        parts = [Contribution("speed", 0.75, 12.5, 20.1), Contribution("pressure", 0.25, 3.0, 2.5)]
        detail = {"score": 4.25, "threshold": 3.0, "window": {"from": 1, "to": 2}, "model": "coater"}
        text = f"프레스-1 behaves unlike its training ({number})"
        self.log.append_event(
            Event(f"e{number}", "anomaly", state, "프레스-1", self.clock.wall_ns(), text, "alarm", detail, parts)
        )

    async def settle(self) -> None:
        await self.log.written_out(20)


async def first(directory: Path, mode: str) -> None:
    """An hour with a sink that refuses a record, one that is away, a step of the clock; then it is killed."""
    life = Life(directory, FakeClock(WALL), mode=mode)
    central = life.log.reader("central")
    life.log.reader("lake")
    running = asyncio.create_task(life.log.run())
    for number in range(40):
        life.clock.advance(1)
        life.scan(life.coater, number)
        life.scan(life.press, number)
        if number % 10 == 5:
            life.event(number, "raised")
        if number == 20:
            life.clock.step(-3)
        await life.settle()
        await central.wait()
        taken = await central.take(200)
        central.acknowledged(taken[:-1])
        central.refused(taken[-1], "the broker does not take it: quota exceeded", final=number == 30)
        if number != 30:
            central.acknowledged(taken[-1:])
    life.clock.advance(3600)
    for number in range(40, 60):
        life.clock.advance(1)
        life.scan(life.coater, number)
    await life.settle()
    await asyncio.sleep(3)  # cursors, receipts and dead letters are written each second
    assert not running.done()
    os._exit(9)


async def second(directory: Path, mode: str) -> None:
    """After the kill: numbers are skipped, the bound is reached and the oldest is lost, then it is stopped in order."""
    clock = FakeClock(WALL + 8_000_000_000_000, boot=9_000_000_000_000)
    life = Life(directory, clock, max_size=512 * 1024, mode=mode)
    central, _ = life.log.reader("central"), life.log.reader("lake")
    running = asyncio.create_task(life.log.run())
    number = 100
    while not _lost(life, "lake"):
        for _ in range(100):
            number += 1
            life.clock.advance(0.1)
            life.scan(life.coater, number)
        await life.settle()
        await asyncio.sleep(0.3)
    taken = await central.take(50)
    central.acknowledged(taken)
    life.event(99, "cleared")
    await life.settle()
    await asyncio.sleep(2)
    running.cancel()
    await life.log.close()


def _lost(life: Life, sink: str) -> int:
    (reader,) = [each for each in life.log.status()["readers"] if each["sink"] == sink]
    return sum(reader["lanes"][Lane.DATA.word]["dropped"].values())


def main() -> None:
    """Each life in a process of its own, so that the first can be killed."""
    target = Path(sys.argv[1])
    if len(sys.argv) > 2:
        asyncio.run({"first": first, "second": second}[sys.argv[2]](target, sys.argv[3]))
        return
    for name, mode, lives in (("killed", "log", 1), ("full", "log", 2), ("spilled", "spill", 2)):
        for life in ("first", "second")[:lives]:
            subprocess.run(
                [sys.executable, "-m", "tests.golden.write_log", str(target / name), life, mode], check=False
            )


if __name__ == "__main__":
    main()
