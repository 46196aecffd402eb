"""paho's client in two ways of use, with one face: `send`, `receive`, and the answers in `accepted` and `answered`.

`PlainClient` uses the public API only: a publish costs some 30 µs, because paho makes a message object and a lock for
each, writes each packet by itself, and reads each acknowledgement with three recv calls.

`BatchedClient` does the two hot things itself: it encodes many PUBLISH packets into one piece and one write, and reads
PUBACKs in bulk from a buffer. Everything else (CONNECT, TLS, will, keep-alive, SUBSCRIBE, DISCONNECT) stays paho's, which
reads its packets from the same buffer. It leans on four private members of paho, listed in HOOKS, and is used only with
versions it was tested with; `client_type` chooses.

Neither keeps anything in paho's queues: messages are handed over only when they may go out at once.
"""

import ssl
from collections.abc import Callable, Sequence
from typing import Any

import paho.mqtt
from paho.mqtt.client import MQTT_ERR_QUEUE_SIZE, Client
from paho.mqtt.enums import CallbackAPIVersion, MQTTProtocolVersion
from paho.mqtt.packettypes import PacketTypes

from gateway.mqtt.options import MqttOptions, Will
from gateway.mqtt.packets import Answer, Outgoing, long_puback, packed_length, packed_topic, read_length
from gateway.mqtt.words import FAILURE, NO_SUBSCRIBERS

TESTED = "2.2."
HOOKS = ("_sock_recv", "_packet_queue", "_mid_generate", "_in_packet")

_READ_SIZE = 1 << 18
_CONNACK, _PUBACK = 0x20, 0x40
_MALFORMED = _PUBACK | 0x0F
_LONGEST_PUBACK = 1 << 18
_TLS_ALERT = 0x15


class PlainClient(Client):
    """One connection, by paho's public API."""

    way = "public"

    def __init__(self, options: MqttOptions, will: Will | None, version: MQTTProtocolVersion) -> None:
        super().__init__(
            CallbackAPIVersion.VERSION2, client_id=options.client_id, protocol=version, reconnect_on_failure=False
        )
        self.is_mid_free: Callable[[int], bool] = lambda mid: True
        self.trouble: OSError | None = None
        """What broke the connection, as far as known."""
        self.accepted: list[int] = []
        """Packet identifiers of messages that the broker has taken, in order; emptied by the reader."""
        self.answered: list[Answer] = []
        """The other answers; emptied by the reader."""
        self.unheard: list[int] = []
        """Those of the accepted messages to which, the broker said, nobody subscribes; emptied by the reader."""
        self.max_inflight_messages_set(0)
        self.connect_timeout = options.timeout
        if options.user:
            self.username_pw_set(options.user, options.password)
        if will is not None:
            self.will_set(will.topic, will.payload, qos=1, retain=will.retain)
        self.on_publish = self._published

    def send(self, messages: Sequence[Outgoing]) -> list[int]:
        """Queue messages with QoS 1; `loop_write` sends them. Returns their packet identifiers."""
        return [self._publish(topic, payload, retain) for topic, payload, retain, _ in messages]

    def _publish(self, topic: str, payload: bytes, retain: bool) -> int:
        while (info := self.publish(topic, payload, 1, retain)).rc == MQTT_ERR_QUEUE_SIZE:
            pass  # that packet identifier is still in use; the next try takes the next one
        return info.mid

    def receive(self) -> None:
        """Take in what the socket has."""
        self.loop_read()
        while isinstance(sock := self.socket(), ssl.SSLSocket) and sock.pending():
            self.loop_read()

    def _published(self, client: Client, userdata: Any, mid: int, code: Any, properties: Any) -> None:
        if code.value < FAILURE:
            self.accepted.append(mid)
            if code.value == NO_SUBSCRIBERS:
                self.unheard.append(mid)
        else:
            self.answered.append(Answer(mid, code.value, getattr(properties, "ReasonString", "")))


