"""The MQTT sink with the gateway's own encoding, a real mosquitto, and mosquitto_sub."""

import asyncio
import json
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from structlog.testing import capture_logs

from gateway.core.context import Context
from gateway.plugin import DeviceConfig, Kind, LinkError, RefusedError, TagConfig
from gateway.testing import bind, build_sink_config, eventually, records
from plugins.mqtt import MqttSink
from plugins.mqtt.sink import session_options
from plugins.mqtt.tests.encoding_host import EncodingHost as Host
from tests.mqtt.fake_broker import CONNECT, PUBLISH, WELCOME_5, fake_broker, packet, puback
from tests.peers.broker import Broker, Subscriber, wait_until
from tests.peers.certificates import Authority
from tests.peers.http_proxies import tinyproxy
from tests.peers.ports import free_port, listens

pytestmark = pytest.mark.timeout(120)

COATER = bind(
    DeviceConfig(name="coater-1", driver="modbus"),
    {"inlet_temp": TagConfig(unit="°C"), "speed": TagConfig()},
    context=Context(site="north", line="coating"),
)


@pytest.fixture
def broker(tmp_path: Path) -> Iterator[Broker]:
    with Broker(tmp_path) as running:
        yield running


def config(broker_port: int, **options: Any) -> Any:
    return build_sink_config(MqttSink, {"name": "central", "host": "127.0.0.1", "port": broker_port, **options})


@asynccontextmanager
async def connected(port: int, host: Host, **options: Any) -> AsyncIterator[MqttSink]:
    sink = MqttSink(config(port, **options), host)
    await sink.connect()
    serving = asyncio.create_task(sink.serve())
    try:
        yield sink
    finally:
        serving.cancel()
        await asyncio.wait({serving})
        await sink.close()


async def test_records_arrive_under_the_plants_topic_and_are_acknowledged(broker: Broker) -> None:
    host = Host([COATER], gateway="line3-gw1")
    sent = records(COATER, 100)
    with Subscriber(broker, "north/coating/coater-1") as subscriber:
        async with connected(broker.port, host) as sink:
            sink.send(sent)
            await eventually(lambda: len(host.taken) == 100)
        received = subscriber.wait_for(100)
    assert host.taken == [record.id for record in sent]
    bodies = [json.loads(message.payload) for message in received]
    assert [body["id"] for body in bodies] == host.taken
    assert bodies[0]["values"] == {"inlet_temp": 1.0, "speed": 2.0}
    assert not any(message.retained for message in received)


async def test_state_and_description_are_retained_and_the_will_says_offline(broker: Broker) -> None:
    host = Host([COATER], gateway="line3-gw1")
    async with connected(broker.port, host) as sink:
        sink.device_changed(COATER, True, "")
        sink.device_changed(COATER, True, "")
        sink.device_changed(COATER, False, "no answer")
        await sink._session.settle(60)
        with Subscriber(broker) as late:
            retained = {message.topic: json.loads(message.payload) for message in late.wait_for(3)}
            assert all(message.retained for message in late.received)
            assert retained["north/line3-gw1/_state"]["online"] is True
            device = retained["north/coating/coater-1/_state"]
            assert (device["online"], device["reason"]) == (False, "no answer")
            assert retained["north/coating/coater-1/_tags"]["tags"]["inlet_temp"]["unit"] == "°C"
            sink._session._connected.close()  # as when the process dies
            assert json.loads(late.wait_for(4)[3].payload)["online"] is False
    assert sink._session.acknowledged == 4  # gateway, description, two states; the unchanged one was not sent


async def test_a_check_disturbs_neither_the_connected_gateway_nor_what_is_retained(broker: Broker) -> None:
    host = Host([COATER], gateway="line3-gw1")
    async with connected(broker.port, host) as sink:
        await sink._session.settle(60)
        with Subscriber(broker) as subscriber:
            subscriber.wait_for(1)
            found = await MqttSink(sink.config, host).check()
            assert found == "MQTT 5, encryption: none"
            sink.send(records(COATER, 1))
            heard = subscriber.wait_for(2)
    assert [message.topic for message in heard] == ["north/line3-gw1/_state", "north/coating/coater-1"]
    assert host.taken, "the gateway was not thrown off"


