"""The sink against a real Kafka: what stands in the log, what refusals say, what a lost answer costs."""

import asyncio
import contextlib
import importlib
import re
import socket
from collections import Counter, defaultdict
from collections.abc import AsyncIterator, Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest

from gateway.core.errors import LinkError, RefusedError
from gateway.core.record import Kind, Record
from gateway.plugin import Context, DeviceConfig, TagConfig
from gateway.testing import bind, build_sink_config, load_plugin, records
from gateway.testing.attack import FarEnd
from gateway.testing.host import FakeSinkHost
from gateway.testing.link import TcpLink
from gateway.testing.waiting import eventually
from tests.peers.kafka_server import PASSWORD, USER, KafkaServer

from .log import in_log

KafkaSink: Any = load_plugin(Path(__file__).parents[1])
DEVICES = [bind(DeviceConfig(name=f"press-{n}", driver="test"), {"force": TagConfig()}) for n in range(8)]


pytestmark = pytest.mark.timeout(300)


def config(port: int, **options: Any) -> Any:
    return build_sink_config(KafkaSink, {"servers": [f"127.0.0.1:{port}"], **options})


def host() -> FakeSinkHost:
    return FakeSinkHost(DEVICES, gateway="line3-gw1")


def of_all(count: int, first: int = 1) -> list[Record]:
    """So many records, of the devices in turns."""
    return [records(DEVICES[n % len(DEVICES)], 1, first=first + n)[0] for n in range(count)]


@contextlib.asynccontextmanager
async def connected(port: int, gateway: FakeSinkHost, **options: Any) -> AsyncIterator[Any]:
    sink = KafkaSink(config(port, **options), gateway)
    await sink.connect()
    serving = asyncio.ensure_future(sink.serve())
    try:
        yield sink
    finally:
        serving.cancel()
        await asyncio.wait([serving])
        await sink.close()


def ids(found: Sequence[Any]) -> list[str]:
    return [dict(each.headers)["id"].decode() for each in found]


async def test_the_log_holds_key_headers_and_value_as_kafkas_own_tool_shows_them(kafka: KafkaServer) -> None:
    gateway = host()
    async with connected(kafka.port, gateway, topic="plant") as sink:
        sink.send([*of_all(40), *records(DEVICES[0], 1, first=500, kind=Kind.EVENT)])
        await eventually(lambda: len(gateway.taken) == 41)
        assert sink.promise["acks"] == "all"
        assert "weaker" not in sink.promise
    found = await asyncio.to_thread(kafka.consumed, "plant", 41)
    assert sorted(each.headers["id"] for each in found) == sorted(gateway.taken)
    (event,) = [each for each in found if each.headers["kind"] == "event"]
    assert event.headers["lane"] == "alarm"
    first = next(each for each in found if each.headers["id"] == "testlog:data:1")
    assert first.key == "press-0"
    assert first.headers == {
        "id": "testlog:data:1", "lane": "data", "kind": "readings", "gateway": "line3-gw1",
        "content-type": "application/json",
    }  # fmt: skip
    assert first.value["id"] == "testlog:data:1"
    places = defaultdict(set)
    for each in found:
        places[each.key].add(each.partition)
    assert all(len(of_key) == 1 for of_key in places.values()), "what has one key is in one partition"
    assert len({next(iter(of_key)) for of_key in places.values()}) > 1, "the devices share the partitions"


async def silent(far: FarEnd) -> None:
    """What is asked arrives, and its answers are lost."""
    while True:
        await far.answer()


async def test_a_batch_whose_answer_was_lost_stands_in_the_log_once(kafka: KafkaServer) -> None:
    gateway, sent = host(), of_all(60)
    async with TcpLink(kafka.port) as link:
        async with connected(link.port, gateway, topic="lost"):
            pass  # so that the leader is known
        async with connected(link.port, gateway, topic="lost") as sink:
            sink.send(sent[:3])
            await eventually(lambda: len(gateway.taken) == 3)
            link.attack(silent)
            sink.send(sent[3:30])
            for _ in range(600):
                if len(await in_log(kafka.port, "lost")) == 30:
                    break
            await link.peace()
        assert len(gateway.taken) == 3
        async with connected(link.port, gateway, topic="lost") as sink:
            sink.send(sent[3:])
            await eventually(lambda: len(gateway.taken) == 60)
    assert sorted(gateway.taken) == sorted(each.id for each in sent)
    found = ids(await in_log(kafka.port, "lost"))
    assert Counter(found) == Counter(each.id for each in sent), "nothing is missing, nothing twice"


