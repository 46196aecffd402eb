"""What the feed makes of answers that real servers give only on bad days."""

import asyncio

import pytest
import structlog
from asyncua import ua
from asyncua.ua import uaerrors
from structlog.testing import capture_logs

from gateway.plugin import LinkError
from plugins.opcua.config import OpcUaConfig
from plugins.opcua.session.publishing import Publishing
from plugins.opcua.session.session import OpcUaSession
from plugins.opcua.subscribe import items, report, subscriptions
from plugins.opcua.subscribe.feed import Feed
from plugins.opcua.subscribe.subscription import keep_alive_count

from .conftest import make_device
from .fakes import FakeSession, notification


@pytest.fixture
async def session():
    session = FakeSession()
    yield session
    session.publishing.stop()


async def started(session: FakeSession, **options) -> tuple[Feed, list[str]]:
    signs: list[str] = []
    device = make_device("opc.tcp://plc", ["A"], **{"scan": "9s", **options})  # no duty falls due on a slow machine
    feed = Feed(session, device, lambda: signs.append("alive"), structlog.get_logger())
    await feed.start()
    return feed, signs


async def take(feed: Feed, count: int) -> list[float]:
    """The values of the next answers."""
    values: list[float] = []
    for _ in range(count):
        async with asyncio.timeout(20):
            readings = await feed.next()
        values += readings.value.tolist() if readings is not None else []
    return values


async def test_answers_are_delivered_in_order_and_acknowledged_when_the_next_is_wanted(session):
    feed, signs = await started(session)
    session.say(notification(1, 1.0))
    assert await take(feed, 1) == [1.0]
    assert session.acknowledged == []
    session.say(notification(2, 2.0, 3.0))
    assert await take(feed, 1) == [2.0, 3.0]
    assert session.acknowledged == [1]
    session.say(notification(3))
    assert await take(feed, 1) == []
    assert session.acknowledged == [1, 2]
    assert len(signs) == 3


async def test_missing_notifications_are_counted_and_told(session):
    session.say(notification(1, 1.0), notification(4, 4.0), notification(5))
    feed, _ = await started(session)
    with capture_logs() as logs:
        assert await take(feed, 3) == [1.0, 4.0]
    assert [(entry["event"], entry["count"]) for entry in logs] == [("notifications of the server are missing", 2)]


async def test_a_message_that_did_not_arrive_is_asked_for_again_and_comes_before_the_next(session):
    session.kept = {2: notification(2, 2.0), 3: notification(3, 3.0)}
    session.say(notification(1, 1.0), notification(4, 4.0), notification(5))
    feed, _ = await started(session)
    with capture_logs() as logs:
        assert await take(feed, 5) == [1.0, 2.0, 3.0, 4.0]
    assert logs == []
    session.say(notification(5, 5.0))
    assert await take(feed, 1) == [5.0]
    session.say(notification(6))
    assert await take(feed, 1) == []
    assert set(session.acknowledged) == {1, 2, 3, 4, 5}


async def test_a_keep_alive_too_tells_that_a_message_did_not_arrive(session):
    session.kept = {1: notification(1, 1.0)}
    session.say(notification(2))
    feed, _ = await started(session)
    assert await take(feed, 1) == [1.0]


async def test_what_was_asked_for_again_is_delivered_though_the_link_breaks_meanwhile(session):
    session.kept = {1: notification(1, 1.0), 2: ConnectionError("cut")}
    session.say(notification(4, 4.0))
    feed, _ = await started(session)
    assert await take(feed, 1) == [1.0]
    with pytest.raises(LinkError, match="cut"):
        await take(feed, 1)
    assert feed.left().subscriptions[0].sequence == 2


async def test_a_namespace_array_that_has_changed_makes_the_old_subscriptions_worthless(session):
    feed, _ = await started(session)
    left = feed.left()
    session.namespaces = ["http://opcfoundation.org/UA/", "urn:other"]
    again = Feed(session, feed._device, lambda: None, structlog.get_logger())
    await again.start(left)
    asked = [type(request).__name__ for request in session.asked]
    assert asked.index("DeleteSubscriptionsRequest") < len(asked) - 1 - asked[::-1].index("CreateSubscriptionRequest")


