"""W1: Modbus TCP to MQTT, every value counted at the broker, beside the 40 lines of `plain_script.py` in the same run.

    python benchmarks/w1.py [--devices 100] [--seconds 30] [--rounds 2] [--per-slot] [--profile]

libmodbus servers with so many devices of 50 float32 tags, each new every second and carrying a counter, is polled once a
second and published with QoS 1 to mosquitto, which queues ten million messages, so that its drops are not taken for ours.
mosquitto_sub writes down what arrives. CPU is user + system of the contender's process from /proc, over the window after a
warm-up; the outbox is on disk.
"""

import argparse
import json
import os
import pstats
import re
import signal
import statistics
import subprocess
import sys
import tempfile
import time
from collections import defaultdict
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))
FLOATS = 50
PER_SERVER = 400
"""Devices that one server process can have; libmodbus knows no file numbers above 1023."""
WARM_UP = 6.0

from tests.peers.broker import Broker  # noqa: E402
from tests.peers.ports import free_port  # noqa: E402


@dataclass
class Figures:
    """One contender in one round."""

    cpu_per_million: float
    core_percent: float
    rss_mb: float
    values: int
    missed_percent: float
    repeated: int
    p50_ms: float
    p99_ms: float


@contextmanager
def process(*command: str, out: Path | None = None, wait_for: str = "") -> Iterator[subprocess.Popen[str]]:
    """A process that is terminated at the end; yields once it has printed `wait_for`, with that line in `.ready`."""
    stdout = out.open("w") if out else subprocess.PIPE
    running = subprocess.Popen(command, stdout=stdout, text=True, cwd=ROOT)
    try:
        if wait_for:
            assert running.stdout
            running.ready = next(line for line in running.stdout if wait_for in line)  # type: ignore[attr-defined]
        yield running
    finally:
        running.terminate()
        running.wait(20)


def cpu_seconds(pid: int) -> float:
    """User and system time of a process, with all its threads."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def peak_rss_mb(pid: int) -> float:
    """The most memory the process ever had resident."""
    match = re.search(r"VmHWM:\s+(\d+)", Path(f"/proc/{pid}/status").read_text())
    return int(match[1]) / 1024 if match else 0.0


def gateway_config(directory: Path, broker: int, ports: list[int], per_slot: bool = False) -> Path:
    """A configuration with one device for each port."""
    tags = "\n".join(f'tag_{n:02} = {{ address = "hr:{2 * n}", type = "float32" }}' for n in range(FLOATS))
    devices = "\n".join(
        f'[[device]]\nname = "device-{port}"\ndriver = "modbus"\nhost = "127.0.0.1"\nport = {port}\n[device.tags]\n{tags}'
        for port in ports
    )
    sink = f'[[sink]]\nname = "central"\nplugin = "mqtt"\nhost = "127.0.0.1"\nport = {broker}\ntopic = "plant/{{device}}"\n'
    sink += "per_slot = true\n" if per_slot else ""
    path = directory / "config.toml"
    path.write_text(f'[gateway]\nname = "w1"\nstate_dir = "{directory / "state"}"\n{sink}{devices}\n')
    return path


def contender(name: str, directory: Path, broker: int, ports: list[int]) -> list[str]:
    """Its command line."""
    if name == "script":
        return [sys.executable, str(ROOT / "benchmarks/plain_script.py"), str(broker), str(FLOATS), *map(str, ports)]
    config = gateway_config(directory, broker, ports, name == "per slot")
    run = ["-m", "gateway", "run", "--config", str(config), "--socket", str(directory / "control.sock")]
    if name == "profile":
        return [sys.executable, str(ROOT / "benchmarks/profiled.py"), str(directory / "profile"), *run[2:]]
    return [sys.executable, *run]


@contextmanager
def plant(devices: int, folder: Path) -> Iterator[dict[int, Path]]:
    """The port of each device, and the file that tells when its values changed."""
    logs: dict[int, Path] = {}
    with ExitStack() as servers:
        for first in range(0, devices, PER_SERVER):
            log = folder / f"changes-{first}"
            count = str(min(PER_SERVER, devices - first))
            command = [sys.executable, "tests/peers/modbus_server.py", "--ports", count, "--floats", str(FLOATS)]
            server = servers.enter_context(process(*command, "--log", str(log), wait_for="ready"))
            logs |= {int(port): log for port in server.ready.split()[1:]}  # type: ignore[attr-defined]
        yield logs


def wait_for_all(arrived: Path, devices: int) -> None:
    """Until something came of every device, for a minute at most."""
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline:
        lines = arrived.read_text().splitlines()[:-1]
        topics = {line.split(" ", 2)[1] for line in lines}
        named = {name for line in lines if "/_slot " in line for name in re.findall(r'"device":"([^"]+)"', line)}
        if max(len(topics), len(named)) >= devices:
            return
        time.sleep(0.5)
    print(f"not all of {devices} devices came up within a minute", flush=True)


def measure(name: str, changes: dict[int, Path], seconds: float) -> Figures | None:
    """Run one contender for a window against fresh broker and subscriber."""
    ports = list(changes)
    with tempfile.TemporaryDirectory(prefix="w1-") as folder:
        directory = Path(folder)
        with Broker(directory, ["max_queued_messages 10000000"], port=free_port()) as broker:
            arrived = directory / "arrived"
            topics = ["-t", "plant/+", "-t", "plant/+/_slot"]
            listen = ["mosquitto_sub", "-p", str(broker.port), "-q", "1", *topics, "-F", "%U %t %p"]
            with process(*listen, out=arrived), process(*contender(name, directory, broker.port, ports)) as running:
                time.sleep(WARM_UP)
                wait_for_all(arrived, len(ports))
                if name == "profile":
                    running.send_signal(signal.SIGUSR1)
                begin, cpu = time.time(), cpu_seconds(running.pid)
                time.sleep(seconds)
                if name == "profile":
                    running.send_signal(signal.SIGUSR1)
                end, cpu = time.time(), cpu_seconds(running.pid) - cpu
                rss = peak_rss_mb(running.pid)
                time.sleep(1.0)
            if name == "profile":
                where_time_goes(directory / "profile")
                return None
            return judge(arrived, changes, begin, end, cpu, rss)


def judge(arrived: Path, changes: dict[int, Path], begin: float, end: float, cpu: float, rss: float) -> Figures:
    """Count every value at the broker, and every change of a device that never came."""
    seen: dict[str, list[int]] = defaultdict(list)
    values, late = 0, []
    for line in arrived.read_text().splitlines():
        at, topic, payload = line.split(" ", 2)
        several = json.loads(payload)
        for body in several if isinstance(several, list) else [several]:
            if "values" not in body or not begin <= body["ts"] / 1000 < end:
                continue
            assert len(body["values"]) == FLOATS
            values += FLOATS
            late.append(float(at) * 1000 - body["ts"])
            seen[f"plant/{body['device']}" if "device" in body else topic].append(int(body["values"]["tag_00"]))
    expected = {
        log: {
            int(line.split()[0])
            for line in log.read_text().splitlines()
            if begin + 1.5 <= int(line.split()[1]) / 1e9 < end - 1.5
        }
        for log in set(changes.values())
    }
    wanted = {f"plant/device-{port}": expected[log] for port, log in changes.items()}
    missed = sum(len(counters.difference(seen[topic])) for topic, counters in wanted.items())
    repeated = sum(len(counters) - len(set(counters)) for counters in seen.values())
    late.sort()
    return Figures(
        cpu / values * 1e6,
        cpu / (end - begin) * 100,
        rss,
        values,
        100 * missed / max(1, sum(map(len, wanted.values()))),
        repeated,
        late[len(late) // 2],
        late[int(len(late) * 0.99)],
    )


def where_time_goes(profile: Path) -> None:
    """CPU of the event loop's thread by part, from cProfile, which makes small calls look dearer than they are."""
    parts: dict[str, float] = defaultdict(float)
    dearest: list[tuple[float, int, str]] = []
    for (file, line, function), (_, calls, own, _, callers) in pstats.Stats(str(profile)).stats.items():  # type: ignore[attr-defined]
        dearest.append((own, calls, f"{Path(file).name}:{line} {function}"))
        if file != "~":
            parts[_part(file)] += own
            continue
        for (caller, _, _), (_, _, own_there, _) in callers.items():  # C code counts for who called it
            parts[_part(caller)] += own_there
    total = sum(parts.values())
    print("\nWhere the CPU of the event loop's thread goes:")
    for part, own in sorted(parts.items(), key=lambda item: -item[1])[:10]:
        print(f"  {own / total:6.1%}  {part}")
    print("Dearest functions:")
    for own, calls, name in sorted(dearest, reverse=True)[:15]:
        print(f"  {own / total:6.1%}  {calls:>7} calls  {name}")


