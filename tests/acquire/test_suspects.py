"""A tag over which the connection ends costs itself alone."""

import asyncio
from collections import Counter

import numpy as np
import pytest

from gateway.acquire import line
from gateway.config.base import TagConfig
from gateway.config.model import DeviceSpec
from gateway.core.errors import GatewayError, LinkError
from gateway.core.quality import BAD_NO_COMMUNICATION, STALE
from gateway.kit import suspects
from gateway.testing import eventually
from tests.acquire.plant import Plant, Rig, spec

TAGS = tuple(f"t{n}" for n in range(9))


def hangs_up_over(plant: Plant, bad: set[str], error: Exception) -> None:
    async def on_read(tags):
        await asyncio.sleep(0)
        if bad.intersection(tag.name for tag in tags):
            raise error
        return [float(tag.name[1:]) for tag in tags]

    plant.on_read = on_read  # type: ignore[method-assign]


def good(rig: Rig) -> set[str]:
    return {name for name, live in zip(TAGS, rig.road.live["plc"], strict=True) if not live.quality}


@pytest.mark.parametrize(
    "error", [LinkError("reset by peer"), TimeoutError("no answer"), OSError("gone"), ValueError("odd length 3")]
)
async def test_the_tag_over_which_a_connection_ends_is_named_and_left_out_and_comes_back(plant, monkeypatch, error):
    monkeypatch.setattr(suspects, "TRIAL", 0.2)
    bad = {"t4"}
    hangs_up_over(plant, bad, error)
    rig = Rig(plant)
    async with await rig.run(spec(tags=TAGS)):
        await rig.road.until(lambda: good(rig) == set(TAGS) - bad)
        assert rig.road.live["plc"].quality[4] == BAD_NO_COMMUNICATION
        (source,) = rig.acquirer.sources
        assert "the connection ends whenever t4 of plc is read" in " ".join(source.line.remarks())
        known, before = len(rig.road.states), source.line.counts()["trials"]
        await eventually(lambda: source.line.counts()["trials"] >= before + 2, 25)
        assert good(rig) == set(TAGS) - bad
        assert rig.road.states[known:] == []
        bad.clear()
        await rig.road.until(lambda: good(rig) == set(TAGS))


async def test_a_device_that_is_really_lost_goes_stale_at_once(plant):
    bad = {"t4"}
    hangs_up_over(plant, bad, LinkError("reset by peer"))
    rig = Rig(plant)
    async with await rig.run(spec(tags=TAGS)):
        await rig.road.until(lambda: good(rig) == set(TAGS) - bad)
        bad |= set(TAGS)
        others = [row for row, name in enumerate(TAGS) if name != "t4"]
        await rig.road.until(lambda: bool(np.all(rig.road.live["plc"].quality[others] & STALE)))
        await rig.road.until(lambda: rig.road.states[-1][1:] == ("down", "reset by peer"))


async def test_a_stop_between_two_connections_is_told(plant, monkeypatch):
    monkeypatch.setattr(suspects, "TRIAL", 0.1)
    monkeypatch.setattr(line, "AT_ONCE", 60.0)
    hangs_up_over(plant, {"t4"}, LinkError("reset by peer"))
    rig = Rig(plant)
    one, two = (spec(name=name, tags=TAGS, bus="rs485") for name in ("plc", "other"))
    async with await rig.run(one, two):
        await rig.road.until(lambda: rig.road.live["plc"].quality[4] == BAD_NO_COMMUNICATION and plant.closes > 0)
        source = next(iter(rig.acquirer.sources))
        await eventually(lambda: source.line.counts().get("trials", 0) > 0)
    assert {rig.road.states[-1][:2], rig.road.states[-2][:2]} == {("plc", "stopped"), ("other", "stopped")}


async def test_a_tag_is_found_beside_others_that_are_read_more_often(plant):
    hangs_up_over(plant, {"t4"}, LinkError("reset by peer"))
    rig = Rig(plant)
    often = DeviceSpec(spec().config, {name: TagConfig(scan="50ms" if name < "t3" else None) for name in TAGS})
    async with await rig.run(often):
        await rig.road.until(lambda: good(rig) == set(TAGS) - {"t4"})


async def test_a_dead_device_on_a_shared_line_is_down_and_left_alone_and_none_of_its_tags_is_accused(plant):
    asked = Counter()

    async def on_read(tags):
        asked[tags.device] += 1
        await asyncio.sleep(0)
        if tags.device == "dead":
            raise TimeoutError("no answer")
        return [1.0] * len(tags)

    plant.on_read = on_read
    rig = Rig(plant)
    async with await rig.run(spec(tags=TAGS, bus="rs485"), spec(name="dead", tags=TAGS, bus="rs485")):
        await rig.road.until(lambda: asked["plc"] > 200)
        dead = next(source for source in rig.acquirer.sources if source.name == "dead")
        assert dead.health.state == "down"
        assert not dead.left_out
    assert asked["dead"] < asked["plc"] / 2
    assert plant.connects == 1


async def test_a_device_over_which_a_shared_line_is_always_lost_is_down_and_the_others_are_read(plant):
    async def on_read(tags):
        await asyncio.sleep(0)
        if tags.device == "dead":
            raise LinkError("reset by peer")
        return [float(tag.name[1:]) for tag in tags]

    plant.on_read = on_read
    rig = Rig(plant)
    async with await rig.run(spec(tags=TAGS, bus="rs485"), spec(name="dead", tags=TAGS[:3], bus="rs485")):
        dead = next(source for source in rig.acquirer.sources if source.name == "dead")
        await rig.road.until(lambda: len(dead.left_out) == 3 and good(rig) == set(TAGS))
        connects = plant.connects
        await rig.road.until(lambda: dead.health.state == "down")
        polls = next(source for source in rig.acquirer.sources if source.name == "plc").polls
        await eventually(lambda: next(iter(rig.acquirer.sources)).polls > polls + 100)
        assert plant.connects == connects
        assert good(rig) == set(TAGS)


async def test_what_a_person_asks_for_while_a_line_is_dialled_for_a_trial_is_answered_by_the_next_connection(
    plant, monkeypatch
):
    monkeypatch.setattr(suspects, "TRIAL", 0.1)
    hangs_up_over(plant, {"t4"}, LinkError("reset by peer"))
    rig = Rig(plant)
    async with await rig.run(spec(tags=TAGS)):
        await rig.road.until(lambda: good(rig) == set(TAGS) - {"t4"})
        source = next(iter(rig.acquirer.sources))
        before, answers = source.line.counts()["trials"], []
        while source.line.counts()["trials"] < before + 3:
            try:
                answers.append((await rig.acquirer.read("plc", ["t1"])).value.tolist())
            except GatewayError as error:
                assert "is not connected" in str(error)  # it is dialled just now
                await asyncio.sleep(0)
    assert answers
    assert all(each == [1.0] for each in answers)


async def test_a_device_that_is_barred_while_its_line_tries_what_it_left_out_is_dialled_no_more(plant, monkeypatch):
    monkeypatch.setattr(suspects, "TRIAL", 0.1)
    hangs_up_over(plant, {"t4"}, LinkError("reset by peer"))
    rig = Rig(plant)
    why: list[str] = []
    monkeypatch.setattr(type(rig.acquirer._drivers), "barred_device", lambda *_: "".join(why))
    async with await rig.run(spec(tags=TAGS)):
        await rig.road.until(lambda: good(rig) == set(TAGS) - {"t4"})
        why.append("it has blocked the gateway")
        await rig.road.until(lambda: rig.road.states[-1] == ("plc", "down", "it has blocked the gateway"))
        assert not good(rig)
