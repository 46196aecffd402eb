"""What devices raise themselves, and what is called on them, in the whole gateway: listed, acknowledged there, audited."""

from typing import Any

import pytest

from gateway.plugin import DeviceEvent, Retained
from gateway.trust import audit

from .plant import Site, device, sink

EVENTS = "north/oven/_event"


@pytest.fixture
def plant(site: Site) -> Site:
    site.gateway_line = "writes = true"
    site.write(sink(), device("oven"))
    return site


async def refusal(site: Site, command: str, **arguments: Any) -> str:
    with pytest.raises(AssertionError) as refused:
        await site.ask(command, **arguments)
    return str(refused.value)


async def raised(site: Site) -> dict[str, Any]:
    """What the far side has heard after the device has told that it is hot."""
    await site.heard("north/oven")
    site.bench.lines["oven"].stands("e1", True, False)
    place = await site.heard(EVENTS, lambda body: body["state"] == "raised")
    body: dict[str, Any] = site.far.story[place][1]
    return body


def noted(site: Site, action: str) -> list[dict[str, Any]]:
    return [line for line in site.audit() if line["action"] == action]


async def test_a_condition_is_told_listed_and_acknowledged_at_the_device(plant: Site) -> None:
    async with plant.running():
        told = await raised(plant)
        event = told["event"]
        assert (told["kind"], told["severity"], told["ts"], told["limit"]) == (
            "condition",
            "alarm",
            1_800_000_000_000,
            "High",
        )
        (listed,) = await plant.ask("alarms")
        assert (listed["name"], listed["state"], listed["event"]) == ("Oven.Hot/oven", "raised", event)
        (listed,) = await plant.ask("acknowledge", alarm=event[:6], comment="fan was off")
        assert (listed["state"], listed["acknowledged"]["comment"]) == ("acknowledged", "fan was off")
        assert plant.bench.acknowledged == [("c1", "e1", "fan was off")]
        place = await plant.heard(EVENTS, lambda body: body["state"] == "acknowledged" and body["event"] == event)
        assert plant.far.story[place][1]["by"] == listed["acknowledged"]["by"]
        plant.bench.lines["oven"].stands("e3", False, True)
        await plant.heard(EVENTS, lambda body: body["state"] == "cleared" and body["event"] == event)
        assert await plant.ask("alarms") == []
    (asked,) = noted(plant, "alarm.acknowledge")
    assert (asked["target"], asked["why"], asked["condition"]) == ("Oven.Hot/oven", "fan was off", "c1")
    (done,) = noted(plant, "alarm.acknowledge.result")
    assert done["result"] == "done"
    assert done["who"] == asked["who"] not in ("", "system")


async def test_a_device_that_refuses_an_acknowledgement_is_quoted_and_the_alarm_waits_on(plant: Site) -> None:
    async with plant.running():
        event = (await raised(plant))["event"]
        said = await refusal(plant, "acknowledge", alarm=event, comment="no")
        assert "the operator's key is missing" in said
        assert [each["state"] for each in await plant.ask("alarms")] == ["raised"]
    assert noted(plant, "alarm.acknowledge.result")[0]["result"] == "failed: the operator's key is missing"


async def test_where_the_audit_trail_cannot_be_written_nothing_is_acknowledged_or_called(
    plant: Site, monkeypatch
) -> None:
    async with plant.running():
        event = (await raised(plant))["event"]

        def fail(*_: object, **__: object) -> None:
            raise audit.AuditError("the disk is full")

        with monkeypatch.context() as broken:
            broken.setattr(audit.AuditTrail, "write", fail)
            assert "the disk is full" in await refusal(plant, "acknowledge", alarm=event, comment="seen")
            assert "the disk is full" in await call_refused(plant)
    assert plant.bench.acknowledged == plant.bench.called == []


