"""paho's client in two ways of use, with one face: `send`, `receive`, and the answers in `accepted` and `answered`.

`PlainClient` leaves the packets to paho: a publish costs some 30 µs, because paho makes a message object and a lock for
each, writes each packet by itself, and makes two objects of each acknowledgement.

`BatchedClient` does the two hot things itself: it encodes many PUBLISH packets into one piece and one write, and reads
PUBACKs in bulk. Everything else (CONNECT, will, keep-alive, SUBSCRIBE, DISCONNECT) stays paho's.

Both read the socket themselves, and give paho only whole packets that `Incoming` has let pass, a bounded number in one turn
of the loop. They lean on private members of paho, listed in HOOKS; `client_type` chooses.

Neither keeps anything in paho's queues: messages are handed over only when they may go out at once.
"""

import socket
import ssl
from collections.abc import Sequence
from typing import Any, Protocol

import paho.mqtt
from paho.mqtt.client import MQTT_ERR_QUEUE_SIZE, Client
from paho.mqtt.enums import CallbackAPIVersion, MQTTProtocolVersion
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties

from gateway.core.errors import RefusedError
from gateway.core.parsing import doubting
from gateway.dial import without_zone
from gateway.mqtt.broker_options import Barrier, MqttOptions, Will
from gateway.mqtt.incoming import LONGEST_PUBACK, PUBACK, PUBLISH, Incoming
from gateway.mqtt.packets import (
    UNUSED_FILTER,
    NotMqttError,
    Outgoing,
    PubAck,
    Received,
    barrier_packet,
    long_puback,
    packed_length,
    packed_topic,
    read_length,
)
from gateway.mqtt.unanswered import Unanswered
from gateway.mqtt.websocket import WebSocket
from gateway.mqtt.words import FAILURE, NO_SUBSCRIBERS

TESTED = "2.2."
NEEDED = ("_sock_recv", "_send_pingreq", "_create_socket")
"""Without the first, paho takes from a broker whatever he sends; without the last, it dials by itself."""
HOOKS = ("_packet_queue", "_mid_generate")

PACKETS_A_TURN = 50
"""Packets that paho gets in one turn of the loop, at 20 to 60 µs each; others want the loop too."""
_PUBACKS_FOR_A_PACKET = 20
"""So many acknowledgements count like one packet: there is one for each message of ours, and a window of them may come."""
UNTAKEN = 1000
"""Messages that may come in while none of our answers to them goes out."""
_READ_SIZE = 1 << 18


class ClientHost(Protocol):
    """Whose client it is; called by paho, within a call of the client's."""

    def connack(self, client: Any, userdata: Any, flags: Any, code: Any, properties: Any) -> None:
        """The broker has answered the CONNECT."""
        ...

    def disconnected(self, client: Any, userdata: Any, flags: Any, code: Any, properties: Any) -> None:
        """The connection has ended."""
        ...

    def opened(self, client: Any, userdata: Any, sock: Any) -> None:
        """The socket is connected; still in the thread that dials."""
        ...

    def closing(self) -> None:
        """The socket will be closed."""
        ...

    def want_write(self, wanted: bool) -> None:
        """Something waits for the socket to take it, or nothing does any more."""
        ...


