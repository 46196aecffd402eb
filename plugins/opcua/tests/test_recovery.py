"""Links that break between the driver and real servers: noticed in time, reported, and taken up again by a new driver."""

import asyncio
import itertools
import socket
from contextlib import asynccontextmanager

import pytest
from structlog.testing import capture_logs

from gateway.plugin import LinkError, quality
from gateway.testing import eventually
from plugins.opcua.session import session as session_module
from plugins.opcua.session.session import OpcUaSession
from plugins.opcua.subscribe import items as items_module
from tests.peers.opcua_servers import OpcUaPeer
from tests.peers.proxy import FaultProxy, half

from .conftest import kept_alive, make_device, streaming

pytestmark = pytest.mark.timeout(120)  # the first run installs node-opcua


@pytest.fixture
async def link(serve):
    """A counting server, and a proxy in front of it."""
    peer = await serve()
    async with FaultProxy("127.0.0.1", peer.port) as proxy:
        yield peer, proxy


@pytest.fixture
async def fresh_link(serve):
    """The same, on a server without sessions from before."""
    peer = await serve(fresh=True)
    async with FaultProxy("127.0.0.1", peer.port) as proxy:
        yield peer, proxy


def counting(proxy: FaultProxy, **options):
    """A device whose server says every 2 s that it lives, which is given up after 6 s of silence, and of which the server
    keeps what happens in a minute or two."""
    defaults = {"scan": "200ms", "sampling": "0s", "stale_after": "60s", "timeout": "20s", "queue_size": 1000}
    return make_device(f"opc.tcp://127.0.0.1:{proxy.port}", ["Count", "Double"], **defaults | options)


def without_gap(numbers: list) -> bool:
    return all(after == before + 1 for before, after in itertools.pairwise(numbers))


async def test_a_cut_ends_the_stream_at_once_and_a_new_driver_goes_on(link):
    _, proxy = link
    async with streaming(counting(proxy, scan="1s", stale_after="60s")) as collector:
        await collector.until(lambda: len(collector.values("Count")) > 3)
        proxy.cut()
        error = await collector.ended(within=30)
        assert isinstance(error, LinkError)
        assert "keep-alives" not in str(error)  # it was the cut, not the silence after it
    await proxy.restore()
    async with streaming(counting(proxy)) as collector:
        await collector.until(lambda: len(collector.values("Count")) > 3 and collector.values("Double") == [2.25])


async def test_a_frozen_link_is_given_up_after_three_keep_alives(fresh_link):
    peer, proxy = fresh_link
    device = counting(proxy, scan="100ms", stale_after="600ms")  # keep-alives every 300 ms
    loop = asyncio.get_running_loop()
    async with late() as lateness:
        signs: list[tuple[float, float]] = []

        def alive() -> None:
            signs.append((loop.time(), lateness[0]))

        async with kept_alive(device, alive=alive) as collector:
            await collector.until(lambda: len(collector.values("Count")) > 3)
            before = len(collector.lost)
            proxy.freeze()
            await collector.until(lambda: len(collector.lost) > before)
            last_sign, late_before = signs[-1]
            assert 0.5 < collector.ended_at - last_sign < 5.0 + lateness[0] - late_before
            assert "keep-alives" in str(collector.lost[before])
            await proxy.restore()
            seen = len(collector.values("Count"))
            await collector.until(lambda: len(collector.values("Count")) > seen + 3)
            await eventually(lambda: peer.has(1, 1))  # the old session was continued


@asynccontextmanager
async def late():
    """Measures how much later than it wished this process came to run, in all: what a crowded machine adds."""
    lateness = [0.0]

    async def measure() -> None:
        loop = asyncio.get_running_loop()
        while True:
            wished = loop.time() + 0.02
            await asyncio.sleep(0.02)
            lateness[0] += loop.time() - wished

    task = asyncio.create_task(measure())
    yield lateness
    task.cancel()


async def test_a_short_freeze_loses_nothing(link):
    _, proxy = link
    async with streaming(counting(proxy, scan="500ms", stale_after="60s")) as collector:
        await collector.until(lambda: len(collector.values("Count")) > 3)
        proxy.freeze()
        await asyncio.sleep(1.5)
        await proxy.restore()
        last = collector.values("Count")[-1]
        await collector.until(lambda: collector.values("Count")[-1] > last + 20)
        assert without_gap(collector.values("Count"))


