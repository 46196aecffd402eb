"""The NATS sink with the gateway's own encoding, a real nats-server, and NATS' own client as the one who reads."""

import asyncio
import json
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
import uvloop
from structlog.testing import capture_logs

from gateway.config.model import GatewaySection
from gateway.core.clock import FakeClock
from gateway.core.context import Context
from gateway.core.live import LiveTable
from gateway.plugin import DeviceConfig, Kind, LinkError, RefusedError, TagConfig
from gateway.publish import JsonEncoder, SinkSurroundings
from gateway.testing import FakeSinkHost, TcpLink, bind, build_sink_config, eventually, records
from plugins.nats import NatsSink
from tests.peers.certificates import Authority
from tests.peers.http_proxies import microsocks
from tests.peers.nats_server import Key, NatsServer, jetstream, kept, operator_mode

COATER = bind(
    DeviceConfig(name="coater-1", driver="modbus"),
    {"inlet_temp": TagConfig(unit="°C"), "speed": TagConfig()},
    context=Context(site="north", line="coating"),
)


class Host(FakeSinkHost):
    """A host with the gateway's own encoder."""

    def encoder(self, topic: str, per_tag: bool) -> JsonEncoder:
        section = GatewaySection(name="line3-gw1", site="north")
        around = SinkSurroundings(section, "1.2.3", FakeClock(), LiveTable(), lambda: self.all_devices)
        return JsonEncoder(topic, per_tag, around)


@pytest.fixture
def host() -> Host:
    return Host([COATER], gateway="line3-gw1")


@pytest.fixture
def server(tmp_path: Path) -> Iterator[NatsServer]:
    with NatsServer(tmp_path) as running:
        yield running


def config(port: int, **options: Any) -> Any:
    options = {"stream": "EDGE", "create": True, **options}
    return build_sink_config(NatsSink, {"name": "central", "servers": [f"127.0.0.1:{port}"], **options})


@asynccontextmanager
async def connected(port: int, host: Host, **options: Any) -> AsyncIterator[NatsSink]:
    sink = NatsSink(config(port, **options), host)
    await sink.connect()
    serving = asyncio.create_task(sink.serve())
    try:
        yield sink
    finally:
        serving.cancel()
        await asyncio.wait({serving})
        await sink.close()


async def make_stream(port: int, **options: Any) -> None:
    async with jetstream(port) as js:
        await js.add_stream(name="EDGE", **{"subjects": ["edge.>"], **options})


async def test_records_arrive_under_the_plants_subject_with_their_ids_as_headers(
    server: NatsServer, host: Host
) -> None:
    sent = [*records(COATER, 100), *records(COATER, 1, first=7, kind=Kind.EVENT)]
    async with connected(server.port, host) as sink:
        sink.send(sent)
        await eventually(lambda: len(host.taken) == 101)
    found = [each for each in await kept(server.port, "EDGE") if "Record" in each.headers]
    assert sorted(each.headers["Nats-Msg-Id"] for each in found) == sorted(record.id for record in sent)
    readings = [each for each in found if each.headers["Kind"] == "readings"]
    assert [json.loads(each.payload)["id"] for each in readings] == [record.id for record in sent[:100]]
    assert {each.subject for each in readings} == {"edge.north.coating.coater-1"}
    assert json.loads(readings[0].payload)["values"] == {"inlet_temp": 1.0, "speed": 2.0}
    assert readings[0].headers["Gateway"] == "line3-gw1"
    (event,) = [each for each in found if each.headers["Kind"] == "event"]
    assert event.subject.endswith("._event")


async def test_what_is_sent_again_is_dropped_by_the_server_and_counts_as_taken(server: NatsServer, host: Host) -> None:
    sent = records(COATER, 50)
    for count in (50, 100):
        async with connected(server.port, host) as sink:
            sink.send(sent)
            await eventually(lambda: len(host.taken) == count)  # noqa: B023
            repeats = sink.promise["repeats_dropped"]
    assert repeats == 50
    assert len([each for each in await kept(server.port, "EDGE") if "Record" in each.headers]) == 50


async def test_each_part_of_a_record_has_an_id_of_its_own(server: NatsServer, host: Host) -> None:
    async with connected(server.port, host, per_tag=True) as sink:
        sink.send(records(COATER, 1))
        await eventually(lambda: host.taken)
    found = [each for each in await kept(server.port, "EDGE") if "Record" in each.headers]
    assert [each.subject.split(".")[-1] for each in found] == ["inlet_temp", "speed"]
    record = found[0].headers["Record"]
    assert [each.headers["Nats-Msg-Id"] for each in found] == [record, f"{record}:1"]


