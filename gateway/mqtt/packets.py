"""The few packets that we read and write ourselves, as bytes (MQTT 5, OASIS 2019; 3.1.1 where it differs)."""

from functools import lru_cache
from typing import Any, NamedTuple, TypeAlias

from gateway.mqtt.broker_options import Barrier

UNUSED_FILTER = "$barrier/none"
"""Never subscribed."""

Outgoing: TypeAlias = tuple[str, bytes, bool, Any]
"""Topic, payload, retain, and a token that comes back with the answer."""


class Received(NamedTuple):
    """A message that came in."""

    topic: str
    payload: bytes
    retained: bool = False
    """Whether it was kept by the broker, and sent because we have subscribed."""
    again: bool = False
    """Whether it may have been sent before (DUP)."""
    response_topic: str = ""
    """Where its sender wants an answer (MQTT 5); empty: none."""
    correlation: bytes = b""
    """What its sender wants back with the answer (MQTT 5)."""
    expires: bool = False
    """Whether its sender has said how long brokers may keep it for us (MQTT 5)."""
    dropped: int = 0
    """Bytes that it has beyond those that we take; then the payload is left out."""


class NotMqttError(Exception):
    """The far side has sent what no broker sends; the text says what."""


class PubAck(NamedTuple):
    """The broker's answer to one message, when it is more than "taken": a reason code, and its own words, if any."""

    mid: int
    code: int
    text: str = ""


@lru_cache(maxsize=8192)
def packed_topic(topic: str) -> bytes:
    """A topic with its length, as it stands in a packet. Raises ValueError for one that must not be published to."""
    name = topic.encode()
    if not name or len(name) > 0xFFFF or any(sign in topic for sign in "+#\0"):
        raise ValueError(
            f'topic "{topic[:100]}" cannot be published to: it is empty, too long, or holds "+", "#" or NUL'
        )
    return len(name).to_bytes(2, "big") + name


def packed_length(length: int) -> bytes:
    """A variable byte integer (MQTT 5 section 1.5.5)."""
    if length < 0x80:
        return bytes((length,))
    if length < 0x4000:
        return bytes((length & 0x7F | 0x80, length >> 7))
    return bytes((length & 0x7F | 0x80,)) + packed_length(length >> 7)


def barrier_packet(barrier: Barrier, marker: tuple[str, bytes], mid: int, five: bool) -> bytes:
    """What goes out behind messages with QoS 0. `marker`: topic and payload."""
    number, properties = mid.to_bytes(2, "big"), b"\0" if five else b""
    if barrier == "marker":
        body, first = packed_topic(marker[0]) + number + properties + marker[1], b"\x32"
    else:
        body, first = number + properties + packed_topic(UNUSED_FILTER), b"\xa2"
    return first + packed_length(len(body)) + body


def read_length(data: bytes | bytearray, at: int) -> tuple[int, int] | None:
    """The variable byte integer at `at` (MQTT 5 section 1.5.5), and where the next byte stands; None while incomplete.
    Raises NotMqttError for one of more than four bytes."""
    length = 0
    for index, byte in enumerate(data[at : at + 4]):
        length |= (byte & 0x7F) << 7 * index
        if byte < 0x80:
            return length, at + index + 1
    if len(data) - at >= 4:
        raise NotMqttError("it sent a length of more than four bytes: that is no MQTT")
    return None


def long_puback(body: bytes) -> PubAck:
    """An acknowledgement with a reason code and perhaps properties (MQTT 5 section 3.4.2)."""
    mid = int.from_bytes(body[:2], "big")
    code = body[2] if len(body) > 2 else 0
    properties = read_length(body, 3) if len(body) > 3 else None
    return PubAck(mid, code, _reason_string(body[properties[1] :]) if properties else "")


def _reason_string(properties: bytes) -> str:
    """The Reason String (identifier 0x1F) where it stands first, as brokers write it; else nothing."""
    if properties[:1] != b"\x1f":
        return ""
    length = int.from_bytes(properties[1:3], "big")
    return properties[3 : 3 + length].decode(errors="replace")
