"""A line against drivers that do what plants do."""

import asyncio
from collections.abc import Callable
from contextlib import nullcontext
from pathlib import Path

import numpy as np
import pytest

from gateway.acquire.acquirer import Acquirer
from gateway.config.base import DeviceConfig, TagConfig
from gateway.config.model import DeviceSpec
from gateway.core.clock import SystemClock
from gateway.core.device_event import DeviceEvent
from gateway.core.errors import DeviceError, GatewayError, LinkError, PluginError
from gateway.core.event import Event
from gateway.core.live import LiveTable
from gateway.core.quality import STALE
from gateway.core.readings import Readings
from gateway.core.tag import Device, Tag, Tags
from gateway.plugin.driver import Driver, Found, Guess, subscribes
from gateway.supervise import Deadlines, backoff, running


class Bus(DeviceConfig):
    bus: str | None = None


class FakeDriver(Driver[Bus, TagConfig]):
    """Answers as `plant` says at the moment."""

    plant: "Plant"

    @classmethod
    def line_key(cls, config):
        return config.bus

    async def connect(self):
        self.plant.connects += 1
        await self.plant.on_connect()

    async def describe(self):
        return {
            tag: self.plant.found[tag.name]
            for device in self.devices
            for tag in device.tags
            if tag.name in self.plant.found
        }

    async def read(self, tags):
        return await self.plant.on_read(tags)

    async def close(self):
        self.plant.closes += 1


class Subscribing(FakeDriver):
    async def stream(self):
        async for readings in self.plant.on_stream(self):
            yield readings


class Plant:
    def __init__(self):
        self.connects = self.closes = 0
        self.found: dict[str, Found] = {}

    async def on_connect(self):
        pass

    async def on_read(self, tags):
        return [1.0] * len(tags)


class Road:
    """Keeps what it is given."""

    def __init__(self):
        self.kept: list[Readings] = []
        self.states: list[tuple[str, str, str]] = []
        self.live = LiveTable()
        self.settled = 0
        self.events: list[Event] = []
        self.said: list[DeviceEvent] = []
        self._ids: dict = {}
        self.new = asyncio.Event()

    def bind(self, spec, found):
        tags = []
        for name in spec.tags:
            known = found[name].type if name in found else ""
            number = self._ids.setdefault((spec.config.name, name, known), len(self._ids))
            tags.append(Tag(number, spec.config.name, name, known))
        return Device(spec.config.name, spec.config.driver, Tags(spec.config.name, tags), config=spec.config)

    def define(self, device):
        return self.live.define(device)

    def seen(self, readings, boot_ns):
        self.live.update(readings, boot_ns)

    def keep(self, readings):
        self.kept.append(readings)
        self.new.set()

    def settle(self):
        self.settled += 1

    def told(self, told):
        self.said.append(told)
        self.new.set()

    def event(self, event):
        self.events.append(event)

    def device_changed(self, device, health):
        self.states.append((device.name, health.state, health.reason))
        self.new.set()

    async def until(self, condition: Callable[[], bool]):
        async with asyncio.timeout(25):
            while not condition():
                self.new.clear()
                await self.new.wait()


@pytest.fixture(autouse=True)
def quick_backoff(monkeypatch):
    monkeypatch.setattr(backoff.Backoff, "pause", lambda *_: 0.05)


@pytest.fixture
def plant():
    return Plant()


def spec(name="plc", tags=("a", "b"), **options):
    """A device that is given time enough to answer, on any machine, unless the test says otherwise."""
    options = {"name": name, "driver": "fake", "scan": "20ms", "timeout": "60s", **options}
    return DeviceSpec(Bus.model_validate(options), {tag: TagConfig() for tag in tags})


class Rig:
    def __init__(self, plant, driver=FakeDriver):
        self.road = Road()
        kind = type("Driver", (driver,), {"plant": plant})
        self.acquirer = Acquirer(self.road, lambda _: kind, SystemClock())

    async def run(self, *specs):
        await self.acquirer.apply(specs)
        return running(self.acquirer.run())


