"""Why an encrypted connection did not come about, or ended: one sentence with the fix in it, for whatever dials."""

import re
import ssl
import time

from gateway.dial.tls_context import PinError
from gateway.dial.tls_options import TlsOptions

_UNKNOWN = "comes from an unknown authority: give that authority's certificate as tls = {{ ca = ... }}"
_NAME = 'is for another name than "{name}": correct host, or set tls = {{ server_name = ... }}'
_NO_AUTHORITY = "is signed by one that may not sign (no CA certificate): let the far side's owner have it issued anew"
_WEAK_CERTIFICATE = "has a key or signature too weak to be believed: have one issued of RSA 2048 or more, with SHA-256"

# Values of SSL_get_verify_result (OpenSSL, x509_vfy.h).
_VERIFY = {
    2: _UNKNOWN,
    3: "cannot be looked up: tls crl holds no list of its issuer; add that one's list to the file",
    7: "has a false signature: it was altered, or made by another authority of the same name",
    8: "cannot be looked up: the list in tls crl was not signed by its issuer; fetch it anew from that authority",
    9: "is not valid yet: check the clock of this machine, which says {today}",
    10: "has expired: renew it there, or check the clock of this machine, which says {today}",
    11: "cannot be looked up: the list in tls crl is not valid yet: check the clock of this machine, which says {today}",
    12: "cannot be looked up: the list in tls crl has expired; fetch a new one from the authority",
    18: "is signed by itself: give it as tls = {{ ca = ... }} if you trust it",
    19: _UNKNOWN,
    20: _UNKNOWN,
    21: _UNKNOWN,
    22: "has too long a chain of issuers",
    23: "was revoked by its authority (tls crl): it needs a new one; until it is known why, do not trust that machine",
    24: _NO_AUTHORITY,
    25: "has a longer chain of issuers than one of them allows: let its owner have it issued anew",
    26: "is not meant for servers (extended key usage): have one issued with serverAuth",
    47: "has a name that its authority may not give (name constraints): let its owner have it issued anew",
    62: _NAME,
    64: _NAME,
    66: _WEAK_CERTIFICATE,
    67: _WEAK_CERTIFICATE,
    68: _WEAK_CERTIFICATE,
    79: _NO_AUTHORITY,
}

_NO_TLS = "the port does not speak TLS ({why}): correct port, or leave tls out"
_OLD = "{who} speaks no TLS of version 1.2 or 1.3 ({why}), and older ones are broken: update it, or switch one on there"
_WEAK = "{who} wants encryption too weak to be used ({why}): update it, or allow it AES-GCM and 2048 bits"
_OURS = "{who} does not accept our certificate ({why}): "
_SHOW = "set tls = {{ certificate = ..., key = ... }}"

# Reasons of OpenSSL 1.1.1 to 3 (sslerr.h, RFC 8446 section 6.2); the first word that stands in a reason decides.
_REASONS = {
    "WRONG_VERSION_NUMBER": _NO_TLS,
    "RECORD_LAYER_FAILURE": _NO_TLS,
    "HTTP_REQUEST": _NO_TLS,
    "PACKET_LENGTH_TOO_LONG": _NO_TLS,
    "BAD_RECORD_TYPE": _NO_TLS,
    "EOF": "{who} broke the TLS handshake off ({why}): does the port speak TLS? Its log may tell more",
    "PROTOCOL_VERSION": _OLD,
    "UNSUPPORTED_PROTOCOL": _OLD,
    "CERTIFICATE_REQUIRED": "{who} asks for a certificate of ours ({why}): " + _SHOW,
    "HANDSHAKE_FAILURE": "{who} asks for a certificate of ours, or knows no encryption that we do ({why}): "
    + _SHOW
    + ", or update it",
    "CERTIFICATE_EXPIRED": "{who} says that our certificate has expired ({why}): renew it, or correct its clock",
    "CERTIFICATE_REVOKED": "{who} says that our certificate was revoked ({why}): have a new one issued",
    "UNSUPPORTED_CERTIFICATE": _OURS + "it wants one meant for clients (extended key usage clientAuth)",
    "UNKNOWN_CA": _OURS + "it does not know who signed it; give it that authority, or append the issuers to the file",
    "BAD_CERTIFICATE": _OURS + "its log tells why; " + _SHOW + " to one that it knows",
    "CERTIFICATE_UNKNOWN": _OURS + "its log tells why; " + _SHOW + " to one that it knows",
    "ACCESS_DENIED": _OURS + "it knows it, and lets it do nothing; give it the right there",
    "DECRYPT_ERROR": _OURS + "does the key belong to it?",
    "UNRECOGNIZED_NAME": '{who} knows no host "{name}" ({why}): correct host, or set tls = {{ server_name = ... }}',
    "NO_APPLICATION_PROTOCOL": "{who} knows none of the protocols in alpn ({why}): correct tls = {{ alpn = ... }}",
    "TOO_SMALL": _WEAK,
    "TOO_WEAK": _WEAK,
    "SHARED_CIPHER": _WEAK,
    "LEGACY": _WEAK,
    "WRONG_SIGNATURE_TYPE": _WEAK,
    "BAD_RECORD_MAC": "what {who} sent was damaged on its way ({why}): is there a device between that alters it?",
}


def why_no_tls(error: ssl.SSLError, tls: TlsOptions | None, host: str, who: str = "the far side") -> str:
    """In words; `host` is the name that was dialled, `who` what to call the other end, such as "the broker"."""
    name = (tls and tls.server_name) or host
    today = time.strftime("%Y-%m-%d %H:%M UTC", time.gmtime())
    if isinstance(error, PinError):
        return (
            f"{who}'s certificate is not the one in pin: its SHA-256 is {error.args[0]}; if it was renewed, set"
            " tls = { pin = ... } to what its owner says"
        )
    if isinstance(error, ssl.SSLCertVerificationError):
        words = _VERIFY.get(error.verify_code)
        said = words.format(name=name, today=today) if words else f"is not accepted: {error.verify_message}"
        return f"{who}'s certificate {said}"
    why = (
        error.reason or re.sub(r"^\[.*?\] | \(_ssl\.c.*\)$", "", str(error)).replace(" ", "_").upper()
    )  # unknown to Python
    words = next((words for word, words in _REASONS.items() if word in why), "TLS failed ({why})")
    return words.format(who=who, why=why, name=name)
