"""Whatever is raised while models and limits are watched costs the one that it concerns, and no other."""

import asyncio
import struct

import pytest

from gateway.alarms import alarm_file
from gateway.alarms.alarm import Key
from gateway.alarms.alarms import Alarms
from gateway.config.model import AlarmSection
from gateway.core.clock import FakeClock
from gateway.core.event import Event
from gateway.detect import model_loading, model_watcher, versions
from gateway.detect.models.onnx_file import ModelError, read_onnx
from gateway.detect.models.session import ModelSession
from gateway.detect.own_thread import hanging, in_own_thread
from gateway.status import ModelStatus, rendered
from gateway.testing import eventually
from tests.detect.graphs import CARD, save
from tests.detect.test_detector import Plant, device, plant

ORDINARY = [RecursionError, MemoryError, TypeError, struct.error, UnicodeError, StopIteration, KeyError]
RAISED = [*ORDINARY, asyncio.CancelledError, SystemExit]
BOTH = [("bad.onnx", {"devices": ("oven-1",)}), ("good.onnx", {"devices": ("oven-2",)})]
every = pytest.mark.parametrize("raised", RAISED)


@pytest.fixture
def two(tmp_path):
    """Two models, of which the one called "bad" is to go wrong."""
    for name in ("bad", "good"):
        save(tmp_path / f"{name}.onnx", card=CARD | {"name": name})
    return [device("oven-1", 1), device("oven-2", 11)]


def wrong(what, raised):
    """The method, which now raises for the model called "bad"."""

    def call(self, *given, **named):
        if self._card.name == "bad":
            raise raised("made to")
        return what(self, *given, **named)

    return call


@every
@pytest.mark.parametrize("inline", [True, False])
async def test_a_score_that_raises_costs_its_model(tmp_path, two, raised, inline, monkeypatch):
    monkeypatch.setattr(model_watcher, "INLINE_SECONDS", float("inf") if inline else -1.0)
    async with plant(tmp_path, BOTH, two) as made:
        monkeypatch.setattr(ModelSession, "score", wrong(ModelSession.score, raised))
        made.seconds(5, two)
        await eventually(lambda: made.tick() or made.detector.status(ModelStatus)[0].state == "faulted")
        made.seconds(1, two)
        await eventually(lambda: made.tick() or made.devices(1)["oven-2"]["state"] == "running")
        assert made.told() == [("model", "failed", "")]
        assert rendered(made.detector.status(ModelStatus))[1]["state"] == "up"


@every
async def test_a_load_that_raises_costs_its_model(tmp_path, two, raised, monkeypatch):
    real = model_loading.read_model

    def read(path, *given):
        if path.stem == "bad":
            raise raised("made to")
        return real(path, *given)

    monkeypatch.setattr(model_loading, "read_model", read)
    async with plant(tmp_path, BOTH, two) as made:
        assert [model["state"] for model in rendered(made.detector.status(ModelStatus))] == ["faulted", "up"]


async def test_while_one_is_loaded_the_others_score_and_it_misses_nothing(tmp_path, two, monkeypatch):
    from threading import Event as Gate

    gate, real = Gate(), model_loading.read_model

    def read(path, *given):
        if path.stem == "bad":
            gate.wait(60)
        return real(path, *given)

    monkeypatch.setattr(model_loading, "read_model", read)
    made = Plant([(file, more) for file, more in BOTH], two, tmp_path)
    being_loaded = asyncio.create_task(made.detector.load())
    await eventually(lambda: rendered(made.detector.status(ModelStatus))[1]["state"] == "up")
    made.seconds(6, two)
    assert made.devices(1)["oven-2"]["state"] == "running"
    assert made.detector.status(ModelStatus)[0].reason == "is being read and tried"
    gate.set()
    await being_loaded
    made.seconds(1, two)
    assert made.devices(0)["oven-1"]["state"] == "running"


@every
async def test_a_limit_that_raises_costs_no_other(tmp_path, two, raised, monkeypatch):
    async with plant(tmp_path, BOTH, two) as made:
        sections = [AlarmSection(name=name, devices=("oven-2",), tag="temp", high=60.0) for name in ("bad", "good")]
        made.detector = made.make(sections)
        await made.detector.load()
        limits = made.detector._watchers[2:]
        monkeypatch.setattr(limits[0]._limits, "advance", lambda *_: (_ for _ in ()).throw(raised("made to")))
        made.seconds(2, two, temp=70.0)
        assert [event.detail["alarm"] for event in made.events if event.kind == "alarm"] == ["good"]
        assert "a fault of the gateway" in limits[0].status().reason
        assert limits[1].status().reason == ""


