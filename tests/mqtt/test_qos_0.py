"""Publishing with QoS 0, and the barrier behind each group that shows what the broker has read."""

import asyncio
from collections.abc import Callable, Collection
from contextlib import suppress
from typing import Any, Self

import pytest

from gateway.mqtt import BarrierTrial, barrier_trial
from gateway.mqtt.paho_client import BatchedClient, PlainClient
from tests.mqtt.fake_broker import (
    CONNECT,
    DISCONNECT,
    PUBLISH,
    SUBSCRIBE,
    UNSUBSCRIBE,
    WELCOME_5,
    WELCOME_311,
    Packet,
    fake_broker,
    packet,
    puback,
    read_packet,
)
from tests.mqtt.feed import judge, over_a_bad_link
from tests.mqtt.noted import connected, options
from tests.peers.broker import Broker, Subscriber

pytestmark = pytest.mark.timeout(120)
ENDED_WITHIN = 60.0

BOTH = pytest.mark.parametrize("client_type", [BatchedClient, PlainClient])
VERSIONS = pytest.mark.parametrize("protocol", ["5", "3.1.1"])
BARRIERS = pytest.mark.parametrize("barrier", ["unsubscribe", "marker"])

QOS_0: dict[str, Any] = {"qos": 0, "marker_topic": "gw/_barrier"}


def unsuback(heard: Packet) -> bytes:
    five = heard.body[2:4] == b"\0\0"  # no properties, and then a filter of less than 256 bytes
    return packet(0xB0, heard.body[:2] + (b"\0\x11" if five else b""))


def is_marker(heard: Packet) -> bool:
    return heard.kind == PUBLISH and heard.first & 6 == 2


def broker_that(
    marker: Callable[[Packet], bytes | None], unsubscribe: Callable[[Packet], bytes | None] = unsuback
) -> Callable[[Packet], bytes | None]:
    def answer(heard: Packet) -> bytes | None:
        if heard.kind == CONNECT:
            return WELCOME_5
        if heard.kind == UNSUBSCRIBE:
            return unsubscribe(heard)
        return marker(heard) if is_marker(heard) else b""

    return answer


def taken(heard: Packet) -> bytes:
    return puback(heard.mid)


@BOTH
@VERSIONS
@BARRIERS
async def test_messages_arrive_in_order_and_count_once_the_barrier_is_answered(
    broker: Broker, client_type: type[PlainClient], protocol: str, barrier: str
) -> None:
    with Subscriber(broker, "a/#") as subscriber:
        async with connected(
            broker.port, client_type=client_type, protocol=protocol, barrier=barrier, **QOS_0
        ) as noted:
            for start in range(0, 3000, 100):
                noted.session.publish_many([(f"a/{n % 7}", b"%d" % n, False, n) for n in range(start, start + 100)])
            await noted.until(lambda: len(noted.acknowledged) >= 3000)
            assert noted.acknowledged == list(range(3000))
            assert noted.session.idle
            assert noted.session.promise["barrier"] == barrier
            received = subscriber.wait_for(3000)
    assert [int(message.payload) for message in received] == list(range(3000))


@BOTH
async def test_a_real_broker_answers_in_order_and_retains_what_is_to_be_retained(
    broker: Broker, client_type: type[PlainClient]
) -> None:
    async with connected(broker.port, client_type=client_type, **QOS_0) as noted:
        assert noted.session.behind_groups == "unsubscribe"
        assert (noted.session.acknowledged, noted.acknowledged) == (0, [])  # the markers of the trial are not told
        noted.session.publish_many([("a", b"kept", True, 1), ("b", b"x", False, 2)])
        await noted.until(lambda: noted.acknowledged == [1, 2])
    with Subscriber(broker) as late:
        assert late.wait_for(1) == [("a", "kept", True)]


