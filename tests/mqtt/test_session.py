"""A session with a real mosquitto."""

import asyncio
import os
from collections import Counter
from itertools import pairwise

import pytest

from gateway.core.errors import LinkError
from gateway.mqtt import Received, Will
from gateway.mqtt.paho_client import BatchedClient, PlainClient
from tests.mqtt.noted import connected, noted_session
from tests.peers.broker import Broker, Subscriber, wait_until
from tests.peers.proxy import FaultProxy

pytestmark = pytest.mark.timeout(120)
ENDED_WITHIN = 60.0

BOTH = pytest.mark.parametrize("client_type", [BatchedClient, PlainClient])


@BOTH
async def test_every_message_arrives_and_is_acknowledged_once(broker: Broker, client_type: type[PlainClient]) -> None:
    with Subscriber(broker) as subscriber:
        async with connected(broker.port, client_type=client_type) as noted:
            for start in range(0, 3000, 100):
                noted.session.publish_many([(f"a/{n % 7}", b"%d" % n, False, n) for n in range(start, start + 100)])
            await noted.until(lambda: len(noted.acknowledged) >= 3000)
            assert noted.acknowledged == list(range(3000))
            assert noted.session.status()["client"] == client_type.way
            received = subscriber.wait_for(3000)
        assert [int(message.payload) for message in received] == list(range(3000))
        assert Counter(message.topic for message in received) == Counter(f"a/{n % 7}" for n in range(3000))


@BOTH
async def test_the_brokers_receive_maximum_is_obeyed(broker: Broker, client_type: type[PlainClient]) -> None:
    async with connected(broker.port, client_type=client_type) as noted:
        assert noted.session.receive_maximum == 20  # mosquitto's default
        noted.session.publish_many([("a", b"x", False, n) for n in range(500)])
        assert noted.session.status()["in_flight"] == 20
        assert noted.session.waiting == 480
        await noted.until(lambda: len(noted.acknowledged) == 500)
        assert noted.largest_in_flight <= 20
        assert noted.session.status()["no_subscribers"] == 500  # nobody has subscribed, and mosquitto says so


async def test_a_full_small_window_does_not_wait_for_delayed_tcp_acknowledgements(broker: Broker) -> None:
    """mosquitto leaves Nagle's algorithm on; without TCP_QUICKACK each window of 20 would take 40 ms, so ten of them never
    less than 0.4 s. Told by the quickest ten of two hundred, so that a busy machine may take its time for the others."""
    async with connected(broker.port) as noted:
        clock = asyncio.get_running_loop().time
        noted.session.publish_many([("a", b"x", False, n) for n in range(4000)])
        times = [clock()]
        for count in range(200, 4001, 200):
            await noted.until(lambda: len(noted.acknowledged) >= count)  # noqa: B023
            times.append(clock())
        assert min(after - before for before, after in pairwise(times[:-1])) < 0.2  # here it is 5 ms


async def test_urgent_messages_overtake_those_that_wait(broker: Broker) -> None:
    async with connected(broker.port) as noted:
        noted.session.publish_many([("a", b"x", False, n) for n in range(200)])
        noted.session.publish_many([("alarm", b"!", False, "alarm")], urgent=True)
        await noted.until(lambda: len(noted.acknowledged) == 201)
        assert noted.acknowledged.index("alarm") < 60


async def test_large_messages_pass_through_small_socket_buffers(broker: Broker) -> None:
    payload = os.urandom(3_000_000).hex().encode()
    with Subscriber(broker) as subscriber:
        async with connected(broker.port) as noted:
            noted.session.publish_many([("big", payload, False, n) for n in range(3)])
            await noted.until(lambda: len(noted.acknowledged) == 3)
        assert {message.payload for message in subscriber.wait_for(3)} == {payload.decode()}


async def test_retained_messages_stay_and_the_will_speaks_only_after_a_hard_end(broker: Broker) -> None:
    will = Will("gw/state", b"offline")
    async with connected(broker.port, will=will) as noted:
        noted.session.publish_many([("gw/state", b"online", True, None)])
        await noted.until(lambda: noted.acknowledged == [None])
    with Subscriber(broker) as late:
        assert late.wait_for(1)[0] == ("gw/state", "online", True)
        async with connected(broker.port, will=will) as noted:
            noted.session._connected.close()  # as when the process dies
        assert late.wait_for(2)[1].payload == "offline"


async def test_a_disconnect_with_will_makes_the_broker_publish_it(broker: Broker) -> None:
    with Subscriber(broker) as subscriber:
        noted = noted_session(broker.port, will=Will("gw/state", b"offline"))
        await noted.session.connect()
        await noted.session.disconnect(with_will=True)
        assert subscriber.wait_for(1)[0].payload == "offline"


@BOTH
async def test_a_barrier_returns_after_the_broker_has_read_everything_before(
    broker: Broker, client_type: type[PlainClient]
) -> None:
    async with connected(broker.port, client_type=client_type) as noted:
        noted.session.publish_many([("a", b"x", False, n) for n in range(20)])
        await noted.session.barrier()
        assert len(noted.acknowledged) == 20


