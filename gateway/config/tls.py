"""What every encrypted connection of ours asks of the far side, and shows of itself."""

import ssl
from collections.abc import Callable
from pathlib import Path

from gateway.core.errors import RefusedError


def load_certificates(context: ssl.SSLContext, ca: Path | None, certificate: Path | None, key: Path | None) -> None:
    """Have a context trust `ca`, or the system's authorities, from TLS 1.2 on, and show `certificate` where one is given.
    Raises RefusedError for a file that cannot be used."""
    context.minimum_version = ssl.TLSVersion.TLSv1_2
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
