"""What is put beside a model is noticed without a reload, when it is whole; what runs goes on until people decide."""

import asyncio
import os

import pytest

from gateway.core.errors import GatewayError
from gateway.detect import rollout, versions
from gateway.status import ModelStatus, rendered
from gateway.trust.signature import signature_path
from tests.detect.graphs import CARD, save, write
from tests.detect.test_detector import Plant, device, plant

OVENS = [("oven.onnx", {"devices": ("oven-*",)})]


@pytest.fixture
def path(tmp_path):
    return save(tmp_path / "oven.onnx")


class Looks:
    """Lets `Rollout.run` look when the test says so."""

    def __init__(self, monkeypatch):
        self._go, self._done = asyncio.Semaphore(0), asyncio.Semaphore(0)
        self._sleep = asyncio.sleep
        monkeypatch.setattr(rollout.asyncio, "sleep", self._wait)

    async def _wait(self, seconds):
        if seconds == rollout.VERSION_SECONDS:
            self._done.release()
            await self._go.acquire()
        else:
            await self._sleep(seconds)

    async def one(self):
        self._go.release()
        await self._done.acquire()

    async def first(self):
        await self._done.acquire()


async def test_a_file_is_read_when_it_is_the_same_at_two_looks(tmp_path, path, monkeypatch):
    whole = save(tmp_path / "whole.onnx", card=CARD | {"version": "3"}).read_bytes()
    following = versions.next_of(path)
    looks = Looks(monkeypatch)
    async with plant(tmp_path, OVENS, [device()]) as made:
        running = asyncio.create_task(made.detector.rollout.run())
        await looks.first()
        for end in (100, 200, len(whole) - 10, len(whole)):
            following.write_bytes(whole[:end])
            await looks.one()
            assert "shadow" not in rendered(made.detector.status(ModelStatus))[0]
        await looks.one()
        assert rendered(made.detector.status(ModelStatus))[0]["shadow"]["version"] == "3"
        running.cancel()
    assert made.events == []


