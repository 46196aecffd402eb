"""The node at a real mosquitto, heard by mosquitto_sub."""

import asyncio
import json
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from structlog.testing import capture_logs

from gateway.core.quality import BAD_TIMEOUT, HISTORICAL, STALE
from gateway.core.readings import Readings
from gateway.core.record import Kind
from gateway.plugin import LinkError
from gateway.testing import eventually, records
from plugins.sparkplug import SparkplugSink
from plugins.sparkplug.tests.plant import OVEN, PRESS, Ears, Plant, block, config, connected, device, record
from tests.peers.broker import Broker

pytestmark = pytest.mark.timeout(120)


@pytest.fixture
def broker(tmp_path: Path) -> Iterator[Broker]:
    with Broker(tmp_path) as running:
        yield running


async def test_a_node_is_born_with_its_devices_speaks_and_dies(broker: Broker) -> None:
    host = Plant([OVEN, PRESS])
    with Ears(broker) as ears:
        async with connected(broker.port, host) as sink:
            sink.send([record(block(OVEN, 5, [21.5, 1, -3, "melt", 80.0]), 1)])
            await eventually(lambda: host.taken == ["log:data:1"])
            await ears.hear(4)
        said = await ears.hear(5)
    assert [each.topic for each in said] == [
        "spBv1.0/g/NBIRTH/gw1",
        "spBv1.0/g/DBIRTH/gw1/oven",
        "spBv1.0/g/DBIRTH/gw1/press",
        "spBv1.0/g/DDATA/gw1/oven",
        "spBv1.0/g/NDEATH/gw1",
    ]
    assert [each.payload.seq for each in said[:4]] == [0, 1, 2, 3]
    assert not said[4].payload.HasField("seq")
    assert said[0].values["bdSeq"] == 0 == said[4].values["bdSeq"]
    assert said[0].values["Node Control/Rebirth"] is False
    born = {metric.name: metric for metric in said[1].payload.metrics}
    assert {name: metric.datatype for name, metric in born.items()} == {
        "temp": 10, "on": 11, "count": 3, "name": 12, "setpoint": 10,
    }  # fmt: skip
    aliases = {metric.alias: name for name, metric in born.items()}
    values = {aliases[alias]: value for alias, value in said[3].values.items()}
    assert values == {"temp": 21.5, "on": True, "count": 2**32 - 3, "name": "melt", "setpoint": 80.0}


async def test_a_birth_tells_unit_range_and_quality(broker: Broker) -> None:
    host = Plant([OVEN], live={"oven": block(OVEN, 1, [20.0, 0], tags=["temp", "on"])})
    with Ears(broker) as ears:
        async with connected(broker.port, host):
            said = await ears.hear(2)
    born = {metric.name: metric for metric in said[1].payload.metrics}
    told = {
        name: {
            key: getattr(each, each.WhichOneof("value"))
            for key, each in zip(metric.properties.keys, metric.properties.values, strict=True)
        }
        for name, metric in born.items()
    }
    assert told["temp"] == {"Quality": 192, "engUnit": "°C", "engLow": 0.0, "engHigh": 100.0, "readOnly": True}
    assert told["setpoint"]["readOnly"] is False
    assert born["count"].is_null, "never read"
    assert (told["count"]["Quality"], told["count"]["StatusCode"]) == (0, 0x8031_0000)


async def test_what_is_not_good_says_so_and_what_is_good_again_too(broker: Broker) -> None:
    host = Plant([PRESS])
    qualities = [0, STALE, BAD_TIMEOUT, 0, 0]
    with Ears(broker) as ears:
        async with connected(broker.port, host) as sink:
            sink.send([record(block(PRESS, n, [n, n], quality=each), n) for n, each in enumerate(qualities, 1)])
            said = await ears.hear(7)
    told = [
        [
            dict(zip(metric.properties.keys, [v.int_value for v in metric.properties.values], strict=True))
            for metric in each.payload.metrics
        ]
        for each in said[2:7]
    ]
    assert [each[0].get("Quality") for each in told] == [None, 500, 0, 192, None]
    assert said[4].payload.metrics[0].is_null, "a bad value is none"
    assert not said[3].payload.metrics[0].is_null, "a stale one is"


