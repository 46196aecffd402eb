"""What goes wrong between dialling and the broker's welcome, in words."""

import asyncio
import datetime
import shutil
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from gateway.core.errors import LinkError, RefusedError
from gateway.dial import in_thread
from gateway.mqtt import TlsOptions, Will
from gateway.mqtt.paho_client import BatchedClient, PlainClient
from tests.mqtt.fake_broker import CONNECT, WELCOME_5, WELCOME_311, Packet, fake_broker, packet
from tests.mqtt.noted import connected, noted_session
from tests.peers.broker import Broker, Subscriber, free_port, wait_until
from tests.peers.certificates import Authority

pytestmark = pytest.mark.timeout(120)


async def refusal(port: int, **more: Any) -> LinkError:
    with pytest.raises(LinkError) as caught:
        await noted_session(port, **more).session.connect()
    return caught.value


@pytest.fixture
def guarded(tmp_path: Path) -> Iterator[Broker]:
    """A broker that knows one user."""
    tool = shutil.which("mosquitto_passwd")
    if tool is None:
        pytest.skip("mosquitto_passwd is not installed: apt-get install mosquitto")
    passwords = tmp_path / "passwords"
    subprocess.run([tool, "-b", "-c", str(passwords), "gw", "secret"], check=True)
    with Broker(tmp_path, ["allow_anonymous false", f"password_file {passwords}"]) as broker:
        yield broker


@pytest.mark.parametrize("protocol", ["5", "3.1.1"])
async def test_a_wrong_password_is_named_and_not_shown(guarded: Broker, protocol: str) -> None:
    error = await refusal(guarded.port, user="gw", password="wrong", protocol=protocol)
    assert isinstance(error, RefusedError)
    assert 'refuses user "gw"' in str(error)
    assert "check user" in str(error)
    async with connected(guarded.port, user="gw", password="secret", protocol=protocol):
        pass
    assert "secret" not in repr(noted_session(1, user="gw", password="secret").session.options)


async def test_nothing_listens() -> None:
    port = free_port()
    error = await refusal(port)
    assert not isinstance(error, RefusedError)
    assert f"broker 127.0.0.1:{port}: nothing listens there" in str(error)


async def test_an_unknown_name() -> None:
    assert 'the name "broker.invalid" is not known' in str(await refusal(1883, host="broker.invalid"))


async def test_a_server_that_says_nothing() -> None:
    async with fake_broker(lambda packet: b"") as broker:
        assert "has taken the connection, but not answered within 1 s" in str(await refusal(broker.port, timeout=1.0))


async def test_a_listener_that_takes_no_connection() -> None:
    with socket.socket() as full:
        full.bind(("127.0.0.1", 0))
        full.listen(0)
        queued = [socket.socket() for _ in range(3)]
        for each in queued:
            each.setblocking(False)
            each.connect_ex(full.getsockname())
        error = await refusal(full.getsockname()[1], timeout=0.3)
        for each in queued:
            each.close()
    assert "not answered within 0.3 s" in str(error)


@pytest.mark.parametrize(
    ("answer", "words"),
    [
        (b"HTTP/1.1 400 Bad Request\r\n\r\n", "does not speak MQTT (its first byte is 0x48)"),
        (b"\x15\x03\x03\x00\x02\x02\x46", "it expects TLS: set tls = true"),
        (b"SSH-2.0-OpenSSH_9.2\r\n", "does not speak MQTT"),
        (bytes.fromhex("20 ff ff ff ff ff"), "no MQTT"),
        (bytes.fromhex("20 01 00"), "no MQTT"),
        (bytes.fromhex("20 03 00 77 00"), "no MQTT"),
    ],
)
async def test_something_that_is_no_broker(answer: bytes, words: str) -> None:
    async with fake_broker(lambda packet: answer) as broker:
        assert words in str(await refusal(broker.port))


