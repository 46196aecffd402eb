"""What the configuration says of a Kafka cluster. Imports no protocol library, so that checking is fast."""

import re
from ipaddress import ip_address
from typing import Literal
from urllib.parse import urlsplit

from gateway.plugin import (
    Context,
    Field,
    Outbound,
    Secret,
    Section,
    SinkConfig,
    Size,
    Tls,
    device_topic,
    field_validator,
    model_validator,
)

WORDS = ("enterprise", "site", "area", "line", "device", "gateway", "kind")
"""What a template of a topic or a key may name; `kind` is readings, event, loss, receipt or skip."""

_PLACEHOLDER = re.compile(r"\{([^{}]*)\}")
_ILLEGAL = re.compile(r"[^a-zA-Z0-9._-]")
_LONGEST_TOPIC = 249
"""Characters (Kafka: Topic.java)."""


class RegistryConfig(Section):
    url: str = Field(examples=["http://registry.plant.local:8081"])
    """The schema registry, "http://HOST:PORT" or "https://HOST:PORT", with the path of its API if it has one (Apicurio:
    /apis/ccompat/v7)."""

    format: Literal["avro", "protobuf"] = "avro"
    """How values are written, behind Confluent's five bytes."""

    must_exist: bool = False
    """The schema must stand under TOPIC-value already. Default: it is registered where it is not."""

    user: str = Field(default="", max_length=255)
    """User at the registry (HTTP basic authentication)."""

    password: Secret | None = None
    """The user's password, such as { credential = "registry-password" }."""

    allow_plain_password: bool = False
    """Send the password even where the network could read it: by http, to another machine."""

    tls: Tls | None = None
    """For https: more of whom to trust, such as { ca = "plant-ca.pem" }. Default: the system's authorities."""

    @field_validator("url")
    @classmethod
    def _http(cls, url: str) -> str:
        parts = urlsplit(url)
        try:
            port = parts.port
        except ValueError:
            port = 0
        wrong = any(sign.isspace() or not sign.isprintable() for sign in url) or parts.query or parts.fragment
        if parts.scheme not in ("http", "https") or not parts.hostname or port == 0 or wrong:
            raise ValueError('write "http://HOST:PORT" or "https://HOST:PORT", and its path if it has one')
        if parts.username is not None:
            raise ValueError("a secret never stands in this file: write user = ..., password = { credential = ... }")
        return url

    @model_validator(mode="after")
    def _login(self) -> "RegistryConfig":
        if (self.password is None) != (not self.user):
            raise ValueError("user and password: write both, or neither")
        if ":" in self.user:
            raise ValueError('user: must not contain ":" (RFC 7617)')
        parts = urlsplit(self.url)
        exposed = self.password is not None and parts.scheme == "http" and not _here(parts.hostname or "")
        if exposed and not self.allow_plain_password:
            raise ValueError(
                "password: by http everybody on the network can read it; use https, or allow_plain_password = true"
            )
        return self


