"""One odd answer costs one tag, and it is named; the others live."""

import asyncio
import itertools
import struct
from collections import Counter

import pytest
from asyncua import ua
from structlog.testing import capture_logs

from gateway.plugin import LinkError, quality
from gateway.testing import eventually
from plugins.opcua import OpcUa
from plugins.opcua.requests import nodes
from plugins.opcua.requests import reading as reading_module
from plugins.opcua.session import profile
from plugins.opcua.subscribe import items as items_module
from plugins.opcua.subscribe import subscriptions
from tests.peers.opcua_hostile import (
    ODD_VALUES,
    monitored,
    odd_items,
    published,
    raw_value,
    session_of,
    values,
    with_items,
)

from .bent import bent, fault, reading, row_of
from .conftest import kept_alive, streaming

READABLE = {"latin-1": "\N{REPLACEMENT CHARACTER}C!", "latin-1 in a list": ["\N{REPLACEMENT CHARACTER}C!"]}


def bad(collector, name: str) -> bool:
    return any(code >= quality.BAD for _, _, code in collector.rows(name))


def assert_named(logs, tag: str) -> None:
    assert any(tag in str(log.get("tag", log.get("tags"))) for log in logs if log["log_level"] == "warning")


@pytest.mark.parametrize("name", ODD_VALUES)
async def test_an_odd_value_that_is_reported_costs_its_own_tag(name):
    numbers = itertools.count(1)

    def publish(asked):
        number = next(numbers)
        return with_items(published(number, values(0)), odd_items(ODD_VALUES[name])) if number < 4 else None

    server = bent(PublishRequest=publish, ReadRequest=reading({0: raw_value(ODD_VALUES[name])}))
    with capture_logs() as logs:
        async with server as server, streaming(server.device(scan="1s")) as collector:
            await collector.until(lambda: {1.5, 2.5} & {*collector.values("T1")} and collector.rows("T0"))
    if name in READABLE:
        assert READABLE[name] in collector.values("T0")
        assert {code for _, _, code in collector.rows("T0")} == {quality.UNCERTAIN}
    elif name != "sizes of a million":
        assert bad(collector, "T0")
        assert_named(logs, "T0")
    assert not bad(collector, "T1")


@pytest.mark.parametrize("name", ODD_VALUES)
async def test_an_odd_value_that_is_read_costs_its_own_tag(name):
    server = bent(ReadRequest=reading({3: raw_value(ODD_VALUES[name])}))
    with capture_logs() as logs:
        async with server as server, streaming(server.device(9, acquisition="poll", scan="50ms")) as collector:
            await collector.until(lambda: len(collector.values("T8")) > 2)
    if name not in READABLE and name != "sizes of a million":
        assert bad(collector, "T3")
        assert_named(logs, "T3")
    assert all(collector.values(f"T{row}") and not bad(collector, f"T{row}") for row in (0, 1, 2, 4, 5, 6, 7, 8))


async def test_the_debug_log_has_the_bytes_of_a_value_that_cannot_be_decoded():
    odd = raw_value(ODD_VALUES["known type cut off"])
    with capture_logs() as logs:
        async with (
            bent(ReadRequest=reading({0: odd})) as server,
            streaming(server.device(acquisition="poll", scan="50ms")) as collector,
        ):
            await collector.until(lambda: len(collector.rows("T0")) > 1)
    assert {log["raw"] for log in logs if log["log_level"] == "debug" and "raw" in log} == {odd.hex(" ")}


async def test_a_read_value_whose_end_cannot_be_told_is_read_alone_until_it_can_be_decoded(monkeypatch):
    monkeypatch.setattr(reading_module, "FIRST_RETRY", 0.3)
    async with (
        bent(ReadRequest=reading({3: raw_value(ODD_VALUES["deep"])})) as server,
        streaming(server.device(9, acquisition="poll", scan="50ms")) as collector,
    ):
        await collector.until(lambda: bad(collector, "T3") and collector.values("T8"))
        server.asked.clear()
        await collector.until(lambda: len(server.kinds("ReadRequest")) > 8)
        alone = [each for each in server.kinds("ReadRequest") if len(each.Parameters.NodesToRead) == 1]
        assert len(alone) <= 2  # not at each scan
        server.answers["ReadRequest"] = reading({})
        await collector.until(lambda: collector.values("T3"))


