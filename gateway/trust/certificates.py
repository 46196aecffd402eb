"""Certificates of servers: those that people trust, those that wait for a decision, and the gateway's own.

A folder holds `trusted`, `rejected` and `own`. Whoever connects keeps a certificate that it does not know under `rejected`
and looks into `trusted` at the next attempt, so that accepting one is moving a file, and needs no restart.
"""

import datetime
import hashlib
from dataclasses import dataclass
from pathlib import Path

from gateway.core.errors import GatewayError

STATES = ("own", "trusted", "rejected")
SHORTEST = 8
"""Digits of a thumbprint that are enough to name a certificate."""


@dataclass(frozen=True, slots=True)
class Known:
    """A certificate in the folder."""

    path: Path
    state: str
    """One of STATES."""
    thumbprint: str
    """SHA-256 in hex."""
    subject: str
    until: datetime.datetime
    """When it expires, UTC."""


def certificates(folder: Path) -> list[Known]:
    """All in the folder; a file that is no certificate is passed over. Raises OSError when the folder cannot be read."""
    found = (_read(path, state) for state in STATES for path in sorted((folder / state).glob("*")))
    return [known for known in found if known is not None]


def _read(path: Path, state: str) -> Known | None:
    from cryptography import x509
    from cryptography.hazmat.primitives.serialization import Encoding

    data = path.read_bytes()
    load = x509.load_pem_x509_certificate if b"-----BEGIN CERTIFICATE" in data else x509.load_der_x509_certificate
    try:
        certificate = load(data)
    except ValueError:
        return None
    thumbprint = hashlib.sha256(certificate.public_bytes(Encoding.DER)).hexdigest()
    subject = certificate.subject.rfc4514_string()
    return Known(path, state, thumbprint, subject, certificate.not_valid_after_utc)


def the_one(folder: Path, thumbprint: str, state: str) -> Known:
    """The certificate whose thumbprint begins so. Raises GatewayError when none or several do."""
    wanted = thumbprint.replace(":", "").replace(" ", "").lower()
    if len(wanted) < SHORTEST:
        raise GatewayError(f"write at least {SHORTEST} digits of the thumbprint")
    fitting = {known.thumbprint: known for known in certificates(folder) if known.thumbprint.startswith(wanted)}
    if len(fitting) > 1:
        raise GatewayError(f"several certificates begin with {thumbprint}: write more of it")
    for known in fitting.values():
        if known.state == state:
            return known
        raise GatewayError(f"{known.subject} is not {state}: it is {known.state} already")
    raise GatewayError(f"no certificate begins with {thumbprint}; edge-gateway trust list shows those that there are")


def move(known: Known, state: str) -> Path:
    """Give a certificate another state. Raises OSError."""
    folder = known.path.parent.parent / state
    folder.mkdir(exist_ok=True, mode=0o700)
    return known.path.rename(folder / f"{known.thumbprint}{known.path.suffix}")
