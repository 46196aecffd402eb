"""Messages that come in: what they carry, and what is too large to be taken. The broker and the sender are mosquitto's."""

import asyncio
import subprocess
from typing import Any

import pytest

from gateway.mqtt import Received
from gateway.mqtt.incoming import LARGEST_MESSAGE
from gateway.mqtt.paho_client import BatchedClient, PlainClient
from tests.mqtt.fake_broker import CONNECT, PUBLISH, WELCOME_5, Packet, fake_broker, packet, puback
from tests.mqtt.noted import connected
from tests.peers.broker import Broker, Subscriber

pytestmark = pytest.mark.timeout(300)
PATIENCE = 90.0
"""Seconds that a machine may take on which others are at work."""

BOTH = pytest.mark.parametrize("client_type", [BatchedClient, PlainClient])


async def publish(broker: Broker, *arguments: str, stdin: bytes = b"") -> None:
    where = ["mosquitto_pub", "-h", "127.0.0.1", "-p", str(broker.port)]
    await asyncio.to_thread(
        subprocess.run, [*where, *arguments], input=stdin, check=True, timeout=PATIENCE, capture_output=True
    )


@BOTH
async def test_a_message_brings_what_its_sender_wants_back(broker: Broker, client_type: type[PlainClient]) -> None:
    properties = [
        "-V",
        "5",
        "-D",
        "publish",
        "response-topic",
        "mes/answers",
        "-D",
        "publish",
        "correlation-data",
        "4711",
    ]
    async with connected(broker.port, client_type=client_type) as noted:
        await noted.session.subscribe("ask/#")
        await publish(broker, "-t", "ask/a", "-m", "1", *properties, "-D", "publish", "message-expiry-interval", "60")
        await publish(broker, "-t", "ask/b", "-m", "2", "-q", "1", "-V", "311")
        await noted.until(lambda: len(noted.messages) == 2, PATIENCE)
    asked = Received("ask/a", b"1", response_topic="mes/answers", correlation=b"4711", expires=True)
    assert noted.messages == [asked, Received("ask/b", b"2")]


@BOTH
@pytest.mark.parametrize("qos", ["0", "1"])
async def test_a_message_that_is_too_large_comes_without_its_payload_and_costs_no_connection(
    broker: Broker, client_type: type[PlainClient], qos: str
) -> None:
    """Any client of the broker can send one."""
    async with connected(broker.port, client_type=client_type) as noted:
        await noted.session.subscribe("ask/#")
        for _ in range(30):  # more than mosquitto has on its way at once, so each of them must be answered
            await publish(broker, "-t", "ask/large", "-q", qos, "-s", stdin=bytes([0x40]) * (LARGEST_MESSAGE + 1000))
        await publish(broker, "-t", "ask/small", "-q", qos, "-m", "x")
        await noted.until(lambda: noted.messages[-1:] == [Received("ask/small", b"x")], PATIENCE)
        large = noted.messages[:-1]
        assert {(message.topic, message.payload) for message in large} == {("ask/large", b"")}
        assert len(large) == 30
        assert all(message.dropped > LARGEST_MESSAGE for message in large)
        noted.session.publish_many([("a", b"x", False, 1)])
        await noted.until(lambda: noted.acknowledged == [1], PATIENCE)


@BOTH
async def test_an_answer_goes_out_at_once_with_what_was_asked_to_come_back(
    broker: Broker, client_type: type[PlainClient]
) -> None:
    with Subscriber(broker, arguments=["-F", "%r\t%t\t%D %p"]) as subscriber:
        async with connected(broker.port, client_type=client_type) as noted:
            for number in range(300):  # none of them is taken for an acknowledgement that nobody has asked for
                assert noted.session.answer("answers", b"%d" % number, b"4711") == ""
            received = await asyncio.to_thread(subscriber.wait_for, 300, PATIENCE)
            noted.session.publish_many([("a", b"x", False, 1)])
            await noted.until(lambda: noted.acknowledged == [1], PATIENCE)
    assert received[0].payload.split() == ["4711", "0"]
    assert received[299].payload.split() == ["4711", "299"]


@BOTH
async def test_an_answer_that_cannot_be_sent_says_why(broker: Broker, client_type: type[PlainClient]) -> None:
    options: dict[str, Any] = {"client_type": client_type, "protocol": "5"}
    async with connected(broker.port, **options) as noted:
        assert "cannot be published to" in noted.session.answer("answers/#", b"x")
        broker.freeze()
        said = [noted.session.answer("answers", bytes(100_000)) for _ in range(2000)]
        assert said[0] == ""
        assert said[-1] == "the link takes nothing"
        broker.thaw()
    assert noted.session.answer("answers", b"x") == "the session has ended"


@BOTH
async def test_messages_that_nobody_has_asked_for_are_dropped_and_borne_in_bounds(
    client_type: type[PlainClient],
) -> None:
    """amqtt hands retained messages to clients that have subscribed to nothing."""
    unwanted = packet(PUBLISH | 1, b"\0\x01a" + b"\0" + b"online")

    def answer(heard: Packet) -> bytes | None:
        if heard.kind == CONNECT:
            return WELCOME_5 + unwanted * 90
        return unwanted * (20 if heard.body[-1:] == b"!" else 1) + puback(heard.mid) if heard.kind == PUBLISH else b""

    async with fake_broker(answer) as broker, connected(broker.port, client_type=client_type) as noted:
        noted.session.publish_many([("b", b"x", False, 1)])
        await noted.until(lambda: noted.acknowledged == [1], PATIENCE)
        assert noted.messages == []
        noted.session.publish_many([("b", b"!", False, 2)])
        assert "more than 100 messages that we have not asked for" in str(await noted.session.closed())