class KafkaConfig(SinkConfig, Outbound):
    servers: tuple[str, ...] = Field(strict=False, min_length=1, examples=[["kafka-1.plant.local:9092"]])
    """Brokers to begin with, "host:port", asked in turn until one answers; it names all others. Port 9092 may be left out."""

    topic: str = Field(default="edge", min_length=1, examples=["edge", "{site}.{kind}"])
    """Topic of the records; may hold {enterprise}, {site}, {area}, {line}, {device}, {gateway} and {kind} (readings, event,
    loss, receipt, skip). Levels between dots that are empty are left out; what Kafka does not allow becomes "_"."""

    key: str = Field(default="{device}", min_length=1)
    """Key of the records, of the same words. Records of one key go to one partition, and so stay in order."""

    create_topics: bool = False
    """Make a topic that is missing, with the partitions and replicas that the cluster has as its defaults."""

    client_id: str = Field(default="", max_length=249)
    """Name of this client in the brokers' logs and quotas. Default: the gateway's name."""

    user: str = ""
    """User at the brokers (SASL). Default: no login."""

    password: Secret | None = None
    """The user's password, such as { credential = "kafka-password" }."""

    mechanism: Literal["PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512"] = "SCRAM-SHA-512"
    """How the user logs in (SASL)."""

    token: Secret | None = None
    """In place of user and password: a token for SASL OAUTHBEARER, such as { file = "/run/kafka-token" }. It is read anew for
    each connection, so that whoever writes the file can renew it."""

    allow_plain_password: bool = False
    """Send a password (PLAIN) or token even where the network could read it: without tls, to another machine."""

    tls: bool | Tls = False
    """true: encrypted, the brokers' certificates checked against the system's authorities; or a table that says more, such as
    { ca = "plant-ca.pem" }."""

    compression: Literal["none", "gzip"] = "none"
    """How batches are compressed. gzip: a quarter of the bytes, for several times the CPU."""

    max_request_size: Size = Field(default=1_000_000, ge=1_000, le=64_000_000)
    """Bytes of a batch, at most. Brokers take 1 MB unless their max.message.bytes says otherwise; a single message that is
    larger is a dead letter."""

    schema_registry: RegistryConfig | None = None
    """Values as Avro or Protobuf, with their schema in a registry, as { url = "http://registry:8081" }. Default: JSON."""

    per_tag: bool = False
    """One message per reading instead of one per record. Costs far more work here, at the brokers and at the receivers."""

    @field_validator("servers")
    @classmethod
    def _addresses(cls, servers: tuple[str, ...]) -> tuple[str, ...]:
        for server in servers:
            address(server)
        return servers

    @field_validator("topic", "key")
    @classmethod
    def _template(cls, template: str) -> str:
        for word in _PLACEHOLDER.findall(template):
            if word not in WORDS:
                raise ValueError(f"unknown placeholder {{{word}}}: write one of {', '.join(f'{{{w}}}' for w in WORDS)}")
        if {"{", "}"} & set(_PLACEHOLDER.sub("", template)):
            raise ValueError('the braces do not match; write a placeholder as "{device}"')
        return template

    @field_validator("topic")
    @classmethod
    def _legal(cls, template: str) -> str:
        plain = _PLACEHOLDER.sub("", template)
        if wrong := _ILLEGAL.search(plain):
            raise ValueError(f"{wrong[0]!r} cannot stand in a topic of Kafka: letters, digits and . _ - can")
        if template in (".", ".."):
            raise ValueError(f'"{template}" is no topic of Kafka')
        if len(plain) > _LONGEST_TOPIC:
            raise ValueError(f"a topic of Kafka has at most {_LONGEST_TOPIC} characters")
        return template

    @model_validator(mode="after")
    def _login(self) -> "KafkaConfig":
        if (self.password is None) != (not self.user):
            raise ValueError(f"{'user: needs password' if self.user else 'password: needs user'}")
        if self.token is not None and self.user:
            raise ValueError("token: stands in the place of user and password; write either")
        if self.exposed and not self.allow_plain_password:
            raise ValueError(
                f"{'token' if self.token else 'password'}: without tls everybody on the network can read it; set tls, "
                'or mechanism = "SCRAM-SHA-512", or allow_plain_password = true'
            )
        return self

    @property
    def exposed(self) -> bool:
        """Whether a password or token crosses a network that can read it."""
        secret = self.token is not None or (self.password is not None and self.mechanism == "PLAIN")
        return secret and self.tls is False and not all(_here(address(server)[0]) for server in self.servers)


def address(server: str) -> tuple[str, int]:
    """Host and port of "host:port", "host", "[::1]:9092". Raises ValueError that says what to write."""
    match = re.fullmatch(r"(?:\[([0-9a-fA-F:.%a-z]+)\]|([^\s/:\[\]@]+))(?::(\d{1,5}))?", server)
    port = int(match[3] or 9092) if match else 0
    if match is None or not 1 <= port <= 65535:
        raise ValueError(f'write "{server}" as "host:port", such as "kafka-1.plant.local:9092"')
    return match[1] or match[2], port


def topic_of(template: str, place: Context, device: str, gateway: str, kind: str) -> str:
    """The topic of what is about a device, or about the gateway itself (`device` empty)."""
    levels = template.replace("{kind}", kind).replace(".", "/")
    filled = device_topic(levels, place, device or gateway, gateway).replace("/", ".")
    topic = _ILLEGAL.sub("_", filled)[:_LONGEST_TOPIC]
    return topic if topic.strip(".") else gateway_topic(gateway)


def gateway_topic(gateway: str) -> str:
    """Where all levels of a template are empty."""
    return _ILLEGAL.sub("_", gateway)[:_LONGEST_TOPIC].strip(".") or "_"


def key_of(template: str, place: Context, device: str, gateway: str, kind: str) -> bytes:
    """The key of such a record; nothing in it is replaced."""
    words = {**place.said(), "device": device or gateway, "gateway": gateway, "kind": kind}
    return _PLACEHOLDER.sub(lambda match: words.get(match[1], ""), template).encode()


def _here(host: str) -> bool:
    """Whether that is this machine."""
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return host.lower().rstrip(".") == "localhost"
