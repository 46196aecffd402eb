"""The gateway's own certificate: made once, kept, and named in errors so that a server can be told to trust it."""

import datetime
import os
import shutil
import socket
import tempfile
from dataclasses import dataclass
from pathlib import Path

from asyncua.crypto import cert_gen, uacrypto
from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509.oid import ExtendedKeyUsageOID

from gateway.plugin import RefusedError

_VALID_DAYS = 3650


@dataclass(frozen=True, slots=True)
class ApplicationIdentity:
    """A certificate (DER) and its private key (PEM or DER), with the application URI that the certificate names."""

    certificate: bytes
    private_key: bytes
    uri: str
    path: Path

    @property
    def key_format(self) -> str:
        """How the private key is written, "pem" or "der"."""
        return "pem" if self.private_key.startswith(b"-----BEGIN") else "der"


def expiry(certificate: bytes) -> datetime.datetime:
    """When a certificate (DER) expires."""
    return x509.load_der_x509_certificate(certificate).not_valid_after_utc


def read_certificate(path: Path) -> x509.Certificate:
    """A certificate from a .pem or .der file. Raises RefusedError when there is none in it."""
    try:
        data = path.read_bytes()
        load = x509.load_pem_x509_certificate if b"-----BEGIN" in data else x509.load_der_x509_certificate
        return load(data)
    except (OSError, ValueError) as error:
        raise RefusedError(f"no certificate can be read from {path}: {error}") from error


def read_identity(certificate: Path, private_key: Path) -> ApplicationIdentity:
    """An identity from two files. Raises RefusedError saying which of them is wrong."""
    read = read_certificate(certificate)
    try:
        names = read.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
        uri = names.get_values_for_type(x509.UniformResourceIdentifier)[0]
    except (x509.ExtensionNotFound, IndexError) as error:
        raise RefusedError(
            f"{certificate} names no application URI (subjectAltName URI), which servers need"
        ) from error
    try:
        return ApplicationIdentity(uacrypto.der_from_x509(read), private_key.read_bytes(), uri, certificate)
    except OSError as error:
        raise RefusedError(f"no private key can be read from {private_key}: {error.strerror}") from error


def own_identity(folder: Path) -> ApplicationIdentity:
    """The identity kept in `folder`, made when there is none yet. Raises RefusedError when it cannot be kept."""
    if not folder.is_dir():
        try:
            folder.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
            _make(folder)
        except OSError as error:
            raise RefusedError(
                f"the gateway's certificate cannot be kept in {folder}: {error.strerror}; "
                "make the folder writable, or set certificate and private_key"
            ) from error
    return read_identity(folder / "certificate.der", folder / "private_key.pem")


def _make(folder: Path) -> None:
    """Both files appear at once, or not at all; of two makers the first one wins."""
    host = socket.gethostname()
    uri = f"urn:{host}:edge-gateway"
    key = cert_gen.generate_private_key()
    certificate = cert_gen.generate_self_signed_app_certificate(
        key,
        f"edge-gateway@{host}"[:64],
        {},
        [x509.UniformResourceIdentifier(uri), x509.DNSName(host)],
        [ExtendedKeyUsageOID.CLIENT_AUTH],
        _VALID_DAYS,
    )
    fresh = Path(tempfile.mkdtemp(prefix=".own-", dir=folder.parent))
    try:
        (fresh / "certificate.der").write_bytes(certificate.public_bytes(Encoding.DER))
        with os.fdopen(os.open(fresh / "private_key.pem", os.O_WRONLY | os.O_CREAT, 0o600), "wb") as file:
            file.write(cert_gen.dump_private_key_as_pem(key))
        try:
            fresh.rename(folder)
        except OSError:
            if not folder.is_dir():
                raise
    finally:
        shutil.rmtree(fresh, ignore_errors=True)
