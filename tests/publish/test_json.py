"""Readings as JSON messages, as docs/json.md says."""

import base64
import gc
import json
import math
import weakref
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.core.context import Context
from gateway.core.quality import (
    BAD,
    BAD_NO_COMMUNICATION,
    CLAMPED,
    HISTORICAL,
    REPEATED,
    STALE,
    UNCERTAIN_LAST_VALUE,
    describe,
)
from gateway.core.readings import Exact, Readings
from gateway.core.tag import VALUE_TYPES
from gateway.publish import encoder as encoder_module

from .blocks import T0_MS, block, device, encoder, record

NAN = math.nan


def messages(readings: Any, **options: Any) -> list[dict[str, Any]]:
    return [json.loads(message.payload) for message in encoder(**options).messages(record(readings))]


def message(readings: Any) -> dict[str, Any]:
    (only,) = messages(readings)
    return only


def test_a_scan_is_one_message_with_time_values_id_and_context() -> None:
    coater = device({"inlet_temp": "float32", "fan": "bool", "count": "uint32"})
    (sent,) = encoder().messages(record(block(coater, [np.float32(21.3), 1, 42])))
    assert sent.topic == "north/coating/coater-1"
    assert json.loads(sent.payload) == {
        "ts": T0_MS,
        "values": {"inlet_temp": 21.3, "fan": True, "count": 42},
        "id": "log1:data:17",
        "accepted": T0_MS + 5,
        "context": {"site": "north", "area": "solids", "line": "coating"},
    }


@pytest.mark.parametrize(
    ("of_type", "value", "printed"),
    [
        ("bool", 0.0, b"false"),
        ("bool", -0.0, b"false"),
        ("bool", 1.0, b"true"),
        ("bool", 2.0, b"true"),
        ("bool", NAN, b"null"),
        ("int8", -128, b"-128"),
        ("uint16", 65535, b"65535"),
        ("int32", -1, b"-1"),
        ("uint32", 10, b"10"),
        ("int64", 2**53 - 1, b"9007199254740991"),
        ("int64", -(2**53) + 1, b"-9007199254740991"),
        ("uint64", 0, b"0"),
        ("int16", NAN, b"null"),
        ("int16", 1.05, b"1.05"),
        ("float32", np.float32(21.3), b"21.3"),
        ("float32", np.float32(3.4e38), b"3.4e+38"),
        ("float32", 1e300, b"null"),
        ("float64", 21.299999237060547, b"21.299999237060547"),
        ("float64", 0.1 + 0.2, b"0.30000000000000004"),
        ("float64", NAN, b"null"),
        ("float64", math.inf, b"null"),
        ("", 1.5, b"1.5"),
    ],
)
def test_a_value_is_printed_as_its_type_says(of_type: str, value: float, printed: bytes) -> None:
    one = device({"x": of_type})
    many = device({"before": "bool", "x": of_type, "after": "int16", "last": "float32"})
    for readings in (block(one, [value]), block(many, [1, value, 7, 0.5])):
        (sent,) = encoder().messages(record(readings))
        assert b'"x":' + printed + b"," in sent.payload.replace(b"}", b",")
        json.loads(sent.payload)


@pytest.mark.parametrize(
    ("value", "read"),
    [
        ("", ""),
        ('say "hé"\n', 'say "hé"\n'),
        ("half a pair \ud83d", "half a pair ?"),
        (b"\x00\xff", base64.b64encode(b"\x00\xff").decode()),
        (2**63, 2**63),
        (2**64 + 1, 2**64 + 1),
        (-(2**63), -(2**63)),
        ([1, 2.5, None, NAN, "x", b"y", [2**70, NAN]], [1, 2.5, None, None, "x", "eQ==", [2**70, None]]),
    ],
)
def test_a_value_that_is_no_float64_is_printed_exactly(value: Exact, read: Any) -> None:
    readings = block(device({"a": "float64", "x": "string", "n": "uint16"}), [0.5, NAN, 3], exact={1: value})
    assert message(readings)["values"] == {"a": 0.5, "x": read, "n": 3}


def test_values_stand_in_the_order_of_the_readings_whatever_their_types() -> None:
    types = ["float32", "bool", "uint16", "float64", "bool", "float32", "string"]
    mixed = device({f"t{number}": of_type for number, of_type in enumerate(types)})
    values = message(block(mixed, [0.5, 1, 2, 3.5, 0, 4.5, NAN], exact={6: "end"}))["values"]
    assert list(values.items()) == [
        ("t0", 0.5), ("t1", True), ("t2", 2), ("t3", 3.5), ("t4", False), ("t5", 4.5), ("t6", "end"),
    ]  # fmt: skip


def test_rows_with_another_source_time_are_listed_and_the_newest_is_the_message_time() -> None:
    three = device({"a": "float64", "b": "float64", "c": "float64"})
    got = message(block(three, [1, 2, 3], times_ms=[T0_MS, T0_MS - 1500, T0_MS]))
    assert got["ts"] == T0_MS
    assert got["t"] == {"b": T0_MS - 1500}


