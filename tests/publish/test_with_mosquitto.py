"""Outbox, publisher, MQTT sink and a real broker that is killed and frozen; counted by a subscriber of its own."""

import asyncio
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from gateway.publish import publisher
from gateway.testing import eventually, load_plugin
from tests.peers.broker import Broker, Subscriber

from .test_with_outbox import Running, outbox_into

SINK: Any = load_plugin(Path(__file__).parents[2] / "plugins/mqtt")


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


def options(broker: Broker) -> dict[str, Any]:
    return {"plugin": "mqtt", "host": "127.0.0.1", "port": broker.port, "ack_timeout": "500ms"}


async def every_value_arrived(running: Running, subscriber: Subscriber, count: int) -> None:
    await eventually(lambda: len(readings(subscriber)) >= count, 15)
    assert sorted(readings(subscriber).values()) == list(range(count)), "each value under one id"
    await eventually(lambda: running.delivered)
    balance = running.balance()
    assert (balance["accepted"], balance["acknowledged"], balance["pending"]) == (count, count, 0)


async def test_every_value_arrives_with_description_and_states(broker: Broker, tmp_path: Path) -> None:
    with Subscriber(broker) as subscriber:
        async with outbox_into(SINK, tmp_path / "outbox", options(broker)) as running:
            running.read(*range(500))
            await every_value_arrived(running, subscriber, 500)
        retained = {each.topic: json.loads(each.payload) for each in subscriber.received if "/_" in each.topic}
        assert retained["north/solids/coating/d/_tags"]["tags"] == {"a": {"type": "int32"}}
        assert retained["north/solids/coating/d/_state"]["online"] is True
        assert retained["north/solids/coating/gw1/_state"]["online"] is False, "the last word at a stop"


async def test_a_frozen_broker_is_named_and_nothing_is_lost(broker: Broker, tmp_path: Path) -> None:
    with Subscriber(broker) as subscriber:
        async with outbox_into(SINK, tmp_path / "outbox", options(broker)) as running:
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
