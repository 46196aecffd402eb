"""How everything that dials comes to its far side: whom it trusts, and why it was not reached."""

from gateway.dial.doubtful_tls import doubtful_certificate, doubtful_files, doubtful_key
from gateway.dial.pem_files import load_certificates
from gateway.dial.tls_context import tls_context
from gateway.dial.tls_options import TlsOptions, tls_options
from gateway.dial.tls_words import why_no_tls

__all__ = [
    "TlsOptions",
    "doubtful_certificate",
    "doubtful_files",
    "doubtful_key",
    "load_certificates",
    "tls_context",
    "tls_options",
    "why_no_tls",
]
