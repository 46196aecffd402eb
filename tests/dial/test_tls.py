"""What an encrypted connection asks of the far side, and what is said where it does not come about: against openssl's own
server, once as threads dial and once as the event loop does."""

import asyncio
import base64
import datetime
import hashlib
import socket
import ssl
import subprocess
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from cryptography.x509.oid import ExtendedKeyUsageOID

from gateway.config.tls import Tls
from gateway.core.errors import RefusedError
from gateway.dial import TlsOptions, doubtful_files, load_certificates, tls_context, why_no_tls
from gateway.dial.der import certificates_in, revocation_lists_in
from tests.peers.certificates import DAY, Authority, Issued
from tests.peers.odd_servers import serving
from tests.peers.s_server import s_server

pytestmark = pytest.mark.timeout(120)

HERE = "127.0.0.1"
Connect = Callable[[int, TlsOptions, str], Awaitable[str]]


@pytest.fixture
def authority(tmp_path: Path) -> Authority:
    return Authority(tmp_path)


async def in_a_thread(port: int, tls: TlsOptions, host: str) -> str:
    def connect() -> str:
        context = tls_context(tls)
        with (
            socket.create_connection((HERE, port), timeout=60) as plain,
            context.wrap_socket(plain, server_hostname=host) as sock,
        ):
            sock.settimeout(60)
            sock.sendall(b"hello\n")
            sock.recv(1)  # an answer to our certificate comes only here (TLS 1.3)
            return sock.version() or ""

    return await asyncio.to_thread(connect)


async def on_the_loop(port: int, tls: TlsOptions, host: str) -> str:
    reader, writer = await asyncio.open_connection(HERE, port, ssl=tls_context(tls), server_hostname=host)
    try:
        writer.write(b"hello\n")
        await reader.read(1)
        return str(writer.get_extra_info("ssl_object").version())
    finally:
        writer.close()


@pytest.fixture(params=[in_a_thread, on_the_loop])
def connect(request: pytest.FixtureRequest) -> Connect:
    way: Connect = request.param
    return way


async def refusal(connect: Connect, own: Issued, tls: TlsOptions, *more: str, host: str = HERE) -> str:
    with s_server(own, more) as port, pytest.raises(ssl.SSLError) as caught:
        await connect(port, tls, host)
    return why_no_tls(caught.value, tls, host)


async def accepted(connect: Connect, own: Issued, tls: TlsOptions, *more: str, host: str = HERE) -> str:
    with s_server(own, ["-rev", *more]) as port:
        return await connect(port, tls, host)


def fingerprints(issued: Issued) -> tuple[str, str]:
    """Of the certificate, and of its public key, by a library that shares no code with ours."""
    found = x509.load_pem_x509_certificate(issued.certificate.read_bytes())
    key = found.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    return tuple(hashlib.sha256(each).hexdigest() for each in (found.public_bytes(Encoding.DER), key))  # type: ignore[return-value]


CASES: dict[str, tuple[dict[str, Any], str]] = {
    "name": ({"name": "other.plant"}, 'is for another name than "127.0.0.1": correct host, or set tls = { server_name'),
    "expired": ({"valid": -DAY}, "has expired: renew it there, or check the clock of this machine, which says 20"),
    "not yet": ({"begins": DAY, "valid": 2 * DAY}, "is not valid yet: check the clock of this machine, which says 20"),
    "purpose": ({"purpose": ExtendedKeyUsageOID.CLIENT_AUTH}, "is not meant for servers (extended key usage)"),
}


@pytest.mark.parametrize("case", CASES)
async def test_a_certificate_that_does_not_do_is_told_with_the_fix(
    authority: Authority, connect: Connect, case: str
) -> None:
    issue, words = CASES[case]
    own = authority.issue(**{"name": HERE, **issue})
    assert words in await refusal(connect, own, TlsOptions(ca=authority.certificate))


async def test_an_unknown_authority_is_told_with_the_fix(
    authority: Authority, connect: Connect, tmp_path: Path
) -> None:
    other = Authority(tmp_path, "other")
    for tls in (TlsOptions(ca=other.certificate), TlsOptions()):
        said = await refusal(connect, authority.issue(HERE), tls)
        assert "the far side's certificate comes from an unknown authority: give that authority's certificate" in said


