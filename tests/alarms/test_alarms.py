"""An alarm is raised, seen and over, in the states of ISA-18.2; a restart finds it as it was."""

import asyncio
import json
import threading
from dataclasses import asdict

import pytest

from gateway.alarms import alarm_file, announcements, chatter
from gateway.alarms.alarm import Alarm, Key, Origin, Said
from gateway.alarms.alarms import Alarms
from gateway.core.clock import FakeClock
from gateway.core.errors import GatewayError
from gateway.core.event import Event
from gateway.status import rendered
from gateway.testing.events import EventList

KEY = Key("alarm", "too hot", "oven-1")
SEEN = Key("anomaly", "nozzle", "coater-1")
CLOCK = FakeClock()


def event(state="raised", event_id="a" * 32, severity="warning"):
    return Event(event_id, "alarm", state, "oven-1", CLOCK.wall_ns(), f"it is {state}", severity, {"alarm": "too hot"})


class Book:
    """Alarms without a file, and the events they said."""

    def __init__(self, path=None):
        self.events = []
        self.heard = asyncio.Event()
        self.clock = FakeClock()
        self.alarms = Alarms(self, self.clock, path)
        self.alarms.retain({KEY, SEEN})

    def append_event(self, event):
        self.events.append(event)
        self.heard.set()

    def told(self):
        return [(event.state, event.id[0]) for event in self.events]

    def states(self):
        return [alarm["state"] for alarm in rendered(self.alarms.listed())]

    def raise_(self, latch=False, **changes):
        self.alarms.raised(KEY, event(**changes), latch)
        return self.alarms.get(KEY)

    def clear(self, event_id="a" * 32):
        self.alarms.cleared(KEY, event("cleared", event_id))


def test_seen_and_then_over_leaves_nothing():
    book = Book()
    alarm = book.raise_()
    assert book.states() == ["raised"]
    book.alarms.acknowledge(alarm, "ann", "fan was off")
    assert book.states() == ["acknowledged"]
    book.clear()
    assert book.states() == []
    assert book.told() == [("raised", "a"), ("acknowledged", "a"), ("cleared", "a")]
    assert book.events[1].detail == {"alarm": "too hot", "by": "ann", "comment": "fan was off"}


def test_over_before_anybody_has_seen_it_waits_for_that():
    book = Book()
    alarm = book.raise_()
    book.clear()
    assert book.states() == ["cleared"]
    book.alarms.acknowledge(alarm, "ann", "")
    assert book.states() == []
    with pytest.raises(GatewayError, match="nothing to acknowledge"):
        book.alarms.acknowledge(alarm, "bob", "")


def test_what_is_only_advisory_waits_for_nobody():
    book = Book()
    alarm = book.raise_(severity="advisory")
    with pytest.raises(GatewayError, match="nothing to acknowledge"):
        book.alarms.acknowledge(alarm, "ann", "")
    book.clear()
    assert book.states() == []


def test_a_new_occurrence_has_an_id_of_its_own_and_is_counted_until_it_is_seen():
    book = Book()
    book.raise_()
    book.clear()
    alarm = book.raise_(event_id="b" * 32)
    assert (alarm.state, alarm.occurrences) == ("raised", 2)
    book.alarms.acknowledge(alarm, "ann", "")
    book.clear("b" * 32)
    assert book.states() == []
    assert book.told() == [("raised", "a"), ("cleared", "a"), ("raised", "b"), ("acknowledged", "b"), ("cleared", "b")]


def test_one_that_latches_stays_until_it_is_seen_and_goes_on_under_its_id():
    book = Book()
    alarm = book.raise_(latch=True)
    book.clear()
    assert book.states() == ["latched"]
    book.raise_(latch=True, event_id="b" * 32)
    assert (alarm.state, alarm.event[0]) == ("raised", "a")
    book.clear()
    book.alarms.acknowledge(alarm, "ann", "")
    assert book.states() == []
    assert book.told() == [("raised", "a"), ("acknowledged", "a"), ("cleared", "a")]


