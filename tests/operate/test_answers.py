import math
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from gateway.core.clock import FakeClock
from gateway.core.live import LiveTable
from gateway.core.quality import BAD_NO_COMMUNICATION
from gateway.core.readings import Readings
from gateway.core.tag import Device, Tag, Tags
from gateway.operate import device_answers, headline
from gateway.status import full_in, rendered

TAGS = [
    Tag(1, "press-1", "oil", "float32", "°C"),
    Tag(2, "press-1", "count", "uint16"),
    Tag(3, "press-1", "name", "string"),
]
DEVICE = Device("press-1", "modbus", Tags("press-1", TAGS))


@pytest.mark.parametrize(
    ("value", "type_", "told"),
    [
        (54.20000076293945, "float32", 54.2),
        (54.20000076293945, "float64", 54.20000076293945),
        (7.0, "uint16", 7),
        (1.0, "bool", True),
        (math.nan, "float64", None),
        (math.nan, "int32", None),
        (2**63 - 1, "int64", 2**63 - 1),
        ("idle", "string", "idle"),
        (b"\x00\xff", "bytes", "AP8="),
    ],
)
def test_values_are_told_as_json_has_them(value: Any, type_: str, told: Any) -> None:
    assert device_answers.plain(value, type_) == told
    assert type(device_answers.plain(value, type_)) is type(told)


def test_tags_tell_value_quality_and_ages() -> None:
    clock, live = FakeClock(), LiveTable()
    device = live.define(DEVICE)
    block = Readings(
        DEVICE,
        np.full(3, clock.wall_ns(), np.int64),
        np.array([1, 2, 3], np.uint32),
        np.array([54.2, math.nan, math.nan]),
        np.array([0, BAD_NO_COMMUNICATION, 0], np.uint32),
        {2: "idle"},
    )
    live.update(block, clock.boot_ns())
    clock.advance(2.5)
    oil, count, name = device_answers.tags(device, clock)
    assert (oil["value"], oil["unit"], oil["good"], oil["age_s"], oil["source_age_s"]) == (54.2, "°C", True, 2.5, 2.5)
    assert (count["value"], count["good"]) == (None, False)
    assert (name["value"], name["quality"]) == ("idle", "good")


def test_a_tag_never_read_has_no_age() -> None:
    told = device_answers.tags(LiveTable().define(DEVICE), FakeClock())
    assert [(row["value"], row["age_s"], row["ts"]) for row in told] == [(None, None, None)] * 3


class Broken:
    """A device whose driver breaks when it is asked for facts of its connection."""

    name = "odd"
    spec = SimpleNamespace(config=SimpleNamespace(driver="odd"))

    def __getattr__(self, _: str) -> Any:
        raise KeyError("a bug")


def test_a_device_whose_state_cannot_be_told_hides_no_other() -> None:
    found = device_answers.devices([Broken(), Broken()])  # type: ignore[list-item]
    assert [each.name for each in found] == ["odd", "odd"]
    assert found[0].state == "faulted"
    assert found[0].reason == "its state cannot be told: KeyError: 'a bug'"
    assert any("its state cannot be told" in trouble.text for trouble in headline.troubles(status(rendered(found[0]))))


def status(device: dict[str, Any]) -> dict[str, Any]:
    outbox = {"disk": "ok", "free": 1, "not_accepted": 0, "recovered": {"damaged": [], "unreadable": []}}
    return {"outbox": outbox, "parked": [], "devices": [device], "sinks": [], "models": [], "limits": [], "alarms": []}


@pytest.mark.parametrize(
    ("outbox", "uptime_s", "seconds"),
    [
        ({}, 100.0, 30.0),
        ({"free": 500, "min_free": 200}, 100.0, 30.0),
        ({"size": 900}, 100.0, 10.0),
        ({"size": 1000}, 100.0, 0.0),
        ({"turning_away": True}, 100.0, 0.0),
        ({"free": 200, "min_free": 200}, 10.0, 0.0),
        ({}, 59.0, None),
        ({"written_bytes": 0}, 100.0, None),
        ({"mode": "spill"}, 100.0, None),
    ],
)
def test_how_long_the_outbox_has_room_is_told_where_it_can_be_known(
    outbox: dict[str, object], uptime_s: float, seconds: float | None
) -> None:
    before = {"size": 0, "max_size": 1000, "free": 300, "written_bytes": 1000}
    assert full_in({"outbox": before | outbox, "uptime_s": uptime_s}) == seconds
