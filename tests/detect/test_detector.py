"""What is unusual is said in words; a broken model is kept apart from the others; missing data is never called normal."""

import asyncio
import threading
from contextlib import asynccontextmanager
from pathlib import Path

import numpy as np
import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from structlog.testing import capture_logs

from gateway.alarms.alarms import Alarms
from gateway.config.model import ModelSection
from gateway.core.clock import FakeClock
from gateway.core.quality import BAD_TIMEOUT, CLAMPED, FORCED, GOOD, STALE
from gateway.core.readings import Readings
from gateway.core.tag import Device, Tag, Tags
from gateway.detect import Detector, detector, model_watcher
from gateway.detect.limit_watch import limit_watches
from gateway.detect.models.session import ModelSession
from gateway.detect.own_thread import in_own_thread
from gateway.detect.watcher import DetectorSurroundings
from gateway.status import ModelStatus, rendered
from gateway.testing.events import EventList
from gateway.trust.signature import signature_path
from tests.detect.graphs import CARD, save

UNITS = {"temp": "°C", "flow": "l/min", "speed": "rpm"}


def device(name="oven-1", first_id=1, units=UNITS, type="float32"):  # noqa: A002
    tags = [Tag(first_id + i, name, tag, type, unit) for i, (tag, unit) in enumerate(units.items())]
    return Device(name, "fake", Tags(name, tags))


class Plant:
    """A detector with a clock that is moved by hand, and the events it emitted."""

    def __init__(self, models, devices, base):
        self.clock = FakeClock()
        self.events = EventList()
        self.tasks = []
        self.alarms = Alarms(self.events, self.clock)
        self.given = [ModelSection(file=file, **more) for file, more in models], devices
        self.base = base
        self.detector = self.make()

    def make(self, limits=(), watchers=(), before=None):
        return Detector(
            self.around,
            *self.given,
            base=self.base,
            watchers=[*limit_watches(limits, self.given[1], self.alarms, self.clock, "0.1.0"), *watchers],
            before=before,
        )

    @property
    def around(self):
        return DetectorSurroundings(self.events, self.alarms, self.clock, "0.1.0")

    def seconds(self, count, devices, temp=50.0, flow=10.0, quality=GOOD):
        for _ in range(count):
            self.clock.advance(1)
            for one in devices:
                n = len(one.tags)
                value = np.array([temp, flow, 3.0])[:n]
                if quality >= BAD_TIMEOUT:
                    value[:] = np.nan
                t_ns = np.full(n, self.clock.wall_ns() - 600_000_000)
                self.detector.feed(
                    Readings(one, t_ns, one.tags.ids, value, np.full(n, quality, np.uint32)), self.clock.boot_ns()
                )
            self.tick()

    def tick(self):
        self.detector.tick(lambda work: self.tasks.append(asyncio.create_task(work)))

    def told(self):
        return [(event.kind, event.state, event.device) for event in self.events]

    def devices(self, model=0):
        return {entry["device"]: entry for entry in rendered(self.detector.status(ModelStatus))[model]["devices"]}


@asynccontextmanager
async def plant(tmp_path, models, devices):
    made = Plant(models, devices, tmp_path)
    await made.detector.load()
    yield made
    await asyncio.gather(*made.tasks)


async def test_an_anomaly_is_raised_in_words_and_cleared_under_the_same_id(tmp_path):
    save(tmp_path / "oven.onnx")
    one = device()
    async with plant(tmp_path, [("oven.onnx", {"devices": ("oven-*",)})], [one]) as made:
        made.seconds(6, [one])
        assert made.events == []
        made.seconds(6, [one], temp=65.0)
        made.seconds(8, [one])
    raised, cleared = made.events
    assert (raised.kind, raised.state, raised.device, raised.severity) == ("anomaly", "raised", "oven-1", "alarm")
    assert raised.message == "oven-1 behaves unusually: temp 65 °C (expected 50)"
    assert (raised.detail["model"], raised.detail["model_version"]) == ("oven", "2")
    assert len(raised.detail["model_sha256"]) == 64
    assert raised.detail["gateway_version"] == "0.1.0"
    assert raised.detail["score"] > raised.detail["threshold"] == 1
    assert raised.detail["window_to"] - raised.detail["window_from"] == 3000
    assert [(part.tag, part.share, part.value, part.expected) for part in raised.contributions] == [
        ("temp", 1.0, 65.0, 50.0),
        ("flow", 0.0, 10.0, 10.0),
    ]
    assert (cleared.id, cleared.state) == (raised.id, "cleared")
    assert cleared.message.startswith("oven-1 behaves as usual again, after ")


