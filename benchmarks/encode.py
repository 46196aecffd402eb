"""CPU per record of turning readings into JSON, beside a dict per record through the standard library and orjson.

The plain ways print integers as 5.0, truth values as 1.0 and a float32 with 17 digits; the encoder prints each by its type.

python benchmarks/encode.py
"""

import json
import time
from collections.abc import Callable

import numpy as np
import orjson

from gateway.config.model import GatewaySection
from gateway.core.clock import SystemClock
from gateway.core.context import Context
from gateway.core.live import LiveTable
from gateway.core.quality import BAD_NO_COMMUNICATION
from gateway.core.readings import Readings
from gateway.core.record import Kind, Lane, Record
from gateway.core.tag import Device, Tag, Tags
from gateway.publish import JsonEncoder, SinkSurroundings

TYPES = {
    "float64": ("float64",),
    "float32": ("float32",),
    "uint16": ("uint16",),
    "mixed": ("float32", "uint16", "bool", "float64"),
}
REPEATS, ROUNDS = 400, 7


def make(count: int, types: tuple[str, ...], bad: int = 0) -> Record:
    """A record of one scan of `count` tags, of which the first `bad` ones are bad."""
    names = [f"Line1.Station{number:03d}.Temperature" for number in range(count)]
    tags = [Tag(number + 1, "coater-1", name, types[number % len(types)]) for number, name in enumerate(names)]
    device = Device("coater-1", "modbus", Tags("coater-1", tags), Context(site="north", area="solids", line="coating"))
    value = np.random.default_rng(1).uniform(0, 100, count).astype(np.float32).astype(np.float64)
    for row, tag in enumerate(tags):
        if tag.type == "uint16":
            value[row] = int(value[row])
        elif tag.type == "bool":
            value[row] = value[row] > 50
    quality = np.zeros(count, np.uint32)
    quality[:bad], value[:bad] = BAD_NO_COMMUNICATION, np.nan
    now = time.time_ns()
    readings = Readings(device, np.full(count, now), device.tags.ids, value, quality)
    return Record("6f1c22d09ab34e57", Lane.DATA, 1, Kind.READINGS, now, 0, 1, 0, "0badcafe", count, readings)


def plainly(record: Record, dumps: Callable[[object], object]) -> Callable[[], object]:
    """The same message as a dict, made and dumped each time."""
    readings = record.readings
    assert readings is not None
    names = [tag.name for tag in readings.device.tags]
    context = readings.device.context.said()

    def encode() -> object:
        values = {name: (None if value != value else value) for name, value in zip(names, readings.value.tolist())}  # noqa: B905
        ts = int(readings.t_ns[0]) // 1_000_000
        return dumps({"ts": ts, "values": values, "id": record.id, "context": context})

    return encode


def cost(call: Callable[[], object]) -> float:
    """CPU µs per call, the best of some rounds."""
    best = float("inf")
    for _ in range(ROUNDS):
        start = time.process_time()
        for _ in range(REPEATS):
            call()
        best = min(best, (time.process_time() - start) / REPEATS)
    return best * 1e6


def main() -> None:
    """Print the table."""
    print(f"{'tags':>5} {'types':<16} {'encoder':>9} {'json.dumps':>11} {'orjson':>8}  CPU µs per record   bytes")
    for count in (50, 500):
        for name, types in {**TYPES, "mixed, 10 % bad": TYPES["mixed"]}.items():
            record = make(count, types, count // 10 if "bad" in name else 0)
            encoder = JsonEncoder(
                "{site}/{area}/{line}/{device}",
                False,
                SinkSurroundings(GatewaySection(name="gw1"), "0", SystemClock(), LiveTable()),
            )
            ours = cost(lambda: encoder.messages(record))  # noqa: B023
            size = len(encoder.messages(record)[0].payload)
            print(
                f"{count:>5} {name:<16} {ours:>9.1f} {cost(plainly(record, json.dumps)):>11.1f} "
                f"{cost(plainly(record, orjson.dumps)):>8.1f} {size:>26}"
            )


if __name__ == "__main__":
    main()
