"""Certificates and keys as people have them; told without dialling, and without ever asking the terminal."""

import datetime
import ssl
from pathlib import Path

import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.serialization import pkcs12
from cryptography.x509 import load_pem_x509_certificate

from gateway.config.base import Secret
from gateway.config.fields import _host
from gateway.config.tls import Tls
from gateway.core.errors import RefusedError
from gateway.dial import doubtful_certificate, doubtful_files, doubtful_key, load_certificates
from tests.peers.certificates import Authority, Issued


@pytest.fixture
def authority(tmp_path: Path) -> Authority:
    return Authority(tmp_path)


def encrypted(issued: Issued, password: bytes) -> Path:
    key = serialization.load_pem_private_key(issued.key.read_bytes(), None)
    path = issued.key.with_suffix(".encrypted")
    path.write_bytes(
        key.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.BestAvailableEncryption(password),
        )
    )
    return path


def refusal(issued: Issued, key: Path, password: str | None) -> str:
    with pytest.raises(RefusedError) as caught:
        load_certificates(ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT), None, issued.certificate, key, password)
    return str(caught.value)


@pytest.mark.timeout(20)
def test_an_encrypted_key_asks_no_terminal(authority: Authority) -> None:
    own = authority.issue("gw")
    key = encrypted(own, b"secret")
    assert "it is encrypted, so give its password as tls = { key_password" in refusal(own, key, None)
    assert "key_password does not open it" in refusal(own, key, "wrong")
    assert "it is encrypted" in refusal(own, key, "x" * 5000)
    load_certificates(ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT), None, own.certificate, key, "secret")


def test_the_password_of_a_key_is_a_secret(authority: Authority, monkeypatch: pytest.MonkeyPatch) -> None:
    own = authority.issue("gw")
    monkeypatch.setenv("KEY_PASSWORD", "secret")
    tls = Tls(
        certificate=str(own.certificate), key=str(encrypted(own, b"secret")), key_password=Secret(env="KEY_PASSWORD")
    )  # type: ignore[arg-type]
    assert doubtful_files(tls) == []
    with pytest.raises(ValueError, match="key_password: needs certificate"):
        Tls(key_password=Secret(env="KEY_PASSWORD"))


def test_what_is_no_pem_is_named(authority: Authority, tmp_path: Path) -> None:
    pem = authority.certificate.read_bytes()
    certificate = load_pem_x509_certificate(pem)
    own = authority.issue("gw")
    key = serialization.load_pem_private_key(own.key.read_bytes(), None)
    mine = load_pem_x509_certificate(own.certificate.read_bytes())
    pfx = pkcs12.serialize_key_and_certificates(b"gw", key, mine, None, serialization.NoEncryption())  # type: ignore[arg-type]
    for content, words in {
        certificate.public_bytes(serialization.Encoding.DER): "it is DER; openssl x509 -inform der",
        pem.decode().encode("utf-16"): "it is UTF-16 text",
        pfx: "it is PKCS#12; openssl pkcs12 -in ca.bin",
        b"": "it is empty",
        b"hello": "it has no line",
    }.items():
        path = tmp_path / "ca.bin"
        path.write_bytes(content)
        (doubt,) = doubtful_files(Tls(ca=str(path)))  # type: ignore[arg-type]
        assert words in doubt
    (doubt,) = doubtful_files(Tls(ca=str(tmp_path)))  # type: ignore[arg-type]
    assert "directory" in doubt


def test_what_is_out_of_date_is_named_with_its_date(authority: Authority) -> None:
    own = authority.issue("gw", valid=datetime.timedelta(days=-2))
    (doubt,) = doubtful_files(Tls(certificate=str(own.certificate), key=str(own.key)))  # type: ignore[arg-type]
    day = datetime.datetime.now(datetime.UTC) - datetime.timedelta(days=2)
    assert f"CN=gw has expired on {day:%Y-%m-%d}" in doubt


def test_a_missing_issuer_is_named(authority: Authority, tmp_path: Path) -> None:
    own, other = authority.issue("gw"), Authority(tmp_path, "other")
    sound = {"certificate": str(own.certificate), "key": str(own.key)}
    assert doubtful_files(Tls.model_validate({**sound, "ca": str(authority.certificate)})) == []
    (doubt,) = doubtful_files(Tls.model_validate({**sound, "ca": str(other.certificate)}))
    assert "its issuer CN=plant authority is missing" in doubt
    chain = tmp_path / "chain.pem"
    chain.write_bytes(own.certificate.read_bytes() + authority.certificate.read_bytes())
    assert doubtful_files(Tls.model_validate({**sound, "certificate": str(chain), "ca": str(other.certificate)})) == []
    assert doubtful_files(Tls.model_validate({"ca": str(own.certificate)})) == [], "the far side itself may be trusted"


def test_files_of_plugins_with_options_of_their_own_are_read_too(authority: Authority, tmp_path: Path) -> None:
    own = authority.issue("gw")
    der = tmp_path / "gw.der"
    der.write_bytes(load_pem_x509_certificate(own.certificate.read_bytes()).public_bytes(serialization.Encoding.DER))
    for sound in (own.certificate, der):
        assert doubtful_certificate("server_certificate", sound) == []
    assert doubtful_key("private_key", own.key) == []
    assert "no certificate can be read from it" in doubtful_certificate("certificate", own.key)[0]
    assert "No such file" in doubtful_certificate("certificate", tmp_path / "missing")[0]
    assert "it is encrypted" in doubtful_key("private_key", encrypted(own, b"word"))[0]
    assert "no private key can be read from it" in doubtful_key("private_key", own.certificate)[0]
    assert "No such file" in doubtful_key("private_key", tmp_path / "missing")[0]
    old = authority.issue("old", valid=datetime.timedelta(days=-1))
    assert "CN=old has expired" in doubtful_certificate("certificate", old.certificate)[0]


@pytest.mark.parametrize(
    ("written", "told"),
    [
        ("mqtts://broker.plant:8883/x", 'host = "broker.plant"'),
        ("mqtt://user@10.0.0.1", 'host = "10.0.0.1"'),
        ("[fe80::1]:1883", 'host = "fe80::1"'),
        ("[::1]", 'host = "::1"'),
        ("broker:1883", 'host = "broker"'),
        (" broker ", 'write "broker"'),
        ("bro\u200bker", "no blanks"),
        ("broker\n", 'write "broker"'),
    ],
)
def test_a_host_that_is_more_than_a_name_is_told_with_what_to_write(written: str, told: str) -> None:
    with pytest.raises(ValueError, match=r"host|blanks") as caught:
        _host(written)
    assert told in str(caught.value)


@pytest.mark.parametrize("host", ["broker", "broker.plant.local", "10.0.0.1", "::1", "fe80::1%eth0", "büro", ""])
def test_a_name_or_an_address_is_a_host(host: str) -> None:
    assert _host(host) == host