@pytest.mark.parametrize("version", ["-tls1", "-tls1_1"])
async def test_a_server_that_speaks_old_versions_alone_is_named(
    authority: Authority, connect: Connect, version: str
) -> None:
    old = [version, "-cipher", "DEFAULT:@SECLEVEL=0"]
    said = await refusal(connect, authority.issue(HERE), TlsOptions(ca=authority.certificate), *old)
    assert "the far side speaks no TLS of version 1.2 or 1.3" in said


@pytest.mark.parametrize("version", ["-tls1_2", "-tls1_3"])
async def test_a_server_that_asks_for_our_certificate_gets_it_or_is_named(
    authority: Authority, connect: Connect, tmp_path: Path, version: str
) -> None:
    server, mine, strange = authority.issue(HERE), authority.issue("gw"), Authority(tmp_path, "strange").issue("gw2")
    wants = [version, "-Verify", "3", "-verify_return_error", "-CAfile", str(authority.certificate)]
    bare = TlsOptions(ca=authority.certificate)
    said = await refusal(connect, server, bare, *wants)
    assert "asks for a certificate of ours" in said
    assert "set tls = { certificate = ..., key = ... }" in said
    shown = TlsOptions(authority.certificate, mine.certificate, mine.key)
    assert (await accepted(connect, server, shown, *wants)).startswith("TLSv1.")
    said = await refusal(connect, server, TlsOptions(authority.certificate, strange.certificate, strange.key), *wants)
    assert "does not accept our certificate" in said
    assert "append the issuers to the file" in said


async def test_the_servers_reasons_against_our_certificate_are_told_apart(
    authority: Authority, connect: Connect
) -> None:
    server = authority.issue(HERE)
    wants = ["-Verify", "3", "-verify_return_error", "-CAfile", str(authority.certificate)]
    old = authority.issue("old", valid=-DAY)
    said = await refusal(connect, server, TlsOptions(authority.certificate, old.certificate, old.key), *wants)
    assert "says that our certificate has expired" in said
    server_only = authority.issue("srv", purpose=ExtendedKeyUsageOID.SERVER_AUTH)
    shown = TlsOptions(authority.certificate, server_only.certificate, server_only.key)
    assert "it wants one meant for clients (extended key usage clientAuth)" in await refusal(
        connect, server, shown, *wants
    )


async def test_what_is_no_tls_is_told(authority: Authority, connect: Connect) -> None:
    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read(100)
        writer.write(b"HTTP/1.0 400 Bad Request\r\n\r\n")
        await writer.drain()
        await reader.read()

    async with serving(answer) as port:
        with pytest.raises(ssl.SSLError) as caught:
            await connect(port, TlsOptions(), HERE)
    assert "the port does not speak TLS" in why_no_tls(caught.value, None, HERE)


async def test_a_protocol_that_the_server_does_not_know_is_told(authority: Authority, connect: Connect) -> None:
    tls = TlsOptions(ca=authority.certificate, alpn=("mqtt",))
    server = authority.issue(HERE)
    assert (await accepted(connect, server, tls, "-alpn", "mqtt,http/1.1")).startswith("TLSv1.")
    assert "knows none of the protocols in alpn" in await refusal(connect, server, tls, "-alpn", "h2")


async def test_the_server_is_asked_for_by_its_other_name(
    authority: Authority, connect: Connect, tmp_path: Path
) -> None:
    """One address, two certificates: the name that is asked for (SNI) decides which is shown."""
    first, second = authority.issue("first.plant"), authority.issue("second.plant")
    two = ["-servername", "second.plant", "-cert2", str(second.certificate), "-key2", str(second.key)]
    for name in ("first.plant", "second.plant"):
        tls = TlsOptions(ca=authority.certificate, server_name=name)
        assert (await accepted(connect, first, tls, *two)).startswith("TLSv1.")
    said = await refusal(connect, first, TlsOptions(ca=authority.certificate, server_name="third.plant"), *two)
    assert 'another name than "third.plant"' in said


