"""One connection to a broker, driven by the event loop: dialled in a thread, then read and written as the socket allows."""

import asyncio
import fcntl
import socket
import ssl
import struct
import termios
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from paho.mqtt.enums import MQTTProtocolVersion
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.reasoncodes import ReasonCode

from gateway.core.errors import LinkError
from gateway.dial import in_a_thread, open_socket, tls_context
from gateway.mqtt.broker_options import Barrier, MqttOptions, Will
from gateway.mqtt.packets import NotMqttError, Outgoing
from gateway.mqtt.paho_client import PlainClient
from gateway.mqtt.unanswered import Unanswered
from gateway.mqtt.words import FAILURE, disconnected, failed_dial, lost, no_answer, refused_connection

BREATH = 0.01
"""Seconds for which a link that has brought more than one turn of the loop bears is not read."""
LEAST_PACKET = 64
"""Bytes; a broker that takes no packet of this size takes none of ours."""
DIALLING = 4
"""Time-outs that a dial may take in all: name server, several addresses, TLS handshake."""

_BYTES_ACKED, _TCP_INFO = 120, 128
"""Where tcpi_bytes_acked stands in struct tcp_info (linux/tcp.h, since 4.1), and how much of it is read."""

VERSIONS = {"5": MQTTProtocolVersion.MQTTv5, "3.1.1": MQTTProtocolVersion.MQTTv311}


@dataclass(frozen=True)
class Welcome:
    """What the broker said in its CONNACK."""

    receive_maximum: int = 0xFFFF
    maximum_packet_size: int = 268_435_460
    maximum_qos: int = 2
    retain_available: bool = True


