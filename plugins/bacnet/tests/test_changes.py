"""Notifications are hints: those that are lost, late, doubled or of others make nothing false, and a device that has
forgotten its subscriptions is asked for them anew."""

import asyncio
from typing import Any

import pytest

from gateway.testing import FakeLineHost, eventually
from gateway.testing.campaign import bent_datagrams
from plugins.bacnet import frames, services
from plugins.bacnet.driver import Bacnet
from plugins.bacnet.encoding import Kind, application, closing, context, opening, tag
from plugins.bacnet.frames import Station
from plugins.bacnet.services import Place
from plugins.bacnet.tests.plant import INSTANCE, Served, by_name, connected, make_device, served

ROOM = 41
"""An analog input."""


def notification(process: int, value: float, left: int, *, device: int = INSTANCE, room: int = ROOM) -> bytes:
    """The body of either service."""
    body = context(0, process) + tag(1, True, (8 << 22 | device).to_bytes(4, "big"))
    body += tag(2, True, room.to_bytes(4, "big")) + context(3, left) + opening(4)
    body += context(0, 85) + opening(2) + application(Kind.REAL, value) + closing(2)
    return body + context(0, 111) + opening(2) + tag(8, False, b"\4\0") + closing(2) + closing(4)


def told(driver: Bacnet, host: FakeLineHost) -> list[float]:
    """What has come up, without waiting for more to come with it."""
    driver._bring()
    return [by_name(each)["room"] for each in host.brought]


def names(host: FakeLineHost) -> list[str]:
    return [name for each in host.brought for name in by_name(each)]


async def test_what_is_late_of_another_or_unknown_is_not_believed(plant: Served) -> None:
    host = FakeLineHost()
    device = make_device({"room": f"AI:{ROOM}"}, plant.port, cov="unconfirmed")
    async with connected(device, host) as driver:
        await driver.read(device.tags)
        await eventually(lambda: bool(host.brought), what="the first notification, which follows the subscription")
        (process,), port = [*driver._port.changed], driver._port
        here = Station("127.0.0.1", plant.port)
        subscriptions = driver._subscriptions
        assert subscriptions is not None
        (each,) = subscriptions._of.values()

        def comes(body: bytes, source: Station = here) -> bool:
            return port._notified(source, body)

        host.brought.clear()
        each.renewed = asyncio.get_running_loop().time() - 100.0
        each.newest = 0.0
        assert comes(notification(process, 1.0, 201)) and told(driver, host) == [1.0]
        assert comes(notification(process, 2.0, 200)) and told(driver, host) == [1.0, 2.0]
        assert comes(notification(process, 0.5, 250)), "it was sent before, and is late"
        assert comes(notification(process, 0.6, 20)), "it is of the time before the renewal"
        assert told(driver, host) == [1.0, 2.0]
        assert not comes(notification(process, 3.0, 200, device=77))
        assert not comes(notification(process, 3.0, 200, room=42))
        assert not comes(notification(process + 1, 3.0, 200))
        assert not comes(notification(process, 3.0, 200), Station("127.0.0.2", plant.port))
        assert told(driver, host) == [1.0, 2.0]
        assert by_name(await driver.read(device.tags)) == {"room": float(ROOM)}, "the scan corrects it"


async def test_a_confirmed_notification_that_is_repeated_is_answered_and_taken_once(
    plant: Served, monkeypatch: pytest.MonkeyPatch
) -> None:
    host = FakeLineHost()
    device = make_device({"room": f"AI:{ROOM}"}, plant.port, cov="confirmed")
    async with connected(device, host) as driver:
        await driver.read(device.tags)
        await eventually(lambda: bool(host.brought))
        host.brought.clear()
        (process,), port = [*driver._port.changed], driver._port
        sent: list[bytes] = []
        monkeypatch.setattr(port, "send", lambda datagram, to: sent.append(datagram))
        body = notification(process, 5.0, 0)
        for asked in (body, body, notification(process + 1, 5.0, 0)):
            datagram = frames.bvlc(10, b"\1\4" + bytes((0x02, 0x75, 9, 1)) + asked)
            port.datagram_received(datagram, ("127.0.0.1", plant.port))
        assert told(driver, host) == [5.0]
        assert sent[0] == sent[1] == frames.bvlc(10, b"\1\0" + frames.simple_ack(9, 1))
        assert sent[2][6] >> 4 == frames.PduType.ERROR, "so that the device forgets a subscription of nobody's"


