"""What makes a connection safe, prepared before it is opened: policy and certificates of the channel, and the login."""

import asyncio
from collections.abc import Sequence

from asyncua import Client, ua
from asyncua.crypto import uacrypto

from gateway.plugin import RefusedError

from .certificate import Identity, days_left, pki_folder, read_certificate
from .config import OpcUaConfig
from .security import check_server, choose_endpoint, first_certificate, sends_plain_password


async def look_at_endpoints(scout: Client) -> Sequence[ua.EndpointDescription]:
    """What the server offers, told over a channel of its own, which is closed again."""
    try:
        endpoints: Sequence[ua.EndpointDescription] = await scout.connect_and_get_server_endpoints()
    finally:
        scout.disconnect_socket()
    return endpoints


async def protect(
    client: Client, endpoints: Sequence[ua.EndpointDescription], config: OpcUaConfig, identity: Identity
) -> dict[str, int]:
    """Prepare the client for the best of the endpoints. Returns whose certificate has how many days left. Raises
    RefusedError when none is safe enough, the server's certificate is not the right one, or the own key not readable."""
    policy, endpoint = choose_endpoint(endpoints, config.security, config.mode)
    certificate = first_certificate(endpoint)
    await asyncio.to_thread(check_server, certificate, config, pki_folder())
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
    return {"server": days_left(certificate), "gateway": days_left(identity.certificate)}


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