async def test_values_are_polled_again_and_again_and_stand_in_the_live_table(plant):
    rig = Rig(plant)
    async with await rig.run(spec()):
        await rig.road.until(lambda: len(rig.road.kept) >= 3)
    assert plant.connects == plant.closes == 1
    assert [live.value for live in rig.road.live["plc"]] == [1.0, 1.0]
    assert ("plc", "up", "") in rig.road.states


async def test_a_lost_link_makes_values_stale_at_once_and_is_dialled_anew_by_a_new_driver(plant):
    rig = Rig(plant)
    polls = 0

    async def on_read(tags):
        nonlocal polls
        polls += 1
        if polls == 2:
            raise LinkError("cable pulled")
        return [float(polls)] * len(tags)

    plant.on_read = on_read
    async with await rig.run(spec()):
        await rig.road.until(lambda: len(rig.road.kept) >= 3)
    first, stale, again = rig.road.kept[:3]
    assert stale.quality.tolist()[0] & STALE
    assert stale.t_ns.tolist() == first.t_ns.tolist()
    assert stale.value.tolist() == [1.0, 1.0]
    assert again.quality.tolist() == [0, 0]
    assert plant.connects == 2
    assert ("plc", "down", "cable pulled") in rig.road.states


async def test_a_read_without_answer_ends_in_a_timeout_and_a_new_connection(plant):
    rig = Rig(plant)

    async def on_read(tags):
        if plant.connects == 1:
            await asyncio.Event().wait()
        return [1.0] * len(tags)

    plant.on_read = on_read
    async with await rig.run(spec(timeout="200ms")):
        await rig.road.until(lambda: bool(rig.road.kept))
    assert ("plc", "down", "no answer within 0.2 s") in rig.road.states


async def test_a_bug_in_a_driver_is_faulted_and_hurts_nobody_else(plant):
    rig = Rig(plant)

    async def on_read(tags):
        if tags.device == "bad":
            raise KeyError("register")
        return [1.0] * len(tags)

    plant.on_read = on_read
    async with await rig.run(spec("bad"), spec("good")):
        await rig.road.until(lambda: len(rig.road.kept) >= 5)
    assert {readings.device.name for readings in rig.road.kept} == {"good"}
    assert ("bad", "faulted", "KeyError: 'register'") in rig.road.states


async def test_one_bad_device_on_a_shared_line_leaves_the_others_alone(plant, monkeypatch):
    monkeypatch.setattr(backoff.Backoff, "pause", lambda *_: 3600.0)
    rig = Rig(plant)
    asked = []

    async def on_read(tags):
        asked.append(tags.device)
        if tags.device == "dead":
            raise DeviceError("no answer from unit 2")
        return [1.0] * len(tags)

    plant.on_read = on_read
    async with await rig.run(spec("dead", bus="com1"), spec("well", bus="com1")):
        await rig.road.until(lambda: len(rig.road.kept) >= 10)
    assert plant.connects == 1
    assert ("dead", "down", "no answer from unit 2") in rig.road.states
    assert asked.count("dead") == 1 < asked.count("well")


async def test_a_silent_device_on_a_shared_line_counts_against_that_device_only(plant):
    rig = Rig(plant)

    async def on_read(tags):
        if tags.device == "dead":
            await asyncio.Event().wait()
        return [1.0] * len(tags)

    plant.on_read = on_read
    async with await rig.run(*(spec(name, bus="com1", timeout="200ms") for name in ("dead", "well"))):
        await rig.road.until(
            lambda: len(rig.road.kept) >= 10 and ("dead", "down", "no answer within 0.2 s") in rig.road.states
        )
    assert plant.connects == 1


async def test_what_the_device_tells_of_its_tags_makes_a_new_definition_with_new_ids(plant):
    rig = Rig(plant)
    plant.found = {"a": Found("int16")}
    async with await rig.run(spec()):
        await rig.road.until(lambda: bool(rig.road.kept))
    assert [tag.type for tag in rig.road.kept[0].device.tags] == ["int16", ""]
    assert rig.road.kept[0].tag.tolist() == [2, 1]


