"""A model made with `learn` scores in the daemon as a process, and gives the labels that `models test` gives."""

import csv
import json
from pathlib import Path

import numpy as np
import pytest

from gateway.testing import eventually
from tests.detect.learn.learning import TAGS, UNITS, running

from .daemon import Daemon, command

pytestmark = [pytest.mark.system, pytest.mark.slow]

PERIOD = 60_000_000_000
"""Long beside any delay of this machine, so that no cell is closed before its row has come."""

PLUGIN = '''
"""Plays a file of rows, faster than they were recorded, with the times at which they were."""

import asyncio
from pathlib import Path

import numpy as np

from gateway.plugin import DeviceConfig, Driver, FilePath, Readings, TagConfig


class PlayConfig(DeviceConfig):
    file: FilePath
    """What to play: a row of nanoseconds and values each."""


class Play(Driver[PlayConfig, TagConfig]):
    async def connect(self):
        self.t_ns, self.rows = (np.load(self.config.file)[name] for name in ("t_ns", "rows"))

    async def stream(self):
        (device,) = self.devices
        ids = device.tags.ids
        while not Path(self.config.file).with_suffix(".go").exists():
            await asyncio.sleep(0.05)
        for begin in range(0, len(self.rows), 8):
            for t_ns, row in zip(self.t_ns[begin : begin + 8], self.rows[begin : begin + 8]):
                yield Readings(device, np.full(len(ids), t_ns), ids, row, np.zeros(len(ids), np.uint32))
            await asyncio.sleep(0.2)
        await asyncio.Event().wait()
'''

CONFIG = """
[gateway]
name = "system-gw"
state_dir = "state"
plugin_dirs = ["plugins"]

[[device]]
name = "mixer-1"
driver = "play"
file = "rows.npz"
[device.tags]
temp = { unit = "°C" }
flow = { unit = "l/min" }
speed = { unit = "rpm" }

[[model]]
file = "mixer.onnx"
devices = ["mixer-*"]
"""


def save(path: Path, t_ns: np.ndarray, rows: np.ndarray) -> None:
    with path.open("w", encoding="utf-8", newline="") as file:
        out = csv.writer(file)
        out.writerow(["time", *(f"{tag} [{unit}]" for tag, unit in zip(TAGS, UNITS, strict=True))])
        out.writerows([str(np.datetime64(int(at), "ns")), *row] for at, row in zip(t_ns, rows.tolist(), strict=True))


def told(state: Path) -> list[tuple[int, str]]:
    """What was raised and cleared, and with which window's end (ms), oldest first."""
    found = [json.loads(path.read_text())["event"] for path in (state / "events").glob("*.json")]
    return sorted((event["window_to"], event["state"]) for event in found if event["kind"] == "anomaly")


@pytest.mark.timeout(400)
async def test_the_daemon_raises_and_clears_at_the_rows_at_which_models_test_does(tmp_path: Path) -> None:
    normal, played = running(), running(seed=4)
    rows = played.rows[:520].copy()
    for begin, end in ((100, 160), (250, 300), (380, 430)):
        rows[begin:end, 1] -= 2.5
    t_ns = (normal.t_ns[0] // PERIOD + np.arange(900)) * PERIOD
    save(tmp_path / "normal.csv", t_ns, normal.rows)
    save(tmp_path / "played.csv", t_ns[:520], rows)
    np.savez(tmp_path / "rows.npz", t_ns=t_ns[:520], rows=rows)
    model = str(tmp_path / "mixer.onnx")
    assert (await command("learn", "--data", str(tmp_path / "normal.csv"), "-o", model, timeout=200)).code == 0
    out = tmp_path / "labels.csv"
    done = await command("models", "test", model, "--data", str(tmp_path / "played.csv"), "-o", str(out), "--json")
    assert done.code == 0, done.err
    labels = [int(row["alarm"]) for row in csv.DictReader(out.read_text().splitlines())]
    assert len(labels) == 520
    flips = np.flatnonzero(np.diff(labels, prepend=0)).tolist()
    wanted = [(int(t_ns[at]) // 1_000_000, "raised" if labels[at] else "cleared") for at in flips]
    assert len(wanted) == 6

    (tmp_path / "plugins").mkdir()
    (tmp_path / "plugins" / "play.py").write_text(PLUGIN)
    async with Daemon(tmp_path, CONFIG) as daemon:
        await daemon.until(
            lambda status: all(model["state"] == "up" for model in status["models"]), "the model was tried"
        )  # what comes meanwhile waits, and where that takes long it is more than the rows of one gap
        (tmp_path / "rows.go").touch()
        await eventually(
            lambda: len(told(daemon.state)) >= len(wanted),
            what="all anomalies were told",
            timeout=240,
            explain=lambda: daemon.log[-3000:],
        )
        assert told(daemon.state) == wanted
        listed = json.loads((await daemon.ask("models", "list", "--json")).out)
        assert listed[0]["sha256"] == json.loads(done.out)["sha256"]
        assert (listed[0]["late"], listed[0]["restarts"]) == (0, 0)