async def test_history_is_told_to_be_history(broker: Broker) -> None:
    """By its flag, and whatever is older than what the birth said."""
    host = Plant([PRESS], live={"press": block(PRESS, 100, [1, 2])})
    with Ears(broker) as ears:
        async with connected(broker.port, host) as sink:
            sink.send(
                [
                    record(block(PRESS, 99, [1, 1]), 1),
                    record(block(PRESS, 101, [1, 1]), 2),
                    record(block(PRESS, 102, [1, 1], quality=HISTORICAL), 3),
                    record(block(PRESS, 101, [1, 1]), 4),
                ]
            )
            said = await ears.hear(6)
    assert [[m.is_historical for m in each.payload.metrics] for each in said[2:]] == [
        [True, True], [False, False], [True, True], [False, False],
    ]  # fmt: skip
    assert said[2].payload.metrics[0].timestamp == 1_800_000_099_000, "with their own time"


async def test_a_device_dies_when_it_is_no_longer_read_and_is_born_when_it_is(broker: Broker) -> None:
    host = Plant([OVEN, PRESS])
    with Ears(broker) as ears:
        async with connected(broker.port, host) as sink:
            host.off.add("press")
            sink.device_changed(PRESS, False, "unplugged")
            sink.send([record(block(PRESS, 3, [1, 1], quality=STALE), 1)])
            await ears.hear(5)
            host.off.clear()
            sink.device_changed(PRESS, True, "")
            said = await ears.hear(6)
    assert [each.topic.removeprefix("spBv1.0/g/") for each in said[2:6]] == [
        "DBIRTH/gw1/press",
        "DDATA/gw1/press",
        "DDEATH/gw1/press",
        "DBIRTH/gw1/press",
    ]
    assert [each.payload.seq for each in said[:6]] == list(range(6))


async def test_a_device_that_is_not_read_is_not_born_until_history_of_it_comes(broker: Broker) -> None:
    host = Plant([OVEN, PRESS], off={"press"})
    with Ears(broker) as ears:
        async with connected(broker.port, host) as sink:
            assert await ears.hear(2)
            sink.send([record(block(PRESS, 3, [1, 1], quality=HISTORICAL), 1)])
            said = await ears.hear(5)
    assert [each.verb for each in said[:5]] == ["NBIRTH", "DBIRTH", "DBIRTH", "DDATA", "DDEATH"]
    assert said[1].topic.endswith("/oven")


async def test_history_of_a_device_or_tag_that_is_gone_is_not_lost(broker: Broker) -> None:
    gone = device("gone", first_id=500, temp="float64")
    before = device("press", first_id=600, force="int16", old="float64")
    host = Plant([PRESS])
    with Ears(broker) as ears:
        async with connected(broker.port, host) as sink:
            sink.send([record(block(gone, 3, [1.5]), 1), record(block(before, 3, [7, 2.5]), 2)])
            await eventually(lambda: len(host.taken) == 2)
            said = await ears.hear(6)
    assert [each.topic.split("/", 2)[2] for each in said[2:6]] == [
        "DBIRTH/gw1/gone",
        "DDATA/gw1/gone",
        "DBIRTH/gw1/press",
        "DDATA/gw1/press",
    ]
    names = {metric.alias: metric.name for metric in said[4].payload.metrics}
    assert {names[alias]: value for alias, value in said[5].values.items()} == {"force (int16)": 7, "old": 2.5}


async def test_a_value_that_its_datatype_cannot_hold_makes_it_another_one(broker: Broker) -> None:
    host = Plant([PRESS])
    with Ears(broker) as ears:
        async with connected(broker.port, host) as sink:
            sink.send([record(block(PRESS, 1, [[1.0, 2.0], {"a": 1}]), 1), record(block(PRESS, 2, ["x", 5]), 2)])
            await eventually(lambda: len(host.taken) == 2)
            said = await ears.hear(6)
    assert [each.verb for each in said[2:6]] == ["DBIRTH", "DDATA", "DBIRTH", "DDATA"]
    assert [metric.datatype for metric in said[2].payload.metrics] == [30, 12]
    assert list(said[3].values.values()) == [bytes.fromhex("0000803f00000040"), '{"a":1}']
    assert list(said[5].values.values()) == ["x", "5.0"]