class BrokerLink:
    """`open` it once; then `ended` is set to the reason when the connection ends, and nothing happens after it."""

    def __init__(
        self,
        options: MqttOptions,
        will: Will | None,
        version: str,
        client_type: type[PlainClient],
        unanswered: Unanswered,
        on_input: Callable[[], None],
    ) -> None:
        self.options = options
        self.ended: asyncio.Future[Exception] = asyncio.get_running_loop().create_future()
        self.tls = ""
        self.refusal = 0
        """The reason code of the CONNACK."""
        self._loop = asyncio.get_running_loop()
        self._on_input = on_input
        self._welcome: asyncio.Future[Welcome] = self._loop.create_future()
        self._answered = False
        self._fd = -1
        self.taken = 0
        """Bytes that the peer's TCP had taken when it was last looked at, and more was to be sent."""
        self._taken_before = 0
        self._keep_alive = options.keep_alive
        self._pinged_at = self._alive_at = 0.0
        self._tick: asyncio.TimerHandle | None = None
        self._breath: asyncio.TimerHandle | None = None
        self._writing = False
        self._writer_set = False
        self.client = client_type(options, will, VERSIONS[version], self, unanswered)

    async def open(self) -> Welcome:
        """Dial, greet, and wait for the broker's welcome. Raises LinkError in plain words and then leaves nothing open."""
        try:
            await self._dial()
            self._attach()
            async with asyncio.timeout(self.options.timeout):
                heard: set[asyncio.Future[Any]] = {self._welcome, self.ended}
                await asyncio.wait(heard, return_when=asyncio.FIRST_COMPLETED)
        except TimeoutError:
            self.close()
            raise LinkError(
                f"broker {self.options.address} has taken the connection, but not answered within"
                f' {self.options.timeout:g} s: is it an MQTT broker? An old one may bear only protocol = "3.1.1"'
            ) from None
        except BaseException:
            self.close()
            raise
        if self._welcome.done():
            return self._welcome.result()
        self.close()
        raise self.ended.result()

    async def _dial(self) -> None:
        limit = DIALLING * self.options.timeout
        try:
            async with asyncio.timeout(limit) as waiting:
                context = await self._tls_context()
                sock = await open_socket(self.options.host, self.options.port, self.options.route, self.options.timeout)
                await self._greet(sock, context)
        except (OSError, ValueError) as error:
            if waiting.expired():
                raise LinkError(f"broker {self.options.address}: dialling has not ended within {limit:g} s") from error
            raise failed_dial(self.options, error) from error

    async def _tls_context(self) -> ssl.SSLContext | None:
        tls = self.options.tls
        return None if tls is None else await in_a_thread(self.options.address, lambda: tls_context(tls))

    async def _greet(self, sock: socket.socket, context: ssl.SSLContext | None) -> None:
        try:
            await in_a_thread(self.options.address, lambda: self._dial_blocking(sock, context))
        except LinkError:  # no thread has it
            sock.close()
            raise

    def _dial_blocking(self, sock: socket.socket, context: ssl.SSLContext | None) -> None:
        self.client.dial(sock, context)
        if self.ended.done():  # given up meanwhile
            self.client.close_socket()

    def opened(self, client: Any, userdata: Any, sock: Any) -> None:
        """The socket is connected; still in the thread that dials."""
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, round(self.options.user_timeout * 1000))

    def _attach(self) -> None:
        """Join the connected socket to the event loop, and send the CONNECT that paho has queued."""
        sock = self.client.socket()
        assert sock is not None
        self._fd = sock.fileno()
        self.tls = getattr(sock, "version", lambda: "")() or ""
        self._loop.add_reader(self._fd, self._guarded, self._receive)
        self._pinged_at = self._loop.time()
        self._tick = self._loop.call_later(1, self._guarded, self._watch)
        self.flush()

    def send(self, messages: Sequence[Outgoing]) -> list[int]:
        """Send messages with QoS 1; returns their packet identifiers."""
        self._writing = True  # the write below makes paho's wish for one needless
        mids = self.client.send(messages)
        self.flush()
        return mids

    def send_group(self, messages: Sequence[Outgoing], barrier: Barrier) -> int:
        """Send messages with QoS 0, and a barrier behind them; returns the barrier's packet identifier."""
        self._writing = True
        mid = self.client.send_group(messages, barrier, (self.options.marker_topic, self.options.marker))
        self.flush()
        return mid

    def answer(self, topic: str, payload: bytes, correlation: bytes) -> None:
        """Send a message with QoS 0 that nobody waits for."""
        self._guarded(lambda: self.client.answer(topic, payload, correlation))
        self.flush()

    def flush(self) -> None:
        """Write what is queued, as far as the socket takes it; the rest goes when it takes more."""
        self._writing = True
        self._guarded(self.client.loop_write)
        self._writing = False
        self._set_writer(self.client.want_write())

    def good_bye(self, with_will: bool) -> None:
        """Queue a DISCONNECT and send it; the connection ends when it is written."""
        code = ReasonCode(PacketTypes.DISCONNECT, "Disconnect with will message") if with_will else None
        self._guarded(lambda: self.client.disconnect(code))
        self.flush()

    def want_write(self, wanted: bool) -> None:
        """paho has something to write, or nothing any more."""
        if not self._writing and self._fd >= 0:
            self._set_writer(wanted)

    def _set_writer(self, wanted: bool) -> None:
        if wanted == self._writer_set or self._fd < 0:
            return
        self._writer_set = wanted
        if wanted:
            self._loop.add_writer(self._fd, self.flush)
        else:
            self._loop.remove_writer(self._fd)

    def _receive(self) -> None:
        more = self.client.receive()
        self._acknowledge_at_once()
        self._on_input()
        if more and self._fd >= 0:
            self._loop.remove_reader(self._fd)
            self._breath = self._loop.call_later(BREATH, self._read_on)

    def _read_on(self) -> None:
        self._loop.add_reader(self._fd, self._guarded, self._receive)
        self._guarded(self._receive)

    def _acknowledge_at_once(self) -> None:
        """Have the kernel send its TCP acknowledgement now. A broker that leaves Nagle's algorithm on, as mosquitto does,
        holds all PUBACKs but the first back until it comes, and by itself it comes up to 40 ms late. The kernel forgets
        the option, so it is set each time."""
        sock: Any = self.client.socket()
        if sock is not None:
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_QUICKACK, 1)

    def _watch(self) -> None:
        """Each second: ask the broker whether it is there. A ping waits behind what was sent before it, so as long as that is
        being taken, the broker has time."""
        self._tick = self._loop.call_later(1, self._guarded, self._watch)
        now = self._loop.time()
        if self.look() != self._taken_before:
            self._taken_before, self._alive_at = self.taken, now
        if not self.client.incoming.greeted:
            self._pinged_at = now
        elif not self.client.incoming.pinged:
            if now - self._pinged_at >= self._keep_alive:
                self._pinged_at = now
                self.client.ping()
                self.flush()
        elif now - max(self._pinged_at, self._alive_at) >= self._keep_alive:
            self._end(LinkError(f"broker {self.options.address} has not answered a ping within {self._keep_alive:g} s"))

    def look(self) -> int:
        """Ask the kernel how many bytes were `taken`."""
        sock: Any = self.client.socket()
        if sock is not None and (self.client.want_write() or _unacknowledged(sock)):
            self.taken = _bytes_acknowledged(sock)
        return self.taken

    def _guarded(self, call: Callable[[], Any]) -> None:
        """Whatever goes wrong in a callback of the loop ends this connection, and is told to whoever runs it."""
        try:
            call()
        except NotMqttError as error:
            self._end(LinkError(f"broker {self.options.address}: {error}"))
        except Exception as error:  # noqa: BLE001 -- passed on by `ended`, not swallowed
            self._end(error)

    def connack(self, client: Any, userdata: Any, flags: Any, code: Any, properties: Any) -> None:
        """The broker has answered the CONNECT."""
        self._answered = True
        self.refusal = code.value
        if code.value >= FAILURE:
            text = getattr(properties, "ReasonString", "") or getattr(properties, "ServerReference", "")
            self._end(refused_connection(self.options, code.value, text))
        elif not self._welcome.done():
            welcome = Welcome(
                getattr(properties, "ReceiveMaximum", Welcome.receive_maximum),
                getattr(properties, "MaximumPacketSize", Welcome.maximum_packet_size),
                getattr(properties, "MaximumQoS", Welcome.maximum_qos),
                bool(getattr(properties, "RetainAvailable", 1)),
            )
            if welcome.maximum_packet_size < LEAST_PACKET:
                raise NotMqttError(f"it takes packets of {welcome.maximum_packet_size} bytes, and nothing of ours fits")
            wished = getattr(properties, "ServerKeepAlive", 0)
            self._keep_alive = min(self._keep_alive, wished or self._keep_alive)
            self._welcome.set_result(welcome)

    def disconnected(self, client: Any, userdata: Any, flags: Any, code: Any, properties: Any) -> None:
        """paho says that the connection has ended."""
        if flags.is_disconnect_packet_from_server:
            self._end(disconnected(self.options, code.value, getattr(properties, "ReasonString", "")))
        else:
            self._end(self._why(code.value))

    def _why(self, code: int) -> LinkError:
        where = f"broker {self.options.address}"
        if code == 0:
            return LinkError("the session was ended in good order")
        if code == 0x82:
            return LinkError(f"{where} sent something that is no MQTT")
        if not self._answered and (self.client.trouble is None or isinstance(self.client.trouble, ConnectionError)):
            return no_answer(self.options)
        return lost(self.options, self.client.trouble)

    def _end(self, error: Exception) -> None:
        if not self.ended.done():
            self.ended.set_result(error)
        self.close()

    def reset(self) -> None:
        """Close the connection with a TCP reset, which the far side hears before what it has not read."""
        sock: Any = self.client.socket()
        if sock is not None and not self.ended.done():
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.close()

    def close(self) -> None:
        """Leave the event loop and close the socket, without a good-bye."""
        if not self.ended.done():
            self.ended.set_result(LinkError("closed"))
        for timer in (self._tick, self._breath):
            if timer is not None:
                timer.cancel()
        self.closing()
        self.client.close_socket()

    def closing(self) -> None:
        """The socket will be closed: leave the event loop."""
        if self._fd >= 0:
            self._set_writer(False)
            self._loop.remove_reader(self._fd)
            self._fd = -1


def _unacknowledged(sock: socket.socket) -> int:
    """Bytes that were given to the kernel, and not taken by the peer's TCP (SIOCOUTQ)."""
    return int(struct.unpack("i", fcntl.ioctl(sock.fileno(), termios.TIOCOUTQ, bytes(4)))[0])


def _bytes_acknowledged(sock: socket.socket) -> int:
    info = sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, _TCP_INFO)
    return int(struct.unpack_from("Q", info, _BYTES_ACKED)[0]) if len(info) == _TCP_INFO else 0
