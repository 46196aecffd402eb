"""What the configuration says of an OPC UA server and its tags. Imports no protocol library, so that checking is fast."""

import re
from collections.abc import Mapping
from typing import Literal
from urllib.parse import urlsplit

from gateway.plugin import (
    Deadband,
    DeviceConfig,
    Duration,
    Field,
    FilePath,
    Secret,
    Section,
    TagConfig,
    field_validator,
    model_validator,
)

from .address import check_range, parse_member, parse_place

Security = Literal["auto", "Basic256Sha256", "Aes128_Sha256_RsaOaep", "Aes256_Sha256_RsaPss", "none"]


class ObjectMethods(Section):
    object: str
    """The object's node id, such as "nsu=http://vendor.example/line;s=Boiler", or its path."""

    allow: tuple[str, ...] = Field(strict=False, min_length=1, examples=[["Start", "Reset"]])
    """Its methods that people may call, by the names or node ids that the server gives them."""

    @field_validator("object")
    @classmethod
    def _object(cls, text: str) -> str:
        parse_place(text)
        return text


class OpcUaConfig(DeviceConfig):
    url: str
    """Endpoint of the server, such as "opc.tcp://192.168.10.30:4840"."""

    security: Security = "auto"
    """Security policy. "auto" takes the best that the server offers, and never none; "none" sends everything readable and
    unprotected over the network."""

    mode: Literal["sign_and_encrypt", "sign"] = "sign_and_encrypt"
    """Encrypt what is sent, or only protect it from being changed."""

    server_certificate: FilePath | None = None
    """The server's certificate (.der or .pem). Another one is refused."""

    server_thumbprint: str | None = None
    """Thumbprint of the server's certificate, SHA-256 in hex. Another certificate is refused."""

    certificate: FilePath | None = None
    """The gateway's own certificate (.der or .pem). Default: one that the gateway makes for itself once."""

    private_key: FilePath | None = None
    """The key of certificate (.pem or .der)."""

    user: str | None = None
    """User name on the server. Default: anonymous."""

    password: Secret | None = None
    """The user's password."""

    user_certificate: FilePath | None = None
    """Log in with this certificate (.der or .pem) in place of a password."""

    user_private_key: FilePath | None = None
    """The key of user_certificate (.pem or .der)."""

    allow_plain_password: bool = False
    """Send the password even where the network could read it."""

    acquisition: Literal["subscribe", "poll"] = "subscribe"
    """Have the server report what has changed, or read all tags at each scan. Polling is for servers whose subscriptions are
    missing or too few; what happens between two scans it does not see."""

    sampling: Duration | None = None
    """How often the server looks at the values. Default: once per scan. With a shorter time the server collects what
    happened between two scans and nothing in between is missed."""

    queue_size: int = Field(default=100, ge=1, le=100_000)
    """Values that the server keeps of each tag until the gateway has taken them. Many servers allow less and say so."""

    events: bool = False
    """Take the server's events, and its alarms as alarms of the gateway."""

    notifiers: tuple[str, ...] = Field(default=(), strict=False, examples=[["nsu=http://vendor.example/line;s=Boiler"]])
    """Node ids or paths of the objects whose events are taken. Default: the server's own object, which has those of all."""

    audit_events: bool = False
    """Take also the events with which the server notes what its clients did: who wrote, called or logged in. They name
    people."""

    event_queue: int = Field(default=1000, ge=1, le=100_000)
    """Events that the server keeps until the gateway has taken them. Many servers allow less."""

    methods: Mapping[str, ObjectMethods] = Field(default_factory=dict)
    """Objects by a name of your own, and which of their methods people may call."""

    hold: Duration = 120.0
    """How long the server keeps the session, and what it collects, while the link is down. It is a wish: servers may
    grant less."""

    @field_validator("notifiers")
    @classmethod
    def _notifiers(cls, notifiers: tuple[str, ...]) -> tuple[str, ...]:
        for text in notifiers:
            parse_place(text)
        return notifiers

    @field_validator("url")
    @classmethod
    def _url(cls, url: str) -> str:
        try:
            parts = urlsplit(url)
            parts.port  # noqa: B018 - reading it raises for a wrong one
        except ValueError as error:
            if url.count(":") > 2 and "[" not in url:
                raise ValueError('an IPv6 address stands in brackets: "opc.tcp://[fe80::30]:4840"') from error
            raise
        if parts.scheme != "opc.tcp" or not parts.hostname:
            raise ValueError(f'write opc.tcp://HOST:PORT, such as "opc.tcp://192.168.10.30:4840", not {url!r}')
        if parts.username is not None:
            raise ValueError("write the user into user and the password into password, not into the URL")
        if parts.port is not None:
            return url
        return parts._replace(netloc=f"{parts.netloc}:4840").geturl()

    @field_validator("server_thumbprint")
    @classmethod
    def _thumbprint(cls, text: str | None) -> str | None:
        if text is None:
            return None
        plain = re.sub(r"[\s:]", "", text).lower()
        if re.fullmatch(r"[0-9a-f]{40}", plain):
            raise ValueError(
                "write the certificate's SHA-256 (64 hex digits); this is a SHA-1, for which others can be made to fit"
            )
        if not re.fullmatch(r"[0-9a-f]{64}", plain):
            raise ValueError("write the certificate's SHA-256 (64 hex digits)")
        return plain

    @model_validator(mode="after")
    def _together(self) -> "OpcUaConfig":
        if self.notifiers and not self.events:
            raise ValueError("notifiers: needs events = true")
        if self.audit_events and not self.events:
            raise ValueError("audit_events: needs events = true")
        if self.events and self.acquisition == "poll":
            raise ValueError('events: come by subscription, which acquisition = "poll" does without')
        if self.server_certificate and self.server_thumbprint:
            raise ValueError("write server_certificate or server_thumbprint, not both")
        if bool(self.certificate) != bool(self.private_key):
            raise ValueError("certificate and private_key go together: write both or none")
        if bool(self.user_certificate) != bool(self.user_private_key):
            raise ValueError("user_certificate and user_private_key go together: write both or none")
        if self.user_certificate and self.user is not None:
            raise ValueError("write user or user_certificate, not both")
        if self.password and self.user is None:
            raise ValueError("password: needs user")
        if self.security == "none":
            self._check_unprotected()
        return self

    def _check_unprotected(self) -> None:
        if self.server_certificate or self.server_thumbprint:
            raise ValueError('security: "none" does not look at certificates; remove server_certificate and '
                             'server_thumbprint, or security = "none"')  # fmt: skip
        if self.user_certificate:
            raise ValueError('security: "none" does not protect a login by user_certificate; remove one of them')
        if self.password and not self.allow_plain_password:
            raise ValueError('security: "none" would send the password readable over the network; remove it, or set '
                             "allow_plain_password = true if that is accepted")  # fmt: skip