def test_one_that_latches_and_was_seen_clears_with_its_condition():
    book = Book()
    book.alarms.acknowledge(book.raise_(latch=True), "ann", "")
    book.clear()
    assert book.states() == []


def test_a_shelved_alarm_is_unheard_but_kept_and_is_heard_again_after_its_time():
    book = Book()
    book.alarms.shelve(book.alarms.find("too hot/oven-1"), "ann", 3600, "sensor is being changed")
    book.raise_()
    assert [(event.state, event.severity) for event in book.events] == [("shelved", "warning"), ("raised", "info")]
    assert book.events[1].detail["shelved"] is True
    (listed,) = rendered(book.alarms.listed())
    assert (listed["state"], listed["shelved"]["reason"]) == ("raised", "sensor is being changed")
    book.clock.advance(3599)
    book.alarms._end_shelving()
    assert len(book.events) == 2
    book.clock.advance(2)
    book.alarms._end_shelving()
    assert [(event.state, event.severity) for event in book.events[2:]] == [
        ("unshelved", "warning"),
        ("raised", "warning"),
    ]
    assert book.events[-1].id == "a" * 32


@pytest.mark.parametrize("seconds", [86_400 * 365, 0])
def test_shelving_needs_an_end(seconds):
    book = Book()
    with pytest.raises(GatewayError, match="at most"):
        book.alarms.shelve(book.raise_(), "ann", seconds, "no")


def test_what_is_no_longer_watched_ends_and_is_still_to_be_seen():
    book = Book()
    alarm = book.raise_()
    book.alarms.retain(set())
    assert book.told() == [("raised", "a"), ("abandoned", "a")]
    assert 'no longer watched by alarm "too hot"' in book.events[-1].message
    assert book.states() == ["cleared"]
    book.alarms.acknowledge(alarm, "ann", "")
    assert book.states() == []


def test_an_alarm_is_found_by_its_name_and_by_how_its_id_begins():
    book = Book()
    alarm = book.raise_(event_id="abcd" + "0" * 28)
    other = Key("alarm", "too hot", "oven-2")
    book.alarms.raised(other, event(event_id="abce" + "0" * 28))
    assert book.alarms.find("too hot/oven-1") is alarm
    assert book.alarms.find("ABCD") is alarm
    with pytest.raises(GatewayError, match=r'no alarm "abc", did you mean|no alarm "abc"; known'):
        book.alarms.find("abc")
    book.alarms.raised(Key("alarm", "x", "oven-2"), event(event_id="abce1" + "0" * 27))
    with pytest.raises(GatewayError, match="several alarms"):
        book.alarms.find("abce")


async def until(book, condition):
    async with asyncio.timeout(20):
        while not condition():
            book.heard.clear()
            await book.heard.wait()


async def stopped(task):
    task.cancel()
    await asyncio.wait([task])


async def test_a_restart_finds_what_was_raised_seen_and_shelved_and_says_what_is_raised_under_its_id(tmp_path):
    path = tmp_path / "alarms.json"
    before = Book(path)
    running = asyncio.create_task(before.alarms.run())
    before.raise_()
    before.alarms.raised(SEEN, event(event_id="b" * 32), True)
    before.alarms.acknowledge(before.alarms.get(SEEN), "ann", "known")
    before.alarms.shelve(before.alarms.get(SEEN), "bob", 60, "again")
    await until(before, lambda: len(before.events) == 4)
    await stopped(running)

    after = Book(path)
    assert rendered(after.alarms.listed()) == rendered(before.alarms.listed())
    assert list(after.alarms.holding("alarm", "too hot")) == ["oven-1"]
    running = asyncio.create_task(after.alarms.run())
    await until(after, lambda: after.events)
    await stopped(running)
    assert after.told() == [("raised", "a")]
    assert after.events[0].detail["restated"] is True


