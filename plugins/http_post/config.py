"""What the configuration says of an HTTP server. Imports no protocol library, so that checking is fast."""

import re
from ipaddress import ip_address
from typing import Literal
from urllib.parse import urlsplit

from gateway.plugin import (
    Duration,
    Field,
    Outbound,
    Secret,
    Section,
    SinkConfig,
    Size,
    Tls,
    TopicTemplate,
    field_validator,
    listed,
    model_validator,
)

_HEADER = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")
OURS = (
    "accept", "connection", "content-encoding", "content-length", "content-type", "expect", "host", "idempotency-key",
    "keep-alive", "te", "trailer", "transfer-encoding", "upgrade", "user-agent",
)  # fmt: skip
"""Headers that the gateway itself writes, or that would change how a request is read."""


def must_be_url(value: str) -> str:
    """Raises ValueError for what is no address of a request."""
    try:
        parts = urlsplit(value)
        named = bool(parts.hostname) and parts.port != 0
    except ValueError:
        named = False
    if (
        not named
        or parts.scheme not in ("http", "https")
        or not value.isascii()
        or not value.isprintable()
        or " " in value
    ):
        raise ValueError('write an address such as "https://historian.plant.example/ingest"')
    if parts.username is not None:
        raise ValueError("user and password have keys of their own")
    if "#" in value:
        raise ValueError('what stands behind "#" is never sent: leave it out')
    return value


class OauthConfig(Section):
    token_url: str = Field(examples=["https://login.plant.example/token"])
    """Where the access token is had ("token_endpoint" of the provider)."""

    client_id: str = Field(min_length=1, max_length=200, examples=["edge-gateway"])
    """What the gateway is called there."""

    client_secret: Secret
    """The secret that belongs to it, such as { credential = "oauth" }."""

    scope: str = Field(default="", max_length=1000)
    """What the token shall be good for; names separated by blanks."""

    audience: str = Field(default="", max_length=1000)
    """Whom it shall be good for, where the provider wants to know."""

    tls: bool | Tls = True
    """Whom to trust there, as with the sink's own tls."""

    @field_validator("token_url")
    @classmethod
    def _url(cls, value: str) -> str:
        must_be_url(value)
        if urlsplit(value).scheme != "https" and not _here(value):
            raise ValueError("must begin with https:// (http:// on this machine alone): the secret goes there")
        return value


class HttpPostConfig(SinkConfig, Outbound):
    url: str = Field(max_length=2000, examples=["https://historian.plant.example/ingest"])
    """Where records are posted to."""

    body: Literal["json", "ndjson"] = "json"
    """json: an array of messages; ndjson: one message a line."""

    batch: int = Field(default=100, ge=1, le=10_000)
    """Records in one request, at most; not more than `window`. With 1 the key of a request is the record's id."""

    batch_bytes: Size = Field(default=1024 * 1024, ge=1024, le=64 * 1024 * 1024)
    """Bytes of one request's body, at most, before it is compressed; a single record may be larger."""

    linger: Duration = Field(default=0.0, le=60)
    """How long a batch that is not full waits for more. Default: not at all; what comes during a request goes together in
    the next one. Events never wait."""

    compress: bool = False
    """Send bodies compressed (gzip), for servers that take them."""

    topic: TopicTemplate = "{enterprise}/{site}/{area}/{line}/{device}"
    """What a message calls its origin, in its member "topic". Levels that are empty are left out."""

    per_tag: bool = False
    """One message per reading instead of one per record. Costs far more work here and at the server."""

    states: bool = True
    """Post the devices' descriptions and states too, when they change, in requests of their own."""

    headers: dict[str, str | Secret] = Field(default={}, max_length=50, examples=[{"X-Plant": "north"}])
    """Further headers; a value may be a secret, such as { credential = "api-key" }."""

    user: str = ""
    """User at the server (basic authentication)."""

    password: Secret | None = None
    """The user's password, such as { credential = "http-password" }."""

    token: Secret | None = None
    """A token in place of user and password (bearer authentication)."""

    oauth: OauthConfig | None = None
    """Have access tokens by OAuth 2.0 (client credentials, RFC 6749 section 4.4) and show those."""

    allow_plain_password: bool = False
    """Send password, token or secret headers even where the network could read them: by http, to another machine."""

    tls: bool | Tls = False
    """With https the server's certificate is always checked; a table says more, such as { ca = "plant-ca.pem" }."""

    @field_validator("url")
    @classmethod
    def _url(cls, value: str) -> str:
        return must_be_url(value)

    @field_validator("headers")
    @classmethod
    def _headers(cls, value: dict[str, str | Secret]) -> dict[str, str | Secret]:
        for name, said in value.items():
            if not _HEADER.fullmatch(name):
                raise ValueError(f"{name!r} is no name of a header")
            if name.lower() in OURS:
                raise ValueError(f"{name}: the gateway writes this one itself")
            if isinstance(said, str) and not (said.isascii() and said.isprintable() and said == said.strip()):
                raise ValueError(f"{name}: write its value in ASCII, on one line")
        return value

    @model_validator(mode="after")
    def _login(self) -> "HttpPostConfig":
        ways = [name for name in ("user", "token", "oauth") if getattr(self, name)]
        if any(name.lower() == "authorization" for name in self.headers):
            ways.append("headers.Authorization")
        if len(ways) > 1:
            raise ValueError(f"{listed(ways)}: only one of them says who we are")
        if self.password is not None and not self.user:
            raise ValueError("password: needs user")
        if self.tls and not self.secure:
            raise ValueError("tls: needs a url that begins with https://")
        if self.exposed and not self.allow_plain_password:
            raise ValueError(
                "url: by http everybody on the network can read the password, token or secret header; begin it with https://,"
                " or set allow_plain_password = true"
            )
        return self

    @property
    def secure(self) -> bool:
        """Whether the connection is encrypted."""
        return urlsplit(self.url).scheme == "https"

    @property
    def exposed(self) -> bool:
        """Whether a secret crosses a network that can read it."""
        secret = (
            self.password or self.token or self.oauth or any(isinstance(each, Secret) for each in self.headers.values())
        )
        return bool(secret) and not self.secure and not _here(self.url)


def _here(url: str) -> bool:
    """Whether that is this machine."""
    host = urlsplit(url).hostname or ""
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return host.lower().rstrip(".") == "localhost"
