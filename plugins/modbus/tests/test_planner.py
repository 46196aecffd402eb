import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gateway.plugin import Device
from plugins.modbus.describe import describe
from plugins.modbus.planner import blocks_of, spans_of
from plugins.modbus.tests.fakes import floats, make_device, words


def plan(device: Device) -> list[str]:
    return [str(block) for block in blocks_of(spans_of(device.tags), device.config)]


def test_neighbours_share_one_request_whatever_their_order() -> None:
    tags = dict(reversed(floats(50).items()))
    assert plan(make_device(tags)) == ["40001-40100"]


def test_a_request_ends_at_the_devices_limit_and_never_cuts_a_value() -> None:
    assert plan(make_device(floats(70))) == ["40001-40124", "40125-40140"]
    assert plan(make_device(floats(3), max_registers=3)) == ["40001-40002", "40003-40004", "40005-40006"]
    assert plan(make_device({"big": {"address": "hr:0", "type": "float64"}}, max_registers=2)) == ["40001-40004"]


def test_areas_are_read_apart_and_bits_up_to_their_own_limit() -> None:
    tags = {"a": "co:0", "b": "di:0", **{f"c{n}": f"co:{n}" for n in range(1, 30)}} | words(0)
    tags["i"] = {"address": "ir:0", "type": "int16"}
    assert plan(make_device(tags, max_bits=16)) == ["00001-00016", "00017-00030", "10001", "30001", "40001"]


def test_gaps_are_read_over_only_as_far_as_allowed() -> None:
    tags = words(0, 3, 10)
    assert plan(make_device(tags, max_gap=0)) == ["40001", "40004", "40011"]
    assert plan(make_device(tags, max_gap=2)) == ["40001-40004", "40011"]
    assert plan(make_device(tags, max_gap=6)) == ["40001-40011"]


def test_bits_and_other_views_of_the_same_register_are_read_once() -> None:
    tags = {f"b{n}": f"hr:5.{n}" for n in range(16)} | words(5, 6)
    tags["f"] = {"address": "hr:5", "type": "float32"}
    assert plan(make_device(tags)) == ["40006-40007"]


@settings(deadline=None)
@given(
    st.lists(
        st.tuples(st.integers(0, 400), st.sampled_from(["uint16", "float32", "float64"])), min_size=1, max_size=60
    ),
    st.integers(0, 20),
    st.integers(4, 125),
)
def test_every_tag_is_read_whole_once_and_within_the_limits(
    places: list[tuple[int, str]], gap: int, limit: int
) -> None:
    tags = {f"t{n}": {"address": f"hr:{at}", "type": type_} for n, (at, type_) in enumerate(places)}
    device = make_device(tags, max_gap=gap, max_registers=limit)
    blocks = blocks_of(spans_of(device.tags), device.config)
    rows = [row for block in blocks for span in block.spans for row in span.rows]
    assert sorted(rows) == list(range(len(places)))
    for block in blocks:
        assert block.end - block.start <= limit
        assert all(block.start <= span.start < span.end <= block.end for span in block.spans)


def test_check_is_told_the_requests_and_what_a_gap_would_save() -> None:
    device = make_device(floats(2) | words(10, 30) | {"run": "co:0"}, scan="1s", max_gap=0)
    assert describe(device) == [
        "every 1 s: 4 requests for 5 tags",
        "  00001: 1 coil, 1 tag",
        "  40001-40004: 4 holding registers, 2 tags",
        "  40011: 1 holding register, 1 tag",
        "  40031: 1 holding register, 1 tag",
        "  max_gap = 6 would make it 3 requests",
        "  max_gap = 19 would make it 2 requests",
    ]


def test_check_is_told_the_plan_of_each_scan() -> None:
    tags = {"fast": {"address": "hr:0", "type": "int16", "scan": "100ms"}, "slow": {"address": "hr:1", "type": "int16"}}
    assert [line for line in describe(make_device(tags)) if "every" in line] == [
        "every 0.1 s: 1 request for 1 tag",
        "every 1 s: 1 request for 1 tag",
    ]


def test_a_long_plan_is_cut() -> None:
    assert describe(make_device(words(*range(0, 60, 2)), max_gap=0))[-2:] == [
        "  and 10 more",
        "  max_gap = 1 would make it 1 request",
    ]


@pytest.mark.parametrize("gap", [1, 5])
def test_unused_addresses_in_a_request_are_named(gap: int) -> None:
    lines = describe(make_device(words(0, 2), max_gap=gap))
    assert lines[1] == "  40001-40003: 3 holding registers, 2 tags, 1 of them unused"