async def test_what_changes_is_on_disk_before_it_is_said(tmp_path):
    path = tmp_path / "alarms.json"
    book = Book(path)
    on_disk = []
    hear = book.append_event
    book.append_event = lambda event: (on_disk.append(json.loads(path.read_text())["alarms"]), hear(event))
    running = asyncio.create_task(book.alarms.run())
    book.raise_()
    await until(book, lambda: book.events)
    await stopped(running)
    assert [alarm["event"] for alarm in on_disk[0]] == ["a" * 32]


async def test_a_disk_that_hangs_holds_up_no_event(tmp_path, monkeypatch):
    release = threading.Event()
    monkeypatch.setattr(announcements, "PATIENCE", 0.01)
    monkeypatch.setattr(alarm_file, "write_whole", lambda *_: release.wait(20))
    book = Book(tmp_path / "alarms.json")
    running = asyncio.create_task(book.alarms.run())
    book.raise_()
    await until(book, lambda: book.events)
    book.clear()
    await until(book, lambda: len(book.events) == 2)
    release.set()
    await stopped(running)


async def test_what_is_raised_in_the_last_moment_is_kept_and_said(tmp_path):
    path = tmp_path / "alarms.json"
    book = Book(path)
    running = asyncio.create_task(book.alarms.run())
    await asyncio.sleep(0)
    book.raise_()
    await stopped(running)
    assert book.told() == [("raised", "a")]
    assert Book(path).states() == ["raised"]


@pytest.mark.parametrize("content", ["", "{", "[]", '{"format": 99}', '{"format": 1, "alarms": [{"key": 3}]}'])
def test_a_damaged_file_is_set_aside_and_nothing_is_known(tmp_path, content):
    path = tmp_path / "alarms.json"
    path.write_text(content)
    assert Book(path).states() == []
    assert (tmp_path / "alarms.json.damaged").read_text() == content


def test_a_model_s_anomaly_and_its_drift_have_names_of_their_own():
    book = Book()
    drift = Key("drift", "nozzle", "coater-1")
    book.alarms.retain({SEEN, drift})
    assert (SEEN.name, drift.name) == ("nozzle/coater-1", "nozzle/coater-1/drift")
    book.alarms.raised(SEEN, event())
    assert book.alarms.find("nozzle/coater-1").key == SEEN
    assert book.alarms.find("nozzle/coater-1/drift").key == drift
    book.alarms.shelve(book.alarms.find("nozzle/coater-1"), "ann", 600, "pump test")
    assert [(entry["name"], entry["state"]) for entry in rendered(book.alarms.listed())] == [
        ("nozzle/coater-1", "raised")
    ]


def test_a_name_that_a_model_and_a_limit_share_is_asked_back_and_an_id_decides():
    book = Book()
    limit = Key("alarm", "nozzle", "coater-1")
    book.alarms.retain({SEEN, limit})
    book.alarms.raised(SEEN, event())
    with pytest.raises(GatewayError, match=r"means several alarms: a{32}, alarm nozzle/coater-1; write the id of one"):
        book.alarms.find("nozzle/coater-1")
    assert book.alarms.find("aaaa").key == SEEN


def test_where_nothing_is_watched_that_is_said():
    book = Book()
    book.alarms.retain(set())
    with pytest.raises(GatewayError, match="nothing is watched: there is no"):
        book.alarms.find("oven")


YEAR = 365 * 86_400.0


def shelved(tmp_path, clock, boot=7, monkeypatch=None):
    """Alarms as after a start in this boot, and what they said."""
    said = EventList()
    if monkeypatch is not None:
        monkeypatch.setattr("gateway.alarms.alarms.boot_number", lambda: boot)
    return Alarms(said, clock, tmp_path / "alarms.json"), said


def hot(clock):
    return Event("hot-1", "alarm", "raised", "press-1", clock.wall_ns(), "hot", "alarm")