class BatchedClient(PlainClient):
    """One connection; publishes and acknowledgements in bulk."""

    way = "batched"

    def __init__(self, options: MqttOptions, will: Will | None, version: MQTTProtocolVersion) -> None:
        super().__init__(options, will, version)
        self._five = version == MQTTProtocolVersion.MQTTv5
        self._mid = 0
        self._input = bytearray()
        self._greeted = False
        self._ended = False

    def send(self, messages: Sequence[Outgoing]) -> list[int]:
        properties = b"\0" if self._five else b""
        mids = []
        parts: list[bytes] = []
        for topic, payload, retain, _ in messages:
            name = packed_topic(topic)
            mid = self._mid_generate()
            mids.append(mid)
            size = packed_length(len(name) + 2 + len(properties) + len(payload))
            parts += (b"\x33" if retain else b"\x32", size, name, mid.to_bytes(2, "big"), properties, payload)
        packet = memoryview(b"".join(parts))  # a view: paho slices it after each partial write
        self._packet_queue(PacketTypes.PUBLISH << 4, packet, mids[-1], 1)  # type: ignore[arg-type]
        return mids

    def _mid_generate(self) -> int:
        while True:
            self._mid = self._mid % 0xFFFF + 1
            if self.is_mid_free(self._mid):
                return self._mid

    def receive(self) -> None:
        self._fill()
        while self.socket() is not None and (self._input or self._ended):
            if self._in_packet["command"] == 0 and self._take_pubacks():
                return
            if self._input or self._ended:
                self.loop_read()

    def _fill(self) -> None:
        """Read what the socket has; a TLS socket may hold more than the selector sees."""
        try:
            while data := super()._sock_recv(_READ_SIZE):
                self._input += data
                sock = self.socket()
                if not (isinstance(sock, ssl.SSLSocket) and sock.pending()):
                    return
            self._ended = True
        except BlockingIOError:
            return
        except OSError as error:
            self._break(error)

    def _sock_recv(self, bufsize: int) -> bytes:
        """Serves paho's own reading from the buffer."""
        if self._input:
            data = bytes(self._input[:bufsize])
            del self._input[:bufsize]
            return data
        if self.trouble is not None:
            raise self.trouble
        if self._ended:
            return b""
        raise BlockingIOError

    def _break(self, error: OSError) -> None:
        """Let paho end the connection for this reason."""
        self.trouble = error
        self._ended = True

    def _take_pubacks(self) -> bool:
        """Take the PUBACKs at the head of the buffer out of it. True when what remains is an unfinished one."""
        data = self._input
        self._greeted = self._greeted or self.is_connected()
        if not self._greeted:
            if data and data[0] & 0xF0 != _CONNACK:
                self._refuse(OSError(not_mqtt(data[0])))
            return False
        taken = self._parse_pubacks(data)
        del data[:taken]
        if not data or data[0] & 0xF0 != _PUBACK:
            return False
        if data[0] != _PUBACK or len(data) > _LONGEST_PUBACK:
            self._refuse(OSError("it sent an acknowledgement that is no MQTT"))
        return not self._ended

    def _parse_pubacks(self, data: bytearray) -> int:
        """Note all whole PUBACKs from the start of `data`; returns how many bytes they take. Stops at a malformed one."""
        at, end = 0, len(data)
        while end - at >= 4 and data[at] == _PUBACK:
            if data[at + 1] == 2:
                self.accepted.append(data[at + 2] << 8 | data[at + 3])
                at += 4
                continue
            if data[at + 1] == 3 and end - at >= 5 and data[at + 4] == NO_SUBSCRIBERS:
                self.accepted.append(data[at + 2] << 8 | data[at + 3])
                self.unheard.append(self.accepted[-1])
                at += 5
                continue
            length = read_length(data, at + 1)
            if length is None or sum(length) > end:
                break
            size, start = length
            if size < 2 or not self._five:
                data[at] = _MALFORMED
                break
            at = start + size
            answer = long_puback(bytes(data[start:at]))
            self.answered.append(answer)
            if answer.code == NO_SUBSCRIBERS:
                self.unheard.append(answer.mid)
        return at

    def _refuse(self, error: OSError) -> None:
        self._input.clear()
        self._break(error)


def not_mqtt(first: int) -> str:
    """Words for an answer to CONNECT that is no CONNACK."""
    if first == _TLS_ALERT:
        return "it expects TLS: set tls = true"
    return f"it does not speak MQTT (its first byte is 0x{first:02X}): is the port right?"


def client_type() -> type[PlainClient]:
    """The batched client where paho is a version that it was tested with, else the plain one."""
    tested = paho.mqtt.__version__.startswith(TESTED)
    # _in_packet is made by paho's constructor, the others are its methods
    probe = Client(CallbackAPIVersion.VERSION2) if tested else None
    return BatchedClient if probe and all(hasattr(probe, hook) for hook in HOOKS) else PlainClient
