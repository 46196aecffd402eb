"""What a broker sends, cut into packets, and judged before anything is made of it.

Whoever answers at the broker's port may send what he likes, and paho takes it all: messages of 256 MiB, and any number of
messages that nobody has asked for. So paho is only ever given whole packets, each of a kind that we can have asked for and
of bounded size. Everything else raises NotMqttError, at the latest when its length is known. Only the payload of a message
that we have subscribed to may be larger, since any other client of an honest broker can send it: it is dropped as it comes.
"""

import time

from gateway.mqtt.packets import NotMqttError, packed_length, read_length
from gateway.mqtt.unanswered import Unanswered

LARGEST_MESSAGE = 1 << 20
"""Bytes of a message that comes in."""
UNASKED = 100
"""Answers to what was not asked that are borne in a minute: some brokers answer twice, and amqtt hands retained messages to
clients that have subscribed to nothing. Such messages are dropped."""

LONGEST_PUBACK = 1 << 14

CONNACK, PUBLISH, PUBACK, SUBACK, UNSUBACK, PINGRESP, DISCONNECT = 0x20, 0x30, 0x40, 0x90, 0xB0, 0xD0, 0xE0
_NAMES = (
    "a packet of type 0", "CONNECT", "CONNACK", "PUBLISH", "PUBACK", "PUBREC", "PUBREL", "PUBCOMP",
    "SUBSCRIBE", "SUBACK", "UNSUBSCRIBE", "UNSUBACK", "PINGREQ", "PINGRESP", "DISCONNECT", "AUTH",
)  # fmt: skip
_LARGEST = {
    CONNACK: 1 << 14,
    PUBLISH: LARGEST_MESSAGE,
    PUBACK: LONGEST_PUBACK,
    SUBACK: 1 << 14,
    UNSUBACK: 1 << 14,
    PINGRESP: 0,
    DISCONNECT: 1 << 14,
}
"""Bytes of a packet behind its length. Text that a broker may add to an answer is a few lines, not a book."""
_TLS_ALERT = 0x15


def _sent(what: str) -> NotMqttError:
    return NotMqttError(f"it sent {what}; no MQTT broker does that")