@pytest.mark.parametrize(
    ("code", "person", "words"),
    [
        (0x85, True, "client id not accepted; set another client_id"),
        (0x86, True, "wrong user or password"),
        (0x87, True, "not authorised"),
        (0x88, False, "server unavailable"),
        (0x89, False, "server busy"),
        (0x9F, False, "connection rate exceeded"),
        (0x9C, True, "use another server"),
    ],
)
async def test_a_refusal_says_what_the_broker_says(code: int, person: bool, words: str) -> None:
    async with fake_broker(lambda heard: packet(0x20, bytes((0, code, 0)))) as broker:
        error = await refusal(broker.port)
    assert isinstance(error, RefusedError) == person
    assert words in str(error)


def old_broker(refuse: bytes | None) -> Any:
    def answer(heard: Packet) -> bytes | None:
        if heard.kind != CONNECT:
            return b""
        return WELCOME_311 if heard.level == 4 else refuse

    return answer


@pytest.mark.parametrize("client_type", [BatchedClient, PlainClient])
@pytest.mark.parametrize(
    "refuse",
    [packet(0x20, bytes((0, 0x84, 0))), packet(0x20, bytes((0, 1))), None],
    ids=["0x84", "3.1.1's code 1", "closes"],
)
async def test_an_old_broker_is_spoken_to_in_311_and_the_weaker_promise_is_told(
    refuse: bytes | None, client_type: type[PlainClient]
) -> None:
    async with fake_broker(old_broker(refuse)) as broker:
        async with connected(broker.port, client_type=client_type) as noted:
            assert [heard.level for heard in broker.packets if heard.kind == CONNECT] == [5, 4]
            assert noted.session.promise["protocol"] == "MQTT 3.1.1"
            assert "speaks only MQTT 3.1.1" in noted.session.promise["weaker"]
        error = await refusal(broker.port, protocol="5")
        assert "protocol version not supported" in str(error) or "without an answer" in str(error)


async def test_a_real_broker_that_speaks_only_311(tmp_path: Path) -> None:
    program = Path(sys.executable).with_name("amqtt")
    if not program.exists():
        pytest.skip("amqtt is not installed: pip install amqtt")
    port = free_port()
    settings = tmp_path / "amqtt.yaml"
    settings.write_text(
        f"listeners: {{default: {{type: tcp, bind: '127.0.0.1:{port}'}}}}\n"
        "plugins: {amqtt.plugins.authentication.AnonymousAuthPlugin: {allow_anonymous: true}}\n"
    )
    with subprocess.Popen([program, "-c", settings], stderr=subprocess.DEVNULL) as broker:
        try:
            wait_until(lambda: listens(port), "amqtt listens")
            async with connected(port) as noted:
                assert noted.session.protocol == "3.1.1"
                noted.session.publish_many([("a", b"x", False, n) for n in range(100)])
                await noted.until(lambda: len(noted.acknowledged) == 100)
        finally:
            broker.kill()