async def test_a_slow_link_loses_nothing(link):
    _, proxy = link
    async with streaming(counting(proxy, scan="500ms", stale_after="60s")) as collector:
        await collector.until(lambda: len(collector.values("Count")) > 3)
        proxy.delay = 0.3
        await collector.until(lambda: len(collector.values("Count")) > 30)
        assert without_gap(collector.values("Count"))


async def test_garbage_ends_the_stream(link):
    _, proxy = link
    async with streaming(counting(proxy)) as collector:
        await collector.until(lambda: len(collector.values("Count")) > 3)
        proxy.garbage()
        assert isinstance(await collector.ended(within=30), LinkError)


async def test_half_an_answer_ends_the_stream(link):
    _, proxy = link
    async with streaming(counting(proxy)) as collector:
        await collector.until(lambda: len(collector.values("Count")) > 3)
        proxy.spoil_next(half)
        assert isinstance(await collector.ended(within=30), LinkError)


async def test_a_killed_and_restarted_server_is_taken_up_though_its_namespaces_moved(serve):
    peer: OpcUaPeer = await serve("--tick", "50")
    device = make_device(peer.url, ["Count", "Double"])
    async with streaming(device) as collector:
        await collector.until(lambda: collector.values("Count"))
        peer.kill()
        assert isinstance(await collector.ended(within=30), LinkError)
    await peer.start("--shift")
    async with streaming(device) as collector:
        await collector.until(lambda: collector.values("Count") and collector.values("Double") == [2.25])
    peer.kill()


async def test_a_refused_node_is_tried_again_and_taken_up_when_it_appears(serve, monkeypatch):
    monkeypatch.setattr(items_module, "FIRST_RETRY", 0.2)
    peer: OpcUaPeer = await serve()
    async with streaming(make_device(peer.url, ["Late", "Count"])) as collector:
        await collector.until(lambda: collector.rows("Late"))
        await peer.add("Late")
        await collector.until(lambda: collector.values("Late") == [1.0])
        assert [code for _, _, code in collector.rows("Late")] == [quality.BAD_NODE_ID_UNKNOWN, quality.GOOD]


async def test_the_channel_is_renewed_without_a_gap(serve, monkeypatch):
    monkeypatch.setattr(session_module, "CHANNEL_LIFETIME", 60.0)
    monkeypatch.setattr(session_module, "RENEW_AT", 0.75 / 60)
    peer: OpcUaPeer = await serve("--security", "Basic256Sha256")
    renewals = []
    renew = OpcUaSession.renew

    async def counted(session):
        await renew(session)
        renewals.append(session)

    monkeypatch.setattr(OpcUaSession, "renew", counted)
    options = {"security": "auto", "server_thumbprint": peer.thumbprint, "sampling": "0s"}
    async with streaming(make_device(peer.url, ["Count"], **options)) as collector:
        await collector.until(lambda: len(renewals) >= 2, within=40)
        seen = len(collector.values("Count"))
        await collector.until(lambda: len(collector.values("Count")) > seen + 5)
        assert without_gap(collector.values("Count"))


async def test_a_full_queue_on_the_server_is_told(serve):
    peer: OpcUaPeer = await serve("--tick", "50")
    if peer.kind == "asyncua":
        pytest.skip("the asyncua server does not mark what its queue lost")
    device = make_device(peer.url, ["Count"], scan="1s", sampling="50ms", queue_size=3)
    with capture_logs() as logs:
        async with streaming(device) as collector:
            await collector.until(lambda: any("queue was full" in entry["event"] for entry in logs))
    assert all(code & quality.BAD == 0 for _, _, code in collector.rows("Count"))


async def test_sessions_do_not_pile_up_over_many_connections(fresh_link):
    peer, proxy = fresh_link
    for _ in range(4):
        async with streaming(counting(proxy)) as collector:
            await collector.until(lambda: collector.values("Count"))
    await eventually(lambda: peer.has(0, 0))


def test_a_connect_given_up_at_any_moment_is_no_bug_on_uvloop():
    uvloop = pytest.importorskip("uvloop", reason="pip install uvloop")

    async def give_up_after(seconds: float, port: int) -> None:
        session = OpcUaSession(make_device(f"opc.tcp://127.0.0.1:{port}", ["Count"], timeout="60s").config, None)
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(seconds):
                await session.open("")

    async def try_all() -> None:
        with socket.create_server(("127.0.0.1", 0)) as silent:
            for step in range(20):
                await give_up_after(step / 10_000, silent.getsockname()[1])

    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(try_all())