@pytest.mark.parametrize(
    ("name", "token"), [("press 1.a", "press_1_a"), ("a*b>c", "a_b_c"), ("Rührer", "Rührer"), ("x..y", "x__y")]
)
async def test_names_become_tokens_of_the_subject(server: NatsServer, host: Host, name: str, token: str) -> None:
    odd = bind(DeviceConfig(name=name, driver="modbus"), {"a": TagConfig()})
    async with connected(server.port, host) as sink:
        sink.send(records(odd, 1))
        await eventually(lambda: host.taken)
    (found,) = [each for each in await kept(server.port, "EDGE") if "Record" in each.headers]
    assert found.subject == f"edge.{token}"


async def test_states_and_descriptions_are_said_once_over_many_connections(server: NatsServer, host: Host) -> None:
    for _ in range(3):
        async with connected(server.port, host) as sink:
            sink.device_changed(COATER, True, "")
            await sink.session.settle(60)
            sink.session._transport.abort()  # type: ignore[union-attr]  # as when the link is cut: no good-bye
    async with connected(server.port, host) as sink:
        sink.device_changed(COATER, False, "no answer")
        await eventually(lambda: not sink.session.open)
    said = [each.subject.removeprefix("edge.north.") for each in await kept(server.port, "EDGE")]
    below = "coating.coater-1"
    assert said == ["line3-gw1._state", f"{below}._tags", f"{below}._state", f"{below}._state", "line3-gw1._state"]


# The stream


async def test_the_stream_is_made_as_the_configuration_says_and_left_alone_afterwards(
    server: NatsServer, host: Host
) -> None:
    async with connected(server.port, host, duplicate_window="5min", max_age="30d", max_bytes="10 MiB"):
        pass
    async with connected(server.port, host, duplicate_window="2min"), jetstream(server.port) as js:
        made = (await js.stream_info("EDGE")).config
    assert (made.subjects, made.duplicate_window, made.max_age) == (["edge.>"], 300, 30 * 86400)
    assert (made.max_bytes, made.storage, made.num_replicas) == (10 * 2**20, "file", 1)


async def test_a_check_says_what_it_found_and_leaves_nothing(server: NatsServer, host: Host) -> None:
    found = await NatsSink(config(server.port), host).check()
    assert '"EDGE" is not there yet; it will be made' in found
    async with jetstream(server.port) as js:
        assert await js.streams_info() == []
    await make_stream(server.port, duplicate_window=60)
    found = await NatsSink(config(server.port), host).check()
    assert "stream EDGE (file, drops repeats for 1 min); repeats may come in after any lost connection" in found
    assert await kept(server.port, "EDGE") == []


async def test_a_stream_that_is_missing_and_may_not_be_made_is_an_error_with_the_fix(
    server: NatsServer, host: Host
) -> None:
    with pytest.raises(RefusedError, match='stream "EDGE" is not there: create = true makes it'):
        await NatsSink(config(server.port, create=False), host).connect()


@pytest.mark.parametrize(
    ("options", "why"),
    [({"no_ack": True}, "acknowledges nothing"), ({"sealed": True}, "sealed"), ({"mirror": "OTHER"}, "mirror")],
    ids=["no_ack", "sealed", "mirror"],
)
async def test_a_stream_that_can_never_take_a_record_is_refused(
    server: NatsServer, host: Host, options: dict[str, Any], why: str
) -> None:
    from nats.js.api import StreamSource

    async with jetstream(server.port) as js:
        if "mirror" in options:
            await js.add_stream(name="OTHER", subjects=["other.>"])
            await js.add_stream(name="EDGE", mirror=StreamSource(name="OTHER"))
        elif "sealed" in options:
            await js.add_stream(name="EDGE", subjects=["edge.>"])
            await js.update_stream(name="EDGE", subjects=["edge.>"], sealed=True)
        else:
            await js.add_stream(name="EDGE", subjects=["edge.>"], **options)
    with pytest.raises(RefusedError, match=why):
        await NatsSink(config(server.port), host).connect()


async def test_without_a_stream_records_wait_and_go_once_there_is_one(server: NatsServer, host: Host) -> None:
    async with connected(server.port, host, stream="", create=False) as sink:
        assert 'none takes "edge.north.line3-gw1._state"' in sink.promise["weaker"]
        sink.send(records(COATER, 2))
        await eventually(lambda: len(host.refusals) == 2)
        (_, reason, final), _ = host.refusals
        assert (final, 'no stream takes "edge.north.coating.coater-1": make one' in reason) == (False, True)
        await make_stream(server.port)
        sink.send(records(COATER, 2))
        await eventually(lambda: len(host.taken) == 2)


