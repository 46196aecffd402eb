"""What plugins hand up, as the gateway lets it in."""

from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from gateway.acquire.values import as_readings
from gateway.core.device_event import Condition, DeviceEvent, Retained
from gateway.core.errors import PluginError
from gateway.core.quality import BAD, UNCERTAIN
from gateway.core.readings import Readings
from gateway.core.tag import Device, Tag, Tags
from gateway.plugin import checked
from gateway.plugin.driver import Found
from gateway.plugin.guessing import Guess

NOW = 1_800_000_000_000_000_000
TAGS = Tags("plc", [Tag(number, "plc", f"t{number}") for number in (7, 8, 9)])
DEVICE = Device("plc", "odd", TAGS)


def block(**columns: Any) -> Readings:
    """A sound block, but for these columns."""
    whole: dict[str, Any] = {
        "device": DEVICE,
        "t_ns": np.full(3, NOW),
        "tag": TAGS.ids,
        "value": np.ones(3),
        "quality": np.zeros(3, np.uint32),
    }
    return Readings(**{**whole, **columns})


def test_a_sound_block_passes_as_it_is() -> None:
    sound = block(exact={1: "text", 2: [1, 2.5, None, "x", b"y"]})
    found = checked.readings(sound, DEVICE, NOW)
    for name in ("t_ns", "tag", "value", "quality"):
        assert getattr(found, name).tolist() == getattr(sound, name).tolist()
    assert found.exact == sound.exact
    assert found.tag is sound.tag


def test_a_driver_may_use_its_arrays_again_for_the_next_block() -> None:
    mine = block(exact={1: "text"})
    found = checked.readings(mine, DEVICE, NOW)
    mine.t_ns[:] = 1
    mine.value[:] = 2.0
    mine.quality[:] = BAD
    mine.exact[1] = "other"
    assert found.t_ns.tolist() == [NOW] * 3
    assert found.value.tolist() == [1.0] * 3
    assert found.quality.tolist() == [0] * 3
    assert found.exact == {1: "text"}


def test_a_driver_may_use_the_array_that_it_returned_again() -> None:
    mine = np.ones(3)
    found = as_readings(DEVICE, TAGS, mine, NOW)
    mine[:] = 2.0
    assert found.value.tolist() == [1.0] * 3


@pytest.mark.parametrize(
    ("columns", "reason"),
    [
        ({"t_ns": np.full(2, NOW)}, "unlike lengths: t_ns 2, tag 3, value 3, quality 3"),
        ({"value": np.ones((3, 1))}, "value of a block has 2 dimensions"),
        ({"value": [1.0, 2.0, 3.0]}, "value of a block is a list, not a numpy array"),
        ({"value": np.array(["a", "b", "c"])}, "value of a block is of <U1"),
        ({"exact": {3: "beyond"}}, "row 3 of a block of 3 rows"),
        ({"exact": {"x": "beyond"}}, "row x of a block"),
        ({"device": Device("plc", "odd", TAGS)}, "where the device is plc as the driver has it now"),
    ],
)
def test_a_block_that_cannot_be_understood_is_named(columns: dict[str, Any], reason: str) -> None:
    with pytest.raises(PluginError, match=reason):
        checked.readings(block(**columns), DEVICE, NOW)


def test_columns_of_other_types_are_converted() -> None:
    found = checked.readings(block(value=np.array([1, 2, 3], np.int16), quality=np.zeros(3, np.int64)), DEVICE, NOW)
    assert (found.value.dtype, found.quality.dtype) == (np.float64, np.uint32)
    assert found.value.tolist() == [1.0, 2.0, 3.0]


@pytest.mark.parametrize("none", [0, -1, -(2**63), 2**63 - 1])
def test_a_time_that_is_none_costs_its_row_its_certainty(none: int) -> None:
    found = checked.readings(block(t_ns=np.array([NOW - 5, none, NOW])), DEVICE, NOW)
    assert found.t_ns.tolist() == [NOW - 5, NOW, NOW]
    assert found.quality.tolist() == [0, UNCERTAIN, 0]


