"""The whole checklist of the specification, judged on the wire; and that the checker would find what is wrong."""

import asyncio
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from gateway.core.quality import BAD_TIMEOUT, HISTORICAL, STALE
from gateway.core.readings import Readings
from gateway.core.record import Kind
from gateway.plugin import LinkError
from gateway.testing import eventually, records
from plugins.sparkplug import SparkplugSink
from plugins.sparkplug.payload.schema import Payload
from plugins.sparkplug.tests.checker import Checker, Plan
from plugins.sparkplug.tests.plant import (
    OVEN,
    PRESS,
    REBIRTH,
    T0,
    Ears,
    Plant,
    block,
    command,
    config,
    connected,
    device,
    record,
    state,
    tell,
)
from plugins.sparkplug.tests.wire import (
    CONNECT,
    PUBLISH,
    SUBSCRIBE,
    Connect,
    Ended,
    Log,
    Noted,
    Publish,
    subscribe,
    subscriptions,
    tap,
)
from tests.peers.broker import Broker

pytestmark = pytest.mark.timeout(120)

PLAN = Plan("g", "gw1", devices=("oven", "press"), writable=("oven",))
WITH_HOST = replace(PLAN, primary_host="scada")


async def life(folder: Path, protocol: str) -> Log:
    """Two sessions: births, data of all kinds, a rebirth, a write, a device that dies, and a stop."""
    host = Plant([OVEN, PRESS], live={"press": block(PRESS, 50, [1, 2])})
    options = {"protocol": protocol, "commands": True}
    with Broker(folder) as broker, Ears(broker) as ears:
        async with tap(broker.port) as relay:
            async with connected(relay.port, host, **options) as sink:
                sink.send([record(block(OVEN, n, [n, 1, n, "é", n]), n) for n in range(1, 300)])
                sink.send(
                    [
                        record(block(PRESS, 60 + n, [n, n], quality=each), 300 + n)
                        for n, each in enumerate((0, STALE, BAD_TIMEOUT, 0, HISTORICAL))
                    ]
                )
                sink.send([record(block(PRESS, 70, [[1.0, 2.0], 7]), 306)])
                sink.send([each for kind in (Kind.EVENT, Kind.LOSS) for each in records(PRESS, 1, kind=kind)])
                await eventually(lambda: len(host.taken) == 307, 60)
                await tell(broker, "spBv1.0/g/NCMD/gw1", REBIRTH)
                await eventually(lambda: ears.verbs().count("NBIRTH") == 2, 60)
                await tell(broker, "spBv1.0/g/DCMD/gw1/oven", command(("setpoint", 5.0)))
                await eventually(lambda: bool(host.requests), 60)
                host.off.add("press")
                sink.device_changed(PRESS, False, "unplugged")
                await eventually(lambda: "DDEATH" in ears.verbs(), 60)
            host.off.clear()
            async with connected(relay.port, host, **options) as sink:
                sink.send([record(block(OVEN, 500, [1, 1, 1, "a", 1]), 308)])
                await eventually(lambda: len(host.taken) == 308, 60)
            await eventually(lambda: ears.verbs().count("NDEATH") >= 2, 60)
        return relay.log


async def walk(folder: Path) -> Log:
    """A primary host goes offline at one broker, and is online at the other."""
    log: Log = []
    host = Plant([OVEN, PRESS])
    with Broker(folder) as first, Broker(folder) as second:
        await state(first, True, 1000)
        await state(second, True, 1000)
        async with tap(first.port, "first", log) as one, tap(second.port, "second", log) as two:
            options = {"primary_host": "scada", "standby": [f"127.0.0.1:{two.port}"], "commands": True}
            sink = SparkplugSink(config(one.port, **options), host)
            await sink.connect()
            serving = asyncio.create_task(sink.serve())
            sink.send([record(block(OVEN, 1, [1, 1, 1, "a", 1]), 1)])
            await eventually(lambda: len(host.taken) == 1, 60)
            await state(first, False, 900)  # older than what was said before
            await state(first, False, 1001)
            with pytest.raises(LinkError, match="has gone offline"):
                await serving
            await sink.close()
            assert sink.own_fault, "no record is to blame"
            async with connected(one.port, host, **options) as again:
                again.send([record(block(OVEN, 2, [1, 1, 1, "a", 1]), 2)])
                await eventually(lambda: len(host.taken) == 2, 60)
    return log


