"""Every anomaly keeps the window it was found in, and comes out the same, bit for bit, when it is computed again."""

import json

import numpy as np
import pytest

from gateway.alarms import alarm_file, evidence
from gateway.alarms.alarms import Alarms
from gateway.alarms.evidence import EvidenceStore
from gateway.core.errors import GatewayError
from gateway.detect import explain
from gateway.detect.explain import recompute
from gateway.detect.models import graph
from tests.detect.graphs import CARD, onnx, save
from tests.detect.test_detector import Plant, device

NO_CONTRIBUTION = {"outputs": ["score"]}


class Kept(Plant):
    """A plant whose alarms keep their windows."""

    def __init__(self, path):
        self.path = path
        self.store = EvidenceStore(path / "events")
        super().__init__([("oven.onnx", {"devices": ("oven-*",)})], [device()], path)
        self.alarms = Alarms(self.events, self.clock, path / "alarms.json", self.store)
        self.detector = self.make()

    async def run(self):
        await self.detector.load()
        self.seconds(6, self.given[1])
        self.seconds(6, self.given[1], temp=65.1234)
        self.seconds(8, self.given[1])
        self.alarms._announcements.save_now()
        return self.events


@pytest.mark.parametrize("graph_of", [{}, NO_CONTRIBUTION], ids=["own contributions", "by hiding tags"])
async def test_raise_and_clear_are_computed_again_bit_for_bit(tmp_path, graph_of):
    save(tmp_path / "oven.onnx", **graph_of)
    plant = Kept(tmp_path)
    raised, cleared = await plant.run()
    for event in (raised, cleared):
        kept = plant.store.find(event.id[:8], event.state)
        again = recompute(kept)
        assert again.identical
        assert again.agrees
        assert (again.largest_difference, again.other) == (0.0, ())
        assert kept.event["event"] == event.id
        assert f"{again.score:.7g}" == f"{event.detail['score']:.7g}"
        assert event.detail["window_sha256"] == kept.event["window_sha256"]
        assert kept.window.shape == (3, 2)


async def test_a_graph_without_contributions_blames_the_tag_whose_hiding_lowers_the_score(tmp_path):
    save(tmp_path / "oven.onnx", **NO_CONTRIBUTION)
    raised, _ = await Kept(tmp_path).run()
    assert [(part.tag, part.share) for part in raised.contributions] == [("temp", 1.0), ("flow", 0.0)]
    assert raised.message == "oven-1 behaves unusually: temp 65.1234 °C (expected 50)".replace("65.1234", "65.12")


async def test_a_graph_for_one_window_at_a_time_is_explained_too(tmp_path):
    helper = onnx().helper
    nodes = [
        helper.make_node("Constant", [], ["six"], value_ints=[6]),
        helper.make_node("Reshape", ["window", "six"], ["flat"]),
        helper.make_node("ReduceMax", ["flat"], ["highest"], keepdims=1, axes=[0]),
        helper.make_node("Constant", [], ["sixty"], value_float=60.0),
        helper.make_node("Div", ["highest", "sixty"], ["score"]),
    ]
    save(tmp_path / "oven.onnx", nodes=nodes, outputs=["score"])
    plant = Kept(tmp_path)
    raised, _ = await plant.run()
    assert recompute(plant.store.find(raised.id)).identical
    assert raised.contributions[0].tag == "temp"


async def test_on_another_machine_it_agrees_within_a_tolerance_and_says_what_differs(tmp_path, monkeypatch):
    save(tmp_path / "oven.onnx")
    plant = Kept(tmp_path)
    raised, _ = await plant.run()
    path = plant.store.directory / f"{raised.id}.raised.json"
    body = json.loads(path.read_text())

    def kept_with(factor):
        score = np.frombuffer(evidence._unpacked(body["score"]).tobytes(), np.float32) * np.float32(factor)
        path.write_text(json.dumps({**body, "score": evidence._packed(score)}))
        return recompute(plant.store.find(raised.id))

    assert not kept_with(1.0001).agrees, "the same machine must give the same bits"
    monkeypatch.setattr(explain, "cpu", lambda: "another processor")
    monkeypatch.setattr(graph, "version", lambda: "9.9")
    near, far = kept_with(1.0001), kept_with(1.1)
    assert (near.identical, near.agrees, far.agrees) == (False, True, False)
    assert near.other[0].startswith("processor ")
    assert near.other[0].endswith("then, another processor now")
    assert near.other[1].endswith("then, 9.9 now")


async def test_a_window_or_model_that_was_changed_is_not_explained(tmp_path):
    save(tmp_path / "oven.onnx")
    plant = Kept(tmp_path)
    raised, _ = await plant.run()
    kept = plant.store.find(raised.id)
    kept.window[0, 0] += 1
    with pytest.raises(GatewayError, match="the window that was kept is not that of the event"):
        recompute(kept)
    save(kept.model, card={**CARD, "version": "3"})
    with pytest.raises(GatewayError, match="is not the model of the event"):
        recompute(plant.store.find(raised.id))
    kept.model.unlink()
    with pytest.raises(GatewayError, match="cannot be read"):
        recompute(plant.store.find(raised.id))


async def test_the_window_is_on_disk_before_the_alarm_and_a_disk_that_refuses_it_costs_no_alarm(tmp_path, monkeypatch):
    save(tmp_path / "oven.onnx")
    plant, written = Kept(tmp_path), []
    keep = EvidenceStore.keep
    monkeypatch.setattr(EvidenceStore, "keep", lambda self, *given: (written.append("window"), keep(self, *given)))
    monkeypatch.setattr(alarm_file, "write_whole", lambda *_: written.append("alarm"))
    await plant.run()
    assert written == ["window", "window", "alarm"]
    monkeypatch.undo()
    (tmp_path / "full").write_text("a file where a folder should be")
    plant.alarms._store = EvidenceStore(tmp_path / "full")
    await plant.run()
    assert [event.state for event in plant.events] == ["raised", "cleared"] * 2
    assert (tmp_path / "alarms.json").exists()


async def test_an_unknown_event_is_told_with_what_there_is(tmp_path):
    save(tmp_path / "oven.onnx")
    plant = Kept(tmp_path)
    for which in ("abc", "../secret", "*", ""):
        with pytest.raises(GatewayError, match="nothing is kept"):
            plant.store.find(which)
    raised, _ = await plant.run()
    with pytest.raises(GatewayError, match=f"the newest are: {raised.id[:8]}"):
        plant.store.find("zz")
    (plant.store.directory / f"{raised.id}.raised.json").write_text("{}")
    with pytest.raises(GatewayError, match="cannot be read"):
        plant.store.find(raised.id)


async def test_the_oldest_go_when_there_are_too_many_and_models_with_the_last_event_that_needs_them(tmp_path):
    save(tmp_path / "oven.onnx")
    plant = Kept(tmp_path)
    plant.store._max_bytes = 0
    await plant.run()
    assert list(plant.store.directory.rglob("*.json")) == []
    assert list(plant.store.directory.rglob("*.onnx")) == []
