"""A broker that was away is back: how soon the gateway connects, and whether live data waits for history.

    python benchmarks/broker_back.py [--outage 300] [--devices 10] [--tags 500] [--backfill 50000 | unlimited]

The daemon reads simulated devices once a second; mosquitto is stopped for the outage and started again on its port.
Connected: from "mosquitto listens" to `status` saying "up", asked every 50 ms. Latency: from a value's time to its arrival at
mosquitto_sub, of what was read since the connection, while history drained. Forecast: what `status` said of when nothing
would wait, against when that was.
"""

import argparse
import json
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

import numpy as np  # noqa: E402

from benchmarks.w1 import process  # noqa: E402
from gateway.cli.frame.client import NoGatewayError, call  # noqa: E402
from tests.peers.broker import Broker  # noqa: E402

FEW = 3.0
"""Scans that may wait while nothing is left of history: what is on its way."""


@dataclass
class Course:
    """What was seen of one outage; times in seconds since 1970."""

    listens: float
    connected: float = 0.0
    drained: float = 0.0
    held: int = 0
    """Readings that waited when the broker was back."""
    forecasts: list[tuple[float, float]] = field(default_factory=list)
    """When `status` was asked, and when it said that nothing would wait."""


def config(directory: Path, port: int, devices: int, tags: int, backfill: str) -> Path:
    """Of the daemon."""
    rows = "\n".join(f'tag_{n} = {{ wave = "sine", period = "{20 + n}s" }}' for n in range(tags))
    plant = "\n".join(
        f'[[device]]\nname = "press-{n}"\ndriver = "simulated"\n[device.tags]\n{rows}' for n in range(devices)
    )
    rate = backfill if backfill.isdecimal() else f'"{backfill}"'
    path = directory / "config.toml"
    path.write_text(
        f'[gateway]\nname = "back"\nstate_dir = "{directory / "state"}"\n'
        f'[[sink]]\nname = "central"\nplugin = "mqtt"\nhost = "127.0.0.1"\nport = {port}\nbackfill_rate = {rate}\n'
        f'topic = "plant/{{device}}"\n{plant}\n'
    )
    return path


@contextmanager
def daemon(directory: Path, path: Path) -> Iterator[Path]:
    """The gateway; its control socket."""
    socket = directory / "control.sock"
    with process(sys.executable, "-m", "gateway", "run", "--config", str(path), "--socket", str(socket)):
        while not socket.exists():
            time.sleep(0.1)
        yield socket


def sink(socket: Path) -> dict[str, Any]:
    """What `status` says of the one sink now; empty when the gateway was too busy to answer."""
    try:
        return dict(call(socket, "status")["sinks"][0])
    except NoGatewayError:
        return {}


def pending(found: dict[str, Any]) -> int:
    """Readings that wait or are on their way."""
    return int(found["outbox"]["lanes"]["data"]["pending"])


def follow(socket: Path, broker: Broker, scan: int, patience: float) -> Course:
    """Start the broker and look until history has gone."""
    held = pending(sink(socket))
    broker.start()
    course = Course(listens=time.time(), held=held)
    while time.time() < course.listens + patience:
        found = sink(socket)
        now = time.time()
        if found.get("state") != "up":
            time.sleep(0.05)
            continue
        course.connected = course.connected or now
        if (left := found["drained_in_s"]) is not None:
            course.forecasts.append((now, now + left))
        if pending(found) <= FEW * scan:
            course.drained = now
            return course
        time.sleep(0.05)
    raise TimeoutError(f"history has not gone within {patience:g} s")


def latencies(arrived: Path, course: Course) -> np.ndarray:
    """Milliseconds of each message that was read between the connection and the end of the drain."""
    found = []
    for line in arrived.read_text().splitlines()[:-1]:
        at, _, payload = line.split(" ", 2)
        body = json.loads(payload)
        if "values" in body and course.connected <= body["ts"] / 1000 <= course.drained:
            found.append(float(at) * 1000 - body["ts"])
    return np.array(found)


def report(course: Course, waits: np.ndarray) -> None:
    """Print what was seen, beside what is promised."""
    took = course.drained - course.connected
    print(f"connected {course.connected - course.listens:.1f} s after the broker listened (promised: 5 s)")
    print(f"drained {course.held:,} readings in {took:.1f} s, {course.held / took:,.0f} a second")
    if len(waits):
        p50, p99, worst = np.percentile(waits, (50, 99, 100))
        print(
            f"live meanwhile: {len(waits)} messages, p50 {p50:.0f} ms, p99 {p99:.0f} ms, worst {worst:.0f} ms"
            " (promised: p99 2 s)"
        )
    if not course.forecasts:
        print("status gave no forecast")
        return
    first = course.forecasts[0][0] - course.connected
    print(f"status gave a forecast from {first:.1f} s after the connection on; it was wrong by")
    for share in (0, 0.25, 0.5, 0.75):
        asked, said = course.forecasts[int(share * len(course.forecasts))]
        print(f"  {said - course.drained:+6.1f} s, asked {course.drained - asked:.1f} s before the end")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--outage", type=float, default=300, help="seconds (default 300)")
    parser.add_argument("--devices", type=int, default=10)
    parser.add_argument("--tags", type=int, default=500, help="of each device, read once a second (default 500)")
    parser.add_argument("--backfill", default="50000", help='backfill_rate, or "unlimited" (default 50000)')
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="back-", dir=Path.cwd()) as name:
        directory = Path(name)
        broker = Broker(directory)
        broker.start()
        path = config(directory, broker.port, options.devices, options.tags, options.backfill)
        try:
            with daemon(directory, path) as socket:
                time.sleep(10)
                broker.kill()
                time.sleep(options.outage)
                arrived = directory / "arrived"
                listen = ["mosquitto_sub", "-p", str(broker.port), "-q", "1", "-t", "plant/+", "-F", "%U %t %p"]
                with process(
                    "sh", "-c", f"until {' '.join(map(repr, listen))} 2>/dev/null; do sleep 0.02; done", out=arrived
                ):
                    course = follow(socket, broker, options.devices * options.tags, 3600)
                    time.sleep(1)
                report(course, latencies(arrived, course))
        finally:
            broker.stop()


if __name__ == "__main__":
    main()
