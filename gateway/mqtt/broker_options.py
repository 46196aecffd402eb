"""What a session needs to know before it dials."""

from dataclasses import dataclass, field
from typing import Literal, TypeAlias

from gateway.dial import DIRECT, Route, TlsOptions, shown

Barrier: TypeAlias = Literal["unsubscribe", "marker"]
"""What is sent behind messages with QoS 0, so that its answer shows that the broker has read them: an UNSUBSCRIBE of a filter
that was never subscribed, or a message with QoS 1."""


@dataclass(frozen=True, slots=True)
class Will:
    """What the broker publishes, with QoS 1, when the session ends without a good-bye."""

    topic: str
    payload: bytes
    retain: bool = True
    needed: bool = False
    """With a broker that refuses the will, there is to be no session."""


@dataclass(frozen=True, slots=True)
class MqttOptions:
    """One broker and how to reach it."""

    host: str
    port: int
    client_id: str
    user: str = ""
    password: str | None = field(default=None, repr=False)
    tls: TlsOptions | None = None
    websocket: str = ""
    """Path of a WebSocket that carries MQTT, such as "/mqtt"; empty: plain MQTT."""

    route: Route = DIRECT

    standby: tuple[tuple[str, int], ...] = ()
    """Hosts and ports of further brokers, in the order in which they are tried while the ones before do not take us."""

    return_after: float = 600.0
    """Seconds between two looks, from a standby broker, whether one before it takes us again; 0: never."""
    protocol: Literal["auto", "5", "3.1.1"] = "auto"
    """auto: MQTT 5, and 3.1.1 with a broker that refuses it."""

    keep_alive: float = 15.0
    """Seconds of silence after which each side asks whether the other is there."""

    timeout: float = 5.0
    """Seconds for dialling, and again for the broker's answer."""

    user_timeout: float = 10.0
    """Seconds that sent bytes may stay unacknowledged by the peer's TCP before the kernel ends the connection."""

    max_in_flight: int = 1000
    """Messages on their way at most; a broker that asks for fewer is obeyed."""

    qos: Literal[0, 1] = 1
    """Of what we publish. 0: the broker answers no message, so a barrier goes out behind each group of them."""

    barrier: Literal["auto"] | Barrier = "auto"
    """With QoS 0. auto: an UNSUBSCRIBE, where the broker answers in the order of what it is sent; else a marker."""

    marker_topic: str = ""
    """Of markers, which are not retained. Without one, auto means an UNSUBSCRIBE."""

    marker: bytes = b"{}"
    """Their payload; who reads all that comes as JSON is not disturbed by it."""

    max_bytes_in_flight: int = 4 << 20
    """Bytes of messages with QoS 0 on their way at most; a larger message goes alone. (With QoS 1 messages are counted.)"""

    @property
    def address(self) -> str:
        """Host and port, for messages."""
        return shown(self.host, self.port)