@pytest.mark.parametrize("step", [-YEAR, YEAR, -60.0, 60.0])
def test_shelving_lasts_as_long_as_was_said_whatever_the_wall_clock_is_set_to(tmp_path, step):
    clock = FakeClock()
    alarms, _ = shelved(tmp_path, clock)
    alarms.raised(KEY, hot(clock))
    alarms.shelve(alarms.get(KEY), "anna", 10.0, "maintenance")
    clock.step(step)
    (listed,) = rendered(alarms.listed())
    assert listed["shelved"]["until"] == (clock.wall_ns() + 10_000_000_000) // 1_000_000
    clock.advance(9)
    alarms._end_shelving()
    assert alarms.get(KEY).shelved
    clock.advance(1)
    alarms._end_shelving()
    assert not alarms.get(KEY).shelved


@pytest.mark.parametrize(
    ("wall", "boot", "left"),
    [
        (300.0, 8, 300),  # rebooted, and the clock tells that 300 of 600 s are over
        (YEAR, 8, 0),  # the clock is a year ahead, or the machine was off for so long: better heard too early
        (-YEAR, 8, 600),  # the clock begins in the past: never longer than what was left
        (-YEAR, 7, 590),  # the same boot: only the boot clock counts
        (YEAR, 7, 590),
    ],
)
def test_shelving_over_a_restart_never_lasts_longer_than_was_left(tmp_path, monkeypatch, wall, boot, left):
    clock = FakeClock()
    alarms, _ = shelved(tmp_path, clock, 7, monkeypatch)
    alarms.raised(KEY, hot(clock))
    alarms.shelve(alarms.get(KEY), "anna", 600.0, "maintenance")
    alarms._announcements.save_now()
    clock = FakeClock(clock.wall + int(wall * 1e9), clock.boot + 10_000_000_000 if boot == 7 else 5_000_000_000)
    alarms, _ = shelved(tmp_path, clock, boot, monkeypatch)
    (listed,) = rendered(alarms.listed())
    assert listed["shelved"]["until"] - clock.wall_ns() // 1_000_000 == left * 1000
    clock.advance(left)
    alarms._end_shelving()
    assert alarms.get(KEY).shelved is None


def test_many_reboots_with_a_clock_in_the_past_do_not_make_a_shelving_endless(tmp_path, monkeypatch):
    clock = FakeClock()
    alarms, _ = shelved(tmp_path, clock, 0, monkeypatch)
    alarms.raised(KEY, hot(clock))
    alarms.shelve(alarms.get(KEY), "anna", 3600.0, "maintenance")
    alarms._announcements.save_now()
    for boot in range(1, 13):
        clock = FakeClock(wall=0, boot=1)
        alarms, _ = shelved(tmp_path, clock, boot, monkeypatch)
        for _ in range(60):
            clock.advance(6)
            alarms._end_shelving()
            alarms._announcements.save_now()
    assert alarms.get(KEY).shelved is None


def test_the_file_has_every_field_also_of_an_alarm_beside_one_with_half_a_character():
    book = Book()
    plain, odd = book.raise_(), Alarm(SEEN, origin=Origin("c", "e", 1, True), acknowledged=Said("ann", 1, "\udc80"))
    body = json.loads(alarm_file.content([plain, odd]))
    assert body["alarms"][0] == asdict(plain)
    assert body["alarms"][1] == {**asdict(odd), "acknowledged": {"by": "ann", "at_ns": 1, "words": "\ufffd"}}
    assert json.loads(alarm_file.content([])) == {"format": 1, "alarms": []}


def test_only_so_many_alarms_are_remembered_as_chattering(monkeypatch):
    monkeypatch.setattr(chatter, "MOST", 2)
    clock = FakeClock()
    known = chatter.Chatter(clock)
    keys = [Key("condition", f"c{number}", "plc") for number in range(3)]
    for key in (keys[0], keys[1], keys[0], keys[0], keys[2]):
        known.raised(key)
    assert (len(known._raised), keys[0] in known) == (2, True)
    known.raised(keys[1])
    assert keys[0] not in known
    clock.advance(601)
    known.forget_quiet()
    assert not known._raised
