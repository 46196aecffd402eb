"""CPU per reading of turning a record into a Sparkplug payload, beside protobuf's plain way in the same run; and what a
rebirth costs.

    python benchmarks/sparkplug.py

Plain: a message object per metric, filled field by field, and one call that makes bytes (upb, protobuf's C code). Both write
the same bytes. Times are CPU time of this process, the best of interleaved rounds.
"""

import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import structlog

from gateway.core.readings import Readings
from gateway.core.tag import Device, Tag, Tags
from plugins.sparkplug.device_metrics import DeviceMetrics
from plugins.sparkplug.node import Node, Topics
from plugins.sparkplug.payload import payload
from plugins.sparkplug.payload.schema import Payload
from plugins.sparkplug.stored import Aliases
from plugins.sparkplug.templates import Templates

TYPES = {
    "float64": ("float64",),
    "float32": ("float32",),
    "bool": ("bool",),
    "int32": ("int32",),
    "mixed": ("float32", "bool", "float64", "int32"),
}
FIELDS = {"float64": "double_value", "float32": "float_value", "bool": "boolean_value", "int32": "int_value"}
REPEATS, ROUNDS = 300, 7
REBORN, DEVICES = 10_000, 100


def make(name: str, count: int, types: tuple[str, ...], first: int = 1) -> Device:
    """A device of so many tags."""
    tags = [
        Tag(first + n, name, f"Line1.Station{n:03d}.Temperature", types[n % len(types)], "°C") for n in range(count)
    ]
    return Device(name, "modbus", Tags(name, tags))


def scans(device: Device, count: int) -> list[Readings]:
    """So many scans, one second apart."""
    size, start = len(device.tags), time.time_ns()
    value = np.random.default_rng(1).integers(0, 2, size).astype(np.float64)
    zeros = np.zeros(size, np.uint32)
    return [Readings(device, np.full(size, start + n * 10**9), device.tags.ids, value, zeros) for n in range(count)]


def ours(metrics: DeviceMetrics) -> Callable[[Readings], bytes]:
    """As the sink does it."""
    return lambda readings: payload(1_800_000_000_000, metrics.data(readings), 7)


def plainly(metrics: DeviceMetrics, device: Device) -> Callable[[Readings], bytes]:
    """A message object for each metric."""
    aliases = [metric.alias for metric in metrics.metrics]
    fields = [FIELDS[tag.type] for tag in device.tags]
    kinds = [bool if tag.type == "bool" else int if tag.type == "int32" else float for tag in device.tags]

    def encode(readings: Readings) -> bytes:
        said = Payload(timestamp=1_800_000_000_000)
        add = said.metrics.add
        times, values = readings.t_ns.tolist(), readings.value.tolist()
        for alias, field, kind, t_ns, value in zip(aliases, fields, kinds, times, values):  # noqa: B905
            metric = add()
            metric.alias = alias
            metric.timestamp = t_ns // 1_000_000
            setattr(metric, field, kind(value))
        said.seq = 7
        done: bytes = said.SerializeToString()
        return done

    return encode


def cost(call: Callable[[Readings], bytes], blocks: Sequence[Readings]) -> float:
    """CPU µs per reading."""
    start = time.process_time()
    for block in blocks:
        call(block)
    return (time.process_time() - start) / len(blocks) / len(blocks[0]) * 1e6


def compare(name: str, types: tuple[str, ...], count: int, folder: Path) -> None:
    """One line of the table."""
    device = make(name, count, types)
    metrics = DeviceMetrics(name, Aliases(folder, structlog.get_logger()))
    metrics.define(device)
    blocks = scans(device, REPEATS)
    best = [float("inf"), float("inf")]
    for _ in range(ROUNDS):
        metrics.birth(blocks[0], 1)
        for at, call in enumerate((ours(metrics), plainly(metrics, device))):
            best[at] = min(best[at], cost(call, blocks))
    metrics.birth(blocks[0], 1)
    assert sorted(ours(metrics)(blocks[0])) == sorted(plainly(metrics, device)(blocks[0])), "both write the same bytes"
    print(f"{count:>5} {name:<8} {best[0]:>8.3f} {best[1]:>8.3f} {best[1] / best[0]:>7.1f}x")


def rebirth(folder: Path) -> None:
    """The whole birth sequence of a node with many metrics."""
    size = REBORN // DEVICES
    devices = [make(f"device-{n}", size, TYPES["mixed"], 1 + n * size) for n in range(DEVICES)]
    node = Node(Topics("g", "n"), 0, Aliases(folder, structlog.get_logger()), "1", Templates({}))
    values = {device.name: scans(device, 1)[0] for device in devices}
    best = float("inf")
    for _ in range(3):
        start = time.process_time()
        messages: list[Any] = [node.birth(1)]
        for device in devices:
            known = node.device(device.name)
            known.define(device)
            messages.append(node.device_message("DBIRTH", device.name, 1, known.birth(values[device.name], 1)))
        best = min(best, time.process_time() - start)
    total = sum(len(message.payload) for message in messages)
    print(f"\nrebirth of {REBORN:,} metrics of {DEVICES} devices: {best * 1000:.0f} ms CPU, {total / 1024:.0f} KiB")


def main() -> None:
    """Print the table."""
    print(f"{'tags':>5} {'types':<8} {'ours':>8} {'plain':>8}  CPU µs per reading")
    for count in (100, 1000):
        for name, types in TYPES.items():
            with tempfile.TemporaryDirectory() as folder:
                compare(name, types, count, Path(folder))
    with tempfile.TemporaryDirectory() as folder:
        rebirth(Path(folder))


if __name__ == "__main__":
    main()