async def test_a_stalled_link_holds_a_window_of_messages_and_of_bytes(broker: Broker) -> None:
    async with connected(broker.port, max_bytes_in_flight=100_000, **QOS_0) as noted:
        broker.freeze()
        noted.session.publish_many([("a", b"x" * 30_000, False, n) for n in range(50)])
        assert (noted.session.in_flight, noted.session.waiting) == (3, 47)
        assert noted.session.oldest_unacknowledged > 0
        broker.thaw()
        await noted.until(lambda: len(noted.acknowledged) == 50)
        noted.session.publish_many([("a", b"x" * 300_000, False, "large"), ("a", b"x", False, "small")])
        assert (noted.session.in_flight, noted.session.waiting) == (1, 1)  # what is larger than the window goes alone
        await noted.until(lambda: noted.acknowledged[50:] == ["large", "small"])
        broker.freeze()
        noted.session.publish_many([("a", b"", False, n) for n in range(3000)])
        assert (noted.session.in_flight, noted.session.waiting) == (1000, 2000)
        broker.thaw()
        await noted.until(lambda: len(noted.acknowledged) == 3052)


@BOTH
async def test_a_broker_that_answers_out_of_order_gets_markers(client_type: type[PlainClient]) -> None:
    """It answers an UNSUBSCRIBE at once, and messages only when it has stored them."""
    stored_late: list[bytes] = []

    def marker(heard: Packet) -> bytes:
        if asked:
            return taken(heard)
        stored_late.append(taken(heard))
        return b""

    def unsubscribe(heard: Packet) -> bytes:
        asked.append(heard)
        return unsuback(heard) + b"".join(stored_late)

    asked: list[Packet] = []
    async with (
        fake_broker(broker_that(marker, unsubscribe)) as broker,
        connected(broker.port, client_type=client_type, **QOS_0) as noted,
    ):
        assert noted.session.behind_groups == "marker"
        noted.session.publish_many([("a", b"x", False, n) for n in range(5)])
        await noted.until(lambda: noted.acknowledged == [0, 1, 2, 3, 4])
        assert len(asked) == 1


@BOTH
async def test_a_broker_that_ends_the_connection_over_markers_gets_none(client_type: type[PlainClient]) -> None:
    async with (
        fake_broker(broker_that(lambda heard: None)) as broker,
        connected(broker.port, client_type=client_type, **QOS_0) as noted,
    ):
        assert noted.session.behind_groups == "unsubscribe"
        noted.session.publish_many([("a", b"x", False, 1)])
        await noted.until(lambda: noted.acknowledged == [1])


@BOTH
async def test_markers_that_the_broker_refuses_are_not_chosen(client_type: type[PlainClient]) -> None:
    async with (
        fake_broker(broker_that(lambda heard: puback(heard.mid, 0x87))) as broker,
        connected(broker.port, client_type=client_type, **QOS_0) as noted,
    ):
        assert noted.session.behind_groups == "unsubscribe"
        assert noted.refused == []


@BOTH
async def test_a_refused_marker_delivers_nothing_and_damns_nothing(client_type: type[PlainClient]) -> None:
    async with (
        fake_broker(broker_that(lambda heard: puback(heard.mid, 0x90, "no"))) as broker,
        connected(broker.port, client_type=client_type, barrier="marker", **QOS_0) as noted,
    ):
        noted.session.publish_many([("a", b"x", False, n) for n in range(3)])
        await noted.until(lambda: len(noted.refused) == 3)
        assert noted.acknowledged == []
        assert {code for _, code, _ in noted.refused} == {0x80}  # not for good: the messages may be blameless
        assert "the marker on gw/_barrier: topic not allowed (no): allow that topic" in noted.refused[0][2]


@BOTH
async def test_what_was_written_counts_for_nothing_until_the_barrier_is_answered(
    client_type: type[PlainClient],
) -> None:
    async with (
        fake_broker(broker_that(taken, lambda heard: None)) as broker,
        connected(broker.port, client_type=client_type, barrier="unsubscribe", **QOS_0) as noted,
    ):
        noted.session.publish_many([("a", b"x", False, n) for n in range(3)])
        await asyncio.wait_for(noted.session.closed(), ENDED_WITHIN)
        assert [heard.kind for heard in broker.packets] == [CONNECT, PUBLISH, PUBLISH, PUBLISH, UNSUBSCRIBE]
        assert (noted.acknowledged, noted.session.in_flight) == ([], 3)


@VERSIONS
async def test_a_broker_that_takes_only_qos_0_is_no_hindrance(protocol: str) -> None:
    welcome = packet(0x20, bytes.fromhex("00 00 02 24 00")) if protocol == "5" else WELCOME_311

    def answer(heard: Packet) -> bytes | None:
        return welcome if heard.kind == CONNECT else unsuback(heard) if heard.kind == UNSUBSCRIBE else b""

    way = {**QOS_0, "barrier": "unsubscribe" if protocol == "3.1.1" else "auto"}
    async with fake_broker(answer) as broker, connected(broker.port, protocol=protocol, **way) as noted:
        noted.session.publish_many([("a", b"x", False, 1)])
        await noted.until(lambda: noted.acknowledged == [1])


