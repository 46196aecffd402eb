"""Logging in to real servers: policies, pinned certificates, users. A wrong setting gets one clear answer."""

import asyncio
import hashlib
import json
import stat
from contextlib import asynccontextmanager

import pytest
from asyncua.crypto import cert_gen
from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509.oid import ExtendedKeyUsageOID
from structlog.testing import capture_logs

from gateway.cli import main
from gateway.plugin import LinkError, RefusedError
from gateway.testing import eventually
from plugins.opcua import OpcUa
from plugins.opcua import driver as driver_module
from plugins.opcua.session import protection, trusted
from tests.peers.opcua_servers import OpcUaPeer, free_port, require_node_opcua

from .conftest import make_device, streaming

pytestmark = pytest.mark.timeout(120)  # the first run installs node-opcua

ALL = "Basic256Sha256,Aes128_Sha256_RsaOaep,Aes256_Sha256_RsaPss"


def secret(monkeypatch, value):
    monkeypatch.setenv("OPCUA_TEST_PASSWORD", value)
    return {"env": "OPCUA_TEST_PASSWORD"}


async def refusal(device, error=RefusedError) -> str:
    driver = OpcUa([device])
    with pytest.raises(error) as caught:
        await driver.connect()
    await driver.close()
    driver.release()
    return str(caught.value)


async def assert_streams(device):
    async with streaming(device) as collector:
        await collector.until(lambda: collector.values("Double") == [2.25])


@pytest.mark.parametrize("security", ALL.split(","))
async def test_each_policy_signs_and_encrypts(serve, security):
    peer = await serve("--security", ALL)
    await assert_streams(make_device(peer.url, ["Double"], security=security, server_thumbprint=peer.thumbprint))


@pytest.mark.slow
@pytest.mark.parametrize("mode", ["sign", "sign_and_encrypt"])
@pytest.mark.parametrize("security", ALL.split(","))
async def test_each_user_logs_in_with_each_policy_and_mode(serve, monkeypatch, user_files, security, mode):
    open_to_all = await serve("--security", ALL)
    closed = await serve("--security", ALL, "--user", "op:secret")
    how = {"security": security, "mode": mode}
    logins = [
        (open_to_all, {}),
        (closed, {"user": "op", "password": secret(monkeypatch, "secret"), "allow_plain_password": True}),
        (closed, user_files),
    ]
    for peer, login in logins:
        device = make_device(peer.url, ["Double"], server_thumbprint=peer.thumbprint, **how, **login)
        await assert_streams(device)
    message = await refusal(make_device(closed.url, ["Double"], server_thumbprint=closed.thumbprint, **how))
    assert "user" in message


@pytest.fixture
def user_files(tmp_path) -> dict[str, str]:
    """A user's certificate and key."""
    key = cert_gen.generate_private_key()
    certificate = cert_gen.generate_self_signed_app_certificate(
        key, "operator", {}, [x509.UniformResourceIdentifier("urn:operator")], [ExtendedKeyUsageOID.CLIENT_AUTH], 10
    )
    (tmp_path / "user.der").write_bytes(certificate.public_bytes(Encoding.DER))
    (tmp_path / "user.pem").write_bytes(cert_gen.dump_private_key_as_pem(key))
    return {"user_certificate": str(tmp_path / "user.der"), "user_private_key": str(tmp_path / "user.pem")}


async def test_a_user_logs_in_with_a_certificate(serve, user_files):
    peer = await serve("--security", "Basic256Sha256", "--user", "op:secret")
    device = make_device(peer.url, ["Double"], security="auto", server_thumbprint=peer.thumbprint, **user_files)
    await assert_streams(device)


async def test_a_users_key_that_cannot_be_read_is_told(serve, user_files, tmp_path):
    peer = await serve("--security", "Basic256Sha256", "--user", "op:secret")
    (tmp_path / "user.pem").write_text("no key")
    device = make_device(peer.url, ["Double"], security="auto", server_thumbprint=peer.thumbprint, **user_files)
    assert "no private key can be read" in await refusal(device)