class PlainClient(Client):
    """One connection, its packets made and read by paho."""

    way = "public"

    def __init__(
        self,
        options: MqttOptions,
        will: Will | None,
        version: MQTTProtocolVersion,
        host: ClientHost,
        unanswered: Unanswered,
    ) -> None:
        super().__init__(
            CallbackAPIVersion.VERSION2, client_id=options.client_id, protocol=version, reconnect_on_failure=False
        )
        self._options = options
        self._five = version == MQTTProtocolVersion.MQTTv5
        self.incoming = Incoming(self._five, unanswered)
        self._unanswered = unanswered
        self.trouble: OSError | None = None
        """What broke the connection, as far as known."""
        self.accepted: list[int] = []
        """Packet identifiers of messages that the broker has taken, and of barriers that it has answered, in order; emptied
        by the reader."""
        self.answered: list[PubAck] = []
        """The other answers; emptied by the reader."""
        self.unheard: list[int] = []
        """Those of the accepted messages to which, the broker said, nobody subscribes; emptied by the reader."""
        self.messages: list[Received] = []
        """What came in; emptied by the reader."""
        self._unwritten: dict[int, int] = {}
        """Of messages with QoS 0 that paho has not written yet: their numbers, which no answer of the broker's is about, and
        the bytes of their payloads."""
        self._packet = memoryview(b"")
        """What paho has not read yet of the packet that it is given."""
        self._ended = False
        self._last = False
        self._filled = False
        self._untaken = 0
        self.max_inflight_messages_set(0)
        if options.user:
            self.username_pw_set(options.user, options.password)
        if will is not None:
            self.will_set(will.topic, will.payload, qos=1, retain=will.retain)
        self.on_publish = self._published
        self.on_message = self._message
        self.on_subscribe = self.on_unsubscribe = unanswered.answered
        self.on_connect = host.connack
        self.on_disconnect = host.disconnected
        self.on_socket_open = host.opened
        self.on_socket_close = lambda *_: host.closing()
        self.on_socket_register_write = lambda *_: host.want_write(True)
        self.on_socket_unregister_write = lambda *_: host.want_write(False)

    def dial(self, sock: socket.socket, context: ssl.SSLContext | None) -> None:
        """Encrypt what is connected, and queue the CONNECT. Blocks; raises OSError or ValueError, and closes it then."""
        self._dialled = sock, context
        # Without properties: brokers that speak only 3.1.1 wait for ever when they read them as the client id's length.
        self.connect(self._options.host, self._options.port, max(1, round(self._options.keep_alive)))

    def _create_socket(self) -> Any:
        """In place of paho's own, which checks no other name than the host's, and leaves the socket open where TLS fails."""
        options, (sock, context) = self._options, self._dialled
        try:
            sock.settimeout(options.timeout)
            if context is not None:
                sock = context.wrap_socket(sock, server_hostname=without_zone(options.host))
            if not options.websocket:
                return sock
            carrier = WebSocket(sock)
            carrier.ask(options.address, options.websocket, options.timeout)
        except BaseException:
            sock.close()
            raise
        return carrier

    def send(self, messages: Sequence[Outgoing]) -> list[int]:
        """Queue messages with QoS 1; `loop_write` sends them. Returns their packet identifiers."""
        return [self._publish(topic, payload, retain) for topic, payload, retain, _ in messages]

    def send_group(self, messages: Sequence[Outgoing], barrier: Barrier, marker: tuple[str, bytes]) -> int:
        """Queue messages with QoS 0, and a barrier behind them. Returns the barrier's packet identifier."""
        for topic, payload, retain, _ in messages:
            self._unwritten[self.publish(topic, payload, 0, retain).mid] = len(payload)
        if barrier == "marker":
            return self._publish(*marker, False)
        _, mid = self.unsubscribe(UNUSED_FILTER)
        assert mid is not None  # it has a socket
        return mid

    def _publish(self, topic: str, payload: bytes, retain: bool) -> int:
        while (info := self.publish(topic, payload, 1, retain)).rc == MQTT_ERR_QUEUE_SIZE:
            pass  # that packet identifier is still in use; the next try takes the next one
        return info.mid

    def answer(self, topic: str, payload: bytes, correlation: bytes) -> None:
        """Queue a message with QoS 0 that nobody waits for."""
        properties = None
        if self._five and correlation:
            properties = Properties(PacketTypes.PUBLISH)  # type: ignore[no-untyped-call]
            properties.CorrelationData = correlation
        self._unwritten[self.publish(topic, payload, 0, False, properties).mid] = len(payload)

    @property
    def unwritten(self) -> int:
        """Bytes of messages with QoS 0 that paho holds, because the socket does not take them."""
        return sum(self._unwritten.values())

    def subscribe(self, *args: Any, **kwargs: Any) -> Any:
        self.incoming.expect_messages()
        return super().subscribe(*args, **kwargs)

    def ping(self) -> None:
        """Queue a PINGREQ. `incoming.pinged` is true until it is answered."""
        self.incoming.expect_pong()
        self._send_pingreq()

    def close_socket(self) -> None:
        """Without a good-bye, and without a word to the host."""
        self.on_socket_close = None
        self.on_socket_register_write = None
        self.on_socket_unregister_write = None
        sock = self.socket()
        if sock is not None:
            sock.close()

    def receive(self) -> bool:
        """Take in what the socket has, as far as one turn of the loop bears it. Whether there is more to be taken in
        without waiting for the socket. Raises NotMqttError for what no broker sends."""
        self._fill()
        room = PACKETS_A_TURN * _PUBACKS_FOR_A_PACKET
        while room > 0:
            self._take_pubacks()
            if self.socket() is None or not (packet := self.incoming.next()):
                break
            if not self.incoming.unwanted:
                self._give_to_paho(packet)
            room -= 1 if packet[0] == PUBACK else _PUBACKS_FOR_A_PACKET
        else:
            return self.socket() is not None
        if self._ended:
            self._last = True
            self.loop_read()  # paho reads the end of the connection, and tells of it
        return self._filled

    def _fill(self) -> None:
        """Read what the socket has, until it has no more: uvloop tells only once of an error, such as a reset right behind an
        acknowledgement, and that one is seen only by reading on."""
        room, self._filled = _READ_SIZE, False
        try:
            while room > 0 and (data := super()._sock_recv(room)):
                self.incoming.data += data
                room -= len(data)
            self._ended = self._ended or room > 0
            self._filled = room <= 0
        except BlockingIOError:
            return
        except OSError as error:
            self.trouble = error
            self._ended = True

    def _give_to_paho(self, packet: bytes) -> None:
        """One packet; a message is answered by paho, and the answers of one turn after the other must be taken."""
        if packet[0] & 0xF0 == PUBLISH:
            self._untaken = self._untaken + 1 if self.want_write() else 0
            if self._untaken > UNTAKEN:
                raise NotMqttError("it sends messages and does not take our answers to them")
        self._packet = memoryview(packet)
        with doubting(lambda why: NotMqttError(f"it sent something that is no MQTT: {why}")):
            self.loop_read()

    def _sock_recv(self, bufsize: int) -> bytes:
        """Serves paho's own reading."""
        if self._packet:
            data, self._packet = bytes(self._packet[:bufsize]), self._packet[bufsize:]
            return data
        if self._last and self.trouble is not None:
            raise self.trouble
        if self._last:
            return b""
        raise BlockingIOError

    def _take_pubacks(self) -> None:
        """Take the acknowledgements at the head of the buffer out of it, if that is not left to paho."""

    def _published(self, client: Client, userdata: Any, mid: int, code: Any, properties: Any) -> None:
        if mid in self._unwritten:
            del self._unwritten[mid]
        elif code.value < FAILURE:
            self.accepted.append(mid)
            if code.value == NO_SUBSCRIBERS:
                self.unheard.append(mid)
        else:
            self.answered.append(PubAck(mid, code.value, getattr(properties, "ReasonString", "")))

    def _message(self, client: Client, userdata: Any, message: Any) -> None:
        said = message.properties
        self.messages.append(
            Received(
                message.topic,
                message.payload,
                message.retain,
                message.dup,
                getattr(said, "ResponseTopic", ""),
                getattr(said, "CorrelationData", b""),
                hasattr(said, "MessageExpiryInterval"),
                self.incoming.dropped,
            )
        )