async def test_a_link_that_is_cut_again_and_again_neither_loses_nor_repeats_nor_disorders(kafka: KafkaServer) -> None:
    gateway, sent = host(), of_all(1000)
    async with TcpLink(kafka.port) as link:
        for cut in range(15):
            open_ = [each for each in sent if each.id not in set(gateway.taken)]
            async with connected(link.port, gateway, topic="cut") as sink:
                sink.send(open_[:100])
                if cut % 3:
                    await eventually(lambda open_=open_: len(gateway.taken) > len(sent) - len(open_))
                elif cut % 2:
                    await asyncio.sleep(0)
                await link.cut(reset=cut % 2 == 0)
            await link.mend()
        async with connected(link.port, gateway, topic="cut") as sink:
            sink.send([each for each in sent if each.id not in set(gateway.taken)])
            await eventually(lambda: len(gateway.taken) == 1000)
    found = await in_log(kafka.port, "cut")
    assert Counter(ids(found)) == Counter(each.id for each in sent), "nothing is missing, nothing twice"
    last: dict[bytes, int] = {}
    for each in found:
        number = int(dict(each.headers)["id"].rpartition(b":")[2])
        assert number > last.get(each.key, 0), "the records of a device are in their order"
        last[each.key] = number


def test_uvloop_drives_it_too(kafka: KafkaServer) -> None:
    uvloop = pytest.importorskip("uvloop", reason="pip install uvloop")
    gateway, sent = host(), of_all(10, first=700)

    async def deliver() -> None:
        async with connected(kafka.port, gateway, topic="plant") as sink:
            sink.send(sent)
            await eventually(lambda: len(gateway.taken) == 10)

    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(deliver())


async def test_a_missing_topic_is_named_with_the_fix_and_what_was_refused_goes_once_it_is_there(
    kafka: KafkaServer,
) -> None:
    gateway, sent = host(), of_all(5)
    async with connected(kafka.port, gateway, topic="missing") as sink:
        sink.send(sent)
        await eventually(lambda: len(gateway.refusals) == 5)
        assert all(
            'topic "missing" does not exist: make it (kafka-topics.sh --create' in reason and not final
            for _, reason, final in gateway.refusals
        )
        await asyncio.to_thread(kafka.make, "missing")
        await settled(sink, gateway, sent)
    assert sorted(ids(await in_log(kafka.port, "missing"))) == sorted(each.id for each in sent)


async def settled(sink: Any, gateway: FakeSinkHost, sent: Sequence[Record]) -> None:
    """Send what is not taken after each refusal, as the publisher does."""
    for _ in range(200):
        open_ = [each for each in sent if each.id not in gateway.taken]
        if not open_:
            return
        seen = len(gateway.taken) + len(gateway.refusals)
        sink.send(open_)
        await eventually(lambda seen=seen, open_=open_: len(gateway.taken) + len(gateway.refusals) >= seen + len(open_))
        await asyncio.sleep(0.05)
    raise AssertionError(f"never taken: {gateway.refusals[-1]}")


async def test_a_topic_may_be_made(kafka: KafkaServer) -> None:
    gateway, sent = host(), of_all(5)
    async with connected(kafka.port, gateway, topic="made.{kind}", create_topics=True) as sink:
        await settled(sink, gateway, sent)
    assert len(await in_log(kafka.port, "made.readings")) == 5


