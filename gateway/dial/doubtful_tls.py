"""What is wrong with certificates and keys, told without dialling."""

import datetime
from collections.abc import Sequence
from pathlib import Path

from gateway.config.tls import Tls
from gateway.core.errors import RefusedError
from gateway.core.parsing import doubting
from gateway.dial.der import CertificateFacts, certificate_facts, certificates_in, name_of, revocation_lists_in
from gateway.dial.expiry import WARN_DAYS
from gateway.dial.pem_files import LARGEST, read_pem, what_it_is
from gateway.dial.tls_context import tls_context
from gateway.dial.tls_options import tls_options
from gateway.places.regular import read_regular


def doubtful_files(tls: Tls) -> list[str]:
    """What is wrong with the files that a table names, without dialling: what cannot be used, and what is out of date."""
    try:
        asked = tls_options(tls)
        assert asked is not None
        tls_context(asked)
        ca = _certificates("ca", asked.ca)
        own = _certificates("certificate", asked.certificate)
    except RefusedError as error:
        return [str(error)]
    told = [*_out_of_date(f"tls ca {asked.ca}", ca), *_out_of_date(f"tls certificate {asked.certificate}", own)]
    if asked.crl is not None:
        told += _expired_lists(asked.crl)
    known = {each.subject for each in (*ca, *own)}
    told += [
        f"tls certificate {asked.certificate}: its issuer {name_of(each.issuer)} is missing: a far side that does not know "
        "that one refuses it; append the issuer's certificate to the file"
        for each in (own if ca else ())
        if each.issuer not in known
    ]
    return told


def doubtful_certificate(option: str, path: Path) -> list[str]:
    """What is wrong with a file of one certificate, PEM or DER."""
    try:
        data = read_regular(path, LARGEST)
        with doubting(RefusedError):
            found = certificates_in(data)[:1] if b"-----BEGIN" in data else [certificate_facts(data)]
    except OSError as error:
        return [f"{option} {path}: {error.strerror}"]
    except RefusedError:
        found = []
    if not found:
        return [f"{option} {path}: no certificate can be read from it, PEM or DER: {what_it_is(data, path)}"]
    return _out_of_date(f"{option} {path}", found)


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
        said = "it is encrypted: take one without a password" if "assword" in str(error) else what_it_is(data, path)
        return [f"{option} {path}: no private key can be read from it: {said}"]
    return []


def _certificates(option: str, path: Path | None) -> list[CertificateFacts]:
    if path is None:
        return []
    with doubting(lambda reason: RefusedError(f"tls {option} {path}: {reason}")):
        return certificates_in(read_pem(option, path))


def _expired_lists(crl: Path) -> list[str]:
    now = datetime.datetime.now(datetime.UTC)
    return [
        f"tls crl {crl}: the list of {name_of(each.issuer)} has expired on {each.next_update:%Y-%m-%d %H:%M} UTC, so nothing "
        "that it could revoke is accepted; fetch a new one"
        for each in revocation_lists_in(read_pem("crl", crl))
        if each.next_update is not None and each.next_update < now
    ]


def _out_of_date(where: str, issued: Sequence[CertificateFacts]) -> list[str]:
    now = datetime.datetime.now(datetime.UTC)
    told = []
    for each in issued:
        if each.not_after < now:
            told.append(f"{where}: {each.name} has expired on {each.not_after:%Y-%m-%d %H:%M} UTC")
        elif each.not_after - now < datetime.timedelta(days=WARN_DAYS[0]):
            left = (each.not_after - now).days
            told.append(f"{where}: {each.name} expires in {left} days, on {each.not_after:%Y-%m-%d}: renew it")
        elif each.not_before > now:
            told.append(f"{where}: {each.name} is valid only from {each.not_before:%Y-%m-%d %H:%M} UTC")
    return told