class Incoming:
    """The bytes that came on one connection."""

    def __init__(self, five: bool, unanswered: Unanswered) -> None:
        """`five`: MQTT 5 is spoken."""
        self.data = bytearray()
        self.greeted = False
        """Whether the CONNACK has come."""
        self.unwanted = False
        """Whether what `next` gave last is a message, and we have subscribed to nothing: it is to be left alone."""
        self.dropped = 0
        """Bytes of the message that `next` gave last, where it was too large: it was given without its payload."""
        self.dropping = 0
        """Bytes of such a message that are still to come; brokers are confused by an answer before they have sent them."""
        self._shortened = (b"", 0)
        """What is given of it then, and its size."""
        self._subscribed = False
        """Whether we have asked for messages."""
        self.pinged = False
        """Whether a ping waits for its answer."""
        self._unanswered = unanswered
        self._five = five
        self._unasked = 0
        self._since = time.monotonic()

    def expect_messages(self) -> None:
        """We have asked for messages."""
        self._subscribed = True

    def expect_pong(self) -> None:
        """We have sent a PINGREQ."""
        self.pinged = True

    def next(self) -> bytes:
        """The next whole packet, taken out of the buffer; empty while there is none."""
        data = self.data
        self.dropped = 0
        if self.dropping:
            return self._drop()
        if not data:
            return b""
        largest = self._judge(data[0])
        length = read_length(data, 1)
        if length is None:
            return b""
        size, start = length
        self.unwanted = data[0] & 0xF0 == PUBLISH and not self._subscribed
        if size > largest and data[0] & 0xF0 == PUBLISH and not self.unwanted:
            return self._without_payload(size, start)
        if size > largest:
            raise _sent(f"a {_name(data[0])} of {size} bytes, more than the {largest} that we take")
        if len(data) < start + size:
            return b""
        packet = bytes(data[: start + size])
        del data[: start + size]
        if self.unwanted:
            self.unasked(1, "messages")
        self._look_into(packet[0], packet[start:])
        return packet

    def _without_payload(self, size: int, start: int) -> bytes:
        """A message that is too large, as if it had neither payload nor properties; empty until its beginning is there."""
        data = self.data
        topic = start + 2 + int.from_bytes(data[start : start + 2], "big")
        end = topic + 2 if data[0] & 6 else topic
        if len(data) < max(end, start + 2):
            return b""
        body = bytes(data[start:end]) + (b"\0" if self._five else b"")
        packet = bytes(data[:1]) + packed_length(len(body)) + body
        _check_topic(body)
        self._shortened = packet, size
        self.dropping = start + size
        return self._drop()

    def _drop(self) -> bytes:
        """What has come of it; the message without its payload once all of it has."""
        some = min(self.dropping, len(self.data))
        del self.data[:some]
        self.dropping -= some
        if self.dropping:
            return b""
        packet, self.dropped = self._shortened
        return packet

    def unasked(self, count: int, what: str) -> None:
        """So many answers came that we have not asked for."""
        now = time.monotonic()
        if now - self._since > 60:
            self._since, self._unasked = now, 0
        self._unasked += count
        if self._unasked > UNASKED:
            raise _sent(f"more than {UNASKED} {what} that we have not asked for")

    def _judge(self, first: int) -> int:
        """How many bytes a packet that begins like this may have behind its length."""
        kind = first & 0xF0
        if not self.greeted:
            if first != CONNACK:
                raise NotMqttError(not_mqtt(first))
            return _LARGEST[CONNACK]
        if kind not in _LARGEST or (kind == DISCONNECT and not self._five):
            raise _sent(f"{_name(first)}, which it has no reason to send")
        if kind == CONNACK:
            raise _sent("a second CONNACK")
        if kind == PUBLISH:
            self._judge_message(first)
        elif first & 0x0F:
            raise _sent(f"{_name(first)} with the flags 0x{first & 0x0F:X}, which it does not have")
        return _LARGEST[kind]

    def _judge_message(self, first: int) -> None:
        if (first >> 1) & 3 > 1:
            raise _sent("a message with QoS 2, which we have not asked for")

    def _look_into(self, first: int, body: bytes) -> None:
        kind = first & 0xF0
        if kind == CONNACK:
            self.greeted = True
        elif kind == PINGRESP:
            if not self.pinged:
                self.unasked(1, "answers to pings")
            self.pinged = False
        elif kind == PUBLISH:
            _check_topic(body)
        elif kind in (PUBACK, SUBACK, UNSUBACK):
            self._check_answer(kind, body)

    def _check_answer(self, kind: int, body: bytes) -> None:
        mid = int.from_bytes(body[:2], "big")
        if len(body) < 2 or (kind == PUBACK and len(body) > 2 and not self._five):
            raise _sent(f"{_name(kind)} of {len(body)} bytes")
        if kind == PUBACK:
            if not self._unanswered.is_message(mid):
                self.unasked(1, "acknowledgements")
        elif not self._unanswered.is_question(mid):
            raise _sent(f"{_name(kind)}, though we have not asked for it")


def _check_topic(body: bytes) -> None:
    topic = body[2 : 2 + int.from_bytes(body[:2], "big")]
    try:
        text = topic.decode()
    except UnicodeDecodeError:
        text = ""
    if not text or any(sign in text for sign in "+#\0"):
        raise NotMqttError("a message without a proper topic")  # an alias would need our consent


def _name(first: int) -> str:
    return _NAMES[first >> 4]


def not_mqtt(first: int) -> str:
    """Words for an answer to CONNECT that is no CONNACK."""
    if first == _TLS_ALERT:
        return "it expects TLS: set tls = true"
    return f"it does not speak MQTT (its first byte is 0x{first:02X}): is the port right?"
