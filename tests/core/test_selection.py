"""What a destination is meant to get: by device, by tag, by kind of record."""

import gc
import weakref

import numpy as np
import pytest

from gateway.core.context import Context
from gateway.core.readings import Readings
from gateway.core.record import Kind, Lane, Record
from gateway.core.selection import Patterns, Selection
from gateway.core.tag import Device, Tag, Tags


def device(name: str = "press-1", *names: str) -> Device:
    tags = [Tag(10 + n, name, each) for n, each in enumerate(names or ("oil_temp", "force", "debug_a"))]
    return Device(name, "fake", Tags(name, tags), Context(site="north"))


def record(of: Device, tag: np.ndarray | None = None, **columns: object) -> Record:
    ids = of.tags.ids if tag is None else tag
    n = len(ids)
    readings = Readings(
        of, np.arange(n, dtype=np.int64), ids, np.arange(n, dtype=float), np.zeros(n, np.uint32), **columns
    )
    return Record("log", Lane.DATA, 7, Kind.READINGS, 1, 2, 3, 4, "c0ffee00", n, readings)


def event(name: str | None, kind: Kind = Kind.EVENT) -> Record:
    body = {"device": name} if name else {}
    return Record("log", Lane.ALARM, 8, kind, 1, 2, 3, 4, "c0ffee00", 1, None, body)


def test_the_columns_that_are_left_go_out_under_the_same_id_with_the_same_values() -> None:
    press = device()
    chosen = Selection(without=Patterns(tags=["force"]))
    given = record(press, exact={2: "text"})
    assert chosen.left_out(given) == 1
    seen = chosen.narrowed(given)
    assert (seen.id, seen.rows, seen.readings.value.tolist(), dict(seen.readings.exact)) == (
        given.id, 2, [0.0, 2.0], {1: "text"},
    )  # fmt: skip
    assert [tag.name for tag in seen.readings.device.tags] == ["oil_temp", "debug_a"]
    again = chosen.narrowed(record(press))
    assert again.readings.device is seen.readings.device, "decided once per definition"
    assert again.readings.tag is seen.readings.device.tags.ids, "so that encoders plan once"


@pytest.mark.parametrize("frozen", [True, False])
def test_a_block_of_some_tags_loses_those_that_are_not_wanted(frozen: bool) -> None:
    press = device()
    tag = np.array([12, 11, 11], np.uint32)
    tag.flags.writeable = not frozen
    chosen = Selection(Patterns(tags=["press-*/force"]))
    for _ in range(2):
        given = record(press, tag)
        assert chosen.left_out(given) == 1
        assert chosen.narrowed(given).readings.tag.tolist() == [11, 11]
    other = record(press, np.array([10], np.uint32))
    assert chosen.left_out(other) == 1 == other.rows


@pytest.mark.parametrize(
    ("only", "without", "wanted"),
    [
        (Patterns(devices=["press-*"]), Patterns(), ["press-1", "event press-1", "event", "loss"]),
        (Patterns(), Patterns(devices=["press-*"]), ["coater-1", "event coater-1", "event", "loss"]),
        (Patterns(kinds=["event"]), Patterns(devices=["press-1"]), ["event coater-1", "event"]),
        (Patterns(), Patterns(kinds=["event", "loss"]), ["press-1", "coater-1"]),
        (Patterns(tags=["coater-1/*"]), Patterns(), ["coater-1", "event press-1", "event coater-1", "event", "loss"]),
    ],
)
def test_devices_and_kinds_decide_about_all_records(only: Patterns, without: Patterns, wanted: list[str]) -> None:
    chosen = Selection(only, without)
    given = {
        "press-1": record(device()),
        "coater-1": record(device("coater-1")),
        "event press-1": event("press-1"),
        "event coater-1": event("coater-1"),
        "event": event(None),
        "loss": event(None, Kind.LOSS),
    }
    assert [name for name, each in given.items() if chosen.left_out(each) < each.rows] == wanted


def test_a_device_is_seen_with_the_tags_that_are_wanted_or_not_at_all() -> None:
    press, coater, bare = device(), device("coater-1"), device("door-1", "open")
    chosen = Selection(Patterns(tags=["*_temp"]), Patterns(devices=["coater-*"]))
    assert [each.name for each in chosen.devices([press, coater, bare])] == ["press-1"]
    seen = chosen.device(press)
    assert seen is not None and [tag.name for tag in seen.tags] == ["oil_temp"]
    assert Selection().devices([press]) == [press]


def test_what_is_known_of_a_device_goes_with_it() -> None:
    for chosen in (Selection(without=Patterns(tags=["force"])), Selection(without=Patterns(tags=["none"]))):
        press = device()
        chosen.left_out(record(press))
        gone = weakref.ref(press)
        del press
        gc.collect()
        assert gone() is None