def listens(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


async def test_311_is_not_tried_when_the_broker_refuses_for_another_reason() -> None:
    async with fake_broker(lambda heard: packet(0x20, bytes((0, 0x86, 0)))) as broker:
        await refusal(broker.port)
        assert [heard.level for heard in broker.packets] == [5]


async def test_a_broker_without_qos_1_is_refused_by_us() -> None:
    properties = bytes((0x24, 0))  # Maximum QoS 0
    async with fake_broker(lambda heard: packet(0x20, bytes((0, 0, 2)) + properties)) as broker:
        assert "does not take QoS 1" in str(await refusal(broker.port))


async def test_a_cancelled_connect_leaves_nothing_open() -> None:
    async with fake_broker(lambda heard: b"") as broker:
        connecting = asyncio.create_task(noted_session(broker.port).session.connect())
        while not broker.packets:
            await asyncio.sleep(0.01)
        connecting.cancel()
        await asyncio.wait({connecting})
        assert await asyncio.wait_for(closed_by_us(broker.writers[0]), 60)


async def closed_by_us(writer: asyncio.StreamWriter) -> bool:
    while not writer.transport.is_closing():
        await asyncio.sleep(0.01)
    return True


@pytest.fixture
def authority(tmp_path: Path) -> Authority:
    return Authority(tmp_path)


def tls_broker(directory: Path, authority: Authority, name: str = "127.0.0.1", *more: str, **issue: Any) -> Broker:
    own = authority.issue(name, **issue)
    return Broker(directory, [f"certfile {own.certificate}", f"keyfile {own.key}", *more])


@pytest.mark.parametrize("client_type", [BatchedClient, PlainClient])
async def test_tls_with_the_plants_own_authority(
    tmp_path: Path, authority: Authority, client_type: type[PlainClient]
) -> None:
    with tls_broker(tmp_path, authority) as broker:
        arguments = ["--cafile", str(authority.certificate)]
        with Subscriber(broker, arguments=arguments) as subscriber:
            tls = TlsOptions(ca=authority.certificate)
            async with connected(broker.port, tls=tls, client_type=client_type) as noted:
                assert noted.session.promise["encryption"].startswith("TLSv1.")
                noted.session.publish_many([("a", b"x" * 50_000, False, n) for n in range(300)])
                await noted.until(lambda: len(noted.acknowledged) == 300)
                await noted.session.subscribe("back/#")
                noted.session.publish_many([("back/big", b"y" * 200_000, False, 0)])
                await noted.until(lambda: bool(noted.messages))
                assert len(noted.messages[0][1]) == 200_000
            assert len(subscriber.wait_for(301)) == 301


async def test_tls_with_another_name_in_the_certificate(tmp_path: Path, authority: Authority) -> None:
    with tls_broker(tmp_path, authority, "broker.plant.local") as broker:
        error = await refusal(broker.port, tls=TlsOptions(ca=authority.certificate))
        assert isinstance(error, RefusedError)
        assert 'the broker\'s certificate is for another name than "127.0.0.1"' in str(error)
        named = TlsOptions(ca=authority.certificate, server_name="broker.plant.local")
        async with connected(broker.port, tls=named):
            pass


async def test_tls_with_an_unknown_authority(tmp_path: Path, authority: Authority) -> None:
    other = Authority(tmp_path, "other")
    with tls_broker(tmp_path, authority) as broker:
        for tls in (TlsOptions(ca=other.certificate), TlsOptions()):
            error = await refusal(broker.port, tls=tls)
            assert isinstance(error, RefusedError)
            assert "tls = { ca = ... }" in str(error)


async def test_tls_with_an_expired_certificate(tmp_path: Path, authority: Authority) -> None:
    with tls_broker(tmp_path, authority, valid=datetime.timedelta(days=-1)) as broker:
        error = await refusal(broker.port, tls=TlsOptions(ca=authority.certificate))
        assert "has expired" in str(error)


async def test_tls_with_a_client_certificate(tmp_path: Path, authority: Authority) -> None:
    lines = [f"cafile {authority.certificate}", "require_certificate true"]
    own = authority.issue("gateway.local")
    with tls_broker(tmp_path, authority, "127.0.0.1", *lines) as broker:
        mine = TlsOptions(ca=authority.certificate, certificate=own.certificate, key=own.key)
        async with connected(broker.port, tls=mine):
            pass
        error = await refusal(broker.port, tls=TlsOptions(ca=authority.certificate))
        assert "tls = { certificate = ..., key = ... }" in str(error)


async def test_tls_on_a_plain_port_and_plain_on_a_tls_port(
    broker: Broker, tmp_path: Path, authority: Authority
) -> None:
    error = await refusal(broker.port, tls=TlsOptions(ca=authority.certificate))
    assert "speak TLS" in str(error)
    with tls_broker(tmp_path, authority) as encrypted:
        assert "TLS" in str(await refusal(encrypted.port))


async def test_tls_files_that_are_missing_or_wrong(tmp_path: Path, authority: Authority) -> None:
    nonsense = tmp_path / "nonsense.pem"
    nonsense.write_text("no certificate")
    assert f"tls ca {tmp_path}/none.pem: No such file" in str(
        await refusal(1, tls=TlsOptions(ca=tmp_path / "none.pem"))
    )
    assert "tls ca" in str(await refusal(1, tls=TlsOptions(ca=nonsense)))
    own, other = authority.issue("a"), authority.issue("b")
    assert "the key does not fit" in str(await refusal(1, tls=TlsOptions(certificate=own.certificate, key=other.key)))


async def test_a_dead_peer_is_noticed_by_the_kernel_in_time_and_small_packets_are_not_held_back(broker: Broker) -> None:
    async with connected(broker.port, user_timeout=4.5) as noted:
        sock: Any = noted.session._connected.client.socket()
        assert sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT) == 4500
        assert sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY)