async def test_a_notification_that_comes_during_a_scan_is_newer_than_what_the_scan_reads() -> None:
    host = FakeLineHost()
    with served() as plant:
        holding: list[bytes] = []

        def bend(request: bytes, right: bytes) -> list[bytes]:
            """An answer to ReadPropertyMultiple waits until a notification has overtaken it."""
            if right[6] == 0x30 and right[8] == 0x0E and not holding and host.brought:
                holding.append(right)
                plant.set(f"AI:{ROOM}", "presentValue", 99.5)
                return []
            return [right, *holding] if right[6] == 0x10 and holding else [right]

        async with bent_datagrams(plant.port, bend) as relay:
            device = make_device({"room": f"AI:{ROOM}"}, relay.port, cov="unconfirmed")
            async with connected(device, host) as driver:
                await driver.read(device.tags)
                await eventually(lambda: bool(host.brought))
                assert by_name(await driver.read(device.tags)) == {"room": 99.5}


async def test_a_change_that_was_not_told_is_read_and_the_subscriptions_are_made_anew() -> None:
    def deaf(_: bytes, right: bytes) -> list[bytes]:
        return [] if right[6] == 0x10 else [right]

    host = FakeLineHost()
    with served() as plant:
        async with bent_datagrams(plant.port, lambda _, right: [right]) as relay:
            device = make_device({"fan": "BI:1", "room": f"AI:{ROOM}"}, relay.port, cov="unconfirmed")
            async with connected(device, host) as driver:
                await driver.read(device.tags)
                await eventually(lambda: {*names(host)} == {"fan", "room"})
                relay.bend = deaf
                plant.set("BI:1", "presentValue", "inactive")
                assert by_name(await driver.read(device.tags))["fan"] == 0.0
                assert driver.counts["subscribed_anew"] == 1
                subscriptions = driver._subscriptions
                assert subscriptions is not None
                assert {each.due for each in subscriptions._of.values()} == {0.0}
                relay.bend = lambda _, right: [right]
                await driver.read(device.tags)
                assert all(each.due > 0.0 for each in subscriptions._of.values())
                host.brought.clear()
                plant.set("BI:1", "presentValue", "active")
                await eventually(lambda: {"fan": 1.0} in [by_name(each) for each in host.brought])


async def test_a_device_that_was_restarted_is_subscribed_anew(plant: Served) -> None:
    device = make_device({"room": f"AI:{ROOM}"}, plant.port, cov="unconfirmed")
    async with connected(device) as driver:
        await driver.read(device.tags)
        subscriptions = driver._subscriptions
        assert subscriptions is not None
        restarted = Place(8 << 22 | INSTANCE, 203)
        for said, due in ((b"\1", False), (b"\1", False), (b"\2", True)):
            found: dict[Place, Any] = {restarted: [(Kind.OTHER, said)]}
            subscriptions.compare(found, restarted, 0.0)
            assert any(each.due == 0.0 for each in subscriptions._of.values()) is due


async def test_a_device_without_the_service_is_asked_for_it_once(plant: Served) -> None:
    asked: list[bytes] = []

    def bend(request: bytes, right: bytes) -> list[bytes]:
        if request[6] >> 4 == 0 and request[9] == 5:
            asked.append(request)
            return [frames.bvlc(10, b"\1\0" + bytes((0x60, request[8], 9)))]
        return [right]

    async with bent_datagrams(plant.port, bend) as relay:
        device = make_device({"a": "AI:1", "b": "AI:2", "c": "AI:3"}, relay.port, cov="unconfirmed")
        async with connected(device) as driver:
            for _ in range(3):
                assert by_name(await driver.read(device.tags)) == {"a": 1.0, "b": 2.0, "c": 3.0}
            assert len({request[8] for request in asked}) == 1, "though it may be repeated"
            assert "does not tell changes of anything" in driver.remarks[0]
            assert "does not have this service" in driver.remarks[0]


def test_a_subscription_stands_as_the_standard_shows_it() -> None:
    """ANSI/ASHRAE 135, annex F.1.3."""
    assert services.subscribe(18, 10, confirmed=True, lifetime=0).hex() == "09121c0000000a29013900"
