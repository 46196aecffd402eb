"""What hosts ask for at the broker: rebirths, values to be written, and nonsense."""

import asyncio
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from gateway.plugin import GatewayError
from gateway.testing import eventually
from plugins.sparkplug.payload.schema import Payload
from plugins.sparkplug.tests.plant import (
    OVEN,
    PRESS,
    REBIRTH,
    Ears,
    Plant,
    block,
    command,
    connected,
    record,
    tell,
)
from tests.peers.broker import Broker

pytestmark = pytest.mark.timeout(120)
NCMD, DCMD = "spBv1.0/g/NCMD/gw1", "spBv1.0/g/DCMD/gw1/oven"


@pytest.fixture
def broker(tmp_path: Path) -> Iterator[Broker]:
    with Broker(tmp_path) as running:
        yield running


def answers(ears: Ears) -> list[dict[str, Any]]:
    """What the metric Gateway/Command has said."""
    said = ears.said
    names = {metric.alias: metric.name for each in said[:1] for metric in each.payload.metrics}
    return [
        json.loads(value)
        for each in said
        if each.verb == "NDATA"
        for alias, value in each.values.items()
        if names[alias] == "Gateway/Command"
    ]


async def test_a_rebirth_is_the_whole_birth_sequence_of_the_same_session(broker: Broker) -> None:
    host = Plant([OVEN, PRESS])
    with Ears(broker, "spBv1.0/+/+/gw1/#") as ears:
        async with connected(broker.port, host) as sink:
            await ears.hear(3)
            await tell(broker, NCMD, REBIRTH)
            await eventually(lambda: ears.verbs().count("DBIRTH") == 4, 60)
            assert sink.promise["rebirths_asked"] == 1
    births = [each for each in ears.said if each.verb == "NBIRTH"]
    assert [each.payload.seq for each in births] == [0, 0]
    assert [each.values["bdSeq"] for each in births] == [0, 0]


async def test_a_flood_of_requests_is_one_birth_a_second_and_data_go_on(broker: Broker) -> None:
    host = Plant([OVEN, PRESS])
    with Ears(broker, "spBv1.0/g/+/gw1") as ears:
        async with connected(broker.port, host) as sink:
            loop = asyncio.get_running_loop()
            begun = loop.time()
            for _ in range(10_000):  # as the session hands them up
                sink._connected._commands.take(NCMD, REBIRTH, False)
            sink.send([record(block(OVEN, n, [1, 1, 1, "a", 1]), n) for n in range(1, 1001)])
            await eventually(lambda: len(host.taken) == 1000, 60)
            await eventually(lambda: ears.verbs().count("NBIRTH") == 2, 60)
            took = loop.time() - begun
            assert sink.promise["rebirths_asked"] == 10_000
            assert 1 <= len(host.attempts) <= 2 + took, "the audit trail is not flooded"
            assert sink.promise["births"] <= 2 + took


async def test_a_flood_over_the_wire_costs_neither_the_link_nor_a_record(broker: Broker) -> None:
    host = Plant([OVEN, PRESS])
    flood = await asyncio.create_subprocess_exec(
        "mosquitto_pub", "-h", "127.0.0.1", "-p", str(broker.port), "-t", NCMD, "-l", stdin=asyncio.subprocess.PIPE
    )
    with Ears(broker, "spBv1.0/g/+/gw1") as ears:
        async with connected(broker.port, host) as sink:
            sent = asyncio.create_task(flood.communicate(b"no payload\n" * 10_000))
            sink.send([record(block(OVEN, n, [1, 1, 1, "a", 1]), n) for n in range(1, 1001)])
            await eventually(lambda: len(host.taken) == 1000, 60)
            await sent
            await eventually(lambda: sink.promise["commands_refused"] == 10_000, 60)
            assert len(answers(ears)) < 10_000, "no flood of answers"
            assert sink.promise["births"] == 1


@pytest.mark.parametrize(
    ("payload", "why"),
    [
        (b"\xff\xff", "it is no Sparkplug payload"),
        (command(("Node Control/Reboot", True)), "only Node Control/Rebirth can be written"),
        (command(("Node Control/Rebirth", False)), "only the value true"),
        (command(("Node Control/Rebirth", 1)), "only the value true"),
        (command(*[("x", 1)] * 2000), "more than the 1000"),
    ],
    ids=["no payload", "unknown", "false", "a number", "thousands"],
)
async def test_nonsense_for_the_node_is_counted_and_answered(broker: Broker, payload: bytes, why: str) -> None:
    host = Plant([OVEN])
    with Ears(broker, "spBv1.0/g/+/gw1") as ears:
        async with connected(broker.port, host) as sink:
            await tell(broker, NCMD, payload)
            await eventually(lambda: bool(answers(ears)), 60)
            assert sink.promise["commands_refused"] == 1
    (answer,) = answers(ears)
    assert why in answer["reason"]
    assert ears.verbs().count("NBIRTH") == 1


