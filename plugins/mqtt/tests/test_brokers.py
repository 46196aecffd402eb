"""The MQTT sink with brokers that plants have, beside mosquitto: what it promises holds with each of them. Who listens and
asks is mosquitto's own program."""

import asyncio
import json
import subprocess
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from gateway.core.context import Context
from gateway.mqtt import BarrierTrial, barrier_trial
from gateway.plugin import DeviceConfig, TagConfig
from gateway.testing import bind, build_sink_config, eventually, records
from plugins.mqtt import MqttSink
from plugins.mqtt.tests.encoding_host import EncodingHost as Host
from tests.mqtt.feed import judge, over_a_bad_link
from tests.mqtt.noted import options
from tests.peers.mqtt_brokers import NAMES, Ear, Served, running

pytestmark = pytest.mark.timeout(400)
PATIENCE = 90.0
"""Seconds that a machine may take on which others are at work."""

SPEAKS_5 = ("mosquitto", "mochi")
HANGS_ON_5 = ("amqtt",)
"""It takes the will of MQTT 5 for something longer, and waits for the rest of it."""
NOTHING_RETAINED_FOR_WILDCARDS = ("rabbitmq",)
HEAVY = {"rabbitmq": pytest.mark.slow}

COATER = bind(
    DeviceConfig(name="coater-1", driver="modbus"),
    {"inlet_temp": TagConfig(unit="°C"), "speed": TagConfig()},
    context=Context(site="north"),
)
OWN = "north/line3-gw1"


@pytest.fixture(scope="module", params=[pytest.param(name, marks=HEAVY.get(name, ())) for name in NAMES])
def broker(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    with running(request.param, tmp_path_factory.mktemp("broker") / "state") as served:
        yield served


@pytest.fixture(params=[1, 0], ids=["qos1", "qos0"])
def qos(request: pytest.FixtureRequest) -> int:
    found: int = request.param
    return found


@asynccontextmanager
async def connected(broker: Served, **more: Any) -> AsyncIterator[tuple[MqttSink, Host]]:
    host = Host([COATER], gateway="line3-gw1", context=Context(site="north"))
    protocol = "3.1.1" if broker.name in HANGS_ON_5 else "auto"
    where = {"host": "127.0.0.1", "port": broker.port, "protocol": protocol}
    table = {"name": "central", "ack_timeout": "60s", **where, **more}
    sink = MqttSink(build_sink_config(MqttSink, table), host)
    await sink.connect()
    serving = asyncio.create_task(sink.serve())
    try:
        yield sink, host
    finally:
        serving.cancel()
        await asyncio.wait({serving})
        await sink.close()


async def test_records_arrive_and_what_is_retained_is_there_for_who_comes_late(
    broker: Served, tmp_path: Path, qos: int
) -> None:
    sent = records(COATER, 300)
    with Ear(broker.port, "north/coater-1", tmp_path) as ear:
        async with connected(broker, qos=qos) as (sink, host):
            assert sink.promise["protocol"] == ("MQTT 5" if broker.name in SPEAKS_5 else "MQTT 3.1.1")
            sink.device_changed(COATER, True, "")
            sink.send(sent)
            await eventually(lambda: len(host.taken) == 300, timeout=PATIENCE)
            assert host.taken == [record.id for record in sent]
            received = await asyncio.to_thread(ear.wait_for, 300, PATIENCE)
            assert [json.loads(message.payload)["id"] for message in received] == host.taken
            topics = {f"{OWN}/_state", "north/coater-1/_state", "north/coater-1/_tags"}
            filters = topics if broker.name in NOTHING_RETAINED_FOR_WILDCARDS else {"north/#"}
            kept = set()
            for each in sorted(filters):
                with Ear(broker.port, each, tmp_path) as late:
                    kept |= {
                        one.topic
                        for one in await asyncio.to_thread(late.wait_for, len(topics) // len(filters), PATIENCE)
                        if one.retained
                    }
            assert kept == topics


async def test_the_will_speaks_when_the_gateway_dies(broker: Served, tmp_path: Path) -> None:
    def said() -> list[bool]:
        return [json.loads(message.payload)["online"] for message in ear.received if not message.retained]

    with Ear(broker.port, f"{OWN}/_state", tmp_path) as ear:
        async with connected(broker) as (sink, _):
            await eventually(lambda: said() == [True], timeout=PATIENCE)
            sink._session._connected.close()  # as when the process dies
            await eventually(lambda: said() == [True, False], timeout=PATIENCE)


async def test_a_request_is_answered_and_a_retained_one_is_not(broker: Served, tmp_path: Path) -> None:
    def publish(*arguments: str) -> None:
        where = ["mosquitto_pub", "-h", "127.0.0.1", "-p", str(broker.port), "-V", "311", "-q", "1"]
        subprocess.run([*where, *arguments], check=True, timeout=PATIENCE)

    topic, body = f"{OWN}/_request/snapshot", json.dumps({"id": 1})
    asking = {"requests": {"commands": ["snapshot"]}}
    with Ear(broker.port, f"{OWN}/_response", tmp_path) as ear:
        async with connected(broker, **asking) as (sink, host):
            await eventually(lambda: not sink._asked._tasks, timeout=PATIENCE)  # it has subscribed
            assert sink._asked.trouble == ""
            host.answer = [{"tag": "speed"}]
            await asyncio.to_thread(publish, "-t", topic, "-m", body, "-r")
            (answer,) = await asyncio.to_thread(ear.wait_for, 1, PATIENCE)
            assert json.loads(answer.payload)["result"] == [{"tag": "speed"}]
        async with connected(broker, **asking) as (sink, host):
            await eventually(lambda: not sink._asked._tasks, timeout=PATIENCE)
            await asyncio.to_thread(publish, "-t", topic, "-m", json.dumps({"id": 2}))
            answers = await asyncio.to_thread(ear.wait_for, 2, PATIENCE)
            assert [json.loads(each.payload)["id"] for each in answers] == [1, 2]
        publish("-t", topic, "-r", "-n")


async def test_a_link_that_is_cut_again_and_again_loses_nothing(broker: Served, tmp_path: Path, qos: int) -> None:
    protocol = "5" if broker.name in SPEAKS_5 else "3.1.1"
    with Ear(broker.port, "a", tmp_path) as ear:
        judge(
            await over_a_bad_link(
                broker.port, lambda: ear.received, 1500, qos=qos, marker_topic=f"{OWN}/_barrier", protocol=protocol
            )
        )


async def test_the_barrier_that_it_needs_is_found(broker: Served, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(barrier_trial, "PATIENCE", PATIENCE)
    trial = BarrierTrial(options(broker.port), f"{OWN}/_barrier/x")
    assert await trial.lossless() == "unsubscribe"
