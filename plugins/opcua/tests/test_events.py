"""Events and conditions of a real server: handed up as they stand, acknowledged, and known again after outages."""

import asyncio

import pytest
from structlog.testing import capture_logs

from gateway.plugin import DEVICE_AUDIT, DeviceError, DeviceEvent, Retained
from tests.peers.opcua_servers import NAMESPACE, OpcUaPeer
from tests.peers.proxy import FaultProxy

from .conftest import Collector, kept_alive, make_device, streaming

pytestmark = [
    pytest.mark.timeout(300),  # the first run installs node-opcua
    pytest.mark.usefixtures("patient"),
    pytest.mark.parametrize("kind", ["node-opcua"], indirect=True),  # asyncua's server has no conditions
]
LEVEL = f"nsu={NAMESPACE};s=LevelAlarm"


@pytest.fixture
async def peer(serve):
    """A server with a tank. Each test raises an alarm of its own there."""
    return await serve("--alarms")


def tank(port: int, **options):
    defaults = {"events": True}
    return make_device(f"opc.tcp://127.0.0.1:{port}", ["Double"], **defaults | options)


def events(collector: Collector, name: str = "Level.LevelAlarm") -> list[DeviceEvent]:
    """What was told of one condition."""
    return [
        told
        for told in collector.told
        if isinstance(told, DeviceEvent) and told.condition is not None and told.condition.name == name
    ]


def stands(collector: Collector, name: str = "Level.LevelAlarm") -> list[tuple[bool, bool | None]]:
    """How it stood: active, acknowledged."""
    return [(told.condition.active, told.condition.acknowledged) for told in events(collector, name)]


def plain(collector: Collector) -> list[str]:
    """Messages of events without a condition."""
    return [
        told.message
        for told in collector.told
        if isinstance(told, DeviceEvent) and told.condition is None and told.detail.get("event_type") == "BaseEventType"
    ]


def retained(collector: Collector) -> list[frozenset[str]]:
    return [told.conditions for told in collector.told if isinstance(told, Retained)]


async def refreshed(collector: Collector, times: int = 1) -> None:
    await collector.until(lambda: len(retained(collector)) >= times)


async def test_an_alarm_is_told_with_its_fields_from_raise_to_clear(peer: OpcUaPeer):
    async with streaming(tank(peer.port)) as collector:
        await refreshed(collector)
        await peer.set("Level", 0.85)
        await collector.until(lambda: stands(collector) == [(True, False)])
        (raised,) = events(collector)
        assert raised.condition.id == LEVEL
        assert raised.condition.retained
        assert (raised.severity, raised.detail["device_severity"]) == ("advisory", 150)
        assert raised.detail["event_type"] == "ExclusiveLimitAlarmType"
        assert (raised.detail["source"], raised.detail["limit"]) == ("Level", "High")
        assert raised.detail["source_node"] == f"nsu={NAMESPACE};s=Level"
        assert raised.message == "plc: Level: Condition is 0.850 and state is High"
        await peer.order(acknowledge="LevelAlarm", comment="seen there")
        await peer.set("Level", 0.5)
        await collector.until(lambda: stands(collector) == [(True, False), (True, True), (False, True)])
        assert (events(collector)[1].by, events(collector)[1].detail["comment"]) == ("operator", "seen there")
        assert len({event.id for event in events(collector)}) == 3
        times = [event.t_ns for event in events(collector)]
        assert times == sorted(times)


async def test_values_and_plain_events_come_over_one_session(peer: OpcUaPeer):
    async with streaming(tank(peer.port)) as collector:
        await refreshed(collector)
        await peer.order(event="door open", severity=700)
        await collector.until(lambda: plain(collector) == ["plc: Tank: door open"] and collector.values("Double"))
        (event,) = [told for told in collector.told if isinstance(told, DeviceEvent) and told.condition is None]
        assert (event.severity, event.state) == ("alarm", "reported")


async def test_an_acknowledgement_reaches_the_server_with_its_comment(peer: OpcUaPeer):
    async with streaming(tank(peer.port)) as collector:
        await refreshed(collector)
        await peer.set("L1", 0.05)
        await collector.until(lambda: stands(collector, "L1.L1Alarm") == [(True, False)])
        (raised,) = events(collector, "L1.L1Alarm")
        driver, device = collector.driver, collector.driver.devices[0]
        await driver.acknowledge(device, raised.condition.id, raised.id, "am Ventil gewesen")
        await collector.until(lambda: stands(collector, "L1.L1Alarm") == [(True, False), (True, True)])
        assert events(collector, "L1.L1Alarm")[1].detail["comment"] == "am Ventil gewesen"
        with pytest.raises(DeviceError, match="look at it once more, then acknowledge it again"):
            await driver.acknowledge(device, raised.condition.id, raised.id, "twice")
        with pytest.raises(DeviceError, match="no longer has this condition"):
            await driver.acknowledge(device, f"nsu={NAMESPACE};s=Gone", raised.id, "")


