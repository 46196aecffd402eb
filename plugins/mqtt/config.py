"""What the configuration says of a broker. Imports no protocol library, so that checking is fast."""

from collections.abc import Mapping
from ipaddress import ip_address
from typing import Literal

from gateway.plugin import (
    OWN,
    Address,
    Context,
    Duration,
    Field,
    Host,
    JsonForm,
    Outbound,
    Payload,
    RequestOptions,
    Secret,
    SinkConfig,
    Tls,
    TopicTemplate,
    check_readings_topic,
    device_topic,
    host_and_port,
    model_validator,
    own_topic,
    template_of,
    unsaid,
)


class MqttConfig(SinkConfig, Outbound):
    host: Host = Field(min_length=1)
    """Name or address of the broker."""

    port: int | None = Field(default=None, ge=1, le=65535)
    """TCP port. Default: 1883, with tls 8883; with websocket 80, and 443."""

    websocket: str = Field(default="", max_length=1000, pattern=r"^(/[\x21-\x7e]*)?$", examples=["/mqtt"])
    """Speak MQTT in a WebSocket at this path (ws://, with tls wss://), such as "/mqtt". Default: plain MQTT."""

    standby: tuple[Address, ...] = Field(default=(), strict=False, max_length=8, examples=[["broker2", "broker3:8883"]])
    """Further brokers, in the order in which they are tried while the ones before do not take us; with the port of host
    unless one stands behind. All else, such as user, tls and client_id, is the same for all."""

    return_after: Duration = Field(default=600.0, ge=0, le=7 * 86_400)
    """At a standby broker: how often one before it is tried, and gone back to as soon as it takes us. "0s": only when the
    standby's connection has ended, and it has not failed for a minute."""

    client_id: str = Field(default="", max_length=256)
    """Name of this client, unique at the broker. Default: the gateway's name."""

    user: str = ""
    """User at the broker. Default: anonymous."""

    password: Secret | None = None
    """The user's password, such as { credential = "mqtt-password" }."""

    allow_plain_password: bool = False
    """Send the password even where the network could read it: without tls, to another machine."""

    tls: bool | Tls = False
    """true: encrypted, the broker's certificate checked against the system's authorities; or a table that says more, such as
    { ca = "plant-ca.pem" }."""

    protocol: Literal["auto", "5", "3.1.1"] = "auto"
    """MQTT version. auto: 5, and 3.1.1 with a broker that refuses 5."""

    keep_alive: Duration = Field(default=15.0, ge=1, le=65535)
    """Silence after which gateway and broker ask whether the other is there. The broker gives the gateway up, and announces
    it as offline, after one and a half times as long."""

    topic: TopicTemplate = "{enterprise}/{site}/{area}/{line}/{device}"
    """Topic of a device's messages. Levels that are empty are left out."""

    per_tag: bool = False
    """One message per reading, with the tag's name as a further level of the topic, instead of one per record. Costs far
    more work here, at the broker and at the receivers."""

    per_slot: bool = False
    """One message for the readings of all devices that are ready at one moment, under the gateway's topic and `_slot`:
    fewer, larger messages, the cheapest form. Events and all else stay messages of their own."""

    payload: Payload = OWN
    """Form of the readings: the gateway's own, one that reads like another gateway's, or a template, such as { ts = "{ts}",
    values = "{values}" } (docs/json.md)."""

    retain: Literal["no", "tag", "device"] = "no"
    """Last values that the broker keeps for who comes late. tag: with per_tag, each message under its tag's topic, unless it
    comes from the past. device: beside the readings, at most once a second, one message with all last values of a device, to
    its topic and `_last`."""

    readings_topic: str | None = Field(default=None, min_length=1, examples=["v1/gateway/telemetry"])
    """Topic of the readings, where they stand elsewhere than under topic; with per_tag it can have {tag} in it too."""

    qos: Literal[0, 1] = 1
    """1: the broker answers each message. 0: it answers a barrier behind each group of them, so nothing is lost on the way to
    it; but it keeps nothing for subscribers that are away, and never says that it refuses a message."""

    barrier: Literal["auto", "unsubscribe", "marker"] = "auto"
    """With qos = 0, what is sent behind each group: an UNSUBSCRIBE of an unused filter, or a message with QoS 1 to `_barrier`
    under the gateway's own topic, for a broker that answers out of order. auto: found out at each connection; `check
    --connect` tries which of them loses nothing."""

    requests: RequestOptions = RequestOptions()
    """What may be asked for by messages to the gateway; by default nothing (docs/requests.md)."""

    @property
    def form(self) -> JsonForm:
        """How readings become messages."""
        template = template_of(self.payload, per_tag=self.per_tag, per_slot=self.per_slot)
        return JsonForm(template, self.per_tag, self.per_slot, self.readings_topic or "")

    def identity(self, gateway: str) -> str:
        return f'client_id "{self.client_id or gateway}" at {self.host}:{self.port_or_default}'

    def remarks(self, gateway: str, place: Context, devices: Mapping[str, Context]) -> list[str]:
        own = own_topic(self.topic, place, gateway)
        alike = [
            f'topic: device "{name}" and the gateway itself share {own}/_state, so each would overwrite what the other says:'
            " rename one of them, or put {gateway} into topic"
            for name, stands in devices.items()
            if device_topic(self.topic, stands, name, gateway) == own
        ]
        return [*alike, *unsaid(self.payload, self.form.template)]

    @model_validator(mode="after")
    def _form(self) -> "MqttConfig":
        template = template_of(self.payload, per_tag=self.per_tag, per_slot=self.per_slot)
        if self.retain == "tag" and not self.per_tag:
            raise ValueError('retain: "tag" needs per_tag = true; "device" goes without')
        if self.readings_topic is not None:
            check_readings_topic(self.readings_topic, template, per_tag=self.per_tag, per_slot=self.per_slot)
        return self

    @model_validator(mode="after")
    def _login(self) -> "MqttConfig":
        if self.password is not None and not self.user:
            raise ValueError("password: needs user")
        if self.exposed and not self.allow_plain_password:
            raise ValueError(
                "password: without tls everybody on the network can read it; set tls, or allow_plain_password = true"
            )
        return self

    @property
    def port_or_default(self) -> int:
        """The TCP port that is dialled."""
        if self.websocket:
            return self.port or (443 if self.tls else 80)
        return self.port or (8883 if self.tls else 1883)

    @property
    def further(self) -> tuple[tuple[str, int], ...]:
        """Hosts and ports of the standby brokers."""
        parts = (host_and_port(each) for each in self.standby)
        return tuple((host, port or self.port_or_default) for host, port in parts)

    @property
    def exposed(self) -> bool:
        """Whether the password crosses a network that can read it."""
        hosts = (self.host, *(host for host, _ in self.further))
        return self.password is not None and self.tls is False and not all(map(_here, hosts))


def _here(host: str) -> bool:
    """Whether that is this machine."""
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return host.lower().rstrip(".") == "localhost"
