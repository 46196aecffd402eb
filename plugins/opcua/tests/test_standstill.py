"""A gateway that stood still itself, as on a machine that was suspended, does not take that for the server's silence."""

import asyncio

import pytest
import structlog

from gateway.plugin import LinkError
from plugins.opcua.subscribe.feed import Feed
from plugins.opcua.subscribe.subscriptions import STOOD_STILL

from .conftest import make_device
from .fakes import FakeSession, notification


@pytest.fixture
async def session():
    session = FakeSession()
    yield session
    session.publishing.stop()


async def asleep(session: FakeSession, late: float) -> Feed:
    """A feed that looks at its deadline this late."""
    feed = Feed(
        session,
        make_device("opc.tcp://plc", ["A"], scan="20ms", stale_after="40ms"),
        lambda: None,
        structlog.get_logger(),
    )
    await feed.start()
    for subscription in feed._subscriptions.by_id.values():
        subscription.deadline = asyncio.get_running_loop().time() - late
    return feed


async def test_what_came_meanwhile_is_read_and_the_connection_kept(session):
    feed = await asleep(session, STOOD_STILL + 3600)
    session.say(notification(1, 1.0))
    async with asyncio.timeout(20):
        while (readings := await feed.next()) is None:
            pass
    assert readings.value.tolist() == [1.0]


async def test_a_server_that_goes_on_being_silent_is_given_up(session):
    feed = await asleep(session, STOOD_STILL + 3600)
    with pytest.raises(LinkError, match="3 keep-alives"):
        async with asyncio.timeout(25):
            while True:
                await feed.next()
