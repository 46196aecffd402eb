"""Outages between driver and real servers: nothing that the server still holds is lost, and its sessions do not pile up."""

import asyncio

import pytest

from gateway.plugin import quality
from gateway.testing import eventually
from plugins.opcua.requests import recorded
from plugins.opcua.subscribe import feed, subscription
from tests.peers.opcua_servers import OpcUaPeer
from tests.peers.proxy import FaultProxy

from .conftest import kept_alive, make_device

pytestmark = pytest.mark.timeout(150)  # the first run installs node-opcua

TICK = 0.1


@pytest.fixture
async def link(serve):
    """A server that counts ten times a second, without sessions from before, and a proxy in front of it."""
    peer = await serve(fresh=True)
    async with FaultProxy("127.0.0.1", peer.port) as proxy:
        yield peer, proxy


def counting(proxy: FaultProxy, **options):
    """A device whose server says every 2 s that it lives, which is given up after 6 s of silence, and of which the server
    keeps what happens in a minute or two."""
    defaults = {"scan": "200ms", "sampling": "0s", "stale_after": "60s", "timeout": "20s", "queue_size": 1000}
    return make_device(f"opc.tcp://127.0.0.1:{proxy.port}", ["Count", "Double", "Nothing"], **defaults | options)


def missing(collector) -> set[int]:
    """Numbers that never came, though a higher one did."""
    numbers = {int(number) for number in collector.values("Count")}
    return set(range(min(numbers), max(numbers))) - numbers


async def through(collector, proxy: FaultProxy, outage: str, seconds: float) -> None:
    """An outage, and on until eight numbers that are newer have come."""
    await collector.until(lambda: len(collector.values("Count")) > 5, within=20)
    proxy.cut() if outage == "cut" else proxy.freeze()
    await asyncio.sleep(seconds)
    before = collector.values("Count")[-1]
    await proxy.restore()
    await collector.until(lambda: collector.values("Count")[-1] > before + seconds / TICK + 8, within=60)


async def one_session(peer: OpcUaPeer) -> None:
    """Wait until the server has one session with one subscription; what was given up ends in its own time."""
    await eventually(lambda: peer.has(1, 1))


LONG = [pytest.param("cut", 3, marks=pytest.mark.slow), pytest.param("cut", 8, marks=pytest.mark.slow),
        pytest.param("freeze", 5, marks=pytest.mark.slow)]  # fmt: skip


@pytest.mark.parametrize(("outage", "seconds"), [("cut", 1), *LONG])
async def test_nothing_is_lost_in_an_outage_and_the_session_goes_on(link, outage, seconds):
    peer, proxy = link
    patience = {"stale_after": "1s"} if outage == "freeze" else {}  # 1.2 s of silence, or an end that is heard at once
    async with kept_alive(counting(proxy, **patience)) as collector:
        await through(collector, proxy, outage, seconds)
        assert collector.lost
        assert missing(collector) == set()
        await one_session(peer)


async def test_values_that_did_not_change_meanwhile_are_confirmed_after_an_outage(link):
    _, proxy = link
    async with kept_alive(counting(proxy)) as collector:
        await through(collector, proxy, "cut", 1)
        await collector.until(lambda: len(collector.rows("Double")) == 2, within=20)
        first, again = collector.rows("Double")
        assert first == again
        assert first[1:] == (2.25, quality.GOOD)


@pytest.mark.slow
async def test_outages_one_after_the_other_lose_nothing_and_leave_one_session(link):
    peer, proxy = link
    async with kept_alive(counting(proxy)) as collector:
        for _ in range(4):
            await through(collector, proxy, "cut", 0.2)
        assert missing(collector) == set()
        await one_session(peer)


@pytest.mark.slow
async def test_after_the_session_has_ended_a_new_one_takes_the_subscriptions_over(serve, monkeypatch):
    monkeypatch.setattr(subscription, "OUTLIVES", 12)  # a minute: a machine may be slow to connect
    peer: OpcUaPeer = await serve("--security", "Basic256Sha256", fresh=True)
    async with FaultProxy("127.0.0.1", peer.port) as proxy:
        device = counting(proxy, security="auto", server_thumbprint=peer.thumbprint, hold="5s")
        async with kept_alive(device) as collector:
            await through(collector, proxy, "cut", 9)
            if peer.kind == "node-opcua":  # the other ends subscriptions with their session: it holds nothing any more
                assert missing(collector) == set()
            assert not collector.driver._session.continued
            await one_session(peer)


async def test_a_restarted_server_is_taken_up_though_its_namespaces_moved(serve):
    peer: OpcUaPeer = await serve("--tick", "50")
    async with FaultProxy("127.0.0.1", peer.port) as proxy, kept_alive(counting(proxy)) as collector:
        await collector.until(lambda: collector.values("Count"), within=20)
        peer.kill()
        await collector.until(lambda: collector.lost, within=20)
        blocks = len(collector.blocks)
        await peer.start("--shift")
        await collector.until(lambda: len(collector.values("Double")) == 2 and len(collector.blocks) > blocks + 3, 30)
        assert collector.values("Double") == [2.25, 2.25]
    peer.kill()


async def test_what_no_subscription_kept_is_read_from_the_servers_history(serve, monkeypatch):
    peer: OpcUaPeer = await serve("--history", fresh=True)
    monkeypatch.setattr(recorded, "VALUES_AT_ONCE", 10)

    async def none_left(session, subscriptions):
        return []

    async with FaultProxy("127.0.0.1", peer.port) as proxy, kept_alive(counting(proxy)) as collector:
        await collector.until(lambda: len(collector.values("Count")) > 5, within=20)
        monkeypatch.setattr(feed, "take_over", none_left)
        await through(collector, proxy, "cut", 1)
        assert missing(collector) == set()
        numbers = collector.values("Count")
        assert numbers == sorted(set(numbers))


async def test_a_secured_session_goes_on_over_another_channel(serve):
    peer: OpcUaPeer = await serve("--security", "Basic256Sha256")
    async with FaultProxy("127.0.0.1", peer.port) as proxy:
        device = counting(proxy, security="auto", server_thumbprint=peer.thumbprint)
        async with kept_alive(device) as collector:
            await through(collector, proxy, "cut", 1)
            assert missing(collector) == set()
            assert collector.driver._session.continued
