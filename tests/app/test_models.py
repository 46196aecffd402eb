"""A model's versions while the gateway runs: people change them, with a reason, and it stands in the audit trail."""

from typing import Any

import numpy as np
import pytest

from gateway.core.errors import GatewayError
from gateway.core.times import EARLIEST, LATEST
from gateway.detect import rollout, versions
from gateway.detect.learn.sources import from_outbox
from gateway.outbox.inspect.log_files import LogFiles
from gateway.testing import eventually
from tests.app.plant import Site, device, sink
from tests.detect.graphs import CARD, save

TAGS = "[device.tags]\ntemp = { unit = '°C' }\nflow = { unit = 'l/min' }\n"
MODEL = '[[model]]\nfile = "oven.onnx"\ndevices = ["oven-*"]\n'


async def shadowed(site: Site, version: str) -> dict[str, Any]:
    """The model, once this version runs in shadow."""
    (model,) = await site.answered("models", lambda models: models[0].get("shadow", {}).get("version") == version)
    return dict(model)


async def test_a_version_is_approved_and_rolled_back_by_people_with_reasons(site: Site, monkeypatch: Any) -> None:
    monkeypatch.setattr(rollout, "VERSION_SECONDS", 0.05)
    path = save(site.path / "oven.onnx")
    site.write(device("oven-1", tags=TAGS), sink(), MODEL)
    async with site.running():
        save(versions.next_of(path), card=CARD | {"version": "3"})
        model = await shadowed(site, "3")
        old, new = model["sha256"], model["shadow"]["sha256"]
        (model,) = await site.ask("model_approve", model="oven", reason="sees the nozzle clog")
        assert (model["version"], model["sha256"], model["state"]) == ("3", new, "up")
        (model,) = await site.ask("model_rollback", model="oven", reason="too many alarms")
        assert (model["version"], model["sha256"]) == ("2", old)
        await shadowed(site, "3")
        (model,) = await site.ask("model_retire", model="oven", reason="not good enough")
        assert "shadow" not in model
    told = [note for note in site.audit() if note["action"] in ("model.approve", "model.rollback", "model.retire")]
    assert [(note["action"], note["target"], note["why"]) for note in told] == [
        ("model.approve", "oven", "sees the nozzle clog"),
        ("model.rollback", "oven", "too many alarms"),
        ("model.retire", "oven", "not good enough"),
    ]
    assert [(note["old"], note.get("new")) for note in told] == [(old, new), (new, old), (new, None)]
    assert all(note["who"] for note in told)
    assert told[0]["agreement"]["kappa"] is None


async def test_the_scores_of_each_device_are_told_against_the_limit(site: Site) -> None:
    save(site.path / "oven.onnx")
    site.write(device("oven-1", tags=TAGS), device("oven-2", tags=TAGS), sink(), MODEL)
    async with site.running():
        await site.answered("models", lambda models: all(_is_scored(each) for each in models))
        told = await site.ask("scores", model="oven")
        assert [each["device"] for each in told] == ["oven-1", "oven-2"]
        for each in told:
            assert each["threshold"] == CARD["threshold"]
            assert len(each["ts"]) == len(each["scores"]) >= 1
            assert each["ts"] == sorted(each["ts"])
        (one,) = await site.ask("scores", model="oven", device="oven-2")
        assert one["device"] == "oven-2"
        for wrong, said in (
            ({"model": "none"}, 'no model "none"'),
            ({"model": "oven", "device": "x"}, "does not watch"),
        ):
            with pytest.raises(AssertionError, match=said):
                await site.ask("scores", **wrong)


def _is_scored(model: Any) -> bool:
    devices = model.get("devices", ())
    return bool(devices) and all(each["score"] is not None for each in devices)


async def test_an_approved_version_is_the_active_one_after_a_restart(site: Site, monkeypatch: Any) -> None:
    monkeypatch.setattr(rollout, "VERSION_SECONDS", 0.05)
    path = save(site.path / "oven.onnx")
    save(versions.next_of(path), card=CARD | {"version": "3"})
    site.write(device("oven-1", tags=TAGS), sink(), MODEL)
    async with site.running():
        await shadowed(site, "3")
        await site.ask("model_approve", model="oven", reason="better")
    async with site.running():
        (model,) = await site.answered("models", lambda models: models[0]["state"] != "starting")
        assert model["version"] == "3"


