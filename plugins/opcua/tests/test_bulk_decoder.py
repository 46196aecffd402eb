"""The cheap decoder gives what the library's gives, for every kind of value, status and time that a server may send."""

import struct
from datetime import UTC, datetime
from random import Random

import numpy as np
import pytest
from asyncua import ua
from asyncua.common.utils import Buffer
from asyncua.ua.ua_binary import struct_from_binary, struct_to_binary
from hypothesis import given
from hypothesis import strategies as st

from gateway.plugin import quality
from plugins.opcua.session.errors import NOT_UNDERSTOOD
from plugins.opcua.values import bulk_decoder
from plugins.opcua.values.blocks import Block, as_block
from plugins.opcua.values.bulk_decoder import Decoder
from plugins.opcua.values.notification import decode_publish

from .fakes import whole

V = ua.VariantType
NOW = 1_800_000_000_000_000_000

times = st.none() | st.datetimes(datetime(1601, 1, 1), datetime(9999, 12, 31)).map(lambda t: t.replace(tzinfo=UTC))
codes = st.sampled_from([None, 0, 0, 0, 0x40920000, 0x80340000, 0x0000_0480]) | st.integers(0, 2**32 - 1)
SCALARS = {
    V.Boolean: st.booleans(),
    V.SByte: st.integers(-(2**7), 2**7 - 1),
    V.Byte: st.integers(0, 2**8 - 1),
    V.Int16: st.integers(-(2**15), 2**15 - 1),
    V.UInt16: st.integers(0, 2**16 - 1),
    V.Int32: st.integers(-(2**31), 2**31 - 1),
    V.UInt32: st.integers(0, 2**32 - 1),
    V.Int64: st.integers(-(2**63), 2**63 - 1),
    V.UInt64: st.integers(0, 2**64 - 1),
    V.Float: st.floats(width=32),
    V.Double: st.floats(),
    V.StatusCode: st.integers(0, 2**32 - 1).map(ua.StatusCode),
    V.String: st.none() | st.text(),
    V.ByteString: st.none() | st.binary(),
    V.DateTime: st.datetimes(datetime(1601, 1, 1), datetime(9998, 1, 1)).map(lambda t: t.replace(tzinfo=UTC)),
    V.Guid: st.uuids(),
    V.LocalizedText: st.text().map(ua.LocalizedText),
    V.QualifiedName: st.text(min_size=1).map(lambda text: ua.QualifiedName(text, 2)),
    V.NodeId: st.integers(0, 2**32 - 1).map(lambda number: ua.NodeId(number, 3)),
    V.ExtensionObject: st.just(ua.Range(0.0, 1.0)),
    V.Null: st.none(),
}
scalars = st.sampled_from(list(SCALARS)).flatmap(lambda kind: SCALARS[kind].map(lambda value: ua.Variant(value, kind)))
arrays = st.lists(st.floats(), max_size=4).map(lambda values: ua.Variant(values, V.Double, is_array=True))


@st.composite
def data_values(draw, variants=scalars | arrays) -> ua.DataValue:
    code = draw(codes)
    return ua.DataValue(
        draw(variants) if draw(st.integers(0, 9)) else None,
        None if code is None else ua.StatusCode(code),
        SourceTimestamp=draw(times),
        ServerTimestamp=draw(times),
    )


def answer(values: list[ua.DataValue], handles: list[int] | None = None) -> bytes:
    response = ua.PublishResponse()
    response.Parameters.SubscriptionId = 7
    items = [
        ua.MonitoredItemNotification(ClientHandle=handle, Value=value)
        for handle, value in zip(handles or range(len(values)), values, strict=True)
    ]
    response.Parameters.NotificationMessage = ua.NotificationMessage(
        SequenceNumber=3, NotificationData=[ua.DataChangeNotification(MonitoredItems=items)]
    )
    return struct_to_binary(response)


def by_library(data: bytes) -> Block:
    response = struct_from_binary(ua.PublishResponse, Buffer(data))
    (part,) = response.Parameters.NotificationMessage.NotificationData
    return as_block([item.Value for item in part.MonitoredItems], NOW)