async def test_a_full_stream_keeps_records_waiting(server: NatsServer, host: Host) -> None:
    await make_stream(server.port, max_msgs=5, discard="new")
    async with connected(server.port, host) as sink:
        sink.send(records(COATER, 20))
        await eventually(lambda: len(host.taken) + len(host.refusals) == 20)
        assert not any(final for _, _, final in host.refusals)
        assert "stream EDGE is full (maximum messages exceeded): raise its limits" in host.refusals[0][1]
        refused = {name for name, _, _ in host.refusals}
        async with jetstream(server.port) as js:
            await js.purge_stream("EDGE")
        sink.send([record for record in records(COATER, 20) if record.id in refused][:3])
        await eventually(lambda: len(host.taken) + len(host.refusals) == 23)
        assert len({*host.taken} & refused) == 3


async def test_what_the_stream_finds_too_large_is_refused_for_good(server: NatsServer, host: Host) -> None:
    await make_stream(server.port, max_msg_size=600)
    wide = bind(DeviceConfig(name="wide", driver="test"), {f"tag-{n}": TagConfig() for n in range(100)})
    async with connected(server.port, host) as sink:
        sink.send([*records(wide, 1, first=500), *records(COATER, 2)])
        await eventually(lambda: len(host.taken) + len(host.refusals) == 3)
    ((_, reason, final),) = host.refusals
    assert (final, "raise its max_msg_size, or spread the device's tags" in reason) == (True, True)


async def test_a_stream_in_memory_is_told_as_weaker(server: NatsServer, host: Host) -> None:
    await make_stream(server.port, storage="memory", duplicate_window=600)
    async with connected(server.port, host) as sink:
        assert sink.promise["weaker"] == "stream EDGE: it stands in memory alone, and is gone when the server stops"


async def test_a_server_without_jetstream_is_an_error_with_the_fix(tmp_path: Path, host: Host) -> None:
    refused = pytest.raises(RefusedError, match=r"no JetStream for us .*: switch it on there")
    with NatsServer(tmp_path, jetstream=False) as server, refused:
        await NatsSink(config(server.port), host).connect()


# Who we are


USERS = """accounts {
  A {
    jetstream: enabled
    users: [
      {user: gw, password: secret},
      {user: blind, password: secret, permissions: {subscribe: ["inbox-gw.>"]}},
      {user: mute, password: secret, permissions: {publish: {deny: ["edge.north.coating.>", "$JS.API.STREAM.NAMES"]}}},
      {nkey: %s}
    ]
  }
}"""