FIRST, SECOND = (device(f"oven-{n}", first_id=100 * n, temp="float64", setpoint="float64") for n in (1, 2))
OTHER = device("oven-3", first_id=300, temp="int32")
WITH_TEMPLATES = Plan("g", "gw1", devices=("oven-1", "oven-2", "oven-3"), writable=("oven-1", "oven-2"))


async def alike(folder: Path) -> Log:
    """Devices of one type as instances of a template, and one that is none of them."""
    host = Plant([FIRST, SECOND, OTHER])
    many = Readings(
        FIRST,
        T0 + np.array([3, 3, 4]) * 10**9,
        np.array([100, 101, 100], np.uint32),
        np.arange(3.0),
        np.zeros(3, np.uint32),
    )
    with Broker(folder) as broker, Ears(broker) as ears:
        options: dict[str, Any] = {"commands": True, "templates": {"Oven": ["oven-*"]}}
        async with tap(broker.port) as relay, connected(relay.port, host, **options) as sink:
            sink.send(
                [record(block(FIRST, n, [n, n], quality=each), n) for n, each in enumerate((0, STALE, HISTORICAL), 1)]
            )
            sink.send(
                [record(block(SECOND, 1, [5], tags=["temp"]), 4), record(many, 5), record(block(OTHER, 1, [7]), 6)]
            )
            await eventually(lambda: len(host.taken) == 6, 60)
            said = Payload()
            instance = said.metrics.add(name="oven-2")
            instance.template_value.template_ref = "Oven"
            instance.template_value.metrics.add(name="setpoint", double_value=8.0)
            await tell(broker, "spBv1.0/g/DCMD/gw1/oven-2", said.SerializeToString())
            await eventually(lambda: bool(host.requests), 60)
            grown = device("oven-2", first_id=400, temp="float64", setpoint="float64", door="bool")
            host.all_devices = [FIRST, grown, OTHER]
            sink.device_changed(grown, True, "")
            await eventually(lambda: ears.verbs().count("NBIRTH") == 2, 60)
            sink.send([record(block(grown, 9, [1, 1, 1]), 7)])
            await eventually(lambda: len(host.taken) == 7, 60)
    (asked,) = host.requests
    assert (asked[1]["device"], asked[1]["tag"], asked[1]["value"]) == ("oven-2", "setpoint", 8.0)
    return relay.log


@pytest.fixture(scope="module")
def lives(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Log]:
    """What a correct node sends, noted once."""
    return {
        "3.1.1": asyncio.run(life(tmp_path_factory.mktemp("life"), "3.1.1")),
        "5": asyncio.run(life(tmp_path_factory.mktemp("life"), "5")),
        "templates": asyncio.run(alike(tmp_path_factory.mktemp("alike"))),
        "walk": asyncio.run(walk(tmp_path_factory.mktemp("walk"))),
    }


def judged(name: str, log: Log) -> list[tuple[str, str]]:
    return Checker({"walk": WITH_HOST, "templates": WITH_TEMPLATES}.get(name, PLAN)).judge(log)


@pytest.mark.parametrize("name", ["3.1.1", "5", "templates", "walk"])
def test_the_node_keeps_all_that_can_be_seen(lives: dict[str, Log], name: str) -> None:
    assert judged(name, lives[name]) == []
    verbs = {
        Publish.read(each).topic.split("/")[2]
        for each in lives[name]
        if isinstance(each, Noted) and each.kind == PUBLISH
    }
    wanted = {"NBIRTH", "DBIRTH", "DDATA", "NDEATH"}
    assert verbs >= (wanted if name in ("templates", "walk") else wanted | {"NDATA", "DDEATH"}), (
        "there was something to judge"
    )