async def test_bad_stale_and_missing_input_is_undecided_never_normal_nor_an_anomaly(tmp_path):
    save(tmp_path / "oven.onnx")
    one = device()
    async with plant(tmp_path, [("oven.onnx", {"devices": ("oven-1",)})], [one]) as made:
        made.seconds(6, [one])
        assert made.devices()["oven-1"]["state"] == "running"
        for quality, reason in (
            (BAD_TIMEOUT, "temp is not good, flow is not good"),
            (STALE, "temp is stale, flow is stale"),
        ):
            made.seconds(6, [one], quality=quality)
            entry = made.devices()["oven-1"]
            assert (entry["state"], entry["reason"], entry["score"]) == ("degraded", reason, None)
        made.seconds(3, [one])
        assert made.devices()["oven-1"]["state"] == "warmup"
        made.seconds(3, [one])
        assert made.devices()["oven-1"]["state"] == "running"
        made.clock.advance(20)
        made.tick()
        assert made.devices()["oven-1"]["reason"] == "temp is too old, flow is too old"
    assert made.events == []


async def test_data_that_goes_missing_during_an_anomaly_does_not_end_it(tmp_path):
    save(tmp_path / "oven.onnx")
    one = device()
    async with plant(tmp_path, [("oven.onnx", {"devices": ("oven-1",)})], [one]) as made:
        made.seconds(8, [one], temp=65.0)
        made.seconds(30, [one], quality=BAD_TIMEOUT)
        assert made.told() == [("anomaly", "raised", "oven-1")]
        assert made.devices()["oven-1"]["event"] == made.events[0].id
        made.seconds(10, [one])
        assert made.told()[1:] == [("anomaly", "cleared", "oven-1")]


async def test_a_low_score_outside_the_trained_range_is_not_called_normal(tmp_path):
    save(tmp_path / "oven.onnx")
    one = device()
    async with plant(tmp_path, [("oven.onnx", {"devices": ("oven-1",)})], [one]) as made:
        made.seconds(8, [one], temp=65.0)
        made.seconds(20, [one], flow=15.0)
        assert made.devices()["oven-1"]["reason"] == "outside the trained range: flow"
        assert made.told() == [("anomaly", "raised", "oven-1")]
        made.seconds(7, [one], flow=12.2)
        assert made.told()[1:] == [("anomaly", "cleared", "oven-1")]


@pytest.mark.parametrize(
    ("quality", "reason"), [(GOOD | CLAMPED, "temp is clamped"), (GOOD | FORCED, "temp is forced")]
)
async def test_a_clamped_or_forced_value_is_never_called_normal_and_ends_no_anomaly(tmp_path, quality, reason):
    save(tmp_path / "oven.onnx")
    one = device()
    async with plant(tmp_path, [("oven.onnx", {"devices": ("oven-1",)})], [one]) as made:
        made.seconds(8, [one], temp=65.0)
        made.seconds(20, [one], quality=quality)
        entry = made.devices()["oven-1"]
        assert (entry["state"], entry["reason"].split(",")[0]) == ("degraded", reason)
        assert made.told() == [("anomaly", "raised", "oven-1")]
        made.seconds(10, [one])
        assert made.told()[1:] == [("anomaly", "cleared", "oven-1")]


async def test_a_broken_model_says_so_once_and_the_others_go_on(tmp_path):
    save(tmp_path / "oven.onnx")
    (tmp_path / "text.onnx").write_text("no model")
    devices = [device("oven-1"), device("oven-2", 11)]
    models = [
        ("text.onnx", {"devices": ("oven-*",)}),
        ("missing.onnx", {"devices": ("oven-*",)}),
        ("oven.onnx", {"devices": ("press-*",), "name": "lost"}),
        ("oven.onnx", {"devices": ("oven-*",)}),
    ]
    async with plant(tmp_path, models, devices) as made:
        failures = [event.message for event in made.events]
        assert made.told() == [("model", "failed", "")] * 3
        assert any("is no ONNX file" in message for message in failures)
        assert any("missing.onnx: cannot be read" in message for message in failures)
        assert any('model "lost" cannot be used: no device is named press-*' in message for message in failures)
        made.seconds(8, devices, temp=65.0)
        assert made.told()[3:] == [("anomaly", "raised", "oven-1"), ("anomaly", "raised", "oven-2")]
        assert [status["state"] for status in rendered(made.detector.status(ModelStatus))] == ["faulted"] * 3 + ["up"]


async def test_a_device_that_does_not_fit_is_left_out_with_one_event(tmp_path):
    save(tmp_path / "oven.onnx")
    good, wrong = device("oven-1"), device("oven-2", 11, {**UNITS, "temp": "°F"})
    async with plant(tmp_path, [("oven.onnx", {"devices": ("oven-*",)})], [good, wrong]) as made:
        made.seconds(8, [good, wrong], temp=65.0)
        assert made.told() == [("model", "failed", "oven-2"), ("anomaly", "raised", "oven-1")]
        assert 'tag "temp" is in °F, the model was trained in °C' in made.events[0].message
        assert made.devices()["oven-2"]["state"] == "failed"


