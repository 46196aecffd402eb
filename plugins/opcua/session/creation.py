"""CreateSession, needing of the answer only what is needed (OPC 10000-4 §5.7.2).

The library's own refuses a server that names no endpoints in its answer, as many small ones do.
"""

import os
from collections.abc import Sequence
from contextlib import suppress

from asyncua import Client, ua

from gateway.plugin import RefusedError, contained

from .transport import TRUSTED


async def create_session(client: Client) -> float:
    """Make a session. Returns the seconds for which the server keeps it without hearing of it. Raises the library's errors,
    and RefusedError for a server that shows another certificate than that of its channel."""
    policy = client.security_policy
    parameters = _parameters(client)
    created = await contained(client.uaclient.create_session(parameters))
    signed = (policy.host_certificate or b"") + parameters.ClientNonce
    policy.asymmetric_cryptography.verify(signed, created.ServerSignature.Signature)
    client._server_nonce = created.ServerNonce
    shown = _first(created.ServerCertificate) if created.ServerCertificate else None
    if policy.peer_certificate and shown and shown != policy.peer_certificate:
        raise RefusedError("the server shows another certificate for the session than for the channel")
    policy.peer_certificate = policy.peer_certificate or shown
    client._policy_ids = _logins(client, created.ServerEndpoints or ())
    if not client._policy_ids:
        with suppress(ua.UaStatusCodeError):  # then we go without knowing
            client._policy_ids = _logins(client, await contained(client.get_endpoints()))
    return float(created.RevisedSessionTimeout) / 1000


def _first(chain: bytes) -> bytes:
    """The server's own certificate (DER) of a chain, whose length stands after its first two bytes."""
    return chain[: int.from_bytes(chain[2:4], "big") + 4]


def _parameters(client: Client) -> ua.CreateSessionParameters:
    parameters = ua.CreateSessionParameters()
    parameters.ClientDescription = ua.ApplicationDescription(
        ApplicationUri=client.application_uri,
        ProductUri=client.product_uri,
        ApplicationName=ua.LocalizedText(client.name),
        ApplicationType=ua.ApplicationType.Client,
    )
    parameters.EndpointUrl = client.server_url.geturl()
    parameters.SessionName = client.description
    parameters.ClientNonce = os.urandom(32)
    parameters.ClientCertificate = client.security_policy.host_certificate
    parameters.RequestedSessionTimeout = client.session_timeout
    parameters.MaxResponseMessageSize = TRUSTED.message
    return parameters


def _logins(client: Client, endpoints: Sequence[ua.EndpointDescription]) -> list[ua.UserTokenPolicy]:
    """The kinds of login that the server offers on a channel such as ours; none where it does not say."""
    policy = client.security_policy
    for each in endpoints:
        if each.SecurityMode == policy.Mode and each.SecurityPolicyUri == policy.URI:
            return list(each.UserIdentityTokens or ())
    return []