async def test_subscriptions_deliver_and_a_refused_one_is_named(broker: Broker) -> None:
    async with connected(broker.port) as noted:
        await noted.session.subscribe("command/#", "other")
        noted.session.publish_many([("command/run", b"1", False, 1)])
        await noted.until(lambda: bool(noted.messages))
        assert noted.messages == [Received("command/run", b"1")]


async def test_a_killed_broker_is_reported_and_a_new_session_works_when_it_is_back(broker: Broker) -> None:
    async with connected(broker.port) as noted:
        barrier = None
        broker.freeze()
        noted.session.publish_many([("a", b"x", False, n) for n in range(50)])
        barrier = asyncio.create_task(noted.session.barrier())
        broker.kill()
        why = await asyncio.wait_for(noted.session.closed(), ENDED_WITHIN)
        assert isinstance(why, LinkError)
        assert "connection" in str(why)
        with pytest.raises(LinkError):
            await barrier
        noted.session.publish_many([("a", b"x", False, 99)])  # ignored, not an error
        assert noted.acknowledged == []
    broker.start()
    async with connected(broker.port) as noted:
        noted.session.publish_many([("a", b"x", False, 1)])
        await noted.until(lambda: noted.acknowledged == [1])


async def test_a_black_hole_shows_by_age_and_ends_by_keep_alive(broker: Broker) -> None:
    async with FaultProxy("127.0.0.1", broker.port) as proxy, connected(proxy.port, keep_alive=2.0) as noted:
        assert noted.session.oldest_unacknowledged == 0
        proxy.freeze()
        noted.session.publish_many([("a", b"x", False, 1)])
        why = await asyncio.wait_for(noted.session.closed(), ENDED_WITHIN)
        assert "has not answered a ping within 2 s" in str(why)
        assert noted.session.oldest_unacknowledged > 1
        assert noted.acknowledged == []


async def test_a_cut_loses_no_message_that_was_acknowledged(broker: Broker) -> None:
    with Subscriber(broker) as subscriber:
        acknowledged: set[int] = set()
        async with FaultProxy("127.0.0.1", broker.port) as proxy:
            for attempt in range(5):
                noted = noted_session(proxy.port)
                await noted.session.connect()
                numbers = range(attempt * 1000, attempt * 1000 + 1000)
                noted.session.publish_many([("a", b"%d" % n, False, n) for n in numbers])
                await noted.until(lambda: len(noted.acknowledged) > 100)  # noqa: B023
                proxy.drop()
                await asyncio.wait_for(noted.session.closed(), ENDED_WITHIN)
                acknowledged.update(noted.acknowledged)
        assert len(acknowledged) > 500
        wait_until(
            lambda: acknowledged <= {int(message.payload) for message in subscriber.received}, "all acknowledged ones"
        )


async def test_a_silent_close_names_the_likely_reasons(broker: Broker) -> None:
    """mosquitto 2.0 tells a client nothing when another one takes its name over."""
    async with connected(broker.port) as first, connected(broker.port):
        why = await asyncio.wait_for(first.session.closed(), ENDED_WITHIN)
    assert isinstance(why, LinkError)
    assert 'it was stopped, or another client has connected with our client id "press-gw"' in str(why)


async def test_an_error_in_a_callback_ends_the_session_and_is_told(broker: Broker) -> None:
    async with connected(broker.port) as noted:
        noted.session._on_acknowledged = lambda tokens: {}[tokens[0]]
        noted.session.publish_many([("a", b"x", False, "token")])
        why = await asyncio.wait_for(noted.session.closed(), ENDED_WITHIN)
    assert isinstance(why, KeyError)


async def test_waiting_for_the_end_can_be_cancelled_without_ending_it(broker: Broker) -> None:
    async with connected(broker.port) as noted:
        waiting = asyncio.create_task(noted.session.closed())
        await asyncio.sleep(0)
        waiting.cancel()
        await asyncio.wait({waiting})
        noted.session.publish_many([("a", b"x", False, 1)])
        await noted.until(lambda: noted.acknowledged == [1])


async def test_settle_waits_for_what_is_on_its_way(broker: Broker) -> None:
    async with connected(broker.port) as noted:
        assert await noted.session.settle(0)
        noted.session.publish_many([("a", b"x", False, n) for n in range(100)])
        noted.session.forget_waiting()
        assert await noted.session.settle(60)
        assert len(noted.acknowledged) == 20
        broker.freeze()
        noted.session.publish_many([("a", b"x", False, 1)])
        assert not await noted.session.settle(0.1)
        broker.thaw()


def test_uvloop_drives_a_session_too(broker: Broker) -> None:
    uvloop = pytest.importorskip("uvloop", reason="pip install uvloop")

    async def publish() -> None:
        async with connected(broker.port) as noted:
            noted.session.publish_many([("a", b"x" * 10_000, False, n) for n in range(500)])
            await noted.until(lambda: len(noted.acknowledged) == 500)

    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(publish())
