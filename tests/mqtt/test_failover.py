"""One session and several brokers: the first that takes us, and back to the preferred one."""

import asyncio
from pathlib import Path
from typing import Any

import pytest

from gateway.core.errors import LinkError, RefusedError, UnreachableError
from gateway.mqtt import MqttSession
from gateway.mqtt.failover import none_of
from tests.mqtt.fake_broker import CONNECT, fake_broker, packet
from tests.mqtt.noted import Noted, noted_session
from tests.peers.broker import Broker, Subscriber
from tests.peers.ports import free_port

pytestmark = pytest.mark.timeout(120)


def session(first: int, second: int, memory: dict[str, Any], **more: Any) -> Noted:
    plain = noted_session(first, standby=(("127.0.0.1", second),), **more)
    noted = Noted()
    noted.session = MqttSession(
        plain.session.options, on_acknowledged=noted.take, on_refused=noted.refuse, memory=memory
    )
    return noted


async def test_while_the_first_is_away_the_standby_is_taken_and_said(tmp_path: Path) -> None:
    away = free_port()
    with Broker(tmp_path) as standby:
        noted = session(away, standby.port, {})
        await noted.session.connect()
        promise = noted.session.promise
        assert promise["broker"] == f"127.0.0.1:{standby.port}"
        assert (
            f"at standby broker 127.0.0.1:{standby.port}: broker 127.0.0.1:{away}: nothing listens" in promise["weaker"]
        )
        await noted.session.disconnect()


async def test_one_broker_alone_is_not_said(tmp_path: Path) -> None:
    with Broker(tmp_path) as broker:
        noted = noted_session(broker.port)
        await noted.session.connect()
        assert "broker" not in noted.session.promise
        await noted.session.disconnect()


async def test_where_none_takes_us_each_is_named(tmp_path: Path) -> None:
    first, second = free_port(), free_port()
    with pytest.raises(UnreachableError) as caught:
        await session(first, second, {}).session.connect()
    assert str(caught.value).count("nothing listens there") == 2
    assert f":{first}:" in str(caught.value)
    assert f":{second}:" in str(caught.value)


def test_a_person_must_act_only_where_all_brokers_say_so() -> None:
    away, no, odd = UnreachableError("away"), RefusedError("no"), LinkError("odd")
    assert none_of([no]) is no
    assert [type(none_of(each)) for each in ([no, no], [away, away], [no, away], [odd, no])] == [
        RefusedError,
        UnreachableError,
        LinkError,
        LinkError,
    ]


async def test_what_failed_lately_is_tried_last(tmp_path: Path) -> None:
    """A connection to the standby that is cut is not made anew over a first broker that swallows everything."""
    memory: dict[str, Any] = {}
    with Broker(tmp_path) as first, Broker(tmp_path) as second:
        first.stop()
        await (noted := session(first.port, second.port, memory)).session.connect()
        await noted.session.disconnect()
        first.start()
        await (noted := session(first.port, second.port, memory)).session.connect()
        assert noted.session.options.port == second.port
        await noted.session.disconnect()
        await (noted := session(first.port, second.port, {})).session.connect()
        assert noted.session.options.port == first.port
        await noted.session.disconnect()


async def test_it_goes_back_when_the_first_takes_us_again_and_what_is_on_its_way_is_waited_for(tmp_path: Path) -> None:
    memory: dict[str, Any] = {}
    with Broker(tmp_path) as first, Broker(tmp_path) as standby, Subscriber(standby, "data") as subscriber:
        first.stop()
        noted = session(first.port, standby.port, memory, return_after=0.05)
        await noted.session.connect()
        noted.session.publish_many([("data", b"%d" % n, False, n) for n in range(100)])
        held: list[int] = []

        def hold() -> None:
            noted.session.publish_many([("data", b"%d" % n, False, n) for n in range(100, 200)])
            held.append(noted.session.in_flight + noted.session.waiting)

        over = asyncio.create_task(noted.session.over(hold))
        await asyncio.sleep(0.2)
        assert not over.done(), "the first broker is away"
        first.start()
        error = await over
        assert f"going back to broker 127.0.0.1:{first.port}, which takes us again" in str(error)
        assert held
        assert held[0] > 0
        assert noted.acknowledged == list(range(200))
        assert [int(each.payload) for each in subscriber.wait_for(200)] == list(range(200))
        await noted.session.disconnect()
        await (noted := session(first.port, standby.port, memory)).session.connect()
        assert noted.session.promise["broker"] == f"127.0.0.1:{first.port}"
        assert "weaker" not in noted.session.promise
        await noted.session.disconnect()


async def test_at_the_first_broker_or_told_never_to_it_only_waits_for_the_end(tmp_path: Path) -> None:
    with Broker(tmp_path) as first, Broker(tmp_path) as standby:
        for away, more in ((False, {"return_after": 0.01}), (True, {"return_after": 0.0})):
            if away:
                first.stop()
            noted = session(first.port, standby.port, {}, **more)
            await noted.session.connect()
            if away:
                first.start()
            over = asyncio.create_task(noted.session.over(lambda: pytest.fail("nothing is better")))
            await asyncio.sleep(0.1)
            assert not over.done()
            await noted.session.disconnect()
            assert "ended in good order" in str(await over)


async def test_a_broker_that_dislikes_the_name_of_the_one_who_asks_is_there(tmp_path: Path) -> None:
    memory: dict[str, Any] = {}
    refused = packet(0x20, bytes((0, 0x85, 0)))
    with Broker(tmp_path) as standby:
        async with fake_broker(lambda heard: refused if heard.kind == CONNECT else b"") as first:
            noted = session(first.port, standby.port, memory, return_after=0.05)
            await noted.session.connect()
            assert noted.session.options.port == standby.port
            error = await noted.session.over(lambda: None)
            assert "going back" in str(error)
            await noted.session.disconnect()


async def test_a_cancelled_wait_leaves_nothing_behind(tmp_path: Path) -> None:
    with Broker(tmp_path) as standby:
        noted = session(free_port(), standby.port, {}, return_after=0.01)
        await noted.session.connect()
        before = len(asyncio.all_tasks())
        over = asyncio.create_task(noted.session.over(lambda: None))
        await asyncio.sleep(0.05)
        over.cancel()
        with pytest.raises(asyncio.CancelledError):
            await over
        assert len(asyncio.all_tasks()) == before
        assert not noted.session.is_closed
        await noted.session.disconnect()
