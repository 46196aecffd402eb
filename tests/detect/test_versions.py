"""A next version scores in shadow and tells nobody; it takes over without losing a window; the version before can return."""

import numpy as np
import pytest

from gateway.core.errors import GatewayError
from gateway.detect import versions
from gateway.detect.shadow import Agreement
from gateway.detect.windows.judge import ABOVE, NORMAL, OUT_OF_RANGE
from gateway.status import ModelStatus, rendered
from tests.detect.graphs import CARD, save
from tests.detect.test_detector import device, plant


@pytest.fixture
def path(tmp_path):
    return save(tmp_path / "oven.onnx")


def save_next(path, **changes):
    return save(versions.next_of(path), card=CARD | {"version": "3"} | changes)


def entry(made):
    return rendered(made.detector.status(ModelStatus))[0]


async def approve(made):
    found = made.detector.rollout.find("oven")
    await made.detector.rollout.approve(found, found.shadow.sha256)


async def roll_back(made):
    rollout = made.detector.rollout
    found = rollout.find("oven")
    await rollout.roll_back(found, await rollout.before(found))


async def test_a_version_in_shadow_tells_nobody_and_is_compared(tmp_path, path):
    one = device()
    async with plant(tmp_path, [("oven.onnx", {"devices": ("oven-*",)})], [one]) as made:
        made.seconds(3, [one])
        assert "shadow" not in entry(made)
        save_next(path, threshold=0.3)
        await made.detector.rollout.look()
        made.seconds(10, [one])
        made.seconds(10, [one], temp=55.0)
        shadow = entry(made)["shadow"]
        assert (shadow["state"], shadow["version"], shadow["raised"]) == ("shadow", "3", 1)
        assert shadow["agreement"]["only_shadow"] > 5
        assert shadow["agreement"]["neither"] > 5
        assert shadow["agreement"]["both"] == shadow["agreement"]["only_active"] == 0
        assert made.told() == []
        versions.next_of(path).unlink()
        await made.detector.rollout.look()
        assert "shadow" not in entry(made)


async def test_an_approved_version_scores_the_very_next_cell_and_keeps_what_is_raised(tmp_path, path):
    one = device()
    async with plant(tmp_path, [("oven.onnx", {"devices": ("oven-*",)})], [one]) as made:
        save_next(path)
        await made.detector.rollout.look()
        made.seconds(6, [one])
        made.seconds(6, [one], temp=65.0)
        (raised,) = made.events
        before = path.read_bytes()
        await approve(made)
        assert entry(made)["version"] == "3"
        assert versions.previous_of(path).read_bytes() == before
        assert not versions.next_of(path).exists()
        assert made.devices()["oven-1"]["event"] == raised.id
        made.seconds(1, [one], temp=65.0)
        assert made.devices()["oven-1"]["state"] == "running"
        assert made.devices()["oven-1"]["score"] == 1.5
        made.seconds(8, [one])
    assert made.told() == [("anomaly", "raised", "oven-1"), ("anomaly", "cleared", "oven-1")]
    assert made.events[1].id == raised.id
    assert [event.detail["model_version"] for event in made.events] == ["2", "3"]


async def test_what_only_the_shadow_had_raised_is_raised_when_it_is_approved(tmp_path, path):
    one = device()
    async with plant(tmp_path, [("oven.onnx", {"devices": ("oven-*",)})], [one]) as made:
        save_next(path, threshold=0.3)
        await made.detector.rollout.look()
        made.seconds(10, [one], temp=55.0)
        await approve(made)
        assert made.told() == []
        made.seconds(1, [one], temp=55.0)
        assert made.told() == [("anomaly", "raised", "oven-1")]


async def test_a_roll_back_keeps_the_windows_and_puts_the_other_version_in_shadow(tmp_path, path):
    one = device()
    async with plant(tmp_path, [("oven.onnx", {"devices": ("oven-*",)})], [one]) as made:
        save_next(path)
        await made.detector.rollout.look()
        made.seconds(6, [one])
        with pytest.raises(GatewayError, match="has no version before: there is no"):
            await roll_back(made)
        await approve(made)
        made.seconds(2, [one])
        await roll_back(made)
        assert entry(made)["version"] == "2"
        made.seconds(1, [one])
        assert made.devices()["oven-1"]["score"] == 0.0
        await made.detector.rollout.look()
        assert entry(made)["shadow"]["version"] == "3"
        assert not versions.previous_of(path).exists()
        assert made.told() == []


