"""What was counted of drift outlives the gateway; what cannot be read is counted anew."""

import os
import time
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.alarms.alarms import Alarms
from gateway.config.model import ModelSection
from gateway.core.clock import FakeClock
from gateway.detect import Detector
from gateway.detect.windows import drift_file
from gateway.detect.windows.drift import LEAST_TICKS, STEPS, Drift
from tests.detect.graphs import save
from tests.detect.test_detector import Plant, device
from tests.detect.windows.test_drift import Counted, S, card

SPAN = LEAST_TICKS * 2


def detector(plant, devices, before=None):
    sections = [ModelSection(file="oven.onnx", devices=("oven-*",), drift_span=f"{SPAN}s", on_drift="undecided")]
    around = replace(plant.around, drift_dir=plant.base / "drift")
    return Detector(around, sections, devices, base=plant.base, before=before)


async def drifted(tmp_path):
    """A plant whose oven has drifted, and what is to be kept of it."""
    save(tmp_path / "oven.onnx", card=card()[0])
    one = device()
    plant = Plant([], [one], tmp_path)
    plant.detector = detector(plant, [one])
    await plant.detector.load()
    plant.seconds(round(SPAN * (1 + 4 / STEPS)), [one], temp=58.5)
    assert plant.devices()["oven-1"]["state"] == "degraded"
    return plant, plant.detector.kept()


async def restarted(plant, devices):
    """As after a new start of the process: only the files are left."""
    clock = FakeClock()
    clock.advance((plant.clock.wall_ns() - clock.wall_ns()) / S)
    plant.clock, plant.alarms = clock, Alarms(plant.events, clock)
    plant.detector = detector(plant, devices)
    await plant.detector.load()
    plant.seconds(6, devices, temp=58.5)
    return plant.devices()


async def test_after_a_restart_the_span_goes_on_and_what_had_drifted_still_has(tmp_path):
    plant, kept = await drifted(tmp_path)
    drift_file.write(tmp_path / "drift", kept)
    before = plant.devices()["oven-1"]["drift"]
    after = (await restarted(plant, [device(first_id=30)]))["oven-1"]
    assert after["drift"]["psi"] == pytest.approx(before["psi"], abs=0.05)
    assert after["state"] == "degraded"


async def test_a_device_that_is_new_then_is_counted_from_its_begin(tmp_path):
    plant, kept = await drifted(tmp_path)
    drift_file.write(tmp_path / "drift", kept)
    found = await restarted(plant, [device("oven-0", 50), device(first_id=30)])
    assert found["oven-1"]["state"] == "degraded"
    assert found["oven-0"]["drift"] is None
    assert found["oven-0"]["state"] == "running"


async def test_another_version_is_counted_anew(tmp_path):
    plant, kept = await drifted(tmp_path)
    drift_file.write(tmp_path / "drift", kept)
    save(tmp_path / "oven.onnx", card=card()[0] | {"version": "3"})
    assert (await restarted(plant, [device()]))["oven-1"]["drift"] is None


@pytest.mark.parametrize("content", [b"", b"no file of numbers", b"PK\x03\x04" + bytes(40)])
async def test_a_damaged_file_costs_only_the_counts(tmp_path, content):
    plant, kept = await drifted(tmp_path)
    drift_file.write(tmp_path / "drift", kept)
    (path,) = (tmp_path / "drift").iterdir()
    path.write_bytes(content)
    found = await restarted(plant, [device()])
    assert (found["oven-1"]["state"], found["oven-1"]["drift"]) == ("running", None)


@given(st.data())
def test_no_change_of_a_file_is_worse_than_no_file(tmp_path_factory, data):
    directory = tmp_path_factory.mktemp("drift")
    counted = Counted()
    counted.hours(1)
    drift_file.write(directory, [drift_file.KeptDrift("oven", "00", ("a", "b"), counted.drift.counts())])
    (path,) = directory.iterdir()
    content = bytearray(path.read_bytes())
    for _ in range(data.draw(st.integers(1, 4))):
        content[data.draw(st.integers(0, len(content) - 1))] = data.draw(st.integers(0, 255))
    path.write_bytes(content[: data.draw(st.integers(0, len(content)))])
    if (kept := drift_file.read(directory, "oven", "00")) is not None:
        Drift(card()[1], 2, 86_400 * S).restore(kept.counts, np.array([0, 1]), np.array([0, 1]))


def test_counts_of_another_form_or_span_are_not_taken():
    counted = Counted()
    counted.hours(30)
    counts, rows = counted.drift.counts(), np.array([1])
    body = card()[1]
    assert Drift(body, 2, 86_400 * S).restore(counts, rows, rows)
    assert not Drift(body, 2, 3600 * S).restore(counts, rows, rows)
    assert not Drift(body, 9, 86_400 * S).restore(counts, rows, np.array([2]))
    for name in ("bins", "shares", "step", "begun", "span"):
        assert not Drift(body, 2, 86_400 * S).restore({**counts, name: np.zeros((2, 3))}, rows, rows)
        assert not Drift(body, 2, 86_400 * S).restore(
            {key: value for key, value in counts.items() if key != name}, rows, rows
        )


def test_of_many_counts_those_go_that_were_not_used_for_longest_whatever_the_clock_says(tmp_path, monkeypatch):
    monkeypatch.setattr(drift_file, "KEPT_AT_MOST", 2)
    counts = Counted().drift.counts()
    one, other, third = (drift_file.KeptDrift(name, "00", ("a", "b"), counts) for name in ("one", "other", "third"))
    for age, kept in ((300, one), (40 * 86_400, other)):
        drift_file.write(tmp_path, [kept])
        os.utime(tmp_path / kept.name, (time.time() - age, time.time() - age))
    assert len(list(tmp_path.iterdir())) == 2
    drift_file.write(tmp_path, [third])
    assert {path.name for path in tmp_path.iterdir()} == {one.name, third.name}


def test_a_disk_that_takes_nothing_is_told_in_the_log(tmp_path):
    (tmp_path / "drift").write_text("a file where the directory belongs")
    drift_file.write(tmp_path / "drift", [])


async def test_a_model_that_has_not_been_loaded_removes_nothing(tmp_path):
    plant, kept = await drifted(tmp_path)
    drift_file.write(tmp_path / "drift", kept)
    drift_file.write(tmp_path / "drift", detector(plant, [device()]).kept())
    assert drift_file.read(tmp_path / "drift", "oven", kept[0].sha256) is not None
