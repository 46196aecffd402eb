"""Which of the server's endpoints to take, and whether its certificate is the expected one. Decides; connects nothing."""

from collections.abc import Sequence
from pathlib import Path

from asyncua import ua
from asyncua.crypto import security_policies, uacrypto

from gateway.plugin import RefusedError, cleaned, doubting

from ..config import OpcUaConfig
from .certificate import read_certificate
from .trusted import is_trusted, keep_for_decision, thumbprint

Policy = type[security_policies.SecurityPolicy]

POLICIES: dict[str, Policy] = {
    "Aes256_Sha256_RsaPss": security_policies.SecurityPolicyAes256Sha256RsaPss,
    "Basic256Sha256": security_policies.SecurityPolicyBasic256Sha256,
    "Aes128_Sha256_RsaOaep": security_policies.SecurityPolicyAes128Sha256RsaOaep,
}
"""Policies that are still held to be safe, the strongest first."""

MOST_OFFERS = 20
"""Endpoints that a message names."""
LARGEST_CERTIFICATE = 64 * 1024
"""Bytes of a certificate with its chain."""

MODES = {
    "sign_and_encrypt": ua.MessageSecurityMode.SignAndEncrypt,
    "sign": ua.MessageSecurityMode.Sign,
    "none": ua.MessageSecurityMode.None_,
}


def choose_endpoint(
    endpoints: Sequence[ua.EndpointDescription], security: str, mode: str
) -> tuple[Policy, ua.EndpointDescription]:
    """The strongest endpoint that the configuration allows. Raises RefusedError with what the server offers instead."""
    for name, policy in POLICIES.items():
        if security not in ("auto", name):
            continue
        for endpoint in endpoints:
            if endpoint.SecurityPolicyUri == policy.URI and endpoint.SecurityMode == MODES[mode]:
                return policy, endpoint
    wanted = f'{"a safe policy" if security == "auto" else security} with mode = "{mode}"'
    raise RefusedError(
        f"the server does not offer {wanted}; it offers {_offered(endpoints)}: switch it on there, or take one of these"
    )


def _offered(endpoints: Sequence[ua.EndpointDescription]) -> str:
    modes = {mode: name for name, mode in MODES.items()}
    offers: dict[str, None] = {}
    for endpoint in endpoints:
        name = cleaned(str(endpoint.SecurityPolicyUri).rpartition("#")[2], 60)
        if len(offers) >= MOST_OFFERS:
            break
        mode = modes.get(endpoint.SecurityMode, "?")
        if name in POLICIES:
            offers[f'security = "{name}" with mode = "{mode}"'] = None
        elif name == "None":
            offers['security = "none" (unprotected)'] = None
        else:
            offers[f"{name} (no longer safe, not supported)"] = None
    return ", ".join(offers) or "nothing"


def first_certificate(endpoint: ua.EndpointDescription) -> bytes:
    """The server's own certificate (DER) out of the chain that it sends. Raises RefusedError when there is none."""
    if not endpoint.ServerCertificate:
        raise RefusedError("the server shows no certificate")
    if len(endpoint.ServerCertificate) > LARGEST_CERTIFICATE:
        raise RefusedError(f"the server shows a certificate of more than {LARGEST_CERTIFICATE} bytes")
    with doubting(_unreadable):
        return bytes(uacrypto.der_from_x509(uacrypto.x509_from_der(endpoint.ServerCertificate)))


def _unreadable(reason: str) -> RefusedError:
    return RefusedError(f"the server shows a certificate that cannot be read: {reason}")


def check_server(certificate: bytes, config: OpcUaConfig, folder: Path) -> None:
    """Raises RefusedError, saying what to do, unless the server's certificate (DER) is the configured one, or, where none is
    configured, one that people have accepted. One that is not known yet is kept for their decision."""
    shown = thumbprint(certificate)
    with doubting(_unreadable):
        subject = cleaned(uacrypto.x509_from_der(certificate).subject.rfc4514_string() or "no name", 200)
    line = f'server_thumbprint = "{shown}"'
    if config.server_certificate or config.server_thumbprint:
        if not _is_configured(certificate, config):
            raise RefusedError(
                f"the server shows another certificate ({subject}) than the configured one; "
                f'if it was really given a new one, write into device "{config.name}": {line}'
            )
    elif not is_trusted(certificate, folder):
        kept = keep_for_decision(certificate, folder)
        accept = f"edge-gateway trust accept {shown}" if kept else "(it could not be kept for edge-gateway trust)"
        raise RefusedError(
            f"the server's certificate ({subject}) is not known; compare its thumbprint {shown} with what the server's own "
            f'tool shows, and if it is the right one: {accept}  or write into device "{config.name}": {line}'
        )


def _is_configured(certificate: bytes, config: OpcUaConfig) -> bool:
    if config.server_certificate:
        return bool(uacrypto.der_from_x509(read_certificate(config.server_certificate)) == certificate)
    return config.server_thumbprint == thumbprint(certificate)


def sends_plain_password(policy: ua.UserTokenPolicy, mode: ua.MessageSecurityMode) -> bool:
    """Whether a password sent under this token policy could be read on the network (OPC 10000-4 §7.40.4)."""
    encrypted = policy.SecurityPolicyUri not in ("", None, security_policies.SecurityPolicyNone.URI)
    return not encrypted and mode != ua.MessageSecurityMode.SignAndEncrypt
