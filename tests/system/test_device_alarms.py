"""Alarms of a real OPC UA server in the daemon as a process: over kill -9 and outages, acknowledged there, methods called."""

import json
from pathlib import Path
from typing import Any

import pytest

from tests.peers.opcua_servers import NAMESPACE, OpcUaPeer, require_node_opcua

from .daemon import Daemon, Status, all_up

pytestmark = pytest.mark.system

# A server that a busy machine stops for some seconds is not given up: half a minute of silence, three keep-alives, is.
CONFIG = """
[gateway]
name = "gw"
state_dir = "state"
writes = true

[[device]]
name = "plc-1"
driver = "opcua"
url = "URL"
security = "none"
scan = "1s"
stale_after = "1min"
timeout = "25s"
events = true
[device.methods]
tank = { object = "nsu=NAMESPACE;s=Tank", allow = ["Fill", "Jam"] }
[device.tags]
value = { address = "nsu=NAMESPACE;s=Double" }
"""


def conditions(status: Status) -> dict[str, dict[str, Any]]:
    """By name."""
    return {each["source"]: each for each in status["alarms"]}


def states(*wanted: tuple[str, str]) -> Any:
    return lambda status: {(name, each["state"]) for name, each in conditions(status).items()} == set(wanted)


LEVEL, L1 = "Level.LevelAlarm", "L1.L1Alarm"


@pytest.mark.timeout(400)
async def test_conditions_outlive_kill_9_are_acknowledged_at_the_server_and_cleared_under_their_ids(
    tmp_path: Path,
) -> None:
    require_node_opcua()
    async with OpcUaPeer("node-opcua", tmp_path / "server", "--alarms") as peer:
        config = CONFIG.replace("URL", peer.url).replace("NAMESPACE", NAMESPACE)
        async with Daemon(tmp_path, config) as daemon:
            await daemon.until(all_up, "the server is read")
            await peer.set("Level", 0.95)
            await peer.set("L1", 0.05)
            status = await daemon.until(states((LEVEL, "raised"), (L1, "raised")), "both are raised")
            before = {name: each["event"] for name, each in conditions(status).items()}

            done = await daemon.ask("alarms", "ack", before[LEVEL], "--comment", "pump was off")
            assert done.code == 0, done.err
            assert "pump was off" in done.out
            again = await daemon.ask("alarms", "ack", before[LEVEL], "--comment", "twice")
            assert (again.code, "has acknowledged it" in again.err) == (1, True)

            seen = {before[LEVEL]: True, before[L1]: False}
            await daemon.until(lambda status: kept(daemon.state) == seen, "who has seen what is on disk")
            await daemon.kill()
            await peer.order(disable="L1Alarm")
            await daemon.start()
            status = await daemon.until(states((LEVEL, "acknowledged")), "one has ended unseen, one goes on")
            assert conditions(status)[LEVEL]["event"] == before[LEVEL]
            assert conditions(status)[LEVEL]["acknowledged"]["comment"] == "pump was off"
            await peer.set("Level", 0.5)
            await daemon.until(states(), "all is in order")

            done = await daemon.ask("call", "plc-1", "tank", "Fill", "2.5", "4", "--reason", "trial", "--json")
            assert done.code == 0, done.err
            assert json.loads(done.out)["results"] == [{"name": "total", "value": 10.0}]
            done = await daemon.ask("call", "plc-1", "tank", "Hidden", "--reason", "trial")
            assert (done.code, "may not be called" in done.err) == (1, True), done
            done = await daemon.ask("call", "plc-1", "tank", "Jam", "--reason", "trial")
            assert (done.code, "BadInvalidState" in done.err) == (1, True), done
            done = await daemon.ask("audit", "verify")
            assert done.code == 0, done.out + done.err
    trail = [json.loads(line) for line in (tmp_path / "state" / "audit.jsonl").read_text().splitlines()]
    said = [(line["action"], line.get("result", "")) for line in trail if line["action"].startswith(("alarm", "call"))]
    assert said == [
        ("alarm.acknowledge", ""),
        ("alarm.acknowledge.result", "done"),
        ("call", ""),
        ("call.result", "done"),
        ("call", ""),
        ("call.result", "failed: it is not possible in the state that the device is in (BadInvalidState)"),
    ]


def kept(state: Path) -> dict[str, bool]:
    """Event of each alarm on disk → whether it is acknowledged."""
    path = state / "alarms.json"
    alarms = json.loads(path.read_text())["alarms"] if path.exists() else []
    return {each["event"]: each["acknowledged"] is not None for each in alarms}
