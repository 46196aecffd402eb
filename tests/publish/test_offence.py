"""A broker that ends the connection over one topic, or one size, and takes everything else: nothing else waits for it."""

import asyncio
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from gateway.config.base import DeviceConfig
from gateway.config.model import DeviceSpec
from gateway.core.readings import Readings
from gateway.core.tag import Device
from gateway.testing import eventually, load_plugin
from tests.peers.hostile_broker import hostile_broker

from .blocks import PLACE
from .test_with_outbox import Number, Running, outbox_into

SINK: Any = load_plugin(Path(__file__).parents[2] / "plugins/mqtt")
GOOD = ("press-1", "press-3")
SCANS = 100
"""Of each device, before the broker is there."""

pytestmark = pytest.mark.timeout(360)  # a machine that is ten times as slow must pass too


def presses(running: Running, wide: int) -> list[Device]:
    """Three devices; the second has this many tags."""
    specs = [
        DeviceSpec(
            DeviceConfig(name=f"press-{n}", driver="test"), {f"t{i}": Number() for i in range(wide if n == 2 else 1)}
        )
        for n in (1, 2, 3)
    ]
    return [running.outbox.bind(spec, PLACE) for spec in specs]


def read(running: Running, device: Device, number: int) -> None:
    ids = device.tags.ids
    times = np.full(len(ids), 1_800_000_000_000_000_000 + number, np.int64)
    running.outbox.append(Readings(device, times, ids, np.full(len(ids), number), np.zeros(len(ids), np.uint32)))


def taken(log: Path) -> dict[str, list[str]]:
    """Last level of the topic after the device's → payloads, by device."""
    lines = [line.removeprefix("taken ").split("\t", 1) for line in log.read_text().splitlines() if "\t" in line]
    found: dict[str, list[str]] = {}
    for topic, payload in lines:
        found.setdefault(topic.removeprefix("north/solids/coating/"), []).append(payload)
    return found


async def search(
    tmp_path: Path, offence: str, protocol: str, *arguments: str, wide: int = 1
) -> tuple[Running, dict[str, list[str]]]:
    """What came of the good devices while they are read on; the search takes its time, but ends."""
    log = tmp_path / "taken"
    with hostile_broker(offence, *arguments, log=log) as port:
        options = {"plugin": "mqtt", "host": "127.0.0.1", "port": port, "protocol": protocol}
        async with outbox_into(SINK, tmp_path / "outbox", options) as running:
            running.devices[:] = devices = presses(running, wide)
            for number in range(SCANS):
                for device in devices:
                    read(running, device, number)
            numbers = SCANS
            async with asyncio.timeout(90):
                while not running.outbox.status().dead.letters or max(values(log, "press-1"), default=0) < numbers - 20:
                    for device in devices:
                        read(running, device, numbers)
                    numbers += 1
                    await asyncio.sleep(0.05)
                    assert "another client" not in running.publisher.health.reason
            await eventually(lambda: all(values(log, good) == set(range(numbers)) for good in GOOD), 90)
            await eventually(
                lambda: {f"{good}/{level}" for good in GOOD for level in ("_tags", "_state")} <= set(taken(log)), 90
            )
            await eventually(lambda: running.delivered, 90)
            return running, taken(log)


def values(log: Path, device: str) -> set[int]:
    return {json.loads(each)["values"]["t0"] for each in taken(log).get(device, [])}


@pytest.mark.parametrize("offence", ["hang-up", "reset"])
@pytest.mark.parametrize("protocol", ["3.1.1", "5"])
async def test_a_topic_over_which_the_broker_hangs_up_stops_no_other(
    tmp_path: Path, offence: str, protocol: str
) -> None:
    running, found = await search(tmp_path, offence, protocol, "--hated", "north/solids/coating/press-2")
    assert not any(topic.startswith("press-2") for topic in found)
    (reason,) = running.balance()["dropped"]
    assert "over records of device press-2" in reason


async def test_a_size_over_which_the_broker_hangs_up_stops_no_other(tmp_path: Path) -> None:
    _, found = await search(tmp_path, "hang-up", "3.1.1", "--largest", "1500", wide=300)
    assert found["press-2/_state"]
    assert "press-2/_tags" not in found


def test_uvloop_finds_it_too(tmp_path: Path) -> None:
    uvloop = pytest.importorskip("uvloop", reason="pip install uvloop")
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(search(tmp_path, "reset", "3.1.1", "--hated", "north/solids/coating/press-2"))
