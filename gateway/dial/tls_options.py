"""What is asked of an encrypted connection, with its secrets fetched."""

from dataclasses import dataclass, field
from pathlib import Path

from gateway.config.secrets import resolve
from gateway.config.tls import Tls


@dataclass(frozen=True, slots=True)
class TlsOptions:
    """Whom to trust, and who we are. All paths absolute."""

    ca: Path | None = None
    """PEM file of the certificate authorities that may have signed the far side's certificate; None: the system's."""

    certificate: Path | None = None
    """PEM file of our own certificate, for far sides that ask for one."""

    key: Path | None = None
    """PEM file of its key; None: it stands in the certificate's file."""

    key_password: str | None = field(default=None, repr=False)
    """Of an encrypted key."""

    server_name: str = ""
    """Name that is asked for (SNI) and that the certificate must carry, if another than the host."""

    crl: Path | None = None
    """PEM file of revocation lists."""

    pin: tuple[str, ...] = ()
    """SHA-256, in hex, of certificates or public keys; one of them must be the far side's."""

    alpn: tuple[str, ...] = ()
    """Protocols that are offered (RFC 7301)."""


def tls_options(tls: Tls | bool) -> TlsOptions | None:
    """What a configuration means by `tls`; None: not encrypted. Raises RefusedError for a password that is not where it
    should be."""
    if not isinstance(tls, Tls):
        return TlsOptions() if tls else None
    password = None if tls.key_password is None else resolve(tls.key_password)
    return TlsOptions(
        tls.ca, tls.certificate, tls.key, password, tls.server_name, tls.crl, tls.pin, tls.alpn
    )  # fmt: skip