async def test_events_losses_and_receipts_are_values_of_the_node(broker: Broker) -> None:
    host = Plant([PRESS])
    kinds = (Kind.EVENT, Kind.LOSS, Kind.RECEIPT, Kind.SKIP)
    with Ears(broker) as ears:
        async with connected(broker.port, host) as sink:
            for seq, kind in enumerate(kinds, 1):
                sink.send(records(PRESS, 1, first=seq, kind=kind))
            await eventually(lambda: len(host.taken) == 4)
            said = await ears.hear(6)
    names = {metric.alias: metric.name for metric in said[0].payload.metrics}
    told = [(names[alias], json.loads(value)["id"]) for each in said[2:6] for alias, value in each.values.items()]
    assert told == [
        ("Gateway/Event", "testlog:alarm:1"),
        ("Gateway/Loss", "testlog:alarm:2"),
        ("Gateway/Receipt", "testlog:alarm:3"),
        ("Gateway/Skip", "testlog:alarm:4"),
    ]


async def test_aliases_stay_and_the_session_counts_on_over_connections(broker: Broker) -> None:
    host = Plant([OVEN])
    with Ears(broker) as ears:
        async with connected(broker.port, host):
            await ears.hear(2)
        host.all_devices = [PRESS, OVEN]
        async with connected(broker.port, host):
            said = await ears.hear(6)
    first, second = ({m.name: m.alias for m in each.payload.metrics} for each in (said[1], said[5]))
    assert first == second
    births = [each for each in said if each.verb == "NBIRTH"]
    assert [each.values["bdSeq"] for each in births] == [0, 1]
    assert not any(metric.alias in first.values() for metric in said[4].payload.metrics)


async def test_a_node_that_vanishes_is_declared_dead_by_the_broker(broker: Broker) -> None:
    host = Plant([OVEN])
    with Ears(broker) as ears:
        sink = SparkplugSink(config(broker.port), host)
        await sink.connect()
        sink._connected._mqtt._connected.close()
        with pytest.raises(LinkError):
            await sink.serve()
        await sink.close()
        said = await ears.hear(3)
    assert said[-1].verb == "NDEATH"
    assert said[-1].values == {"bdSeq": 0}


async def test_a_birth_that_the_broker_does_not_take_holds_up_no_other_device(tmp_path: Path) -> None:
    wide = device("wide", first_id=1000, **{f"tag-{n}": "float64" for n in range(100)})
    host = Plant([wide, PRESS])
    with Broker(tmp_path, ["max_packet_size 2500"]) as broker, Ears(broker) as ears:
        async with connected(broker.port, host, protocol="5") as sink:
            sink.send([record(block(wide, 3, [1.0] * 100), 1), record(block(PRESS, 3, [1, 1]), 2)])
            await eventually(lambda: bool(host.taken and host.refusals))
            said = await ears.hear(3)
    assert host.taken == ["log:data:2"]
    ((refused, reason, final),) = host.refusals
    assert (refused, final) == ("log:data:1", False)
    assert "the broker takes 2500 at most: raise that limit" in reason
    assert [each.payload.seq for each in said[:3]] == [0, 1, 2], "no number is missing"


async def test_a_record_larger_than_the_broker_takes_goes_in_parts(tmp_path: Path) -> None:
    host = Plant([PRESS])
    long = block(PRESS, 3, [1.0] * 2)

    n = 400
    many = Readings(
        PRESS,
        np.arange(n) * 1_000_000_000 + int(long.t_ns[0]),
        np.resize(PRESS.tags.ids, n),
        np.arange(n, dtype=float),
        np.zeros(n, np.uint32),
    )
    with Broker(tmp_path, ["max_packet_size 2500"]) as broker, Ears(broker) as ears:
        async with connected(broker.port, host, protocol="5") as sink:
            sink.send([record(many, 1)])
            await eventually(lambda: host.taken == ["log:data:1"])
            said = [each for each in await ears.hear(6) if each.verb == "DDATA"]
    assert len(said) > 1
    assert sum(len(each.payload.metrics) for each in said) == n


