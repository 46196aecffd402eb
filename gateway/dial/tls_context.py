"""What a connection is encrypted with, for every library that takes an SSLContext."""

import hashlib
import ssl
from typing import Any, cast

from gateway.config.tls import Tls
from gateway.core.parsing import doubting
from gateway.dial.der import certificate_facts
from gateway.dial.expiry import note_far_side
from gateway.dial.pem_files import load_certificates
from gateway.dial.tls_options import TlsOptions, tls_options


class PinError(ssl.SSLError):
    """The far side's certificate is not one of those that are pinned."""


class _FarSideContext(ssl.SSLContext):
    """Asks for, and checks, another name than the host's where the options say so; after a handshake it looks at the pins."""

    far_side: TlsOptions

    def wrap_socket(self, *args: Any, **kwargs: Any) -> ssl.SSLSocket:
        return super().wrap_socket(*args, **self._named(kwargs))

    def wrap_bio(self, *args: Any, **kwargs: Any) -> ssl.SSLObject:
        return super().wrap_bio(*args, **self._named(kwargs))

    def _named(self, kwargs: dict[str, Any]) -> dict[str, Any]:
        return {**kwargs, "server_hostname": self.far_side.server_name} if self.far_side.server_name else kwargs

    def judge(self, connection: ssl.SSLSocket | ssl.SSLObject) -> None:
        """Look at the certificate after a handshake. Raises PinError."""
        der = connection.getpeercert(binary_form=True) or b""
        with doubting(PinError):
            facts = certificate_facts(der)
        shown = hashlib.sha256(der).hexdigest()
        pins = self.far_side.pin
        if pins and shown not in pins and hashlib.sha256(facts.public_key).hexdigest() not in pins:
            raise PinError(shown)
        note_far_side(connection.server_hostname or "", facts)


class _JudgedSocket(ssl.SSLSocket):
    def do_handshake(self, block: bool = False) -> None:
        super().do_handshake(block)
        cast(_FarSideContext, self.context).judge(self)


class _JudgedObject(ssl.SSLObject):
    def do_handshake(self) -> None:
        super().do_handshake()
        cast(_FarSideContext, self.context).judge(self)


_FarSideContext.sslsocket_class = _JudgedSocket
_FarSideContext.sslobject_class = _JudgedObject


def tls_context(tls: Tls | TlsOptions | bool) -> ssl.SSLContext:
    """A context that verifies certificate and name, or the pin where there is nothing else, and brings the name of another
    host with it. The files are read anew each time, so that the next connection shows a renewed certificate. Blocking. Raises
    RefusedError for a file that cannot be used."""
    asked = tls if isinstance(tls, TlsOptions) else tls_options(tls) or TlsOptions()
    context = _FarSideContext(ssl.PROTOCOL_TLS_CLIENT)
    context.far_side = asked
    if asked.pin and asked.ca is None:
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
    elif (
        asked.ca is not None
    ):  # whom the file names is trusted, be it a root, an authority below one, or the server itself
        context.verify_flags |= ssl.VerifyFlags.VERIFY_X509_PARTIAL_CHAIN
    load_certificates(context, asked.ca, asked.certificate, asked.key, asked.key_password, asked.crl)
    if asked.alpn:
        context.set_alpn_protocols(list(asked.alpn))
    return context