def test_alike_devices_are_instances_of_a_template_and_the_odd_one_is_not(lives: dict[str, Log]) -> None:
    births = [
        (message.topic.rpartition("/")[2], Payload.FromString(message.payload).metrics)
        for each in lives["templates"]
        if isinstance(each, Noted) and each.kind == PUBLISH and b"BIRTH" in each.body
        for message in [Publish.read(each)]
    ]
    (definition,) = [metric for metric in births[0][1] if metric.datatype == 19]
    assert (definition.name, [each.name for each in definition.template_value.metrics]) == (
        "Oven",
        ["temp", "setpoint"],
    )
    assert [(name, [metric.datatype for metric in metrics]) for name, metrics in births[1:4]] == [
        ("oven-1", [19]), ("oven-2", [19]), ("oven-3", [3]),
    ]  # fmt: skip
    last = dict(births[-4:])
    (definition,) = [metric for metric in last["gw1"] if metric.datatype == 19]
    assert [each.name for each in definition.template_value.metrics] == ["temp", "setpoint", "door"]
    assert [each.is_null for each in last["oven-1"][0].template_value.metrics] == [False, False, True]


def test_the_walk_ends_at_the_other_broker(lives: dict[str, Log]) -> None:
    assert [each.broker for each in lives["walk"] if isinstance(each, Noted) and each.kind == CONNECT] == [
        "first",
        "second",
    ]


# Planted faults: a correct node's packets, bent.

Bend = Callable[[Log], Log]


def sent(verb: str, change: Callable[[Publish, Any], Publish | None], nth: int = 0) -> Bend:
    """Change the nth message of this verb; None: it is not sent at all."""

    def bend(log: Log) -> Log:
        bent: Log = []
        seen = 0
        for each in log:
            if isinstance(each, Noted) and each.kind == PUBLISH and each.sender == "node":
                message = Publish.read(each)
                if message.topic.split("/")[2] == verb:
                    seen += 1
                    if seen == nth + 1:
                        changed = change(message, Payload.FromString(message.payload))
                        bent += [] if changed is None else [changed.written(each)]
                        continue
            bent.append(each)
        assert bent != log, "the fault is planted"
        return bent

    return bend


def payload(verb: str, change: Callable[[Any], object], nth: int = 0) -> Bend:
    """Change what the nth message of this verb says."""

    def rewritten(message: Publish, said: Any) -> Publish:
        change(said)
        return replace(message, payload=said.SerializeToString())

    return sent(verb, rewritten, nth)


def metric(verb: str, change: Callable[[Any], object], at: int = 0, nth: int = 0) -> Bend:
    return payload(verb, lambda said: change(said.metrics[at]), nth)


def named(verb: str, name: str, change: Callable[[Any], object], nth: int = 0) -> Bend:
    return payload(verb, lambda said: change(next(each for each in said.metrics if each.name == name)), nth)


def connect(change: Callable[[Connect], Connect], nth: int = 0) -> Bend:
    """Change the nth CONNECT."""

    def bend(log: Log) -> Log:
        places = [at for at, each in enumerate(log) if isinstance(each, Noted) and each.kind == CONNECT]
        bent = list(log)
        found = log[places[nth]]
        assert isinstance(found, Noted)
        bent[places[nth]] = replace(found, body=change(Connect.read(found.body)).written())
        return bent

    return bend


def will(change: Callable[[Any], object]) -> Bend:
    def changed(was: Connect) -> Connect:
        said = Payload.FromString(was.will_payload)
        change(said)
        return replace(was, will_payload=said.SerializeToString())

    return connect(changed)


def subscribing(change: Callable[[str, int], tuple[str, int] | None]) -> Bend:
    def bend(log: Log) -> Log:
        bent: Log = []
        for each in log:
            if isinstance(each, Noted) and each.kind == SUBSCRIBE:
                wanted = [now for was in subscriptions(each) if (now := change(*was)) is not None]
                bent += [subscribe(each, wanted)] if wanted else []
            else:
                bent.append(each)
        return bent

    return bend


