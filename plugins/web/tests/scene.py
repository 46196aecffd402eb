"""Plants to look at: a running gateway whose page shows what a bad day brings, or a good one, or nothing at all.

The gateway, its API and its page are the real ones. Only what takes days to come about is written into the status: how long a
device has been away, how full the outbox is.
"""

import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any
from unittest.mock import patch

import numpy as np

from gateway import demo
from gateway.alarms import Evidence
from gateway.core.event import Contribution, Event
from gateway.detect.models import parse_card, read_onnx
from gateway.operate.status import StatusCommands
from gateway.plugin import GatewayStatus
from plugins.web.tests.conftest import Plant, page
from plugins.web.tests.people import add
from tests.app.plant import Site, device, sink

MODEL = Path(demo.__file__).parent / "models" / "coater.onnx"
CARD = parse_card(read_onnx(MODEL).metadata)
LONG = "Filling line 3, isolator, glove port 7: differential pressure over the second HEPA filter, mean of ten seconds"
HYPHENLESS = "FILLING_LINE_3_ISOLATOR_GLOVE_PORT_7_DIFFERENTIAL_PRESSURE_OVER_THE_SECOND_FILTER"
EVIL = "<img src=x onerror=alert(1)> & 'quotes'"
KOREAN = "충전기 3호 배출구 온도"
SETPOINT = 'setpoint = { unit = "°C", write = true, min = 0.0, max = 80.0, max_rate = "100/min" }'
ANOMALY = "a" * 32
AWAY = "press-3"


def simulated(name: str, tags: str, more: str = "") -> str:
    """A device with made-up values."""
    return f'[[device]]\nname = "{name}"\ndriver = "simulated"\nscan = "1s"\n{more}\n[device.tags]\n{tags}\n'


def coater() -> str:
    """What the demo's model watches, as it was in training."""
    wave = 'wave = "constant"'
    tags = (
        f'{each.tag} = {{ {wave}, mean = {each.expected}, noise = {(each.max - each.min) / 60}, unit = "{each.unit}" }}'
        for each in CARD.inputs
    )
    return simulated("coater-1", "\n".join(tags))


def limit(name: str, devices: str, tag: str, severity: str) -> str:
    """An alarm on a value above 50."""
    return f'[[alarm]]\nname = "{name}"\ndevices = ["{devices}"]\ntag = "{tag}"\nhigh = 50.0\nseverity = "{severity}"\n'


MIXER = simulated(
    "mixer-1",
    'temperature = { wave = "sine", mean = 60, amplitude = 5, period = "2min", noise = 0.1, unit = "°C" }\n'
    'speed = { wave = "square", mean = 300, amplitude = 300, period = "5min", unit = "1/min" }\n'
    'state = { wave = "text", texts = ["idle", "charging", "mixing"], period = "100s" }',
)
GOOD = (MIXER, coater(), f'[[model]]\nname = "coater"\nfile = "{MODEL}"\ndevices = ["coater-1"]\n')
BAD = (
    *GOOD,
    device("oven", tags=f"[device.tags]\ntemp = {{ unit = '°C' }}\n{SETPOINT}\n"),
    device(AWAY, tags=f"[device.tags]\n'{LONG}' = {{ unit = 'Pa' }}\n'{KOREAN}' = {{ unit = '°C' }}\n"),
    simulated("odd", f'"{EVIL}" = {{ unit = "<i>" }}\n{HYPHENLESS} = {{}}\nnever = {{ wave = "bad", unit = "%" }}'),
    limit("too hot", "oven", "temp", "alarm"),
    limit("setpoint above what the recipe allows for this product", "oven", "setpoint", "warning"),
    limit("가열로 온도 상한", "oven", "temp", "warning"),
)
MANY = (simulated("wide", "\n".join(f'tag-{number:05} = {{ unit = "bar" }}' for number in range(10_000))),)