async def test_what_came_before_anybody_had_seen_the_last_stays_to_be_acknowledged(peer: OpcUaPeer):
    """The server keeps a branch for it; the condition itself is in order, and not because somebody had seen it."""
    async with streaming(tank(peer.port)) as collector:
        await refreshed(collector)
        await peer.set("L2", 0.85)
        await collector.until(lambda: stands(collector, "L2.L2Alarm") == [(True, False)])
        await peer.set("L2", 0.5)
        await collector.until(lambda: stands(collector, "L2.L2Alarm")[1:] == [(False, None)])
        assert stands(collector, "L2.L2Alarm (earlier)") == [(False, False)]
        (earlier,) = events(collector, "L2.L2Alarm (earlier)")
        driver = collector.driver
        await driver.acknowledge(driver.devices[0], earlier.condition.id, earlier.id, "seen late")
        await collector.until(lambda: len(stands(collector, "L2.L2Alarm (earlier)")) == 2)
        last = events(collector, "L2.L2Alarm (earlier)")[-1].condition
        assert (last.acknowledged, last.retained) == (True, False)


async def test_a_disabled_condition_is_over(peer: OpcUaPeer):
    async with streaming(tank(peer.port)) as collector:
        await refreshed(collector)
        await peer.set("Pressure", 0.95)
        name = "Pressure.PressureAlarm"
        await collector.until(lambda: stands(collector, name) == [(True, False)])
        await peer.order(disable="PressureAlarm")
        await collector.until(lambda: len(stands(collector, name)) == 2)
        over = events(collector, name)[-1].condition
        assert (over.active, over.retained) == (False, False)


async def test_events_of_an_outage_come_after_it_and_conditions_are_asked_for_again(peer: OpcUaPeer):
    async with FaultProxy("127.0.0.1", peer.port) as proxy, kept_alive(tank(proxy.port)) as collector:
        await refreshed(collector)
        proxy.cut()
        await peer.set("L3", 0.85)
        await peer.order(event="in the dark", count=3)
        await collector.until(lambda: collector.lost)
        await proxy.restore()
        await refreshed(collector, 2)
        await collector.until(lambda: len(plain(collector)) >= 3 and stands(collector, "L3.L3Alarm"))
        assert plain(collector) == [f"plc: Tank: in the dark {number}" for number in range(3)]
        assert f"nsu={NAMESPACE};s=L3Alarm" in retained(collector)[-1]
        raised, *again = events(collector, "L3.L3Alarm")
        assert not raised.restated
        assert all(event.restated and (event.id, event.t_ns) == (raised.id, raised.t_ns) for event in again)


async def test_what_a_server_has_forgotten_in_a_restart_is_over_and_the_gap_is_told(peer: OpcUaPeer):
    async with kept_alive(tank(peer.port)) as collector:
        await refreshed(collector)
        await peer.set("L5", 0.85)
        await collector.until(lambda: stands(collector, "L5.L5Alarm"))
        peer.kill()
        await peer.start()
        await refreshed(collector, 2)
        assert retained(collector)[-1] == frozenset()
    lost = [told for told in collector.told if isinstance(told, DeviceEvent) and told.state == "lost"]
    assert [told.detail["reason"] for told in lost] == ["the server no longer had the subscription after an outage"]


async def test_a_flood_beyond_the_servers_queue_is_told_as_a_loss(peer: OpcUaPeer):
    async with streaming(tank(peer.port, scan="1s", event_queue=5)) as collector:
        await refreshed(collector)
        await peer.order(event="flood", count=300)
        await collector.until(
            lambda: any(isinstance(told, DeviceEvent) and told.state == "lost" for told in collector.told)
        )
        assert len(plain(collector)) < 300
        await refreshed(collector, 2)  # what stands is asked anew


async def heard(peer: OpcUaPeer, collector: Collector) -> None:
    """Until events of the tank come: a server that is asked for those of the tank alone does not mark what it restates."""
    async with asyncio.timeout(30):
        while not plain(collector):
            await peer.order(event="ping")
            await asyncio.sleep(0.05)