async def test_a_pin_of_certificate_or_key_is_enough_and_another_is_refused(
    authority: Authority, connect: Connect, tmp_path: Path
) -> None:
    server, other = authority.issue("never.asked.for", valid=-DAY), authority.issue("other")
    for pin in fingerprints(server):
        assert (await accepted(connect, server, TlsOptions(pin=("0" * 64, pin)))).startswith("TLSv1.")
    said = await refusal(connect, server, TlsOptions(pin=fingerprints(other)))
    assert f"certificate is not the one in pin: its SHA-256 is {fingerprints(server)[0]}" in said


async def test_a_pin_beside_an_authority_must_hold_too(authority: Authority, connect: Connect) -> None:
    server, other = authority.issue(HERE), authority.issue("other")
    right = TlsOptions(ca=authority.certificate, pin=fingerprints(server)[:1])
    assert (await accepted(connect, server, right)).startswith("TLSv1.")
    wrong = TlsOptions(ca=authority.certificate, pin=fingerprints(other))
    assert "not the one in pin" in await refusal(connect, server, wrong)
    assert "another name" in await refusal(connect, other, TlsOptions(right.ca, pin=fingerprints(other)))


async def test_an_authority_below_a_root_or_the_server_itself_can_be_trusted_alone(
    authority: Authority, connect: Connect, tmp_path: Path
) -> None:
    below = Authority(tmp_path, "line", under=authority)
    server = below.issue(HERE)
    for trusted in (below.certificate, server.certificate):
        assert (await accepted(connect, server, TlsOptions(ca=trusted))).startswith("TLSv1.")
    assert "unknown authority" in await refusal(connect, authority.issue(HERE), TlsOptions(ca=below.certificate))


async def test_what_was_revoked_is_refused_and_an_old_list_is_told(authority: Authority, connect: Connect) -> None:
    server, stolen = authority.issue(HERE), authority.issue("stolen")
    tls = TlsOptions(ca=authority.certificate, crl=authority.revoke(stolen))
    assert (await accepted(connect, server, tls)).startswith("TLSv1.")
    authority.revoke(stolen, server)
    assert "was revoked by its authority (tls crl)" in await refusal(connect, server, tls)
    authority.revoke(valid=-DAY)
    assert "the list in tls crl has expired; fetch a new one" in await refusal(connect, server, tls)
    (doubt,) = doubtful_files(Tls.model_validate({"ca": str(tls.ca), "crl": str(tls.crl)}))
    assert "the list of CN=plant authority has expired on 20" in doubt


async def test_with_lists_of_several_authorities_a_revoked_one_between_is_found(
    authority: Authority, connect: Connect, tmp_path: Path
) -> None:
    below = Authority(tmp_path, "line", under=authority)
    server = below.issue(HERE)
    chain = ["-cert_chain", str(below.certificate)]
    both = tmp_path / "both.crl"
    both.write_bytes(authority.revoke().read_bytes() + below.revoke().read_bytes())
    tls = TlsOptions(ca=authority.certificate, crl=both)
    assert (await accepted(connect, server, tls, *chain)).startswith("TLSv1.")
    line = Issued(below.certificate, server.key)
    both.write_bytes(authority.revoke(line).read_bytes() + below.revoke().read_bytes())
    assert "was revoked" in await refusal(connect, server, tls, *chain)
    other = TlsOptions(ca=authority.certificate, crl=authority.revoke())
    said = await refusal(connect, server, other, *chain)
    assert "tls crl holds no list of its issuer; add that one's list" in said


def test_a_file_that_is_no_revocation_list_is_named(authority: Authority, tmp_path: Path) -> None:
    path = authority.revoke()
    pem = x509.load_pem_x509_crl(path.read_bytes())
    for content, words in {
        pem.public_bytes(Encoding.DER): "it is DER; openssl crl -inform der",
        authority.certificate.read_bytes(): "it holds no revocation list",
        b"-----BEGIN X509 CRL-----\nMAAAA\n-----END X509 CRL-----\n": "tls crl",
        b"-----BEGIN X509 CRL-----\n????\n-----END X509 CRL-----\n": "tls crl",
    }.items():
        path.write_bytes(content)
        (doubt,) = doubtful_files(Tls.model_validate({"crl": str(path)}))
        assert words in doubt