def assert_same(got: Block, wanted: Block) -> None:
    assert (got.t_ns // 1000).tolist() == (wanted.t_ns // 1000).tolist()  # the library knows no more than microseconds
    np.testing.assert_array_equal(got.value, wanted.value)
    assert got.quality.tolist() == wanted.quality.tolist()
    assert repr(sorted(got.exact.items())) == repr(sorted(wanted.exact.items()))  # which finds a NaN equal to a NaN
    assert got.unusable == wanted.unusable


@given(st.lists(st.tuples(st.integers(0, 2**31), data_values()), max_size=12))
def test_any_values_come_out_as_the_library_decodes_them(items):
    handles, values = [handle for handle, _ in items], [value for _, value in items]
    found, block = whole(decode_publish(Buffer(answer(values, handles))))
    assert found.tolist() == handles
    assert_same(block, by_library(answer(values)))


def taken(data: bytes, decoder: Decoder) -> Block:
    return whole(decode_publish(Buffer(data)), decoder)[1]


numbers = scalars.filter(lambda variant: variant.VariantType.value in bulk_decoder._KINDS)


@given(st.lists(data_values(numbers), min_size=1, max_size=8), st.lists(st.integers(0, 7), max_size=6), st.data())
def test_an_answer_after_another_is_decoded_by_its_own_layout(values, cuts, data):
    decoder = Decoder()
    for cut in [8, *cuts]:
        fresh = [
            data.draw(data_values(numbers)) if data.draw(st.integers(0, 5)) == 0 else each for each in values[: cut + 1]
        ]
        packed = answer(fresh)
        assert_same(taken(packed, decoder), by_library(packed))


def test_numbers_of_all_kinds_never_go_through_the_library(monkeypatch):
    moment = datetime(2026, 5, 4, 3, 2, 1, tzinfo=UTC)
    kinds = [kind for kind in SCALARS if kind.value in bulk_decoder._KINDS]
    values = [
        ua.DataValue(ua.Variant(ua.StatusCode(1) if kind is V.StatusCode else 1, kind), SourceTimestamp=moment)
        for kind in kinds * 3
    ]
    packed, wanted = answer(values), by_library(answer(values))

    def refuse(*_):
        raise AssertionError("decoded by the library")

    monkeypatch.setattr(bulk_decoder, "_by_library", refuse)
    assert_same(taken(packed, Decoder()), wanted)


def test_a_read_answer_is_decoded_the_same_way():
    values = [ua.DataValue(ua.Variant(value, V.Double), ua.StatusCode(0)) for value in (1.0, 2.0, 3.0)]
    packed = struct.pack("<i", 3) + b"".join(map(struct_to_binary, values)) + b"\0\0\0\0"
    assert_same(Decoder().values(packed, 4, len(packed), 3, NOW)[0], as_block(values, NOW))


def test_times_keep_their_tenths_of_a_microsecond_and_picoseconds_stand_behind_their_time():
    ticks = bulk_decoder._UNIX_EPOCH + 17
    mask = 1 | 4 | 8 | 16 | 32
    packed = struct.pack("<BBdqHqH", mask, V.Double.value, 2.5, ticks, 999, ticks + 5, 7) + bytes(4)
    block = Decoder().values(packed, 0, len(packed), 1, NOW)[0]
    assert (block.t_ns.tolist(), block.value.tolist()) == ([1700], [2.5])
    packed = struct.pack("<BBdqHqH", mask, V.Double.value, 2.5, 0, 999, ticks + 5, 7) + bytes(4)
    assert Decoder().values(packed, 0, len(packed), 1, NOW)[0].t_ns.tolist() == [2200]


def test_a_time_before_the_first_clock_or_after_the_last_is_none():
    for year in (1601, 9999):
        value = ua.DataValue(ua.Variant(1.0), SourceTimestamp=datetime(year, 1, 1, tzinfo=UTC))
        assert taken(answer([value]), Decoder()).t_ns.tolist() == [NOW]
        assert as_block([value], NOW).t_ns.tolist() == [NOW]


def test_a_message_of_several_parts_gives_the_values_of_all():
    response = ua.PublishResponse()
    one = ua.DataChangeNotification(MonitoredItems=[ua.MonitoredItemNotification(4, ua.DataValue(ua.Variant(1.0)))])
    response.Parameters.NotificationMessage.NotificationData = [one, one]
    handles, block = whole(decode_publish(Buffer(struct_to_binary(response))))
    assert (handles.tolist(), block.value.tolist()) == ([4, 4], [1.0, 1.0])


@given(st.lists(data_values(), min_size=1, max_size=6), st.data())
def test_a_damaged_answer_never_gives_what_the_library_would_not(values, data):
    packed = bytearray(answer(values))
    decoder = Decoder()
    taken(bytes(packed), decoder)
    for _ in range(data.draw(st.integers(1, 3))):
        packed[data.draw(st.integers(0, len(packed) - 1))] ^= data.draw(st.integers(1, 255))
    damaged = bytes(packed)[: data.draw(st.integers(1, len(packed)))]
    try:
        handles, block = whole(decode_publish(Buffer(damaged)), decoder)
    except NOT_UNDERSTOOD:
        return
    assert len(block.value) == len(handles)
    assert not (np.isnan(block.value) & (block.quality < quality.BAD)).any() or block.exact


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_two_hundred_thousand_damaged_answers_never_give_what_the_library_would_not():
    random = Random(4)
    moment = datetime(2026, 5, 4, 3, 2, 1, tzinfo=UTC)
    kinds = [kind for kind in SCALARS if kind.value in bulk_decoder._KINDS and kind is not V.StatusCode]
    whole = [
        answer([ua.DataValue(ua.Variant(1, kind), ua.StatusCode(code), SourceTimestamp=moment) for kind in kinds])
        for code in (0, 0x80340000)
    ]
    whole.append(answer([ua.DataValue(ua.Variant(1.5), SourceTimestamp=moment)] * 5 + [ua.DataValue(ua.Variant("a"))]))
    decoder = Decoder()
    agreed = 0
    for _ in range(200_000):
        damaged = bytearray(random.choice(whole))
        for _ in range(random.randint(1, 3)):
            damaged[random.randrange(24, len(damaged))] = random.randrange(256)
        try:
            found = taken(bytes(damaged), decoder)
        except NOT_UNDERSTOOD:
            continue
        try:
            wanted = by_library(bytes(damaged))
        except NOT_UNDERSTOOD:  # of what follows the values, which the cheap road does not look at
            continue
        # Behind a value that cannot be decoded the library may have lost its place; that value alone is bad here.
        odd = np.flatnonzero(found.quality == quality.BAD_DECODING)
        sure = slice(int(odd[0]) if len(odd) else None)
        np.testing.assert_array_equal(found.value[sure], wanted.value[sure])
        assert found.quality[sure].tolist() == wanted.quality[sure].tolist()
        agreed += not len(odd)
    assert agreed > 20_000
