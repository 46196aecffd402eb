"""The daemon as a process: refusing a bad configuration, stopping, restarting, and a disk that is full."""

import json
import os
import resource
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from gateway.testing import eventually
from tests.peers.broker import Broker, Subscriber
from tests.peers.proxy import FaultProxy

from . import accounting
from .daemon import Daemon, all_up, command, device, pending, sink
from .plant import modbus, modbus_devices, mqtt

pytestmark = [pytest.mark.system, pytest.mark.timeout(300)]

FILE_SIZE = 1000
"""Bytes that no file may exceed in the test without root: not even one record."""


@pytest.fixture
def broker(tmp_path: Path) -> Iterator[Broker]:
    with Broker(tmp_path) as broker:
        yield broker


async def test_a_bad_configuration_is_refused_with_every_mistake_before_anything_starts(tmp_path: Path) -> None:
    path = tmp_path / "config.toml"
    path.write_text(
        '[gateway]\nname = "gw"\nstate_dir = "state"\nsitte = "north"\n'
        '[[sink]]\nname = "central"\nplugin = "mqttt"\n'
        '[[device]]\nname = "press-1"\ndriver = "modbus"\nhost = "127.0.0.1"\n'
        '[device.tags]\na = { address = 40001, type = "float32" }\nb = { address = "40001", type = "floot32" }\n'
    )
    done = await command("run", "--config", str(path), "--socket", str(tmp_path / "control.sock"))
    assert done.code == 78
    for line, word in (4, "site"), (7, "mqtt"), (13, "quotes"), (14, "float32"):
        assert f"{path}:{line}" in done.err and word in done.err, f"line {line}\n{done.err}"
    assert "Traceback" not in done.err
    assert not (tmp_path / "state").exists(), "nothing was started"
    checked = await command("check", "--config", str(path))
    assert checked.code == 1
    for line in (4, 7, 13, 14):
        assert f"{path}:{line}" in checked.out + checked.err


def states(subscriber: Subscriber) -> list[bool]:
    """Whether the gateway was said to be online, in the order of arrival."""
    return [json.loads(each.payload)["online"] for each in subscriber.received if each.topic.endswith("gw/_state")]


async def test_sigterm_stops_cleanly_and_numbers_go_on_without_a_skip(broker: Broker, tmp_path: Path) -> None:
    with Subscriber(broker) as subscriber:
        async with modbus_devices() as (port,):
            config = mqtt(broker.port) + modbus("press-1", port)
            async with Daemon(tmp_path / "gateway", config) as daemon:
                for _ in range(3):
                    await daemon.until(
                        lambda status: all_up(status) and device(status, "press-1")["polls"] >= 4, "read"
                    )
                    assert await daemon.stop() == 0
                    assert not daemon.socket.exists()
                    await daemon.start(ready=False)
                await daemon.until(all_up, "up")
                assert await daemon.stop() == 0
        await eventually(lambda: len(states(subscriber)) >= 8, what="the last good-bye has arrived")
        found = accounting.records(subscriber.received)
        assert numbers(subscriber) == set(range(1, len(numbers(subscriber)) + 1)), (
            "no number is missing, and none was skipped"
        )
        assert not [record for record in found.values() if record.topic.endswith(("_skip", "_loss"))]
        assert states(subscriber) == [True, False] * 4, "a good-bye each time"
    verified = await command("audit", "verify", str(daemon.state))
    assert verified.code == 0, verified.out


async def test_a_broker_that_is_away_at_the_start_costs_nothing(tmp_path: Path) -> None:
    with Broker(tmp_path) as broker, Subscriber(broker) as subscriber:
        async with modbus_devices() as (port,), FaultProxy("127.0.0.1", broker.port) as link:
            link.cut()  # so that the broker comes with its subscriber, else it would take messages that nobody wants
            async with Daemon(tmp_path / "gateway", mqtt(link.port) + modbus("press-1", port)) as daemon:
                status = await daemon.until(
                    lambda status: pending(status) >= 40 and sink(status)["state"] == "down", "waiting"
                )
                assert "nothing listens" in sink(status)["reason"]
                daemon_log = daemon.log
                await link.restore()
                await daemon.until(lambda status: all_up(status) and not pending(status), "all is delivered")
                await eventually(lambda: set(range(1, 11)) <= numbers(subscriber), what="from the first one on")
                assert await daemon.stop() == 0
    assert daemon_log.count("nothing listens") == 1, "said once"


def numbers(subscriber: Subscriber) -> set[int]:
    """Of the records of the data lane that have arrived."""
    return {record.seq for record in accounting.records(subscriber.received).values() if record.lane == "data"}


@contextmanager
def small_disk(place: Path, size: str) -> Iterator[None]:
    """A disk of that size; skips where one cannot be mounted."""
    place.mkdir()
    if os.geteuid() != 0 or shutil.which("mount") is None:
        pytest.skip("a full disk is not tested: needs root, to mount a small tmpfs (sudo make test-all)")
    done = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", f"size={size}", "tmpfs", str(place)], capture_output=True, text=True, check=False
    )
    if done.returncode:
        pytest.skip(f"a full disk is not tested: mount says {done.stderr.strip()}; run it where mounts are allowed")
    try:
        yield
    finally:
        subprocess.run(["umount", "-l", str(place)], check=True)


