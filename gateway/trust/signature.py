"""Signatures beside files: FILE.sig holds the Ed25519 signature of FILE, 64 bytes, as openssl makes it.

openssl genpkey -algorithm ed25519 -out key.pem; openssl pkey -in key.pem -pubout -out key.pub
openssl pkeyutl -sign -rawin -inkey key.pem -in FILE -out FILE.sig
"""

from collections.abc import Sequence
from pathlib import Path

from gateway.core.errors import GatewayError
from gateway.core.parsing import doubting
from gateway.places.regular import read_regular

_LARGEST = 64 * 1024
"""Bytes of a key or a signature."""


class SignatureError(GatewayError):
    """A file is not signed by whom it should be; the text says what to do."""


def signature_path(path: Path) -> Path:
    """Where the signature of a file stands."""
    return path.with_name(f"{path.name}.sig")


def signer(path: Path, content: bytes, keys: Sequence[Path]) -> Path:
    """Which of the public keys (PEM) has signed the content of a file. Raises SignatureError when none has, or the signature
    or a key cannot be read."""
    signature = _read(signature_path(path), f"{path}: has no signature: sign it, see [[model]] signed_by")
    for key in keys:
        if _verifies(key, signature, content):
            return key
    names = ", ".join(str(key) for key in keys)
    raise SignatureError(
        f"{signature_path(path)}: is no signature of the file by {names}: the file was changed, or another signed"
    )


def _verifies(key: Path, signature: bytes, content: bytes) -> bool:
    from cryptography.exceptions import InvalidSignature
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
    from cryptography.hazmat.primitives.serialization import load_pem_public_key

    pem = _read(key, f"{key}: the public key is missing")
    with doubting(lambda reason: SignatureError(f"{key}: is no public key in PEM: {reason}")):
        public = load_pem_public_key(pem)
    if not isinstance(public, Ed25519PublicKey):
        raise SignatureError(f"{key}: is no Ed25519 key; make one with openssl genpkey -algorithm ed25519")
    try:
        public.verify(signature, content)
    except InvalidSignature:
        return False
    return True


def _read(path: Path, missing: str) -> bytes:
    try:
        return read_regular(path, _LARGEST)
    except FileNotFoundError:
        raise SignatureError(missing) from None
    except OSError as error:
        raise SignatureError(f"{path}: cannot be read: {error.strerror}") from error
