"""What stands in payloads: values of each datatype, and many at once byte for byte as protobuf writes them."""

import math
from contextlib import suppress
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.core.quality import BAD_TIMEOUT, HISTORICAL
from gateway.core.readings import Readings
from plugins.sparkplug.device_metrics import DeviceMetrics
from plugins.sparkplug.payload import DataType, Layout, Metric, datatype_for, fits, parsed, payload, value_of
from plugins.sparkplug.payload.datatypes import set_value
from plugins.sparkplug.payload.schema import Payload
from plugins.sparkplug.stored import Aliases, next_session
from plugins.sparkplug.tests.plant import T0, block, device

LOG: Any = None  # nothing goes wrong


def upb(readings: Readings, metrics: list[Metric], late: bool) -> bytes:
    """The same metrics as protobuf writes them, one by one."""
    said = Payload()
    for row, metric in enumerate(metrics):
        written = said.metrics.add()
        written.alias = metric.alias
        written.timestamp = int(readings.t_ns[row]) // 1_000_000
        if late:
            written.is_historical = True
        value = readings.value[row]
        if metric.datatype == DataType.DOUBLE:
            written.double_value = value
        elif metric.datatype == DataType.FLOAT:
            written.float_value = np.float32(value)
        else:
            written.boolean_value = bool(value)
    return bytes(said.SerializeToString())


@pytest.mark.parametrize("late", [False, True])
@pytest.mark.parametrize("same_time", [False, True])
@pytest.mark.parametrize(
    ("datatype", "values"),
    [
        (DataType.DOUBLE, [0.0, -0.0, 1.5, 1e308, -5e-324, math.inf, -math.inf, math.pi]),
        (DataType.FLOAT, [0.0, -0.0, 1.5, 3e38, 1e-45, math.inf, -math.inf, 16777217.0]),
        (DataType.BOOLEAN, [0.0, 1.0]),
    ],
)
def test_many_at_once_are_the_bytes_that_protobuf_writes(
    datatype: DataType, values: list[float], same_time: bool, late: bool
) -> None:
    metrics = [Metric(f"m{n}", alias, datatype) for n, alias in enumerate([128, 129, 300, 16383, *range(1000, 1100)])]
    n = len(metrics)
    times = np.full(n, T0) if same_time else T0 + np.arange(n) * 1_000_000_000
    readings = Readings(device("d"), times, np.zeros(n, np.uint32), np.resize(values, n), np.zeros(n, np.uint32))
    layout = Layout(metrics)
    assert layout.good(readings, late) == upb(readings, metrics, late)
    assert layout.good(readings, not late) == upb(readings, metrics, not late), "a second time, in the same table"


@pytest.mark.parametrize(
    ("aliases", "t_ns"),
    [
        (range(1, 101), T0),
        (range(16_383, 16_483), T0),
        (range(200, 300), 0),
        (range(200, 300), (1 << 42) * 1_000_000),
        (range(200, 260), T0),
    ],
    ids=["short aliases", "long aliases", "1970", "2109", "few"],
)
def test_what_does_not_have_one_size_is_written_one_by_one(aliases: range, t_ns: int) -> None:
    metrics = [Metric(f"m{alias}", alias, DataType.DOUBLE) for alias in aliases]
    n = len(metrics)
    readings = Readings(device("d"), np.full(n, t_ns), np.zeros(n, np.uint32), np.ones(n), np.zeros(n, np.uint32))
    layout = Layout(metrics)
    assert layout.good(readings, False) is None
    assert layout.rows(readings, range(n), [False] * n, ()) == upb(readings, metrics, False)