@pytest.mark.parametrize(
    "huge",
    [
        "x" * 2_000_000,
        b"x" * 2_000_000,
        1 << 2000,
        [[1.0] * 200_000] * 2,
        [[[[]]]] * 10**6,
        {"x" * 2_000_000: 1},
        {"x": b"x" * 2_000_000},
    ],
)
def test_a_value_that_is_too_large_is_bad_alone(huge: Any) -> None:
    found = checked.readings(block(exact={0: "good", 1: huge}), DEVICE, NOW)
    assert found.exact == {0: "good"}
    assert [bool(quality & BAD) for quality in found.quality.tolist()] == [False, True, False]


def test_an_array_nested_without_end_is_bad_alone() -> None:
    endless: list[Any] = []
    endless.append(endless)
    assert checked.exact_value(endless)[0] is None


@pytest.mark.parametrize(
    ("given", "taken"),
    [
        ("Kessel \udcb0C", "Kessel \ufffdC"),
        (["a", "\ud800"], ["a", "\ufffd"]),
        ([{"k\udcff": "v"}], [{"k\ufffd": "v"}]),
    ],
)
def test_a_text_in_which_something_was_replaced_is_uncertain(given: Any, taken: Any) -> None:
    assert checked.exact_value(given) == (taken, UNCERTAIN)


def test_a_separator_in_a_bar_code_is_data() -> None:
    assert checked.exact_value("0104\x1d17") == ("0104\x1d17", 0)


EVENT = DeviceEvent("plc", "e1", NOW, "door open", "alarm", {"level": 5}, Condition("c", "Door", True, False, True))


def test_a_sound_event_passes() -> None:
    assert checked.told(EVENT, ["plc"], NOW) == EVENT
    assert checked.told(Retained("plc", frozenset({"c"})), ["plc"], NOW) == Retained("plc", frozenset({"c"}))


@pytest.mark.parametrize(
    ("odd", "taken"),
    [
        ({"message": "Kessel \udcb0C\n\x1b[2J"}, {"message": "Kessel \ufffdC [2J"}),
        ({"id": 17, "severity": "catastrophe"}, {"id": "17", "severity": "info"}),
        ({"t_ns": 2**70}, {"t_ns": NOW}),
        ({"t_ns": float("nan")}, {"t_ns": NOW}),
        (
            {"detail": {"x": float("inf"), "y": b"\xff", "z": 2**80}},
            {"detail": {"x": None, "y": "/w==", "z": str(2**80)}},
        ),
        ({"detail": None}, {"detail": {}}),
        (
            {"detail": {"x": "y" * 100_000}},
            {"detail": {"left_out": "detail of 100008 bytes; an event carries 65536 at most"}},
        ),
    ],
)
def test_what_is_odd_of_an_event_is_made_sound(odd: dict[str, Any], taken: dict[str, Any]) -> None:
    assert checked.told(replace(EVENT, **odd), ["plc"], NOW) == replace(EVENT, **taken)


@pytest.mark.parametrize("what", [None, "door open", replace(EVENT, device="other"), replace(EVENT, condition="hot")])
def test_what_is_no_event_of_the_line_is_refused(what: Any) -> None:
    with pytest.raises(PluginError):
        checked.told(what, ["plc"], NOW)


def test_what_a_driver_tells_of_itself_is_json() -> None:
    assert checked.facts({"security": object, "bits": 2**80, "n": 1}) == {
        "security": "<class 'object'>",
        "bits": str(2**80),
        "n": 1,
    }
    assert checked.counts({"retries": 3, "odd": "many"}) == {"retries": 3}
    assert checked.remarks("one") == ["one"]
    assert checked.remarks(["a\nb", 5]) == ["a b", "5"]
    assert checked.described({TAGS[0]: Found("float128", "\udcb0C")}) == {TAGS[0]: Found("", "\ufffdC")}
    assert checked.guesses([Guess({"address": "a\x00"}, 2**70)]) == [Guess({"address": "a "}, str(2**70))]
