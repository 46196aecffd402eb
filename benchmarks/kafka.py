"""CPU time of one Kafka record of 1 KB: aiokafka's producer as its documentation shows it, and our sink.

    python benchmarks/kafka.py [--count 20000] [--runs 3] [--profile]

Times are CPU time of this process in µs per record that a real Kafka (in a process of its own) has acknowledged, with acks =
all and numbered batches; the best of interleaved runs. Both send the same key, headers and value; our sink also encodes the
readings as JSON, whose share is printed.
"""

import argparse
import asyncio
import cProfile
import pstats
import tempfile
import time
from collections.abc import Callable, Coroutine
from pathlib import Path
from typing import Any

from aiokafka import AIOKafkaProducer

from gateway.config.model import GatewaySection
from gateway.core.clock import SystemClock
from gateway.core.live import LiveTable
from gateway.core.record import Record
from gateway.plugin import DeviceConfig, TagConfig
from gateway.publish.host import Host, SinkSurroundings
from gateway.testing import bind, build_sink_config, load_plugin, records
from tests.peers.kafka_server import KafkaServer

TOPIC = "bench"
WINDOW = 200


class Point(TagConfig):
    def value_type(self) -> str:
        return "float64"


DEVICES = [
    bind(DeviceConfig(name=f"coater-{n}", driver="test"), {f"tag_{t:02}": Point() for t in range(40)})
    for n in range(50)
]
Run = Callable[[int, int], Coroutine[Any, Any, tuple[float, float]]]


class Answers:
    """Counts what is acknowledged, and sends on while the window has room."""

    def __init__(self, sent: list[Record]) -> None:
        self.sent = sent
        self.sink: Any = None
        self.done = asyncio.Event()
        self.taken = self.given = 0

    def acknowledged(self, taken: Any) -> None:
        self.taken += len(list(taken))
        self.feed()

    def refused(self, record: Record, reason: str, final: bool) -> None:
        raise AssertionError(reason)

    def feed(self) -> None:
        if self.taken == len(self.sent):
            self.done.set()
        upto = min(self.taken + WINDOW, len(self.sent))
        if upto > self.given:
            part, self.given = self.sent[self.given : upto], upto
            self.sink.send(part)


def made(count: int) -> list[Record]:
    return [records(DEVICES[n % len(DEVICES)], 1, first=n + 1)[0] for n in range(count)]


def surroundings() -> SinkSurroundings:
    return SinkSurroundings(GatewaySection(name="bench"), "0", SystemClock(), LiveTable(), lambda: DEVICES)


async def sink(port: int, count: int) -> tuple[float, float]:
    """Our sink, fed as the publisher feeds it."""
    sink_type: Any = load_plugin(Path(__file__).parents[1] / "plugins/kafka")
    answers = Answers(made(count))
    config = build_sink_config(sink_type, {"servers": [f"127.0.0.1:{port}"], "topic": TOPIC})
    answers.sink = sink_type(config, Host("bench", surroundings(), answers))
    await answers.sink.connect()
    serving = asyncio.ensure_future(answers.sink.serve())
    started = time.process_time(), time.perf_counter()
    answers.feed()
    await answers.done.wait()
    spent = time.process_time() - started[0], time.perf_counter() - started[1]
    serving.cancel()
    await asyncio.wait([serving])
    await answers.sink.close()
    return spent


async def plain(port: int, count: int) -> tuple[float, float]:
    """aiokafka's producer: a future for each record, a window of our own."""
    encoder = Host("bench", surroundings(), Answers([])).encoder("{device}", False)
    ready = [
        (each.readings.device.name.encode(), encoder.messages(each)[0].payload, [
            ("id", each.id.encode()), ("lane", b"data"), ("kind", b"readings"), ("gateway", b"bench"),
            ("content-type", b"application/json"),
        ])
        for each in made(count) if each.readings is not None
    ]  # fmt: skip
    producer = AIOKafkaProducer(
        bootstrap_servers=f"127.0.0.1:{port}", enable_idempotence=True, acks="all", max_batch_size=1_000_000
    )
    await producer.start()
    room = asyncio.Semaphore(WINDOW)
    started = time.process_time(), time.perf_counter()
    futures = []
    for key, value, headers in ready:
        await room.acquire()
        future = await producer.send(TOPIC, value, key, headers=headers)
        future.add_done_callback(lambda _: room.release())
        futures.append(future)
    await asyncio.gather(*futures)
    spent = time.process_time() - started[0], time.perf_counter() - started[1]
    await producer.stop()
    return spent


async def encoding(port: int, count: int) -> tuple[float, float]:
    """The JSON alone."""
    encoder, sent = Host("bench", surroundings(), Answers([])).encoder("{device}", False), made(count)
    started = time.process_time(), time.perf_counter()
    for each in sent:
        encoder.messages(each)
    return time.process_time() - started[0], time.perf_counter() - started[1]


WAYS: dict[str, Run] = {"aiokafka's producer": plain, "our sink, with its JSON": sink, "of which the JSON": encoding}


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n", 1)[0])
    parser.add_argument("--count", type=int, default=20_000, help="records per run")
    parser.add_argument("--runs", type=int, default=3, help="runs of each way; the best counts")
    parser.add_argument("--profile", action="store_true", help="show where our sink spends its time")
    arguments = parser.parse_args()
    best: dict[str, tuple[float, float]] = {}
    with tempfile.TemporaryDirectory() as directory, KafkaServer(Path(directory)) as kafka:
        kafka.make(TOPIC)
        if arguments.profile:
            profile = cProfile.Profile(time.process_time)
            profile.enable()
            asyncio.run(sink(kafka.port, arguments.count))
            profile.disable()
            pstats.Stats(profile).sort_stats("tottime").print_stats(25)
            return
        for _ in range(arguments.runs):
            for way, run in WAYS.items():
                spent = asyncio.run(run(kafka.port, arguments.count))
                best[way] = min(best.get(way, spent), spent)
    print(f"{'µs CPU a record / 1000 records per s':<42}")
    for way, (cpu, wall) in best.items():
        print(f"{way:<42}{cpu / arguments.count * 1e6:.1f} / {arguments.count / wall / 1e3:.0f}")


if __name__ == "__main__":
    main()
