"""What a lake costs: W1-like data from the log to Parquet and Delta, by CPU of this process.

    python benchmarks/lake.py [--devices 100] [--seconds 60] [--commits 3]

Writes a log of so many devices of 50 float32 tags, each read once a second, and commits it as the sinks `parquet` and
`delta` do: taken from the outbox, made into columns, sealed, and acknowledged. Prints readings per second of CPU, bytes a
reading, and the most memory that the process had.
"""

import argparse
import asyncio
import resource
import sys
import tempfile
import time
from pathlib import Path

import numpy as np

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))
FLOATS = 50
T0 = 1_800_000_000_000_000_000

from gateway.config.base import DeviceConfig, TagConfig  # noqa: E402
from gateway.config.kinds import SINK  # noqa: E402
from gateway.config.model import DeviceSpec, OutboxSection  # noqa: E402
from gateway.core.clock import SystemClock  # noqa: E402
from gateway.core.context import Context  # noqa: E402
from gateway.core.readings import Readings  # noqa: E402
from gateway.core.record import Record  # noqa: E402
from gateway.core.tag import Device  # noqa: E402
from gateway.outbox import Outbox  # noqa: E402
from gateway.plugin import Batch  # noqa: E402
from gateway.plugin.discovery import Plugins  # noqa: E402
from gateway.testing import FakeSinkHost  # noqa: E402


class Float(TagConfig):
    """A float32 of a PLC."""

    def value_type(self) -> str:
        """As W1 has them."""
        return "float32"


async def fill(outbox: Outbox, devices: list[Device], seconds: int) -> None:
    """One block of each device a second: values that wander, times of the gateway's own clock."""
    chance = np.random.default_rng(7)
    values = {device.name: chance.normal(50, 10, FLOATS) for device in devices}
    for second in range(seconds):
        for number, device in enumerate(devices):
            values[device.name] += chance.normal(0, 0.1, FLOATS)
            t_ns = T0 + second * 1_000_000_000 + number * 7_123_457 + int(chance.integers(0, 2_000_000))
            column = values[device.name].astype(np.float32).astype(np.float64)
            quality = np.zeros(FLOATS, np.uint32)
            outbox.append(Readings(device, np.full(FLOATS, t_ns, np.int64), device.tags.ids, column, quality))
        await asyncio.sleep(0.01)
    rows = len(devices) * seconds * FLOATS
    while outbox.status().lanes["data"].accepted < rows:  # noqa: ASYNC110 - nothing tells of it
        await asyncio.sleep(0.05)


async def measure(plugin: str, folder: Path, outbox: Outbox, devices: list[Device], commits: int) -> None:
    """Take all that there is in so many commits."""
    plugins = Plugins()
    (options,) = plugins.options(SINK, plugin)
    config = options.model_validate({"name": plugin, "plugin": plugin, "folder": str(folder / plugin)})
    (folder / f"{plugin}-state").mkdir()
    sink = plugins.sink(plugin)(config, FakeSinkHost(devices, folder=folder / f"{plugin}-state"))
    await sink.connect()
    reader = outbox.reader(plugin, "strict")
    pending = reader.pending["data"]
    took = committed = 0.0
    for _ in range(commits):
        records: list[Record] = []
        begun = time.process_time()
        while sum(record.rows for record in records) < pending / commits and (some := await reader.take(500)):
            records += some
        took += time.process_time() - begun
        begun = time.process_time()
        await sink.commit(Batch(records))  # type: ignore[attr-defined]
        committed += time.process_time() - begun
        begun = time.process_time()
        reader.acknowledged(records)
        took += time.process_time() - begun
    await sink.close()
    size = sum(path.stat().st_size for path in (folder / plugin).rglob("*.parquet"))
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    print(
        f"{plugin:8} {pending / (took + committed) / 1e6:5.2f} M readings/s/core ({took / pending * 1e6:.2f} µs from the "
        "log, "
        f"{committed / pending * 1e6:.2f} µs committed), {size / pending:5.2f} bytes a reading, peak {peak:.0f} MB"
    )


async def main(devices: int, seconds: int, commits: int) -> None:
    """Fill a log, and commit it twice."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        outbox = Outbox.open(folder / "outbox", OutboxSection(), clock=SystemClock(), config_hash="0badcafe" * 8)
        run = asyncio.create_task(outbox.run())
        tags = {f"tag_{n:02}": Float(unit="°C") for n in range(FLOATS)}
        bound = [
            outbox.bind(
                DeviceSpec(DeviceConfig(name=f"device-{n}", driver="w1"), tags), Context(site="north", line="a")
            )
            for n in range(devices)
        ]
        for plugin in ("parquet", "delta"):
            outbox.reader(plugin, "strict")
        await fill(outbox, bound, seconds)
        for plugin in ("parquet", "delta"):
            await measure(plugin, folder, outbox, bound, commits)
        run.cancel()
        await asyncio.gather(run, return_exceptions=True)
        await outbox.close()


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--devices", type=int, default=100)
    parser.add_argument("--seconds", type=int, default=60)
    parser.add_argument("--commits", type=int, default=3)
    given = parser.parse_args()
    asyncio.run(main(given.devices, given.seconds, given.commits))
