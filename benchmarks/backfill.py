"""What a drain after an outage costs, and whether live data waits for it: rate, CPU per value, latency of live records.

    python benchmarks/backfill.py [--hours 0.1] [--rate 5000] [--backfill 50000 | unlimited]

`--hours 4` is the promise at full size: 72 million readings, which must be gone within 30 minutes. A log is filled as by
devices of 500 tags each second; then a publisher drains it into mosquitto (a process of its own) while the devices go on.
Latency is from the append of a live record to the broker's acknowledgement. CPU is that of this process, all threads, from
the connect to the last of history, per value sent; the devices' appending is part of it.
"""

import argparse
import asyncio
import resource
import tempfile
import time
from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import numpy as np

from gateway.config.base import DeviceConfig, SinkConfig, TagConfig
from gateway.config.model import DeviceSpec, GatewaySection, OutboxSection
from gateway.core.clock import Clock, FakeClock, SystemClock
from gateway.core.context import Context
from gateway.core.live import LiveTable
from gateway.core.readings import Readings
from gateway.core.record import Lane, Record
from gateway.core.tag import Device
from gateway.outbox import Outbox, Reader
from gateway.publish import Publisher, SinkSurroundings
from gateway.testing import build_sink_config, eventually, load_plugin
from tests.peers.broker import Broker

SECTION = OutboxSection.model_validate({"max_size": "16 GiB", "min_free": "0 B"})
MQTT: Any = load_plugin(Path(__file__).parents[1] / "plugins" / "mqtt")
TAGS = 500


def cpu() -> float:
    """Seconds of this process, user and system."""
    usage = resource.getrusage(resource.RUSAGE_SELF)
    return usage.ru_utime + usage.ru_stime


class Plant:
    """Devices that are read once a second."""

    def __init__(self, outbox: Outbox, clock: Clock, devices: int, tags: int = TAGS) -> None:
        self.outbox = outbox
        self.clock = clock
        options = {f"tag{number}": TagConfig(unit="°C") for number in range(tags)}
        place = Context(site="north", line="coating")
        specs = [DeviceSpec(DeviceConfig(name=f"press-{each}", driver="none"), options) for each in range(devices)]
        self.devices = [outbox.bind(spec, place) for spec in specs]
        chance = np.random.default_rng(1)
        self._blocks = [chance.uniform(20, 90, tags).astype(np.float32).astype(np.float64) for _ in range(64)]
        self._good = np.zeros(tags, np.uint32)
        self._scans = 0

    def scan(self, device: Device) -> None:
        """One block of all its tags."""
        times = np.full(len(self._good), self.clock.wall_ns(), np.int64)
        values = self._blocks[self._scans % len(self._blocks)]
        self._scans += 1
        self.outbox.append(Readings(device, times, device.tags.ids, values, self._good))

    async def outage(self, seconds: int) -> None:
        """So many scans, as fast as the disk takes them."""
        for number in range(seconds):
            for device in self.devices:
                self.scan(device)
            self.outbox.flush()
            if isinstance(self.clock, FakeClock):
                self.clock.advance(1)
            if number % 20 == 0:
                await self.outbox.written_out(60)

    async def live(self) -> None:
        """A scan each second, spread over it, for ever."""
        while True:
            for device in self.devices:
                self.scan(device)
                await asyncio.sleep(1 / len(self.devices))


class Watch:
    """Notes how long live records take to be acknowledged."""

    def __init__(self, reader: Reader, first: int, clock: Clock) -> None:
        self.latencies: list[float] = []
        self._first = first
        self._clock = clock
        self._acknowledged = reader.acknowledged
        reader.acknowledged = self.acknowledged  # type: ignore[method-assign]

    def acknowledged(self, records: Iterable[Record]) -> None:
        records = list(records)
        now = self._clock.boot_ns()
        live = (each for each in records if each.lane is Lane.DATA and each.seq >= self._first)
        self.latencies += [(now - each.boot_ns) / 1e6 for each in live]
        self._acknowledged(records)


@asynccontextmanager
async def opened(directory: Path, clock: Clock) -> AsyncIterator[Outbox]:
    """A log in this directory."""
    outbox = Outbox.open(directory, SECTION, clock=clock, config_hash="0badcafe" * 8)
    keeping = asyncio.create_task(outbox.run())
    try:
        yield outbox
    finally:
        keeping.cancel()
        await asyncio.wait([keeping])
        await outbox.close()


@asynccontextmanager
async def publishing(outbox: Outbox, plant: Plant, config: SinkConfig) -> AsyncIterator[Publisher]:
    """The log's way into a broker."""
    publisher = Publisher(
        config,
        MQTT,
        outbox,
        SinkSurroundings(
            GatewaySection(name="bench", site="north"),
            "0",
            plant.clock,
            LiveTable(plant.devices),
            devices=lambda: plant.devices,
            device_state=lambda _: (True, ""),
        ),
    )
    running = asyncio.create_task(publisher.run())
    try:
        yield publisher
    finally:
        running.cancel()
        await asyncio.wait([running])


async def drain(directory: Path, port: int, hours: float, rate: int, backfill: int | str) -> None:
    """Fill, drain, and print."""
    clock = SystemClock()
    async with opened(directory, clock) as outbox:
        plant = Plant(outbox, clock, max(1, rate // TAGS))
        reader = outbox.reader("central")
        await plant.outage(round(hours * 3600))
        await outbox.written_out(600)
        held = reader.pending["data"]
        history = outbox.status().lanes["data"].next
        print(f"{held:,} readings of history in {outbox.status().room.size / 2**20:,.0f} MiB", flush=True)
        await asyncio.sleep(11)  # what is younger than 10 s is no history
        watch = Watch(reader, history, clock)
        options = {"name": "central", "host": "127.0.0.1", "port": port, "backfill_rate": backfill}
        feed = asyncio.create_task(plant.live())
        async with publishing(outbox, plant, build_sink_config(MQTT, options)) as publisher:
            begun, spent = time.perf_counter(), cpu()
            await eventually(lambda: reader.settled_below(Lane.DATA) >= history, 24 * 3600)
            took, spent = time.perf_counter() - begun, cpu() - spent
            sent = publisher.status().acknowledged_readings
        feed.cancel()
    latencies = np.percentile(watch.latencies, (50, 99, 100))
    print(f"drained in {took:,.1f} s: {held / took:,.0f} readings of history per second beside {rate:,} live")
    print(f"four hours at {rate:,} per second would take {4 * 3600 * rate / (held / took) / 60:.1f} min")
    print(f"CPU {1e6 * spent / sent:.2f} µs per value, {100 * spent / took:.0f} % of a core")
    print("live latency p50 {:.1f} ms, p99 {:.1f} ms, worst {:.1f} ms".format(*latencies))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--hours", type=float, default=0.1, help="length of the outage (default 0.1)")
    parser.add_argument("--rate", type=int, default=5000, help="readings per second (default 5000)")
    parser.add_argument("--backfill", default="50000", help='backfill_rate, or "unlimited" (default 50000)')
    options = parser.parse_args()
    backfill = options.backfill if options.backfill == "unlimited" else int(options.backfill)
    with tempfile.TemporaryDirectory(prefix="backfill-", dir=Path.cwd()) as name:
        directory = Path(name)
        with Broker(directory) as broker:
            asyncio.run(drain(directory / "outbox", broker.port, options.hours, options.rate, backfill))


if __name__ == "__main__":
    main()