def swapped(first: str, second: str) -> Bend:
    """The first message of one verb comes right before the first of another."""

    def bend(log: Log) -> Log:
        places = {}
        for at, each in enumerate(log):
            if isinstance(each, Noted) and each.kind == PUBLISH and each.sender == "node":
                places.setdefault(Publish.read(each).topic.split("/")[2], at)
        bent = list(log)
        moved = bent.pop(places[second])
        bent.insert(places[first], moved)
        return bent

    return bend


def without(kind: int) -> Bend:
    return lambda log: [
        each for each in log if not (isinstance(each, Noted) and each.kind == kind and each.sender == "node")
    ]


def disconnect_code(code: int) -> Bend:
    return lambda log: [
        replace(each, body=bytes((code,))) if isinstance(each, Noted) and each.kind == 14 else each for each in log
    ]


def clear(*fields: str) -> Callable[[Any], object]:
    return lambda said: [said.ClearField(each) for each in fields]


def setting(**values: Any) -> Callable[[Any], object]:
    return lambda said: [setattr(said, name, value) for name, value in values.items()]


def quality(change: Callable[[Any], object]) -> Bend:
    return named("DBIRTH", "temp", lambda metric: change(metric.properties.values[0]))


def never_online(log: Log) -> Log:
    """The host says nothing, and the node does not care."""
    return [each for each in log if not (isinstance(each, Noted) and each.sender == "broker" and each.kind == PUBLISH)]


def stays(log: Log) -> Log:
    """The node does not go when its host does: the connection neither says so nor ends."""
    return [each for each in log if getattr(each, "kind", 0) != 14 and not isinstance(each, Ended)]


def speaks_on(log: Log) -> Log:
    """It goes on with data when its host has gone."""
    at = max(
        n
        for n, each in enumerate(log)
        if isinstance(each, Noted) and each.sender == "broker" and each.broker == "first" and each.kind == PUBLISH
    )
    data = next(each for each in log if isinstance(each, Noted) and each.kind == PUBLISH and b"DDATA" in each.body)
    return [*log[: at + 1], data, *log[at + 1 :]]


def reordered(said: Any) -> None:
    """The values of one message stand against the order of time."""
    said.metrics[0].timestamp += 5


def double(said: Any) -> None:
    said.metrics.add().CopyFrom(said.metrics[-1])


def without_definition(said: Any) -> bytes:
    rest = [each for each in said.metrics if each.datatype != 19]
    return bytes(Payload(timestamp=said.timestamp, metrics=rest, seq=0).SerializeToString())


def renamed_device(message: Publish, said: Any) -> Publish:
    return replace(message, topic=message.topic.rpartition("/")[0])


