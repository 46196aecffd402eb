"""The clock of a source is compared with the gateway's by fresh times only; it is told when it is off, and when right."""

import numpy as np
import pytest

from gateway.acquire.source_clock import SourceClock
from gateway.core.clock import FakeClock
from gateway.core.live import LiveTable
from gateway.core.quality import HISTORICAL
from gateway.core.readings import Readings
from gateway.core.tag import Device, Tag, Tags

DEVICE = Device(
    "press-1", "opcua", Tags("press-1", [Tag(1, "press-1", "a", "float64"), Tag(2, "press-1", "b", "float64")])
)


class Fed:
    """A source whose clock is some seconds off."""

    def __init__(self, limit=300.0):
        self.clock = FakeClock()
        self.live = LiveTable().define(DEVICE)
        self.watched = SourceClock("press-1", limit, self.clock)
        self.events = []

    def seconds(self, count, off=0.0, source_time=None, value=None, quality=0, own_time=False):
        for _ in range(count):
            self.clock.advance(1)
            t_ns = self.clock.wall_ns() + round(off * 1e9) if source_time is None else source_time
            number = float(self.clock.boot_ns()) if value is None else value
            block = Readings(
                DEVICE, np.full(2, t_ns, np.int64), DEVICE.tags.ids, np.full(2, number), np.full(2, quality, np.uint32), {},
                own_time,
            )  # fmt: skip
            self.watched.see(block, self.live)
            self.live.update(block, self.clock.boot_ns())
            if event := self.watched.look():
                self.events.append(event)
        return self

    def told(self):
        return [event.state for event in self.events]


def test_a_right_clock_is_measured_and_nothing_is_told():
    fed = Fed().seconds(30, off=-0.2)
    assert fed.watched.offset == pytest.approx(-0.2)
    assert fed.told() == []


@pytest.mark.parametrize(("off", "words"), [(7200, "2 h ahead"), (-7200, "2 h behind"), (-56 * 365 * 86_400, "behind")])
def test_a_clock_that_is_off_is_told_once_and_once_more_when_it_is_right(off, words):
    fed = Fed().seconds(40, off=off)
    assert fed.told() == ["source_off"]
    assert words in fed.events[0].message
    assert (fed.events[0].device, fed.events[0].severity) == ("press-1", "warning")
    assert fed.watched.is_off
    fed.seconds(40)
    assert fed.told() == ["source_off", "source_right"]
    assert fed.events[0].id == fed.events[1].id
    assert not fed.watched.is_off


def test_a_clock_that_stands_still_is_told_when_it_is_far_enough_behind():
    fed = Fed(limit=60.0)
    fed.seconds(5)
    stood = fed.clock.wall_ns()
    fed.seconds(50, source_time=stood)
    assert fed.told() == []
    fed.seconds(40, source_time=stood)
    assert fed.told() == ["source_off"]


def test_values_that_have_been_the_same_since_yesterday_say_nothing_of_the_clock():
    fed = Fed()
    yesterday = fed.clock.wall_ns() - 86_400_000_000_000
    fed.seconds(100, source_time=yesterday, value=5.0)
    assert fed.watched.offset is None
    assert fed.told() == []


def test_a_queue_that_is_emptied_after_a_break_is_no_clock_that_is_behind():
    fed = Fed().seconds(20)
    fed.seconds(5, off=-3000)
    fed.seconds(10)
    fed.seconds(30, off=-3000, quality=HISTORICAL)
    assert fed.told() == []


def test_times_that_are_the_gateways_own_are_not_compared():
    fed = Fed().seconds(30, off=-9000, own_time=True)
    assert fed.watched.offset is None


def test_while_the_gateways_own_clock_is_not_synchronised_it_is_said_that_either_may_be_wrong():
    fed = Fed()
    fed.clock.synced = False
    fed.seconds(30, off=9000)
    assert fed.events[0].message.endswith("the gateway's own is not synchronised either, so look at both")
