"""The commands of a technician, each a process of its own, against the running daemon."""

import asyncio
import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.peers.broker import Broker
from tests.peers.proxy import FaultProxy

from .daemon import Daemon, all_up, command, device
from .plant import modbus, modbus_devices, mqtt

pytestmark = [pytest.mark.system, pytest.mark.timeout(300)]


@pytest.fixture
def broker(tmp_path: Path) -> Iterator[Broker]:
    with Broker(tmp_path) as broker:
        yield broker


async def test_status_tags_and_read_speak_to_people_and_scripts(broker: Broker, tmp_path: Path) -> None:
    async with modbus_devices() as (port,):
        config = mqtt(broker.port) + modbus("press-1", port, floats=2, tag_options='unit = "bar"')
        async with Daemon(tmp_path / "gateway", config) as daemon:
            await daemon.until(lambda status: all_up(status) and device(status, "press-1")["good"] == 2, "up")
            status, as_json, tags, read, missing = await asyncio.gather(
                daemon.ask("status"),
                daemon.ask("status", "--json"),
                daemon.ask("tags", "press-1"),
                daemon.ask("read", "press-1/tag_01"),
                daemon.ask("read", "press-1/tag_09"),
            )
            assert status.code == 0 and "all is well" in status.out, status
            assert json.loads(as_json.out)["devices"][0]["polls"] > 0
            assert tags.code == 0 and "press-1/tag_00" in tags.out and "bar" in tags.out, tags
            value, unit = read.out.split()[1:3]
            assert read.code == 0 and unit == "bar" and float(value) % 1 == pytest.approx(1 / 64, abs=1e-4), read
            assert missing.code == 1 and "tag_01" in missing.err + missing.out, missing
            assert await daemon.stop() == 0
            assert (await daemon.ask("status")).code == 3, "nobody answers"


async def test_reload_applies_a_difference_and_refuses_a_bad_file(broker: Broker, tmp_path: Path) -> None:
    async with (
        modbus_devices("--ports", "2") as ports,
        FaultProxy("127.0.0.1", ports[0]) as one,
        FaultProxy("127.0.0.1", ports[1]) as two,
        FaultProxy("127.0.0.1", broker.port) as north,
    ):
        first, second = modbus("press-1", one.port), modbus("press-2", two.port)
        async with Daemon(tmp_path / "gateway", mqtt(north.port) + first) as daemon:
            await daemon.until(all_up, "up")
            dialled = one.accepted, north.accepted

            same = await daemon.ask("reload")
            assert same.code == 0 and "nothing has changed" in same.out, same

            daemon.write(mqtt(north.port) + first + second)
            added = await daemon.ask("reload")
            assert added.code == 0 and "press-2" in added.out, added
            await daemon.until(lambda status: device(status, "press-2").get("good") == 4, "the new device is read")
            assert (one.accepted, north.accepted) == dialled, "nothing else was dialled anew"

            changed = modbus("press-2", two.port, tag_options='unit = "bar"')
            daemon.write(mqtt(north.port) + first + changed)
            assert (await daemon.ask("reload")).code == 0
            await daemon.until(lambda status: device(status, "press-2").get("good") == 4, "read with the new unit")
            assert "bar" in (await daemon.ask("tags", "press-2")).out
            assert (one.accepted, north.accepted) == dialled, "only the changed device was"

            daemon.write(mqtt(north.port) + first.replace("float32", "floot32"))
            refused = await daemon.ask("reload")
            assert refused.code == 1 and "floot32" in refused.out + refused.err, refused
            assert "nothing was changed" in refused.out + refused.err
            status = await daemon.status()
            assert {each["name"]: each["state"] for each in status["devices"]} == {"press-1": "up", "press-2": "up"}

            daemon.write(mqtt(north.port) + first)
            removed = await daemon.ask("reload")
            assert removed.code == 0 and "press-2" in removed.out, removed
            assert not device(await daemon.status(), "press-2")
            assert (one.accepted, north.accepted) == dialled
            assert await daemon.stop() == 0
            assert "Traceback" not in daemon.log
        shown = (await command("audit", "show", str(daemon.state), "--json")).out
        actions = [json.loads(line)["action"] for line in shown.splitlines()]
        assert actions.count("config.reload") >= 3 and actions.count("config.refused") == 1, actions


async def test_the_audit_trail_verifies_after_every_kill_and_names_a_change(broker: Broker, tmp_path: Path) -> None:
    async with (
        modbus_devices() as (port,),
        Daemon(tmp_path / "gateway", mqtt(broker.port) + modbus("press-1", port)) as daemon,
    ):
        for _ in range(3):
            await daemon.until(all_up, "up")
            await daemon.ask("reload")
            await daemon.kill()
            await daemon.start(ready=False)
        await daemon.until(all_up, "up")
        assert await daemon.stop() == 0
    trail = daemon.state / "audit.jsonl"
    sound = await command("audit", "verify", str(trail))
    assert sound.code == 0, sound
    actions = [json.loads(line)["action"] for line in trail.read_text().splitlines()]
    assert (actions.count("gateway.start"), actions.count("gateway.stop")) == (4, 1)
    trail.write_text(trail.read_text().replace("gateway.start", "gateway.sleep", 1))
    changed = await command("audit", "verify", str(trail))
    assert changed.code == 1 and "Traceback" not in changed.err, changed


async def test_a_second_gateway_on_the_same_socket_is_refused(broker: Broker, tmp_path: Path) -> None:
    async with (
        modbus_devices() as (port,),
        Daemon(tmp_path / "gateway", mqtt(broker.port) + modbus("press-1", port)) as daemon,
    ):
        await daemon.until(all_up, "up")
        done = await daemon.ask("run")
        assert done.code == 1 and "another gateway" in done.err, done
        await daemon.until(all_up, "the first one runs on")
