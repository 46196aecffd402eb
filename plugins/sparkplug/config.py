"""What the configuration says of a Sparkplug node. Imports no protocol library, so that checking is fast."""

from collections.abc import Mapping
from ipaddress import ip_address
from typing import Annotated, Literal

from gateway.plugin import (
    Context,
    Duration,
    Field,
    Host,
    Outbound,
    Secret,
    SinkConfig,
    Tls,
    field_validator,
    model_validator,
)


class SparkplugConfig(SinkConfig, Outbound):
    host: Host = Field(min_length=1)
    """Name or address of the broker."""

    port: int | None = Field(default=None, ge=1, le=65535)
    """TCP port. Default: 1883, with tls 8883; with websocket 80, and 443."""

    standby: tuple[str, ...] = Field(default=(), strict=False, max_length=8, examples=[["broker2", "broker3:8883"]])
    """Further brokers, tried in turn when one does not take us, or the primary host is not online there; with the port of
    host unless one stands behind. All else, such as user, tls and client_id, is the same for all."""

    websocket: str = Field(default="", max_length=1000, pattern=r"^(/[\x21-\x7e]*)?$", examples=["/mqtt"])
    """Speak MQTT in a WebSocket at this path (ws://, with tls wss://), such as "/mqtt". Default: plain MQTT."""

    group: str = Field(min_length=1, max_length=200, examples=["north"])
    """Sparkplug group of the node, such as the site."""

    node: str = Field(default="", max_length=200)
    """Sparkplug id of the node, unique in its group. Default: the gateway's name."""

    primary_host: str = Field(default="", max_length=200, examples=["scada"])
    """Id of the primary host application. With one, nothing is sent while it is not online (STATE); what is read meanwhile
    waits in the outbox, and goes out as historical."""

    commands: bool = False
    """Take values that hosts write to tags (DCMD). Each goes through the guard of all writes: [gateway] writes, the tag's
    write, min, max and max_rate, and the roles that [access] gives to "sink:NAME"."""

    templates: Mapping[str, Annotated[tuple[str, ...], Field(strict=False, min_length=1)]] = Field(
        default_factory=dict, examples=[{"Press": ["press-*"]}]
    )
    """Types of devices by a name of your own, and the names of their devices, `*` and `?` allowed. Each of these is one
    metric then, an instance of that Sparkplug template, and its tags are the members. A device whose tags differ from the
    others' in type is sent as without."""

    client_id: str = Field(default="", max_length=256)
    """Name of this client, unique at the broker. Default: group and node."""

    user: str = ""
    """User at the broker. Default: anonymous."""

    password: Secret | None = None
    """The user's password, such as { credential = "mqtt-password" }."""

    allow_plain_password: bool = False
    """Send the password even where the network could read it: without tls, to another machine."""

    tls: bool | Tls = False
    """true: encrypted, the broker's certificate checked against the system's authorities; or a table that says more, such as
    { ca = "plant-ca.pem" }."""

    protocol: Literal["3.1.1", "5"] = "3.1.1"
    """MQTT version. Sparkplug 3.0 allows both; all hosts know 3.1.1."""

    keep_alive: Duration = Field(default=15.0, ge=1, le=65535)
    """Silence after which gateway and broker ask whether the other is there. After one and a half times as long the broker
    tells the hosts that the node is dead."""

    barrier: Literal["unsubscribe", "marker"] = "unsubscribe"
    """What is sent behind data, which have no answer of their own, so that the broker's answer shows that it has read them.
    marker, a message with QoS 1, is for brokers that answer out of order; `check --connect` says which this one needs."""

    uint32_as_long: bool = False
    """Write values of type uint32 as hosts of Eclipse Tahu's JavaScript read them, not as the specification says."""

    @field_validator("group", "node", "primary_host")
    @classmethod
    def _id(cls, name: str) -> str:
        if bad := [sign for sign in name if sign in "+#/" or not sign.isprintable()]:
            raise ValueError(f"must not hold {bad[0]!r}: it becomes a level of topics")
        return name

    @field_validator("templates")
    @classmethod
    def _names(cls, templates: Mapping[str, tuple[str, ...]]) -> Mapping[str, tuple[str, ...]]:
        for name in templates:
            if not name or name == "bdSeq" or name.startswith(("Gateway/", "Node Control/")):
                raise ValueError(f'"{name}" is a metric of the node: choose another name')
        return templates

    @field_validator("standby")
    @classmethod
    def _brokers(cls, brokers: tuple[str, ...]) -> tuple[str, ...]:
        for broker in brokers:
            address(broker, 1883)
        return brokers

    @model_validator(mode="after")
    def _login(self) -> "SparkplugConfig":
        if self.password is not None and not self.user:
            raise ValueError("password: needs user")
        if self.exposed and not self.allow_plain_password:
            raise ValueError(
                "password: without tls everybody on the network can read it; set tls, or allow_plain_password = true"
            )
        return self

    @property
    def exposed(self) -> bool:
        """Whether the password crosses a network that can read it."""
        return self.password is not None and self.tls is False and not all(_here(host) for host, _ in self.brokers)

    @property
    def brokers(self) -> list[tuple[str, int]]:
        """Host and port of each, in the order in which they are tried."""
        plain, secure = (80, 443) if self.websocket else (1883, 8883)
        port = self.port or (secure if self.tls else plain)
        return [(self.host, port), *(address(each, port) for each in self.standby)]

    def identity(self, gateway: str) -> str:
        host, port = self.brokers[0]
        return f'Sparkplug node "{self.group}/{self.node or gateway}" at {host}:{port}'

    def remarks(self, gateway: str, place: Context, devices: Mapping[str, Context]) -> list[str]:
        seen: dict[str, str] = {}
        twins = [(seen[name.lower()], name) for name in devices if seen.setdefault(name.lower(), name) != name]
        return [
            f'devices "{first}" and "{second}" differ only in case, and Sparkplug hosts may take them for one: rename one'
            for first, second in twins
        ]


def address(broker: str, usual: int) -> tuple[str, int]:
    """Host and port of "name", "name:port" or "[address]:port". Raises ValueError."""
    host, _, port = broker.rpartition(":")
    if not host or broker.endswith("]") or (":" in host and not host.startswith("[")):
        host, port = broker, ""
    host = host.removeprefix("[").removesuffix("]")
    if not host or any(sign in host for sign in "/@ ") or (port and not port.isdecimal()):
        raise ValueError(f'standby: write "name" or "name:port", not "{broker}"')
    if port and not 1 <= int(port) <= 65535:
        raise ValueError(f"standby: {port} is no port")
    return host, int(port) if port else usual


def _here(host: str) -> bool:
    """Whether that is this machine."""
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return host.lower().rstrip(".") == "localhost"
