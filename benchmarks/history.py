"""What a trend costs: the outbox's files of a device with 50 tags, once a second, read for a chart.

    python -m benchmarks.history [DAYS]

Writes the files first (24 MB a day), then prints milliseconds, the best of three: one tag over the last day, and eight tags
over all of it (targets: 150 ms; 1 s over 30 days), and how much the process grew in memory.
"""

import asyncio
import resource
import sys
import tempfile
import time
from pathlib import Path

import numpy as np

from benchmarks.outbox import make_device
from gateway.config.model import OutboxSection
from gateway.core.clock import FakeClock
from gateway.core.readings import Readings
from gateway.core.record import Lane
from gateway.core.tag import Device
from gateway.outbox import Outbox

TAGS, DAY, SECOND_NS, POINTS = 50, 86_400, 1_000_000_000, 1000
TOGETHER = 500
"""Records that are written together."""


async def fill(outbox: Outbox, device: Device, clock: FakeClock, seconds: int) -> int:
    """Write a record for each second; the time behind the last, ns since 1970."""
    rng = np.random.default_rng(1)
    waves = rng.normal(50, 10, (1000, TAGS)).astype(np.float32).astype(np.float64)
    good = np.zeros(TAGS, np.uint32)
    for second in range(seconds):
        clock.advance(1.0)
        now = clock.wall_ns()
        outbox.append(Readings(device, np.full(TAGS, now), device.tags.ids, waves[second % 1000], good))
        if second % TOGETHER == TOGETHER - 1:
            await outbox.written_out(60)
    await outbox.written_out(60)
    return clock.wall_ns()


async def measure(outbox: Outbox, what: str, tags: list[str], from_ns: int, to_ns: int) -> None:
    """Print the best of three."""
    took = []
    for _ in range(3):
        began = time.perf_counter()
        found = await outbox.kept.series("device", tags, from_ns, to_ns, POINTS)
        shown = [len(series.done()[0]) for series in found.values()]
        took.append(time.perf_counter() - began)
    readings = sum(series.readings for series in found.values())
    grown = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    print(
        f"{what}: {1000 * min(took):.0f} ms (first {1000 * took[0]:.0f}), {readings:,} readings, {shown} points, ",
        end="",
    )
    print(f"at most {grown:.0f} MiB of memory")


async def main(folder: Path, days: int) -> None:
    """Write, then read."""
    clock = FakeClock()
    section = OutboxSection.model_validate({"max_size": "8 GiB", "min_free": "0 B", "keep": "60d"})
    outbox = Outbox.open(folder, section, clock=clock, config_hash="00000000")
    run = asyncio.create_task(outbox.run())
    device = make_device(outbox, "device", TAGS)
    outbox.reader("nobody")
    end = await fill(outbox, device, clock, days * DAY)
    size = sum(path.stat().st_size for path in (folder / Lane.DATA.word).iterdir()) / 2**20
    print(f"{days} days, {size:.0f} MiB")
    names = [tag.name for tag in device.tags]
    await measure(outbox, "one tag, a day", names[:1], end - DAY * SECOND_NS, end + 1)
    await measure(outbox, f"eight tags, {days} days", names[:8], end - days * DAY * SECOND_NS, end + 1)
    run.cancel()
    await outbox.close()


if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as made:
        asyncio.run(main(Path(made), int(sys.argv[1]) if len(sys.argv) > 1 else 2))
