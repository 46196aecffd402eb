"""Outbox, publisher, MQTT sink and a real broker that is killed and frozen; counted by a subscriber of its own."""

import asyncio
import itertools
import json
import os
import signal
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from gateway.config.base import DeviceConfig
from gateway.config.model import DeviceSpec
from gateway.core.readings import Readings
from gateway.core.tag import Device
from gateway.mqtt import MqttOptions, MqttSession
from gateway.outbox.deliver import redelivery as resting
from gateway.publish import publisher
from gateway.testing import eventually, load_plugin
from tests.peers.broker import Broker, Subscriber

from .blocks import PLACE
from .test_with_outbox import Number, Running, outbox_into

SINK: Any = load_plugin(Path(__file__).parents[2] / "plugins/mqtt")


pytestmark = pytest.mark.timeout(120)


@pytest.fixture
def broker(tmp_path: Path) -> Iterator[Broker]:
    with Broker(tmp_path) as running:
        yield running


@pytest.fixture(autouse=True)
def _impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(publisher, "FIRST_PAUSE", 0.1)
    monkeypatch.setattr(publisher, "LONGEST_PAUSE", 0.2)


def readings(subscriber: Subscriber) -> dict[str, int]:
    """Id → value of all readings that came."""
    bodies = [json.loads(each.payload) for each in subscriber.received if "/_" not in each.topic]
    return {body["id"]: body["values"]["a"] for body in bodies}


def said(subscriber: Subscriber) -> dict[str, Any]:
    """Last words of each topic below the line that are no readings."""
    below = "north/solids/coating/"
    return {
        each.topic.removeprefix(below): json.loads(each.payload) for each in subscriber.received if "/_" in each.topic
    }


def options(broker: Broker, ack_timeout: str = "20s") -> dict[str, Any]:
    return {"plugin": "mqtt", "host": "127.0.0.1", "port": broker.port, "ack_timeout": ack_timeout}


async def every_value_arrived(running: Running, subscriber: Subscriber, count: int) -> None:
    await eventually(lambda: len(readings(subscriber)) >= count, 30)
    assert sorted(readings(subscriber).values()) == list(range(count)), "each value under one id"
    await eventually(lambda: running.delivered)
    balance = running.balance()
    assert (balance["accepted"], balance["acknowledged"], balance["pending"]) == (count, count, 0)


async def test_every_value_arrives_with_description_and_states(broker: Broker, tmp_path: Path) -> None:
    with Subscriber(broker) as subscriber:
        async with outbox_into(SINK, tmp_path / "outbox", options(broker)) as running:
            running.read(*range(500))
            await every_value_arrived(running, subscriber, 500)
        await eventually(lambda: not said(subscriber)["gw1/_state"]["online"])  # the last word at a stop
        assert said(subscriber)["d/_tags"]["tags"] == {"a": {"type": "int32"}}
        assert said(subscriber)["d/_state"]["online"] is True


async def test_a_frozen_broker_is_named_and_nothing_is_lost(broker: Broker, tmp_path: Path) -> None:
    with Subscriber(broker) as subscriber:
        async with outbox_into(SINK, tmp_path / "outbox", options(broker, "500ms")) as running:
            running.read(*range(100))
            await eventually(lambda: running.balance()["acknowledged"] == 100)
            broker.freeze()
            try:
                running.read(*range(100, 200))
                await eventually(lambda: running.publisher.health.state == "down")
                assert "swallows packets" in running.publisher.health.reason
                assert running.balance()["pending"] == 100
            finally:
                broker.thaw()
            await every_value_arrived(running, subscriber, 200)


async def test_a_killed_broker_costs_nothing(broker: Broker, tmp_path: Path) -> None:
    async with outbox_into(SINK, tmp_path / "outbox", options(broker)) as running:
        running.read(*range(50))
        await eventually(lambda: running.balance()["acknowledged"] == 50)
        broker.kill()
        running.read(*range(50, 300))
        await eventually(lambda: running.publisher.health.state == "down")
        broker.start()
        with Subscriber(broker) as subscriber:
            await asyncio.to_thread(subscriber.wait_for, 1)
            await eventually(lambda: running.publisher.health.state == "up")
            running.read(*range(300, 400))
            await eventually(lambda: running.balance()["acknowledged"] == 400)
            await eventually(lambda: 399 in readings(subscriber).values())


def wide_device(running: Running) -> Device:
    """One whose records, and whose description, are larger than the broker takes."""
    spec = DeviceSpec(DeviceConfig(name="wide", driver="test"), {f"tag-{n}": Number() for n in range(500)})
    return running.outbox.bind(spec, PLACE)


def read_wide(running: Running, device: Device) -> None:
    ids = device.tags.ids
    times = np.full(len(ids), 1_800_000_000_000_000_000, np.int64)
    running.outbox.append(Readings(device, times, ids, np.zeros(len(ids)), np.zeros(len(ids), np.uint32)))


async def read_on(running: Running, numbers: Iterator[int]) -> None:
    """As a plant does: a record in doubt is tried only after another one was taken."""
    for number in numbers:
        running.read(number)
        await asyncio.sleep(0.05)


