"""What makes a connection safe, prepared before it is opened: policy and certificates of the channel, and the login."""

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path

from asyncua import Client, ua
from asyncua.crypto import uacrypto

from gateway.plugin import RefusedError

from ..config import OpcUaConfig
from .certificate import ApplicationIdentity, expiry, read_certificate
from .security import check_server, choose_endpoint, first_certificate, sends_plain_password

RENEW_WITHIN = 60
"""Days before its end when `status` speaks of a certificate."""


@dataclass(frozen=True, slots=True)
class Protection:
    """How a connection is protected."""

    policy: str = "none"
    mode: str = ""
    """"sign_and_encrypt" or "sign"; empty without protection."""
    expires: Mapping[str, datetime] = field(default_factory=dict)
    """Whose certificate, "server" or "gateway" → when it expires."""

    def days_left(self) -> Mapping[str, int]:
        """Whose certificate → days until it expires; negative afterwards."""
        now = datetime.now(UTC)
        return {whose: (end - now).days for whose, end in self.expires.items()}

    @property
    def facts(self) -> dict[str, str | float]:
        """How the connection is protected, for `status`."""
        days = {f"{whose}_certificate_days": float(days) for whose, days in self.days_left().items()}
        return {"security": self.policy, **({"mode": self.mode} if self.mode else {}), **days}

    @property
    def remarks(self) -> list[str]:
        """For `status`: what a person should know of it."""
        if not self.expires:
            return ['not protected: everything crosses the network readable (security = "none")']
        days_left = self.days_left().items()
        return [
            f"the {whose}'s certificate {ends_in(days)}: renew it" for whose, days in days_left if days < RENEW_WITHIN
        ]


def ends_in(days: int) -> str:
    """How much longer a certificate is valid, in words."""
    return f"has expired {-days} days ago" if days < 0 else f"expires in {days} days"


async def look_at_endpoints(scout: Client) -> Sequence[ua.EndpointDescription]:
    """What the server offers, told over a channel of its own, which is closed again."""
    try:
        endpoints: Sequence[ua.EndpointDescription] = await scout.connect_and_get_server_endpoints()
    finally:
        scout.disconnect_socket()
    return endpoints


async def protect(
    client: Client,
    endpoints: Sequence[ua.EndpointDescription],
    config: OpcUaConfig,
    identity: ApplicationIdentity,
    pki: Path,
) -> Protection:
    """Prepare the client for the best of the endpoints; `pki` holds the certificates that people have accepted. Raises
    RefusedError when none is safe enough, the server's certificate is not the right one, or the own key not readable."""
    policy, endpoint = choose_endpoint(endpoints, config.security, config.mode)
    certificate = first_certificate(endpoint)
    await asyncio.to_thread(check_server, certificate, config, pki)
    try:
        await client.set_security(
            policy,
            uacrypto.CertProperties(identity.certificate, "der"),
            uacrypto.CertProperties(identity.private_key, identity.key_format),
            server_certificate=uacrypto.CertProperties(certificate, "der"),
            mode=endpoint.SecurityMode,
        )
    except (ValueError, TypeError) as error:
        raise RefusedError(f"the private key of {identity.path} cannot be read: {error}") from error
    return Protection(
        str(policy.URI).rpartition("#")[2],
        config.mode,
        {"server": expiry(certificate), "gateway": expiry(identity.certificate)},
    )


async def load_user(client: Client, config: OpcUaConfig) -> None:
    """Give the client the certificate to log in with, if there is one. Raises RefusedError when it cannot be read."""
    if config.user_certificate is None or config.user_private_key is None:
        return
    client.user_certificate = await asyncio.to_thread(read_certificate, config.user_certificate)
    try:
        await client.load_private_key(config.user_private_key)
    except (OSError, ValueError, TypeError) as error:
        raise RefusedError(f"no private key can be read from {config.user_private_key}: {error}") from error


def check_password(client: Client, config: OpcUaConfig, password: str) -> None:
    """Raises RefusedError when a password would cross the network readable, and nobody has allowed that."""
    policy = client.server_policy(ua.UserTokenType.UserName)
    plain = sends_plain_password(policy, client.security_policy.Mode)
    if password and plain and not config.allow_plain_password:
        raise RefusedError(
            "the server wants the password readable over the network; "
            'use mode = "sign_and_encrypt", or set allow_plain_password = true if that is accepted'
        )
