"""Alarms and models of the daemon as a process: over kill -9, by the command line, with a model that scores."""

import json
from pathlib import Path

import pytest

from tests.detect.graphs import CARD, save

from .daemon import Daemon, Status

pytestmark = pytest.mark.system

CONFIG = """
[[device]]
name = "oven-1"
driver = "simulated"
scan = "100ms"
[device.tags]
temp = { wave = "constant", mean = TEMP, unit = "°C" }
flow = { wave = "constant", mean = 10.0, unit = "l/min" }

[[alarm]]
name = "too hot"
devices = ["oven-*"]
tag = "temp"
high = 60.0

[[model]]
file = "oven.onnx"
devices = ["oven-*"]
"""


def config(temp: float) -> str:
    return CONFIG.replace("TEMP", str(temp))


def events(status: Status) -> set[str]:
    return {each["event"] for each in status["alarms"]}


def on_disk(state: Path) -> set[str]:
    path = state / "alarms.json"
    return {each["event"] for each in json.loads(path.read_text())["alarms"]} if path.exists() else set()


def alarm(status: Status, kind: str) -> dict[str, object]:
    return next((each for each in status["alarms"] if each["kind"] == kind), {"event": None, "state": None})


@pytest.mark.timeout(300)
async def test_what_is_raised_survives_kill_9_is_acknowledged_explained_and_cleared_under_its_id(
    tmp_path: Path,
) -> None:
    save(tmp_path / "oven.onnx", card={**CARD, "period_ms": 200})
    async with Daemon(tmp_path, config(70.0)) as daemon:
        status = await daemon.until(
            lambda status: len(status["alarms"]) == 2 and on_disk(daemon.state) == events(status),
            "the limit and the model have raised, and it is kept",
        )
        assert {each["state"] for each in status["alarms"]} == {"raised"}
        limit, anomaly = alarm(status, "alarm")["event"], alarm(status, "anomaly")["event"]
        await daemon.kill()
        await daemon.start()
        status = await daemon.until(lambda status: len(status["alarms"]) == 2, "the alarms are still there")
        assert (alarm(status, "alarm")["event"], alarm(status, "anomaly")["event"]) == (limit, anomaly)

        done = await daemon.ask("alarms", "ack", str(limit), "--comment", "fan was off")
        assert done.code == 0, done.err
        assert "acknowledged" in done.out
        done = await daemon.ask("explain", str(anomaly), "--json")
        assert done.code == 0, done.err
        answer = json.loads(done.out)
        assert answer["identical"] is True
        assert answer["event"]["event"] == anomaly

        daemon.write(config(50.0))
        assert (await daemon.ask("reload")).code == 0
        status = await daemon.until(
            lambda status: [each["state"] for each in status["alarms"]] == ["cleared"],
            "both are over, and the anomaly has yet to be acknowledged",
        )
        assert alarm(status, "anomaly")["event"] == anomaly
        shown = await daemon.ask("alarms")
        assert f"{str(anomaly)[:8]}  cleared" in shown.out
    trail = [json.loads(line) for line in (tmp_path / "state" / "audit.jsonl").read_text().splitlines()]
    (noted,) = [line for line in trail if line["action"] == "alarm.acknowledge"]
    assert (noted["target"], noted["why"]) == ("too hot/oven-1", "fan was off")