async def test_a_device_whose_topic_is_not_allowed_stops_no_other_and_arrives_once_it_is(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(resting, "LONGEST_PAUSE", 0.5)
    rules = tmp_path / "rules"
    rules.write_text("topic readwrite #\ntopic deny north/solids/coating/wide\n")
    with Broker(tmp_path, [f"acl_file {rules}"]) as broker, Subscriber(broker) as subscriber:
        async with outbox_into(SINK, tmp_path / "outbox", {**options(broker), "window": 20}) as running:
            refused = running.outbox.bind(DeviceSpec(DeviceConfig(name="wide", driver="test"), {"a": Number()}), PLACE)
            for number in range(1500):
                running.read(number)
                running.read(number, device=refused)
            await eventually(lambda: len(readings(subscriber)) == 1500, 60)
            assert running.publisher.status().barred == ["device wide"]
            assert "let anonymous clients write to north/solids/coating/wide" in running.publisher.status().last_refusal
            await eventually(lambda: running.balance()["pending"] == 1500)
            rules.write_text("topic readwrite #\n")
            os.kill(broker.pid, signal.SIGHUP)
            await eventually(lambda: len(readings(subscriber)) == 3000, 60)
            await eventually(lambda: running.delivered)


@pytest.mark.timeout(300)
async def test_with_mqtt_3_1_1_the_record_over_which_the_broker_hangs_up_is_found(tmp_path: Path) -> None:
    """mosquitto has no other answer to what is too large; the others arrive."""
    with Broker(tmp_path, ["max_packet_size 1500"]) as broker, Subscriber(broker) as subscriber:
        old = {**options(broker), "protocol": "3.1.1", "window": 20}
        async with outbox_into(SINK, tmp_path / "outbox", old) as running:
            running.read(*range(30))
            read_wide(running, wide_device(running))
            running.read(*range(30, 60))
            await eventually(lambda: running.outbox.status().dead.letters == 1, 120)
            await eventually(lambda: running.delivered, 60)
            await eventually(lambda: len(readings(subscriber)) == 60, 60)
            assert sorted(readings(subscriber).values()) == list(range(60))
            (reason,) = running.balance()["dropped"]
            assert reason.startswith("refused: the far side ends the connection over records of device wide")


@pytest.mark.timeout(300)
async def test_with_mqtt_3_1_1_descriptions_and_records_that_are_too_large_hold_up_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The search goes quickly from connection to connection, though pauses would have grown to minutes."""
    monkeypatch.setattr(publisher, "FIRST_PAUSE", 0.5)
    monkeypatch.setattr(publisher, "LONGEST_PAUSE", 600.0)
    with Broker(tmp_path, ["max_packet_size 1500"]) as broker, Subscriber(broker) as subscriber:
        old = {**options(broker), "protocol": "3.1.1", "window": 20}
        async with outbox_into(SINK, tmp_path / "outbox", old) as running:
            wide = wide_device(running)
            running.devices.append(wide)
            running.read(*range(30))
            read_wide(running, wide)
            running.read(*range(30, 60))
            read_wide(running, wide)
            numbers = itertools.count(60)
            scans = asyncio.create_task(read_on(running, numbers))
            await eventually(lambda: running.outbox.status().dead.letters == 2, 120)
            scans.cancel()
            await asyncio.wait([scans])
            count = next(numbers)
            await eventually(lambda: running.balance()["accepted"] == count + 1000, 60)
            await eventually(lambda: running.delivered, 60)
            balance = running.balance()
            assert (balance["acknowledged"], sum(balance["dropped"].values())) == (count, 1000)
            await eventually(lambda: len(readings(subscriber)) == count, 60)
            assert sorted(readings(subscriber).values()) == list(range(count))


async def test_a_standby_broker_takes_over_and_going_back_loses_repeats_and_reorders_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    ready, looks = asyncio.Event(), MqttSession._takes_us

    async def look(session: MqttSession, of: MqttOptions) -> bool:
        return ready.is_set() and await looks(session, of)

    monkeypatch.setattr(MqttSession, "_takes_us", look)
    with Broker(tmp_path) as first, Broker(tmp_path) as second, Subscriber(second) as at_second:
        more = {"standby": [f"127.0.0.1:{second.port}"], "return_after": "100ms"}
        async with outbox_into(SINK, tmp_path / "outbox", {**options(first), **more}) as running:
            with Subscriber(first) as at_first:
                running.read(*range(100))
                await eventually(lambda: running.balance()["acknowledged"] == 100)
                at_first.catch_up()
            first.kill()
            running.read(*range(100, 300))
            await eventually(lambda: {299} <= set(plain_values(at_second)))
            assert running.publisher.status().promise["broker"] == f"127.0.0.1:{second.port}"
            first.start()
            with Subscriber(first) as again:
                ready.set()
                for value in itertools.count(300):
                    running.read(value)
                    await asyncio.sleep(0.002)
                    if running.publisher.status().promise.get("broker") == f"127.0.0.1:{first.port}":
                        break
                await eventually(lambda: running.balance()["acknowledged"] == value + 1)
                at_second.catch_up()
                again.catch_up()
                there = [*plain_values(at_first), *plain_values(at_second), *plain_values(again)]
                assert there == list(range(value + 1)), "each once, in order, across both brokers"
                moves = [each for each in said_events(at_second) + said_events(again) if each["kind"] == "sink"]
                assert [(each["before"], each["broker"]) for each in moves] == [
                    (f"127.0.0.1:{first.port}", f"127.0.0.1:{second.port}"),
                    (f"127.0.0.1:{second.port}", f"127.0.0.1:{first.port}"),
                ]


def plain_values(subscriber: Subscriber) -> list[int]:
    bodies = [
        json.loads(each.payload) for each in subscriber.received if "/_" not in each.topic and each.topic != "mark"
    ]
    return [body["values"]["a"] for body in bodies]


def said_events(subscriber: Subscriber) -> list[dict[str, Any]]:
    return [json.loads(each.payload) for each in subscriber.received if each.topic.endswith("/_event")]