def _part(file: str) -> str:
    match = re.search(r"(gateway/\w+|plugins/\w+|numpy|paho|asyncio)", file)
    return match[1] if match else "event loop"


def table(results: dict[str, list[Figures]], devices: int) -> None:
    """Medians of the rounds, side by side."""
    print(f"\nW1, {devices} devices × {FLOATS} tags × 1 s; medians of {len(next(iter(results.values())))} rounds")
    head = ("contender", "CPU s/1M", "% core", "peak RSS MB", "values", "missed %", "repeated", "p50 ms", "p99 ms")
    print("  ".join(f"{word:>11}" for word in head))
    middle = {}
    for name, rounds in results.items():
        middle[name] = [
            statistics.median(getattr(each, field) for each in rounds) for field in Figures.__dataclass_fields__
        ]
        print("  ".join([f"{name:>11}", *(f"{value:11.2f}" for value in middle[name])]))
    ratio = middle["gateway"][0] / middle["script"][0]
    goal = "1/3, RSS 150 MB" if devices >= 1000 else "0.25"
    print(f"\ngateway / script, CPU per value: {ratio:.2f} (target: at most {goal})")


def main() -> None:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--devices", type=int, default=100)
    parser.add_argument("--seconds", type=float, default=30)
    parser.add_argument("--rounds", type=int, default=2)
    parser.add_argument("--profile", action="store_true", help="one more run under cProfile: where the time goes")
    parser.add_argument("--per-slot", action="store_true", help="the gateway also with one message per slot")
    parser.add_argument("--only", choices=["gateway", "script"], help="measure only this one")
    args = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="w1-") as folder, plant(args.devices, Path(folder)) as changes:
        results: dict[str, list[Figures]] = defaultdict(list)
        for _ in range(args.rounds):
            for name in [args.only] if args.only else ["script", "gateway", *(["per slot"] if args.per_slot else [])]:
                figures = measure(name, changes, args.seconds)
                assert figures
                print(f"{name}: {figures}", flush=True)
                results[name].append(figures)
        if args.profile:
            measure("profile", changes, args.seconds)
    if not args.only:
        table(results, args.devices)


if __name__ == "__main__":
    main()