async def test_a_reported_value_whose_end_cannot_be_told_is_taken_out_and_taken_in_again(monkeypatch):
    monkeypatch.setattr(items_module, "FIRST_RETRY", 0.3)
    odd = ODD_VALUES["deep"]
    numbers = itertools.count(1)

    def publish(asked):
        number = next(numbers)
        return with_items(published(number, values(0)), odd_items(odd)) if number == 1 else None

    async with (
        bent(PublishRequest=publish, ReadRequest=reading({0: raw_value(odd)})) as server,
        streaming(server.device(scan="1s")) as collector,
    ):
        await collector.until(lambda: bad(collector, "T0") and collector.values("T1"))
        assert server.kinds("DeleteMonitoredItemsRequest")
        made = len(server.kinds("CreateMonitoredItemsRequest"))
        server.answers["ReadRequest"] = reading({})
        await eventually(lambda: len(server.kinds("CreateMonitoredItemsRequest")) > made)


@pytest.mark.parametrize("most", [1, 7, 60])
@pytest.mark.parametrize("whole", [True, False])
async def test_a_full_subscription_is_followed_by_another(most, whole):
    """Refused item by item (BadTooManyMonitoredItems), or as a whole (BadTooManyOperations)."""
    room: dict[int, int] = {}
    ids = iter(range(7, 1000))

    def subscribe(asked):
        response = ua.CreateSubscriptionResponse()
        response.Parameters.SubscriptionId = next(ids)
        response.Parameters.RevisedPublishingInterval, response.Parameters.RevisedMaxKeepAliveCount = 1000.0, 10
        return response

    def monitor(asked):
        count, subscription = len(asked.Parameters.ItemsToCreate), asked.Parameters.SubscriptionId
        left = most - room.get(subscription, 0)
        if whole and count > left:
            return fault("BadTooManyOperations")
        room[subscription] = room.get(subscription, 0) + min(count, left)
        full = ua.MonitoredItemCreateResult(StatusCode=ua.StatusCode(ua.StatusCodes.BadTooManyMonitoredItems))
        made = [ua.MonitoredItemCreateResult(MonitoredItemId=each + 1) for each in range(min(count, left))]
        return ua.CreateMonitoredItemsResponse(Results=made + [full] * (count - len(made)))

    async with (
        bent(CreateSubscriptionRequest=subscribe, CreateMonitoredItemsRequest=monitor) as server,
        streaming(server.device(10 if most == 1 else 100)) as collector,
    ):
        await eventually(lambda: sum(room.values()) == (10 if most == 1 else 100))
        assert not collector.blocks


@pytest.mark.parametrize("most", [100, 3, 1])
async def test_many_items_are_spread_over_subscriptions_as_far_as_the_server_has_them(most, monkeypatch):
    monkeypatch.setattr(subscriptions, "ITEMS_EACH", 30)
    items: Counter[int] = Counter()
    ids = iter(range(7, 1000))

    def subscribe(asked):
        if len(server.kinds("CreateSubscriptionRequest")) > most:
            return fault("BadTooManySubscriptions")
        response = ua.CreateSubscriptionResponse()
        response.Parameters.SubscriptionId = next(ids)
        response.Parameters.RevisedPublishingInterval, response.Parameters.RevisedMaxKeepAliveCount = 1000.0, 10
        return response

    def monitor(asked):
        items[asked.Parameters.SubscriptionId] += len(asked.Parameters.ItemsToCreate)
        return monitored(asked)

    async with (
        bent(CreateSubscriptionRequest=subscribe, CreateMonitoredItemsRequest=monitor) as server,
        streaming(server.device(100)) as collector,
    ):
        await eventually(lambda: items.total() == 100)
        assert list(items.values()) == {100: [30, 30, 30, 10], 3: [30, 30, 40], 1: [100]}[most]
        assert not collector.blocks


async def test_items_for_which_the_server_has_no_room_at_all_are_parked_with_advice():
    room = [60]

    def monitor(asked):
        count = len(asked.Parameters.ItemsToCreate)
        taken = min(count, room[0])
        room[0] -= taken
        full = ua.MonitoredItemCreateResult(StatusCode=ua.StatusCode(ua.StatusCodes.BadTooManyMonitoredItems))
        made = [ua.MonitoredItemCreateResult(MonitoredItemId=each + 1) for each in range(taken)]
        return ua.CreateMonitoredItemsResponse(Results=made + [full] * (count - taken))

    with capture_logs() as logs:
        async with bent(CreateMonitoredItemsRequest=monitor) as server, streaming(server.device(100)) as collector:
            await collector.until(lambda: sum(bad(collector, f"T{row}") for row in range(100)) == 40)
    (reason,) = {log["reason"] for log in logs if log["event"] == "the server refuses tags"}
    assert "no room for more monitored items" in reason
    assert 'acquisition = "poll"' in reason


