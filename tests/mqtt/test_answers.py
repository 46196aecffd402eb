"""Answers to messages: reason codes, limits, nonsense. The broker is a fake that says what real ones rarely say."""

import asyncio
import random
from collections.abc import Callable

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from gateway.core.errors import LinkError, RefusedError
from gateway.mqtt import is_final
from gateway.mqtt.paho_client import BatchedClient, PlainClient
from tests.mqtt.fake_broker import (
    CONNECT,
    PUBLISH,
    SUBSCRIBE,
    WELCOME_5,
    WELCOME_311,
    Packet,
    fake_broker,
    packet,
    puback,
)
from tests.mqtt.noted import Noted, connected

pytestmark = pytest.mark.timeout(120)

BOTH = pytest.mark.parametrize("client_type", [BatchedClient, PlainClient])
ANSWERED_WITHIN = 60.0


def answers(publish: Callable[[Packet], bytes | None], welcome: bytes = WELCOME_5) -> Callable[[Packet], bytes | None]:
    def answer(heard: Packet) -> bytes | None:
        if heard.kind == CONNECT:
            return welcome
        return publish(heard) if heard.kind == PUBLISH else b""

    return answer


def welcome(properties: str) -> bytes:
    packed = bytes.fromhex(properties)
    return packet(0x20, bytes((0, 0, len(packed))) + packed)


@BOTH
@pytest.mark.parametrize(
    ("code", "final"),
    [(0x97, False), (0x83, False), (0x80, False), (0x87, False), (0x90, True), (0x99, True)],
)
async def test_a_refused_message_is_not_delivered(client_type: type[PlainClient], code: int, final: bool) -> None:
    async with (
        fake_broker(answers(lambda heard: puback(heard.mid, code, "because of the tests"))) as broker,
        connected(broker.port, client_type=client_type) as noted,
    ):
        noted.session.publish_many([("a", b"x", False, "token")])
        await noted.until(lambda: bool(noted.refused))
        assert noted.acknowledged == []
        token, refused_code, words = noted.refused[0]
        assert (token, refused_code, is_final(code)) == ("token", code, final)
        assert "because of the tests" in words


@BOTH
async def test_nobody_subscribed_is_delivered_and_counted(client_type: type[PlainClient]) -> None:
    async with (
        fake_broker(answers(lambda heard: puback(heard.mid, 0x10))) as broker,
        connected(broker.port, client_type=client_type) as noted,
    ):
        noted.session.publish_many([("a", b"x", False, 1)])
        await noted.until(lambda: noted.acknowledged == [1])
        assert noted.session.status()["no_subscribers"] == 1


async def test_a_long_reason_is_read_whole() -> None:
    async with (
        fake_broker(answers(lambda heard: puback(heard.mid, 0x97, "quota " * 50))) as broker,
        connected(broker.port) as noted,
    ):
        noted.session.publish_many([("a", b"x", False, n) for n in range(5)])
        await noted.until(lambda: len(noted.refused) == 5)
        assert noted.refused[4][2] == f"quota exceeded ({'quota ' * 50})"


@BOTH
async def test_a_message_larger_than_the_broker_takes_is_refused_before_it_is_sent(
    client_type: type[PlainClient],
) -> None:
    async with (
        fake_broker(answers(lambda heard: puback(heard.mid), welcome("27 00 00 00 64"))) as broker,
        connected(broker.port, client_type=client_type) as noted,
    ):
        noted.session.publish_many([("a", b"x" * 200, False, "big"), ("a", b"x" * 50, False, "small")])
        assert noted.refused == []  # never from within the call
        await noted.until(lambda: bool(noted.acknowledged and noted.refused))
        token, code, words = noted.refused[0]
        assert (token, is_final(code)) == ("big", True)
        assert "the broker takes 100 bytes at most" in words
        assert [len(heard.body) < 100 for heard in broker.packets if heard.kind == PUBLISH] == [True]


@pytest.mark.parametrize("topic", ["", "a/+/b", "a/#", "a\0b", "a" * 70_000, "\ud800"])
async def test_an_impossible_topic_is_refused_for_good(topic: str) -> None:
    async with fake_broker(answers(lambda heard: puback(heard.mid))) as broker, connected(broker.port) as noted:
        noted.session.publish_many([(topic, b"x", False, "bad"), ("good", b"x", False, "good")])
        await noted.until(lambda: bool(noted.acknowledged and noted.refused))
        assert noted.acknowledged == ["good"]
        assert is_final(noted.refused[0][1])


@BOTH
async def test_retained_messages_lose_the_flag_at_a_broker_that_keeps_none(client_type: type[PlainClient]) -> None:
    async with (
        fake_broker(answers(lambda heard: puback(heard.mid), welcome("25 00"))) as broker,
        connected(broker.port, client_type=client_type) as noted,
    ):
        noted.session.publish_many([("a", b"x", True, 1)])
        await noted.until(lambda: noted.acknowledged == [1])
        assert broker.packets[1].first == 0x32


async def test_packet_identifiers_in_use_are_not_given_again() -> None:
    held: list[int] = []

    def answer(heard: Packet) -> bytes:
        if not held:
            held.append(heard.mid)  # never answered
            return b""
        return b"" if heard.mid in held else puback(heard.mid)

    async with fake_broker(answers(answer)) as broker, connected(broker.port) as noted:
        for start in range(0, 70_000, 1000):
            noted.session.publish_many([("a", b"", False, n) for n in range(start, start + 1000)])
            await noted.until(lambda: len(noted.acknowledged) >= start + 900)  # noqa: B023
        await noted.until(lambda: len(noted.acknowledged) == 69_999)
        assert 0 not in noted.acknowledged
        assert noted.session.status()["in_flight"] == 1