async def test_a_copy_that_stalls_is_told_and_taken_when_it_is_whole(tmp_path, path, monkeypatch):
    whole = save(tmp_path / "whole.onnx", card=CARD | {"version": "3"}).read_bytes()
    following = versions.next_of(path)
    looks = Looks(monkeypatch)
    async with plant(tmp_path, OVENS, [device()]) as made:
        running = asyncio.create_task(made.detector.rollout.run())
        await looks.first()
        following.write_bytes(whole[: len(whole) // 2])
        for _ in range(5):
            await looks.one()
        assert made.told() == [("model", "candidate_failed", "")]
        following.write_bytes(whole)
        for _ in range(2):
            await looks.one()
        assert rendered(made.detector.status(ModelStatus))[0]["shadow"]["version"] == "3"
        running.cancel()
    assert len(made.events) == 1


@pytest.mark.parametrize("part", range(20))
async def test_no_part_of_a_model_passes_for_a_whole_one(tmp_path, path, part):
    whole = save(tmp_path / "whole.onnx", card=CARD | {"version": "3"}).read_bytes()
    versions.next_of(path).write_bytes(whole[: len(whole) * part // 20])
    async with plant(tmp_path, OVENS, [device()]) as made:
        await made.detector.rollout.look()
        assert rendered(made.detector.status(ModelStatus))[0]["shadow"]["state"] == "failed"
        assert made.detector.status(ModelStatus)[0].state == "up"


async def test_a_signature_that_comes_after_its_file_is_noticed(tmp_path, path, monkeypatch):
    before = versions.stamp(path)
    signature_path(path).write_bytes(b"x" * 64)
    assert versions.stamp(path) != before
    assert versions.stamp(tmp_path / "missing.onnx") is None


async def test_a_version_that_fails_in_shadow_is_told_once_and_the_active_one_goes_on(tmp_path, path):
    one = device()
    async with plant(tmp_path, OVENS, [one]) as made:
        save(versions.next_of(path), card=CARD | {"version": "3"})
        await made.detector.rollout.look()
        shadow = made.detector.models.all[0].shadow

        shadow.watch.failure = "gave no answer within 10 s"
        made.seconds(6, [one])
        await made.detector.rollout.look()
        assert made.told() == [("model", "candidate_failed", "")]
        assert made.devices()["oven-1"]["state"] == "running"
        with pytest.raises(GatewayError, match="cannot be used: gave no answer"):
            await made.detector.rollout.approve(made.detector.rollout.find("oven"), shadow.sha256)


async def test_the_active_file_may_be_overwritten_and_what_runs_goes_on_with_one_event(tmp_path, path):
    one = device()
    async with plant(tmp_path, OVENS, [one]) as made:
        made.seconds(4, [one])
        first = path.read_bytes()
        save(path, card=CARD | {"version": "9"})
        for _ in range(3):
            await made.detector.rollout.look()
        (event,) = made.events
        assert (event.kind, event.state) == ("model", "file_changed")
        assert "version 2 runs on" in event.message
        assert "edge-gateway reload" in event.message
        assert rendered(made.detector.status(ModelStatus))[0]["version"] == "2"
        assert "edge-gateway reload" in made.detector.status(ModelStatus)[0].reason
        made.seconds(1, [one])
        assert made.devices()["oven-1"]["state"] == "running"
        write(path, first)
        await made.detector.rollout.look()
        assert made.detector.status(ModelStatus)[0].reason == ""
        path.unlink()
        await made.detector.rollout.look()
        assert "put the file back" in made.events[-1].message
        assert len(made.events) == 2


async def test_what_never_ran_does_not_become_the_version_before(tmp_path, path):
    async with plant(tmp_path, OVENS, [device()]) as made:
        save(versions.next_of(path), card=CARD | {"version": "3"})
        await made.detector.rollout.look()
        save(path, card=CARD | {"version": "9"})
        found = made.detector.rollout.find("oven")
        with pytest.raises(GatewayError, match="was changed while it runs"):
            await made.detector.rollout.approve(found, found.shadow.sha256)
        assert found.watch.identity.card.version == "2"
        assert not versions.previous_of(path).exists()


async def test_a_model_that_was_missing_or_broken_runs_as_soon_as_its_file_is_there(tmp_path):
    one = device()
    made = Plant(OVENS, [one], tmp_path)
    await made.detector.load()
    assert made.told() == [("model", "failed", "")]
    path = tmp_path / "oven.onnx"
    path.write_bytes(b"no model")
    await made.detector.rollout.look()
    assert made.told() == [("model", "failed", "")] * 2
    await made.detector.rollout.look()
    assert len(made.events) == 2
    save(path)
    await made.detector.rollout.look()
    made.seconds(6, [one])
    assert made.detector.status(ModelStatus)[0].state == "up"
    assert made.devices()["oven-1"]["state"] == "running"
    made.alarms.find("oven/oven-1")


async def test_a_model_that_has_failed_can_be_rolled_back(tmp_path, path):
    one = device()
    async with plant(tmp_path, OVENS, [one]) as made:
        save(versions.next_of(path), card=CARD | {"version": "3"})
        await made.detector.rollout.look()
        looked = made.detector.rollout
        found = looked.find("oven")
        await looked.approve(found, found.shadow.sha256)
        found.watch.failure = "gave no answer within 10 s"
        made.seconds(1, [one])
        assert made.detector.status(ModelStatus)[0].state == "faulted"
        with pytest.raises(GatewayError, match="edge-gateway models rollback oven"):
            await looked.approve(found, "00")
        await looked.roll_back(found, await looked.before(found))
        made.seconds(6, [one])
        assert (entry := rendered(made.detector.status(ModelStatus))[0])["state"] == "up"
        assert entry["version"] == "2"


async def test_each_step_is_noted_with_who_what_and_which_hash(tmp_path, path):
    notes = []

    class Audit:
        async def record(self, action, who, **fields):
            notes.append((action, who, fields))

    made = Plant(OVENS, [device()], tmp_path)
    made.detector.rollout._audit = Audit()
    await made.detector.load()
    following = save(versions.next_of(path), card=CARD | {"version": "3"})
    await made.detector.rollout.look()
    following.write_bytes(b"no model")
    await made.detector.rollout.look()
    os.replace(save(tmp_path / "x.onnx", card=CARD | {"version": "4"}), path)  # noqa: PTH105
    await made.detector.rollout.look()
    assert [(action, who, fields["target"]) for action, who, fields in notes] == [
        ("candidate.shadow", "system", "oven"),
        ("candidate.failed", "system", "oven"),
        ("active.changed", "system", "oven"),
    ]
    for _, _, fields in notes:
        assert fields["file_of"] == path.owner()
        assert fields["old"] == rendered(made.detector.status(ModelStatus))[0]["sha256"]
        assert len(fields["new"]) == 64
    assert "is no ONNX file" in notes[1][2]["why"]


async def test_the_active_version_itself_is_no_next_one(tmp_path, path):
    async with plant(tmp_path, OVENS, [device()]) as made:
        versions.next_of(path).write_bytes(path.read_bytes())
        await made.detector.rollout.look()
        assert rendered(made.detector.status(ModelStatus))[0]["shadow"]["state"] == "failed"
        assert "it is the active version itself" in made.events[0].message