class NodeConfig(TagConfig):
    address: str
    """The variable's node id: "nsu=http://vendor.example/line;s=Boiler.Temp" by namespace URI, or "ns=2;s=Boiler.Temp" by
    index, which some servers change when they restart. Or the names on the way to it, as browse shows them:
    "path=Line/Boiler/Temp"."""

    index_range: str | None = None
    """Take only this part of an array: "3" is its fourth element, "0:9" are its first ten, "2,0" is an element of a
    matrix."""

    field: str | None = None
    """Take only this member of a structure, such as "temperature" or "zones[2].limit"."""

    sampling: Duration | None = None
    """How often the server looks at this value, if not as often as at the device's others."""

    queue_size: int | None = Field(default=None, ge=1, le=100_000)
    """Values of this tag that the server keeps, if not as many as of the device's others."""

    server_deadband: Deadband | None = None
    """Have the server report only changes larger than this, in its own unit, or in percent of the range that it gives for
    the variable. Smaller ones reach neither models nor the page; deadband leaves out no more than what is published."""

    @field_validator("address")
    @classmethod
    def _address(cls, text: str) -> str:
        parse_place(text)
        return text

    @field_validator("index_range")
    @classmethod
    def _index_range(cls, text: str | None) -> str | None:
        if text is not None:
            check_range(text)
        return text

    @field_validator("field")
    @classmethod
    def _field(cls, text: str | None) -> str | None:
        if text is not None:
            parse_member(text)
        return text

    @property
    def element(self) -> tuple[int, ...]:
        """The place of the one element that index_range means, in each dimension; empty where it means another part."""
        if self.index_range is None or ":" in self.index_range:
            return ()
        return tuple(int(place) for place in self.index_range.split(","))