def test_bad_values_are_null_and_what_is_not_plainly_good_is_listed_in_words() -> None:
    five = device(dict.fromkeys("abcde", "int32"))
    quality = [0, BAD_NO_COMMUNICATION, UNCERTAIN_LAST_VALUE | STALE, CLAMPED, BAD | 0x00AB_0000]
    got = message(block(five, [1, NAN, 3, 4, 5], quality=quality))
    assert got["values"] == {"a": 1, "b": None, "c": 3, "d": 4, "e": None}
    assert got["q"] == {
        "b": "bad no communication",
        "c": "uncertain last value, stale",
        "d": "good, clamped",
        "e": "bad (0x80AB0000)",
    }


def test_a_bad_text_is_null_though_the_device_sent_one() -> None:
    got = message(block(device({"a": "string"}), [NAN], quality=BAD, exact={0: "rubbish"}))
    assert got["values"] == {"a": None}


def test_history_is_marked_once_per_message() -> None:
    two = device({"a": "float64", "b": "float64"})
    got = message(block(two, [1, 2], quality=[HISTORICAL, HISTORICAL | REPEATED]))
    assert got["historical"] is True
    assert got["q"] == {"b": "good, repeated"}
    assert "q" not in message(block(two, [1, 2], quality=HISTORICAL))


def test_further_samples_of_a_tag_open_further_messages() -> None:
    two = device({"a": "float64", "b": "bool"})
    readings = block(two, [1, 2, 1, 3, 0], rows=[0, 0, 1, 0, 1], times_ms=[T0_MS + n for n in range(5)])
    first, second, third = messages(readings)
    assert [each["id"] for each in (first, second, third)] == ["log1:data:17", "log1:data:17:1", "log1:data:17:2"]
    assert (first["values"], first["ts"], first["t"]) == ({"a": 1, "b": True}, T0_MS + 2, {"a": T0_MS})
    assert (second["values"], second["ts"], second["t"]) == ({"a": 2, "b": False}, T0_MS + 4, {"a": T0_MS + 1})
    assert (third["values"], third["ts"]) == ({"a": 3}, T0_MS + 3)


def test_one_message_per_tag_on_request() -> None:
    two = device({"a/b": "float32", "_state": "string"})
    readings = block(two, [21.3, NAN], quality=[0, BAD | HISTORICAL], times_ms=[T0_MS, T0_MS - 1])
    first, second = encoder(per_tag=True).messages(record(readings))
    assert first.topic == "north/coating/coater-1/a_b"
    assert second.topic == "north/coating/coater-1/__state"
    context = {"site": "north", "area": "solids", "line": "coating"}
    accepted = T0_MS + 5
    assert json.loads(first.payload) == {
        "ts": T0_MS, "tag": "a/b", "value": 21.3, "id": "log1:data:17", "accepted": accepted, "context": context,
    }  # fmt: skip
    assert json.loads(second.payload) == {
        "ts": T0_MS - 1, "tag": "_state", "value": None, "q": "bad", "historical": True,
        "id": "log1:data:17:1", "accepted": accepted, "context": context,
    }  # fmt: skip


def test_names_of_any_script_and_quotes_come_through() -> None:
    names = ['Ofen "3" °C', "温度", "back\\slash", "%b %", "a:b,c", "\U0001f525"]
    got = message(block(device(dict.fromkeys(names, "float64")), [1, 2, 3, 4, 5, 6], quality=STALE))
    assert list(got["values"]) == names
    assert list(got["q"]) == names


def test_a_device_without_context_sends_none() -> None:
    assert "context" not in message(block(device({"a": "bool"}, context=Context()), [1]))


def test_a_record_without_rows_is_still_a_message() -> None:
    got = message(block(device({"a": "bool"}), []))
    assert got["values"] == {}
    assert got["ts"] == T0_MS + 5


def test_columns_that_are_not_aligned_or_not_contiguous_are_printed_right() -> None:
    three = device({"a": "float64", "b": "float64", "c": "float64"})
    raw = b"\x00" + np.array([1.5, 2.5, 3.5]).tobytes()
    unaligned = np.frombuffer(raw, np.float64, 3, 1)
    strided = np.array([1.5, 0, 2.5, 0, 3.5, 0])[::2]
    for column in (unaligned, strided):
        readings = block(three, [0, 0, 0])
        object.__setattr__(readings, "value", column)
        assert list(message(readings)["values"].values()) == [1.5, 2.5, 3.5]


def test_ever_new_selections_of_tags_do_not_fill_the_memory() -> None:
    many = device({f"t{n}": "float64" for n in range(10)})
    subject = encoder()
    for bits in range(1, 200):
        rows = [row for row in range(10) if bits >> row & 1]
        (sent,) = subject.messages(record(block(many, [float(row) for row in rows], rows=rows)))
        assert json.loads(sent.payload)["values"] == {f"t{row}": row for row in rows}
    assert len(subject._plan(many)[1]._layouts) <= 4


