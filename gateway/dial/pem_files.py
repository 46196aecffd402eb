"""Reads files of certificates, keys and revocation lists into OpenSSL's contexts, and says what is wrong with one."""

import os
import ssl
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from gateway.core.errors import RefusedError
from gateway.core.parsing import doubting
from gateway.dial.der import CertificateFacts, certificates_in, revocation_lists_in
from gateway.places.regular import read_regular

LARGEST = 4 * 1024 * 1024
"""Bytes of a file of certificates; those of a whole system have a quarter of a million."""


def load_certificates(
    context: ssl.SSLContext,
    ca: Path | None,
    certificate: Path | None,
    key: Path | None,
    key_password: str | None = None,
    crl: Path | None = None,
) -> None:
    """Have a context trust `ca`, or the system's authorities, from TLS 1.2 on, and show `certificate` where one is given;
    its chain may stand in any order. What `crl` revokes is refused. A name counts only where the standard puts it
    (subjectAltName, RFC 9525), and nothing is renegotiated. Never asks the terminal for a password. Raises RefusedError for
    a file that cannot be used."""
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.hostname_checks_common_name = False
    context.options |= ssl.OP_NO_RENEGOTIATION
    if ca is None:
        context.load_default_certs()
    else:
        read_pem("ca", ca)
        _load("ca", ca, lambda: context.load_verify_locations(ca))
    if crl is not None:
        _load_revoked(context, crl)
    if certificate is not None:
        pem = read_pem("certificate", certificate)
        if key is not None:
            read_pem("key", key)
        with _leaf_first(certificate, pem) as chain:
            _load_own(context, chain, certificate, key, key_password)


def _load_revoked(context: ssl.SSLContext, crl: Path) -> None:
    """With lists of several authorities, intermediate ones are looked up too; then OpenSSL wants a list of each."""
    with doubting(lambda reason: RefusedError(f"tls crl {crl}: {reason}")):
        lists = revocation_lists_in(read_pem("crl", crl))
    if not lists:
        raise RefusedError(f'tls crl {crl}: it holds no revocation list ("-----BEGIN X509 CRL-----")')
    _load("crl", crl, lambda: context.load_verify_locations(crl))
    several = len({each.issuer for each in lists}) > 1
    context.verify_flags |= ssl.VerifyFlags.VERIFY_CRL_CHECK_CHAIN if several else ssl.VerifyFlags.VERIFY_CRL_CHECK_LEAF


@contextmanager
def _leaf_first(certificate: Path, pem: bytes) -> Iterator[Path]:
    """The file, or one in memory with its certificates in the order that OpenSSL wants: our own, then who signed it."""
    with doubting(lambda reason: RefusedError(f"tls certificate {certificate}: {reason}")):
        found = certificates_in(pem)
    chain = in_order(found)
    if chain == found:
        yield certificate
        return
    with open(os.memfd_create("chain"), "wb") as file:  # noqa: PTH123 -- a file that has no path
        file.write("".join(ssl.DER_cert_to_PEM_cert(each.der) for each in chain).encode())
        file.flush()
        yield Path(f"/proc/self/fd/{file.fileno()}")


def in_order(found: list[CertificateFacts]) -> list[CertificateFacts]:
    """Each certificate before its issuer's; as they were where it is not clear which one is the first."""
    issuers = {each.issuer for each in found if not each.is_root}
    first = [each for each in found if each.subject not in issuers]
    if len(first) != 1:
        return found
    chain, left = first, [each for each in found if each is not first[0]]
    while following := [each for each in left if each.subject == chain[-1].issuer]:
        chain.append(following[0])
        left.remove(following[0])
    return chain + left


def _load_own(
    context: ssl.SSLContext, chain: Path, certificate: Path, key: Path | None, key_password: str | None
) -> None:
    asked = False

    def password() -> str:  # without one OpenSSL asks the terminal, and everything stands until somebody answers
        nonlocal asked
        asked = True
        return key_password or ""

    def load() -> None:
        try:
            context.load_cert_chain(chain, key or certificate, password)
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


def read_pem(option: str, path: Path) -> bytes:
    """What the file holds. Raises RefusedError, which says what it is, when it is no PEM."""
    try:
        data = read_regular(path, LARGEST)
    except OSError as error:
        raise RefusedError(f"tls {option} {error.filename or path}: {error.strerror}") from error
    if b"-----BEGIN" not in data:
        raise RefusedError(f"tls {option} {path}: no usable PEM file: {what_it_is(data, path, option)}")
    return data


def what_it_is(data: bytes, path: Path, option: str = "") -> str:
    """Of a file that is no PEM, with the command that makes one of it."""
    if data[:2] in (b"\xff\xfe", b"\xfe\xff"):
        return "it is UTF-16 text; save it as plain text (UTF-8)"
    if data[:1] == b"\x30" and _PKCS7_DATA in data[:64]:
        return f"it is PKCS#12; openssl pkcs12 -in {path.name} -out {path.stem}.pem -nodes makes PEM of it"
    if data[:1] == b"\x30":
        kind = "crl" if option == "crl" else "pkey" if "key" in path.name else "x509"
        return f"it is DER; openssl {kind} -inform der -in {path.name} -out {path.stem}.pem makes PEM of it"
    return "it is empty" if not data else 'it has no line "-----BEGIN ..."'


_PKCS7_DATA = bytes.fromhex("06092a864886f70d0107")
