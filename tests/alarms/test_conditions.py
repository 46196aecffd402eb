"""Conditions that devices raise become alarms: one id from raise to clear, nothing told twice, nothing forgotten."""

import asyncio
import random

import pytest

from gateway.alarms import conditions as module
from gateway.alarms import device_events
from gateway.alarms.alarms import Alarms
from gateway.alarms.conditions import Conditions
from gateway.core.clock import FakeClock
from gateway.core.device_event import Condition, DeviceEvent, Retained
from gateway.core.errors import GatewayError
from gateway.status import rendered
from gateway.testing.events import EventList

HIGH = "ns=2;s=High"


class Plant:
    """Alarms without a file, what devices say of conditions, and the events that come of it."""

    def __init__(self, path=None):
        self.events = EventList()
        self.clock = FakeClock()
        self.alarms = Alarms(self.events, self.clock, path)
        self.conditions = Conditions(self.alarms, self.events, self.clock)
        self.number = 0

    def say(self, active, acked, *, retained=None, condition=HIGH, name="Boiler.High", event=None, **more):
        """A new event, unless `event` names one of before; the server retains what is active or unacknowledged."""
        self.number += 1
        number = event or self.number
        retained = active or acked is False if retained is None else retained
        stands = Condition(condition, name, active, acked, retained)
        more = {"severity": "warning", "detail": {"device_severity": 500}, **more}
        self.conditions.told(
            DeviceEvent(
                "plc", f"{number:032x}", self.clock.wall_ns() + number, f"it is {number}", condition=stands, **more
            )
        )

    def told(self):
        return [event.state for event in self.events]

    def states(self):
        return [alarm["state"] for alarm in rendered(self.alarms.listed())]

    def ids(self):
        return {event.id for event in self.events}


def test_from_raise_to_clear_it_has_one_id_and_the_devices_own_words():
    plant = Plant()
    plant.say(True, False)
    plant.say(True, True, by="ann", detail={"device_severity": 500, "comment": "fan was off"})
    plant.say(False, True)
    assert plant.told() == ["raised", "acknowledged", "cleared"]
    assert len(plant.ids()) == 1
    assert {event.kind for event in plant.events} == {"condition"}
    raised, seen, _ = plant.events
    assert raised.detail == {"condition": "Boiler.High", "device_severity": 500}
    assert (seen.detail["by"], seen.detail["comment"]) == ("ann", "fan was off")
    assert plant.states() == []


def test_over_before_anybody_has_seen_it_waits_for_that_whatever_its_severity():
    plant = Plant()
    plant.say(True, False, severity="info")
    plant.say(False, False, severity="info")
    assert plant.states() == ["cleared"]
    plant.say(False, True)
    assert plant.states() == []
    assert plant.told() == ["raised", "cleared", "acknowledged"]


def test_one_that_nobody_has_to_acknowledge_is_over_when_it_ends():
    plant = Plant()
    plant.say(True, None, severity="alarm")
    plant.say(False, None)
    assert plant.told() == ["raised", "cleared"]
    assert plant.states() == []


def test_a_worse_limit_wants_to_be_seen_again_under_the_same_id():
    plant = Plant()
    plant.say(True, False)
    plant.say(True, True)
    plant.say(True, False, severity="alarm")
    assert plant.told() == ["raised", "acknowledged", "raised"]
    assert plant.states() == ["raised"]
    assert len(plant.ids()) == 1
    assert rendered(plant.alarms.listed())[0]["severity"] == "alarm"


def test_the_next_occurrence_has_an_id_of_its_own():
    plant = Plant()
    for active in (True, False, True):
        plant.say(active, False)
    assert plant.told() == ["raised", "cleared", "raised"]
    assert len(plant.ids()) == 2
    assert rendered(plant.alarms.listed())[0]["occurrences"] == 2


def test_what_else_a_device_says_of_it_is_told_too():
    plant = Plant()
    plant.say(True, False)
    plant.say(True, False)
    assert plant.told() == ["raised", "changed"]
    assert rendered(plant.alarms.listed())[0]["message"] == "it is 2"


