"""A limit is broken and kept again as its `[[alarm]]` says, whatever the samples' timing."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.alarms.alarms import Alarms
from gateway.config.model import AlarmSection
from gateway.core.clock import FakeClock
from gateway.core.quality import BAD_TIMEOUT, CLAMPED, FORCED, GOOD, REPEATED, STALE, UNCERTAIN
from gateway.core.readings import Readings
from gateway.core.tag import Device, Tag, Tags
from gateway.detect import Detector
from gateway.detect.limit_watch import limit_watches
from gateway.detect.watcher import DetectorSurroundings
from gateway.detect.windows.grid import Samples
from gateway.detect.windows.limits import Limit, Limits
from gateway.status import LimitStatus
from gateway.testing.events import EventList

S = 1_000_000_000
T0 = 1_800_000_000 * S


class Fed:
    """A limit over one device; times in seconds. `said` holds (time, "R" or "C")."""

    def __init__(self, condition="high", limit=80.0, rows=1, **more):
        delays = {f"{name}_ns": int(more.pop(name, 0) * S) for name in ("on_delay", "off_delay", "span")}
        self.limits = Limits(Limit(condition, limit, more.pop("hysteresis", 0.0), **delays), rows)
        self.said = []
        self.told = []

    def at(self, seconds, *samples):
        """(value[, quality[, source time[, row]]]) that arrive now."""
        full = [(*sample, *(GOOD, seconds, 0)[len(sample) - 1 :]) for sample in samples]
        columns = None
        if full:
            columns = Samples(
                np.array([row for *_, row in full], np.intp),
                np.array([T0 + round(t * S) if t is not None else 0 for _, _, t, _ in full], np.int64),
                np.array([value for value, *_ in full], np.float64),
                np.array([quality for _, quality, *_ in full], np.uint32),
                np.full(len(full), round((seconds + 50) * S), np.int64),
            )
        for change in self.limits.advance(columns, round((seconds + 50) * S)):
            self.said += [(seconds, "R" if broken else "C") for broken in change.broken]
            self.told += change.t_ns.tolist()
        return self

    def run(self, *values, quality=GOOD, start=1):
        for second, value in enumerate(values, start):
            self.at(second, (value, quality))
        return self


def test_high_and_low_are_broken_beyond_and_kept_at_the_limit():
    assert Fed("high").run(79, 80, 81, 82, 80).said == [(3, "R"), (5, "C")]
    assert Fed("low", 10).run(11, 10, 9, 10).said == [(3, "R"), (4, "C")]


def test_it_clears_only_when_the_value_is_back_by_the_hysteresis():
    assert Fed("high", hysteresis=2).run(81, 79, 78.5, 78, 79).said == [(1, "R"), (4, "C")]
    assert Fed("low", 10, hysteresis=2).run(9, 11, 12).said == [(1, "R"), (3, "C")]


def test_delays_must_be_served_without_interruption():
    assert Fed(on_delay=2).run(81, 81, 79, 81, 81, 81).said == [(6, "R")]
    assert Fed(off_delay=2).run(81, 79, 81, 79, 79, 79).said == [(1, "R"), (6, "C")]


def test_a_delay_runs_on_while_a_subscribed_value_is_quiet():
    fed = Fed(on_delay=5).at(1, (81,))
    assert fed.at(5.9).said == []
    assert fed.at(6).said == [(6, "R")]
    assert fed.at(7, (70,)).said[1:] == [(7, "C")]


def test_a_spike_between_two_looks_is_seen():
    assert Fed().at(1, (70, GOOD, 0.2), (90, GOOD, 0.5), (70, GOOD, 0.8)).said == [(1, "R"), (1, "C")]


@pytest.mark.parametrize("quality", [BAD_TIMEOUT, UNCERTAIN, GOOD | STALE, GOOD | FORCED])
def test_what_is_not_good_breaks_nothing_and_mends_nothing(quality):
    assert Fed().run(90, 90, quality=quality).said == []
    fed = Fed().run(90).at(2, (10, quality)).at(60)
    assert fed.said == [(1, "R")]
    assert fed.at(61, (10,)).said[1:] == [(61, "C")]


def test_a_delay_does_not_run_out_on_a_value_that_went_bad():
    fed = Fed(on_delay=5).at(1, (81,)).at(2, (81, BAD_TIMEOUT)).at(30)
    assert fed.said == []
    assert fed.at(31, (81,)).said == [(31, "R")]


def test_a_repeat_with_its_old_source_time_confirms_the_value():
    fed = Fed(on_delay=5).at(1, (81,)).at(3, (81, REPEATED, 1)).at(6, (81, REPEATED, 1))
    assert fed.said == [(6, "R")]


def test_a_clock_that_is_set_back_neither_stops_nor_hastens_a_delay():
    fed = Fed(on_delay=5).at(100, (81,)).at(101, (81, GOOD, 40)).at(102, (81, GOOD, 41))
    assert fed.said == []
    assert fed.at(107, (81, GOOD, 46)).said == [(107, "R")]


def test_delays_elapse_though_the_source_time_stands_still():
    fed = Fed(on_delay=5, off_delay=3)
    for second in range(1, 8):
        fed.at(second, (81 + second / 10, GOOD, 1))
    assert fed.said == [(6, "R")]
    for second in range(8, 13):
        fed.at(second, (70 + second / 10, GOOD, 1))
    assert fed.said[1:] == [(11, "C")]


@pytest.mark.parametrize("hours", [-5, 5])
def test_delays_elapse_though_the_source_time_is_hours_off(hours):
    fed = Fed(on_delay=5)
    for second in range(1, 8):
        fed.at(second, (81, GOOD, second + hours * 3600))
    assert fed.said == [(6, "R")]


def test_a_clock_that_stood_and_was_put_right_neither_stops_nor_hastens_a_delay():
    fed = Fed(on_delay=100)
    for second in range(60):
        fed.at(second, (81, GOOD, 0))
    for second in range(60, 100):
        fed.at(second, (81, GOOD, second))
    assert fed.said == []
    assert fed.at(100, (81, GOOD, 100)).said == [(100, "R")]


def test_what_is_told_is_the_sources_time_whatever_its_clock_did_before():
    fed = Fed(on_delay=5).at(1, (70,)).at(2, (70, GOOD, 10**9))  # a time in 32 years
    for second in range(3, 12):
        fed.at(second, (81, GOOD, second))
    assert fed.said == [(8, "R")]
    assert fed.told == [T0 + 8 * S]


def test_what_a_queue_held_back_is_judged_by_its_own_time():
    fed = Fed(on_delay=5).at(1, (70,))
    fed.at(60, *((81 if second < 20 else 70, GOOD, second) for second in range(2, 60)))
    assert fed.said == [(60, "R"), (60, "C")]
    fed = Fed(on_delay=30).at(1, (70,))
    assert fed.at(60, *((81 if second < 20 else 70, GOOD, second) for second in range(2, 60))).said == []


def test_stuck_is_raised_when_a_value_that_is_read_stays_exactly_the_same():
    fed = Fed("stuck", 5 * S).run(20.1, 20.2, *[20.3] * 5)
    assert fed.said == []
    assert fed.run(20.3, 20.3, 20.31, start=8).said == [(8, "R"), (10, "C")]


def test_stuck_goes_on_while_a_subscribed_value_is_quiet_and_not_beyond_a_break():
    assert Fed("stuck", 5 * S).at(1, (20,)).at(6).said == [(6, "R")]
    fed = Fed("stuck", 5 * S).at(1, (20,)).at(3, (20, STALE)).at(20).at(21, (20,)).at(25)
    assert fed.said == []
    assert fed.at(26).said == [(26, "R")]


@pytest.mark.parametrize("quality", [BAD_TIMEOUT, UNCERTAIN, FORCED, CLAMPED])
def test_stuck_is_not_said_of_what_is_not_measured(quality):
    assert Fed("stuck", 5 * S).run(*[20] * 20, quality=quality).said == []


def test_a_source_without_times_is_judged_by_when_its_values_came():
    assert Fed(on_delay=2).at(1, (81, GOOD, None)).at(2, (81, GOOD, None)).at(3, (81, GOOD, None)).said == [(3, "R")]


def test_rate_compares_with_every_value_within_the_span():
    assert Fed("rate", 5, span=10).run(*[20, 21, 22, 23, 24, 25, 26, 26, 26]).said == [(7, "R")]
    assert Fed("rate", 5, span=3).run(*[20, 21, 22, 23, 24, 25, 26, 26, 26]).said == []
    assert Fed("rate", 5, span=3).run(20, 26, 26, 26, 26, 26).said == [(2, "R"), (5, "C")]
    assert Fed("rate", 5, span=3).run(20, 14, 14, 14, 14).said[0] == (2, "R")


def test_rate_begins_anew_when_the_clock_is_set_back():
    fed = Fed("rate", 5, span=30).at(100, (20,)).at(101, (90, GOOD, 10)).at(102, (91, GOOD, 11))
    assert fed.said == []


def test_no_data_is_raised_by_silence_and_by_values_that_are_not_good_and_ends_with_a_good_one():
    fed = Fed("no_data", 30 * S).at(0).at(10, (5,))
    for second in range(11, 41):
        fed.at(second, (5, BAD_TIMEOUT))
    assert fed.said == []
    assert fed.at(41).said == [(41, "R")]
    assert fed.at(50, (5,)).said[1:] == [(50, "C")]


def test_a_tag_that_never_delivers_is_told_too():
    assert Fed("no_data", 30 * S).at(0).at(31).said == [(31, "R")]


def test_a_text_is_data_too():
    fed = Fed("no_data", 30 * S).at(0, (np.nan,))
    for second in range(10, 100, 10):
        fed.at(second, (np.nan,))
    assert fed.said == []


def naive(samples, limit, hysteresis, on_delay, off_delay):
    """By definition: samples as (t, value), judged one by one."""
    broken, since, said = False, None, []
    for t, value in samples:
        other = value <= limit - hysteresis if broken else value > limit
        since = (since if since is not None else t) if other else None
        if since is not None and t - since >= (off_delay if broken else on_delay):
            broken, since = not broken, None
            said.append((t, "R" if broken else "C"))
    return said


@given(
    st.lists(st.tuples(st.integers(1, 4), st.integers(70, 90)), min_size=1, max_size=40),
    st.integers(0, 5), st.integers(0, 3), st.integers(0, 3), st.data(),
)  # fmt: skip
def test_what_is_said_is_what_the_definition_says_however_the_samples_are_cut_into_blocks(
    steps, hysteresis, on_delay, off_delay, data
):
    t, samples = 0, []
    for step, value in steps:
        t += step
        samples.append((t, value))
    limits = Limits(Limit("high", 80.0, hysteresis, 0, on_delay * S, off_delay * S), 1)
    said, at = [], 0
    while at < len(samples):
        cut = samples[at : at + data.draw(st.integers(1, 6))]
        at += len(cut)
        n = len(cut)
        block = Samples(
            np.zeros(n, np.intp), np.array([T0 + t * S for t, _ in cut]), np.array([v for _, v in cut], np.float64),
            np.zeros(n, np.uint32), np.array([t * S + S for t, _ in cut]),
        )  # fmt: skip
        for change in limits.advance(block, cut[-1][0] * S + S):
            said += [(int((t - T0) // S), "R" if b else "C") for t, b in zip(change.t_ns, change.broken, strict=True)]
    assert said == naive(samples, 80, hysteresis, on_delay, off_delay)


class Plant:
    """Limits of two ovens, in a detector."""

    def __init__(self, **section):
        self.events, self.clock = EventList(), FakeClock()
        self.alarms = Alarms(self.events, self.clock)
        self.section = AlarmSection(name="too hot", devices=("oven-*",), tag="temp", **section)
        self.ovens = [self.oven(f"oven-{i}", 10 * i) for i in (1, 2)]
        self.detector = self.make()

    @staticmethod
    def oven(name, first_id):
        return Device(
            name, "fake", Tags(name, [Tag(first_id, name, "speed"), Tag(first_id + 1, name, "temp", "float32", "°C")])
        )

    def make(self):
        watchers = limit_watches([self.section], self.ovens, self.alarms, self.clock, "0.1.0")
        around = DetectorSurroundings(self.events, self.alarms, self.clock, "0.1.0")
        return Detector(around, [], self.ovens, base=None, watchers=watchers)

    def feed(self, temp, oven=0):
        self.clock.advance(1)
        device, t_ns = self.ovens[oven], np.full(2, self.clock.wall_ns())
        self.detector.feed(
            Readings(device, t_ns, device.tags.ids, np.array([1.0, temp]), np.zeros(2, np.uint32)), self.clock.boot_ns()
        )
        self.detector.tick(None)


async def test_an_alarm_is_told_in_words_with_what_to_do_and_cleared_under_the_same_id():
    plant = Plant(high=80.0, hysteresis=1.0, action="open the damper", severity="alarm")
    await plant.detector.load()
    for temp in (75, 85.5, 85.5, 79.5, 79):
        plant.feed(temp)
        plant.feed(20.0, oven=1)
    raised, cleared = plant.events
    assert raised.message == "too hot: oven-1 temp is 85.5 °C, above 80 °C; open the damper"
    assert (raised.kind, raised.device, raised.severity) == ("alarm", "oven-1", "alarm")
    assert raised.detail["limit"] == 80
    assert (cleared.id, cleared.state) == (raised.id, "cleared")
    assert "is as it should be again, after" in cleared.message
    assert [entry.broken for entry in plant.detector.status(LimitStatus)[0].devices] == [False, False]


async def test_a_new_detector_goes_on_with_what_is_raised():
    plant = Plant(high=80.0)
    await plant.detector.load()
    plant.feed(90)
    plant.detector = plant.make()
    await plant.detector.load()
    plant.feed(90)
    plant.feed(70)
    assert [(event.state, event.id == plant.events[0].id) for event in plant.events] == [
        ("raised", True),
        ("cleared", True),
    ]


async def test_a_limit_that_is_gone_from_the_configuration_ends_its_alarms():
    plant = Plant(high=80.0)
    await plant.detector.load()
    plant.feed(90)
    plant.section = AlarmSection(name="other", devices=("oven-*",), tag="temp", low=1.0)
    await plant.make().load()
    assert [event.state for event in plant.events] == ["raised", "abandoned"]