async def test_mode_sign_protects_without_encrypting(serve):
    peer = await serve("--security", "Basic256Sha256")
    await assert_streams(
        make_device(peer.url, ["Double"], security="auto", mode="sign", server_thumbprint=peer.thumbprint)
    )


async def test_an_unknown_certificate_is_refused_with_the_line_to_paste(serve):
    peer = await serve("--security", "Basic256Sha256")
    message = await refusal(make_device(peer.url, ["Double"], security="auto"))
    assert f'server_thumbprint = "{peer.thumbprint}"' in message
    assert await peer.sessions() == {"sessions": 0, "subscriptions": 0}


async def test_a_certificate_that_was_accepted_is_trusted_from_the_next_attempt_on(serve, state_directory, capsys):
    peer = await serve("--security", "Basic256Sha256")
    device = make_device(peer.url, ["Double"], security="auto")
    message = await refusal(device)
    assert f"edge-gateway trust accept {peer.thumbprint}" in message
    assert main(["trust", "list", "--json"]) == 0
    listed = {entry["state"]: entry for entry in json.loads(capsys.readouterr().out)}
    assert listed["rejected"]["thumbprint"] == peer.thumbprint
    assert main(["trust", "accept", peer.thumbprint]) == 0
    await assert_streams(device)
    assert main(["trust", "revoke", peer.thumbprint]) == 0
    await refusal(device)


@pytest.mark.slow
async def test_a_server_with_a_new_certificate_is_taken_up_once_that_is_accepted(kind, tmp_path, state_directory):
    port = free_port()
    device = make_device(f"opc.tcp://127.0.0.1:{port}", ["Double"], security="auto")
    for keys in ("old", "new"):
        async with OpcUaPeer(kind, tmp_path / keys, "--security", "Basic256Sha256", port=port) as peer:
            assert peer.thumbprint[:16] in await refusal(device)
            assert main(["trust", "accept", peer.thumbprint]) == 0
            await assert_streams(device)


async def test_a_configured_thumbprint_outweighs_what_was_accepted(serve):
    peer = await serve("--security", "Basic256Sha256")
    await refusal(make_device(peer.url, ["Double"], security="auto"))
    assert main(["trust", "accept", peer.thumbprint]) == 0
    message = await refusal(make_device(peer.url, ["Double"], security="auto", server_thumbprint="ab" * 32))
    assert "another certificate" in message


def test_a_stranger_who_shows_ever_new_certificates_does_not_fill_the_disk(tmp_path, monkeypatch):
    monkeypatch.setattr(trusted, "MOST_REJECTED", 3)
    for number in range(6):
        assert trusted.keep_for_decision(b"certificate %d" % number, tmp_path)
    kept = {file.read_bytes() for file in tmp_path.glob("rejected/*")}
    assert len(kept) == 3
    assert b"certificate 5" in kept


async def test_a_certificate_that_expires_soon_is_told_at_each_connect(serve, monkeypatch):
    peer = await serve("--security", "Basic256Sha256")
    monkeypatch.setattr(driver_module, "EXPIRES_SOON", 10_000)
    device = make_device(peer.url, ["Double"], security="auto", server_thumbprint=peer.thumbprint)
    with capture_logs() as logs:
        await assert_streams(device)
    said = [entry["event"] for entry in logs if "expires in" in entry["event"]]
    assert [text.split("'")[0] for text in said] == ["the server", "the gateway"]