def test_a_mixed_block_of_one_time_goes_in_groups_and_says_the_same(tmp_path: Any) -> None:
    kinds = {f"t{n}": ("float64", "bool", "int32", "string")[n % 4] for n in range(400)}
    mixed = device("mixed", **kinds)
    values = [f"x{n}" if n % 4 == 3 else float(n % 2) for n in range(400)]
    readings = block(mixed, 5, values)
    known = DeviceMetrics("mixed", Aliases(tmp_path, LOG))
    known.define(mixed)
    known.birth(block(mixed, 0, values), 1)
    said = Payload.FromString(payload(1, known.data(readings), 3))
    told = {each.alias: getattr(each, each.WhichOneof("value")) for each in said.metrics}
    assert len(told) == 400
    assert [told[metric.alias] for metric in known.metrics] == values
    assert {each.timestamp for each in said.metrics} == {T0 // 1_000_000 + 5000}


@pytest.mark.parametrize("oddity", ["nan", "bad", "late", "unsorted"])
def test_one_odd_row_changes_that_row_alone(tmp_path: Any, oddity: str) -> None:
    wide = device("wide", **{f"t{n}": "float64" for n in range(100)})
    readings = block(wide, 5, [float(n) for n in range(100)])
    known = DeviceMetrics("wide", Aliases(tmp_path, LOG))
    known.define(wide)
    known.birth(block(wide, 0, [0.0] * 100), 1)
    times, values, flags = readings.t_ns.copy(), readings.value.copy(), readings.quality.copy()
    if oddity == "nan":
        values[50] = np.nan
    elif oddity == "bad":
        flags[50] = BAD_TIMEOUT
    elif oddity == "late":
        flags[50] = HISTORICAL
    else:
        times[50] -= 1_000_000_000
    said = Payload.FromString(known.data(Readings(wide, times, readings.tag, values, flags)))
    odd = next(each for each in said.metrics if each.alias == known.metrics[50].alias)
    assert len(said.metrics) == 100
    assert odd.is_null == (oddity in ("nan", "bad"))
    assert odd.is_historical == (oddity == "late")
    assert sum(each.is_null or each.is_historical for each in said.metrics) == (oddity != "unsorted")
    assert [each.timestamp for each in said.metrics] == sorted(each.timestamp for each in said.metrics)


@pytest.mark.parametrize(
    ("tag_type", "value", "datatype", "raw"),
    [
        ("int8", [1, -1], DataType.INT8_ARRAY, "01ff"),
        ("int16", [1, -2], DataType.INT16_ARRAY, "0100feff"),
        ("uint32", [1, 2**32 - 1], DataType.UINT32_ARRAY, "01000000ffffffff"),
        ("int64", [-1], DataType.INT64_ARRAY, "ff" * 8),
        ("float32", [1.5], DataType.FLOAT_ARRAY, "0000c03f"),
        ("float64", [1.5], DataType.DOUBLE_ARRAY, "000000000000f83f"),
        ("bool", [1, 0, 0, 0, 0, 0, 0, 0, 1], DataType.BOOLEAN_ARRAY, "090000008080"),
        ("string", ["a", "é"], DataType.STRING_ARRAY, "6100c3a900"),
    ],
)
def test_arrays_are_written_as_the_text_of_the_specification_says(
    tag_type: str, value: list[Any], datatype: DataType, raw: str
) -> None:
    assert datatype_for(tag_type, value) == datatype
    metric = Payload().metrics.add()
    set_value(metric, datatype, value)
    assert metric.bytes_value.hex() == raw


@pytest.mark.parametrize(
    ("tag_type", "value"),
    [
        ("int8", [300]), ("int32", [1.5]), ("float64", ["a"]), ("float64", [[1.0]]), ("string", ["a\0b"]), ("bool", ["1"]),
        ("float64", {"a": 1}), ("string", b"x"), ("uint64", 2**64), ("int64", -(2**63) - 1), ("float64", 10**400),
        ("bytes", [b"x"]), ("float64", "text"),
    ],
)  # fmt: skip
def test_what_no_datatype_holds_becomes_json(tag_type: str, value: Any) -> None:
    assert datatype_for(tag_type, value) == DataType.STRING
    metric = Payload().metrics.add()
    set_value(metric, DataType.STRING, value)
    assert metric.string_value


INTEGERS = [
    DataType.INT8,
    DataType.INT16,
    DataType.INT32,
    DataType.INT64,
    DataType.UINT8,
    DataType.UINT32,
    DataType.UINT64,
]


@given(st.sampled_from(INTEGERS), st.integers(-(2**63), 2**64 - 1))
def test_whole_numbers_come_back_as_they_went(datatype: DataType, number: int) -> None:
    if fits(datatype, number):
        metric = Payload().metrics.add()
        set_value(metric, datatype, number)
        assert value_of(metric, datatype) == number


@given(st.binary(max_size=200))
def test_no_bytes_of_a_host_raise_anything_but_value_error(data: bytes) -> None:
    try:
        found = parsed(data)
    except ValueError:
        return
    for metric in found.metrics:
        for datatype in (DataType.INT8, DataType.DOUBLE, DataType.STRING, DataType.BOOLEAN):
            with suppress(ValueError):
                value_of(metric, datatype)


def test_uint32_can_be_written_as_tahu_reads_it() -> None:
    for as_long, name in ((False, "int_value"), (True, "long_value")):
        metric = Payload().metrics.add()
        set_value(metric, DataType.UINT32, 7, as_long)
        assert metric.WhichOneof("value") == name


# What outlives the gateway.


class Noted:
    def __init__(self) -> None:
        self.said: list[str] = []

    def warning(self, event: str, **_: Any) -> None:
        self.said.append(event)


def test_aliases_are_kept_and_none_is_given_twice(tmp_path: Any) -> None:
    log: Any = Noted()
    first = Aliases(tmp_path, log)
    given_out = [first.of("a", "x"), first.of("a", "y"), first.of("", "x")]
    assert first.unsaved
    first.save()
    second = Aliases(tmp_path, log)
    assert [second.of("a", "x"), second.of("a", "y"), second.of("", "x")] == given_out
    assert not second.unsaved
    assert second.of("b", "x") not in given_out
    assert not log.said


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"{",
        b"[]",
        b'{"next":1}',
        b'{"next":200,"aliases":{"a/x":300}}',
        b'{"next":400,"aliases":{"a/x":300,"a/y":300}}',
        b'{"next":200,"aliases":{"a/x":"150"}}',
        b'{"next":true,"aliases":{}}',
        b'{"next":200,"aliases":{"a/x":1}}',
        b"\xff" * 50,
    ],
)
def test_a_file_of_aliases_that_is_none_is_said_and_begun_anew(tmp_path: Any, content: bytes) -> None:
    (tmp_path / "aliases.json").write_bytes(content)
    log: Any = Noted()
    aliases = Aliases(tmp_path, log)
    assert aliases.of("a", "x") == 128
    assert log.said == ["the aliases of metrics are lost, and given anew"]
    aliases.save()
    assert Aliases(tmp_path, log).of("a", "x") == 128


def test_the_number_of_the_session_counts_on_and_begins_again_after_255(tmp_path: Any) -> None:
    log: Any = Noted()
    assert [next_session(tmp_path, log) for _ in range(258)] == [*range(256), 0, 1]
    for content in (b"", b"{}", b'{"bdSeq":256}', b'{"bdSeq":"1"}', b"[1]", b'{"bdSeq":true}'):
        (tmp_path / "bdseq.json").write_bytes(content)
        assert next_session(tmp_path, log) == 0
    assert len(log.said) == 6