def test_the_end_keeps_the_severity_of_the_raise():
    plant = Plant()
    plant.say(True, False, severity="alarm")
    plant.say(False, False, severity="info")
    assert [event.severity for event in plant.events] == ["alarm", "alarm"]
    assert rendered(plant.alarms.listed())[0]["severity"] == "alarm"


def test_what_is_said_once_more_is_no_event():
    plant = Plant()
    plant.say(True, False)
    plant.say(True, False, event=1)
    plant.say(True, False, event=1, restated=True)
    assert plant.told() == ["raised"]


def test_a_restatement_with_an_id_of_its_own_is_known_by_its_time():
    plant = Plant()
    plant.say(True, False)
    stands = Condition(HIGH, "Boiler.High", True, False, True)
    again = DeviceEvent("plc", "f" * 32, plant.clock.wall_ns() + 1, "it is 1", condition=stands, restated=True)
    plant.conditions.told(again)
    assert plant.told() == ["raised"]
    assert plant.alarms.of_device("plc")[0].origin.event == "f" * 32  # what an acknowledgement has to name


def test_what_ended_while_nobody_could_see_it_is_cleared():
    plant = Plant()
    plant.say(True, False)
    plant.say(True, False, condition="ns=2;s=Low", name="Boiler.Low")
    plant.say(False, False, condition="ns=2;s=Low", name="Boiler.Low")
    plant.say(True, False, condition="ns=2;s=Other", name="Boiler.Other")
    plant.conditions.told(Retained("plc", frozenset({"ns=2;s=Other"})))
    assert plant.told()[-2:] == ["cleared", "acknowledged"]
    assert [alarm["source"] for alarm in rendered(plant.alarms.listed())] == ["Boiler.Other"]


def test_an_active_one_that_its_server_does_not_retain_is_not_taken_for_over():
    plant = Plant()
    plant.say(True, False)
    plant.say(True, True, retained=False)  # so does node-opcua
    plant.conditions.told(Retained("plc", frozenset()))
    assert plant.states() == ["acknowledged"]


def test_the_conditions_of_other_devices_and_the_gateways_own_alarms_are_left_alone():
    plant = Plant()
    plant.say(True, False)
    plant.conditions.told(Retained("other", frozenset()))
    plant.alarms.retain(())
    assert plant.states() == ["raised"]


def test_one_first_seen_after_it_was_over_is_raised_and_cleared():
    plant = Plant()
    plant.say(False, False, restated=True)
    assert plant.told() == ["raised", "cleared"]
    assert plant.states() == ["cleared"]


def test_one_in_order_is_told_when_it_happens_and_not_when_it_is_restated():
    plant = Plant()
    plant.say(False, True)
    plant.say(False, True, restated=True, retained=True)
    assert plant.told() == ["reported"]
    assert plant.states() == []


def test_two_conditions_of_one_name_are_two_alarms():
    plant = Plant()
    plant.say(True, False)
    plant.say(True, False, condition="ns=2;s=High2")
    assert [alarm["source"] for alarm in rendered(plant.alarms.listed())] == ["Boiler.High ns=2;s=High2", "Boiler.High"]
    plant.say(False, True, condition="ns=2;s=High2")
    assert [alarm["source"] for alarm in rendered(plant.alarms.listed())] == ["Boiler.High"]


def test_a_shelved_condition_stays_shelved_when_it_comes_again():
    plant = Plant()
    plant.say(True, False)
    (alarm,) = plant.alarms.of_device("plc")
    plant.alarms.shelve(alarm, "ann", 60, "known")
    plant.say(False, True)
    plant.say(True, False)
    (listed,) = rendered(plant.alarms.listed())
    assert listed["shelved"]["by"] == "ann"
    assert plant.events[-1].severity == "info"