async def test_tags_with_scans_of_their_own_are_polled_apart(plant):
    rig = Rig(plant)
    sizes = set()

    async def on_read(tags):
        sizes.add(tuple(tag.name for tag in tags))
        return [1.0] * len(tags)

    plant.on_read = on_read
    base = spec(tags=("a", "b", "c"))
    slow = TagConfig.model_validate({"scan": "40ms"})
    async with await rig.run(DeviceSpec(base.config, {**base.tags, "c": slow})):
        await rig.road.until(lambda: len(rig.road.kept) >= 6)
    assert sizes == {("a", "b"), ("c",)}


async def test_a_poll_that_is_still_waiting_is_skipped_and_counted_not_queued(plant):
    rig = Rig(plant)
    under_way = 0

    async def on_read(tags):
        nonlocal under_way
        under_way += 1
        assert under_way == 1
        (source,) = rig.acquirer.sources
        skipped = source.scans[0].skipped
        while source.scans[0].skipped < skipped + 2:
            await asyncio.sleep(0.01)
        under_way -= 1
        return [1.0] * len(tags)

    plant.on_read = on_read
    async with await rig.run(spec()):
        await rig.road.until(lambda: len(rig.road.kept) >= 3)
        (source,) = rig.acquirer.sources
        assert source.scans[0].skipped >= 4


async def test_a_subscription_delivers_and_its_silence_is_torn_down(plant, monkeypatch):
    monkeypatch.setattr("gateway.acquire.line.Line._silent_after", 0.1)
    rig = Rig(plant, Subscribing)

    async def on_stream(driver):
        (device,) = driver.devices
        yield Readings(device, np.array([5, 5]), device.tags.ids, np.array([1.0, 2.0]), np.zeros(2, np.uint32))
        await asyncio.Event().wait()

    plant.on_stream = on_stream
    async with await rig.run(spec()):
        await rig.road.until(lambda: plant.connects >= 2)
    assert rig.road.kept[0].value.tolist() == [1.0, 2.0]
    assert any("nothing came for 0.1 s" in reason for _, _, reason in rig.road.states)
    assert plant.closes == plant.connects


async def test_a_sign_of_life_keeps_a_quiet_subscription_up(plant, monkeypatch):
    monkeypatch.setattr("gateway.acquire.line.Line._silent_after", 3000.0)
    loop, ahead = asyncio.get_running_loop(), 0.0
    now = loop.time
    monkeypatch.setattr(loop, "time", lambda: now() + ahead)
    rig = Rig(plant, Subscribing)

    async def on_stream(driver):
        nonlocal ahead
        (device,) = driver.devices
        for _ in range(12):
            ahead += 2900  # seconds that pass at once
            driver.alive()
            await asyncio.sleep(0.01)
        yield Readings(device, np.array([5, 5]), device.tags.ids, np.array([1.0, 2.0]), np.zeros(2, np.uint32))

    plant.on_stream = on_stream
    async with await rig.run(spec()):
        while not rig.road.kept:  # without a deadline: it would come with the first leap of the clock
            rig.road.new.clear()
            await rig.road.new.wait()
    assert plant.connects == 1


class Both(Subscribing):
    """A driver of one version ago, whose `subscribes` knows no configuration."""

    @classmethod
    def subscribes(cls):
        return False


class Silent(FakeDriver):
    can = frozenset({"write"})


def test_what_a_driver_can_do_is_what_it_implements_or_declares():
    assert FakeDriver.can == {"read"}
    assert Subscribing.can == {"read", "stream"}
    assert Silent.can == {"write"} == type("Derived", (Silent,), {}).can
    assert type("Mixed", (type("Mixin", (), {"write": lambda *_: None}), FakeDriver), {}).can == {"read", "write"}


async def test_a_subscribes_without_an_argument_still_works(plant):
    rig = Rig(plant, Both)
    async with await rig.run(spec()):
        await rig.road.until(lambda: len(rig.road.kept) >= 3)


def test_a_driver_that_cannot_read_as_it_says_is_named():
    with pytest.raises(PluginError, match='plc is polled, and its driver "fake" has no read'):
        subscribes(Silent, spec().config)


