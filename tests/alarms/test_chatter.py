"""An alarm that is raised three times within a minute is marked, until it has been quiet for long."""

from structlog.testing import capture_logs

from gateway.alarms.alarm import Key
from gateway.alarms.alarms import Alarms
from gateway.core.clock import FakeClock
from gateway.core.event import Event
from gateway.status import rendered
from gateway.testing.events import EventList

KEY = Key("alarm", "too hot", "oven-1")


def event(name, state, clock):
    return Event(name, "alarm", state, "oven-1", clock.wall_ns(), "", "warning", {"limit": 80.0})


def come_and_go(alarms, clock, times, seconds):
    for number in range(times):
        alarms.raised(KEY, event(f"e{number}", "raised", clock))
        clock.advance(seconds / 2)
        alarms.cleared(KEY, event(f"e{number}", "cleared", clock))
        clock.advance(seconds / 2)


def marked(events):
    return [said.detail.get("chattering", False) for said in events if said.state == "raised"]


def test_the_third_raise_within_a_minute_is_marked_and_told_once():
    clock, events = FakeClock(), EventList()
    alarms = Alarms(events, clock)
    with capture_logs() as logs:
        come_and_go(alarms, clock, 5, 20)
    assert marked(events) == [False, False, True, True, True]
    assert [line["alarm"] for line in logs if "chatters" in line["event"]] == ["too hot/oven-1"]
    assert [alarm["chattering"] for alarm in rendered(alarms.listed())] == [True]


def test_one_that_is_raised_now_and_then_is_not_marked():
    clock, events = FakeClock(), EventList()
    alarms = Alarms(events, clock)
    come_and_go(alarms, clock, 10, 40)
    assert not any(marked(events))
    assert [alarm["chattering"] for alarm in rendered(alarms.listed())] == [False]


def test_after_ten_quiet_minutes_it_is_marked_no_more_and_forgotten():
    clock, events = FakeClock(), EventList()
    alarms = Alarms(events, clock)
    come_and_go(alarms, clock, 3, 10)
    clock.advance(601)
    alarms._chatter.forget_quiet()
    come_and_go(alarms, clock, 1, 10)
    assert marked(events) == [False, False, True, False]
    clock.advance(700)
    alarms._chatter.forget_quiet()
    assert not alarms._chatter._raised