async def test_the_message_after_the_highest_number_is_number_one(session):
    session.say(notification(2**32 - 1, 1.0), notification(1, 2.0))
    feed, _ = await started(session)
    next(iter(feed._subscriptions.by_id.values())).sequence = 2**32 - 1
    with capture_logs() as logs:
        assert await take(feed, 2) == [1.0, 2.0]
    assert logs == []


async def test_a_server_that_bears_fewer_publish_requests_gets_fewer(session):
    too_many = uaerrors.BadTooManyPublishRequests()
    session.say(too_many, too_many, notification(1, 1.0))
    feed, _ = await started(session)
    assert session.publishing.window == 3
    assert await take(feed, 3) == [1.0]
    assert session.publishing.window == 1


async def test_answers_for_a_subscription_of_before_are_passed_over(session):
    session.say(notification(9, 9.0, subscription=6), notification(1, 1.0))
    feed, _ = await started(session)
    assert await take(feed, 2) == [1.0]


@pytest.mark.parametrize(
    ("answer", "told"),
    [
        (uaerrors.BadNoSubscription(), "ended the subscription"),
        (uaerrors.BadSessionIdInvalid(), "ended the session"),
        (ConnectionError("connection lost"), "connection lost"),
    ],
)
async def test_an_ended_subscription_session_or_connection_is_a_lost_link(session, answer, told):
    session.say(answer)
    feed, _ = await started(session)
    with pytest.raises(LinkError, match=told):
        await take(feed, 1)


async def test_a_status_change_is_a_lost_link_with_the_servers_reason(session):
    ended = notification(1)
    status = ua.StatusChangeNotification(Status=ua.StatusCode(ua.StatusCodes.BadTimeout))
    ended.Parameters.NotificationMessage.NotificationData = [status]
    session.say(ended)
    feed, _ = await started(session)
    with pytest.raises(LinkError, match="BadTimeout"):
        await take(feed, 1)


async def test_a_server_that_seldom_says_that_it_lives_is_asked(session, monkeypatch):
    monkeypatch.setattr(subscriptions, "ASK_AFTER", 0.02)
    session.keep_alive = 1000
    feed, signs = await started(session)
    async with asyncio.timeout(20):
        while len(signs) < 3:
            assert await feed.next() is None
    assert sum(isinstance(request, ua.ReadRequest) for request in session.asked) >= 3


async def until_lost(feed: Feed) -> str:
    """What the feed ends with."""
    with pytest.raises(LinkError) as caught:
        async with asyncio.timeout(20):
            while True:
                await feed.next()
    return str(caught.value)


SILENT = {"scan": "20ms", "stale_after": "40ms"}


@pytest.mark.parametrize("due", [False, True])
async def test_a_tag_that_is_left_out_is_asked_for_at_its_own_time_and_only_once_at_it(session, monkeypatch, due):
    monkeypatch.setattr(items, "FIRST_RETRY", 100.0)
    suspects = session.suspicion.of("subscribe every 9 s")
    suspects.ended(("B",), "silence", asyncio.get_running_loop().time(), alive=True, silent=True)
    if due:  # it is not asked for all the same, as where its namespace is missing
        suspects.trial_at -= 60.0
        session.node_id = lambda address: None
    device = make_device("opc.tcp://plc", ["A", "B"], scan="9s")
    feed = Feed(session, device, lambda: None, structlog.get_logger())
    before = asyncio.get_running_loop().time()
    await feed.start()
    assert (feed._items.retry_at >= before + 100.0) if due else (feed._items.retry_at == suspects.trial_at)


async def test_silence_of_a_server_that_answers_is_broken_by_another_subscription_and_then_by_a_new_session(session):
    feed, _ = await started(session, **SILENT)
    assert "3 keep-alives" in await until_lost(feed)
    assert feed.steps == {"resubscribed": 1, "sessions_given_up": 1}
    assert feed.distrusted
    made = [request for request in session.asked if isinstance(request, ua.CreateMonitoredItemsRequest)]
    assert [each.Parameters.SubscriptionId for each in made] == [7, 8]


async def test_a_message_that_did_not_come_is_asked_for_before_anything_else_is_done_about_silence(session):
    session.kept = {1: notification(1, 1.0)}
    feed, _ = await started(session, **SILENT)
    found = []
    while not found:
        found += await take(feed, 1)
    assert found == [1.0]
    assert feed.steps == {"republished": 1}


