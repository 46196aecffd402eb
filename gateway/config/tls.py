"""What every encrypted connection of ours asks of the far side, and shows of itself."""

import datetime
import ssl
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from pydantic import model_validator

from gateway.config.base import Secret, Section
from gateway.config.fields import FilePath
from gateway.config.secrets import resolve
from gateway.core.errors import RefusedError
from gateway.core.parsing import doubting
from gateway.core.text import cleaned
from gateway.places.regular import read_regular

if TYPE_CHECKING:
    from cryptography import x509

LARGEST = 4 * 1024 * 1024
"""Bytes of a file of certificates; those of a whole system have a quarter of a million."""


class Tls(Section):
    ca: FilePath | None = None
    """Certificates (PEM) of the authorities that may have signed the far side's certificate. Default: those of the system."""

    certificate: FilePath | None = None
    """The gateway's own certificate (PEM), for a far side that asks for one."""

    key: FilePath | None = None
    """The key of certificate (PEM). Default: it stands in the same file."""

    key_password: Secret | None = None
    """The password of an encrypted key, such as { credential = "mqtt-key" }."""

    server_name: str = ""
    """Name in the far side's certificate, if another than host."""

    @model_validator(mode="after")
    def _pair(self) -> "Tls":
        if self.key is not None and self.certificate is None:
            raise ValueError("key: needs certificate")
        if self.key_password is not None and self.certificate is None:
            raise ValueError("key_password: needs certificate")
        return self


def load_certificates(
    context: ssl.SSLContext,
    ca: Path | None,
    certificate: Path | None,
    key: Path | None,
    key_password: str | None = None,
) -> None:
    """Have a context trust `ca`, or the system's authorities, from TLS 1.2 on, and show `certificate` where one is given.
    A name counts only where the standard puts it (subjectAltName, RFC 9525), and nothing is renegotiated. Never asks the
    terminal for a password. Raises RefusedError for a file that cannot be used."""
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.hostname_checks_common_name = False
    context.options |= ssl.OP_NO_RENEGOTIATION
    if ca is None:
        context.load_default_certs()
    else:
        _read_pem("ca", ca)
        _load("ca", ca, lambda: context.load_verify_locations(ca))
    if certificate is not None:
        _read_pem("certificate", certificate)
        if key is not None:
            _read_pem("key", key)
        _load_own(context, certificate, key, key_password)


def _load_own(context: ssl.SSLContext, certificate: Path, key: Path | None, key_password: str | None) -> None:
    asked = False

    def password() -> str:  # without one OpenSSL asks the terminal, and everything stands until somebody answers
        nonlocal asked
        asked = True
        return key_password or ""

    def load() -> None:
        try:
            context.load_cert_chain(certificate, key, password)
        except (ssl.SSLError, ValueError) as error:
            if not asked:
                raise
            raise RefusedError(
                f"tls key {key or certificate}: it is encrypted, "
                + ("and key_password does not open it" if key_password else _GIVE_PASSWORD)
            ) from error

    _load("certificate", certificate, load)


_GIVE_PASSWORD = 'so give its password as tls = { key_password = { credential = "mqtt-key" } }, or a key without one'


def _load(option: str, path: Path, load: Callable[[], None]) -> None:
    try:
        load()
    except ssl.SSLError as error:
        raise RefusedError(
            f"tls {option} {path}: no usable PEM file, or the key does not fit ({error.reason})"
        ) from error
    except OSError as error:
        raise RefusedError(f"tls {option} {error.filename or path}: {error.strerror}") from error


def _read_pem(option: str, path: Path) -> bytes:
    """What the file holds. Raises RefusedError, which says what it is, when it is no PEM."""
    try:
        data = read_regular(path, LARGEST)
    except OSError as error:
        raise RefusedError(f"tls {option} {error.filename or path}: {error.strerror}") from error
    if b"-----BEGIN" not in data:
        raise RefusedError(f"tls {option} {path}: no usable PEM file: {_what_it_is(data, path)}")
    return data


