"""Rules by tags, people and restarts: what is open, who has opened it, and what is told."""

import asyncio
import contextlib
import random
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from gateway.config.base import DeviceConfig, TagConfig
from gateway.config.context_rules import ContextSection
from gateway.core.clock import FakeClock
from gateway.core.context import Context
from gateway.core.errors import GatewayError
from gateway.core.live import LiveTable
from gateway.core.quality import BAD_NO_COMMUNICATION, STALE
from gateway.core.readings import Readings
from gateway.core.tag import Device
from gateway.core.works import Works
from gateway.production import Production, Statement
from gateway.testing.devices import bind
from gateway.testing.events import EventList

TAGS = ("batch_id", "runs", "phase", "cip")


def device(name: str, first_id: int = 1) -> Device:
    return bind(DeviceConfig(name=name, driver="x"), {tag: TagConfig() for tag in TAGS}, first_id=first_id)


class Plant:
    """Two bioreactors and a filler."""

    def __init__(self, directory: Path, *rules: dict[str, Any]) -> None:
        self.directory = directory
        self.rules = [ContextSection(**rule) for rule in rules]
        self.devices = {name: device(name, 1 + 10 * n) for n, name in enumerate(["br-1", "br-2", "filler"])}
        self.clock = FakeClock()
        self.start()

    def start(self, last_ns: int | None = None) -> None:
        self.events, self.works, self.live = EventList(), Works(), LiveTable(self.devices.values())
        self.production = Production(self.works, self.events, self.clock, self.directory, last_ns)
        self.production.follow(self.rules, list(self.devices), self.live)

    def reads(self, name: str, quality: int = 0, **values: float | str) -> None:
        of = self.devices[name]
        ids = {tag.name: tag.id for tag in of.tags}
        rows = list(values.items())
        exact = {row: value for row, (_, value) in enumerate(rows) if isinstance(value, str)}
        numbers = np.array([np.nan if isinstance(value, str) else value for _, value in rows])
        n = len(rows)
        readings = Readings(
            of, np.full(n, self.clock.wall_ns()), np.array([ids[tag] for tag, _ in rows], np.uint32), numbers,
            np.full(n, quality, np.uint32), exact,
        )  # fmt: skip
        self.live.update(readings, 0)
        self.production.seen(readings, 0)

    def work(self, name: str) -> dict[str, str]:
        return self.works.of(name).said()

    async def told(self) -> list[tuple[str, str, Any]]:
        await self.production.saved()
        told = [(each.state, each.device, each.detail.get("value")) for each in self.events]
        self.events.clear()
        return told


BATCH = {"name": "batches", "devices": ["br-*"], "sets": "batch", "tag": "batch_id"}


async def test_a_tag_says_the_batch_of_its_own_device(tmp_path: Path) -> None:
    plant = Plant(tmp_path, BATCH)
    plant.reads("br-1", batch_id="B-1")
    plant.reads("br-2", batch_id="B-2")
    plant.reads("filler", batch_id="B-9")
    assert [plant.work(name) for name in plant.devices] == [{"batch": "B-1"}, {"batch": "B-2"}, {}]
    assert plant.works.of("br-1").by == (("batch", "batches"),)
    plant.reads("br-1", batch_id="B-3")
    plant.reads("br-2", batch_id="")
    assert [plant.work(name) for name in plant.devices] == [{"batch": "B-3"}, {}, {}]
    assert await plant.told() == [
        ("opened", "br-1", "B-1"), ("opened", "br-2", "B-2"), ("closed", "br-1", "B-1"), ("opened", "br-1", "B-3"),
        ("closed", "br-2", "B-2"),
    ]  # fmt: skip


