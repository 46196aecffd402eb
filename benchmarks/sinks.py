"""What a second, third and fourth sink cost beside the first: CPU per million values with one to four MQTT sinks.

    python benchmarks/sinks.py [--devices 40] [--scans 400] [--rounds 3]

Blocks of 50 float32 tags of each device go through the outbox on disk, one scan after another, to mosquitto with QoS 1. CPU
is user + system of this process, less what the same costs without any sink; the best of some rounds, none to four in turns.
"""

import argparse
import asyncio
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from gateway.config.base import DeviceConfig, TagConfig
from gateway.config.model import DeviceSpec, GatewaySection, OutboxSection
from gateway.core.clock import SystemClock
from gateway.core.context import Context
from gateway.core.live import LiveTable
from gateway.core.readings import Readings
from gateway.core.tag import Device
from gateway.outbox import Outbox
from gateway.publish import Publisher, SinkSurroundings
from gateway.testing import build_sink_config, eventually
from plugins.mqtt import MqttSink
from tests.peers.broker import Broker

TAGS = 50
MOST = 4


class _Float(TagConfig):
    def value_type(self) -> str:
        return "float32"


def publishers(count: int, port: int, outbox: Outbox, devices: Sequence[Device], per_slot: bool) -> list[Publisher]:
    """So many sinks that want the same."""
    around = SinkSurroundings(  # with what all share, as in the gateway
        GatewaySection(name="g1"), "0", SystemClock(), LiveTable(devices), lambda: devices, lambda _: (True, "")
    )
    options = {"host": "127.0.0.1", "port": port, "topic": "{device}", "per_slot": per_slot}
    return [
        Publisher(
            build_sink_config(MqttSink, {**options, "name": f"s{n}", "client_id": f"s{n}"}), MqttSink, outbox, around
        )
        for n in range(count)
    ]


async def cost(sinks: int, port: int, folder: Path, devices: int, scans: int, per_slot: bool) -> float:
    """CPU seconds per million values."""
    outbox = Outbox.open(folder, OutboxSection(), clock=SystemClock(), config_hash="c0ffee00")
    house = asyncio.create_task(outbox.run())
    spec = {f"tag_{n:02}": _Float() for n in range(TAGS)}
    plant = [
        outbox.bind(DeviceSpec(DeviceConfig(name=f"device-{n}", driver="none"), spec), Context())
        for n in range(devices)
    ]
    targets = publishers(sinks, port, outbox, plant, per_slot)
    tasks = [asyncio.create_task(each.run()) for each in targets]
    readers = [outbox.reader(each.config.name, "live-first", each.config.backfill) for each in targets]
    await eventually(lambda: all(each.health.state == "up" for each in targets))
    chance = np.random.default_rng(1)
    values = [chance.uniform(20, 90, TAGS).astype(np.float32).astype(np.float64) for _ in range(16)]
    good = np.zeros(TAGS, np.uint32)
    start = time.process_time()
    for scan in range(scans):
        now = time.time_ns()
        for device in plant:
            outbox.append(Readings(device, np.full(TAGS, now), device.tags.ids, values[scan % 16], good))
        outbox.flush()
        done = (scan + 1) * devices * TAGS
        await eventually(lambda: outbox.status().lanes["data"].accepted >= done)  # noqa: B023
        await eventually(lambda: not any(any(each.pending.values()) for each in readers))
    used = time.process_time() - start
    for task in [*tasks, house]:
        task.cancel()
    await asyncio.gather(*tasks, house, return_exceptions=True)
    await outbox.close()
    return used / (scans * devices * TAGS) * 1e6


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--devices", type=int, default=40)
    parser.add_argument("--scans", type=int, default=400)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--per-slot", action="store_true")
    args = parser.parse_args()
    best = [float("inf")] * (MOST + 1)
    with tempfile.TemporaryDirectory(prefix="sinks-") as name, Broker(Path(name)) as broker:
        for turn in range(args.rounds):
            for sinks in range(MOST + 1):
                folder = Path(name) / f"{turn}-{sinks}"
                folder.mkdir()
                took = asyncio.run(cost(sinks, broker.port, folder, args.devices, args.scans, args.per_slot))
                best[sinks] = min(best[sinks], took)
    print("CPU s per million values; each further sink beside the first")
    first = best[1] - best[0]
    print(f"no sink  {best[0]:6.2f}\n1 sink   {best[1]:6.2f}  first: {first:5.2f}")
    for sinks in range(2, MOST + 1):
        more = (best[sinks] - best[1]) / (sinks - 1)
        print(f"{sinks} sinks  {best[sinks]:6.2f}  each further: {more:5.2f}  {more / first:4.0%} of the first")


if __name__ == "__main__":
    main()
