from itertools import combinations
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gateway.kit.blocks import AddressBlock
from gateway.plugin import Device
from plugins.modbus.driver import Modbus
from plugins.modbus.plan.doubts import doubts
from plugins.modbus.plan.reading import ModbusReading
from plugins.modbus.tests.fakes import floats, make_device, words


def blocks_of(device: Device) -> list[AddressBlock]:
    reading = ModbusReading(device.config)
    return reading.blocks(reading.spans(device.tags))


def plan(device: Device) -> list[str]:
    return [str(block) for block in blocks_of(device)]


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
    blocks = blocks_of(device)
    rows = [row for block in blocks for span in block.spans for row in span.rows]
    assert sorted(rows) == list(range(len(places)))
    for block in blocks:
        assert block.end - block.start <= limit
        assert all(block.start <= span.start < span.end <= block.end for span in block.spans)


def test_check_is_told_the_requests_and_what_a_gap_would_save() -> None:
    device = make_device(floats(2) | words(10, 30) | {"run": "co:0"}, scan="1s", max_gap=0)
    assert Modbus.plan(device) == [
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
    assert [line for line in Modbus.plan(make_device(tags)) if "every" in line] == [
        "every 0.1 s: 1 request for 1 tag",
        "every 1 s: 1 request for 1 tag",
    ]


def test_a_long_plan_is_cut() -> None:
    assert Modbus.plan(make_device(words(*range(0, 60, 2)), max_gap=0))[-2:] == [
        "  and 10 more",
        "  max_gap = 1 would make it 1 request",
    ]


@pytest.mark.parametrize("gap", [1, 5])
def test_unused_addresses_in_a_request_are_named(gap: int) -> None:
    lines = Modbus.plan(make_device(words(0, 2), max_gap=gap))
    assert lines[1] == "  40001-40003: 3 holding registers, 2 tags, 1 of them unused"


def on_serial_line(tags: dict[str, Any], name: str = "plc", **options: Any) -> Device:
    return make_device(
        tags, name=name, **{"host": "", "transport": "rtu", "serial": "/dev/ttyUSB0", "baud": 9600} | options
    )


def test_unused_addresses_are_read_over_where_that_saves_time_on_the_line() -> None:
    tags = words(0, 10, 40)
    assert plan(make_device(tags)) == ["40001-40011", "40041"]
    assert plan(on_serial_line(tags)) == ["40001-40011", "40041"]
    assert plan(on_serial_line(words(0, 14), baud=1200)) == ["40001", "40015"]


def test_every_tag_gets_a_request_of_its_own_where_a_device_wants_that() -> None:
    tags = words(0, 1) | {"again": {"address": "hr:1", "type": "int16"}}
    assert plan(make_device(tags, request_per_tag=True)) == ["40001", "40002", "40002"]


@settings(deadline=None)
@given(st.lists(st.integers(0, 60), min_size=1, max_size=9, unique=True), st.integers(0, 16), st.integers(2, 40))
def test_no_other_division_takes_less_time_on_the_line(offsets: list[int], gap: int, limit: int) -> None:
    device = on_serial_line(words(*offsets), max_gap=gap, max_registers=limit)
    reading = ModbusReading(device.config)
    spans = reading.spans(device.tags)
    least = min(
        reading.time_of(blocks)
        for count in range(len(spans))
        for cuts in combinations(range(1, len(spans)), count)
        if (blocks := divided(spans, cuts, gap, limit))
    )
    assert reading.time_of(reading.blocks(spans)) <= least + 1e-12


def divided(spans: Any, cuts: tuple[int, ...], gap: int, limit: int) -> list[AddressBlock]:
    """The blocks that end at these cuts; none if they are not allowed."""
    blocks = [AddressBlock(tuple(spans[begin:end])) for begin, end in zip((0, *cuts), (*cuts, len(spans)), strict=True)]
    holes = [
        right.start - left.end for block in blocks for left, right in zip(block.spans, block.spans[1:], strict=False)
    ]
    allowed = all(hole <= gap for hole in holes) and all(block.end - block.start <= limit for block in blocks)
    return blocks if allowed else []


def test_a_large_device_is_planned_at_once() -> None:
    device = make_device(words(*range(0, 60000, 7)))
    assert len(blocks_of(device)) == 477


def test_the_time_on_a_serial_line_follows_from_its_settings() -> None:
    device = on_serial_line(words(*range(100)), parity="even")
    # 8 + 205 bytes of 11 bits at 9600 baud, two silences of 3.5 bytes, and 5 ms for the device to begin.
    assert ModbusReading(device.config).time_of(blocks_of(device)) == pytest.approx((8 + 205 + 7) * 11 / 9600 + 0.005)
    assert Modbus.plan(device)[0] == "every 1 s: 1 request for 100 tags, 257 ms on the line"


def test_check_is_told_of_a_line_that_cannot_keep_its_scans() -> None:
    devices = [on_serial_line(words(*range(100)), f"meter-{unit}", unit=unit) for unit in range(1, 6)]
    assert doubts(devices[:3]) == []
    assert doubts(devices[:4]) == [
        "/dev/ttyUSB0: this line needs 1.03 s for a 1 s scan at 9600 baud, so it cannot keep its scans; "
        'scan = "1.3s", a higher baud rate or fewer tags would help'
    ]
    (said,) = doubts(devices)
    assert said.startswith("/dev/ttyUSB0: this line needs 1.29 s for a 1 s scan at 9600 baud")


def test_check_is_told_of_a_scan_that_takes_longer_than_its_timeout() -> None:
    device = on_serial_line(words(*range(0, 4000, 2)), scan="60s", timeout="3s")
    assert any('write timeout = "' in said for said in doubts([device]))


def test_check_is_told_of_options_that_do_not_count() -> None:
    devices = [on_serial_line(words(0), "one"), on_serial_line(words(0), "two", unit=2, baud=19200)]
    assert doubts(devices) == ["two: its baud does not count: one, the first on this line, has 9600"]
    full = [
        on_serial_line(words(*range(100)), f"meter-{n}", unit=n, baud=9600 if n == 1 else 19200) for n in range(1, 6)
    ]
    assert "this line needs 1.29 s for a 1 s scan at 9600 baud" in doubts(full)[-1]
    sharing = [make_device(words(0), "one"), make_device(words(0), "two", unit=2, any_unit=True)]
    assert doubts(sharing) == ["two: any_unit is not safe on a line of several devices; leave it out"]