async def test_a_check_with_qos_0_tries_which_barrier_loses_nothing(broker: Broker) -> None:
    host = Host([COATER], gateway="line3-gw1")
    found = await MqttSink(config(broker.port, qos=0, barrier="marker"), host).check()
    assert 'barrier: unsubscribe loses nothing: set barrier = "unsubscribe"' in found
    with Subscriber(broker) as late:
        await asyncio.to_thread(late.catch_up)
        assert [message.topic for message in late.received] == ["mark"], "nothing lasts"


async def test_a_good_end_says_offline_itself(broker: Broker) -> None:
    host = Host([COATER], gateway="line3-gw1")
    async with connected(broker.port, host):
        pass
    with Subscriber(broker) as late:
        state = json.loads(late.wait_for(1)[0].payload)
    assert (state["online"], state["gateway"]) == (False, "line3-gw1")


async def test_one_message_per_tag_is_acknowledged_when_all_are(broker: Broker) -> None:
    host = Host([COATER], gateway="line3-gw1")
    with Subscriber(broker, "north/coating/#") as subscriber:
        async with connected(broker.port, host, per_tag=True) as sink:
            sink.send(records(COATER, 50))
            await eventually(lambda: len(host.taken) == 50)
        topics = {message.topic for message in subscriber.wait_for(100)}
    assert topics == {"north/coating/coater-1/inlet_temp", "north/coating/coater-1/speed"}
    assert len(set(host.taken)) == 50


PRESS = bind(DeviceConfig(name="press-1", driver="modbus"), {"force": TagConfig()}, context=Context(site="north"))


async def test_one_message_holds_the_records_of_all_devices_and_events_stay_alone(broker: Broker) -> None:
    host = Host([COATER, PRESS], gateway="line3-gw1")
    with Subscriber(broker, "north/#") as subscriber:
        async with connected(broker.port, host, per_slot=True) as sink:
            assert sink.window == 200, "records are no messages"
            subscriber.wait_for(1)
            event = records(COATER, 1, first=9, kind=Kind.EVENT)
            sink.send([*records(COATER, 20), *event, *records(PRESS, 20, first=100)])
            await eventually(lambda: len(host.taken) == 41)
        heard = subscriber.wait_for(3)[1:3]
    assert [message.topic for message in heard] == ["north/coating/coater-1/_event", "north/line3-gw1/_slot"]
    slot = json.loads(heard[1].payload)
    assert [each["device"] for each in slot] == ["coater-1"] * 20 + ["press-1"] * 20
    assert [each["id"] for each in slot] == [each for each in host.taken if ":alarm:" not in each]
    assert not heard[1].retained


async def test_a_slot_that_is_too_large_is_sent_in_halves_and_only_what_is_to_blame_is_refused(tmp_path: Path) -> None:
    wide = bind(DeviceConfig(name="wide", driver="test"), {f"tag-{n}": TagConfig() for n in range(500)})
    host = Host([COATER, wide], gateway="line3-gw1")
    with Broker(tmp_path, ["max_packet_size 2000"]) as broker:
        async with connected(broker.port, host, per_slot=True) as sink:
            sink.send([*records(COATER, 20), *records(wide, 1, first=77), *records(COATER, 20, first=100)])
            await eventually(lambda: len(host.taken) == 40 and bool(host.refusals))
            assert sink._session.acknowledged < 20, "no message for each of them"
    ((refused, _, final),) = host.refusals
    assert (refused, final) == ("testlog:data:77", True)


