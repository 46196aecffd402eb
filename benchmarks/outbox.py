"""What the outbox costs: CPU per record and per reading, bytes written per byte handed in, time to recover a full log.

    python benchmarks/outbox.py [--recover-mib 1024]

CPU is user + system of the whole process, all threads, from append to written; the encoding runs in the same process.
A reading handed in counts as 24 bytes (time, tag, value, quality), on disk as what was written.
"""

import argparse
import asyncio
import resource
import shutil
import tempfile
import time
from pathlib import Path

import numpy as np

from gateway.config.base import DeviceConfig, TagConfig
from gateway.config.model import DeviceSpec, OutboxSection
from gateway.core.clock import SystemClock
from gateway.core.context import Context
from gateway.core.readings import Readings
from gateway.core.record import Lane
from gateway.core.tag import Device
from gateway.outbox import Order, Outbox

SECTION = OutboxSection.model_validate({"max_size": "8 GiB", "min_free": "0 B"})
SLOT = 20
"""Records that come together, as those of a slot do."""


def cpu() -> float:
    usage = resource.getrusage(resource.RUSAGE_SELF)
    return usage.ru_utime + usage.ru_stime


def make_device(outbox: Outbox, name: str, tags: int) -> Device:
    spec = DeviceSpec(DeviceConfig(name=name, driver="none"), {f"tag{i}": TagConfig(unit="°C") for i in range(tags)})
    return outbox.bind(spec, Context(site="north", line="coating"))


def blocks(device: Device, kind: str, count: int) -> list[Readings]:
    rng = np.random.default_rng(1)
    n = len(device.tags)
    made = []
    for i in range(count):
        values = rng.normal(50, 10, n)
        if kind == "float32":
            values = values.astype(np.float32).astype(np.float64)
        rows = np.flatnonzero(rng.random(n) < 0.5) if kind == "half" else None
        block = Readings(device, np.full(n, 10**18 + i), device.tags.ids, values, np.zeros(n, np.uint32))
        made.append(block if rows is None else block.take(rows))
    return made


async def accepted(outbox: Outbox, rows: int) -> None:
    """Until at most so many readings are under way, so that none is turned away."""
    reader = outbox.reader("waiting")
    while reader.positions[Lane.DATA].log.total < rows:
        await reader.wait()
        reader.ready.clear()


async def append(directory: Path, rows: int, kind: str, records: int) -> str:
    outbox = Outbox.open(directory, SECTION, clock=SystemClock(), config_hash="00000000")
    run = asyncio.create_task(outbox.run())
    devices = [make_device(outbox, f"device-{i}", rows) for i in range(SLOT)]
    made = [blocks(device, kind, 50) for device in devices]
    total = 0
    before = cpu()
    for slot in range(records // SLOT):
        for part in made:
            block = part[slot % 50]
            outbox.append(block)
            total += len(block)
        outbox.flush()
        await accepted(outbox, total - 20 * SLOT * rows)
    await accepted(outbox, total)
    spent = cpu() - before
    status = outbox.status()
    run.cancel()
    await outbox.close()
    per_byte = status.room.written_bytes / total
    return (
        f"{rows:>5} {kind:<8} {spent / records * 1e6:>12.1f} {spent / total * 1e6:>14.4f} {per_byte:>14.2f}"
        f" {per_byte / 24:>16.2f} {status.room.syncs:>6}"
    )


async def send(directory: Path, rows: int, order: Order, records: int) -> str:
    """Take and acknowledge: live as the records come, or in sequence from the disk after an outage."""
    outbox = Outbox.open(directory, SECTION, clock=SystemClock(), config_hash="00000000")
    device = make_device(outbox, "device", rows)
    live = outbox.reader("live", order)
    made, spent, total = blocks(device, "float32", 50), 0.0, 0
    for slot in range(records // SLOT):
        for i in range(SLOT):
            outbox.append(made[(slot + i) % 50])
        outbox.flush()
        total += SLOT
        await accepted(outbox, total * rows)
        before = time.thread_time()
        live.acknowledged(await live.take(200))
        spent += time.thread_time() - before
    late = outbox.reader("late", "strict")
    before, taken = cpu(), 0
    while taken < total:
        records_taken = await late.take(200)
        taken += len(records_taken)
        late.acknowledged(records_taken)
    late_spent = cpu() - before
    await outbox.close()
    return (
        f"take and acknowledge {total} records of {rows}: live {spent / total * 1e6:.1f} µs a record,"
        f" mostly from disk {late_spent / total * 1e6:.1f} µs a record"
    )


async def recover(directory: Path, mib: int) -> str:
    outbox = Outbox.open(directory, SECTION, clock=SystemClock(), config_hash="00000000")
    device = make_device(outbox, "device", 500)
    made = blocks(device, "float64", 50)
    total = 0
    while outbox.size < mib * 2**20:
        for block in made:
            outbox.append(block)
        outbox.flush()
        total += 50 * 500
        await accepted(outbox, total)
    times = []
    for kind in ("killed", "stopped"):
        if kind == "stopped":
            await outbox.close()
        start = time.perf_counter()
        again = Outbox.open(directory, SECTION, clock=SystemClock(), config_hash="00000000")
        times.append(f"{kind}: {time.perf_counter() - start:.3f} s")
        if kind == "stopped":
            await again.close()
        else:
            numbers = again._state.numbers.numbers
            assert numbers
            again._writer.stop(numbers, 1)
            again._writer.join()
    return f"recovery of {mib} MiB, {total / 1e6:.0f} M readings: {', '.join(times)}"


def main() -> None:
    arguments = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    arguments.add_argument("--recover-mib", type=int, default=256)
    arguments.add_argument("--records", type=int, default=20_000)
    options = arguments.parse_args()
    print(
        f"{'rows':>5} {'values':<8} {'µs/record':>12} {'µs/reading':>14} {'bytes/reading':>14}"
        f" {'written/byte':>16} {'syncs':>6}"
    )
    for rows in (50, 500):
        for kind in ("float32", "float64", "half"):
            with tempfile.TemporaryDirectory() as folder:
                print(asyncio.run(append(Path(folder) / "outbox", rows, kind, options.records)))
    base = Path(tempfile.mkdtemp())
    try:
        print(asyncio.run(send(base / "send", 50, "live-first", options.records)))
        print(asyncio.run(recover(base / "recover", options.recover_mib)))
    finally:
        shutil.rmtree(base)


if __name__ == "__main__":
    main()
