"""The certificates of servers that people have accepted: files in a folder, which `edge-gateway trust` lists and moves."""

import hashlib
from contextlib import suppress
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding

from gateway.plugin import RefusedError, doubting, read_regular

LONGEST = 65_536
"""Bytes of a certificate."""
MOST_REJECTED = 100
"""Certificates kept for a decision; a stranger who shows ever new ones does not fill the disk."""


def thumbprint(certificate: bytes) -> str:
    """SHA-256 of a certificate (DER) in hex."""
    return hashlib.sha256(certificate).hexdigest()


def is_trusted(certificate: bytes, folder: Path) -> bool:
    """Whether the certificate (DER) lies in the folder of the accepted ones, as .der or .pem. Raises RefusedError when that
    folder cannot be read."""
    try:
        return any(_der(file) == certificate for file in folder.glob("trusted/*"))
    except OSError as error:
        raise RefusedError(f"the trusted certificates in {folder} cannot be read: {error.strerror}") from error


def _der(file: Path) -> bytes:
    data = read_regular(file, LONGEST)
    if b"-----BEGIN" not in data:
        return data
    with suppress(RefusedError), doubting(RefusedError):
        return x509.load_pem_x509_certificate(data).public_bytes(Encoding.DER)
    return b""


def keep_for_decision(certificate: bytes, folder: Path) -> bool:
    """Keep a certificate that is not trusted, so that a person can accept it by its thumbprint. Whether it could be kept."""
    if len(certificate) > LONGEST:
        return False
    rejected = folder / "rejected"
    try:
        rejected.mkdir(parents=True, exist_ok=True, mode=0o700)
        file = rejected / f"{thumbprint(certificate)}.der"
        if not file.exists():
            kept = sorted(rejected.glob("*.der"), key=lambda each: each.stat().st_mtime)
            for old in kept[: len(kept) - MOST_REJECTED + 1]:
                old.unlink()
            file.write_bytes(certificate)
    except OSError:
        return False
    return True