def test_a_restart_finds_it_as_it_was_and_goes_on_under_its_id(tmp_path):
    path = tmp_path / "alarms.json"

    async def run(plant, *stands):
        task = asyncio.create_task(plant.alarms.run())
        for each in stands:
            plant.say(*each)
        await asyncio.sleep(0)
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)

    before = Plant(path)
    asyncio.run(run(before, (True, False)))
    after = Plant(path)
    after.number = 1
    asyncio.run(run(after, (False, False)))
    assert after.told() == ["cleared"]
    assert before.ids() == after.ids()
    assert Plant(path).states() == ["cleared"]


def test_a_device_that_is_gone_leaves_no_alarms():
    plant = Plant()
    plant.say(True, False)
    plant.conditions.retain(["other"])
    assert plant.told() == ["raised", "abandoned"]
    assert plant.states() == []


def test_events_without_a_condition_and_losses_are_told_as_they_come():
    plant = Plant()
    plant.conditions.told(DeviceEvent("plc", "1", 5, "door open", detail={"source": "Door"}))
    plant.conditions.told(DeviceEvent("plc", "2", 6, "events are lost", "warning", state="lost"))
    assert [(event.kind, event.state, event.t_ns) for event in plant.events] == [
        ("device", "reported", 5),
        ("device", "lost", 6),
    ]
    assert plant.events[0].detail == {"source": "Door"}


def test_more_conditions_than_are_kept_are_told_all_the_same(monkeypatch):
    monkeypatch.setattr(module, "MOST", 2)
    plant = Plant()
    for number in range(4):
        plant.say(True, False, condition=f"i={number}", name=f"c{number}")
    assert plant.told() == ["raised", "raised", "reported", "reported"]
    plant.say(False, True, condition="i=0", name="c0")
    plant.say(True, False, condition="i=9", name="c9")
    assert plant.told()[-2:] == ["cleared", "raised"]


def test_a_device_with_too_many_conditions_is_named_once_and_again_when_it_has_few_enough(monkeypatch):
    monkeypatch.setattr(module, "MOST_OF_DEVICE", 3)
    monkeypatch.setattr(module, "ROOM_AGAIN", 2)
    plant = Plant()
    for number in range(6):
        plant.say(True, False, condition=f"i={number}", name=f"c{number}")
    assert plant.told() == ["raised"] * 3 + ["reported"] * 4
    assert [event.kind for event in plant.events[3:]] == ["device", "condition", "condition", "condition"]
    assert "3 conditions at a time" in plant.events[3].message
    plant.conditions.look("plc")
    assert len(plant.told()) == 7
    plant.say(False, None, condition="i=0", name="c0")
    plant.conditions.look("plc")
    assert plant.told()[7:] == ["cleared", "reported"]
    plant.say(True, False, condition="i=9", name="c9")
    assert plant.told()[-1] == "raised"


def test_an_alarm_that_a_person_has_ended_makes_room(monkeypatch):
    monkeypatch.setattr(module, "MOST_OF_DEVICE", 1)
    monkeypatch.setattr(module, "ROOM_AGAIN", 0)
    plant = Plant()
    plant.say(True, False)
    plant.say(False, False)
    plant.alarms.acknowledge(plant.alarms.of_device("plc")[0], "ann", "")
    plant.conditions.look("plc")
    plant.say(True, False, condition="i=1", name="other")
    assert plant.told()[-1] == "raised"


async def test_a_storm_of_events_is_told_to_its_budget_and_what_is_lost_is_counted():
    plant = Plant()
    for number in range(device_events.BURST + 50):
        plant.conditions.told(DeviceEvent("plc", str(number), number, "door open"))
    plant.conditions.told(DeviceEvent("other", "1", 6, "door open"))
    assert len(plant.events) == device_events.BURST + 1  # another device has a budget of its own
    await plant.conditions._events.catch_up()
    last = plant.events[-1]
    assert (last.kind, last.state, last.device, last.detail["lost"]) == ("device", "lost", "plc", 50)
    await plant.conditions._events.catch_up()
    assert plant.events[-1] is last
    plant.clock.advance(1)
    for number in range(100):
        plant.conditions.told(DeviceEvent("plc", str(number), number, "door open"))
    assert plant.told()[-device_events.A_SECOND - 1 :] == ["lost"] + ["reported"] * device_events.A_SECOND