async def test_a_person_can_read_now(plant):
    rig = Rig(plant)
    async with await rig.run(spec(scan="1h")):
        await rig.road.until(lambda: bool(rig.road.kept))
        readings = await rig.acquirer.read("plc", ["b"])
        assert readings.value.tolist() == [1.0]
        with pytest.raises(GatewayError, match='no device "nobody"'):
            await rig.acquirer.read("nobody", ["b"])
    assert len(rig.road.kept) == 2, "one poll and its stale mark at the stop; the asked reading is not stored"


async def test_only_what_changed_is_dialled_anew(plant):
    rig = Rig(plant)
    same, old, new = spec("same"), spec("changed", tags=("a",)), spec("changed", tags=("a", "z"))
    async with await rig.run(same, old):
        await rig.road.until(lambda: {r.device.name for r in rig.road.kept} == {"same", "changed"})
        before = next(source for source in rig.acquirer.sources if source.name == "same")
        await rig.acquirer.apply([same, new, spec("added")])
        await rig.road.until(lambda: "added" in {r.device.name for r in rig.road.kept})
        assert before in list(rig.acquirer.sources)
        assert {source.name for source in rig.acquirer.sources} == {"same", "changed", "added"}
        await rig.acquirer.apply([same])
        assert [source.name for source in rig.acquirer.sources] == ["same"]
    assert plant.connects == 4


async def test_a_device_that_stops_answering_without_an_error_goes_stale(plant):
    rig = Rig(plant)
    polls = 0

    async def on_read(tags):
        nonlocal polls
        polls += 1
        if polls > 1:
            await asyncio.Event().wait()
        return [1.0] * len(tags)

    plant.on_read = on_read
    async with await rig.run(spec(stale_after="100ms")):
        await rig.road.until(lambda: len(rig.road.kept) == 2)
    assert rig.road.kept[1].quality[0] & STALE


async def test_the_end_of_a_slot_is_told_when_the_last_answer_is_in(plant):
    rig = Rig(plant)
    open_reads = 0

    async def on_read(tags):
        nonlocal open_reads
        open_reads += 1
        await asyncio.sleep(0.001)
        open_reads -= 1
        return [1.0] * len(tags)

    plant.on_read = on_read
    settle = rig.road.settle
    rig.road.settle = lambda: (settle(), None if open_reads == 0 else pytest.fail("a read is still under way"))[0]
    async with await rig.run(spec("one"), spec("two"), spec("three")):
        await rig.road.until(lambda: len(rig.road.kept) >= 9)
    assert rig.road.settled >= 2


@pytest.mark.parametrize("steps", range(12))
async def test_a_stop_in_the_very_moment_of_connecting_is_a_stop(plant, steps):
    rig = Rig(plant)
    async with asyncio.timeout(25):
        async with await rig.run(spec()):
            for _ in range(steps):
                await asyncio.sleep(0)
    assert plant.connects == plant.closes


async def test_values_go_stale_before_a_close_that_takes_its_time(plant, monkeypatch):
    rig = Rig(plant)
    closing = asyncio.Event()

    async def on_read(tags):
        if rig.road.kept:
            raise LinkError("cable pulled")
        return [1.0] * len(tags)

    async def close(driver, log):
        closing.set()
        assert rig.road.kept[-1].quality[0] & STALE

    plant.on_read = on_read
    monkeypatch.setattr("gateway.acquire.line.close", close)
    async with await rig.run(spec()):
        await asyncio.wait_for(closing.wait(), 25)


async def test_what_a_device_tells_is_handed_on_and_what_people_want_of_it_reaches_the_driver(plant):
    class Telling(FakeDriver):
        async def connect(self):
            await super().connect()
            self.tell(DeviceEvent("plc", "e1", 5, "door open"))

        async def acknowledge(self, device, condition, event, comment):
            plant.asked = (device.name, condition, event, comment)

        @classmethod
        def methods(cls, config):
            return {"oven": ["heat"]}

        async def call(self, device, target, method, arguments):
            if method == "hang":
                raise TimeoutError
            return [(f"{device.name} {target} {method}", arguments)]

    rig = Rig(plant, Telling)
    async with await rig.run(spec()):
        await rig.road.until(lambda: bool(rig.road.said and rig.road.kept))
        assert [told.message for told in rig.road.said] == ["door open"]
        await rig.acquirer.acknowledge("plc", "c1", "e1", "seen")
        assert plant.asked == ("plc", "c1", "e1", "seen")
        assert rig.acquirer.methods("plc") == {"oven": ["heat"]}
        assert await rig.acquirer.call("plc", "oven", "heat", [80]) == [("plc oven heat", [80])]
        with pytest.raises(GatewayError, match="no answer in time; it may have been carried out"):
            await rig.acquirer.call("plc", "oven", "hang", [])