async def test_what_protects_a_connection_is_told_and_what_does_not(serve, monkeypatch):
    monkeypatch.setattr(protection, "RENEW_WITHIN", 10_000)
    peer = await serve("--security", "Basic256Sha256")
    device = make_device(peer.url, ["Double"], security="auto", mode="sign", server_thumbprint=peer.thumbprint)
    driver = OpcUa([device])
    await driver.connect()
    facts, remarks = dict(driver.facts), list(driver.remarks)
    await driver.close()
    assert (facts.pop("security"), facts.pop("mode")) == ("Basic256Sha256", "sign")
    assert facts["server_certificate_days"] > 300
    assert facts["gateway_certificate_days"] > 300
    assert [remark.split(" in ")[0] for remark in remarks] == [
        "the server's certificate expires",
        "the gateway's certificate expires",
    ]
    assert OpcUa.doubts([device]) == []


async def test_a_connection_without_protection_is_named_by_status_and_check(serve):
    peer = await serve()
    device = make_device(peer.url, ["Double"])
    driver = OpcUa([device])
    assert (driver.facts, driver.remarks) == ({}, [])
    await driver.connect()
    assert driver.facts["security"] == "none"
    assert "mode" not in driver.facts
    assert [remark.split(":")[0] for remark in driver.remarks] == ["not protected"]
    await driver.close()
    assert ["readable" in doubt for doubt in OpcUa.doubts([device])] == [True]


async def test_certificates_lie_in_the_gateways_own_folder(serve, tmp_path):
    peer = await serve("--security", "Basic256Sha256")
    driver = OpcUa([make_device(peer.url, ["Double"], security="auto")])
    driver.host.state_dir = tmp_path / "elsewhere"
    with pytest.raises(RefusedError, match="not known"):
        await driver.connect()
    driver.release()
    pki = tmp_path / "elsewhere/pki/opcua"
    assert sorted(file.name for file in pki.glob("own/*")) == ["certificate.der", "private_key.pem"]
    assert [file.stem for file in pki.glob("rejected/*")] == [peer.thumbprint]


async def test_another_certificate_than_the_pinned_one_is_refused(serve):
    peer = await serve("--security", "Basic256Sha256")
    message = await refusal(make_device(peer.url, ["Double"], security="auto", server_thumbprint="ab" * 32))
    assert "another certificate" in message
    assert peer.thumbprint in message


async def test_the_certificate_can_be_pinned_by_sha256_or_by_file_and_not_by_sha1(serve, tmp_path):
    peer = await serve("--security", "Basic256Sha256")
    with pytest.raises(ValueError, match="this is a SHA-1"):
        make_device(
            peer.url, ["Double"], security="auto", server_thumbprint=hashlib.sha1(peer.certificate_der).hexdigest()
        )
    file = tmp_path / "server.der"
    file.write_bytes(peer.certificate_der)
    await assert_streams(make_device(peer.url, ["Double"], security="auto", server_thumbprint=peer.thumbprint))
    await assert_streams(make_device(peer.url, ["Double"], security="auto", server_certificate=str(file)))


async def test_auto_never_falls_back_to_an_unprotected_connection(serve):
    peer = await serve("--security", "None")
    message = await refusal(make_device(peer.url, ["Double"], security="auto", server_thumbprint="ab" * 32))
    assert 'security = "none"' in message


async def test_a_policy_that_the_server_lacks_is_named_with_those_it_has(serve):
    peer = await serve("--security", "Basic256Sha256")
    message = await refusal(make_device(peer.url, ["Double"], security="Aes256_Sha256_RsaPss"))
    assert "does not offer Aes256_Sha256_RsaPss" in message
    assert 'security = "Basic256Sha256" with mode = "sign_and_encrypt"' in message


async def test_the_right_password_opens_and_a_wrong_one_is_told(serve, monkeypatch):
    peer = await serve("--security", "Basic256Sha256", "--user", "op:secret")
    options = {"security": "auto", "server_thumbprint": peer.thumbprint, "user": "op"}
    await assert_streams(make_device(peer.url, ["Double"], **options, password=secret(monkeypatch, "secret")))
    message = await refusal(make_device(peer.url, ["Double"], **options, password=secret(monkeypatch, "wrong")))
    assert "check user and password" in message
    assert "wrong" not in message
    await eventually(lambda: peer.has(0, 0))