async def test_a_slot_whose_topic_is_not_allowed_is_refused_at_once_for_each_record() -> None:
    published = []

    def answer(heard: Any) -> bytes:
        if heard.kind == CONNECT:
            return WELCOME_5
        if heard.kind == PUBLISH:
            published.append(heard.mid)
            return puback(heard.mid, 0x87)
        return b""

    host = Host([COATER, PRESS], gateway="line3-gw1")
    async with fake_broker(answer) as broker, connected(broker.port, host, per_slot=True) as sink:
        sink.send([*records(COATER, 3), *records(PRESS, 3, first=100)])
        await eventually(lambda: len(host.refusals) == 6)
        assert len(published) == 2, "the gateway's state, and the slot"
    assert {final for _, _, final in host.refusals} == {False}


async def test_an_event_overtakes_records_that_wait(broker: Broker) -> None:
    host = Host([COATER], gateway="line3-gw1")
    async with connected(broker.port, host) as sink:
        assert sink.window == 40  # twice mosquitto's receive maximum
        sink.send(records(COATER, 500))
        (event,) = records(COATER, 1, first=9000, kind=Kind.EVENT)
        sink.send([event])
        await eventually(lambda: len(host.taken) == 501)
    assert host.taken.index(event.id) < 60


async def test_a_record_that_is_refused_for_now_counts_only_its_new_messages_when_it_comes_again() -> None:
    """The second message of the first attempt is acknowledged late, and must not stand for one of the second attempt."""
    late: list[int] = []

    def answer(heard: Any) -> bytes:
        if heard.kind == CONNECT:
            return WELCOME_5
        if heard.kind != PUBLISH or b"_state" in heard.body:
            return puback(heard.mid) if heard.kind == PUBLISH else b""
        late.append(heard.mid)
        return puback(heard.mid, 0x97, "quota of the test") if len(late) == 1 else b""

    host = Host([COATER], gateway="line3-gw1")
    (record,) = records(COATER, 1)
    async with fake_broker(answer) as broker, connected(broker.port, host, per_tag=True) as sink:
        sink.send([record])
        await eventually(lambda: len(host.refusals) == 1 and len(late) == 2)
        assert host.refusals == [(record.id, "quota exceeded (quota of the test)", False)]
        sink.send([record])
        await eventually(lambda: len(late) == 4)
        broker.writers[0].write(puback(late[1]) + puback(late[2]))
        await eventually(lambda: sink._session.status()["in_flight"] == 1)
        assert host.taken == []
        broker.writers[0].write(puback(late[3]))
        await eventually(lambda: host.taken == [record.id])


@pytest.mark.parametrize(("code", "final"), [(0x99, True), (0x83, False)])
async def test_refusals_are_reported_with_their_reason(code: int, final: bool) -> None:
    def answer(heard: Any) -> bytes:
        if heard.kind == CONNECT:
            return WELCOME_5
        return puback(heard.mid, code) if heard.kind == PUBLISH else b""

    host = Host([COATER], gateway="line3-gw1")
    async with fake_broker(answer) as broker, connected(broker.port, host) as sink:
        sink.send(records(COATER, 1))
        await eventually(lambda: bool(host.refusals))
        assert host.refusals[0][2] == final


async def test_a_record_too_large_for_the_broker_is_a_dead_letter_and_the_rest_goes_on(tmp_path: Path) -> None:
    wide = bind(DeviceConfig(name="wide", driver="test"), {f"tag-{n}": TagConfig() for n in range(500)})
    host = Host([COATER, wide], gateway="line3-gw1")
    with Broker(tmp_path, ["max_packet_size 2000"]) as broker:
        async with connected(broker.port, host) as sink:
            sink.send([*records(wide, 1, first=77), *records(COATER, 1)])
            await eventually(lambda: bool(host.taken and host.refusals))
    assert host.taken == ["testlog:data:1"]
    ((refused, reason, final),) = host.refusals
    assert (refused, final) == ("testlog:data:77", True)
    assert "the broker takes 2000 bytes at most: raise that limit" in reason