async def test_a_model_that_must_be_signed_is_used_only_with_a_signature_by_that_key(tmp_path):
    path = save(tmp_path / "oven.onnx")
    key = Ed25519PrivateKey.generate()
    pem = key.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
    (tmp_path / "quality.pub").write_bytes(pem)
    models = [("oven.onnx", {"devices": ("oven-1",), "signed_by": [str(tmp_path / "quality.pub")]})]
    async with plant(tmp_path, models, [device()]) as made:
        assert made.told() == [("model", "failed", "")]
        assert "has no signature" in made.events[0].message
    signature_path(path).write_bytes(key.sign(path.read_bytes()))
    async with plant(tmp_path, models, [device()]) as made:
        assert made.events == []
        assert rendered(made.detector.status(ModelStatus))[0]["signed_by"] == str(tmp_path / "quality.pub")


async def test_a_failure_of_a_model_is_logged_once(tmp_path):
    (tmp_path / "text.onnx").write_text("no model")
    with capture_logs() as logs:
        async with plant(tmp_path, [("text.onnx", {"devices": ("oven-1",)})], [device()]):
            pass
    (line,) = logs
    assert (line["event"], line["log_level"], line["state"]) == ("event", "warning", "failed")
    assert "text.onnx: is no ONNX file" in line["message"]


async def test_a_device_that_tells_its_units_only_when_connected_is_given_the_time(tmp_path):
    save(tmp_path / "oven.onnx")
    untold = device("oven-1", 1, dict.fromkeys(UNITS, ""), type="")
    async with plant(tmp_path, [("oven.onnx", {"devices": ("oven-1",)})], [untold]) as made:
        assert made.events == []
        told = device("oven-1", 21)
        made.seconds(8, [told], temp=65.0)
        assert made.told() == [("anomaly", "raised", "oven-1")]
    async with plant(tmp_path, [("oven.onnx", {"devices": ("oven-1",)})], [untold]) as made:
        made.seconds(3, [untold])
        assert made.told() == [("model", "failed", "oven-1")]
        assert made.detector.status(ModelStatus)[0].state == "faulted"
        assert 'has no unit; the model was trained in °C: write unit = "°C"' in made.events[0].message


async def test_tags_with_other_names_are_bound_by_the_config(tmp_path):
    save(tmp_path / "oven.onnx")
    one = device(units={"zone 1": "°C", "flow": "l/min"})
    section = {"devices": ("oven-1",), "tags": {"temp": "zone 1"}, "name": "zone"}
    async with plant(tmp_path, [("oven.onnx", section)], [one]) as made:
        made.seconds(8, [one], temp=65.0)
        assert made.told() == [("anomaly", "raised", "oven-1")]
        assert made.events[0].detail["model"] == "zone"


async def test_every_device_is_judged_by_its_own_values(tmp_path):
    save(tmp_path / "oven.onnx")
    devices = [device(f"oven-{i}", 100 * i) for i in range(1, 6)]
    async with plant(tmp_path, [("oven.onnx", {"devices": ("oven-*",)})], devices) as made:
        for _ in range(8):
            made.seconds(1, devices[:3] + devices[4:])
            made.clock.advance(-1)
            made.seconds(1, devices[3:4], temp=65.0)
        assert made.told() == [("anomaly", "raised", "oven-4")]


def slow(monkeypatch, call):
    """Make every model count as slow, and call `call` before each score."""
    score = ModelSession.score
    monkeypatch.setattr(model_watcher, "INLINE_SECONDS", 0.0)
    monkeypatch.setattr(ModelSession, "seconds", lambda self, windows: 1.0)
    monkeypatch.setattr(ModelSession, "explain_seconds", lambda self: 1.0)
    monkeypatch.setattr(ModelSession, "score", lambda self, windows: (call(), score(self, windows))[1])


async def test_a_slow_model_scores_in_a_thread_and_skips_ticks_meanwhile(tmp_path, monkeypatch):
    save(tmp_path / "oven.onnx")
    release = threading.Event()
    slow(monkeypatch, lambda: release.wait(20))
    one = device()
    async with plant(tmp_path, [("oven.onnx", {"devices": ("oven-1",)})], [one]) as made:
        made.seconds(8, [one], temp=65.0)
        status = rendered(made.detector.status(ModelStatus))[0]
        assert (status["skipped"], made.events) == (3, [])
        release.set()
        for _ in range(6):
            await asyncio.gather(*made.tasks)
            made.seconds(1, [one], temp=65.0)
        await asyncio.gather(*made.tasks)
        assert made.told() == [("anomaly", "raised", "oven-1")]