FAULTS: dict[str, tuple[str, str, Bend]] = {
    # What is wrong: the log, the requirement that finds it, how it is planted.
    "another namespace": (
        "3.1.1",
        "topic-structure-namespace-a",
        sent("DDATA", lambda m, _: replace(m, topic=m.topic.replace("spBv1.0", "spAv1.0"))),
    ),
    "an unknown verb": (
        "3.1.1",
        "topic-structure",
        sent("DDATA", lambda m, _: replace(m, topic=m.topic.replace("DDATA", "DDATUM"))),
    ),
    "no device in the topic": (
        "3.1.1",
        "topic-structure-namespace-device-id-associated-message-types",
        sent("DDATA", renamed_device),
    ),
    "a device in a topic of the node": (
        "3.1.1",
        "topic-structure-namespace-device-id-non-associated-message-types",
        sent("NDATA", lambda m, _: replace(m, topic=m.topic + "/oven")),
    ),
    "a device of another node": (
        "3.1.1",
        "message-flow-device-birth-publish-dbirth-match-edge-node-topic",
        sent("DBIRTH", lambda m, _: replace(m, topic=m.topic.replace("gw1", "gw2"))),
    ),
    "a node of another group": (
        "3.1.1",
        "topics-nbirth-topic",
        sent("NBIRTH", lambda m, _: replace(m, topic=m.topic.replace("/g/", "/h/"))),
    ),
    "the session outlives the connection": (
        "3.1.1",
        "principles-persistence-clean-session-311",
        connect(lambda was: replace(was, clean=False)),
    ),
    "the session expires late": (
        "5",
        "principles-persistence-clean-session-50",
        connect(lambda was: replace(was, session_expiry=60)),
    ),
    "no will": (
        "3.1.1",
        "message-flow-edge-node-birth-publish-will-message",
        connect(lambda was: replace(was, will_topic=None)),
    ),
    "a will of another node": (
        "3.1.1",
        "message-flow-edge-node-birth-publish-will-message-topic",
        connect(lambda was: replace(was, will_topic="spBv1.0/g/NDEATH/gw2")),
    ),
    "a will with QoS 0": (
        "3.1.1",
        "message-flow-edge-node-birth-publish-will-message-qos",
        connect(lambda was: replace(was, will_qos=0)),
    ),
    "a retained will": (
        "5",
        "message-flow-edge-node-birth-publish-will-message-will-retained",
        connect(lambda was: replace(was, will_retain=True)),
    ),
    "a will that is no payload": (
        "3.1.1",
        "message-flow-edge-node-birth-publish-will-message-payload",
        connect(lambda was: replace(was, will_payload=b"dead")),
    ),
    "a will with a seq": ("3.1.1", "topics-ndeath-seq", will(setting(seq=0))),
    "a will with two metrics": ("3.1.1", "topics-ndeath-payload", will(double)),
    "bdSeq of another datatype": (
        "3.1.1",
        "message-flow-edge-node-birth-publish-will-message-payload-bdSeq",
        will(lambda said: setattr(said.metrics[0], "datatype", 8)),
    ),
    "bdSeq that does not grow": (
        "3.1.1",
        "topics-nbirth-bdseq-increment",
        connect(lambda was: replace(was, will_payload=was.will_payload.replace(b"\x58\x01", b"\x58\x00")), 1),
    ),
    "a birth of another session": (
        "3.1.1",
        "topics-nbirth-bdseq-matching",
        named("NBIRTH", "bdSeq", setting(long_value=7)),
    ),
    "a rebirth of another session": (
        "3.1.1",
        "operational-behavior-data-commands-rebirth-action-3",
        named("NBIRTH", "bdSeq", setting(long_value=7), nth=1),
    ),
    "a birth without bdSeq": ("3.1.1", "topics-nbirth-bdseq-included", named("NBIRTH", "bdSeq", setting(name="bdseq"))),
    "a death of another session": ("3.1.1", "payloads-ndeath-bdseq", metric("NDEATH", setting(long_value=7))),
    "no death before the good-bye": (
        "3.1.1",
        "payloads-ndeath-will-message-publisher-disconnect-mqtt311",
        sent("NDEATH", lambda m, _: None),
    ),
    "a good-bye that keeps the will back": (
        "5",
        "payloads-ndeath-will-message-publisher-disconnect-mqtt50",
        disconnect_code(0),
    ),
    "commands of the node not subscribed": (
        "3.1.1",
        "message-flow-edge-node-ncmd-subscribe",
        subscribing(lambda topic, qos: None if "NCMD" in topic else (topic, qos)),
    ),
    "commands of the node with QoS 0": (
        "3.1.1",
        "message-flow-edge-node-ncmd-subscribe",
        subscribing(lambda topic, qos: (topic, 0)),
    ),
    "commands of a device not subscribed": (
        "3.1.1",
        "message-flow-device-dcmd-subscribe",
        subscribing(lambda topic, qos: None if "DCMD" in topic else (topic, qos)),
    ),
    "a birth with QoS 1": ("3.1.1", "payloads-nbirth-qos", sent("NBIRTH", lambda m, _: replace(m, qos=1))),
    "a retained birth": ("5", "payloads-dbirth-retain", sent("DBIRTH", lambda m, _: replace(m, retain=True))),
    "retained data": ("3.1.1", "payloads-ddata-retain", sent("DDATA", lambda m, _: replace(m, retain=True))),
    "data with QoS 1": ("5", "payloads-ndata-qos", sent("NDATA", lambda m, _: replace(m, qos=1))),
    "a birth that does not begin at 0": (
        "3.1.1",
        "payloads-sequence-num-zero-nbirth",
        payload("NBIRTH", setting(seq=1)),
    ),
    "a number left out": ("3.1.1", "payloads-sequence-num-incrementing", sent("DDATA", lambda m, _: None, 7)),
    "a number twice": (
        "3.1.1",
        "payloads-sequence-num-incrementing",
        payload("DDATA", lambda said: setattr(said, "seq", said.seq - 1), 3),
    ),
    "256 after 255": ("3.1.1", "payloads-sequence-num-incrementing", payload("DDATA", setting(seq=256), 253)),
    "no number": ("3.1.1", "payloads-sequence-num-always-included", payload("DDEATH", clear("seq"))),
    "no time of sending": ("3.1.1", "payloads-dbirth-timestamp", payload("DBIRTH", clear("timestamp"))),
    "a time of sending in seconds": (
        "3.1.1",
        "payloads-ddata-timestamp",
        payload("DDATA", lambda said: setattr(said, "timestamp", said.timestamp // 1000)),
    ),
    "a device before the node": ("3.1.1", "principles-birth-certificates-order", swapped("NBIRTH", "DBIRTH")),
    "data before all are born": ("3.1.1", "payloads-ddata-order", swapped("DBIRTH", "DDATA")),
    "data of a device that is not born": ("3.1.1", "payloads-ddata-order", sent("DBIRTH", lambda m, _: None)),
    "a death of a device that does not live": (
        "3.1.1",
        "operational-behavior-device-ddeath",
        sent("DBIRTH", lambda m, _: None, 4),
    ),
    "a metric without a name": ("3.1.1", "topics-dbirth-metrics", metric("DBIRTH", clear("name"))),
    "names that differ in case": (
        "3.1.1",
        "case-sensitivity-metric-names",
        named("DBIRTH", "on", setting(name="TEMP")),
    ),
    "a metric without a time": ("3.1.1", "payloads-name-birth-data-requirement", metric("DDATA", clear("timestamp"))),
    "a birth without datatypes": ("3.1.1", "payloads-metric-datatype-req", metric("DBIRTH", clear("datatype"))),
    "a datatype that is none": ("3.1.1", "payloads-metric-datatype-value", metric("DBIRTH", setting(datatype=20))),
    "a value of another datatype": (
        "3.1.1",
        "payloads-metric-datatype-value-type",
        named("DBIRTH", "temp", setting(float_value=1.0)),
    ),
    "neither value nor null": (
        "3.1.1",
        "operational-behavior-data-publish-dbirth-values",
        named("DBIRTH", "temp", clear("double_value")),
    ),
    "null with a value": (
        "5",
        "operational-behavior-data-publish-dbirth-values",
        named("DBIRTH", "temp", setting(is_null=True)),
    ),
    "no way to ask for a rebirth": (
        "3.1.1",
        "operational-behavior-data-commands-rebirth-name",
        named("NBIRTH", "Node Control/Rebirth", setting(name="Rebirth", alias=9)),
    ),
    "an alias for the rebirth": (
        "3.1.1",
        "operational-behavior-data-commands-rebirth-name-aliases",
        named("NBIRTH", "Node Control/Rebirth", setting(alias=9)),
    ),
    "a rebirth that is true": (
        "3.1.1",
        "operational-behavior-data-commands-rebirth-value",
        named("NBIRTH", "Node Control/Rebirth", setting(boolean_value=True)),
    ),
    "a request that is not answered": (
        "3.1.1",
        "operational-behavior-data-commands-rebirth-action-2",
        lambda log: [each for each in log if not isinstance(each, Ended)][
            : next(
                n
                for n, each in enumerate(log)
                if isinstance(each, Noted) and each.sender == "broker" and b"NCMD" in each.body
            )
            + 1
        ],
    ),
    "an alias twice": ("3.1.1", "payloads-alias-uniqueness", named("DBIRTH", "temp", setting(alias=129))),
    "a birth without aliases": ("3.1.1", "payloads-alias-birth-requirement", named("DBIRTH", "temp", clear("alias"))),
    "an alias that changes": ("3.1.1", "alias-stable", named("DBIRTH", "temp", setting(alias=9999), nth=3)),
    "names in data": ("3.1.1", "payloads-alias-data-cmd-requirement", metric("DDATA", setting(name="temp"))),
    "datatypes in data": ("3.1.1", "payloads-metric-datatype-not-req", metric("DDATA", setting(datatype=10))),
    "a metric that no birth named": (
        "3.1.1",
        "operational-behavior-data-publish-dbirth",
        metric("DDATA", setting(alias=9999)),
    ),
    "data against the order of time": (
        "3.1.1",
        "operational-behavior-data-publish-dbirth-order",
        payload("DDATA", reordered),
    ),
    "data without metrics": ("3.1.1", "topics-ddata-payload", payload("DDATA", clear("metrics"))),
    "keys without values": (
        "3.1.1",
        "payloads-propertyset-keys-array-size",
        named("DBIRTH", "temp", lambda m: m.properties.keys.append("x")),
    ),
    "a property without a type": ("3.1.1", "payloads-metric-propertyvalue-type-req", quality(clear("type"))),
    "quality of another type": ("3.1.1", "payloads-propertyset-quality-value-type", quality(setting(type=7))),
    "quality that is none": ("3.1.1", "payloads-propertyset-quality-value-value", quality(setting(int_value=193))),
    "an array of odd size": (
        "3.1.1",
        "payloads-metric-datatype-value",
        named("DBIRTH", "force", lambda m: (m.ClearField("is_null"), setattr(m, "bytes_value", b"123")), nth=2),
    ),
    "a template that is not defined": (
        "templates",
        "payloads-template-instance-ref",
        sent("NBIRTH", lambda m, said: replace(m, payload=without_definition(said))),
    ),
    "a definition that refers to one": (
        "templates",
        "payloads-template-definition-ref",
        named("NBIRTH", "Oven", lambda m: setattr(m.template_value, "template_ref", "Oven")),
    ),
    "a member without a datatype": (
        "templates",
        "payloads-template-definition-members",
        named("NBIRTH", "Oven", lambda m: m.template_value.metrics[0].ClearField("datatype")),
    ),
    "an instance that says not what it is": (
        "templates",
        "payloads-template-is-definition-instance",
        metric("DDATA", lambda m: m.template_value.ClearField("is_definition")),
    ),
    "an instance of another template": (
        "templates",
        "payloads-template-instance-ref",
        metric("DBIRTH", lambda m: setattr(m.template_value, "template_ref", "Kiln")),
    ),
    "a member that no definition has": (
        "templates",
        "payloads-template-instance-members",
        metric("DDATA", lambda m: setattr(m.template_value.metrics[0], "name", "depth")),
    ),
    "a birth that lacks a member": (
        "templates",
        "payloads-template-instance-members-birth",
        metric("DBIRTH", lambda m: m.template_value.metrics.pop()),
    ),
    "STATE not subscribed": (
        "walk",
        "operational-behavior-primary-application-state-with-multiple-servers-state-subs",
        subscribing(lambda topic, qos: None if "STATE" in topic else (topic, qos)),
    ),
    "born though the host is away": ("walk", "message-flow-edge-node-birth-publish-phid-wait", never_online),
    "at two brokers": (
        "walk",
        "operational-behavior-primary-application-state-with-multiple-servers-single-server",
        lambda log: [each for each in log if not isinstance(each, Ended)],
    ),
    "stays though the host has gone": ("walk", "operational-behavior-edge-node-termination-host-offline", stays),
    "speaks on though the host has gone": (
        "walk",
        "operational-behavior-edge-node-termination-host-offline",
        speaks_on,
    ),
}


@pytest.mark.parametrize("fault", FAULTS)
def test_the_checker_finds(lives: dict[str, Log], fault: str) -> None:
    name, rule, plant = FAULTS[fault]
    bent = plant(lives[name])
    assert rule in {found for found, _ in judged(name, bent)}
