"""Publish answers to columns, for everything that a server may send."""

import math
from contextlib import suppress
from datetime import UTC, datetime

import numpy as np
import pytest
from asyncua import ua
from asyncua.common.utils import Buffer, NotEnoughData
from asyncua.ua.ua_binary import struct_to_binary
from hypothesis import given, settings
from hypothesis import strategies as st

from gateway.plugin import LinkError, quality
from plugins.opcua.session.errors import NOT_UNDERSTOOD, in_words
from plugins.opcua.values.blocks import as_block
from plugins.opcua.values.notification import EndUnknownError, Notification, decode_publish
from plugins.opcua.values.plain import as_exact

from .conftest import make_device
from .fakes import whole

DEVICE = make_device("opc.tcp://plc", ["A"])
WHEN = datetime(2024, 2, 29, 12, 0, 0, 123456, UTC)
NOW = 1_800_000_000_000_000_000
V = ua.VariantType


def one(value: ua.DataValue) -> tuple[int, object, int]:
    readings = as_block([value], NOW).readings(DEVICE, np.array([100], np.uint32))
    return int(readings.t_ns[0]), readings.exact.get(0, float(readings.value[0])), int(readings.quality[0])


def decoded(data: bytes) -> Notification:
    return decode_publish(Buffer(data))


def rows(notification: Notification) -> list[tuple[int, object, int]]:
    _, block = whole(notification)
    return [
        (int(block.t_ns[row]), as_exact(block.exact.get(row, float(block.value[row]))), int(block.quality[row]))
        for row in range(len(block.value))
    ]


def answer(*values: ua.DataValue, sequence: int = 1) -> bytes:
    items = [ua.MonitoredItemNotification(ClientHandle=row, Value=value) for row, value in enumerate(values)]
    response = ua.PublishResponse()
    response.Parameters.SubscriptionId = 7
    response.Parameters.NotificationMessage = ua.NotificationMessage(
        SequenceNumber=sequence, PublishTime=WHEN, NotificationData=[ua.DataChangeNotification(MonitoredItems=items)]
    )
    return struct_to_binary(response)


def value_of(kind: V, value: object, status: int = 0) -> ua.DataValue:
    return ua.DataValue(ua.Variant(value, kind), ua.StatusCode(status), SourceTimestamp=WHEN, ServerTimestamp=WHEN)


integers = {
    V.SByte: (-(2**7), 2**7 - 1),
    V.Byte: (0, 2**8 - 1),
    V.Int16: (-(2**15), 2**15 - 1),
    V.UInt16: (0, 2**16 - 1),
    V.Int32: (-(2**31), 2**31 - 1),
    V.UInt32: (0, 2**32 - 1),
    V.Int64: (-(2**63), 2**63 - 1),
    V.UInt64: (0, 2**64 - 1),
}
any_integer = st.sampled_from(list(integers)).flatmap(
    lambda kind: st.tuples(st.just(kind), st.integers(*integers[kind]))
)
status_codes = st.builds(lambda high, low: high << 16 | low << 7, st.integers(0, 0x0FFF), st.integers(0, 0x1F)).map(
    lambda code: code & ~quality.FLAGS
)


@given(any_integer)
def test_integers_arrive_exactly(typed):
    kind, number = typed
    ((t_ns, got, code),) = rows(decoded(answer(value_of(kind, number))))
    assert got == number
    assert isinstance(got, int) == (abs(number) > 2**53)
    assert (t_ns, code) == (int(WHEN.timestamp()) * 10**9 + 123_456_000, quality.GOOD)


@given(st.floats(allow_nan=False), st.text(), st.binary())
def test_floats_texts_and_bytes_arrive_exactly(number, text, raw):
    data = answer(value_of(V.Double, number), value_of(V.String, text), value_of(V.ByteString, raw))
    notification = decoded(data)
    assert [value for _, value, _ in rows(notification)] == [number, text, raw]
    assert whole(notification)[0].tolist() == [0, 1, 2]


@given(status_codes)
def test_every_status_code_becomes_the_quality_and_a_bad_one_hides_the_value(status):
    _, got, code = one(value_of(V.Double, 1.0, status))
    assert code == status
    assert math.isnan(got) == (status >= quality.BAD)


def test_the_reserved_bits_of_a_status_code_never_pass_for_the_gateways_flags():
    assert one(value_of(V.Double, 1.0, quality.STALE | quality.FORCED))[2] == quality.GOOD