async def test_what_one_connection_leaves_in_the_memory_the_next_one_finds(plant):
    found = []

    class Remembering(FakeDriver):
        async def connect(self):
            found.append(self.host.memory.setdefault("first", len(found)))

        async def read(self, tags):
            if len(found) < 3:
                raise LinkError("cut")
            return [1.0] * len(tags)

    rig = Rig(plant, Remembering)
    async with await rig.run(spec()):
        await rig.road.until(lambda: rig.road.kept)
    assert found == [0, 0, 0]


async def test_a_driver_of_version_0_1_is_given_the_function_to_call_at_signs_of_life(plant):
    class Old(Subscribing):
        def __init__(self, devices, alive=lambda: None):
            super().__init__(devices, alive)
            self.sign = alive

    async def on_stream(driver):
        driver.sign()
        driver.alive()
        driver.tell(DeviceEvent("plc", "e1", 5, str(driver.state_dir)))
        (device,) = driver.devices
        yield Readings(device, np.array([5, 5]), device.tags.ids, np.array([1.0, 2.0]), np.zeros(2, np.uint32))
        await asyncio.Event().wait()

    plant.on_stream = on_stream
    rig = Rig(plant, Old)
    async with await rig.run(spec()):
        await rig.road.until(lambda: rig.road.said and rig.road.kept)
    signs = []
    alone = Old([Device("plc", "old", Tags("plc", []), config=spec().config)], lambda: signs.append(1))
    alone.alive()
    alone.host.alive()
    assert signs == [1, 1]


async def test_a_driver_that_knows_no_conditions_says_so(plant):
    rig = Rig(plant)
    async with await rig.run(spec()):
        await rig.road.until(lambda: bool(rig.road.kept))
        assert rig.acquirer.methods("plc") == {}
        with pytest.raises(GatewayError, match="acknowledges nothing"):
            await rig.acquirer.acknowledge("plc", "c1", "e1", "")


async def test_a_person_can_ask_what_an_address_may_mean(plant):
    class Guessing(FakeDriver):
        async def guesses(self, device, address, count):
            return [Guess({"address": address, "type": device.name}, float(count))]

    rig = Rig(plant, Guessing)
    async with await rig.run(spec()):
        await rig.road.until(lambda: bool(rig.road.kept))
        assert await rig.acquirer.guesses("plc", "hr:0", 4) == [Guess({"address": "hr:0", "type": "plc"}, 4.0)]


async def test_a_driver_whose_devices_tell_their_types_says_so(plant):
    rig = Rig(plant)
    async with await rig.run(spec()):
        with pytest.raises(GatewayError, match="nothing to guess"):
            await rig.acquirer.guesses("plc", "hr:0", 4)


async def test_a_write_that_may_go_beside_reads_does_not_wait_for_them(plant):
    written = []

    class Interleaving(FakeDriver):
        writes_beside_reads = True

        async def write(self, tag, value):
            written.append((tag.name, value))

    rig = Rig(plant, Interleaving)
    under_way = asyncio.Event()

    async def on_read(tags):
        if plant.connects == 1 and rig.road.kept:
            under_way.set()
            await asyncio.Event().wait()
        return [1.0] * len(tags)

    plant.on_read = on_read
    async with await rig.run(spec(timeout="60s")):
        await asyncio.wait_for(under_way.wait(), 20)
        (source,) = rig.acquirer.sources
        await asyncio.wait_for(rig.acquirer.write(source.device.tags[0], 7), 20)
        assert written == [("a", 7)]


