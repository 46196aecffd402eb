"""Kills a gateway's outbox and sink again and again while it commits, at every step that it takes on the disk.

    python -m tests.publish.killed_sink FOLDER KILLS SEED PLUGIN OPTIONS

A process that has all libraries loaded forks one life after the other, so that hundreds of them take a minute. Each life
feeds an outbox and commits; it is killed (SIGKILL) when the sink's thread takes its n-th step, where an audit hook counts
what is opened, renamed, made and removed, or, every third one, at any moment. The last life is let live until all is
committed. Prints as JSON the ids of all records that the log holds, and how many lives were killed.
"""

import asyncio
import importlib
import json
import os
import random
import signal
import subprocess
import sys
import threading
import time
import traceback
from pathlib import Path
from typing import Any

import numpy as np

from gateway.config.base import DeviceConfig, TagConfig
from gateway.config.kinds import SINK
from gateway.config.model import DeviceSpec, GatewaySection, OutboxSection
from gateway.core.clock import SystemClock
from gateway.core.context import Context
from gateway.core.event import Event
from gateway.core.live import LiveTable
from gateway.core.readings import Readings
from gateway.core.record import Kind, Lane
from gateway.core.tag import Device
from gateway.outbox import Outbox
from gateway.outbox.inspect import LogFiles
from gateway.plugin.discovery import Plugins
from gateway.publish import Publisher, SinkSurroundings

STEPS = ("open", "os.rename", "os.mkdir", "os.remove", "os.rmdir", "os.link", "os.truncate", "shutil.rmtree")
LONGEST_LIFE = 0.6
PACE = 0.002
"""Seconds between two scans."""
GATEWAY = GatewaySection(name="gw1", site="north")
PLACE = Context(site="north", batch="B-7")


class Number(TagConfig):
    def value_type(self) -> str:
        return "int32"


def kill_at(step: int) -> None:
    """End this process at this step of the sink's thread."""
    steps = 0

    def hear(event: str, arguments: Any) -> None:
        nonlocal steps
        if event in STEPS and threading.current_thread().name.startswith("sink-"):
            steps += 1
            if steps == step:
                os.kill(os.getpid(), signal.SIGKILL)

    sys.addaudithook(hear)


async def live(folder: Path, plugin: str, options: dict[str, Any], first: int, last_life: bool) -> None:
    """Feed the outbox and commit, until killed; the last life only commits what is left."""
    plugins = Plugins()
    clock = SystemClock()
    outbox = Outbox.open(
        folder / "outbox", OutboxSection(keep="52w", commit_interval="20ms"), clock=clock, config_hash="0badcafe" * 8
    )
    devices = [
        outbox.bind(DeviceSpec(DeviceConfig(name=f"d{n}", driver="test"), {"a": Number(), "b": Number()}), PLACE)
        for n in range(3)
    ]
    (options_type,) = plugins.options(SINK, plugin)
    config = options_type.model_validate(
        {"name": "lake", "plugin": plugin, "commit_interval": "100ms", **options}, context={"base": str(folder)}
    )
    surroundings = SinkSurroundings(
        GATEWAY, "0", clock, LiveTable(devices), lambda: devices, lambda _: (True, ""), directory=folder / "state"
    )
    publisher = Publisher(config, plugins.sink(plugin), outbox, surroundings)
    tasks = [asyncio.create_task(outbox.run()), asyncio.create_task(publisher.run())]
    ends = time.monotonic() + LONGEST_LIFE
    number = first
    while not last_life and time.monotonic() < ends:
        scan(outbox, devices[number % 3], number)
        if not number % 7:
            wall = time.time_ns()
            outbox.append_event(Event(f"event-{number}", "anomaly", "raised", "d0", wall, "too hot", "warning", {}))
        number += 1
        await asyncio.sleep(PACE)
    async with asyncio.timeout(60):
        while any(
            lane.pending or lane.under_way for lane in publisher.status().outbox.lanes.values()
        ) or not outbox_idle(publisher):
            if publisher.status().reason:
                print(publisher.status().reason, file=sys.stderr)
            await asyncio.sleep(0.05)
    for task in tasks[::-1]:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
    await outbox.close()


def outbox_idle(publisher: Publisher) -> bool:
    """Whether it was connected at all."""
    return publisher.status().state == "up"


def scan(outbox: Outbox, device: Device, number: int) -> None:
    """One scan, of two values."""
    outbox.append(
        Readings(
            device,
            np.full(2, time.time_ns(), np.int64),
            device.tags.ids,
            np.array([float(number), float(-number)]),
            np.zeros(2, np.uint32),
        )
    )


def in_log(folder: Path) -> dict[str, list[str]]:
    """The ids of the log's records of readings, and of its events."""
    log = LogFiles(folder / "outbox")
    found: dict[str, list[str]] = {"readings": [], "events": []}
    for lane in Lane:
        for segment in log.segments(lane):
            for _, head, payload in log.heads([segment]):
                if head.kind in (Kind.READINGS, Kind.EVENT):
                    record = log.record(segment, head, payload)
                    found["readings" if head.kind == Kind.READINGS else "events"].append(record.id)
    return found


def main(folder: Path, kills: int, seed: int, plugin: str, options: dict[str, Any]) -> None:
    """As the head of this file says."""
    for library in ("pyarrow.parquet", "deltalake") if plugin == "delta" else ("pyarrow.parquet",):
        importlib.import_module(library)  # once, for all lives
    chance = random.Random(seed)
    killed = 0
    for life in range(kills + 1):
        step, moment = chance.randint(1, 70), chance.uniform(0.02, 0.4)
        step = 0 if life == kills or not life % 3 else step
        child = os.fork()
        if child == 0:
            code = 1
            try:
                if step:
                    kill_at(step)
                asyncio.run(live(folder, plugin, options, life * 100_000, life == kills))
                code = 0
            except Exception:
                traceback.print_exc()
            finally:
                sys.stderr.flush()
                os._exit(code)
        if not step and life < kills:
            time.sleep(moment)
            os.kill(child, signal.SIGKILL)
        _, status = os.waitpid(child, 0)
        killed += os.WIFSIGNALED(status) and os.WTERMSIG(status) == signal.SIGKILL
        if os.WIFEXITED(status) and os.WEXITSTATUS(status):
            sys.exit(f"life {life} failed")
    print(json.dumps({"killed": killed, **in_log(folder)}))


def killed(folder: Path, kills: int, plugin: str, options: dict[str, Any]) -> dict[str, list[str]]:
    """Run it, in a process of its own; returns the ids that the log holds."""
    command = [sys.executable, "-m", "tests.publish.killed_sink", folder, str(kills), "7", plugin, json.dumps(options)]
    ran = subprocess.run(command, capture_output=True, text=True, check=False)
    assert ran.returncode == 0, ran.stderr[-4000:]
    said = json.loads(ran.stdout.splitlines()[-1])
    assert said.pop("killed") > kills // 2, ran.stderr[-4000:]
    assert said["readings"]
    assert said["events"]
    found: dict[str, list[str]] = said
    return found


if __name__ == "__main__":
    main(Path(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3]), sys.argv[4], json.loads(sys.argv[5]))