async def test_a_topic_that_the_broker_finds_invalid_is_a_dead_letter_with_the_fix() -> None:
    def answer(heard: Any) -> bytes:
        if heard.kind == CONNECT:
            return WELCOME_5
        return puback(heard.mid, 0x90) if heard.kind == PUBLISH else b""

    host = Host([COATER], gateway="line3-gw1")
    async with fake_broker(answer) as broker, connected(broker.port, host) as sink:
        sink.send(records(COATER, 1))
        await eventually(lambda: bool(host.refusals))
    ((_, reason, final),) = host.refusals
    assert final
    assert reason == (
        'topic not allowed: "north/coating/coater-1": set another topic for this sink, or allow it at the broker'
    )


async def test_that_nobody_subscribes_is_counted_and_said_once_over_all_connections(broker: Broker) -> None:
    host = Host([COATER], gateway="line3-gw1")
    with capture_logs() as logs:
        for number in (1, 2):
            async with connected(broker.port, host) as sink:
                sink.send(records(COATER, 5, first=10 * number))
                await eventually(lambda number=number: len(host.taken) == 5 * number)
                assert sink.promise["no_subscribers"] == 5 * number, "descriptions and states do not count"
    topic = sink._encoder.messages(records(COATER, 1)[0])[0].topic
    assert [(entry["event"], entry["topic"]) for entry in logs if entry["log_level"] == "warning"] == [
        ("the broker takes what is sent, and no client subscribes to it", topic)
    ]
    with Subscriber(broker):
        async with connected(broker.port, host) as sink:
            sink.send(records(COATER, 5, first=100))
            await eventually(lambda: len(host.taken) == 15)
            assert sink.promise["no_subscribers"] == 10


async def test_a_broker_that_closes_each_connection_soon_after_its_start_is_explained() -> None:
    """What MQTT 3.1.1 brokers do to two clients of one name, and some with a message that they do not like."""
    host = Host([COATER], gateway="line3-gw1")
    welcome = bytes.fromhex("20 02 00 00")
    reasons = []
    async with fake_broker(lambda heard: welcome if heard.kind == CONNECT else None) as broker:
        for _ in range(4):
            sink = MqttSink(config(broker.port, protocol="3.1.1", keep_alive="5s"), host)
            await sink.connect()
            with pytest.raises(LinkError) as ended:
                await sink.serve()
            reasons.append(str(ended.value))
            await sink.close()
    assert all("was stopped, or another client" in reason for reason in reasons[:2])
    for reason in reasons[2:]:
        assert 'another client has connected with our client id "line3-gw1": is there another gateway' in reason
        assert "copied disk" in reason
        assert "too large" in reason


async def test_a_description_over_which_the_broker_hangs_up_does_not_hold_up_the_readings(tmp_path: Path) -> None:
    """With MQTT 3.1.1 mosquitto has no other answer to a message that is too large."""
    wide = bind(DeviceConfig(name="wide", driver="test"), {f"tag-{n}": TagConfig() for n in range(500)})
    host = Host([COATER, wide], gateway="line3-gw1")
    with Broker(tmp_path, ["max_packet_size 2000"]) as broker, capture_logs() as logs:
        for number in range(20):
            sink = MqttSink(config(broker.port, protocol="3.1.1"), host)
            await sink.connect()
            sink.device_changed(wide, True, "")
            sink.device_changed(COATER, True, "")
            sink.send(records(COATER, 1, first=number + 1))
            serving = asyncio.create_task(sink.serve())
            await eventually(lambda serving=serving: serving.done() or host.taken, 60)
            serving.cancel()
            await asyncio.wait({serving})
            await sink.close()
            if host.taken:
                break
        with Subscriber(broker) as late:
            topics = {message.topic for message in late.wait_for(3)}
    assert 3 <= number <= 10
    left_out = [entry for entry in logs if "left out" in entry["event"]]
    assert [entry["topic"] for entry in left_out] == ["wide/_tags"]
    assert topics >= {"north/coating/coater-1/_tags", "north/coating/coater-1/_state", "wide/_state"}, "smaller ones go"