# Whatever is read, the JSON decodes back to it.

_RANGES = {"int8": (-128, 127), "uint8": (0, 255), "int16": (-(2**15), 2**15 - 1), "uint16": (0, 2**16 - 1)}
_WIDE = (-(2**53) + 1, 2**53 - 1)


def _value(of_type: str) -> st.SearchStrategy[Any]:
    if of_type == "bool":
        return st.booleans()
    if of_type == "string":
        return st.text()
    if of_type == "bytes":
        return st.binary()
    if of_type.startswith("float"):
        return st.floats(width=32 if of_type == "float32" else 64, allow_nan=False, allow_infinity=False)
    low, high = _RANGES.get(of_type, _WIDE)
    return st.integers(low, high)


_ROWS = st.lists(
    st.sampled_from(VALUE_TYPES).flatmap(
        lambda of_type: st.tuples(
            st.just(of_type),
            _value(of_type),
            st.integers(T0_MS - 3, T0_MS),
            st.sampled_from([0, 0, 0, BAD, UNCERTAIN_LAST_VALUE, STALE, BAD_NO_COMMUNICATION | HISTORICAL]),
        )
    ),
    min_size=1,
    max_size=12,
)


@given(rows=_ROWS, names=st.lists(st.text(min_size=1), min_size=12, max_size=12, unique=True))
def test_the_json_decodes_back_to_the_readings(rows: list[tuple[str, Any, int, int]], names: list[str]) -> None:
    types, values, times, quality = zip(*rows, strict=True)
    of = device(dict(zip(names, types, strict=False)))
    exact = {row: value for row, value in enumerate(values) if isinstance(value, str | bytes)}
    numbers = [NAN if row in exact else float(value) for row, value in enumerate(values)]
    got = message(block(of, numbers, times_ms=times, quality=quality, exact=exact))
    assert list(got["values"]) == names[: len(rows)]
    for name, (of_type, value, time, code) in zip(names, rows, strict=False):
        read = got["values"][name]
        assert got.get("t", {}).get(name, got["ts"]) == time
        words = got.get("q", {}).get(name, "good")
        assert words == describe(code & ~HISTORICAL)
        if code >= BAD:
            assert read is None
        elif of_type == "bytes":
            assert base64.b64decode(read) == value
        elif of_type == "float32":
            assert np.float32(read) == np.float32(value)
        else:
            assert read == value
            assert type(read) is type(value) or of_type == "float64"


@given(rows=st.lists(st.tuples(st.integers(0, 3), st.integers(-9, 9)), max_size=20))
def test_every_sample_is_in_exactly_one_message_in_its_order(rows: list[tuple[int, int]]) -> None:
    of = device(dict.fromkeys("abcd", "int16"))
    readings = block(of, [value for _, value in rows], rows=[row for row, _ in rows])
    seen: dict[str, list[int]] = {}
    for each in messages(readings):
        for name, value in each["values"].items():
            seen.setdefault(name, []).append(value)
    expected: dict[str, list[int]] = {}
    for row, value in rows:
        expected.setdefault("abcd"[row], []).append(value)
    assert seen == expected


@pytest.mark.parametrize(("bound", "most"), [("KEPT_TAGS", 10), ("KEPT_DEVICES", 5)])
def test_devices_that_reloads_have_replaced_do_not_fill_the_memory(
    monkeypatch: pytest.MonkeyPatch, bound: str, most: int
) -> None:
    monkeypatch.setattr(encoder_module, bound, most)
    one = encoder()
    alive = []
    for number in range(50):
        replaced = device({"inlet_temp": "float64", "speed": "int16"}, f"press-{number // 10}")
        one.messages(record(block(replaced, [1.0, 2.0])))
        alive.append(weakref.ref(replaced))
        del replaced
    gc.collect()
    assert [each() is not None for each in alive] == [False] * 44 + [True] * 6


def test_the_plan_of_one_large_device_of_history_stays_while_it_is_sent(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(encoder_module, "KEPT_TAGS", 1)
    one, old = encoder(), device({"inlet_temp": "float64", "speed": "int16"})
    one.messages(record(block(old, [1.0, 2.0])))
    plan = one._plans[old]
    one.messages(record(block(old, [1.0, 2.0])))
    assert one._plans[old] is plan


def test_a_burst_of_one_tag_leaves_no_plan_of_its_length_behind() -> None:
    one, bursting = encoder(), device({"inlet_temp": "float64", "speed": "int16"})
    tag = bursting.tags.ids[:1]
    for count in (2, 900, 5000, 60_000):
        burst = Readings(bursting, np.arange(count), tag.repeat(count), np.zeros(count), np.zeros(count, np.uint32))
        assert len(one.messages(record(burst))) == count
    kept = [len(key) // 4 for key in one._plans[bursting][1]._layouts]
    assert kept == [2, 1, 900]