async def test_a_topic_that_we_may_not_write_to_costs_the_others_nothing(kafka: KafkaServer) -> None:
    gateway = FakeSinkHost([*DEVICES, LOCKED], gateway="line3-gw1")
    async with connected(kafka.sasl_port, gateway, topic="{device}", create_topics=True, **LOGIN) as sink:
        sink.send(records(LOCKED, 1))
        await eventually(lambda: bool(gateway.refusals))
        await settled(sink, FakeSinkHost(), [])
        sent = records(DEVICES[0], 2, first=10)
        await settled(sink, gateway, sent)
    _, reason, final = gateway.refusals[0]
    assert not final
    assert f"let user {USER} write to topic" in reason or "making it (create_topics) failed" in reason


LOCKED = bind(DeviceConfig(name="locked", driver="test"), {"force": TagConfig()})
LOGIN = {"user": USER, "password": {"env": "KAFKA_PASSWORD"}}


@pytest.fixture(autouse=True)
def password(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("KAFKA_PASSWORD", PASSWORD)
    monkeypatch.setenv("KAFKA_WRONG", "wrong")


async def test_one_that_is_too_large_among_many_is_found_and_the_rest_is_taken(kafka: KafkaServer) -> None:
    wide = bind(DeviceConfig(name="wide", driver="test"), {f"tag-{n}": TagConfig() for n in range(400)})
    gateway = host()
    (guilty,) = records(wide, 1, first=777)
    sent = of_all(60)
    async with connected(kafka.port, gateway, topic="small") as sink:
        sink.send([*sent[:30], guilty, *sent[30:]])
        await eventually(lambda: len(gateway.taken) + len(gateway.refusals) == 61)
    ((name, reason, final),) = gateway.refusals
    assert (name, final) == (guilty.id, True)
    assert "raise its max.message.bytes" in reason
    assert Counter(ids(await in_log(kafka.port, "small"))) == Counter(each.id for each in sent)


async def test_a_record_with_a_time_that_the_broker_refuses_goes_without_one(kafka: KafkaServer) -> None:
    gateway, sent = host(), of_all(3)
    for each in sent:
        each.wall_ns = 4_000_000_000_000_000_000
    async with connected(kafka.port, gateway, topic="clocks") as sink:
        sink.send(sent)
        await eventually(lambda: len(gateway.taken) == 3)
    assert [each.timestamp for each in await in_log(kafka.port, "clocks")] == [-1, -1, -1]


async def test_a_producer_that_the_brokers_have_lost_count_of_begins_anew(kafka: KafkaServer) -> None:
    gateway, sent = host(), of_all(8)
    async with connected(kafka.port, gateway, topic="numbers") as sink:
        sink.send(sent[:4])
        await eventually(lambda: len(gateway.taken) == 4)
    producer = gateway.memory["producer"]
    before = producer.id
    for place in producer.numbers:
        producer.numbers[place] += 5
    sink = KafkaSink(config(kafka.port, topic="numbers"), gateway)
    await sink.connect()
    sink.send(sent[:4])
    with pytest.raises(LinkError, match="lost count of this producer"):
        await sink.serve()
    await sink.close()
    assert len(gateway.taken) == 4
    async with connected(kafka.port, gateway, topic="numbers") as sink:
        sink.send(sent[4:])
        await eventually(lambda: len(gateway.taken) == 8)
    assert gateway.memory["producer"].id != before
    assert sorted(ids(await in_log(kafka.port, "numbers"))) == sorted(each.id for each in sent)


@pytest.mark.parametrize("mechanism", ["PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512"])
async def test_users_log_in_and_a_wrong_password_is_named(kafka: KafkaServer, mechanism: str) -> None:
    found = await KafkaSink(config(kafka.sasl_port, topic="plant", mechanism=mechanism, **LOGIN), host()).check()
    assert "topic plant with 3 partition(s), we may write, idempotent" in found
    wrong = {"user": USER, "password": {"env": "KAFKA_WRONG"}}
    with pytest.raises(RefusedError, match=f"refuses the login by {mechanism}: .*right user and password"):
        await KafkaSink(config(kafka.sasl_port, topic="plant", mechanism=mechanism, **wrong), host()).check()


async def test_a_login_that_is_not_offered_or_is_needed_is_named(kafka: KafkaServer) -> None:
    token = config(kafka.sasl_port, token={"env": "KAFKA_PASSWORD"})
    with pytest.raises(RefusedError, match="does not offer OAUTHBEARER; it offers PLAIN, SCRAM-SHA-256, SCRAM-SHA-512"):
        await KafkaSink(token, host()).check()
    with pytest.raises(LinkError, match="closed the connection"):
        await KafkaSink(config(kafka.sasl_port), host()).check()


async def test_tls_checks_the_brokers_certificate(kafka: KafkaServer) -> None:
    trusted = {"ca": str(kafka.authority.certificate)}
    gateway, sent = host(), of_all(4, first=900)
    async with connected(kafka.tls_port, gateway, topic="plant", tls=trusted) as sink:
        sink.send(sent)
        await eventually(lambda: len(gateway.taken) == 4)
        assert sink.promise["encryption"] == "TLS"
    with pytest.raises(RefusedError, match="from an unknown authority: give that"):
        await KafkaSink(config(kafka.tls_port, tls=True), host()).check()
    with pytest.raises(LinkError, match="it speaks TLS on this port: set tls"):
        await KafkaSink(config(kafka.tls_port), host()).check()


async def test_a_broker_that_wants_a_certificate_of_ours_gets_it(kafka: KafkaServer) -> None:
    own = kafka.authority.issue("line3-gw1")
    tls = {"ca": str(kafka.authority.certificate), "certificate": str(own.certificate), "key": str(own.key)}
    gateway, sent = host(), of_all(4, first=950)
    async with connected(kafka.mutual_port, gateway, topic="plant", tls=tls) as sink:
        sink.send(sent)
        await eventually(lambda: len(gateway.taken) == 4)
    with pytest.raises(LinkError, match="certificate"):
        await KafkaSink(config(kafka.mutual_port, tls={"ca": tls["ca"]}), host()).check()


async def test_brokers_that_ask_us_to_be_slower_are_obeyed(kafka: KafkaServer) -> None:
    who = ("--entity-type", "clients", "--entity-name", "slow-one")
    await asyncio.to_thread(kafka.configs, "--alter", *who, "--add-config", "producer_byte_rate=2000")
    gateway, sent = host(), of_all(150)
    async with connected(kafka.port, gateway, topic="plant", client_id="slow-one") as sink:
        for start in range(0, 150, 50):
            sink.send(sent[start : start + 50])
            await eventually(lambda start=start: len(gateway.taken) == start + 50)
            if "throttled" in sink.promise:
                break
        assert sink.promise["throttled"] == "the brokers ask us to be slower (quota)"
        before = sink.progress
        await eventually(lambda: sink.progress != before)
    assert not gateway.refusals


async def test_the_next_server_is_asked_when_one_is_away(kafka: KafkaServer) -> None:
    async with TcpLink(1) as away:
        await away.cut()
        both = config(0, servers=[f"127.0.0.1:{away.port}", f"127.0.0.1:{kafka.port}"], topic="plant")
        assert "1 broker(s)" in await KafkaSink(both, host()).check()
        with pytest.raises(LinkError, match=r"connection refused.*;.*connection refused"):
            await KafkaSink(config(0, servers=[f"127.0.0.1:{away.port}"] * 2), host()).check()


async def test_a_check_writes_nothing_and_says_what_is_wrong(kafka: KafkaServer) -> None:
    with pytest.raises(RefusedError, match='topic "nowhere" does not exist: make it'):
        await KafkaSink(config(kafka.port, topic="nowhere"), host()).check()
    assert (
        "topic nowhere will be made"
        in await KafkaSink(config(kafka.port, topic="nowhere", create_topics=True), host()).check()
    )
    assert "nowhere" not in await asyncio.to_thread(kafka.topics, "--list")


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"servers": []}, "servers"),
        ({"servers": ["http://kafka:9092"]}, 'write "http://kafka:9092" as "host:port"'),
        ({"servers": ["kafka:99999"]}, "host:port"),
        ({"topic": "plant/data"}, "'/' cannot stand in a topic of Kafka"),
        ({"topic": "{devise}"}, "unknown placeholder {devise}"),
        ({"topic": ".."}, "is no topic of Kafka"),
        ({"key": "{device"}, "the braces do not match"),
        ({"user": "u"}, "user: needs password"),
        ({"password": {"env": "X"}}, "password: needs user"),
        ({"user": "u", "password": {"env": "X"}, "token": {"env": "X"}}, "token: stands in the place"),
        (
            {"user": "u", "password": {"env": "X"}, "mechanism": "PLAIN", "servers": ["10.0.0.1:9092"]},
            "everybody on the",
        ),
        ({"token": {"env": "X"}, "servers": ["10.0.0.1:9092"]}, "token: without tls everybody"),
        ({"max_request_size": "10 B"}, "max_request_size"),
    ],
)
def test_mistakes_in_the_configuration_are_named(options: dict[str, Any], words: str) -> None:
    with pytest.raises(ValueError, match=re.escape(words)):
        config(9092, **options)