async def test_a_check_says_no_birth_and_which_barrier_is_needed(broker: Broker) -> None:
    host = Plant([OVEN])
    with Ears(broker) as ears:
        async with connected(broker.port, host) as sink:
            await ears.hear(2)
            found = await SparkplugSink(config(broker.port), host).check()
            assert found == "MQTT 3.1.1, encryption: none, barrier: unsubscribe"
            sink.send([record(block(OVEN, 5, [1, 1, 1, "a", 1]), 1)])
            said = await ears.hear(3)
    assert [each.verb for each in said[:3]] == ["NBIRTH", "DBIRTH", "DDATA"]


async def test_a_reading_larger_than_the_broker_takes_is_a_dead_letter_and_the_rest_goes_on(tmp_path: Path) -> None:
    host = Plant([OVEN])
    with Broker(tmp_path, ["max_packet_size 2500"]) as broker:
        async with connected(broker.port, host, protocol="5") as sink:
            sink.send(
                [record(block(OVEN, 3, [1, 1, 1, "x" * 5000, 1]), 1), record(block(OVEN, 4, [1, 1, 1, "x", 1]), 2)]
            )
            await eventually(lambda: bool(host.taken and host.refusals))
    assert host.taken == ["log:data:2"]
    ((refused, reason, final),) = host.refusals
    assert (refused, final) == ("log:data:1", True)
    assert "raise that limit" in reason


async def test_a_value_that_nothing_can_write_costs_its_record_alone(broker: Broker) -> None:
    host = Plant([OVEN])
    circle: list[object] = []
    circle.append(circle)
    async with connected(broker.port, host) as sink:
        sink.send([record(block(OVEN, 3, [1, 1, 1, circle, 1]), 1), record(block(OVEN, 4, [1, 1, 1, "x", 1]), 2)])
        await eventually(lambda: bool(host.taken and host.refusals))
    ((refused, reason, final),) = host.refusals
    assert (refused, final, host.taken) == ("log:data:1", True, ["log:data:2"])
    assert reason == "it cannot be written as a Sparkplug payload: it is nested too deep"


async def test_a_present_value_that_nothing_can_write_keeps_no_other_device_from_being_born(broker: Broker) -> None:
    circle: list[object] = []
    circle.append(circle)
    host = Plant([OVEN, PRESS], live={"oven": block(OVEN, 3, [1, 1, 1, circle, 1])})
    with Ears(broker) as ears:
        async with connected(broker.port, host) as sink:
            sink.send([record(block(OVEN, 4, [1, 1, 1, "x", 1]), 1), record(block(PRESS, 4, [1, 1]), 2)])
            await eventually(lambda: bool(host.taken and host.refusals))
            said = await ears.hear(3)
    assert [each.topic.split("/")[-1] for each in said[:3]] == ["gw1", "press", "press"]
    assert (host.taken, host.refusals[0][2]) == (["log:data:2"], False)


async def test_a_birth_over_which_the_broker_hangs_up_does_not_hold_up_the_others(tmp_path: Path) -> None:
    """With MQTT 3.1.1 mosquitto has no other answer to a message that is too large."""
    wide = device("wide", first_id=1000, **{f"tag-{n}": "float64" for n in range(100)})
    host = Plant([wide, PRESS])
    with Broker(tmp_path, ["max_packet_size 2500"]) as broker, capture_logs() as logs:
        sessions = 0
        while not host.taken and sessions < 20:
            sessions += 1
            sink = SparkplugSink(config(broker.port), host)
            await sink.connect()
            sink.send([record(block(wide, 3, [1.0] * 100), 1), record(block(PRESS, 3, [1, 1]), 2)])
            serving = asyncio.create_task(sink.serve())
            await eventually(lambda serving=serving: serving.done() or host.taken, 60)
            assert host.taken or sink.own_fault, "no record is suspected"
            serving.cancel()
            await asyncio.wait({serving})
            await sink.close()
    assert host.taken == ["log:data:2"]
    assert sessions < 10
    (refused,) = host.refusals
    assert refused[0] == "log:data:1"
    assert "ends the connection over its birth: raise the broker's limit" in refused[1]
    assert [entry["device"] for entry in logs if entry["event"] == "a device is not born for 10 min"] == ["wide"]
