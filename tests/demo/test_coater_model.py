"""The shipped model finds the coater's fault soon, on any seed, and stays silent for hours without one."""

from dataclasses import replace

import numpy as np
import pytest

from gateway.alarms.alarms import Alarms
from gateway.config.model import ModelSection
from gateway.core.clock import FakeClock
from gateway.core.event import Event
from gateway.demo.build_model import FIT_SEEDS, LIMIT_SEEDS, MODEL
from gateway.demo.coater import TAGS, Coater
from gateway.detect.event_words import ModelIdentity
from gateway.detect.model_watcher import ModelWatcher
from gateway.detect.models.session import open_model
from gateway.detect.windows.grid import Samples
from gateway.testing.events import EventList

S = 1_000_000_000
SEEDS = range(1000, 1020)


def watch_coaters(coaters: list[Coater], seconds: float, scan: float) -> list[Event]:
    """Run coaters through the detector's own windows, scores and decisions; each is scanned at a phase of its own."""
    assert not {1000, 1019} & {*FIT_SEEDS, *LIMIT_SEEDS}
    opened = replace(open_model(MODEL), seconds=0.0, explain_seconds=0.0)  # scored at once, however slow the machine is
    source = ModelIdentity(opened.card.name, opened.card, opened.file.sha256, "test", "any", "any")
    events = EventList()
    names = [f"coater-{i}" for i in range(len(coaters))]
    section = ModelSection(file=str(MODEL), devices=("*",))
    watch = ModelWatcher(source, opened, names, section, Alarms(events, FakeClock()))
    slots = np.arange(len(coaters) * len(TAGS))
    phase = np.repeat(np.arange(len(coaters)) * S // len(coaters), len(TAGS))
    for number in range(1, round(seconds / scan) + 1):
        for coater in coaters:
            coater.step(scan)
        t_ns = phase + round(number * scan * S) + 1_800_000_000 * S
        value = np.array([list(coater.state().values()) for coater in coaters]).reshape(-1)
        samples = Samples(
            slots, t_ns, value, np.zeros(len(slots), np.uint32), np.full(len(slots), int(number * scan * S))
        )
        watch.advance(samples, int(number * scan * S), lambda work: None)
    return events


@pytest.mark.parametrize("scan", [0.5, 1.0])
def test_thirty_minutes_of_twenty_healthy_coaters_raise_nothing(scan):
    assert watch_coaters([Coater(seed) for seed in SEEDS], 1800, scan) == []


@pytest.mark.parametrize("scan", [0.2, 1.0])
def test_a_clogging_nozzle_is_found_within_20_seconds_on_every_seed_and_named(scan):
    events = watch_coaters([Coater(seed, clog_at=30) for seed in SEEDS], 60, scan)
    begin = 1_800_000_030 * S
    assert sorted(event.device for event in events) == sorted(f"coater-{i}" for i in range(20))
    for event in events:
        assert (event.kind, event.state) == ("anomaly", "raised")
        assert begin + 3 * S < event.t_ns < begin + 20 * S
        assert {part.tag for part in event.contributions[:2]} == {"spray_rate", "pump_current"}
        assert "spray_rate" in event.message


def test_it_is_cleared_after_the_nozzle_was_blown_free():
    coater = Coater(1000, clog_at=20)
    step, events = coater.step, []

    def step_and_clean(dt: float) -> None:
        step(dt)
        if round(coater.seconds) == 60:
            coater.clean()

    coater.step = step_and_clean
    events = watch_coaters([coater], 240, 1.0)
    assert [event.state for event in events] == ["raised", "cleared"]
    assert events[0].id == events[1].id