def test_topics_and_keys_are_made_of_the_plants_words() -> None:
    names = importlib.import_module(KafkaSink.__module__.rpartition(".")[0] + ".config")
    place = Context(site="Werk Süd", area="", line="coating.2")
    assert names.topic_of("{site}.{area}.{line}.{kind}", place, "press", "gw", "event") == "Werk_S_d.coating.2.event"
    assert names.topic_of("{area}", place, "press", "gw", "event") == "gw"
    assert names.topic_of("{device}", place, "", "line3-gw1", "loss") == "line3-gw1"
    assert names.topic_of("x" * 200 + "{device}", place, "d" * 100, "gw", "loss") == "x" * 200 + "d" * 49
    assert names.key_of("{gateway}/{device}", place, "Presse Süd", "gw", "event") == "gw/Presse Süd".encode()
    assert [names.address(each) for each in ("a", "a.b:1", "[::1]:9093", "10.0.0.1")] == [
        ("a", 9092), ("a.b", 1), ("::1", 9093), ("10.0.0.1", 9092)
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("code", "then", "words"),
    [
        (0, "TAKEN", ""),
        (46, "TAKEN", ""),
        (19, "NOT_NOW", "min.insync.replicas"),
        (20, "LATER", "min.insync.replicas"),
        (6, "LATER", "another leader"),
        (7, "LATER", "not confirmed it in time"),
        (10, "NEVER", "max.message.bytes"),
        (87, "NEVER", "refuses the record"),
        (32, "WITHOUT_TIME", ""),
        (59, "RENEW", ""),
        (76, "HOPELESS", 'compression = "none"'),
        (999, "LATER", "error 999"),
        (-1, "LATER", "error -1"),
    ],
)
def test_an_error_of_a_broker_has_a_consequence_and_words(code: int, then: str, words: str) -> None:
    answers = importlib.import_module(KafkaSink.__module__.rpartition(".")[0] + ".answers")
    assert answers.then(code) is answers.Then[then]
    assert words in answers.in_words(code, "as the broker says")


