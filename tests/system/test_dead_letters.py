"""A broker that takes no large messages: what is too large for it is kept and sent again when it takes it, the rest flows."""

import asyncio
import json
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

import pytest

from gateway.testing import eventually
from tests.peers.broker import Broker, Subscriber

from .daemon import Daemon, sink
from .plant import modbus, modbus_devices, mqtt

pytestmark = pytest.mark.system

LIMIT = 1500
"""Bytes that the broker takes; a record of the large device has about 2000, one of the small device 200."""


async def letters(daemon: Daemon) -> list[dict[str, Any]]:
    done = await daemon.ask("outbox", "dead", "list", "--json")
    assert done.code == 0, done.err
    found: list[dict[str, Any]] = json.loads(done.out)["letters"]
    return found


def ids(subscriber: Subscriber, name: str) -> list[str]:
    return [json.loads(each.payload)["id"] for each in subscriber.received if each.topic == f"plant/{name}"]


async def too_large(directory: Path, patience: float, **options: str) -> None:
    async with AsyncExitStack() as stack:
        (port,) = await stack.enter_async_context(modbus_devices("--floats", "120"))
        broker = stack.enter_context(Broker(directory, [f"max_packet_size {LIMIT}"]))
        small, large = modbus("small", port), modbus("large", port, floats=120, scan='"500ms"')
        config = mqtt(broker.port, **options) + small + large
        daemon = await stack.enter_async_context(Daemon(directory / "gateway", config))
        await daemon.until(lambda status: status["outbox"]["dead"]["letters"] >= 3, "records are set aside", patience)
        await daemon.until(lambda status: sink(status)["state"] == "up", "the sink is up", patience)
        await daemon.until(
            lambda status: sink(status)["acknowledged_readings"] > 0, "the small ones are taken", patience
        )
        told = await daemon.ask("status")
        assert "edge-gateway outbox dead list" in told.out
        found = await letters(daemon)
        assert {(each["about"], each["sink"], each["readings"]) for each in found} == {("large", "central", 120)}
        assert "large" in found[0]["reason"]
        shown = await daemon.ask("outbox", "dead", "show", found[0]["id"])
        assert shown.code == 0 and "tag_119" in shown.out

        dropped, kept = found[0]["id"], {each["id"] for each in found[1:]}
        assert (await daemon.ask("outbox", "dead", "drop", dropped)).code == 0
        missing = await daemon.ask("outbox", "dead", "drop", dropped)
        assert missing.code == 1 and "no dead letter" in missing.err
        assert dropped not in {each["id"] for each in await letters(daemon)}

        broker.stop()
        broker._lines = []  # the broker's keeper raises the limit
        broker.start()
        subscriber = stack.enter_context(Subscriber(broker))
        await daemon.until(lambda status: sink(status)["state"] == "up", "the sink is up again", patience)
        assert (await daemon.ask("outbox", "dead", "retry", "--all")).code == 0
        await eventually(
            lambda: kept <= set(ids(subscriber, "large")), what="what was kept arrives under its ids", timeout=patience
        )
        assert dropped not in ids(subscriber, "large")
        assert "Traceback" not in daemon.log
        assert await daemon.stop() == 0
    audit = (directory / "gateway" / "state" / "audit.jsonl").read_text()
    assert "outbox.dead.drop" in audit and "outbox.dead.retry" in audit


@pytest.mark.timeout(300)
async def test_what_is_too_large_for_the_broker_is_kept_and_sent_when_it_takes_it(tmp_path: Path) -> None:
    await too_large(tmp_path, 60)


@pytest.mark.timeout(300)
async def test_two_gateways_of_one_client_id_are_told_so_with_mqtt_3_1_1_too(tmp_path: Path) -> None:
    async with AsyncExitStack() as stack:
        (port,) = await stack.enter_async_context(modbus_devices())
        broker = stack.enter_context(Broker(tmp_path))
        config = mqtt(broker.port, client_id='"twin"', protocol='"3.1.1"') + modbus("press-1", port)
        first = await stack.enter_async_context(Daemon(tmp_path / "first", config))
        second = await stack.enter_async_context(Daemon(tmp_path / "second", config))
        said = 'another client has connected with our client id "twin": is there another gateway of this name'
        await eventually(
            lambda: said in first.log + second.log, what="the cause is named", timeout=120, explain=lambda: first.log
        )
        assert "Traceback" not in first.log + second.log
        await asyncio.gather(first.stop(), second.stop())
