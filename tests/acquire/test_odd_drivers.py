"""A line against drivers that hand up what they must not, from where they must not, or do not let go."""

import asyncio
import threading

import numpy as np
import pytest
from structlog.testing import capture_logs

from gateway.acquire.dials import AT_ONCE, Dials
from gateway.acquire.line import BACK_SOON, Line
from gateway.core.device_event import DeviceEvent
from gateway.core.errors import GatewayError
from gateway.core.quality import UNCERTAIN
from gateway.core.readings import Readings
from gateway.supervise import deadlines, foreign
from gateway.testing import eventually
from tests.acquire.plant import FakeDriver, Rig, Subscribing, spec


@pytest.fixture
def impatient(monkeypatch):
    """What does not end is given up at once."""
    monkeypatch.setattr(foreign, "PATIENCE", 0.01)
    monkeypatch.setattr(deadlines, "DEAF", 0.01)


class Deaf:
    """Waits, and goes on waiting though it is cancelled, until it is let go."""

    def __init__(self):
        self.let_go = asyncio.Event()
        self.calls = 0

    async def __call__(self, *_):
        self.calls += 1
        while not self.let_go.is_set():
            try:
                await self.let_go.wait()
            except asyncio.CancelledError:
                continue
        return [1.0, 1.0]


@pytest.mark.parametrize("where", ["connect", "read", "stream"])
async def test_a_call_that_does_not_let_go_holds_up_neither_its_line_nor_its_retirement(plant, impatient, where):
    deaf = Deaf()
    rig = Rig(plant, Subscribing if where == "stream" else FakeDriver)

    async def on_stream(driver):
        await deaf()
        yield None

    plant.on_stream = on_stream
    setattr(plant, f"on_{where}", on_stream if where == "stream" else deaf)
    options = {"max_silence": "200ms"} if where == "stream" else {}
    with capture_logs() as logs:
        async with await rig.run(spec(timeout="200ms", **options)):
            await rig.road.until(lambda: deaf.calls >= 3)
            async with asyncio.timeout(25):
                await rig.acquirer.apply([])
    assert [entry for entry in logs if "left behind" in entry["event"]]
    deaf.let_go.set()
    await asyncio.sleep(0.05)
    assert not [readings for readings in rig.road.kept if not readings.quality.any()], (
        "what comes too late is not believed"
    )


async def test_a_person_who_asks_is_answered_though_the_driver_does_not_let_go(plant, impatient):
    deaf = Deaf()

    class Stubborn(FakeDriver):
        async def write(self, tag, value):
            await deaf()

    rig = Rig(plant, Stubborn)
    async with await rig.run(spec(timeout="200ms")):
        await rig.road.until(lambda: bool(rig.road.kept))
        (source,) = rig.acquirer.sources
        with pytest.raises(GatewayError, match=r"was lost|no answer"):
            async with asyncio.timeout(25):
                await rig.acquirer.write(source.device.tags[0], 1)
        deaf.let_go.set()


async def test_events_and_signs_of_life_may_come_from_a_thread(plant):
    threads = []

    class Threaded(FakeDriver):
        async def connect(self):
            await super().connect()
            thread = threading.Thread(
                target=lambda: (self.alive(), self.tell(DeviceEvent("plc", "e1", 5, "door open")))
            )
            thread.start()
            threads.append(thread)

    rig = Rig(plant, Threaded)
    told_in = []
    told = rig.road.told
    rig.road.told = lambda what: (told_in.append(threading.get_ident()), told(what))
    async with await rig.run(spec()):
        await rig.road.until(lambda: bool(rig.road.said))
    assert told_in == [threading.get_ident()]
    threads[0].join()


async def test_an_event_that_cannot_be_understood_is_left_out_and_counted_and_the_others_come(plant):
    class Odd(FakeDriver):
        async def connect(self):
            await super().connect()
            self.tell(DeviceEvent("nobody", "e0", 5, "?"))
            self.tell("door open")
            self.tell(DeviceEvent("plc", "e1", 5, "Kessel \udcb0C"))

    rig = Rig(plant, Odd)
    async with await rig.run(spec()):
        await rig.road.until(lambda: bool(rig.road.kept))
        (source,) = rig.acquirer.sources
        assert source.line.counts() == {"events not understood": 2}
    assert [told.message for told in rig.road.said] == ["Kessel \ufffdC"]
    assert plant.connects == 1


async def test_values_that_a_polled_driver_brings_between_two_polls_are_taken_and_odd_ones_left_out(plant):
    drivers = []

    class Bringing(FakeDriver):
        async def connect(self):
            await super().connect()
            drivers.append(self)

    rig = Rig(plant, Bringing)
    async with await rig.run(spec(scan="1h")):
        await rig.road.until(lambda: bool(rig.road.kept))
        (driver,) = drivers
        (device,) = driver.devices
        one = Readings(device, np.array([5]), device.tags.ids[:1], np.array([42.0]), np.zeros(1, np.uint32))
        driver.host.bring("42")
        driver.host.bring(one)
        await asyncio.to_thread(driver.host.bring, one)
        await rig.road.until(lambda: len(rig.road.kept) >= 3)
        (source,) = rig.acquirer.sources
        assert source.line.counts() == {"readings not understood": 1}
    assert [each.value.tolist() for each in rig.road.kept[1:3]] == [[42.0], [42.0]]
    driver.host.bring(one)
    assert rig.road.kept[-1].value.tolist() != [42.0], "what comes after the end is not heard"