@every
async def test_a_trail_or_a_disk_that_raises_does_not_end_the_watch_on_files(tmp_path, two, raised, monkeypatch):
    seen = []

    class Audit:
        async def record(self, action, who, **told):
            seen.append((action, told["target"]))
            if told["target"] == "bad":
                raise raised("made to")

    monkeypatch.setattr("gateway.detect.rollout.VERSION_SECONDS", 0.001)
    async with plant(tmp_path, BOTH, two) as made:
        made.detector.rollout._audit = Audit()
        running = asyncio.create_task(made.detector.rollout.run())
        for name in ("bad", "good"):
            save(versions.next_of(tmp_path / f"{name}.onnx"), card=CARD | {"name": name, "version": "3"})
        await eventually(lambda: ("candidate.shadow", "good") in seen and ("candidate.shadow", "bad") in seen)
        await eventually(lambda: "shadow" in rendered(made.detector.status(ModelStatus))[1])
        assert not running.done()
        running.cancel()


@every
async def test_what_a_thread_raises_comes_out_as_an_exception(raised):
    def call():
        raise raised("made to")

    with pytest.raises(Exception, match="made to"):
        await in_own_thread(call, 60)


async def test_calls_that_nobody_waits_for_are_counted_asked_to_end_and_bounded(tmp_path, two):
    from threading import Event

    ends, asked = Event(), []
    before = hanging()
    for _ in range(model_loading.MOST_HANGING):
        with pytest.raises(TimeoutError):
            await in_own_thread(ends.wait, 0.001, lambda: asked.append(1))
    assert (hanging() - before, len(asked)) == (model_loading.MOST_HANGING, model_loading.MOST_HANGING)
    async with plant(tmp_path, BOTH, two) as made:
        assert "calls of models hang; restart" in made.detector.status(ModelStatus)[0].reason
    ends.set()
    await eventually(lambda: hanging() == before)


@pytest.mark.parametrize("raised", ORDINARY)
def test_whatever_a_parser_raises_is_a_model_error(tmp_path, raised, monkeypatch):
    def text(value):
        raise raised("made to")

    path = save(tmp_path / "oven.onnx")
    monkeypatch.setattr("gateway.detect.models.onnx_file.text", text)
    with pytest.raises(ModelError, match=r"oven\.onnx: is no ONNX file"):
        read_onnx(path)


async def test_a_model_that_gives_numbers_no_more_is_told_in_the_first_line(tmp_path, two, monkeypatch):
    score = ModelSession.score

    def mute(self, windows):
        found = score(self, windows)
        found.score[:] = float("nan")
        return found

    async with plant(tmp_path, BOTH, two) as made:
        made.seconds(6, two)
        assert made.detector.status(ModelStatus)[0].state == "up"
        with monkeypatch.context() as patch:
            patch.setattr(ModelSession, "score", mute)
            made.seconds(3, two)
        status = rendered(made.detector.status(ModelStatus))[0]
        assert status["state"] == "faulted"
        assert status["reason"].startswith("gives no finite score of oven-1: ")
        made.seconds(3, two)
        assert made.detector.status(ModelStatus)[0].state == "up"


@every
async def test_an_event_that_cannot_be_told_costs_no_other(tmp_path, raised):
    told = []

    class Log:
        def append_event(self, event):
            if event.device == "oven-1":
                raise raised("made to")
            told.append(event.device)

    clock = FakeClock()
    alarms = Alarms(Log(), clock, tmp_path / "alarms.json")
    running = asyncio.create_task(alarms.run())
    for name, message in (("oven-1", "\ud800"), ("oven-2", "fine")):
        alarms.raised(
            Key("alarm", "hot", name), Event(name, "alarm", "raised", name, clock.wall_ns(), message, "alarm")
        )
    await eventually(lambda: told == ["oven-2"])
    assert not running.done()
    running.cancel()
    await asyncio.wait([running])
    assert [alarm.key.device for alarm in alarm_file.read(tmp_path / "alarms.json")] == ["oven-1", "oven-2"]