@pytest.mark.slow
async def test_a_full_disk_costs_the_oldest_readings_each_of_them_named(broker: Broker, tmp_path: Path) -> None:
    disk = tmp_path / "disk"
    with small_disk(disk, "4m"), Subscriber(broker) as subscriber:
        async with (
            modbus_devices("--floats", "500", "--period", "0.1") as (port,),
            FaultProxy("127.0.0.1", port) as line,
            FaultProxy("127.0.0.1", broker.port) as link,
        ):
            config = "\n".join(
                [
                    f'[gateway]\nname = "system-gw"\nstate_dir = "{disk}"\n[outbox]\nmin_free = "100 KiB"\n'
                    'max_size = "1 GiB"\nsegment_size = "128 KiB"\n',
                    mqtt(link.port),
                    modbus("press-1", line.port, floats=500, scan='"50ms"', max_in_flight="4"),
                ]
            )
            link.cut()
            async with Daemon(tmp_path / "gateway", config) as daemon:
                filler = disk / "somebody-elses-file"
                with filler.open("wb") as file:
                    file.write(bytes(2_400_000))
                await daemon.until(lambda status: "given up" in daemon.log, "the oldest data is given up")
                with filler.open("ab", buffering=0) as file:
                    try:
                        while True:
                            file.write(bytes(4096))
                    except OSError:
                        pass  # now nothing fits any more
                await daemon.until(lambda status: status["outbox"]["disk"] != "ok" or "disk" in daemon.log, "noticed")
                polls = device(await daemon.status(), "press-1")["polls"]
                await daemon.until(lambda status: device(status, "press-1")["polls"] > polls + 20, "readings go on")
                filler.unlink()
                await daemon.until(lambda status: status["outbox"]["disk"] == "ok", "room has returned")
                await link.restore()
                await daemon.until(lambda status: sink(status)["state"] == "up", "the broker is back")
                line.cut()
                status = await daemon.until(
                    lambda status: (
                        device(status, "press-1")["state"] == "down"
                        and not pending(status)
                        and not status["outbox"]["lanes"]["data"]["queued"]
                    ),
                    "the backlog is delivered",
                )
                lanes = sink(status)["outbox"]["lanes"]["data"]
                dropped = sum(lanes["dropped"].values())
                assert dropped > 0
                await eventually(lambda: told_lost(subscriber) >= dropped, what="each loss is told")
                assert await daemon.stop() == 0
                await eventually(
                    lambda: values(subscriber) >= lanes["acknowledged"], what="what was delivered has arrived"
                )
                accounting.every_hole_is_named(accounting.records(subscriber.received))
                assert "Traceback" not in daemon.log


def told_lost(subscriber: Subscriber) -> int:
    """Readings that losses name."""
    found = accounting.records(subscriber.received).values()
    return sum(each.body["rows"] for each in found if each.topic.endswith("/_loss"))


def values(subscriber: Subscriber) -> int:
    """Readings that arrived, repeats counted once."""
    found = accounting.records(subscriber.received).values()
    return sum(len(each.body["values"]) for each in found if "values" in each.body)


async def test_a_disk_that_takes_no_more_leaves_the_daemon_alive_and_each_loss_named(
    broker: Broker, tmp_path: Path
) -> None:
    """Without root: no file may grow beyond a limit, which one segment file reaches."""
    async with modbus_devices("--floats", "500", "--period", "0.1") as (port,):
        config = "\n".join(
            [
                '[gateway]\nname = "system-gw"\nstate_dir = "state"\n[outbox]\nsegment_size = "16 MiB"\n',
                mqtt(broker.port),
                modbus("press-1", port, floats=500, scan='"50ms"', max_in_flight="4"),
            ]
        )
        async with Daemon(tmp_path / "gateway", config) as daemon:
            await daemon.until(all_up, "up")
            resource.prlimit(daemon.pid, resource.RLIMIT_FSIZE, (FILE_SIZE, resource.RLIM_INFINITY))
            await daemon.until(lambda status: status["outbox"]["disk"] != "ok", "the refusal of the disk is shown")
            polls = device(await daemon.status(), "press-1")["polls"]
            await daemon.until(lambda status: device(status, "press-1")["polls"] > polls + 20, "it reads on")
            assert (await daemon.ask("status")).code == 1, "a person is told"
            resource.prlimit(daemon.pid, resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
            status = await daemon.until(lambda status: status["outbox"]["disk"] == "ok", "the disk takes it again")
            assert status["outbox"]["not_accepted"] == 0, "memory held it meanwhile"
            await daemon.until(lambda status: not pending(status), "all is delivered")
            assert await daemon.stop() == 0
            assert "Traceback" not in daemon.log