async def test_what_a_driver_of_an_earlier_connection_says_is_not_heard(plant):
    drivers = []

    class Late(FakeDriver):
        async def connect(self):
            await super().connect()
            drivers.append(self)

    rig = Rig(plant, Late)

    async def on_read(tags):
        if plant.connects == 1:
            raise OSError("cut")
        return [1.0] * len(tags)

    plant.on_read = on_read
    async with await rig.run(spec()):
        await rig.road.until(lambda: bool(rig.road.kept))
        drivers[0].tell(DeviceEvent("plc", "old", 5, "from the grave"))
        drivers[1].tell(DeviceEvent("plc", "new", 5, "of now"))
    assert [told.id for told in rig.road.said] == ["new"]


@pytest.mark.parametrize(
    ("values", "reason"),
    [
        (None, "read returned a NoneType"),
        ([1.0], "read returned 1 values for 2 tags"),
        ([object(), 1.0], "read returned a object, which is no value"),
        (np.ones((2, 2)), "2 dimensions"),
    ],
)
async def test_values_that_are_none_are_a_bug_of_the_driver_and_its_tags_are_never_good(plant, values, reason):
    rig = Rig(plant)

    async def on_read(tags):
        return values

    plant.on_read = on_read
    async with await rig.run(spec()):
        await rig.road.until(lambda: any(reason in why for _, _, why in rig.road.states))
    assert not rig.road.kept
    assert ("plc", "up", "") not in rig.road.states


async def test_a_block_of_other_tags_is_a_bug_of_the_driver(plant):
    rig = Rig(plant, Subscribing)

    async def on_stream(driver):
        (device,) = driver.devices
        yield Readings(device, np.array([5, 5]), np.array([77, 78], np.uint32), np.ones(2), np.zeros(2, np.uint32))

    plant.on_stream = on_stream
    async with await rig.run(spec()):
        await rig.road.until(lambda: any("has tags that plc has not" in why for _, _, why in rig.road.states))
    assert not rig.road.kept


async def test_a_subscription_that_never_waits_lets_others_work(plant):
    rig = Rig(plant, Subscribing)

    async def on_stream(driver):
        (device,) = driver.devices
        while True:
            yield Readings(device, np.array([5, 5]), device.tags.ids, np.ones(2), np.zeros(2, np.uint32))

    plant.on_stream = on_stream
    async with asyncio.timeout(60), await rig.run(spec()):
        await rig.road.until(lambda: bool(rig.road.kept))


async def test_a_text_in_which_something_was_replaced_is_uncertain(plant):
    rig = Rig(plant)

    async def on_read(tags):
        return ["Kessel \udcb0C", "fine"]

    plant.on_read = on_read
    async with await rig.run(spec()):
        await rig.road.until(lambda: bool(rig.road.kept))
    assert rig.road.kept[0].exact == {0: "Kessel \ufffdC", 1: "fine"}
    assert rig.road.kept[0].quality.tolist() == [UNCERTAIN, 0]


@pytest.mark.parametrize("timeout", [0.5, 3.0, 8.0])
async def test_a_line_dials_again_soon_enough_to_deliver_within_15_s_of_a_repair(plant, timeout, monkeypatch):
    monkeypatch.undo()
    limits = []

    async def keep_running(session, health, backoff):
        backoff.jitter = lambda: 1.0
        limits.append(max(backoff.pause(0) for _ in range(20)))

    monkeypatch.setattr("gateway.acquire.line.keep_running", keep_running)
    rig = Rig(plant)
    await rig.acquirer.apply([spec(timeout=f"{timeout * 1000:.0f}ms")])
    line: Line = next(iter(rig.acquirer._lines.values()))
    await line.run()
    assert limits[0] + timeout <= BACK_SOON < 15


async def test_lines_that_dial_for_long_give_their_place_to_others(monkeypatch):
    monkeypatch.setattr("gateway.acquire.dials.HOLD", 0.001)
    dials, begun = Dials(), []

    async def dial():
        async with dials.place():
            begun.append(True)
            await asyncio.Event().wait()

    tasks = [asyncio.create_task(dial()) for _ in range(3 * AT_ONCE)]
    async with asyncio.timeout(25):
        while len(begun) < len(tasks):
            await asyncio.sleep(0.001)
    for task in tasks:
        task.cancel()
    await asyncio.wait(tasks)
    async with asyncio.timeout(25):
        for _ in range(AT_ONCE):
            await dials._places.acquire()
    assert dials._places.locked(), "each place was given back once"


async def test_a_call_of_an_earlier_connection_that_is_given_up_late_does_not_end_the_one_that_follows(
    plant, impatient
):
    deaf = Deaf()

    async def on_read(tags):
        return await deaf() if plant.connects == 1 else [1.0, 1.0]

    plant.on_read = on_read
    rig = Rig(plant)
    try:
        async with await rig.run(spec()):
            (source,) = rig.acquirer.sources
            until = rig.acquirer._deadlines._until
            await eventually(lambda: deaf.calls > 0)
            ((task, (_, left)),) = until.items()
            until[task] = (0.0, left)  # its time is over
            await rig.road.until(lambda: source.polls > 2)
            left.deaf()  # as a sweep does of one that was cancelled later than the first
            polls = source.polls
            await eventually(lambda: source.polls > polls + 5)
            assert plant.connects == 2
    finally:
        deaf.let_go.set()
