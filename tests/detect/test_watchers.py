"""Another kind of watch goes into the detector as models and limits do, and costs them nothing."""

import asyncio
from dataclasses import dataclass
from uuid import uuid4

import numpy as np
import pytest

from gateway.alarms import Key
from gateway.config.model import AlarmSection
from gateway.core.event import Event
from gateway.status import LimitStatus, ModelStatus, rendered
from tests.detect.graphs import save
from tests.detect.test_detector import Plant, device, plant

BOTH = ("oven-1", "oven-2")
HOT = AlarmSection(name="hot", devices=("oven-*",), tag="temp", high=60.0)


@dataclass(frozen=True)
class Counted:
    """Its status."""

    name: str
    ticks: int


class Balance:
    """What flows through one oven must flow through the other: three ticks at which it does not raise an alarm."""

    devices = BOTH
    pause = 0.5

    def __init__(self, alarms):
        self.alarms, self.key = alarms, Key("balance", "line 4", "oven-1")
        self.alarm_keys = {self.key}
        self.flow, self.ids, self.ticks, self.bound = {}, {}, 0, []

    def restore(self, before):
        self.ticks = next((each.ticks for each in before if isinstance(each, Balance)), 0)

    def bind(self, device, described):
        self.bound.append((device.name, described))
        self.ids[device.name] = next(tag.id for tag in device.tags if tag.name == "flow")

    def advance(self, fed, boot_ns, spawn):
        for readings, _ in fed.blocks:
            if readings.device.name in self.ids:
                self.flow[readings.device.name] = float(
                    readings.value[readings.tag == self.ids[readings.device.name]][0]
                )
        differs = len({*self.flow.values()}) > 1
        self.ticks = self.ticks + 1 if differs else 0
        known = self.alarms.get(self.key)
        if self.ticks >= 3 and not (known and known.active):
            self.alarms.raised(self.key, self.event(uuid4().hex, "raised"))
        elif not differs and known and known.active:
            self.alarms.cleared(self.key, self.event(known.event, "cleared"))

    def event(self, of, state):
        return Event(
            of, "balance", state, "oven-1", 1_700_000_000_000_000_000, f"the flow is {self.flow}", "warning", {}
        )

    def status(self):
        return Counted("line 4", self.ticks)


class Broken:
    """Raises whatever it is asked, in the worst way."""

    devices, pause, alarm_keys = BOTH, 1.0, frozenset()

    def __init__(self, raised):
        self.raised = raised

    def restore(self, before):
        return

    def bind(self, device, described):
        raise self.raised

    def advance(self, fed, boot_ns, spawn):
        raise self.raised

    def status(self):
        return {}


@pytest.fixture
def ovens():
    return [device("oven-1", 1), device("oven-2", 10)]


@pytest.fixture
async def made(tmp_path, ovens):
    save(tmp_path / "oven.onnx")
    async with plant(tmp_path, [("oven.onnx", {"devices": ("oven-*",)})], ovens) as made:
        yield made


async def exchanged(made: Plant, *watchers) -> None:
    before = made.detector
    made.detector = made.make([HOT], watchers, before)
    await made.detector.load()


async def test_it_is_bound_fed_and_listed_and_its_alarms_are_the_gateways(made, ovens):
    balance = Balance(made.alarms)
    await exchanged(made, balance)
    made.seconds(2, ovens)
    assert balance.bound == [("oven-1", False), ("oven-2", False), ("oven-1", True), ("oven-2", True)]
    made.seconds(2, ovens[:1], flow=8.0)
    assert made.detector.status(Counted) == [Counted("line 4", 2)]
    assert [entry.name for entry in made.detector.status(ModelStatus)] == ["oven"]
    assert [entry.name for entry in made.detector.status(LimitStatus)] == ["hot"]
    made.seconds(2, ovens[:1], flow=8.0)
    assert [entry["kind"] for entry in rendered(made.alarms.listed())] == ["balance"]
    made.seconds(1, ovens)
    assert made.told() == [("balance", "raised", "oven-1"), ("balance", "cleared", "oven-1")]


async def test_what_it_counted_goes_on_in_the_detector_that_follows(made, ovens):
    await exchanged(made, Balance(made.alarms))
    made.seconds(1, ovens)
    made.seconds(2, ovens[:1], flow=8.0)
    after = Balance(made.alarms)
    await exchanged(made, after)
    assert (after.ticks, made.told()) == (2, [])


async def test_what_it_has_raised_ends_in_words_when_nobody_watches_any_more(made, ovens):
    await exchanged(made, Balance(made.alarms))
    made.seconds(1, ovens)
    made.seconds(3, ovens[:1], flow=8.0)
    await exchanged(made)
    assert made.told() == [("balance", "raised", "oven-1"), ("balance", "abandoned", "oven-1")]
    assert made.events[-1].message.startswith('oven-1 is no longer watched by balance "line 4"')
    assert made.events[-1].detail["balance"] == "line 4"


@pytest.mark.parametrize("raised", [ValueError("made to"), SystemExit(3), asyncio.CancelledError()], ids=repr)
async def test_one_that_raises_costs_neither_models_nor_limits(made, ovens, raised):
    balance = Balance(made.alarms)
    await exchanged(made, Broken(raised), balance)
    made.seconds(6, ovens)
    made.seconds(6, ovens[:1], temp=65.0, flow=8.0)
    assert {entry["kind"] for entry in rendered(made.alarms.listed())} == {"anomaly", "alarm", "balance"}
    assert np.isfinite(made.devices()["oven-1"]["score"])
    assert made.detector.status(ModelStatus)[0].state == "up"