def aged(status: GatewayStatus) -> GatewayStatus:
    """As if what has just happened had gone on for days."""
    devices = [replace(each, since_s=3 * 86_400.0 + 7_000) if each.state != "up" else each for each in status.devices]
    room = replace(status.outbox.room, size=round(status.outbox.room.max_size * 0.97))
    return replace(status, devices=devices, outbox=replace(status.outbox, room=room))


@asynccontextmanager
async def scene(path: Path, *tables: str, as_if: Any = None, more: str = "") -> AsyncIterator[Plant]:
    """A plant of these tables, with an admin `root` and a page; `as_if` is what the status goes through."""
    site = Site(path)
    site.gateway_line = "writes = true\n[outbox]\nkeep = '1h'"
    site.write(*tables, page(more))
    now = StatusCommands.now
    changed = (lambda self: as_if(now(self))) if as_if is not None else now
    with patch.object(StatusCommands, "now", changed):
        async with site.running() as gateway:
            plant = Plant(site, gateway)
            await site.answered("status", lambda told: told["services"][0]["state"] == "up")
            plant.address = (await site.ask("page.address"))["address"]
            add(plant, "root", "admin", "quality", "engineer", "operator", "viewer")
            yield plant


@asynccontextmanager
async def bad_day(path: Path) -> AsyncIterator[Plant]:
    """A device away for three days, alarms raised, acknowledged and shelved, an anomaly, a dead letter, a full outbox."""
    async with scene(path, *BAD, sink(), as_if=aged) as plant:
        bench, site = plant.site.bench, plant.site
        bench.value = 61.25
        await site.answered("alarms", lambda alarms: len(alarms) == 3)
        named = {each["name"].partition("/")[0]: each["event"] for each in await site.ask("alarms")}
        await site.ask("shelve", alarm=named["가열로 온도 상한"], seconds=3600, reason="probe is being exchanged")
        acknowledged = named["setpoint above what the recipe allows for this product"]
        await site.ask("acknowledge", alarm=acknowledged, comment="on my way")
        bench.connecting.clear()
        bench.lost.add(AWAY)
        await site.answered(
            "status", lambda told: any(each["name"] == AWAY and each["state"] == "down" for each in told["devices"])
        )
        now = time.time_ns()
        keep_anomaly(plant, "b" * 32, "coater-1", now - 5 * 3_600_000_000_000, 0.75, 0.25)
        keep_anomaly(plant, ANOMALY, "coater-1", now, 0.8, 0.2)
        await plant.gateway.audit.record("alarm.acknowledge", "kim", event="b" * 32, why="nozzle cleaned")
        await site.until(lambda: site.far.records, "a record at the far side")
        plant.gateway.outbox.dead.add("central", site.far.records[0], f"not understood: {EVIL}")
        yield plant
        bench.connecting.set()


def keep_anomaly(plant: Plant, event: str, device: str, t_ns: int, *foremost: float) -> None:
    """Keep an anomaly as the detector does it; `foremost`: shares of the first tags."""
    model = read_onnx(MODEL)
    shares = [*foremost, *[0.0] * (len(CARD.inputs) - len(foremost))]
    parts = [
        Contribution(each.tag, share, each.expected + 1, each.expected)
        for each, share in zip(CARD.inputs, shares, strict=True)
    ]
    window = np.array([[each.expected + row for each in CARD.inputs] for row in range(CARD.window)], np.float32)
    span = {"window_from": t_ns // 1_000_000 - CARD.window * CARD.period_ms, "window_to": t_ns // 1_000_000}
    detail = {
        "model": "coater", "model_version": "1", "model_sha256": model.sha256, "window_sha256": "0" * 64,
        "score": 2.5, "threshold": 1.0, "onnxruntime": "1", "cpu": "x", **span,
    }  # fmt: skip
    found = Event(
        event, "anomaly", "raised", device, t_ns, f"{device} behaves unusually: {event}", "warning", detail, parts
    )
    evidence = Evidence(
        model.content, model.sha256, False, window, np.array([2.5], np.float32), np.array([shares], np.float32), None
    )
    plant.gateway.detection.evidence.keep(found, evidence)