async def test_what_the_outbox_keeps_of_a_device_is_what_can_be_learned_from(site: Site) -> None:
    site.write('[outbox]\nkeep = "1h"', device("oven-1", tags=TAGS), device("oven-2", tags=TAGS), sink())
    async with site.running():
        for value in (1.5, 2.5, 3.5):
            site.bench.value = value
            await site.heard("north/oven-1", lambda body, value=value: body["values"].get("temp") == value)
    log = LogFiles(site.path / "state" / "outbox")
    table = from_outbox(log, "oven-1", EARLIEST, LATEST).of(["temp", "flow"])
    assert table.units == ("°C", "l/min")
    assert (np.diff(table.t_ns) > 0).all()
    for column in table.rows.T:
        assert list(dict.fromkeys(column[np.isfinite(column)].tolist()))[-3:] == [1.5, 2.5, 3.5]
    with pytest.raises(GatewayError, match='holds nothing of device "kiln"'):
        from_outbox(log, "kiln", EARLIEST, LATEST)


async def test_what_was_counted_of_a_model_is_kept_over_a_restart(site: Site) -> None:
    save(site.path / "oven.onnx")
    site.write(device("oven-1", tags=TAGS), sink(), MODEL)

    def ticks(gateway: Any) -> int:
        (kept,) = gateway.detection.detector.kept()
        return int(kept.counts["shares"][..., 0].sum())

    async def up() -> None:
        await site.answered("models", lambda models: models[0]["state"] == "up")

    async with site.running() as gateway:
        await up()
        counted = await eventually(lambda: ticks(gateway))
    async with site.running() as gateway:
        await up()
        assert ticks(gateway) >= counted


async def test_a_file_that_comes_is_noticed_without_a_reload_and_stands_in_the_audit_trail(
    site: Site, monkeypatch: Any
) -> None:
    monkeypatch.setattr(rollout, "VERSION_SECONDS", 0.05)
    path = site.path / "oven.onnx"
    path.write_bytes(b"not copied yet")
    site.write(device("oven-1", tags=TAGS), sink(), MODEL)
    async with site.running():
        await site.heard("north/g1/_event", lambda body: body["state"] == "failed")
        save(path)
        (model,) = await site.answered("models", lambda models: models[0]["state"] == "up")
        versions.next_of(path).write_bytes(b"no model")
        await site.heard("north/g1/_event", lambda body: body["state"] == "candidate_failed")
        assert (await site.ask("models"))[0]["state"] == "up"
        told = await eventually(lambda: [note for note in site.audit() if note["action"] == "candidate.failed"])
    assert told[0]["old"] == model["sha256"]
    assert "is no ONNX file" in told[0]["why"]
    assert [note["new"] for note in site.audit() if note["action"] == "active.loaded"] == [model["sha256"]]


async def test_what_was_refused_does_not_stand_in_the_audit_trail_as_approved(site: Site, monkeypatch: Any) -> None:
    monkeypatch.setattr(rollout, "VERSION_SECONDS", 0.05)
    path = save(site.path / "oven.onnx")
    site.write(device("oven-1", tags=TAGS), sink(), MODEL)
    async with site.running():
        save(versions.next_of(path), card=CARD | {"version": "3"})
        await shadowed(site, "3")
        save(path, card=CARD | {"version": "9"})
        with pytest.raises(
            AssertionError, match="was changed while it runs, and is not what was loaded; version 2 runs on"
        ):
            await site.ask("model_approve", model="oven", reason="better")
        with pytest.raises(AssertionError, match="say why, for the audit trail: --reason"):
            await site.ask("model_approve", model="oven", reason=" ")
        assert not versions.previous_of(path).exists()
    assert [note for note in site.audit() if note["action"] == "model.approve"] == []
