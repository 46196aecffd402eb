"""Decoding and learning from refusals, against a made-up memory, without a connection."""

import math
import struct
from collections.abc import Callable, Collection
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gateway.kit.blocks import PROBE_AFTER, RELEARN_AFTER, BlockPlan
from gateway.kit.line import Answer
from gateway.kit.registers import (
    FORMATS,
    ORDERS,
    PARTS,
    TEXT_ORDERS,
    TEXTS,
    decode,
    decode_bits,
    decode_text,
    encode,
    registers_of,
    size_of,
)
from gateway.plugin import Device, Readings, quality
from plugins.modbus.plan.reading import ModbusReading
from plugins.modbus.requests import ModbusRequest
from plugins.modbus.tests.fakes import floats, make_device, words

T_NS = 1_800_000_000_000_000_000


class Memory:
    """Answers requests out of bytes; some addresses may be missing."""

    def __init__(self, data: bytes = bytes(4000), missing: Collection[int] = ()) -> None:
        self.data = data
        self.missing = set(missing)
        self.limit = 125
        self.asked: list[range] = []

    def answer(self, request: ModbusRequest) -> Answer:
        function, start, count = struct.unpack(">BHH", request.pdu)
        addresses = range(start, start + count)
        self.asked.append(addresses)
        if count > self.limit:
            return 3
        if self.missing.intersection(addresses):
            return 2
        if function > 2:
            return self.data[2 * start : 2 * addresses.stop]
        bits = [self.data[at // 8] >> at % 8 & 1 for at in addresses]
        return bytes(sum(bit << n for n, bit in enumerate(bits[at : at + 8])) for at in range(0, len(bits), 8))

    def scan(self, plan: BlockPlan, now: float = 0.0, most: int = 1000) -> Any:
        """One scan as the driver makes it."""
        plan.prepare(now)
        answers = [self.answer(request) for request in plan.requests]
        while None in (halved := plan.halve(answers, most)):
            answers = [self.answer(plan.requests[at]) if answer is None else answer for at, answer in enumerate(halved)]
        return plan.values(answers, now, T_NS)


def plan_of(device: Device) -> BlockPlan:
    KEPT.append(device)
    return BlockPlan(device, device.tags, ModbusReading(device.config), now=0.0)


KEPT: list[Device] = []
"""Who reads by a plan has its device; the plan holds it weakly."""


SENSELESS = object()


@settings(deadline=None)
@given(st.data())
def test_any_mix_of_tags_decodes_as_each_value_alone(data: st.DataObject) -> None:
    raw = data.draw(st.binary(min_size=200, max_size=200))
    drawn = [data.draw(_tags(raw)) for _ in range(data.draw(st.integers(1, 40)))]
    tags = {f"t{n}": options for n, (options, _) in enumerate(drawn)}
    expected = [value for _, value in drawn]
    device = make_device(tags, max_gap=data.draw(st.integers(0, 5)))
    values = Memory(raw).scan(plan_of(device))
    if isinstance(values, Readings):
        found = [values.exact.get(row, value) for row, value in enumerate(values.value.tolist())]
        assert values.quality.tolist() == [_quality(value) for value in expected]
    else:
        found = values.tolist()
    expected = [math.nan if value is SENSELESS else value for value in expected]
    assert list(map(repr, map(_plain, found))) == list(map(repr, map(_plain, expected)))


def _quality(value: Any) -> int:
    if value is SENSELESS:
        return quality.BAD_DECODING
    return quality.BAD_SENSOR_FAILURE if isinstance(value, float) and math.isnan(value) else quality.GOOD


@st.composite
def _tags(draw: st.DrawFn, raw: bytes) -> tuple[dict[str, Any], Any]:
    """A tag's options, and the value that the codec reads from the memory for this tag alone."""
    kind = draw(st.sampled_from([*FORMATS, "bit", "bits", "coil", *TEXTS]))
    at = draw(st.integers(0, 90))
    register = struct.unpack_from(">H", raw, 2 * at)[0]
    if kind == "coil":
        return {"address": f"co:{at}"}, raw[at // 8] >> at % 8 & 1
    if kind == "bit":
        bit = draw(st.integers(0, 15))
        return {"address": f"hr:{at}.{bit}"}, register >> bit & 1
    if kind == "bits":
        low = draw(st.integers(0, 14))
        high = draw(st.integers(low + 1, 15))
        type_ = draw(st.sampled_from(PARTS))
        value = decode_bits(register, low, high - low + 1, signed=type_.startswith("int"))
        return {"address": f"hr:{at}.{low}-{high}", "type": type_}, value
    if kind in TEXTS:
        return draw(_texts(raw, kind, at))
    order = draw(st.sampled_from(ORDERS[size_of(kind)]))
    options = {"address": f"hr:{at}", "type": kind, "order": order}
    return options, _or_senseless(lambda: decode(raw[2 * at : 2 * at + size_of(kind)], kind, order))


@st.composite
def _texts(draw: st.DrawFn, raw: bytes, kind: str, at: int) -> tuple[dict[str, Any], Any]:
    length, order = draw(st.integers(1, 9)), draw(st.sampled_from(TEXT_ORDERS))
    encoding = draw(st.sampled_from(["utf-8", "latin-1"]))
    wire = raw[2 * at : 2 * (at + registers_of(kind, length, order))]
    options = {"address": f"hr:{at}", "type": kind, "order": order, "length": length, "encoding": encoding}
    return options, _or_senseless(lambda: decode_text(wire, kind, length, order, encoding))


def _or_senseless(value: Callable[[], Any]) -> Any:
    try:
        return value()
    except ValueError:
        return SENSELESS


def _plain(value: Any) -> Any:
    exact = isinstance(value, str | bytes) or (isinstance(value, int) and abs(value) > 2**53)
    return value if exact else float(value) + 0.0


def test_the_order_of_the_device_is_that_of_its_long_values_only() -> None:
    data = encode(1.5, "float32", "CDAB") + encode(7, "int16", "AB") + encode(-2, "int64", "CDAB")
    tags = {
        "f": {"address": "hr:0", "type": "float32"},
        "i": {"address": "hr:2", "type": "int16"},
        "l": {"address": "hr:3", "type": "int64"},
    }
    assert Memory(data).scan(plan_of(make_device(tags, order="CDAB"))).tolist() == [1.5, 7, -2]


def test_integers_beyond_a_float64_are_given_exactly() -> None:
    data = struct.pack(">QqQ", 2**64 - 1, -(2**53) - 1, 2**53)
    tags = {
        "a": {"address": "hr:0", "type": "uint64"},
        "b": {"address": "hr:4", "type": "int64"},
        "c": {"address": "hr:8", "type": "uint64"},
    }
    readings = Memory(data).scan(plan_of(make_device(tags)))
    assert dict(readings.exact) == {0: 2**64 - 1, 1: -(2**53) - 1}
    assert np.isnan(readings.value[:2]).all()
    assert readings.value[2] == 2**53
    assert readings.quality.tolist() == [0, 0, 0]
    assert readings.t_ns.tolist() == [T_NS] * 3


def test_an_unchanged_answer_is_not_decoded_again() -> None:
    memory, plan = Memory(), plan_of(make_device(floats(60) | {"b": "co:1"}))
    first = memory.scan(plan)
    assert memory.scan(plan) is first
    memory.data = b"\x01" + memory.data[1:]
    assert memory.scan(plan) is not first
    assert not first.flags.writeable


def test_one_missing_register_never_blanks_its_block() -> None:
    device = make_device(words(*range(100)))
    memory, plan = Memory(missing=[37]), plan_of(device)
    readings = memory.scan(plan)
    assert np.flatnonzero(readings.quality).tolist() == [37]
    assert readings.quality[37] == quality.BAD_NODE_ID_UNKNOWN
    assert np.isnan(readings.value[37])
    assert len(memory.asked) <= 1 + 2 * 7


def test_what_was_learned_is_remembered() -> None:
    memory, plan = Memory(missing=[37]), plan_of(make_device(words(*range(100))))
    memory.scan(plan)
    memory.asked.clear()
    readings = memory.scan(plan)
    assert np.flatnonzero(readings.quality).tolist() == [37]
    assert all(37 not in asked for asked in memory.asked)
    assert len(memory.asked) <= 8


def test_a_gap_that_the_device_does_not_have_is_no_longer_read_over() -> None:
    memory, plan = Memory(missing=[5]), plan_of(make_device(words(0, 1, 8, 9), max_gap=10))
    assert (memory.scan(plan) == 0).all()
    memory.asked.clear()
    assert (memory.scan(plan) == 0).all()
    assert memory.asked == [range(2), range(8, 10)]


def test_a_device_that_gives_fewer_registers_than_allowed_is_still_read() -> None:
    memory, plan = Memory(), plan_of(make_device(words(*range(100))))
    memory.limit = 40
    assert (memory.scan(plan) == 0).all()


def test_a_parked_address_is_tried_again_later_and_all_is_merged_when_it_is_back() -> None:
    memory, plan = Memory(missing=[37]), plan_of(make_device(words(*range(100))))
    memory.scan(plan, now=0.0)
    memory.missing.clear()
    assert isinstance(memory.scan(plan, now=PROBE_AFTER - 1), Readings)
    assert (memory.scan(plan, now=PROBE_AFTER) == 0).all()
    memory.asked.clear()
    assert (memory.scan(plan, now=PROBE_AFTER + 1) == 0).all()
    assert len(memory.asked) == 1


def test_halved_blocks_are_tried_whole_after_a_day() -> None:
    memory, plan = Memory(missing=[5]), plan_of(make_device(words(0, 1, 8, 9), max_gap=10))
    memory.scan(plan, now=0.0)
    memory.missing.clear()
    memory.asked.clear()
    memory.scan(plan, now=RELEARN_AFTER)
    assert memory.asked == [range(10)]


def test_a_device_without_any_of_the_addresses_is_soon_left_in_peace() -> None:
    memory, plan = Memory(missing=range(4000)), plan_of(make_device(words(*range(0, 200, 2))))
    readings = memory.scan(plan, now=0.0)
    assert (readings.quality == quality.BAD_NODE_ID_UNKNOWN).all()
    memory.asked.clear()
    memory.scan(plan, now=1.0)
    assert memory.asked == []
    memory.scan(plan, now=PROBE_AFTER)
    assert len(memory.asked) == 4


def test_halving_keeps_to_the_requests_it_may_spend_and_goes_on_at_the_next_scan() -> None:
    memory, plan = Memory(missing=range(0, 100, 9)), plan_of(make_device(words(*range(100))))
    bad = set(range(100))
    for scan in range(40):
        plan.prepare(float(scan))
        answers = [memory.answer(request) for request in plan.requests]
        halved = plan.halve(answers, 2)
        assert halved.count(None) <= 4
        answers = [memory.answer(plan.requests[at]) if answer is None else answer for at, answer in enumerate(halved)]
        values = plan.values(answers, float(scan), T_NS)
        bad = set(np.flatnonzero(values.quality).tolist())
    assert bad == memory.missing


def test_any_set_of_missing_addresses_is_found_exactly() -> None:
    @settings(deadline=None)
    @given(st.sets(st.integers(0, 80), max_size=20), st.integers(0, 6))
    def check(missing: set[int], gap: int) -> None:
        offsets = [at for at in range(80) if at % 5 != 3]
        values = Memory(missing=missing).scan(plan_of(make_device(words(*offsets), max_gap=gap)))
        expected = [at in missing for at in offsets]
        found = (values.quality != 0).tolist() if isinstance(values, Readings) else [False] * len(offsets)
        assert found == expected

    check()


def test_a_refusal_of_another_kind_passes_with_the_block_undivided() -> None:
    device = make_device(words(0, 1) | {"c": "co:0"})
    plan = plan_of(device)
    busy = plan.values([b"\x01", 6], 0.0, T_NS)
    assert busy.quality.tolist() == [quality.BAD_DEVICE_FAILURE] * 2 + [0]
    assert busy.value[2] == 1.0
    good = plan.values([b"\x01", b"\0\1\0\2"], 1.0, T_NS)
    assert good.tolist() == [1, 2, 1]
    assert len(plan.requests) == 2


@pytest.mark.parametrize("number", ["7FC00000", "7F800001", "FFFFFFFF"], ids=["quiet", "signalling", "all ones"])
def test_not_a_number_from_the_device_is_bad(number: str) -> None:
    values = Memory(bytes.fromhex(number)).scan(plan_of(make_device(floats(1))))
    assert values.quality.tolist() == [quality.BAD_SENSOR_FAILURE]
