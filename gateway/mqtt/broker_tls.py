"""The TLS side of a session."""

import ssl
from typing import Any

from gateway.config.tls import load_certificates
from gateway.mqtt.broker_options import TlsOptions


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
    context.server_name = options.server_name
    load_certificates(context, options.ca, options.certificate, options.key, options.key_password)
    return context