class BatchedClient(PlainClient):
    """One connection; publishes and acknowledgements in bulk."""

    way = "batched"
    _mid = 0
    """The last message id that was given."""

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

    def send_group(self, messages: Sequence[Outgoing], barrier: Barrier, marker: tuple[str, bytes]) -> int:
        properties = b"\0" if self._five else b""
        parts: list[bytes] = []
        for topic, payload, retain, _ in messages:
            name = packed_topic(topic)
            size = packed_length(len(name) + len(properties) + len(payload))
            parts += (b"\x31" if retain else b"\x30", size, name, properties, payload)
        mid = self._mid_generate()
        parts.append(barrier_packet(barrier, marker, mid, self._five))
        packet = memoryview(b"".join(parts))
        self._packet_queue(PacketTypes.PUBLISH << 4, packet, mid, 1)  # type: ignore[arg-type]  # 1, else paho tells of it
        return mid

    def _mid_generate(self) -> int:
        while True:
            self._mid = self._mid % 0xFFFF + 1
            if self._unanswered.is_free(self._mid):
                return self._mid

    def _take_pubacks(self) -> None:
        """What it leaves at the head of the buffer, such as an unfinished or a malformed one, `Incoming` judges."""
        data = self.incoming.data
        if self.incoming.greeted and data and data[0] == PUBACK and not self.incoming.dropping:
            del data[: self._parse_pubacks(data)]

    def _parse_pubacks(self, data: bytearray) -> int:
        """Note all whole PUBACKs from the start of `data`; returns how many bytes they take."""
        at, end = 0, len(data)
        while end - at >= 4 and data[at] == PUBACK:
            if data[at + 1] == 2:
                self.accepted.append(data[at + 2] << 8 | data[at + 3])
                at += 4
                continue
            if not self._five:
                break
            if data[at + 1] == 3 and end - at >= 5 and data[at + 4] == NO_SUBSCRIBERS:
                self.accepted.append(data[at + 2] << 8 | data[at + 3])
                self.unheard.append(self.accepted[-1])
                at += 5
                continue
            length = read_length(data, at + 1)
            if length is None or sum(length) > end or length[0] < 2 or length[0] > LONGEST_PUBACK:
                break
            size, start = length
            at = start + size
            answer = long_puback(bytes(data[start:at]))
            self.answered.append(answer)
            if answer.code == NO_SUBSCRIBERS:
                self.unheard.append(answer.mid)
        return at


def client_type() -> type[PlainClient]:
    """The batched client where paho is a version that it was tested with, else the plain one. Raises RefusedError for a
    paho that would read by itself."""
    probe = Client(CallbackAPIVersion.VERSION2)
    if not all(hasattr(probe, hook) for hook in NEEDED):
        raise RefusedError(f"paho-mqtt {paho.mqtt.__version__} is not known to this gateway: install {TESTED}x")
    tested = paho.mqtt.__version__.startswith(TESTED)
    return BatchedClient if tested and all(hasattr(probe, hook) for hook in HOOKS) else PlainClient
