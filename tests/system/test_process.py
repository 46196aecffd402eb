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

from tests.peers.broker import Broker, Subscriber

from . import accounting
from .daemon import Daemon, all_up, command, device, eventually, pending, sink
from .plant import modbus, modbus_devices, mqtt

pytestmark = pytest.mark.system

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


@pytest.mark.timeout(60)
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
        found = accounting.records(subscriber.received)
        numbers = sorted(record.seq for record in found.values() if record.lane == "data")
        assert numbers == list(range(1, len(numbers) + 1)), "no number is missing, and none was skipped"
        assert not [record for record in found.values() if record.topic.endswith(("_skip", "_loss"))]
        states = [
            json.loads(each.payload)["online"] for each in subscriber.received if each.topic.endswith("gw/_state")
        ]
        assert states == [True, False] * 4, "a good-bye each time"
    verified = await command("audit", "verify", str(daemon.state))
    assert verified.code == 0, verified.out


@pytest.mark.timeout(60)
async def test_a_broker_that_is_away_at_the_start_costs_nothing(tmp_path: Path) -> None:
    async with modbus_devices() as (port,):
        broker = Broker(tmp_path)
        async with Daemon(tmp_path / "gateway", mqtt(broker.port) + modbus("press-1", port)) as daemon:
            status = await daemon.until(
                lambda status: pending(status) >= 40 and sink(status)["state"] == "down", "waiting"
            )
            assert "nothing listens" in sink(status)["reason"]
            daemon_log = daemon.log
            with broker, Subscriber(broker) as subscriber:
                await daemon.until(lambda status: all_up(status) and not pending(status), "all is delivered", 40)
                numbers = {record.seq for record in accounting.records(subscriber.received).values()}
                assert set(range(1, 11)) <= numbers, "from the first one on"
                assert await daemon.stop() == 0
    assert daemon_log.count("nothing listens") == 1, "said once"


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
@pytest.mark.timeout(120)
async def test_a_full_disk_costs_the_oldest_readings_each_of_them_named(broker: Broker, tmp_path: Path) -> None:
    disk = tmp_path / "disk"
    with small_disk(disk, "4m"):
        async with modbus_devices("--floats", "500", "--period", "0.1") as (port,):
            config = "\n".join(
                [
                    f'[gateway]\nname = "system-gw"\nstate_dir = "{disk}"\n[outbox]\nmin_free = "100 KiB"\n'
                    'max_size = "1 GiB"\nsegment_size = "128 KiB"\n',
                    mqtt(broker.port),
                    modbus("press-1", port, floats=500, scan='"50ms"', max_in_flight="4"),
                ]
            )
            broker.stop()
            async with Daemon(tmp_path / "gateway", config) as daemon:
                filler = disk / "somebody-elses-file"
                with filler.open("wb") as file:
                    file.write(bytes(2_400_000))
                await daemon.until(lambda status: "given up" in daemon.log, "the oldest data is given up", 60)
                with filler.open("ab", buffering=0) as file:
                    try:
                        while True:
                            file.write(bytes(4096))
                    except OSError:
                        pass  # now nothing fits any more
                await daemon.until(
                    lambda status: status["outbox"]["disk"] != "ok" or "disk" in daemon.log, "noticed", 30
                )
                polls = device(await daemon.status(), "press-1")["polls"]
                await daemon.until(lambda status: device(status, "press-1")["polls"] > polls + 20, "readings go on")
                filler.unlink()
                status = await daemon.until(lambda status: status["outbox"]["disk"] == "ok", "room has returned", 30)
                broker.start()
                with Subscriber(broker) as subscriber:
                    status = await daemon.until(lambda status: sink(status)["state"] == "up", "the broker is back", 40)
                    await daemon.until(lambda status: pending(status) < 2000, "the backlog is delivered", 40)
                    assert await daemon.stop() == 0
                    await eventually(
                        lambda: any(each.topic.endswith("/_loss") for each in subscriber.received), "the loss is told"
                    )
                    found = accounting.records(subscriber.received)
                    accounting.every_hole_is_named(found)
                    lanes = sink(status)["outbox"]["lanes"]["data"]
                    assert sum(lanes["dropped"].values()) > 0
                    told = sum(each.body["rows"] for each in found.values() if each.topic.endswith("/_loss"))
                    assert told >= sum(lanes["dropped"].values())
                assert "Traceback" not in daemon.log


@pytest.mark.timeout(60)
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
            await daemon.until(lambda status: status["outbox"]["disk"] != "ok", "the refusal of the disk is shown", 30)
            polls = device(await daemon.status(), "press-1")["polls"]
            await daemon.until(lambda status: device(status, "press-1")["polls"] > polls + 20, "it reads on")
            assert (await daemon.ask("status")).code == 1, "a person is told"
            resource.prlimit(daemon.pid, resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
            status = await daemon.until(lambda status: status["outbox"]["disk"] == "ok", "the disk takes it again", 30)
            assert status["outbox"]["not_accepted"] == 0, "memory held it meanwhile"
            await daemon.until(lambda status: not pending(status), "all is delivered")
            assert await daemon.stop() == 0
            assert "Traceback" not in daemon.log