async def test_a_version_before_with_another_window_warms_up(tmp_path, path):
    one = device()
    async with plant(tmp_path, [("oven.onnx", {"devices": ("oven-*",)})], [one]) as made:
        save_next(path, period_ms=500)
        await made.detector.rollout.look()
        made.seconds(6, [one])
        await approve(made)
        await roll_back(made)
        made.seconds(3, [one])
        assert made.devices()["oven-1"]["state"] == "warmup"
        made.seconds(3, [one])
        assert made.devices()["oven-1"]["state"] == "running"


async def test_a_next_version_that_cannot_be_used_is_named_and_disturbs_nothing(tmp_path, path):
    one = device()
    async with plant(tmp_path, [("oven.onnx", {"devices": ("oven-*",)})], [one]) as made:
        versions.next_of(path).write_bytes(b"no model")
        await made.detector.rollout.look()
        shadow = entry(made)["shadow"]
        assert shadow["state"] == "failed"
        assert "is no ONNX file" in shadow["reason"]
        found = made.detector.rollout.find("oven")
        with pytest.raises(GatewayError, match='the next version of model "oven" cannot be used'):
            await made.detector.rollout.approve(found, "00")
        made.seconds(6, [one])
        made.seconds(6, [one], temp=65.0)
        assert made.told() == [("model", "candidate_failed", ""), ("anomaly", "raised", "oven-1")]
        assert "the active one goes on: " in made.events[0].message
        assert made.events[0].detail["model_version"] == "2"
        assert made.events[0].detail["candidate"]["file"] == "oven.next.onnx"
        await made.detector.rollout.look()
        assert len(made.events) == 2
        save_next(path)
        await made.detector.rollout.look()
        assert entry(made)["shadow"]["state"] == "shadow"


async def test_only_what_ran_in_shadow_can_be_approved(tmp_path, path):
    one = device()
    async with plant(tmp_path, [("oven.onnx", {"devices": ("oven-*",)})], [one]) as made:
        with pytest.raises(GatewayError, match="has no version in shadow: put one at"):
            await made.detector.rollout.approve(made.detector.rollout.find("oven"), "00")
        save_next(path)
        await made.detector.rollout.look()
        save_next(path, author="somebody else")
        before = path.read_bytes()
        with pytest.raises(GatewayError, match="has just been changed"):
            await approve(made)
        assert path.read_bytes() == before
        with pytest.raises(GatewayError, match='no model "kiln" is running; there are: oven'):
            made.detector.rollout.find("kiln")


async def test_a_retired_version_is_put_aside(tmp_path, path):
    one = device()
    async with plant(tmp_path, [("oven.onnx", {"devices": ("oven-*",)})], [one]) as made:
        save_next(path)
        await made.detector.rollout.look()
        await made.detector.rollout.retire(made.detector.rollout.find("oven"))
        await made.detector.rollout.look()
        assert "shadow" not in entry(made)
        assert versions.retired_of(path).exists()


def test_a_signature_goes_with_its_file(tmp_path):
    path = tmp_path / "oven.onnx"
    files = {path: b"1", versions.next_of(path): b"2"}
    for file, content in files.items():
        file.write_bytes(content)
        file.with_name(f"{file.name}.sig").write_bytes(b"signature " + content)
    versions.approve(path)
    found = {file.name: file.read_bytes() for file in tmp_path.iterdir()}
    assert found == {
        "oven.onnx": b"2",
        "oven.onnx.sig": b"signature 2",
        "oven.previous.onnx": b"1",
        "oven.previous.onnx.sig": b"signature 1",
    }
    versions.roll_back(path)
    assert path.read_bytes() == b"1"
    assert (tmp_path / "oven.onnx.sig").read_bytes() == b"signature 1"
    assert versions.next_of(path).read_bytes() == b"2"


def test_a_directory_that_takes_no_files_is_told_with_what_to_do(tmp_path):
    with pytest.raises(GatewayError, match="let its user write to"):
        versions.approve(tmp_path / "missing" / "oven.onnx")


def test_agreement_is_counted_where_both_are_sure():
    found = Agreement()
    a, n, x = ABOVE, NORMAL, OUT_OF_RANGE
    found.look(np.array([a, a, n, n, x, a], np.uint8), np.array([a, n, a, n, a, x], np.uint8))
    assert (found.both, found.only_active, found.only_shadow, found.neither) == (1, 1, 1, 1)
    assert found.kappa == 0
    assert Agreement(both=3, neither=5).kappa == 1
    assert Agreement().kappa is None
    assert Agreement(neither=7).kappa is None
