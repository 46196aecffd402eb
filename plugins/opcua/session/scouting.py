"""Who a server says that it is, and what it offers, asked without a login: FindServers, GetEndpoints (OPC 10000-4 §5.5)."""

import asyncio
from collections.abc import Awaitable, Sequence
from functools import partial
from typing import Any, TypeVar

from asyncua import Client, ua

from gateway.plugin import cleaned, contained

from .errors import in_words
from .security import LARGEST_CERTIFICATE, POLICIES
from .session import bounded
from .trusted import thumbprint

R = TypeVar("R")

MOST = 50
"""Servers, and endpoints, that are looked at."""
_LOGINS = {0: "anonymous", 1: "user and password", 2: "certificate", 3: "token"}


class Scouted:
    """One server, as it tells of itself."""

    def __init__(
        self, endpoints: Sequence[ua.EndpointDescription], servers: Sequence[ua.ApplicationDescription]
    ) -> None:
        self.endpoints = endpoints[:MOST]
        self.servers = servers[:MOST]

    @property
    def applications(self) -> Sequence[ua.ApplicationDescription]:
        """Whose endpoints these are; none where the server does not say."""
        return [each.Server for each in self.endpoints if each.Server is not None]

    @property
    def name(self) -> str:
        """What the server calls itself."""
        texts = (each.ApplicationName.Text for each in self.applications if each.ApplicationName is not None)
        return next((cleaned(text, 80) for text in texts if text), "")

    def options(self) -> dict[str, str]:
        """The best protection that it offers, as the config writes what differs from the defaults."""
        offered = {(policy_of(each), each.SecurityMode) for each in self.endpoints}
        for mode, written in (
            (ua.MessageSecurityMode.SignAndEncrypt, {}),
            (ua.MessageSecurityMode.Sign, {"mode": "sign"}),
        ):
            if any((policy, mode) in offered for policy in POLICIES):
                return dict(written)
        return {"security": "none"} if ("None", ua.MessageSecurityMode.None_) in offered else {}

    @property
    def open_to_all(self) -> bool:
        """Whether it has a way in without protection and without a secret."""
        return any(
            policy_of(each) == "None" and any(int(token.TokenType) == 0 for token in each.UserIdentityTokens or ())
            for each in self.endpoints
        )

    def about(self) -> list[str]:
        """Product, protection, logins and certificate, one line each."""
        said = [f"product {cleaned(each.ProductUri, 120)}" for each in self.applications[:1] if each.ProductUri]
        offers = dict.fromkeys(f"{policy_of(each)} {_mode(each)}".strip() for each in self.endpoints)
        said.append(f"security: {', '.join(offers) or 'it offers none'}")
        if not self.options() and not any(policy_of(each) in POLICIES for each in self.endpoints):
            said.append("none of this is safe enough for the gateway: switch on Basic256Sha256 or better in the server")
        logins = dict.fromkeys(
            _LOGINS.get(int(token.TokenType), "another")
            for each in self.endpoints
            for token in each.UserIdentityTokens or ()
        )
        said.append(f"login: {', '.join(logins) or 'not told'}")
        shown = {bytes(each.ServerCertificate) for each in self.endpoints if each.ServerCertificate}
        said += [
            f"certificate {thumbprint(_own(each))}: compare it with the server's own tool before you trust it"
            for each in sorted(shown)
            if len(each) <= LARGEST_CERTIFICATE
        ]
        return said


async def scout(url: str, timeout: float) -> Scouted:
    """What the server at this URL tells of itself. Raises LinkError and RefusedError."""
    client = Client(url, timeout=timeout)
    client.name = client.description = "edge-gateway"
    client.uaclient._make_protocol = partial(bounded, client.uaclient)
    with in_words(f"connecting to {url}", ""):
        try:
            async with asyncio.timeout(3 * timeout):
                for step in (client.connect_socket, client.send_hello, client.open_secure_channel):
                    await contained(step())
                endpoints = await contained(client.get_endpoints())
                servers = await _dispensable(contained(client.find_servers()))
                await _dispensable(contained(client.close_secure_channel()))
        finally:
            client.disconnect_socket()
    return Scouted(list(endpoints or ()), servers)


async def _dispensable(asked: Awaitable[Any]) -> list[Any]:
    """The answer, or nothing where the server has none."""
    try:
        return list(await asked or ())
    except (ua.UaError, OSError, AttributeError):
        return []


def policy_of(endpoint: ua.EndpointDescription) -> str:
    """The short name of an endpoint's security policy."""
    return cleaned(str(endpoint.SecurityPolicyUri).rpartition("#")[2], 60)


def _mode(endpoint: ua.EndpointDescription) -> str:
    if endpoint.SecurityMode == ua.MessageSecurityMode.None_:
        return ""
    return "sign_and_encrypt" if endpoint.SecurityMode == ua.MessageSecurityMode.SignAndEncrypt else "sign"


def _own(chain: bytes) -> bytes:
    """The server's own certificate (DER) of a chain, whose length stands after its first two bytes."""
    return chain[: int.from_bytes(chain[2:4], "big") + 4]