async def test_a_server_that_has_lost_publish_requests_gets_others_at_the_first_sign_of_it(session):
    session.kept = {1: notification(1, 1.0)}
    session.loses = 3
    session.say(notification(2, 2.0))
    feed, _ = await started(session, **SILENT)
    found = []
    while 2.0 not in found:
        found += await take(feed, 1)
    assert found[0] == 1.0
    assert feed.steps == {"republished": 1}


async def test_a_server_may_refuse_the_requests_that_others_were_sent_in_place_of():
    sent: list[asyncio.Future[bytes]] = []

    async def send(acknowledgements):
        sent.append(asyncio.get_running_loop().create_future())
        return await sent[-1]

    publishing = Publishing(send)
    publishing.window = 1
    publishing.fill()
    publishing.doubt()
    publishing.fill()
    publishing.fill()
    await asyncio.sleep(0)
    assert len(sent) == 2
    sent[0].set_exception(uaerrors.BadTooManyPublishRequests())
    sent[1].set_result(b"said")
    assert (await publishing.next()).outcome.result() == b"said"
    assert not publishing.answered


async def test_a_server_that_does_not_answer_either_is_a_lost_link_whose_session_goes_on(session):
    feed, _ = await started(session, **SILENT)

    async def silent(request):
        await asyncio.Event().wait()

    session.answer_to = silent
    assert "3 keep-alives" in await until_lost(feed)
    assert feed.steps == {"silent_connections": 1}
    assert not feed.distrusted


@pytest.mark.parametrize(
    ("scan", "stale_after", "count"),
    [(1.0, None, 2), (0.1, None, 10), (0.5, None, 5), (10.0, None, 1), (1.0, 60.0, 10)],
)
def test_two_keep_alives_come_before_the_tags_would_go_stale(scan, stale_after, count):
    assert keep_alive_count(scan, stale_after) == count


async def test_requests_that_are_too_large_are_halved_until_they_fit():
    config = OpcUaConfig.model_validate({"name": "plc", "driver": "opcua", "url": "opc.tcp://plc", "security": "none"})
    session = OpcUaSession(config, None)
    sizes = []

    async def call(chunk):
        sizes.append(len(chunk))
        if len(chunk) > 300:
            raise uaerrors.BadTooManyOperations
        return chunk

    assert await session.in_chunks("read", list(range(1200)), call) == list(range(1200))
    assert sizes == [1000, 500, 250, 250, 250, 250, 200]


async def test_messages_of_one_report_are_one_block_and_acknowledged_once_it_is_taken(session, monkeypatch):
    monkeypatch.setattr(report, "MORE_WITHIN", 60.0)
    feed, _ = await started(session)
    session.say(notification(1, 1.0, more=True), notification(2, 2.0, more=True), notification(3, 3.0))
    assert await take(feed, 2) == []
    assert session.acknowledged == []
    assert await take(feed, 1) == [1.0, 2.0, 3.0]
    for _ in range(3):  # requests that were under way already hold no acknowledgement
        session.say(notification(4))
        assert await take(feed, 1) == []
    assert session.acknowledged == [1, 2, 3]


async def test_a_report_whose_rest_does_not_come_is_handed_on_without_it(session):
    feed, _ = await started(session)
    session.say(notification(1, 1.0, more=True))
    assert await take(feed, 2) == [1.0]


async def test_a_report_that_is_cut_off_is_delivered_before_the_link_is_given_up(session):
    feed, _ = await started(session)
    session.say(notification(1, 1.0, more=True), ConnectionError("cut"))
    assert await take(feed, 2) == [1.0]
    with pytest.raises(LinkError, match="cut"):
        await take(feed, 1)
    assert feed.left().subscriptions[0].sequence == 2


async def test_others_have_their_turn_while_thousands_of_tags_are_subscribed(session):
    """The session answers at once, so that no turn comes from waiting for it."""
    device = make_device("opc.tcp://plc", [f"T{n}" for n in range(4000)], scan="9s")
    turns = 0

    async def others():
        nonlocal turns
        while True:
            await asyncio.sleep(0)
            turns += 1

    task = asyncio.create_task(others())
    feed = Feed(session, device, lambda: None, structlog.get_logger())
    await feed.start()
    task.cancel()
    assert turns > 4000 // 500