async def test_a_link_that_breaks_while_items_are_made_leaves_nothing_that_only_seems_to_be_fed():
    """The server makes the items, but its answer is lost; what was half made is ended, and made anew."""
    lost = [True]

    def monitor(asked):
        if lost.pop() if lost else False:
            server.cut()
            return None
        return monitored(asked)

    async with bent(CreateMonitoredItemsRequest=monitor) as server, kept_alive(server.device(4)):
        await eventually(lambda: len(server.kinds("CreateMonitoredItemsRequest")) == 2)
        asked = [len(each.Parameters.ItemsToCreate) for each in server.kinds("CreateMonitoredItemsRequest")]
        assert asked == [4, 4]
        (ended,) = server.kinds("DeleteSubscriptionsRequest")
        assert ended.Parameters.SubscriptionIds == [7]


async def test_an_item_answer_that_is_late_is_not_believed_either():
    silent = [True]

    def monitor(asked):
        return None if (silent.pop() if silent else False) else monitored(asked)

    async with (
        bent(CreateMonitoredItemsRequest=monitor) as server,
        kept_alive(server.device(4, timeout="500ms")),
    ):
        await eventually(lambda: len(server.kinds("CreateMonitoredItemsRequest")) == 2)
        assert len(server.kinds("CreateMonitoredItemsRequest")[1].Parameters.ItemsToCreate) == 4


@pytest.mark.parametrize("acquisition", ["poll", "subscribe"])
async def test_a_session_that_the_server_forgets_soon_is_kept_awake(acquisition):
    def created(asked):
        response = session_of(asked)
        response.Parameters.RevisedSessionTimeout = 1500.0
        return response

    async with (
        bent(CreateSessionRequest=created) as server,
        streaming(server.device(acquisition=acquisition, scan="60s", timeout="5s")),
    ):
        await asyncio.sleep(0)
        server.asked.clear()
        await eventually(lambda: len(server.kinds("ReadRequest")) >= 3)


async def test_a_request_that_is_too_large_in_bytes_becomes_smaller_only_itself():
    def read(asked):
        wanted = asked.Parameters.NodesToRead
        if sum(row_of(each.NodeId) == 3 for each in wanted) and len(wanted) > 2:
            return fault("BadRequestTooLarge")
        return reading({})(asked)

    async with (
        bent(ReadRequest=read) as server,
        streaming(server.device(40, acquisition="poll", scan="50ms")) as collector,
    ):
        await collector.until(lambda: all(len(collector.values(f"T{row}")) > 2 for row in range(40)))
        server.asked.clear()
        await collector.until(lambda: len(server.kinds("ReadRequest")) > 20)
        assert max(len(each.Parameters.NodesToRead) for each in server.kinds("ReadRequest")) == 20


@pytest.mark.parametrize("code", ["BadInternalError", "BadTcpServerTooBusy", "BadTcpMessageTooLarge"])
async def test_an_error_with_which_the_server_ends_the_connection_is_no_tags_trouble(code):
    """Nothing more comes over it: who looked for the culprit by halves would go on for ever with tags that are all bad."""
    ends = []

    def read(asked):
        if not ends:
            return reading({})(asked)
        told = struct.pack("<Ii", getattr(ua.StatusCodes, code), -1)
        server.connections[-1].write(b"ERRF" + struct.pack("<I", 8 + len(told)) + told)
        return None

    async with (
        bent(ReadRequest=read) as server,
        streaming(server.device(4, acquisition="poll", scan="50ms")) as collector,
    ):
        await collector.until(lambda: collector.values("T3"))
        ends.append(True)
        error = await collector.ended(30)
    assert isinstance(error, LinkError)
    assert code in str(error)
    assert all(status < quality.BAD for _, _, status in collector.rows("T3"))