QOS = pytest.mark.parametrize(
    "way",
    [{}, {**QOS_0, "barrier": "unsubscribe"}, {**QOS_0, "barrier": "marker"}],
    ids=["qos1", "unsubscribe", "marker"],
)


@QOS
async def test_a_link_that_is_cut_again_and_again_loses_nothing(broker: Broker, way: dict[str, Any]) -> None:
    with Subscriber(broker) as subscriber:
        judge(await over_a_bad_link(broker.port, lambda: subscriber.received, 3000, **way))


@pytest.mark.slow
@QOS
async def test_twenty_thousand_messages_over_a_link_cut_every_half_second(broker: Broker, way: dict[str, Any]) -> None:
    with Subscriber(broker) as subscriber:
        judge(await over_a_bad_link(broker.port, lambda: subscriber.received, 20_000, **way))


@pytest.mark.parametrize("protocol", ["5", "3.1.1"])
async def test_the_trial_finds_that_mosquitto_loses_nothing_behind_an_unsubscribe(
    broker: Broker, protocol: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(barrier_trial, "PATIENCE", 60.0)
    with Subscriber(broker) as subscriber:
        assert await BarrierTrial(options(broker.port, protocol=protocol), "gw/_barrier/x").lossless() == "unsubscribe"
        await asyncio.to_thread(subscriber.catch_up)
        assert not any(message.retained for message in subscriber.received)
    with Subscriber(broker) as late:
        await asyncio.to_thread(late.catch_up)
        assert {message.topic for message in late.received} == {"mark"}, "nothing lasts"


class _Careless:
    """A broker whose clients hear what others publish, which forgets of a connection what it has not handed on when that
    ends, and answers `at_once` before it has."""

    def __init__(self, at_once: Collection[int]) -> None:
        self._at_once = at_once
        self._ears: set[asyncio.StreamWriter] = set()
        self._server: asyncio.Server
        self.port = 0

    async def __aenter__(self) -> Self:
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", 0)
        self.port = self._server.sockets[0].getsockname()[1]
        return self

    async def __aexit__(self, *_: object) -> None:
        self._server.close()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        waiting: list[bytes] = []
        with suppress(OSError, asyncio.IncompleteReadError):
            while True:
                heard = await read_packet(reader)
                answer = self._answer(heard, writer)
                if heard.kind == PUBLISH:
                    at = 2 + int.from_bytes(heard.body[:2], "big")
                    waiting.append(packet(PUBLISH, heard.body[:at] + heard.body[at + (2 if is_marker(heard) else 0) :]))
                if not answer and heard.kind != DISCONNECT:
                    continue
                if heard.kind not in self._at_once:
                    self._hand_on(waiting)
                writer.write(answer)
                await writer.drain()
        writer.transport.abort()
        self._ears.discard(writer)

    def _answer(self, heard: Packet, writer: asyncio.StreamWriter) -> bytes:
        if heard.kind == SUBSCRIBE:
            self._ears.add(writer)
            return packet(0x90, heard.body[:2] + b"\0\0")
        if heard.kind == UNSUBSCRIBE:
            return unsuback(heard)
        return WELCOME_5 if heard.kind == CONNECT else taken(heard) if is_marker(heard) else b""

    def _hand_on(self, waiting: list[bytes]) -> None:
        for ear in self._ears:
            ear.write(b"".join(waiting))
        waiting.clear()


@pytest.mark.parametrize(
    ("at_once", "found"),
    [
        ((), "unsubscribe"),
        ((UNSUBSCRIBE,), "marker"),
        pytest.param((UNSUBSCRIBE, PUBLISH), None, marks=pytest.mark.slow),  # it waits twice for what never comes
    ],
)
async def test_the_trial_finds_the_barrier_that_a_broker_needs(at_once: Collection[int], found: str | None) -> None:
    async with _Careless(at_once) as broker:
        assert await BarrierTrial(options(broker.port, protocol="5"), "gw/_barrier/x").lossless() == found
