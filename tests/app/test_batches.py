"""Batches in the whole gateway: by tags, by people, over a restart; on readings, events and receipts."""

import asyncio
from functools import partial
from typing import Any

import pytest

from gateway.cli.batch.batch_page import page
from gateway.cli.batch.batch_report import gathered
from gateway.cli.frame.client import call
from gateway.core.times import EARLIEST, LATEST
from gateway.testing import eventually

from .plant import Ahead, Site, device, sink

RULE = """[[context]]
name = "oven batches"
devices = ["oven"]
sets = "batch"
tag = "temp"
values = { 1 = "B-1", 2 = "B-2" }
"""


@pytest.fixture
def plant(site: Site) -> Site:
    site.write(sink(), device("oven"), device("press"))
    return site


def batch_is(name: str | None) -> Any:
    return lambda body: body.get("context", {}).get("batch") == name and "values" in body


async def refusal(site: Site, command: str, **arguments: Any) -> str:
    with pytest.raises(AssertionError) as refused:
        await site.ask(command, **arguments)
    return str(refused.value)


async def test_a_rule_stamps_readings_and_tells_begin_and_end(plant: Site) -> None:
    plant.write(sink(), device("oven"), device("press"), RULE)
    async with plant.running():
        place = await plant.heard("north/oven", batch_is("B-1"))
        assert plant.far.story[place][1]["values"]["temp"] == 1.0
        opened = await plant.heard("north/oven/_event", lambda body: body["state"] == "opened")
        event = plant.far.story[opened][1]
        assert (event["kind"], event["value"], event["by"], event["rule"]) == ("context", "B-1", "oven batches", True)
        assert event["context"] == {"site": "north", "batch": "B-1"}
        plant.bench.value = 2.0
        await plant.heard("north/oven", batch_is("B-2"))
        closed = await plant.heard("north/oven/_event", lambda body: body["state"] == "closed")
        assert plant.far.story[closed][1]["context"]["batch"] == "B-1"
        # the very block that says another batch belongs to it
        blocks = [body for topic, body in plant.far.story if topic == "north/oven" and "values" in body]
        assert all((body["values"]["temp"] == 2.0) is (body["context"]["batch"] == "B-2") for body in blocks)
        assert not any("batch" in body.get("context", {}) for topic, body in plant.far.story if topic == "north/press")


async def test_people_start_and_end_batches_audited(plant: Site) -> None:
    async with plant.running():
        answer = await plant.ask("batch_start", batch="B-7", devices=["o*"], product="mAb", reason="order 4711")
        assert answer["open"]["oven"]["batch"]["value"] == "B-7"
        assert not answer["repeated"]
        assert (await plant.ask("batch_start", batch="B-7", devices=["oven"], product="mAb"))["repeated"]
        await plant.heard("north/oven", batch_is("B-7"))
        await plant.ask("batch_set", devices=["oven"], phase="drying")
        await plant.heard("north/oven", lambda body: body.get("context", {}).get("phase") == "drying")
        assert "end it first" in await refusal(plant, "batch_start", batch="B-8", devices=["oven"])
        assert 'no device is named "oben"' in await refusal(plant, "batch_start", batch="B-8", devices=["oben"])
        assert "B-8 is open nowhere; open are: B-7" in await refusal(plant, "batch_end", batch="B-8")
        assert "do not work for batch B-7" in await refusal(plant, "batch_end", batch="B-7", devices=["press"])
        await plant.ask("batch_end", batch="B-7")
        assert "B-7 is open nowhere: it ended at" in await refusal(plant, "batch_end", batch="B-7")
        since = len(plant.far.story)
        await plant.heard("north/oven", batch_is(None), since)
        (over,) = (await plant.ask("batches"))["ended"]
        assert (over["batch"], over["device"]) == ("B-7", "oven")
    done = [(line["action"], line.get("result")) for line in plant.audit() if line["action"].startswith("batch.")]
    assert done == [
        ("batch.start", None), ("batch.start.result", "done"), ("batch.set", None), ("batch.set.result", "done"),
        ("batch.end", None), ("batch.end.result", "done"),
    ]  # fmt: skip
    assert next(line for line in plant.audit() if line["action"] == "batch.start")["why"] == "order 4711"