async def test_a_broker_that_is_away_for_a_while_is_no_twin(broker: Broker) -> None:
    host = Host([COATER], gateway="line3-gw1")
    for _ in range(4):
        sink = MqttSink(config(broker.port, protocol="3.1.1"), host)
        await sink.connect()
        broker.stop()
        with pytest.raises(LinkError) as ended:
            await sink.serve()
        assert "in a row" not in str(ended.value)
        await sink.close()
        with pytest.raises(LinkError):
            await MqttSink(config(broker.port, protocol="3.1.1"), host).connect()
        broker.start()


async def test_a_topic_that_the_broker_does_not_allow_costs_nothing_and_is_named(tmp_path: Path) -> None:
    rights = tmp_path / "rights"
    rights.write_text("topic write elsewhere/#\n")
    rights.chmod(0o600)
    host = Host([COATER], gateway="line3-gw1")
    with Broker(tmp_path, [f"acl_file {rights}"]) as broker, capture_logs() as logs:
        async with connected(broker.port, host) as sink:
            sink.device_changed(COATER, True, "")
            sink.send(records(COATER, 1))
            await eventually(lambda: bool(host.refusals))
    ((_, reason, final),) = host.refusals
    assert not final
    assert "not authorised: let anonymous clients write to north/coating/coater-1 at the broker" in reason
    assert [entry["reason"] for entry in logs if entry["log_level"] == "warning"] == ["not authorised"]


async def test_status_tells_what_the_connection_promises(broker: Broker) -> None:
    host = Host([COATER], gateway="line3-gw1")
    sink = MqttSink(config(broker.port), host)
    assert "protocol" not in sink.promise
    async with connected(broker.port, host) as sink:
        assert sink.promise["protocol"] == "MQTT 5"
        assert sink.promise["receive_maximum"] == 20
    async with connected(broker.port, host, protocol="3.1.1") as sink:
        assert "weaker" in sink.promise


async def test_serving_ends_with_the_reason() -> None:
    def answer(heard: Any) -> bytes:
        return WELCOME_5 if heard.kind == CONNECT else packet(0xE0, b"\x8e\0")

    host = Host([COATER], gateway="line3-gw1")
    async with fake_broker(answer) as broker:
        sink = MqttSink(config(broker.port), host)
        await sink.connect()
        with pytest.raises(RefusedError, match='client id "line3-gw1"'):
            await asyncio.wait_for(sink.serve(), 60)
        await sink.close()


async def test_tls_user_and_password_by_configuration(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    authority = Authority(tmp_path)
    own = authority.issue("127.0.0.1")
    monkeypatch.setenv("MQTT_PASSWORD", "secret")
    with Broker(tmp_path, [f"certfile {own.certificate}", f"keyfile {own.key}"]) as broker:
        host = Host([COATER], gateway="line3-gw1")
        options = {
            "tls": {"ca": str(authority.certificate)},
            "user": "gw",
            "password": {"env": "MQTT_PASSWORD"},
        }
        async with connected(broker.port, host, **options) as sink:
            assert sink.promise["encryption"].startswith("TLS")
        assert session_options(sink.config, "gw").password == "secret"


async def test_a_websocket_behind_a_proxy_by_configuration(tmp_path: Path) -> None:
    port = free_port()
    with (
        Broker(tmp_path, [f"listener {port} 127.0.0.1", "protocol websockets"]),
        tinyproxy(tmp_path) as proxy,
    ):
        host = Host([COATER], gateway="line3-gw1")
        wait_until(lambda: listens(port), "mosquitto listens for WebSockets")
        way = {"websocket": "/mqtt", "proxy": {"url": f"http://127.0.0.1:{proxy}"}, "source": "lo"}
        async with connected(port, host, **way) as sink:
            sink.send(records(COATER, 100))
            await eventually(lambda: len(host.taken) == 100)


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"password": {"env": "X"}}, "password: needs user"),
        ({"websocket": "mqtt"}, "websocket"),
        ({"websocket": "/a b"}, "websocket"),
        ({"proxy": {"url": "proxy:1"}}, "http://HOST:PORT"),
        ({"user": "u", "password": {"env": "X"}, "host": "192.168.1.5"}, "everybody on the network can read it"),
        ({"user": "u", "password": {"env": "X"}, "host": "localhost.plant.local"}, "allow_plain_password = true"),
        ({"tls": {"key": "k.pem"}}, "key: needs certificate"),
        ({"port": 0}, "port"),
        ({"host": ""}, "host"),
        ({"topic": "plant/data"}, "the topic must contain {device}"),
        ({"hots": "x"}, "hots"),
    ],
)
def test_mistakes_in_the_configuration_are_named(options: dict[str, Any], words: str) -> None:
    with pytest.raises(ValueError, match=words.replace("{", r"\{")):
        config(1883, **options)