@pytest.fixture(params=["password", "token", "nkey", "credentials"])
def known(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[tuple[NatsServer, dict[str, Any]]]:
    """A server that lets in who proves himself in this way, and the options that do."""
    key, lines = Key("U"), ["authorization { token: secret }"]
    secret = tmp_path / "secret"
    secret.write_text(key.seed if request.param == "nkey" else "secret")
    secret.chmod(0o600)
    options: dict[str, Any] = {request.param: {"file": str(secret)}}
    if request.param == "password":
        options["user"] = "gw"
    if request.param in ("password", "nkey"):
        lines = [USERS % key.public]
    if request.param == "credentials":
        lines, path = operator_mode(tmp_path)
        options = {"credentials": str(path)}
    with NatsServer(tmp_path, lines) as server:
        yield server, options


async def test_it_proves_who_it_is(known: tuple[NatsServer, dict[str, Any]], host: Host) -> None:
    server, options = known
    async with connected(server.port, host, **options) as sink:
        sink.send(records(COATER, 3))
        await eventually(lambda: len(host.taken) == 3)
    with pytest.raises(RefusedError, match=r"Authorization Violation|Authentication"):
        await NatsSink(config(server.port), host).connect()


async def test_a_wrong_password_is_said_in_one_sentence(
    tmp_path: Path, host: Host, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("NATS_PASSWORD", "wrong")
    with NatsServer(tmp_path, [USERS % Key("U").public]) as server:
        sink = NatsSink(config(server.port, user="gw", password={"env": "NATS_PASSWORD"}), host)
        with pytest.raises(RefusedError, match=r"says: Authorization Violation \(wrong user, password, token or key\)"):
            await sink.connect()


async def test_what_a_user_may_not_publish_waits_and_the_rest_goes_on(
    tmp_path: Path, host: Host, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("NATS_PASSWORD", "secret")
    other = bind(DeviceConfig(name="oven", driver="test"), {"a": TagConfig()})
    with NatsServer(tmp_path, [USERS % Key("U").public]) as server:
        gw = {"password": {"env": "NATS_PASSWORD"}}
        async with connected(server.port, host, user="gw", **gw):
            pass
        async with connected(server.port, host, user="mute", **gw) as sink:
            assert "not allowed to publish" in sink.promise["weaker"]
            sink.send([*records(COATER, 5), *records(other, 5, first=100)])
            await eventually(lambda: (len(host.taken), len(host.refusals)) == (5, 5))
            _, reason, final = host.refusals[0]
            assert not final
            assert reason.endswith(
                '"edge.north.coating.coater-1": let user "mute" publish there, or set another subject'
            )


async def test_who_may_hear_only_an_inbox_of_his_own_is_told_so(
    tmp_path: Path, host: Host, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("NATS_PASSWORD", "secret")
    with NatsServer(tmp_path, [USERS % Key("U").public]) as server:
        blind = {"user": "blind", "password": {"env": "NATS_PASSWORD"}}
        with pytest.raises(RefusedError, match="set inbox to what he may"):
            await NatsSink(config(server.port, **blind), host).connect()
        async with connected(server.port, host, **blind, inbox="inbox-gw") as sink:
            sink.send(records(COATER, 1))
            await eventually(lambda: host.taken)


@pytest.mark.parametrize("first", [False, True], ids=["after the greeting", "first"])
async def test_tls_with_a_certificate_of_our_own(tmp_path: Path, host: Host, first: bool) -> None:
    authority, stranger = Authority(tmp_path), Authority(tmp_path, "stranger")
    its, own = authority.issue("127.0.0.1"), authority.issue("gw")
    files = f'cert_file: "{its.certificate}", key_file: "{its.key}", ca_file: "{authority.certificate}"'
    tls = f"tls {{ {files}, verify: true{', handshake_first: true' if first else ''} }}"
    shown = {"certificate": str(own.certificate), "key": str(own.key)}
    with NatsServer(tmp_path, [tls]) as server:
        options = {"tls": {"ca": str(authority.certificate), **shown}, "tls_first": first}
        async with connected(server.port, host, **options) as sink:
            assert sink.promise["encryption"] == "TLSv1.3"
            sink.send(records(COATER, 300))
            await eventually(lambda: len(host.taken) == 300)
        for wrong, why in (
            ({"tls": {"ca": str(stranger.certificate), **shown}}, "comes from an unknown authority"),
            ({"tls": {"ca": str(authority.certificate)}}, "asks for a certificate of ours"),
            (
                {"tls": {"ca": str(authority.certificate), **shown, "server_name": "other"}},
                'is for another name than "other"',
            ),
        ):
            with pytest.raises(RefusedError, match=why):
                await NatsSink(config(server.port, **{**wrong, "tls_first": first}), host).connect()
        if not first:
            with pytest.raises(RefusedError, match="takes encrypted connections only: set tls = true"):
                await NatsSink(config(server.port), host).connect()


async def test_a_server_without_tls_gets_no_password(server: NatsServer, host: Host) -> None:
    with pytest.raises(RefusedError, match="offers no TLS"):
        await NatsSink(config(server.port, tls=True, user="gw", password={"env": "HOME"}), host).connect()


def test_it_works_on_the_loop_of_the_daemon(tmp_path: Path, host: Host) -> None:
    authority = Authority(tmp_path)
    its = authority.issue("127.0.0.1")
    tls = f'tls {{ cert_file: "{its.certificate}", key_file: "{its.key}" }}'

    async def deliver(port: int, **options: Any) -> None:
        async with connected(port, host, **options) as sink:
            sink.send(records(COATER, 300))
            await eventually(lambda: len(host.taken) == 300)
            host.taken.clear()

    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        with NatsServer(tmp_path) as server:
            runner.run(deliver(server.port))
        with NatsServer(tmp_path, [tls]) as server:
            runner.run(deliver(server.port, tls={"ca": str(authority.certificate)}))


# Servers that come and go


async def test_the_next_server_is_dialled_when_one_is_away(tmp_path: Path, host: Host) -> None:
    (tmp_path / "b").mkdir()
    with NatsServer(tmp_path) as a, NatsServer(tmp_path / "b") as b:
        servers = [f"127.0.0.1:{a.port}", f"127.0.0.1:{b.port}"]
        async with connected(0, host, servers=servers) as sink:
            assert sink.session.name == servers[0]
            a.kill()
            await asyncio.wait([sink.session.ended])
        for _ in range(2):  # the one that is away is passed over
            async with connected(0, host, servers=servers) as sink:
                assert sink.session.name == servers[1]
        b.kill()
        with pytest.raises(
            LinkError, match=r"none of 2 servers takes us: .*connection refused.*; .*connection refused"
        ):
            await NatsSink(config(0, servers=servers), host).connect()


async def test_it_goes_through_a_proxy(server: NatsServer, host: Host) -> None:
    with microsocks() as port:
        async with connected(server.port, host, proxy={"url": f"socks5://127.0.0.1:{port}"}) as sink:
            sink.send(records(COATER, 50))
            await eventually(lambda: len(host.taken) == 50)


async def test_what_a_killed_server_had_not_taken_goes_to_the_one_that_comes_back(
    server: NatsServer, host: Host
) -> None:
    sent = records(COATER, 200)
    async with connected(server.port, host) as sink:
        server.freeze()
        sink.send(sent)
        server.kill()
        await asyncio.wait([sink.session.ended])
        assert not host.taken
    server.start()
    async with connected(server.port, host) as sink:
        sink.send(sent)
        await eventually(lambda: len(host.taken) == 200)


async def test_a_silent_server_is_given_up(server: NatsServer, host: Host, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("plugins.nats.session.PING_EVERY", 0.05)
    async with connected(server.port, host) as sink:
        server.freeze()
        await asyncio.wait([sink.session.ended])
        assert "answers no ping for 0.1 s" in str(sink.session.ended.result())
        server.thaw()


async def test_events_overtake_readings_that_wait_for_the_network(server: NatsServer, host: Host) -> None:
    wide = bind(DeviceConfig(name="wide", driver="test"), {f"tag-{n}": TagConfig() for n in range(2000)})
    async with TcpLink(server.port) as link, connected(link.port, host, window=1000) as sink:
        await link.hold()
        sink.send(records(wide, 500))
        assert sink.session.full
        sink.send(records(COATER, 1, kind=Kind.EVENT))
        await link.resume()
        await eventually(lambda: len(host.taken) == 501)
        event = host.taken.index(next(name for name in host.taken if ":alarm:" in name))
        assert event < 450


async def test_refused_states_are_said_once_in_the_log(server: NatsServer, host: Host) -> None:
    with capture_logs() as logs:
        async with connected(server.port, host, stream="", create=False) as sink:
            for n in range(5):
                sink.device_changed(COATER, False, f"reason {n}")
            await eventually(lambda: not sink.session.open)
    told = [each["reason"] for each in logs if "descriptions or states" in each["event"]]
    assert len(told) == len(set(told)) <= 4


# The configuration


@pytest.mark.parametrize(
    ("options", "why"),
    [
        ({"servers": []}, "at least 1"),
        ({"servers": ["nats://a:4222"]}, 'write "a:4222"; encryption has a key of its own'),
        ({"servers": ["a b"]}, 'write a server as "host" or "host:port"'),
        ({"servers": ["a:70000"]}, 'write a server as "host" or "host:port"'),
        ({"subject": "a/{device}"}, 'separated by "."'),
        ({"subject": "a.{site}"}, "the subject must contain {device}"),
        ({"subject": "a..{device}"}, "neither empty"),
        ({"subject": "a.*.{device}"}, "neither empty"),
        ({"subject": "$JS.{device}"}, "belongs to the servers"),
        ({"create": True}, "create: needs stream"),
        ({"create": True, "stream": "E", "subject": "{site}.{device}"}, "create: needs subjects"),
        ({"stream": "a.b"}, "has no blanks, dots"),
        ({"subjects": ["a.>.b"]}, "is no subject"),
        ({"user": "a", "token": {"env": "X"}, "tls": True}, "user, token: only one of them"),
        ({"password": {"env": "X"}}, "password: needs user"),
        ({"user": "a", "password": {"env": "X"}}, "without tls everybody on the network can read it"),
        ({"tls_first": True}, "tls_first: needs tls"),
        ({"inbox": "a.>"}, "without blanks and wildcards"),
    ],
)
def test_mistakes_are_named(options: dict[str, Any], why: str) -> None:
    with pytest.raises(ValueError, match=why.replace("(", r"\(").replace(")", r"\)")):
        build_sink_config(NatsSink, {"servers": ["nats.plant.local"], **options})


def test_devices_that_would_share_a_subject_are_remarked() -> None:
    devices = {"a.b": Context(), "a b": Context(), "c": Context()}
    (remark,) = config(1).remarks("gw", Context(), devices)
    assert remark == "subject: devices a.b, a b share edge.a_b: rename all but one of them"


def test_servers_may_be_addresses_of_ipv6() -> None:
    found = config(1, servers=["[::1]:4333", "[fe80::1]", "nats"]).addresses
    assert found == [("::1", 4333), ("fe80::1", 4222), ("nats", 4222)]