async def test_a_retained_request_is_old_and_not_done(broker: Broker) -> None:
    await tell(broker, NCMD, REBIRTH, retain=True)
    with Ears(broker, "spBv1.0/g/NDATA/#"):
        async with connected(broker.port, Plant([OVEN])) as sink:
            await eventually(lambda: sink.promise["commands_refused"] == 1, 60)
            assert sink.promise["rebirths_asked"] == 0


async def test_a_value_is_written_by_name_and_by_alias_and_answered(broker: Broker) -> None:
    host = Plant([OVEN, PRESS], answer={"result": "confirmed"})
    with Ears(broker, "spBv1.0/g/+/gw1/#") as ears:
        async with connected(broker.port, host, commands=True):
            said = await ears.hear(3)
            alias = next(metric.alias for metric in said[1].payload.metrics if metric.name == "setpoint")
            await tell(broker, DCMD, command(("setpoint", 12.5)))
            await eventually(lambda: len(host.requests) == 1, 60)
            await tell(broker, DCMD, command((alias, 13)))
            await eventually(lambda: len(answers(ears)) == 2, 60)
    assert [(name, asked["device"], asked["tag"], asked["value"]) for name, asked in host.requests] == [
        ("write", "oven", "setpoint", 12.5),
        ("write", "oven", "setpoint", 13),
    ]
    assert answers(ears)[0] == {
        "device": "oven", "tag": "setpoint", "value": 12.5, "done": True, "result": "confirmed",
    }  # fmt: skip


async def test_writes_that_may_not_be_are_answered_with_the_reason(broker: Broker) -> None:
    host = Plant([OVEN, PRESS], answer=GatewayError("writing is switched off: [gateway] writes = true allows it"))
    with Ears(broker, "spBv1.0/g/+/gw1/#") as ears:
        async with connected(broker.port, host, commands=True) as sink:
            await ears.hear(3)
            for payload in (
                command(("setpoint", 1.0)),
                command(("temp", 1.0)),
                command((99_999, 1.0)),
                command(("setpoint", "hot")),
                bytes(Payload(metrics=[{"name": "setpoint", "is_null": True}]).SerializeToString()),
            ):
                await tell(broker, DCMD, payload)
            await eventually(lambda: len(answers(ears)) == 5, 60)
            assert sink.promise["commands_refused"] == 5
    reasons = [answer["reason"] for answer in answers(ears)]
    assert len(host.requests) == 1, "only the first got as far as the guard"
    assert [(command, "only a tag with" in why) for command, why in host.attempts][:1] == [("write", True)]
    for wanted in (
        "writing is switched off",
        "only a tag with write = true may",
        "there is no such metric",
        "its value stands in string_value",
        "it has no value",
    ):
        assert any(wanted in reason for reason in reasons), wanted


async def test_without_commands_no_write_is_even_heard(broker: Broker) -> None:
    host = Plant([OVEN])
    with Ears(broker, "spBv1.0/g/+/gw1/#") as ears:
        async with connected(broker.port, host) as sink:
            await ears.hear(2)
            await tell(broker, DCMD, command(("setpoint", 1.0)))
            await tell(broker, NCMD, REBIRTH)
            await eventually(lambda: sink.promise["rebirths_asked"] == 1, 60)
    assert not host.requests


async def test_writes_under_way_are_bounded(broker: Broker) -> None:
    host = Plant([OVEN])
    gate = asyncio.Event()

    async def slow(command: str, arguments: Any = None) -> Any:
        await gate.wait()
        return {}

    host.request = slow  # type: ignore[method-assign]
    with Ears(broker, "spBv1.0/g/+/gw1/#"):
        async with connected(broker.port, host, commands=True) as sink:
            await tell(broker, DCMD, command(*[("setpoint", 1.0)] * 100))
            await eventually(lambda: sink.promise["commands_refused"] == 84, 60)
            gate.set()
            await eventually(lambda: sink.promise["commands_done"] == 16, 60)
