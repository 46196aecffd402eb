"""Values that the broker keeps for who comes late, with a real mosquitto."""

import asyncio
import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from gateway.plugin import Device, DeviceConfig, Readings, Record, TagConfig, quality
from gateway.testing import bind, build_sink_config, eventually, records
from plugins.mqtt import MqttSink
from plugins.mqtt import last_values as module
from tests.peers.broker import Broker, Subscriber

from .test_sink import COATER, Host, broker, connected

pytestmark = pytest.mark.timeout(120)
assert broker

SPEED, TEMP = "north/coating/coater-1/speed", "north/coating/coater-1/inlet_temp"
LESS = replace(bind(DeviceConfig(name="coater-1", driver="modbus"), {"speed": TagConfig()}), context=COATER.context)


def retained(broker: Broker, count: int, topic: str = "north/coating/#") -> dict[str, Any]:
    """What somebody hears who comes now: so many messages, by topic."""
    with Subscriber(broker, topic) as late:
        return {each.topic: json.loads(each.payload) for each in late.wait_for(count) if each.retained}


def old(record: Record) -> Record:
    assert record.readings is not None
    marked = record.readings.quality | np.uint32(quality.HISTORICAL)
    return replace(record, readings=replace(record.readings, quality=marked))


class Kept(Host):
    """With a folder of its own, and live values."""

    live: Readings

    def snapshot(self, device: str) -> Readings:
        return self.live


def host(tmp_path: Path, *devices: Device) -> Kept:
    kept = Kept(list(devices), gateway="line3-gw1", folder=tmp_path / "sink")
    (tmp_path / "sink").mkdir(exist_ok=True)
    return kept


async def test_the_newest_value_of_each_tag_stands_and_nothing_from_the_past(broker: Broker, tmp_path: Path) -> None:
    kept = host(tmp_path, COATER)
    async with connected(broker.port, kept, per_tag=True, retain="tag") as sink:
        first, second, third, fourth = records(COATER, 4)
        sink.send([second])
        sink.send([first, old(third)])
        await eventually(lambda: len(kept.taken) == 3)
        stands = retained(broker, 2)
        assert {topic: body["id"] for topic, body in stands.items()} == {TEMP: second.id, SPEED: f"{second.id}:1"}
        sink.send([fourth])
        await eventually(lambda: len(kept.taken) == 4)
    async with connected(broker.port, kept, per_tag=True, retain="tag") as sink:
        sink.send([third])  # sent again by the next connection, and not marked
        await eventually(lambda: len(kept.taken) == 5)
        assert retained(broker, 2)[TEMP]["id"] == fourth.id


async def test_what_is_stale_stands_there_marked(broker: Broker, tmp_path: Path) -> None:
    kept = host(tmp_path, COATER)
    async with connected(broker.port, kept, per_tag=True, retain="tag") as sink:
        (record,) = records(COATER, 1)
        assert record.readings is not None
        stale = replace(record.readings, quality=np.full(2, quality.STALE | quality.UNCERTAIN_LAST_VALUE, np.uint32))
        sink.send([replace(record, readings=stale)])
        await eventually(lambda: kept.taken)
        assert {body["q"] for body in retained(broker, 2).values()} == {"uncertain last value, stale"}


async def test_a_tag_or_device_that_goes_away_is_cleared_also_between_two_runs(broker: Broker, tmp_path: Path) -> None:
    kept = host(tmp_path, COATER)
    async with connected(broker.port, kept, per_tag=True, retain="tag") as sink:
        sink.send(records(COATER, 1))
        await eventually(lambda: kept.taken)
        kept.all_devices[:] = [LESS]
        sink.device_changed(LESS, True, "")
        await eventually(lambda: sink._session.idle)
        assert set(retained(broker, 3)) == {SPEED, "north/coating/coater-1/_tags", "north/coating/coater-1/_state"}
        sink.send(records(COATER, 1, first=5))  # it waited in the outbox
        await eventually(lambda: len(kept.taken) == 2)
    later = host(tmp_path)
    async with connected(broker.port, later, per_tag=True, retain="tag") as sink:
        await eventually(lambda: sink._session.idle)
        assert set(retained(broker, 2)) == {"north/coating/coater-1/_tags", "north/coating/coater-1/_state"}


async def test_a_device_has_one_message_with_all_last_values(
    broker: Broker, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "EACH", 0.05)
    kept = host(tmp_path, COATER)
    (live,) = records(COATER, 1, first=7)
    assert live.readings is not None
    kept.live = live.readings
    async with connected(broker.port, kept, per_slot=True, retain="device") as sink:
        with Subscriber(broker, "north/coating/coater-1/_last") as listening:
            sink.send([old(each) for each in records(COATER, 20)])
            (heard, *_) = await asyncio.to_thread(listening.wait_for, 1)
        body = json.loads(heard.payload)
        assert (body["values"], "id" in body, "historical" in body) == ({"inlet_temp": 7.0, "speed": 8.0}, False, False)
        assert retained(broker, 1, "north/coating/coater-1/_last") != {}
        kept.all_devices.clear()
        sink.device_changed(COATER, False, "no longer configured")
        await eventually(lambda: sink._session.idle)
        assert set(retained(broker, 2)) == {"north/coating/coater-1/_tags", "north/coating/coater-1/_state"}


def test_values_of_tags_need_messages_of_their_own() -> None:
    with pytest.raises(ValueError, match='"tag" needs per_tag = true'):
        build_sink_config(MqttSink, {"host": "127.0.0.1", "retain": "tag"})


async def test_without_the_option_nothing_is_kept_anywhere(broker: Broker, tmp_path: Path) -> None:
    kept = host(tmp_path, COATER)
    async with connected(broker.port, kept, per_tag=True) as sink:
        sink.send(records(COATER, 1))
        sink.device_changed(COATER, True, "")
        await eventually(lambda: kept.taken and sink._session.idle)
        assert set(retained(broker, 2)) == {"north/coating/coater-1/_tags", "north/coating/coater-1/_state"}
    assert list((tmp_path / "sink").iterdir()) == []