@pytest.mark.parametrize("seed", range(20))
async def test_whatever_a_device_tells_beyond_its_budget_the_far_side_ends_with_how_its_conditions_stand(
    seed, monkeypatch
):
    monkeypatch.setattr(device_events, "BURST", 5)
    monkeypatch.setattr(device_events, "A_SECOND", 1)
    chance = random.Random(seed)
    plant = Plant()
    for _ in range(300):
        name = f"c{chance.randrange(6)}"
        plant.say(chance.random() < 0.5, chance.choice([True, False, None]), condition=name, name=name)
        plant.clock.advance(chance.random() / 5)
        if chance.random() < 0.05:
            await plant.conditions._events.catch_up()
    await plant.conditions._events.catch_up()
    assert sum(event.detail.get("lost", 0) for event in plant.events) > 10
    seen = {}
    for event in plant.events:
        if event.kind == "condition" and event.state != "reported":
            assert event.id in seen or event.state == "raised"
            seen[event.id] = event.state
    active = {alarm.event for alarm in plant.alarms.of_device("plc") if alarm.active}
    assert {each for each, state in seen.items() if state == "raised"} <= active
    assert active <= set(seen)
    assert all(seen[each] != "cleared" for each in active)


async def test_what_was_lost_is_told_at_a_stop_too():
    plant = Plant()
    running = asyncio.create_task(plant.conditions.run())
    await asyncio.sleep(0)
    for number in range(device_events.BURST + 5):
        plant.conditions.told(DeviceEvent("plc", str(number), number, "door open"))
    running.cancel()
    await asyncio.wait([running])
    assert (plant.events[-1].state, plant.events[-1].detail["lost"]) == ("lost", 5)


async def test_the_device_says_itself_that_it_took_an_acknowledgement():
    plant = Plant()
    plant.say(True, False)
    (alarm,) = plant.alarms.of_device("plc")
    with plant.conditions.acknowledging(alarm, "ann", "on my way"):
        waiting = asyncio.create_task(plant.conditions.acknowledged(alarm, "ann", "on my way"))
        await asyncio.sleep(0)
        assert not waiting.done()
        plant.say(True, True, by="anonymous")
        await waiting
    assert plant.told() == ["raised", "acknowledged"]
    assert plant.events[1].detail["by"] == "ann"


async def test_a_device_that_says_nothing_after_an_acknowledgement_is_taken_at_its_word(monkeypatch):
    monkeypatch.setattr(module, "PATIENCE", 0.01)
    plant = Plant()
    plant.say(True, False)
    (alarm,) = plant.alarms.of_device("plc")
    with plant.conditions.acknowledging(alarm, "ann", ""):
        await plant.conditions.acknowledged(alarm, "ann", "")
    assert plant.told() == ["raised", "acknowledged"]
    with pytest.raises(GatewayError, match="ann has acknowledged it"):
        plant.alarms.check_waits(alarm)


@pytest.mark.parametrize("seed", range(20))
def test_whatever_a_device_says_the_list_agrees_with_its_last_word(seed):
    """Each id is raised before anything else is said of it, and nothing is said of it after its end."""
    chance = random.Random(seed)
    plant = Plant()
    last = {}
    for _ in range(200):
        name = f"c{chance.randrange(3)}"
        stands = last[name] = chance.random() < 0.5, chance.choice([True, False, None])
        plant.say(*stands, condition=name, name=name, restated=chance.random() < 0.2)
        if chance.random() < 0.05:
            plant.conditions.told(
                Retained("plc", frozenset(each for each, (on, ack) in last.items() if on or ack is False))
            )
    wanted = {name for name, (active, acked) in last.items() if active or acked is False}
    assert {alarm["source"] for alarm in rendered(plant.alarms.listed())} == wanted
    for alarm in plant.alarms.of_device("plc"):
        assert (alarm.active, alarm.waits) == (last[alarm.key.source][0], last[alarm.key.source][1] is False)
    begun = {}
    for event in plant.events:
        if event.state != "reported":
            assert event.id in begun or event.state == "raised"
            begun[event.id] = event.state