async def test_a_welcome_without_wishes_leaves_our_own_limit() -> None:
    async with (
        fake_broker(lambda heard: WELCOME_5 if heard.kind == CONNECT else b"") as broker,
        connected(broker.port, max_in_flight=7) as noted,
    ):
        assert noted.session.receive_maximum == 7


async def test_a_name_in_the_subject_alone_is_no_name(tmp_path: Path, authority: Authority) -> None:
    own = authority.issue("localhost", named=False)
    with Broker(tmp_path, [f"certfile {own.certificate}", f"keyfile {own.key}"]) as broker:
        error = await refusal(broker.port, host="localhost", tls=TlsOptions(ca=authority.certificate))
        assert isinstance(error, RefusedError)
        assert "for another name" in str(error)


async def test_threads_that_hang_in_a_dial_do_not_pile_up(monkeypatch: pytest.MonkeyPatch) -> None:
    gate = threading.Event()
    monkeypatch.setattr(PlainClient, "dial", lambda _, sock, __: gate.wait(100) and sock.close())
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
        for _ in range(in_thread.AT_ONCE):
            assert "dialling has not ended within 2 s" in str(await refusal(port, timeout=0.5))
        assert f"4 attempts to dial 127.0.0.1:{port} hang" in str(await refusal(port, timeout=0.5))
    gate.set()


async def test_a_tls_handshake_that_never_ends_is_left() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        error = await refusal(server.getsockname()[1], timeout=0.3, tls=TlsOptions())
    assert "has not answered within 0.3 s" in str(error) or "TLS" in str(error)


@pytest.mark.parametrize("protocol", ["5", "3.1.1", "auto"])
async def test_a_broker_that_keeps_nothing_is_greeted_without_a_retained_will(tmp_path: Path, protocol: str) -> None:
    with Broker(tmp_path, ["retain_available false"]) as broker, Subscriber(broker, "gw/state") as subscriber:
        async with connected(broker.port, will=Will("gw/state", b"offline"), protocol=protocol) as noted:
            assert "keeps no retained messages" in noted.session.promise["weaker"]
            noted.session.publish_many([("a", b"x", True, 1)])
            await noted.until(lambda: noted.acknowledged == [1])
            noted.session._connected.close()
        assert subscriber.wait_for(1)[0].payload == "offline"


async def test_a_broker_that_refuses_the_wills_topic_is_greeted_without_it(tmp_path: Path) -> None:
    rights = tmp_path / "rights"
    rights.write_text("topic write data/#\n")
    with Broker(tmp_path, [f"acl_file {rights}"]) as broker:
        async with connected(broker.port, will=Will("gw/state", b"offline")) as noted:
            if noted.session.will is None:  # mosquitto 2.0 judges a will only when it is published
                assert "refuses our will" in noted.session.promise["weaker"]

    def no_wills(heard: Packet) -> bytes:
        return packet(0x20, bytes((0, 0x87 if heard.body[7] & 4 else 0, 0))) if heard.kind == CONNECT else b""

    async with fake_broker(no_wills) as fake, connected(fake.port, will=Will("gw/state", b"offline")) as noted:
        assert "refuses our will" in noted.session.promise["weaker"]
