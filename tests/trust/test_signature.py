"""A file counts as signed only by the keys that were named, and only as it was when it was signed."""

import shutil
import subprocess
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric.ec import SECP256R1, generate_private_key
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from gateway.trust.signature import SignatureError, signature_path, signer


def public(path: Path, key: Ed25519PrivateKey) -> Path:
    path.write_bytes(key.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo))
    return path


@pytest.fixture
def signed(tmp_path: Path) -> Path:
    """A file that "ours" has signed."""
    path, key = tmp_path / "m.onnx", Ed25519PrivateKey.generate()
    path.write_bytes(b"a model")
    public(tmp_path / "ours", key)
    public(tmp_path / "theirs", Ed25519PrivateKey.generate())
    signature_path(path).write_bytes(key.sign(b"a model"))
    return path


def test_the_key_that_signed_is_named(signed: Path) -> None:
    ours, theirs = signed.with_name("ours"), signed.with_name("theirs")
    assert signer(signed, b"a model", [theirs, ours]) == ours


def test_another_key_another_content_and_another_signature_are_refused(signed: Path) -> None:
    ours, theirs = signed.with_name("ours"), signed.with_name("theirs")
    with pytest.raises(SignatureError, match="is no signature of the file by"):
        signer(signed, b"a model", [theirs])
    with pytest.raises(SignatureError, match="is no signature of the file by"):
        signer(signed, b"A model", [ours])
    for wrong in (b"", b"short", b"\0" * 64, signature_path(signed).read_bytes() + b"\n"):
        signature_path(signed).write_bytes(wrong)
        with pytest.raises(SignatureError, match="is no signature of the file by"):
            signer(signed, b"a model", [ours])


def test_what_is_missing_or_no_key_is_told(signed: Path) -> None:
    with pytest.raises(SignatureError, match="the public key is missing"):
        signer(signed, b"a model", [signed.with_name("nobody")])
    with pytest.raises(SignatureError, match="is no public key in PEM"):
        signer(signed, b"a model", [signed])
    curve = generate_private_key(SECP256R1()).public_key()
    other = signed.with_name("curve")
    other.write_bytes(curve.public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo))
    with pytest.raises(SignatureError, match="is no Ed25519 key"):
        signer(signed, b"a model", [other])
    signature_path(signed).unlink()
    with pytest.raises(SignatureError, match="has no signature"):
        signer(signed, b"a model", [signed.with_name("ours")])


def test_the_lines_for_openssl_make_a_good_signature(tmp_path: Path) -> None:
    openssl = shutil.which("openssl")
    if openssl is None:
        pytest.skip("needs openssl: apt-get install openssl")
    (tmp_path / "m.onnx").write_bytes(b"a model")
    for line in (
        "genpkey -algorithm ed25519 -out key.pem",
        "pkey -in key.pem -pubout -out key.pub",
        "pkeyutl -sign -rawin -inkey key.pem -in m.onnx -out m.onnx.sig",
    ):
        subprocess.run([openssl, *line.split()], cwd=tmp_path, check=True, capture_output=True, timeout=100)
    assert signer(tmp_path / "m.onnx", b"a model", [tmp_path / "key.pub"]) == tmp_path / "key.pub"
