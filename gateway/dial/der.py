"""What a certificate or a revocation list (X.509, RFC 5280) says of itself. Read here, because the library that reads them
costs ten megabytes of memory; whether a signature holds is OpenSSL's to judge."""

import binascii
import datetime
import re
from collections.abc import Iterator
from dataclasses import dataclass

from gateway.core.text import cleaned

_COMMON_NAME = bytes.fromhex("0603550403")
_ORGANISATION = bytes.fromhex("060355040a")
_PEM = re.compile(rb"-----BEGIN (?:TRUSTED |X509 )?(CERTIFICATE|CRL)-----\s(.*?)-----END ", re.DOTALL)
_UTC_TIME, _GENERALIZED_TIME, _INTEGER, _VERSION = 0x17, 0x18, 0x02, 0xA0


@dataclass(frozen=True, slots=True)
class CertificateFacts:
    """Of a certificate. Names are as they are encoded, so that they can be compared."""

    der: bytes
    subject: bytes
    issuer: bytes
    not_before: datetime.datetime
    not_after: datetime.datetime
    public_key: bytes
    """SubjectPublicKeyInfo."""

    @property
    def name(self) -> str:
        """Of the subject, for people."""
        return name_of(self.subject)

    @property
    def is_root(self) -> bool:
        """Whether it names itself as its issuer."""
        return self.subject == self.issuer


@dataclass(frozen=True, slots=True)
class RevocationList:
    """Of a list of revoked certificates."""

    issuer: bytes
    next_update: datetime.datetime | None
    """When the next one is there; OpenSSL takes this one as expired from then on."""


def certificates_in(pem: bytes) -> list[CertificateFacts]:
    """Of a PEM file, in its order. Raises ValueError for what is none."""
    return [certificate_facts(each) for each in _blocks(pem, b"CERTIFICATE")]


def revocation_lists_in(pem: bytes) -> list[RevocationList]:
    """Of a PEM file. Raises ValueError for what is none."""
    return [_revocation_list(each) for each in _blocks(pem, b"CRL")]


def certificate_facts(der: bytes) -> CertificateFacts:
    """Of one certificate. Raises ValueError for what is none."""
    try:
        parts = [each for each in _parts(_body(_body(der))) if each[0] != _VERSION]
        _, _, issuer, validity, subject, key, *_ = parts  # behind serial number and algorithm
        begin, end = _parts(_body(validity))
        return CertificateFacts(der, subject, issuer, _time(begin), _time(end), key)
    except (ValueError, IndexError, OverflowError) as error:
        raise ValueError(f"no certificate: {error}") from error


def _revocation_list(der: bytes) -> RevocationList:
    try:
        parts = [each for each in _parts(_body(_body(der))) if each[0] != _INTEGER]
        dated = [each for each in parts[2:4] if each[0] in (_UTC_TIME, _GENERALIZED_TIME)]
        return RevocationList(parts[1], _time(dated[1]) if len(dated) > 1 else None)
    except (ValueError, IndexError, OverflowError) as error:
        raise ValueError(f"no revocation list: {error}") from error


def name_of(encoded: bytes) -> str:
    """The common name in a name, or its organisation, for people."""
    found = {}
    try:
        for group in _parts(_body(encoded)):
            for pair in _parts(_body(group)):
                kind, value = _parts(_body(pair))
                found[kind] = _body(value).decode("utf-8", "replace")
    except (ValueError, IndexError):
        return "one without a name"
    name, organisation = found.get(_COMMON_NAME), found.get(_ORGANISATION)
    return cleaned(f"CN={name}" if name else f"O={organisation}" if organisation else "one without a name", 200)


def _blocks(pem: bytes, label: bytes) -> Iterator[bytes]:
    for found, text in _PEM.findall(pem):
        if found == label:
            try:
                yield binascii.a2b_base64(text)
            except binascii.Error as error:
                raise ValueError(f"no base64 ({error})") from error


def _body(der: bytes) -> bytes:
    """What the first element of these bytes holds."""
    start, end = _span(der, 0)
    return der[start:end]


def _parts(body: bytes) -> list[bytes]:
    """The elements one after the other, each with its tag and length."""
    found, at = [], 0
    while at < len(body):
        _, end = _span(body, at)
        found.append(body[at:end])
        at = end
    return found


def _span(der: bytes, at: int) -> tuple[int, int]:
    """Where the content of the element begins and ends."""
    length, start = der[at + 1], at + 2
    if length & 0x80:
        size = length & 0x7F
        if not 1 <= size <= 4:
            raise ValueError("a length is none")
        length, start = int.from_bytes(der[start : start + size], "big"), start + size
    if start + length > len(der):
        raise ValueError("it is cut off")
    return start, start + length


def _time(encoded: bytes) -> datetime.datetime:
    text = _body(encoded).decode("ascii", "replace")
    if encoded[0] == _UTC_TIME:  # RFC 5280 section 4.1.2.5.1
        text = ("20" if text[:2] < "50" else "19") + text
    return datetime.datetime.strptime(text, "%Y%m%d%H%M%SZ").replace(tzinfo=datetime.UTC)
