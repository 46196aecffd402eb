"""How everything that dials comes to its far side: whom it trusts, and why it was not reached."""

from gateway.dial.doubtful_tls import doubtful_certificate, doubtful_files, doubtful_key
from gateway.dial.expiry import Dated, dated_in, forget_far_sides, of_far_sides
from gateway.dial.in_thread import in_a_thread
from gateway.dial.pem_files import load_certificates
from gateway.dial.proxies import ProxyError
from gateway.dial.route import DIRECT, Route, route, shown, without_zone
from gateway.dial.source import SourceError
from gateway.dial.tcp import AddressesError, open_socket
from gateway.dial.tls_context import tls_context
from gateway.dial.tls_options import TlsOptions, tls_options
from gateway.dial.tls_words import why_no_tls

__all__ = [
    "DIRECT",
    "AddressesError",
    "Dated",
    "ProxyError",
    "Route",
    "SourceError",
    "TlsOptions",
    "dated_in",
    "doubtful_certificate",
    "doubtful_files",
    "doubtful_key",
    "forget_far_sides",
    "in_a_thread",
    "load_certificates",
    "of_far_sides",
    "open_socket",
    "route",
    "shown",
    "tls_context",
    "tls_options",
    "why_no_tls",
    "without_zone",
]