async def test_only_the_named_notifiers_are_listened_to(peer: OpcUaPeer):
    notifiers = [f"nsu={NAMESPACE};s=Tank", "nsu=http://nowhere.example;s=X", f"nsu={NAMESPACE};s=Nowhere"]
    with capture_logs() as logs:
        async with streaming(tank(peer.port, notifiers=notifiers)) as collector:
            await heard(peer, collector)
    said = {log["node"]: log["event"] for log in logs if "node" in log}
    assert said == {
        notifiers[1]: "the server has no such node: check notifiers",
        notifiers[2]: "the server has no events here: check notifiers",
    }


async def test_two_notifiers_tell_an_event_once(peer: OpcUaPeer):
    async with streaming(tank(peer.port, notifiers=[f"nsu={NAMESPACE};s=Tank"] * 2)) as collector:
        await heard(peer, collector)
        await peer.order(event="twice", count=2)
        await peer.order(event="end")
        await collector.until(lambda: "plc: Tank: end" in plain(collector))
        told = [message for message in plain(collector) if "ping" not in message]
        assert told == ["plc: Tank: twice 0", "plc: Tank: twice 1", "plc: Tank: end"]


async def test_a_server_without_events_gives_values_all_the_same(peer: OpcUaPeer):
    with capture_logs() as logs:
        async with streaming(tank(peer.port, notifiers=[f"nsu={NAMESPACE};s=Nowhere"])) as collector:
            await peer.set("Double", 3.5)
            await collector.until(lambda: 3.5 in collector.values("Double"))
    (reason,) = [log["reason"] for log in logs if "node" in log]
    assert reason.endswith("(BadNodeIdUnknown)")


async def test_without_events_whatever_was_raised_is_over(peer: OpcUaPeer):
    async with streaming(tank(peer.port, events=False)) as collector:
        await collector.until(lambda: collector.values("Double"))
        assert retained(collector) == [frozenset()]


def audited(collector: Collector) -> list[DeviceEvent]:
    """What the server notes of its clients."""
    return [told for told in collector.told if isinstance(told, DeviceEvent) and told.kind == DEVICE_AUDIT]


async def test_audit_events_tell_who_did_what_and_whether_it_was_done(serve):
    peer = await serve("--alarms")
    async with streaming(tank(peer.port, audit_events=True)) as collector:
        await refreshed(collector)
        await peer.order(audit="AuditWriteUpdateEventType", user="anna\nQA", done=False)
        await peer.order(audit="AuditUpdateMethodEventType", user="bert")
        await peer.order(audit="VendorAuditEventType", user="cäsar")
        await collector.until(lambda: len(audited(collector)) == 3)
    written, called, own = [told.detail for told in audited(collector)]
    assert (written["event_type"], written["by"], written["done"]) == ("AuditWriteUpdateEventType", "anna QA", False)
    assert (written["attribute"], written["old_value"], written["new_value"]) == ("Value", "1.5", "2.5")
    assert (written["action_ts"], written["server"], written["audit_entry"]) == (
        1_700_000_000_000,
        "urn:peer",
        "entry 7",
    )
    assert (called["method"], called["arguments"]) == (f"nsu={NAMESPACE};s=Tank.Fill", "[3.0, 2]")
    assert (own["by"], own["done"]) == ("cäsar", True)
    assert all(told.condition is None and told.by == told.detail["by"] for told in audited(collector))


async def test_what_a_server_notes_by_itself_is_told_too(serve):
    peer = await serve("--alarms", "--audit")
    async with streaming(tank(peer.port, audit_events=True)) as collector:
        await refreshed(collector)
        async with streaming(make_device(f"opc.tcp://127.0.0.1:{peer.port}", ["Double"])) as other:
            await other.until(lambda: other.values("Double"))
            await collector.until(
                lambda: {"AuditCreateSessionEventType", "AuditActivateSessionEventType"} <= kinds(collector)
            )


def kinds(collector: Collector) -> set[str]:
    return {told.detail["event_type"] for told in audited(collector)}


async def test_without_the_option_audit_events_are_left_out_also_those_of_a_vendor(peer: OpcUaPeer):
    async with streaming(tank(peer.port)) as collector:
        await refreshed(collector)
        for kind in ("AuditWriteUpdateEventType", "VendorAuditEventType"):
            await peer.order(audit=kind)
        await peer.order(event="after them", severity=500)
        await collector.until(lambda: "plc: Tank: after them" in plain(collector))
        assert [told.message for told in collector.told if isinstance(told, DeviceEvent)] == ["plc: Tank: after them"]