async def test_a_restart_finds_it_raised_and_what_the_device_no_longer_retains_is_cleared(plant: Site) -> None:
    async with plant.running():
        event = (await raised(plant))["event"]
    stopped = len(plant.far.story)
    async with plant.running():
        await plant.heard("north/oven", since=stopped)
        assert [each["event"] for each in await plant.ask("alarms")] == [event]
        plant.bench.lines["oven"].tell(Retained("oven", frozenset()))
        await plant.heard(EVENTS, lambda body: body["state"] == "cleared" and body["event"] == event, since=stopped)
        assert await plant.ask("alarms") == []


async def test_a_device_that_is_taken_away_ends_its_conditions(plant: Site) -> None:
    async with plant.running():
        await raised(plant)
        plant.write(sink(), device("other"))
        await plant.ask("reload")
        await plant.heard(EVENTS, lambda body: body["state"] == "abandoned")
        assert await plant.ask("alarms") == []


async def test_events_without_a_condition_overtake_and_name_the_device(plant: Site) -> None:
    async with plant.running():
        await plant.heard("north/oven")
        plant.bench.lines["oven"].tell(
            DeviceEvent("oven", "e9", 5_000_000, "oven: door open", detail={"source": "Door"})
        )
        place = await plant.heard(EVENTS, lambda body: body["kind"] == "device")
    told = plant.far.story[place][1]
    assert (told["state"], told["message"], told["source"], told["ts"]) == ("reported", "oven: door open", "Door", 5)


# Calling.


async def call(site: Site, method: str = "heat", target: str = "oven", name: str = "oven") -> Any:
    wanted = {"device": name, "target": target, "method": method, "arguments": [80, "slowly"], "reason": "batch 7"}
    return await site.ask("call", **wanted)


async def call_refused(site: Site, **where: str) -> str:
    with pytest.raises(AssertionError) as refused:
        await call(site, **where)
    return str(refused.value)


async def test_a_call_returns_its_results_and_is_told_to_audit_trail_and_far_side(plant: Site) -> None:
    async with plant.running():
        await plant.heard("north/oven")
        answer = await call(plant)
        await plant.heard(EVENTS, lambda body: body["kind"] == "call" and body["result"] == "done")
    assert answer["results"] == [{"name": "count", "value": 2}, {"name": "ok", "value": True}]
    assert plant.bench.called == [("oven", "heat", [80, "slowly"])]
    (asked,) = noted(plant, "call")
    assert (asked["target"], asked["arguments"], asked["why"]) == ("oven/oven.heat", [80, "slowly"], "batch 7")
    (done,) = noted(plant, "call.result")
    assert (done["result"], done["results"], done["who"]) == ("done", answer["results"], asked["who"])


async def test_a_call_that_the_device_refuses_is_quoted_and_audited(plant: Site) -> None:
    async with plant.running():
        await plant.heard("north/oven")
        assert "the flap is stuck" in await call_refused(plant, method="vent")
    assert noted(plant, "call.result")[0]["result"] == "failed: the flap is stuck"


@pytest.mark.parametrize(
    ("where", "says"),
    [
        ({"method": "cool"}, '"cool" of oven may not be called; [device.methods] allows: heat, vent'),
        ({"target": "ovn"}, 'did you mean "oven"?'),
        ({"name": "press"}, 'no device "press"'),
    ],
)
async def test_what_the_configuration_does_not_name_is_not_called(plant: Site, where, says) -> None:
    async with plant.running():
        await plant.heard("north/oven")
        assert says in await call_refused(plant, **where)
    assert plant.bench.called == noted(plant, "call") == []


async def test_without_the_gateways_switch_or_a_list_nothing_is_called(site: Site) -> None:
    site.write(sink(), device("oven"), device("press", 'bus = "b"'))
    async with site.running():
        await site.heard("north/oven")
        assert "[gateway] writes = true allows it" in await call_refused(site)
        assert "no method of press may be called" in await call_refused(site, name="press")
    assert site.bench.called == []
