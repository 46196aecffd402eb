"""Which way a connection takes, with its secrets fetched; and addresses as people read them."""

import ipaddress
from dataclasses import dataclass, field
from urllib.parse import urlsplit

from gateway.config.outbound import Outbound
from gateway.config.secrets import resolve


@dataclass(frozen=True, slots=True)
class ProxyOptions:
    """One proxy, and who we are there."""

    kind: str
    """"http" (CONNECT, RFC 9110 section 9.3.6) or "socks5" (RFC 1928)."""
    host: str
    port: int
    user: str = ""
    password: str = field(default="", repr=False)

    def __str__(self) -> str:
        return f"{self.kind}://{shown(self.host, self.port)}"


@dataclass(frozen=True, slots=True)
class Route:
    """From where, and through what."""

    source: str = ""
    """Interface or address of this machine; empty: as the system routes."""
    proxy: ProxyOptions | None = None


DIRECT = Route()


def route(options: Outbound) -> Route:
    """What a configuration means. Raises RefusedError for a password that is not where it should be."""
    if options.proxy is None:
        return Route(options.source)
    url = urlsplit(options.proxy.url)
    assert url.hostname is not None
    assert url.port is not None
    password = "" if options.proxy.password is None else resolve(options.proxy.password)
    return Route(options.source, ProxyOptions(url.scheme, url.hostname, url.port, options.proxy.user, password))


def shown(host: str, port: int) -> str:
    """Host and port, an IPv6 address in brackets."""
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


def without_zone(host: str) -> str:
    """The host as a certificate names it: "fe80::1" of "fe80::1%eth0"."""
    bare = host.partition("%")[0]
    try:
        ipaddress.ip_address(bare)
    except ValueError:
        return host
    return bare