async def test_slow_models_take_turns_two_at_a_time_and_none_is_left_out(tmp_path, monkeypatch):
    save(tmp_path / "oven.onnx")
    release, at_once = threading.Event(), []
    slow(monkeypatch, lambda: (at_once.append(1), release.wait(20)))
    one = device()
    models = [("oven.onnx", {"devices": ("oven-1",), "name": f"model {i}"}) for i in range(4)]
    made = Plant(models, [one], tmp_path)
    await made.detector.load()
    made.seconds(6, [one])
    async with asyncio.timeout(20):
        while len(at_once) < 2:
            await asyncio.sleep(0.01)
    assert [status["skipped"] for status in rendered(made.detector.status(ModelStatus))] == [1] * 4
    assert len(at_once) == 2, "the other two wait for their turn"
    release.set()
    await asyncio.gather(*made.tasks)
    assert len(at_once) == 4
    assert all(status["devices"][0]["state"] == "running" for status in rendered(made.detector.status(ModelStatus)))


async def test_a_model_that_hangs_fails_and_its_open_anomaly_is_abandoned(tmp_path, monkeypatch):
    save(tmp_path / "oven.onnx")
    hanging, release = threading.Event(), threading.Event()
    slow(monkeypatch, lambda: hanging.is_set() and release.wait(20))
    one = device()
    async with plant(tmp_path, [("oven.onnx", {"devices": ("oven-1",)})], [one]) as made:
        for _ in range(6):
            made.seconds(1, [one], temp=65.0)
            await asyncio.gather(*made.tasks)
        monkeypatch.setattr(model_watcher, "ANSWER_SECONDS", 0.05)
        hanging.set()
        made.seconds(1, [one], temp=65.0)
        await asyncio.gather(*made.tasks)
        made.tick()
        assert made.told() == [
            ("anomaly", "raised", "oven-1"),
            ("anomaly", "abandoned", "oven-1"),
            ("model", "failed", ""),
        ]
        assert made.events[0].id == made.events[1].id
        assert "gave no answer" in made.detector.status(ModelStatus)[0].reason
        release.set()


async def test_run_loads_and_scores_and_what_is_raised_at_the_stop_is_cleared_after_the_next_start(tmp_path):
    save(tmp_path / "oven.onnx", card={**CARD, "period_ms": 20})
    one = device()
    made = Plant([("oven.onnx", {"devices": ("oven-1",)})], [one], tmp_path)
    heard = asyncio.Event()
    made.events.append_event = lambda event: (made.events.append(event), heard.set())
    running = asyncio.create_task(made.detector.run())
    async with asyncio.timeout(25):
        while not heard.is_set():
            made.clock.advance(0.02)
            t_ns = np.full(3, made.clock.wall_ns())
            value = np.array([70.0, 10.0, 3.0])
            made.detector.feed(Readings(one, t_ns, one.tags.ids, value, np.zeros(3, np.uint32)), made.clock.boot_ns())
            await asyncio.sleep(0.02)
    running.cancel()
    await asyncio.wait([running])
    assert made.told() == [("anomaly", "raised", "oven-1")]
    made.detector = made.make()
    await made.detector.load()
    made.seconds(8, [one])
    assert made.told() == [("anomaly", "raised", "oven-1"), ("anomaly", "cleared", "oven-1")]
    assert made.events[0].id == made.events[1].id


async def test_waiting_blocks_are_bounded_when_nothing_takes_them(tmp_path, monkeypatch):
    monkeypatch.setattr(detector, "MAX_FED", 10)
    one, other = device(), device("press-1", 50)
    made = Plant([("oven.onnx", {"devices": ("oven-1",)})], [one, other], tmp_path)
    for _ in range(100):
        for each in (one, other):
            made.detector.feed(
                Readings(each, np.ones(3, np.int64), each.tags.ids, np.ones(3), np.zeros(3, np.uint32)),
                made.clock.boot_ns(),
            )
    assert len(made.detector._fed) <= 10
    assert {readings.device.name for readings, _ in made.detector._fed} == {"oven-1"}


async def test_without_models_the_detector_just_waits():
    made = Plant([], [device()], Path())
    running = asyncio.create_task(made.detector.run())
    await asyncio.sleep(0)
    assert not running.done()
    running.cancel()
    await asyncio.wait([running])


async def test_a_call_that_never_returns_times_out_and_an_error_comes_through():
    release = threading.Event()
    with pytest.raises(TimeoutError):
        await in_own_thread(release.wait, 0.05)
    release.set()
    with pytest.raises(ZeroDivisionError):
        await in_own_thread(lambda: 1 // 0, 25)