async def test_a_driver_that_takes_turns_itself_reads_all_devices_of_a_line_at_once_and_none_twice(plant):
    class TakingTurns(FakeDriver):
        takes_turns = True

    rig = Rig(plant, TakingTurns)
    under_way: list[str] = []
    let_go = asyncio.Event()

    async def on_read(tags):
        assert tags.device not in under_way or len(tags) == 1
        under_way.append(tags.device)
        try:
            if tags.device == "slow" and len(tags) > 1:
                await let_go.wait()
        finally:
            under_way.remove(tags.device)
        return [1.0] * len(tags)

    plant.on_read = on_read
    async with await rig.run(*(spec(name, bus="com1") for name in ("slow", "quick", "third"))):
        await rig.road.until(lambda: {readings.device.name for readings in rig.road.kept} == {"quick", "third"})
        await rig.road.until(lambda: len(rig.road.kept) >= 10)
        now = await asyncio.wait_for(rig.acquirer.read("slow", ["a"]), 20)
        assert now.value.tolist() == [1.0]
        assert under_way == ["slow"]
        let_go.set()
        await rig.road.until(lambda: "slow" in {readings.device.name for readings in rig.road.kept})


async def test_a_read_in_turns_may_take_the_time_of_all_scans_of_the_line(plant, monkeypatch):
    given = []
    monkeypatch.setattr(Deadlines, "within", lambda *asked: given.append(asked[1]) or nullcontext())

    class TakingTurns(FakeDriver):
        takes_turns = True

    rig = Rig(plant, TakingTurns)
    async with await rig.run(*(spec(name, bus="com1", timeout="2s") for name in ("one", "two", "three"))):
        await rig.road.until(lambda: len(rig.road.kept) >= 3)
    assert given == [6.0, 6.0, 6.0]


async def test_what_went_wrong_on_a_line_is_counted_over_its_connections(plant):
    class Counting(FakeDriver):
        @property
        def counts(self):
            return {"retries": 2}

    rig = Rig(plant, Counting)

    async def on_read(tags):
        if plant.connects < 3:
            raise LinkError("cable pulled")
        return [1.0] * len(tags)

    plant.on_read = on_read
    async with await rig.run(spec()):
        await rig.road.until(lambda: bool(rig.road.kept))
        (source,) = rig.acquirer.sources
        assert source.line.counts() == {"drops": 2, "retries": 6}


async def test_a_device_is_browsed_and_its_connection_told_by_the_driver_that_is_connected(plant):
    class Telling(FakeDriver):
        facts = {"security": "none"}
        remarks = ["not protected"]

        async def browse(self):
            yield "place 1", Found("float64", path=str(self.state_dir))

    answering = asyncio.Event()
    plant.on_connect = answering.wait
    rig = Rig(plant, Telling)
    rig.acquirer = Acquirer(rig.road, rig.acquirer._driver_type, SystemClock(), Path("kept"))
    async with await rig.run(spec()):
        (source,) = rig.acquirer.sources
        assert await rig.acquirer.browse("plc") is None
        assert (source.line.facts(), source.line.remarks()) == ({}, [])
        answering.set()
        await rig.road.until(lambda: bool(rig.road.kept))
        assert await rig.acquirer.browse("plc") == [("place 1", Found("float64", path="kept"))]
        assert (source.line.facts(), source.line.remarks()) == ({"security": "none"}, ["not protected"])
    assert plant.connects == 1


async def test_a_driver_that_cannot_browse_is_named(plant):
    rig = Rig(plant)
    async with await rig.run(spec()):
        await rig.road.until(lambda: bool(rig.road.kept))
        with pytest.raises(GatewayError, match="its driver cannot browse"):
            await rig.acquirer.browse("plc")


async def test_others_have_their_turn_while_devices_tell_of_their_tags_and_nothing_is_defined_of_one_that_is_replaced(
    plant,
):
    plant.found = {"a": Found("uint16")}
    rig = Rig(plant)
    binding, replaced, defined = rig.road.bind, [], []

    def bind(spec, found):
        if found:
            replaced.append(asyncio.create_task(rig.acquirer.apply([])))
            rig.road.new.set()
        return binding(spec, found)

    def define(device, real=rig.road.define):
        defined.append([tag.type for tag in device.tags])
        return real(device)

    rig.road.bind, rig.road.define = bind, define
    async with await rig.run(spec()):
        await rig.road.until(lambda: replaced)
        await replaced[0]
    assert defined == [["", ""]]