def _what_it_is(data: bytes, path: Path) -> str:
    if data[:2] in (b"\xff\xfe", b"\xfe\xff"):
        return "it is UTF-16 text; save it as plain text (UTF-8)"
    if data[:1] == b"\x30" and _PKCS7_DATA in data[:64]:
        return f"it is PKCS#12; openssl pkcs12 -in {path.name} -out {path.stem}.pem -nodes makes PEM of it"
    if data[:1] == b"\x30":
        kind = "pkey" if "key" in path.name else "x509"
        return f"it is DER; openssl {kind} -inform der -in {path.name} -out {path.stem}.pem makes PEM of it"
    return "it is empty" if not data else 'it has no line "-----BEGIN ..."'


_PKCS7_DATA = bytes.fromhex("06092a864886f70d0107")


def doubtful_files(tls: Tls) -> list[str]:
    """What is wrong with the files that a table names, without dialling: what cannot be used, and what is out of date."""
    try:
        password = resolve(tls.key_password) if tls.key_password is not None else None
        load_certificates(ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT), tls.ca, tls.certificate, tls.key, password)
    except RefusedError as error:
        return [str(error)]
    try:
        ca = _certificates("ca", tls.ca) if tls.ca is not None else []
        own = _certificates("certificate", tls.certificate) if tls.certificate is not None else []
    except RefusedError as error:
        return [str(error)]
    told = [*_out_of_date(f"tls ca {tls.ca}", ca), *_out_of_date(f"tls certificate {tls.certificate}", own)]
    if ca and not any(each.issuer == each.subject for each in ca):
        missing = next((each for each in ca if each.issuer not in {other.subject for other in ca}), ca[0])
        told.append(f"tls ca {tls.ca}: it holds no root: add the certificate of {_name(missing.issuer)}, who issued it")
    known = {each.subject for each in (*ca, *own)}
    told += [
        f"tls certificate {tls.certificate}: its issuer {_name(each.issuer)} is missing: a far side that does not know that "
        "one refuses it; append the issuer's certificate to the file"
        for each in (own if ca else ())
        if each.issuer not in known
    ]
    return told


def doubtful_certificate(option: str, path: Path) -> list[str]:
    """What is wrong with a file of one certificate, PEM or DER."""
    from cryptography import x509

    try:
        data = read_regular(path, LARGEST)
        with doubting(RefusedError):
            load = x509.load_pem_x509_certificate if b"-----BEGIN" in data else x509.load_der_x509_certificate
            found = load(data)
    except OSError as error:
        return [f"{option} {path}: {error.strerror}"]
    except RefusedError:
        return [f"{option} {path}: no certificate can be read from it, PEM or DER: {_what_it_is(data, path)}"]
    return _out_of_date(f"{option} {path}", [found])


def doubtful_key(option: str, path: Path) -> list[str]:
    """What is wrong with a file of a private key, PEM or DER, that no password protects."""
    from cryptography.hazmat.primitives import serialization

    try:
        data = read_regular(path, LARGEST)
        with doubting(RefusedError):
            pem = b"-----BEGIN" in data
            (serialization.load_pem_private_key if pem else serialization.load_der_private_key)(data, None)
    except OSError as error:
        return [f"{option} {path}: {error.strerror}"]
    except RefusedError as error:
        said = "it is encrypted: take one without a password" if "assword" in str(error) else _what_it_is(data, path)
        return [f"{option} {path}: no private key can be read from it: {said}"]
    return []


def _certificates(option: str, path: Path) -> "list[x509.Certificate]":
    from cryptography import x509  # here, because it costs time that only who checks should pay

    with doubting(lambda reason: RefusedError(f"tls {option} {path}: {reason}")):
        return x509.load_pem_x509_certificates(_read_pem(option, path))


def _name(name: "x509.Name") -> str:
    return cleaned(name.rfc4514_string(), 200)


def _out_of_date(where: str, issued: "Sequence[x509.Certificate]") -> list[str]:
    now = datetime.datetime.now(datetime.UTC)
    told = []
    for each in issued:
        name = _name(each.subject)
        if each.not_valid_after_utc < now:
            told.append(f"{where}: {name} has expired on {each.not_valid_after_utc:%Y-%m-%d %H:%M} UTC")
        elif each.not_valid_before_utc > now:
            told.append(f"{where}: {name} is valid only from {each.not_valid_before_utc:%Y-%m-%d %H:%M} UTC")
    return told
