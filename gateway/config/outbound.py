"""How a connection leaves this machine, where that is not left to the system."""

from typing import Annotated
from urllib.parse import urlsplit

from pydantic import AfterValidator, Field, model_validator

from gateway.config.base import Secret, Section


def _proxy(url: str) -> str:
    parts = urlsplit(url)
    try:
        port = parts.port
    except ValueError:
        port = None
    if parts.scheme not in ("http", "socks5") or not parts.hostname or not port or parts.path.strip("/"):
        raise ValueError('write "http://HOST:PORT" (CONNECT) or "socks5://HOST:PORT"')
    if parts.username is not None:
        raise ValueError("a secret never stands in this file: write user = ..., password = { credential = ... }")
    return url


class Proxy(Section):
    url: Annotated[str, AfterValidator(_proxy)] = Field(examples=["http://proxy.plant:3128"])
    """The proxy: "http://HOST:PORT" (CONNECT) or "socks5://HOST:PORT". It looks the far side's name up."""

    user: str = Field(default="", max_length=255)
    """User at the proxy."""

    password: Secret | None = None
    """The user's password, such as { credential = "proxy-password" }."""

    @model_validator(mode="after")
    def _login(self) -> "Proxy":
        if (self.password is None) != (not self.user):
            raise ValueError("user and password: write both, or neither")
        if ":" in self.user and self.url.startswith("http:"):
            raise ValueError('user: must not contain ":" (RFC 7617)')
        return self


class Outbound(Section):
    """What a table that dials inherits."""

    source: str = Field(default="", max_length=64, examples=["eth1"])
    """Where connections leave this machine: a network interface, such as "eth1", or an address of this machine. Default: as
    the system routes."""

    proxy: Proxy | None = None
    """The proxy to go through, such as { url = "http://proxy.plant:3128" }."""
