"""What every encrypted connection of ours asks of the far side, and shows of itself."""

import ssl
from collections.abc import Callable
from pathlib import Path

from pydantic import model_validator

from gateway.config.base import Section
from gateway.config.fields import FilePath
from gateway.core.errors import RefusedError


class Tls(Section):
    ca: FilePath | None = None
    """Certificates (PEM) of the authorities that may have signed the far side's certificate. Default: those of the system."""

    certificate: FilePath | None = None
    """The gateway's own certificate (PEM), for a far side that asks for one."""

    key: FilePath | None = None
    """The key of certificate (PEM). Default: it stands in the same file."""

    server_name: str = ""
    """Name in the far side's certificate, if another than host."""

    @model_validator(mode="after")
    def _pair(self) -> "Tls":
        if self.key is not None and self.certificate is None:
            raise ValueError("key: needs certificate")
        return self


def load_certificates(context: ssl.SSLContext, ca: Path | None, certificate: Path | None, key: Path | None) -> None:
    """Have a context trust `ca`, or the system's authorities, from TLS 1.2 on, and show `certificate` where one is given.
    A name counts only where the standard puts it (subjectAltName, RFC 9525), and nothing is renegotiated. Raises
    RefusedError for a file that cannot be used."""
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.hostname_checks_common_name = False
    context.options |= ssl.OP_NO_RENEGOTIATION
    if ca is None:
        context.load_default_certs()
    else:
        _load("ca", ca, lambda path: context.load_verify_locations(path))
    if certificate is not None:
        _load("certificate", certificate, lambda path: context.load_cert_chain(path, key))


def _load(option: str, path: Path, load: Callable[[Path], None]) -> None:
    try:
        load(path)
    except ssl.SSLError as error:
        raise RefusedError(
            f"tls {option} {path}: no usable PEM file, or the key does not fit ({error.reason})"
        ) from error
    except OSError as error:
        raise RefusedError(f"tls {option} {error.filename or path}: {error.strerror}") from error
