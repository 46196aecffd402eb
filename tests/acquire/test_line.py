"""A line against drivers that do what plants do."""

import asyncio

import pytest

from gateway.config.base import TagConfig
from gateway.config.model import DeviceSpec
from gateway.core.errors import LinkError
from gateway.core.quality import STALE
from gateway.plugin.driver import Found
from tests.acquire.plant import FakeDriver, Rig, spec


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