@BOTH
async def test_a_repeated_or_unknown_acknowledgement_changes_nothing(client_type: type[PlainClient]) -> None:
    async with (
        fake_broker(answers(lambda heard: puback(4711) + puback(heard.mid) * 2)) as broker,
        connected(broker.port, client_type=client_type) as noted,
    ):
        noted.session.publish_many([("a", b"x", False, n) for n in range(3)])
        await noted.until(lambda: len(noted.acknowledged) >= 3)
        noted.session.publish_many([("a", b"x", False, 3)])
        await noted.until(lambda: len(noted.acknowledged) >= 4)
        assert noted.acknowledged == [0, 1, 2, 3]


async def test_acknowledgements_of_311_have_no_reason() -> None:
    async with (
        fake_broker(answers(lambda heard: puback(heard.mid), WELCOME_311)) as broker,
        connected(broker.port, protocol="3.1.1") as noted,
    ):
        noted.session.publish_many([("a", b"x", False, 1)])
        await noted.until(lambda: noted.acknowledged == [1])


async def test_acknowledgements_that_come_byte_by_byte_are_read() -> None:
    async with fake_broker(answers(lambda heard: b"")) as broker, connected(broker.port) as noted:
        noted.session.publish_many([("a", b"x", False, n) for n in range(3)])
        while len(broker.packets) < 4:
            await asyncio.sleep(0.01)
        pong = bytes.fromhex("d0 00")
        stream = b"".join(puback(heard.mid, 0x10, "why") + pong for heard in broker.packets[1:])
        for byte in stream:
            broker.writers[0].write(bytes((byte,)))
            await broker.writers[0].drain()
            await asyncio.sleep(0.001)
        await noted.until(lambda: noted.acknowledged == [0, 1, 2])


@pytest.mark.parametrize(
    ("code", "person", "words"),
    [
        (
            0x8E,
            True,
            'another client has connected with our client id "press-gw": is there another gateway of this name, '
            "or a copied disk? Give each gateway its own name",
        ),
        (0x8B, False, "server shutting down"),
        (0x93, False, "receive maximum exceeded"),
        (0x98, False, "ended by an administrator (maintenance)"),
    ],
)
async def test_a_disconnect_says_why(code: int, person: bool, words: str) -> None:
    reason = b"\x1f\x00\x0bmaintenance" if code == 0x98 else b""
    goodbye = packet(0xE0, bytes((code, len(reason))) + reason)
    async with fake_broker(answers(lambda heard: goodbye)) as broker, connected(broker.port) as noted:
        noted.session.publish_many([("a", b"x", False, 1)])
        why = await asyncio.wait_for(noted.session.closed(), ANSWERED_WITHIN)
    assert isinstance(why, LinkError)
    assert isinstance(why, RefusedError) == person
    assert words in str(why)


async def test_a_refused_subscription_is_named() -> None:
    def answer(heard: Packet) -> bytes:
        if heard.kind == SUBSCRIBE:
            return packet(0x90, heard.body[:2] + bytes((0, 0x87)))
        return WELCOME_5

    async with fake_broker(answer) as broker, connected(broker.port) as noted:
        with pytest.raises(RefusedError, match='refuses to subscribe "command/#": not authorised'):
            await noted.session.subscribe("command/#")


@pytest.mark.parametrize(
    "nonsense",
    [
        "41 02 00 01",  # flags that an acknowledgement does not have
        "40 00 40 00",  # an acknowledgement of nothing
        "40 01 00 00",
        "40 ff ff ff ff 01",
        "00 00",
        "f0 00",
        "e0 02 77 00",  # unknown reason
        "30 ff ff ff ff 7f",
    ],
)
async def test_nonsense_ends_the_session_with_plain_words(nonsense: str) -> None:
    async with fake_broker(answers(lambda heard: bytes.fromhex(nonsense))) as broker, connected(broker.port) as noted:
        noted.session.publish_many([("a", b"x", False, 1)])
        why = await asyncio.wait_for(noted.session.closed(), ANSWERED_WITHIN)
    assert isinstance(why, LinkError)
    assert "no MQTT" in str(why)
    assert noted.acknowledged == []


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(st.lists(st.one_of(st.binary(max_size=40), st.integers(0, 2**32)), min_size=1, max_size=8))
def test_no_bytes_of_a_broker_can_do_more_than_end_the_session(parts: list[bytes | int]) -> None:
    """Random bytes, mixed with real acknowledgements that are cut or repeated."""

    def block(heard: Packet) -> bytes:
        said = b""
        for part in parts:
            if isinstance(part, int):
                whole = puback(heard.mid, random.Random(part).choice([0, 0, 0x10, 0x97]), "x" * (part % 200))
                said += whole[: part % 300 or None]
            else:
                said += part
        return said

    async def run() -> Noted:
        def answer(heard: Packet) -> bytes | None:
            said = block(heard)
            broker.writers[0].write(said)
            return None

        async with fake_broker(answers(answer)) as broker, connected(broker.port) as noted:
            noted.session.publish_many([("a", b"x", False, 1)])
            why = await asyncio.wait_for(noted.session.closed(), ANSWERED_WITHIN)
            assert isinstance(why, LinkError), why
            return noted

    noted = asyncio.run(run())
    assert len(noted.acknowledged) + len(noted.refused) <= 1