async def test_a_chain_in_any_order_is_shown_leaf_first(authority: Authority, connect: Connect, tmp_path: Path) -> None:
    middle = Authority(tmp_path, "middle", under=authority)
    line = Authority(tmp_path, "line", under=middle)
    mine, server = line.issue("gw"), authority.issue(HERE)
    parts = [mine.certificate, line.certificate, middle.certificate, authority.certificate]
    texts = [each.read_bytes() for each in parts]
    file = tmp_path / "chain.pem"
    wants = ["-Verify", "5", "-verify_return_error", "-CAfile", str(authority.certificate)]
    for order in ([0, 1, 2, 3], [3, 2, 1, 0], [2, 0, 1], [1, 2, 0]):
        file.write_bytes(b"".join(texts[each] for each in order))
        shown = TlsOptions(authority.certificate, file, mine.key)
        assert (await accepted(connect, server, shown, *wants)).startswith("TLSv1.")
    file.write_bytes(mine.key.read_bytes() + texts[2] + texts[1] + texts[0])
    assert (await accepted(connect, server, TlsOptions(authority.certificate, file), *wants)).startswith("TLSv1.")


async def test_the_next_connection_shows_a_renewed_certificate(authority: Authority, connect: Connect) -> None:
    server, mine = authority.issue(HERE), authority.issue("gw", valid=-DAY)
    wants = ["-Verify", "3", "-verify_return_error", "-CAfile", str(authority.certificate)]
    tls = TlsOptions(authority.certificate, mine.certificate, mine.key)
    assert "has expired" in await refusal(connect, server, tls, *wants)
    assert authority.issue("gw") == mine
    assert (await accepted(connect, server, tls, *wants)).startswith("TLSv1.")


@pytest.mark.parametrize(
    "written",
    [
        "{hex}",
        "{colons}",
        "sha256//{base64}",
        "SHA256:{hex}",
    ],
)
def test_a_pin_is_written_as_tools_print_it(authority: Authority, written: str) -> None:
    own = authority.issue(HERE)
    command = ["openssl", "x509", "-in", str(own.certificate), "-noout", "-fingerprint", "-sha256"]
    colons = subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip().partition("=")[2]
    plain = colons.replace(":", "").lower()
    text = written.format(hex=plain, colons=colons, base64=base64.b64encode(bytes.fromhex(plain)).decode())
    assert Tls.model_validate({"pin": [text]}).pin == (plain,)
    assert plain == fingerprints(own)[0]


@pytest.mark.parametrize("wrong", ["", "abc", "sha256//====", "g" * 64, "aa" * 31])
def test_a_pin_that_is_none_is_refused(wrong: str) -> None:
    with pytest.raises(ValueError, match="SHA-256 in hex or base64"):
        Tls.model_validate({"pin": [wrong]})


@pytest.mark.parametrize("wrong", [b"", b"\x30", b"\x30\x84\xff\xff\xff\xff", b"\x30\x03\x30\x80\x00", bytes(500)])
def test_a_certificate_that_is_none_is_a_refusal_and_no_crash(tmp_path: Path, wrong: bytes) -> None:
    path = tmp_path / "odd.pem"
    path.write_bytes(b"-----BEGIN CERTIFICATE-----\n" + base64.encodebytes(wrong) + b"-----END CERTIFICATE-----\n")
    with pytest.raises(RefusedError, match="tls certificate"):
        load_certificates(ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT), None, path, None)


def test_dates_and_names_are_read_as_the_library_reads_them(authority: Authority, tmp_path: Path) -> None:
    for path in (authority.certificate, authority.issue("gw", valid=datetime.timedelta(days=12000)).certificate):
        (ours,) = certificates_in(path.read_bytes())
        theirs = x509.load_pem_x509_certificate(path.read_bytes())
        assert ours.not_after == theirs.not_valid_after_utc
        assert ours.not_before == theirs.not_valid_before_utc
        assert ours.name == theirs.subject.rfc4514_string()
        assert ours.subject == theirs.subject.public_bytes()
        assert ours.issuer == theirs.issuer.public_bytes()
    crl = authority.revoke()
    (listed,) = revocation_lists_in(crl.read_bytes())
    assert listed.next_update == x509.load_pem_x509_crl(crl.read_bytes()).next_update_utc
    assert listed.issuer == theirs.issuer.public_bytes()
