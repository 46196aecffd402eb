"""A write reaches the device only where the configuration allows it, and never before the audit trail has it."""

import asyncio
from pathlib import Path
from typing import Any

import pytest

from gateway.app import look_up
from gateway.config.load import load
from gateway.core.errors import ConfigError
from gateway.plugin import Driver
from gateway.trust import audit

from .plant import Site, device, sink

TAGS = """[device.tags]
temp = { unit = '°C', write = true, min = 10, max = 80, max_rate = "3/h" }
half = { write = true, min = -50, max = 50, max_rate = "100/s", scale = 0.5, offset = 1 }
speed = {}
"""


@pytest.fixture
def plant(site: Site) -> Site:
    site.gateway_line = "writes = true"
    site.write(sink(), device("oven", tags=TAGS))
    return site


async def write(site: Site, tag: str = "temp", value: Any = 42.5) -> Any:
    return await site.ask("write", device="oven", tag=tag, value=value, reason="batch 7")


async def refusal(site: Site, **arguments: Any) -> str:
    with pytest.raises(AssertionError) as refused:
        await write(site, **arguments)
    return str(refused.value)


async def test_a_write_is_confirmed_by_reading_back_and_told_to_audit_trail_and_far_side(plant: Site) -> None:
    async with plant.running():
        await plant.heard("north/oven")
        answer = await write(plant)
        assert (answer["old"], answer["new"], answer["read"], answer["result"]) == (1.0, 42.5, 42.5, "confirmed")
        event = await plant.heard("north/oven/_event", lambda body: body["kind"] == "write")
    told = plant.far.story[event][1]
    assert (told["tag"], told["old"], told["new"], told["why"], told["result"]) == (
        "temp",
        1.0,
        42.5,
        "batch 7",
        "confirmed",
    )
    asked, done = (line for line in plant.audit() if line["action"].startswith("write"))
    assert (asked["action"], asked["target"], asked["old"], asked["new"]) == ("write", "oven/temp", 1.0, 42.5)
    assert (done["action"], done["result"], done["who"]) == ("write.result", "confirmed", asked["who"])
    assert plant.bench.written == [("temp", 42.5)]


async def test_a_scaled_tag_is_written_in_the_devices_own_unit(plant: Site) -> None:
    async with plant.running():
        await plant.heard("north/oven")
        assert (await write(plant, "half", 21))["result"] == "confirmed"
    assert plant.bench.written == [("half", 40.0)]


async def test_a_device_that_does_not_take_the_value_is_found_out(plant: Site) -> None:
    plant.bench.sticks = False
    async with plant.running():
        await plant.heard("north/oven")
        answer = await write(plant)
    assert (answer["result"], answer["read"]) == ("differs", 1.0)


@pytest.mark.parametrize(
    ("tag", "value", "says"),
    [
        ("temp", 80.1, "80.1 is outside 10 to 80 °C"),
        ("temp", "warm", "'warm' is none"),
        ("temp", True, "True is none"),
        ("speed", 1.0, "only a tag with write = true"),
        ("sped", 1.0, "it has: temp, half, speed"),
    ],
)
async def test_what_the_configuration_does_not_allow_is_refused_with_the_reason(plant, tag, value, says) -> None:
    async with plant.running():
        await plant.heard("north/oven")
        assert says in await refusal(plant, tag=tag, value=value)
    assert not plant.bench.written
    assert not [line for line in plant.audit() if line["action"] == "write"]


async def test_no_tag_is_written_more_often_than_its_max_rate(plant: Site) -> None:
    async with plant.running():
        await plant.heard("north/oven")
        for value in (20, 21, 22):
            await write(plant, value=value)
        assert "oven/temp may be written 3 times in 3600 s: try again in" in await refusal(plant, value=23)
    assert len(plant.bench.written) == 3


async def test_without_the_gateways_own_switch_nothing_is_written(plant: Site) -> None:
    plant.gateway_line = ""
    plant.write(sink(), device("oven", tags=TAGS))
    async with plant.running():
        await plant.heard("north/oven")
        assert "[gateway] writes = true allows it" in await refusal(plant)
    assert not plant.bench.written


async def test_when_the_audit_trail_cannot_be_written_nothing_is(plant: Site, monkeypatch) -> None:
    async with plant.running():
        await plant.heard("north/oven")

        def fail(*_: object, **__: object) -> None:
            raise audit.AuditError("the disk is full")

        with monkeypatch.context() as broken:
            broken.setattr(audit.AuditTrail, "write", fail)
            assert "the disk is full" in await refusal(plant)
    assert not plant.bench.written


async def test_a_refusal_of_the_device_is_told_with_its_reason_and_audited(plant: Site) -> None:
    async with plant.running():
        await plant.heard("north/oven")
        assert "the interlock is closed" in await refusal(plant, value=13)
    assert plant.audit()[-2]["result"] == "failed: the interlock is closed"


async def test_writes_go_before_waiting_reads_and_in_their_own_order(plant: Site) -> None:
    async with plant.running() as gateway:
        await plant.heard("north/oven")
        (tag, *_) = gateway.live["oven"].device.tags
        await asyncio.gather(*(gateway.acquirer.write(tag, value) for value in (20, 21, 22)))
    assert plant.bench.written == [("temp", 20), ("temp", 21), ("temp", 22)]


@pytest.mark.parametrize(
    ("options", "says"),
    [
        ("write = true, scale = 2", "needs min and max and max_rate too"),
        ("write = true", "needs max_rate too"),
        ('write = true, max_rate = "1/s", min = 3', "min: must stand together with max"),
        ('write = true, max_rate = "often"', 'such as "6/min"'),
        ("min = 3", "only for a tag with write = true"),
    ],
)
def test_a_tag_that_could_be_written_without_limits_is_refused(site: Site, options: str, says: str) -> None:
    site.write(sink(), device("oven", tags=f"[device.tags]\ntemp = {{ {options} }}\n"))
    with pytest.raises(ConfigError, match=says):
        load(site.config, look_up)


def test_the_configuration_on_the_page_about_writes_is_accepted(tmp_path) -> None:
    page = (Path(__file__).parents[2] / "docs/writes.md").read_text()
    (tmp_path / "config.toml").write_text(page.partition("```toml\n")[2].partition("```")[0])
    tag = load(tmp_path / "config.toml", look_up).devices[0].tags["drum_speed"]
    assert (tag.write, tag.min, tag.max, tag.max_rate) == (True, 0, 14, (6, 60))


async def test_a_device_whose_driver_cannot_write_says_so(plant: Site, monkeypatch) -> None:
    async with plant.running():
        await plant.heard("north/oven")
        lab = next(cls for cls in Driver.__subclasses__() if getattr(cls, "bench", None) is plant.bench)
        monkeypatch.setattr(lab, "can", lab.can - {"write"})
        assert "its driver does not write" in await refusal(plant)
