"""W2: OPC UA to MQTT by subscription, every value counted at the broker; CPU seconds per million values of the whole daemon.

    python benchmarks/w2.py [--rates 1000 20000] [--seconds 30] [--rounds 3] [--profile]

A node-opcua server changes a thousand variables once a second, or five thousand four times a second; each value is a
counter. The gateway subscribes to them (500 ms publishing, every change) and publishes with QoS 1 to mosquitto, which
queues ten million messages, so that its drops are not taken for ours. mosquitto_sub writes down what arrives. CPU is user +
system of the gateway's process from /proc, over the window after a warm-up; the outbox is on disk.
"""

import argparse
import asyncio
import json
import signal
import statistics
import sys
import tempfile
import time
from collections import defaultdict
from dataclasses import dataclass, fields
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

from benchmarks.w1 import cpu_seconds, peak_rss_mb, process, where_time_goes  # noqa: E402
from tests.peers.broker import Broker  # noqa: E402
from tests.peers.opcua_servers import NAMESPACE, OpcUaPeer, require_node_opcua  # noqa: E402

PLANTS = {1000: (1000, 1000), 20_000: (5000, 250)}
"""Values per second → variables, and the ms after which each changes."""
TARGETS = {1000: 15.0, 20_000: 5.0}
"""CPU seconds per million values, at most."""
WARM_UP = 8.0


@dataclass
class Figures:
    """One round."""

    cpu_per_million: float
    core_percent: float
    rss_mb: float
    values: int
    messages: int
    lost: int
    repeated: int
    p50_ms: float
    p99_ms: float


def gateway_config(directory: Path, broker: int, url: str, count: int) -> Path:
    """A configuration with one device of so many tags."""
    tags = "\n".join(f'M{number} = {{ address = "nsu={NAMESPACE};s=M{number}" }}' for number in range(count))
    path = directory / "config.toml"
    path.write_text(f"""
[gateway]
name = "w2"
state_dir = "{directory / "state"}"
[[sink]]
name = "central"
plugin = "mqtt"
host = "127.0.0.1"
port = {broker}
topic = "plant/{{device}}"
[[device]]
name = "plc"
driver = "opcua"
url = "{url}"
security = "none"
scan = "500ms"
sampling = "0ms"
timeout = "30s"
[device.tags]
{tags}
""")
    return path


def measure(url: str, count: int, seconds: float, profile: bool) -> Figures | None:
    """Run the gateway for a window against fresh broker and subscriber; None after a profile."""
    with (
        tempfile.TemporaryDirectory(prefix="w2-") as folder,
        Broker(Path(folder), ["max_queued_messages 10000000"]) as broker,
    ):
        directory = Path(folder)
        config = gateway_config(directory, broker.port, url, count)
        run = ["run", "--config", str(config), "--socket", str(directory / "control.sock")]
        start = [str(ROOT / "benchmarks/profiled.py"), str(directory / "profile")] if profile else ["-m", "gateway"]
        arrived = directory / "arrived"
        listen = ["mosquitto_sub", "-p", str(broker.port), "-q", "1", "-t", "plant/plc", "-F", "%U %p"]
        with process(*listen, out=arrived), process(sys.executable, *start, *run) as gateway:
            while not arrived.read_text().count("\n"):
                time.sleep(0.2)
            time.sleep(WARM_UP)
            if profile:
                gateway.send_signal(signal.SIGUSR1)
            begin, cpu = time.time(), cpu_seconds(gateway.pid)
            time.sleep(seconds)
            if profile:
                gateway.send_signal(signal.SIGUSR1)
            end, cpu = time.time(), cpu_seconds(gateway.pid) - cpu
            rss = peak_rss_mb(gateway.pid)
            time.sleep(1.5)
        if profile:
            where_time_goes(directory / "profile")
            return None
        return judge(arrived, begin, end, cpu, rss)


def judge(arrived: Path, begin: float, end: float, cpu: float, rss: float) -> Figures:
    """Count every value at the broker, and those between a tag's first and last that never came, or came twice."""
    seen: dict[str, list[int]] = defaultdict(list)
    late, messages = [], 0
    for line in arrived.read_text().splitlines():
        at, payload = line.split(" ", 1)
        body = json.loads(payload)
        if "values" not in body or not begin <= body["ts"] / 1000 < end:
            continue
        messages += 1
        late.append(float(at) * 1000 - body["ts"])
        quality = body.get("q", {})
        for tag, value in body["values"].items():
            if "stale" not in quality.get(tag, ""):  # said again, not read again, when the server was silent
                seen[tag].append(int(value))
    values = sum(len(counters) for counters in seen.values())
    lost = sum(max(counters) - min(counters) + 1 - len(set(counters)) for counters in seen.values())
    repeated = values - sum(len(set(counters)) for counters in seen.values())
    late.sort()
    return Figures(
        cpu / values * 1e6,
        cpu / (end - begin) * 100,
        rss,
        values,
        messages,
        lost,
        repeated,
        late[len(late) // 2],
        late[int(len(late) * 0.99)],
    )


def table(results: dict[int, list[Figures]]) -> None:
    """Medians of the rounds."""
    head = (
        "values/s",
        "CPU s/1M",
        "% core",
        "peak RSS MB",
        "values",
        "messages",
        "lost",
        "repeated",
        "p50 ms",
        "p99 ms",
    )
    print("\nW2; medians\n" + "  ".join(f"{word:>11}" for word in head))
    for rate, rounds in results.items():
        middle = [statistics.median(getattr(each, field.name) for each in rounds) for field in fields(Figures)]
        print("  ".join([f"{rate:>11}", *(f"{value:11.2f}" for value in middle)]))
        print(f"{'':>11}  target: at most {TARGETS[rate]:g} CPU s per million values")


async def main() -> None:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rates", type=int, nargs="*", choices=PLANTS, default=list(PLANTS), help="values per second")
    parser.add_argument("--seconds", type=float, default=30)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--profile", action="store_true", help="one more run under cProfile: where the time goes")
    args = parser.parse_args()
    require_node_opcua()
    results: dict[int, list[Figures]] = defaultdict(list)
    for rate in args.rates:
        count, tick = PLANTS[rate]
        with tempfile.TemporaryDirectory() as folder:
            async with OpcUaPeer("node-opcua", Path(folder), "--many", str(count), "--tick", str(tick)) as plant:
                for _ in range(args.rounds):
                    figures = await asyncio.to_thread(measure, plant.url, count, args.seconds, False)
                    assert figures
                    print(f"{rate} values/s: {figures}", flush=True)
                    results[rate].append(figures)
                if args.profile:
                    await asyncio.to_thread(measure, plant.url, count, args.seconds, True)
    if results:
        table(results)


if __name__ == "__main__":
    asyncio.run(main())