async def test_an_open_batch_outlives_a_restart(plant: Site) -> None:
    async with plant.running():
        await plant.ask("batch_start", batch="B-7", devices=["oven"])
        await plant.heard("north/oven", batch_is("B-7"))
    since = len(plant.far.story)
    async with plant.running():
        place = await plant.heard("north/oven/_event", lambda body: body["state"] == "resumed", since)
        event = plant.far.story[place][1]
        assert 0 <= event["gap"]["from"] <= event["gap"]["to"]
        await plant.heard("north/oven", batch_is("B-7"), since)
        assert not [body for topic, body in plant.far.story[since:] if topic == "north/oven" and batch_is(None)(body)]


async def test_what_is_said_late_is_corrected_by_an_event_and_a_clock_of_tomorrow_is_refused(plant: Site) -> None:
    async with plant.running() as gateway:
        now = gateway.clock.wall_ns()
        said = await refusal(plant, "batch_start", batch="B-7", devices=["oven"], at_ns=now + 86_400 * 10**9)
        assert "ahead of this gateway's clock" in said
        await plant.ask("batch_start", batch="B-7", devices=["oven"], at_ns=now - 60 * 10**9, reason="the MES was away")
        place = await plant.heard("north/oven/_event", lambda body: body["state"] == "corrected")
        event = plant.far.story[place][1]
        assert (event["corrected"], event["recorded"], event["from"]) == (
            {"batch": "B-7"}, {"batch": ""}, (now - 60 * 10**9) // 10**6,
        )  # fmt: skip
        assert event["to"] > event["from"]
        said = await refusal(plant, "batch_end", batch="B-7", at_ns=now - 120 * 10**9)
        assert "would end" in said
        assert "before it began" in said
        await plant.ask("batch_end", batch="B-7", at_ns=now - 10 * 10**9)
        await plant.heard("north/oven/_event", lambda body: body.get("recorded") == {"batch": "B-7"})
        await plant.ask(
            "batch_correct", devices=["press"], from_ns=now - 100 * 10**9, to_ns=now, batch="B-6", reason="wrong label"
        )
        place = await plant.heard("north/press/_event", lambda body: body["state"] == "corrected")
        assert "recorded" not in plant.far.story[place][1]
        said = await refusal(
            plant, "batch_correct", devices=["press"], from_ns=now, to_ns=now + 86_400 * 10**9, batch="B-6", reason="no"
        )
        assert "a time that is over" in said


async def test_a_batch_has_its_receipt_complete_up_to_a_time_that_never_lies(plant: Site) -> None:
    clock = Ahead()
    async with plant.running(clock):
        await plant.ask("batch_start", batch="B-7", devices=["oven", "press"])
        await plant.heard("north/oven", batch_is("B-7"))
        plant.far.down = True
        plant.bench.lost |= {"press"}
        clock.to_the_next_hour()
        shown = await plant.ask("batch", batch="B-7")
        assert shown["open"]
        assert not shown["complete"]
        plant.far.down = False
        await plant.ask("batch_end", batch="B-7")

        async def complete() -> bool:
            return bool((await plant.ask("batch", batch="B-7"))["complete"])

        await eventually(complete, what="the batch is complete")
        shown = await plant.ask("batch", batch="B-7")
        assert {each["device"] for each in shown["times"]} == {"oven", "press"}
        for of in shown["devices"].values():
            account = of["sinks"]["central"]
            assert account["acknowledged"] == of["readings"] > 0
            assert (account["pending"], account["dropped"]) == (0, {})
        report = await asyncio.to_thread(gathered, partial(call, plant.socket), "B-7", EARLIEST, LATEST)
        assert {device: [each["tag"] for each in curves] for device, curves in report["readings"].items()} == {
            "oven": ["temp", "speed"], "press": ["temp", "speed"],
        }  # fmt: skip
        assert [each["state"] for each in report["events"] if each["device"] == "oven"] == ["opened", "closed"]
        assert "<script" not in page(report, "over", [])
        assert "no receipt of that time names a batch B-8" in await refusal(plant, "batch", batch="B-8")
