"""The bytes that we write and read ourselves, against paho's own reading of them."""

from unittest.mock import Mock

import paho.mqtt
from hypothesis import given
from hypothesis import strategies as st
from paho.mqtt import _packet
from paho.mqtt.enums import MQTTProtocolVersion

from gateway.mqtt import paho_client
from gateway.mqtt.broker_options import MqttOptions
from gateway.mqtt.packets import long_puback, packed_length, packed_topic, read_length
from gateway.mqtt.paho_client import BatchedClient, PlainClient, client_type
from gateway.mqtt.unanswered import Unanswered
from tests.mqtt.fake_broker import puback


@given(st.integers(0, 268_435_455))
def test_lengths_are_read_as_they_were_written(length: int) -> None:
    packed = packed_length(length)
    assert read_length(bytearray(b"\x40" + packed), 1) == (length, 1 + len(packed))
    assert read_length(bytearray(b"\x40" + packed[:-1]), 1) is None


@given(
    st.text(st.characters(exclude_characters="+#\0", exclude_categories=["Cs"]), min_size=1), st.binary(), st.booleans()
)
def test_published_packets_are_what_paho_reads(topic: str, payload: bytes, retain: bool) -> None:
    for version in (MQTTProtocolVersion.MQTTv5, MQTTProtocolVersion.MQTTv311):
        sending = BatchedClient(MqttOptions("h", 1, "c"), None, version, Mock(), Unanswered())
        sending.on_socket_register_write = lambda *_: None
        mids = sending.send([(topic, payload, retain, None), (topic, b"", False, None)])
        packets = bytes(sending._out_packet[0]["packet"])
        length = read_length(packets, 1)
        assert length is not None
        size, start = length
        read = _packet.decode_publish(packets[0], packets[start : start + size], version)
        assert (read.topic.decode(), read.payload, read.retain, read.qos, read.mid) == (
            topic,
            payload,
            retain,
            1,
            mids[0],
        )


@given(
    st.integers(1, 65535),
    st.sampled_from([0x10, 0x80, 0x87, 0x97]),
    st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"]), max_size=30),
)
def test_acknowledgements_are_read_as_paho_reads_them(mid: int, code: int, text: str) -> None:
    body = puback(mid, code, text)[2:] if len(text.encode()) < 100 else puback(mid, code)[2:]
    theirs = _packet.decode_puback(0x40, body, MQTTProtocolVersion.MQTTv5)
    ours = long_puback(body)
    assert (ours.mid, ours.code) == (theirs.mid, theirs.reason.value)
    assert ours.text == getattr(theirs.properties, "ReasonString", "")


def test_a_topic_is_packed_with_its_length_in_bytes() -> None:
    assert packed_topic("übung") == b"\x00\x06\xc3\xbcbung"


def test_this_paho_is_one_that_the_batched_client_was_tested_with() -> None:
    assert client_type() is BatchedClient


def test_another_paho_is_used_by_its_public_api(monkeypatch) -> None:  # type: ignore[no-untyped-def]
    monkeypatch.setattr(paho.mqtt, "__version__", "2.3.0")
    assert client_type() is PlainClient


def test_a_paho_without_our_hooks_is_used_by_its_public_api(monkeypatch) -> None:  # type: ignore[no-untyped-def]
    monkeypatch.setattr(paho_client, "HOOKS", (*paho_client.HOOKS, "_gone"))
    assert client_type() is PlainClient
