"""Memory over a day without the broker, and over the drain that follows: it must not grow with the outage.

    python benchmarks/outage.py [--hours 24] [--devices 10] [--tags 50]

Time is compressed: the devices are read as fast as the disk takes it, while a clock of the benchmark runs by a second a
scan. Then a publisher drains all of it into mosquitto, a process of its own. Printed after each tenth: resident memory (RSS)
and Python objects.
"""

import argparse
import asyncio
import gc
import os
import tempfile
from pathlib import Path

from benchmarks.backfill import MQTT, Plant, opened, publishing
from gateway.core.clock import FakeClock
from gateway.testing import build_sink_config, eventually
from tests.peers.broker import Broker


def rss() -> float:
    """Resident memory of this process, MiB."""
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE") / 2**20


def measure(what: str) -> tuple[float, int]:
    """Print and return memory and objects as they are now."""
    gc.collect()
    now = rss(), len(gc.get_objects())
    print(f"{what:<16} RSS {now[0]:7.1f} MiB, {now[1]:9,} objects", flush=True)
    return now


async def live_through(directory: Path, port: int, seconds: int, devices: int, tags: int) -> list[tuple[float, int]]:
    """The outage and the drain; what was measured after each tenth of the two."""
    clock = FakeClock()
    found = []
    async with opened(directory, clock) as outbox:
        plant = Plant(outbox, clock, devices, tags)
        reader = outbox.reader("central")
        measure("start")
        for tenth in range(1, 11):
            await plant.outage(seconds // 10)
            await outbox.written_out(600)
            found.append(measure(f"outage {tenth * 10:3} %"))
        held = reader.pending["data"]
        print(f"{held:,} readings in {outbox.status().room.size / 2**20:,.0f} MiB")
        options = {"name": "central", "host": "127.0.0.1", "port": port, "backfill_rate": "unlimited"}
        async with publishing(outbox, plant, build_sink_config(MQTT, options)):
            for tenth in range(1, 11):
                left = held * (10 - tenth) // 10
                await eventually(lambda left=left: reader.pending["data"] <= left, 24 * 3600)  # type: ignore[misc]
                found.append(measure(f"drained {tenth * 10:3} %"))
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--hours", type=float, default=24)
    parser.add_argument("--devices", type=int, default=10)
    parser.add_argument("--tags", type=int, default=50)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="outage-", dir=Path.cwd()) as name:
        directory = Path(name)
        with Broker(directory) as broker:
            seconds = round(options.hours * 3600)
            asyncio.run(live_through(directory / "outbox", broker.port, seconds, options.devices, options.tags))


if __name__ == "__main__":
    main()
