"""The primary host: whether it is online, and what a node does while it is not."""

import asyncio
import json
import time
from pathlib import Path

import pytest

from gateway.core.errors import UnreachableError
from gateway.plugin import LinkError
from gateway.testing import eventually
from plugins.sparkplug import SparkplugSink, session
from plugins.sparkplug.primary_host import PrimaryHost
from plugins.sparkplug.tests.plant import OVEN, Ears, Plant, block, config, record, state
from tests.peers.broker import Broker

pytestmark = pytest.mark.timeout(120)


def said(online: object, at: object) -> bytes:
    return json.dumps({"online": online, "timestamp": at}).encode()


def test_the_first_statement_counts_and_then_only_what_is_not_older() -> None:
    host = PrimaryHost("scada")
    assert host.topic == "spBv1.0/STATE/scada"
    assert not host.online
    for online, at, now in ((True, 100, True), (False, 99, True), (False, 100, False), (True, 101, True)):
        host.take(said(online, at))
        assert host.online is now
    assert host.ignored == 1


@pytest.mark.parametrize(
    "payload",
    [
        b"", b"ONLINE", b"\xff", b"[]", b"{}", said("true", 1), said(True, "1"), said(True, True), said(True, None),
        said(1, 1), b'{"online":true}', b"[" * 100_000, b'{"online":true,"timestamp":1e999}', b" " * 10_000 + said(True, 1),
    ],
)  # fmt: skip
def test_what_is_no_statement_is_counted_and_changes_nothing(payload: bytes) -> None:
    host = PrimaryHost("scada")
    host.take(payload)
    assert (host.online, host.ignored) == (False, 1)


async def test_nothing_is_said_while_the_primary_host_is_away(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(session, "WAIT", 0.5)
    host = Plant([OVEN])
    with Broker(tmp_path) as broker, Ears(broker) as ears:
        sink = SparkplugSink(config(broker.port, primary_host="scada"), host)
        with pytest.raises(UnreachableError, match='primary host "scada" is not online at broker'):
            await sink.connect()
        await state(broker, False, 1)
        with pytest.raises(UnreachableError):
            await SparkplugSink(config(broker.port, primary_host="scada"), host).connect()
        await state(broker, True, 2, host="another")
        await state(broker, True, 2)
        monkeypatch.setattr(session, "WAIT", 60)
        sink = SparkplugSink(config(broker.port, primary_host="scada"), host)
        await sink.connect()
        await ears.hear(2)
        await sink.close()
    assert ears.verbs()[:2] == ["NBIRTH", "DBIRTH"], "nothing came before, not even a death"
    assert ears.said[0].values["bdSeq"] == 2, "each attempt counts"


async def test_a_host_that_comes_while_it_is_waited_for_is_noticed_at_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(session, "WAIT", 100)
    with Broker(tmp_path) as broker:
        sink = SparkplugSink(config(broker.port, primary_host="scada"), Plant([OVEN]))
        connecting = asyncio.create_task(sink.connect())
        await eventually(lambda: "spBv1.0/STATE/scada (QoS 1)" in broker.log.read_text(), 60)
        assert not connecting.done()
        await state(broker, True, int(time.time() * 1000))
        await connecting
        await sink.close()


async def test_a_state_that_flaps_costs_no_record(tmp_path: Path) -> None:
    host = Plant([OVEN])
    with Broker(tmp_path) as broker, Ears(broker) as ears:
        for n in range(1, 6):
            await state(broker, True, 2 * n)
            sink = SparkplugSink(config(broker.port, primary_host="scada"), host)
            await sink.connect()
            serving = asyncio.create_task(sink.serve())
            sink.send([record(block(OVEN, n, [1, 1, 1, "a", 1]), n)])
            await eventually(lambda n=n: len(host.taken) == n, 60)
            await state(broker, False, 2 * n + 1)
            with pytest.raises(LinkError, match="has gone offline"):
                await serving
            assert sink.own_fault
            await sink.close()
        await eventually(lambda: ears.verbs().count("NDEATH") == 5, 60)
    births = [each.values["bdSeq"] for each in ears.said if each.verb == "NBIRTH"]
    deaths = [each.values["bdSeq"] for each in ears.said if each.verb == "NDEATH"]
    assert births == deaths == [0, 1, 2, 3, 4]


async def test_a_broker_that_cannot_be_reached_gives_way_to_the_next(tmp_path: Path) -> None:
    host = Plant([OVEN])
    with Broker(tmp_path) as dead:
        port = dead.port
    with Broker(tmp_path) as broker:
        options = {"standby": [f"127.0.0.1:{broker.port}"]}
        with pytest.raises(LinkError):
            await SparkplugSink(config(port, **options), host).connect()
        sink = SparkplugSink(config(port, **options), host)
        await sink.connect()
        assert sink.promise["broker"] == f"127.0.0.1:{broker.port}"
        await sink.close()