async def test_anonymous_is_told_that_the_server_wants_a_user(serve):
    peer = await serve("--security", "Basic256Sha256", "--user", "op:secret")
    message = await refusal(make_device(peer.url, ["Double"], security="auto", server_thumbprint=peer.thumbprint))
    assert "user" in message


async def test_a_password_crosses_an_unprotected_network_only_when_that_is_allowed(serve, monkeypatch):
    peer = await serve("--security", "None,Basic256Sha256", "--user", "op:secret")
    word = secret(monkeypatch, "secret")
    with pytest.raises(ValueError, match="allow_plain_password"):
        make_device(peer.url, ["Double"], user="op", password=word)
    await assert_streams(make_device(peer.url, ["Double"], user="op", password=word, allow_plain_password=True))


async def test_the_gateways_certificate_is_made_once_and_its_key_kept_private(serve, state_directory):
    peer = await serve("--security", "Basic256Sha256")
    device = make_device(peer.url, ["Double"], security="auto", server_thumbprint=peer.thumbprint)
    await assert_streams(device)
    own = state_directory / "pki/opcua/own"
    first = (own / "certificate.der").read_bytes()
    await assert_streams(device)
    assert (own / "certificate.der").read_bytes() == first
    assert stat.S_IMODE((own / "private_key.pem").stat().st_mode) == 0o600
    assert stat.S_IMODE(own.stat().st_mode) == 0o700
    given = make_device(
        peer.url,
        ["Double"],
        security="auto",
        server_thumbprint=peer.thumbprint,
        certificate=str(own / "certificate.der"),
        private_key=str(own / "private_key.pem"),
    )
    await assert_streams(given)


async def test_a_server_that_does_not_trust_the_gateway_is_told_with_the_file_to_trust(server_keys, state_directory):
    require_node_opcua()
    options = ("--security", "Basic256Sha256", "--distrust")
    async with OpcUaPeer("node-opcua", server_keys / "distrusting", *options) as peer:
        device = make_device(peer.url, ["Double"], security="auto", server_thumbprint=peer.thumbprint)
        message = await refusal(device)
    assert str(state_directory / "pki/opcua/own/certificate.der") in message
    assert "trust" in message


async def test_nobody_at_the_port_is_a_lost_link_with_the_address(unused_tcp_port):
    message = await refusal(make_device(f"opc.tcp://127.0.0.1:{unused_tcp_port}", ["Double"]), LinkError)
    assert f"127.0.0.1:{unused_tcp_port}" in message
    assert "refused" in message.lower()


@asynccontextmanager
async def stranger(answer: bytes | None):
    """A server that answers the first bytes of a client with these; with None it says nothing. Yields its port."""
    visits = []

    async def serve(reader, writer):
        visits.append(asyncio.current_task())
        await reader.read(10)
        if answer is None:
            await reader.read()
        else:
            writer.write(answer)
        writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    yield server.sockets[0].getsockname()[1]
    server.close()
    await asyncio.wait_for(asyncio.gather(*visits, return_exceptions=True), 20)


@pytest.mark.parametrize(
    "answer", [b"HTTP/1.1 400 Bad Request\r\n\r\n", b"", bytes(range(256)), b"ACKF\x1c\x00\x00\x00junk"]
)
async def test_something_that_is_no_opcua_server_is_a_lost_link(answer):
    async with stranger(answer) as port:
        device = make_device(f"opc.tcp://127.0.0.1:{port}", ["Double"], timeout="500ms")
        assert f"127.0.0.1:{port}" in await refusal(device, LinkError)


async def test_a_server_that_says_nothing_is_a_lost_link_within_the_time_out():
    async with stranger(None) as port:
        device = make_device(f"opc.tcp://127.0.0.1:{port}", ["Double"], timeout="200ms")
        assert "did not answer in time" in await refusal(device, LinkError)