def test_what_cannot_be_a_value_is_never_good():
    assert one(value_of(V.Double, math.nan))[2] == quality.BAD_SENSOR_FAILURE
    unknown = ua.ExtensionObject(TypeId=ua.NodeId(3002, 4), Body=b"...")
    assert one(value_of(V.ExtensionObject, unknown))[1:] == (b"...", quality.BAD_DECODING)
    assert as_block([value_of(V.ExtensionObject, unknown)], NOW).unusable == {
        0: "a structure of the unknown type ns=4;i=3002: its bytes are passed on as they are"
    }
    assert one(value_of(V.ExtensionObject, [unknown]))[2] == quality.BAD_NOT_SUPPORTED
    assert one(ua.DataValue(StatusCode=ua.StatusCode(0)))[2] >= quality.BAD


@pytest.mark.parametrize(
    ("variant", "value"),
    [
        (ua.Variant([1.5, 2.0], V.Double), [1.5, 2.0]),
        (ua.Variant([], V.Double, is_array=True), []),
        (ua.Variant([[1, 2], [3, 4]], V.Int32), [[1.0, 2.0], [3.0, 4.0]]),
        (ua.Variant([2**63, 1], V.UInt64), [2**63, 1.0]),
        (ua.Variant(["a", None], V.String), ["a", None]),
        (ua.Variant([ua.LocalizedText("offen", "de")], V.LocalizedText), ["offen"]),
        (ua.Variant(ua.Range(0.5, 1.0)), '{"Low": 0.5, "High": 1.0}'),
        (ua.Variant([ua.Range(0.5, 1.0)], V.ExtensionObject), ['{"Low": 0.5, "High": 1.0}']),
        (
            ua.Variant(ua.EUInformation("urn:u", 7, ua.LocalizedText("°C"), ua.LocalizedText("degree"))),
            '{"NamespaceUri": "urn:u", "UnitId": 7, "DisplayName": "°C", "Description": "degree"}',
        ),
    ],
)
def test_arrays_become_lists_and_structures_json(variant, value):
    ((_, got, code),) = rows(decoded(answer(ua.DataValue(variant))))
    assert (got, code) == (value, quality.GOOD)


def test_without_a_source_time_the_servers_stands_in_and_then_ours():
    given_by_server = ua.DataValue(ua.Variant(1.0), ServerTimestamp=WHEN)
    assert one(given_by_server)[0] == int(WHEN.timestamp()) * 10**9 + 123_456_000
    assert one(ua.DataValue(ua.Variant(1.0)))[0] == NOW


def test_a_keep_alive_and_an_ended_subscription_are_told_apart():
    response = ua.PublishResponse()
    response.Parameters.SubscriptionId = 7
    response.Parameters.NotificationMessage.SequenceNumber = 4
    assert decoded(struct_to_binary(response)).keep_alive
    ended = ua.StatusChangeNotification(Status=ua.StatusCode(ua.StatusCodes.BadTimeout))
    response.Parameters.NotificationMessage.NotificationData = [ended]
    assert decoded(struct_to_binary(response)).ended == quality.BAD_TIMEOUT


WHOLE = answer(
    *(value_of(kind, 1) for kind in integers),
    value_of(V.String, "text"),
    value_of(V.Double, [1.0]),
    value_of(V.Double, 1.0),
)


def test_an_array_of_nulls_is_refused_whatever_length_it_claims():
    null = answer(ua.DataValue(ua.Variant(None)))
    variant = null.index(struct_to_binary(ua.DataValue(ua.Variant(None)))) + 1
    claimed = null[:variant] + b"\x80" + (2**31 - 1).to_bytes(4, "little") + null[variant + 1 :]
    with pytest.raises(EndUnknownError, match="array of nulls"):
        rows(decoded(claimed))


@settings(deadline=None)
@given(st.data())
def test_damaged_answers_raise_only_what_is_caught(data):
    position = data.draw(st.integers(0, len(WHOLE) - 1))
    damaged = WHOLE[:position] + data.draw(st.binary(max_size=8)) + WHOLE[position + data.draw(st.integers(0, 8)) :]
    try:
        notification = decoded(damaged)
        handles, block = whole(notification)
        block.readings(DEVICE, np.zeros(len(handles), np.uint32))
    except NOT_UNDERSTOOD:
        pass


@given(st.binary(max_size=300))
def test_random_bytes_raise_only_what_is_caught(data):
    with suppress(NOT_UNDERSTOOD):
        rows(decoded(data))


@pytest.mark.parametrize("kind", [*NOT_UNDERSTOOD, NotEnoughData])
def test_an_answer_that_makes_no_sense_is_a_lost_link_and_no_bug(kind):
    with (
        pytest.raises(LinkError, match=r"reading: the server's answer makes no sense \(.*: cut off"),
        in_words("reading"),
    ):
        raise kind("cut off")