@pytest.mark.parametrize("missing", ["ReadRequest", "CreateMonitoredItemsRequest"])
async def test_answers_with_another_number_of_results_than_asked_for_are_a_lost_link_in_words(missing):
    empty = {"ReadRequest": ua.ReadResponse, "CreateMonitoredItemsRequest": ua.CreateMonitoredItemsResponse}[missing]
    async with bent() as server:
        server.answers[missing] = lambda asked: empty()
        async with kept_alive(server.device()) as collector:
            await eventually(lambda: collector.lost)
        assert "has 0 results where" in str(collector.lost[0])
        assert len(server.asked) < 100


async def test_what_cannot_be_taken_over_is_left_behind():
    """A server that never answers when it is asked to go on with subscriptions."""
    numbers = itertools.count(1)

    def publish(asked):
        return published(next(numbers), values(1))

    async with (
        bent(PublishRequest=publish, SetPublishingModeRequest=lambda asked: None) as server,
        kept_alive(server.device(timeout="300ms")) as collector,
    ):
        await eventually(lambda: collector.values("T0"))
        before = len(server.kinds("CreateSessionRequest"))
        server.cut()
        await eventually(lambda: len(server.kinds("CreateSessionRequest")) > before)
        collector.blocks.clear()
        await eventually(lambda: collector.values("T0"))


async def test_a_session_is_made_though_the_server_names_no_endpoints_with_it_nor_at_all():
    async with bent(GetEndpointsRequest=lambda asked: fault("BadServiceUnsupported")) as server:
        driver = OpcUa([server.device()])
        await driver.connect()
        await driver.close()
        driver.release()
    assert server.kinds("ActivateSessionRequest")


@pytest.mark.parametrize("service", ["TranslateBrowsePathsToNodeIds", "Browse", "SetPublishingMode", "Republish"])
async def test_a_service_that_the_server_lacks_is_done_without_and_not_asked_for_again(service):
    numbers = itertools.count(1)

    def publish(asked):
        return published(next(numbers), values(1))

    lacking = {f"{service}Request": lambda asked: fault("BadServiceUnsupported")}
    async with bent(PublishRequest=publish, **lacking) as server:
        for _ in range(3):
            async with streaming(server.device()) as collector:
                await collector.until(lambda: collector.values("T0"))
        assert len(server.kinds(f"{service}Request")) <= 1


async def test_a_server_too_slow_to_describe_all_its_tags_in_time_is_asked_for_the_rest_at_the_next_connect(
    monkeypatch,
):
    monkeypatch.setattr(nodes, "PATIENCE", 0.0)
    monkeypatch.setattr(nodes, "DESCRIBED", 2)
    told = []
    async with bent() as server:
        device = server.device(5)
        for _ in range(3):
            driver = OpcUa([device])
            await driver.connect()
            told.append(sorted(tag.name for tag in await driver.describe()))
            await driver.close()
            driver.release()
    assert told == [["T0", "T1"], ["T0", "T1", "T2", "T3"], ["T0", "T1", "T2", "T3", "T4"]]
    assert not nodes._described


async def test_what_slow_servers_that_are_gone_have_told_is_forgotten_in_the_end(monkeypatch):
    monkeypatch.setattr(nodes, "PATIENCE", 0.0)
    monkeypatch.setattr(nodes, "DESCRIBED", 2)
    monkeypatch.setattr(nodes, "MOST_REMEMBERED", 5)
    monkeypatch.setattr(nodes, "_described", {})
    urls = []
    for _ in range(4):
        async with bent() as server:
            device = server.device(5)
            urls.append(device.config.url)
            driver = OpcUa([device])
            await driver.connect()
            await driver.describe()
            await driver.close()
            driver.release()
    assert list(nodes._described) == urls[-2:]


def test_what_was_learned_of_servers_is_forgotten_after_a_day():
    first, other = profile.profile_of("opc.tcp://a"), profile.profile_of("opc.tcp://b")
    assert profile.profile_of("opc.tcp://a") is first
    first.since -= profile.KEPT + 1.0
    other.since -= profile.KEPT + 1.0
    assert profile.profile_of("opc.tcp://a") is not first
    assert list(profile._profiles) == ["opc.tcp://a"]


async def test_a_server_that_answers_twice_is_read_and_that_is_remarked():
    async with bent() as server:
        server.repeats = 2
        async with streaming(server.device(acquisition="poll", scan="50ms")) as collector:
            await collector.until(lambda: len(collector.values("T1")) > 3)
            assert "twice" in collector.driver.remarks[-1]
            assert collector.driver.counts["surplus_answers"] > 3
