"""Certificates of servers: those that people trust, those that wait for a decision, and the gateway's own.

A folder holds `trusted`, `rejected` and `own`. Whoever connects keeps a certificate that it does not know under `rejected`
and looks into `trusted` at the next attempt, so that accepting one is moving a file, and needs no restart.
"""

import datetime
import hashlib
import os
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from gateway.core.errors import GatewayError
from gateway.core.parsing import doubting
from gateway.core.text import cleaned
from gateway.places.regular import read_regular

STATES = ("own", "trusted", "rejected")
SHORTEST = 8
"""Digits of a thumbprint that are enough to name a certificate that is trusted already."""
WHOLE = 64
"""Digits of a SHA-256: to trust one, all are needed, since a certificate that begins with given digits is quickly made."""
LONGEST = 65_536
"""Bytes of a certificate's file."""
MOST = 1000
"""Files of each state that are looked at, the newest."""
SUBJECT = 200


@dataclass(frozen=True, slots=True)
class Known:
    """A certificate in the folder."""

    path: Path
    state: str
    """One of STATES."""
    thumbprint: str
    """SHA-256 in hex."""
    subject: str
    """As the certificate says, on one line, cut to a length for people."""
    until: datetime.datetime
    """When it expires, UTC."""


def certificates(folder: Path) -> list[Known]:
    """All in the folder; a file that is no certificate is passed over. Raises OSError when the folder, or a certificate in
    it, may not be read."""
    found = (_read(path, state) for state in STATES for path in _files(folder / state))
    return [known for known in found if known is not None]


def _files(folder: Path) -> list[Path]:
    if not folder.is_dir():
        return []
    aged = []
    with os.scandir(folder) as entries:
        for entry in entries:
            with suppress(FileNotFoundError):
                aged.append((entry.stat(follow_symlinks=False).st_mtime_ns, entry.name))
    return [folder / name for name in sorted(name for _, name in sorted(aged)[-MOST:])]


def _read(path: Path, state: str) -> Known | None:
    try:
        data = read_regular(path, LONGEST)
    except PermissionError:
        raise
    except OSError:
        return None  # no regular file, too long for a certificate, or moved meanwhile
    with suppress(GatewayError), doubting(GatewayError):
        return _known(data, path, state)
    return None


def _known(data: bytes, path: Path, state: str) -> Known:
    from cryptography import x509
    from cryptography.hazmat.primitives.serialization import Encoding

    load = x509.load_pem_x509_certificate if b"-----BEGIN CERTIFICATE" in data else x509.load_der_x509_certificate
    certificate = load(data)
    thumbprint = hashlib.sha256(certificate.public_bytes(Encoding.DER)).hexdigest()
    subject = cleaned(certificate.subject.rfc4514_string(), SUBJECT)
    return Known(path, state, thumbprint, subject, certificate.not_valid_after_utc)


def the_one(folder: Path, thumbprint: str, state: str) -> Known:
    """The certificate of this thumbprint. One that is trusted may be named by how it begins. Raises GatewayError when none
    or several do."""
    wanted = thumbprint.replace(":", "").replace(" ", "").lower()
    if state != "trusted" and len(wanted) != WHOLE:
        raise GatewayError(
            f"write all {WHOLE} digits of the SHA-256 thumbprint, as the server's own display, or who runs it, tells it: "
            "edge-gateway trust list shows those that were seen"
        )
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
    return known.path.rename(folder / f"{known.thumbprint}{known.path.suffix[:8]}")