def test_the_port_of_a_websocket_is_that_of_the_web() -> None:
    for tls, port in ((False, 80), (True, 443)):
        options = build_sink_config(MqttSink, {"host": "b", "tls": tls, "websocket": "/mqtt"})
        assert session_options(options, "x").port == port  # type: ignore[arg-type]


def test_defaults_follow_from_tls_and_the_gateways_name() -> None:
    plain = session_options(build_sink_config(MqttSink, {"host": "b"}), "line3-gw1")  # type: ignore[arg-type]
    secure = session_options(build_sink_config(MqttSink, {"host": "b", "tls": True}), "x")  # type: ignore[arg-type]
    assert (plain.port, plain.client_id, plain.tls) == (1883, "line3-gw1", None)
    assert secure.port == 8883
    assert secure.tls is not None


def test_a_missing_password_says_where_to_put_it() -> None:
    options = {"host": "b", "tls": True, "user": "gw", "password": {"env": "NO_SUCH_VARIABLE"}}
    with pytest.raises(RefusedError, match="NO_SUCH_VARIABLE is not set"):
        session_options(build_sink_config(MqttSink, options), "gw")  # type: ignore[arg-type]


@pytest.mark.parametrize("host", ["127.0.0.1", "127.3.4.5", "::1", "localhost", "LOCALHOST."])
def test_a_password_may_stay_within_this_machine(host: str) -> None:
    assert not config(1883, host=host, user="u", password={"env": "X"}).exposed


def test_a_password_that_the_network_can_read_is_sent_on_request_and_shown(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("X", "secret")
    exposed = config(1883, host="b", user="u", password={"env": "X"}, allow_plain_password=True)
    assert MqttSink(exposed, Host([COATER])).promise["exposed"] == "the network can read the password: set tls"  # type: ignore[arg-type]
    assert "exposed" not in MqttSink(config(1883), Host([COATER])).promise  # type: ignore[arg-type]


def test_two_sinks_know_when_they_would_push_each_other_out() -> None:
    def identity(**options: Any) -> str:
        return str(config(1883, **options).identity("gw1"))

    assert identity() == 'client_id "gw1" at 127.0.0.1:1883' == identity(name="other", per_tag=True)
    assert len({identity(), identity(client_id="a"), identity(port=1884), identity(host="b"), identity(tls=True)}) == 4


def test_a_device_that_would_speak_under_the_gateways_own_topic_is_told() -> None:
    place, devices = Context(site="north"), {"gw1": Context(site="north"), "press": Context(site="north")}
    (remark,) = config(1883).remarks("gw1", place, devices)
    assert remark.startswith('topic: device "gw1" and the gateway itself share north/gw1/_state')
    assert not config(1883, topic="{site}/{gateway}/{device}").remarks("gw1", place, devices)
    assert not config(1883).remarks("gw1", place, {"gw1": Context(site="north", area="a")})