async def test_one_tag_says_it_for_a_unit_as_long_as_a_bit_is_set(tmp_path: Path) -> None:
    unit = {"name": "unit", "devices": ["br-2", "filler"], "sets": "batch", "tag": "br-1/batch_id", "when": "br-1/runs"}
    plant = Plant(tmp_path, unit)
    plant.reads("br-1", batch_id="B-1", runs=0)
    assert plant.work("filler") == {}
    plant.reads("br-1", runs=1)
    assert [plant.work(name) for name in plant.devices] == [{}, {"batch": "B-1"}, {"batch": "B-1"}]
    plant.reads("br-1", batch_id="B-2", runs=0)
    assert plant.work("filler") == {}
    assert [each[0] for each in await plant.told()] == ["opened", "opened", "closed", "closed"]


async def test_codes_have_meanings_and_one_that_has_none_is_told_and_means_nothing(tmp_path: Path) -> None:
    plant = Plant(tmp_path, {
        "name": "phases", "devices": ["br-1"], "sets": "phase", "tag": "phase",
        "values": {"1": "inoculation", "2": "growth"},
    })  # fmt: skip
    for code, phase in [(1, "inoculation"), (2, "growth"), (7, ""), (8, ""), (2, "growth"), (0, "")]:
        plant.reads("br-1", phase=code)
        assert plant.work("br-1").get("phase", "") == phase
    states = [each[0] for each in await plant.told()]
    assert states == ["opened", "closed", "opened", "not_understood", "closed", "opened", "closed"]


async def test_what_is_bad_or_stale_says_nothing(tmp_path: Path) -> None:
    plant = Plant(tmp_path, BATCH)
    plant.reads("br-1", batch_id="B-1")
    plant.reads("br-1", quality=BAD_NO_COMMUNICATION, batch_id=float("nan"))
    plant.reads("br-1", quality=STALE, batch_id="B-0")
    assert plant.work("br-1") == {"batch": "B-1"}


async def test_of_two_rules_that_contradict_the_first_stays_and_it_is_told_once(tmp_path: Path) -> None:
    one = {"name": "one", "devices": ["br-1"], "sets": "phase", "value": "cleaning", "when": "cip"}
    two = {"name": "two", "devices": ["br-1"], "sets": "phase", "value": "production", "when": "runs"}
    plant = Plant(tmp_path, one, two)
    plant.reads("br-1", cip=1, runs=0)
    plant.reads("br-1", cip=1, runs=1)
    plant.reads("br-1", runs=0)
    plant.reads("br-1", runs=1)
    assert plant.work("br-1") == {"phase": "cleaning"}
    plant.reads("br-1", cip=0)
    assert plant.work("br-1") == {"phase": "production"}
    assert await plant.told() == [
        ("opened", "br-1", "cleaning"), ("contradicted", "br-1", "cleaning"), ("closed", "br-1", "cleaning"),
        ("opened", "br-1", "production"),
    ]  # fmt: skip