@contextlib.contextmanager
def refusing_port() -> Iterator[int]:
    """A port that refuses."""
    with socket.socket() as holder:
        holder.bind(("127.0.0.1", 0))
        yield holder.getsockname()[1]


@pytest.mark.parametrize("leader", [4711, -1], ids=["a dead broker", "nobody"])
async def test_who_leads_is_asked_anew_when_the_leader_was_not_reached(kafka: KafkaServer, leader: int) -> None:
    """A broker that died may be named as the leader for a while; the connections to the others live on."""
    gateway = host()
    async with connected(kafka.port, gateway, topic="plant") as sink:
        sink.send(of_all(8))
        await eventually(lambda: len(gateway.taken) == 8)
        cluster = sink._session._cluster
        with refusing_port() as nobody:
            cluster._addresses[4711] = ("127.0.0.1", nobody)
            cluster.leaders["plant"] = [leader] * len(cluster.leaders["plant"])
            sink.send(again := of_all(8, first=100))
            await eventually(lambda: len(gateway.taken) + len(gateway.refusals) == 16)
        assert {final for _, _, final in gateway.refusals} == {False}
        refused = {name for name, _, _ in gateway.refusals}
        sink.send([each for each in again if each.id in refused])
        await eventually(lambda: len(gateway.taken) == 16)
