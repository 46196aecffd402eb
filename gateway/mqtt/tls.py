"""The TLS side of a session."""

import ssl
from pathlib import Path
from typing import Any

from gateway.core.errors import RefusedError
from gateway.mqtt.options import TlsOptions


class _BrokerContext(ssl.SSLContext):
    """Does two things that paho does not: checks the certificate against a name other than the host's, and closes the
    socket when the handshake fails."""

    server_name = ""

    def wrap_socket(self, *args: Any, **kwargs: Any) -> ssl.SSLSocket:
        if self.server_name:
            kwargs["server_hostname"] = self.server_name
        sock = super().wrap_socket(*args, **kwargs)
        try:
            sock.do_handshake()
        except BaseException:
            sock.close()
            raise
        return sock


def tls_context(options: TlsOptions) -> ssl.SSLContext:
    """A context that verifies certificate and name. Raises RefusedError for a file that cannot be used."""
    context = _BrokerContext(ssl.PROTOCOL_TLS_CLIENT)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.server_name = options.server_name
    if options.ca is None:
        context.load_default_certs()
    else:
        _load("ca", options.ca, lambda path: context.load_verify_locations(path))
    if options.certificate is not None:
        _load("certificate", options.certificate, lambda path: context.load_cert_chain(path, options.key))
    return context


def _load(option: str, path: Path, load: Any) -> None:
    try:
        load(path)
    except ssl.SSLError as error:
        raise RefusedError(
            f"tls {option} {path}: no usable PEM file, or the key does not fit ({error.reason})"
        ) from error
    except OSError as error:
        raise RefusedError(f"tls {option} {error.filename or path}: {error.strerror}") from error