async def test_a_restart_in_mid_phase_goes_on_and_tells_the_gap(tmp_path: Path) -> None:
    plant = Plant(tmp_path, BATCH)
    plant.reads("br-1", batch_id="B-1")
    plant.production.open(["br-1"], {"phase": "growth"}, Statement("anna", plant.clock.wall_ns()))
    await plant.told()
    last = plant.clock.wall_ns()
    plant.clock.advance(100)
    plant.start(last)
    assert plant.works.of("br-1") == Context(batch="B-1", phase="growth", by=(("batch", "batches"), ("phase", "anna")))
    plant.reads("br-1", batch_id="B-1")
    await plant.production.saved()
    (event,) = plant.events
    assert event.state == "resumed"
    assert event.detail["gap"] == {"from": last // 1_000_000, "to": last // 1_000_000 + 100_000}
    plant.events.clear()
    plant.reads("br-1", batch_id="B-2")
    assert plant.work("br-1") == {"batch": "B-2", "phase": "growth"}


async def test_after_a_reload_a_rule_goes_on_and_one_that_is_gone_closes_what_it_opened(tmp_path: Path) -> None:
    plant = Plant(tmp_path, {**BATCH, "when": "runs"})
    plant.reads("br-1", batch_id="B-1", runs=0)
    plant.production.follow(plant.rules, list(plant.devices), plant.live)
    plant.reads("br-1", runs=1)  # the batch's name is not said again by a device that reports by exception
    assert plant.work("br-1") == {"batch": "B-1"}
    plant.production.follow([], list(plant.devices), plant.live)
    assert plant.work("br-1") == {}
    plant.production.open(["br-1"], {"batch": "B-1"}, Statement("anna", 0))
    plant.production.follow([], ["br-2"], plant.live)
    assert plant.work("br-1") == {}
    assert [each[0] for each in await plant.told()] == ["opened", "closed", "opened", "closed"]


async def test_people_say_what_no_rule_says(tmp_path: Path) -> None:
    plant = Plant(tmp_path, {**BATCH, "devices": ["br-1"]})
    plant.reads("br-1", batch_id="B-1")
    now = plant.clock.wall_ns()
    with pytest.raises(
        GatewayError, match=r'br-1 works for batch B-1 \(rule "batches", since .*\): it ends by its tag'
    ):
        plant.production.check_free(["br-1"], {"batch": "B-2"}, anew=True)
    plant.production.open(["br-2"], {"batch": "B-2", "product": "mAb"}, Statement("anna", now))
    with pytest.raises(GatewayError, match=r"br-2 works for batch B-2 \(anna, since .*\): end it first"):
        plant.production.check_free(["br-2"], {"batch": "B-3"}, anew=True)
    with pytest.raises(GatewayError, match=r"would end .* before it began"):
        plant.production.end("B-2", ["br-2"], Statement("bert", now - 1))
    with pytest.raises(GatewayError, match="it ends by its tag"):
        plant.production.end("B-1", ["br-1"], Statement("bert", now))
    plant.production.end("B-2", ["br-2"], Statement("bert", now + 5))
    assert [plant.work(name) for name in plant.devices] == [{"batch": "B-1"}, {}, {}]
    (ended,) = plant.production.ended
    assert (ended.batch, ended.device, ended.from_ns, ended.to_ns) == ("B-2", "br-2", now, now + 5)


@pytest.mark.parametrize(
    "content",
    [b"", b"{", b'{"format":2}', b'{"format":1,"open":{"br-1":{"batch":{"value":1}}},"ended":[]}',
     b'{"format":1,"open":{"br-1":{"batch":{"value":"B","by":"a","rule":false,"since_ns":1e9}}},"ended":[]}',
     b'{"format":1,"open":{"br-1":{"name":{"value":"B","by":"a","rule":false,"since_ns":1}}},"ended":[]}'],
)  # fmt: skip
async def test_a_damaged_file_is_set_aside_and_nothing_is_invented(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "contexts.json").write_bytes(content)
    plant = Plant(tmp_path, BATCH)
    assert plant.production.open_parts == {}
    assert (tmp_path / "contexts.json.damaged").read_bytes() == content
    plant.reads("br-1", batch_id="B-1")
    await plant.told()
    plant.start()
    assert plant.work("br-1") == {"batch": "B-1"}


async def test_what_a_device_says_is_one_line_and_bounded(tmp_path: Path) -> None:
    plant = Plant(tmp_path, BATCH)
    plant.reads("br-1", batch_id="B\n1\x1b[31m" + "x" * 5000)
    batch = plant.work("br-1")["batch"]
    assert batch.isprintable()
    assert len(batch) <= 200


async def test_a_rule_that_chatters_stamps_on_and_floods_nobody(tmp_path: Path) -> None:
    plant = Plant(tmp_path, BATCH)
    for number in range(1, 501):
        plant.reads("br-1", batch_id=f"B-{number}")
        assert plant.work("br-1") == {"batch": f"B-{number}"}
    told = await plant.told()
    assert 30 < len(told) < 70
    assert [each[0] for each in told].count("chatters") == 1
    plant.clock.advance(61)
    plant.reads("br-1", batch_id="B-0")
    assert [each[0] for each in await plant.told()] == ["closed", "opened"]
    plant.start()
    assert plant.work("br-1") == {"batch": "B-0"}


async def test_what_a_chattering_rule_says_last_is_kept_though_it_is_not_told(tmp_path: Path) -> None:
    plant = Plant(tmp_path, BATCH)
    for number in range(1, 101):
        plant.reads("br-1", batch_id=f"B-{number}")
    await plant.told()
    plant.reads("br-1", batch_id="B-last")
    assert await plant.told() == []
    plant.start()
    assert plant.work("br-1") == {"batch": "B-last"}


async def test_what_changes_just_before_the_stop_is_kept_and_told(tmp_path: Path) -> None:
    plant = Plant(tmp_path, BATCH)
    running = asyncio.create_task(plant.production.run())
    await asyncio.sleep(0)
    plant.reads("br-1", batch_id="B-1")
    running.cancel()
    with pytest.raises(asyncio.CancelledError):
        await running
    assert [(each.state, each.detail.get("value")) for each in plant.events] == [("opened", "B-1")]
    plant.start()
    assert plant.work("br-1") == {"batch": "B-1"}


def somebody_speaks(plant: Plant, chance: random.Random, name: str) -> None:
    now = plant.clock.wall_ns()
    if chance.random() < 0.5:
        parts = {chance.choice(["batch", "phase", "order"]): chance.choice(["", "B-1", "B-3"])}
        plant.production.check_free([name], parts, anew=chance.random() < 0.5)
        plant.production.open([name], parts, Statement("anna", now))
    else:
        batch = chance.choice(["B-1", "B-3"])
        plant.production.end(batch, plant.production.devices_of(batch), Statement("bert", now - chance.randrange(3)))


@pytest.mark.parametrize("seed", range(20))
async def test_whatever_is_said_in_whatever_order_each_part_has_one_who_said_it(tmp_path: Path, seed: int) -> None:
    """Rules, people, reloads and restarts at random: what is stamped is what is open and kept, and each begin has its end."""
    chance = random.Random(seed)
    rules = [
        BATCH,
        {"name": "cleaning", "devices": ["br-*"], "sets": "phase", "value": "CIP", "when": "cip"},
        {
            "name": "phases",
            "devices": ["*"],
            "sets": "phase",
            "tag": "phase",
            "when": "runs",
            "values": {"1": "growth"},
        },
    ]
    plant = Plant(tmp_path, *rules)
    story: list[tuple[str, str, Any]] = []
    for _ in range(120):
        name = chance.choice([*plant.devices])
        match chance.randrange(7):
            case 0:
                plant.reads(name, batch_id=chance.choice(["", "B-1", "B-2"]))
            case 1 | 2:
                plant.reads(name, cip=chance.randrange(2), runs=chance.randrange(2), phase=chance.randrange(4))
            case 3 | 4:
                with contextlib.suppress(GatewayError):
                    somebody_speaks(plant, chance, name)
            case 5:
                plant.rules = [ContextSection(**rule) for rule in rules if chance.random() < 0.8]
                plant.production.follow(plant.rules, list(plant.devices), plant.live)
            case 6:
                story += await plant.told()
                before = {device: plant.works.of(device) for device in plant.devices}
                plant.start(plant.clock.wall_ns())
                assert {device: plant.works.of(device) for device in plant.devices} == before
        plant.clock.advance(1)
        for device in plant.devices:
            opened = {part: each.value for part, each in plant.production.of(device).items()}
            assert plant.works.of(device).said() == opened
            assert dict(plant.works.of(device).by) == {
                part: each.by for part, each in plant.production.of(device).items()
            }
    story += await plant.told()
    for device in plant.devices:
        told = [(state, value) for state, of, value in story if of == device and state in ("opened", "closed")]
        still = sorted(each.value for each in plant.production.of(device).values())
        for value in {value for _, value in told}:
            opened, closed = told.count(("opened", value)), told.count(("closed", value))
            assert opened - closed == still.count(value)
