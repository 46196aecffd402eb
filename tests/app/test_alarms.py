"""Alarms of the whole gateway: raised at the far side, acknowledged on the socket, audited, the same after a restart."""

import pytest

from tests.app.plant import Site, device, sink

LIMIT = '[[alarm]]\nname = "too hot"\ndevices = ["*"]\ntag = "temp"\nhigh = 80.0\naction = "open the damper"\n'
EVENTS = "north/oven/_event"


async def test_a_limit_is_told_acknowledged_and_audited_with_who_and_why(site: Site) -> None:
    site.write(sink(), device("oven"), LIMIT)
    async with site.running():
        site.bench.value = 90.0
        place = await site.heard(EVENTS, lambda body: body["state"] == "raised")
        event = site.far.story[place][1]["event"]
        (listed,) = await site.ask("alarms")
        assert (listed["state"], listed["event"], listed["name"]) == ("raised", event, "too hot/oven")
        (listed,) = await site.ask("acknowledge", alarm=event[:6], comment="fan was off")
        assert listed["state"] == "acknowledged"
        await site.heard(EVENTS, lambda body: body["state"] == "acknowledged" and body["comment"] == "fan was off")
        site.bench.value = 20.0
        await site.heard(EVENTS, lambda body: body["state"] == "cleared" and body["event"] == event)
        assert await site.ask("alarms") == []
    (noted,) = [line for line in site.audit() if line["action"] == "alarm.acknowledge"]
    assert (noted["target"], noted["why"], noted["event"]) == ("too hot/oven", "fan was off", event)
    assert noted["who"] not in ("", "system")


async def test_a_restart_keeps_what_is_raised_and_clears_it_under_its_id(site: Site) -> None:
    site.write(sink(), device("oven"), LIMIT)
    site.bench.value = 90.0
    async with site.running():
        place = await site.heard(EVENTS, lambda body: body["state"] == "raised")
        event = site.far.story[place][1]["event"]
        await site.ask("shelve", alarm="too hot/oven", seconds=60, reason="known")
        await site.ask("unshelve", alarm="too hot/oven")
    stopped = len(site.far.story)
    async with site.running():
        await site.heard(EVENTS, lambda body: body["state"] == "raised" and body["event"] == event, since=stopped)
        site.bench.value = 20.0
        await site.heard(EVENTS, lambda body: body["state"] == "cleared" and body["event"] == event, since=stopped)
    told = [body["state"] for topic, body in site.far.story if topic == EVENTS]
    assert "abandoned" not in told
    actions = [line["action"] for line in site.audit()]
    assert [action for action in actions if action.startswith("alarm.")] == [
        "alarm.shelve", "alarm.shelve.result", "alarm.unshelve", "alarm.unshelve.result",
    ]  # fmt: skip


async def test_what_cannot_be_done_to_an_alarm_is_told(site: Site) -> None:
    site.write(sink(), device("oven"), LIMIT)
    async with site.running():
        await site.heard("north/oven")
        with pytest.raises(AssertionError, match="no alarm"):
            await site.ask("acknowledge", alarm="hot/oven")
        with pytest.raises(AssertionError, match="nothing to acknowledge"):
            await site.ask("acknowledge", alarm="too hot/oven")


async def test_a_reload_that_takes_the_limit_away_ends_its_alarm(site: Site) -> None:
    site.write(sink(), device("oven"), LIMIT)
    site.bench.value = 90.0
    async with site.running():
        await site.heard(EVENTS, lambda body: body["state"] == "raised")
        site.write(sink(), device("oven"))
        assert (await site.ask("reload"))["changes"] == ["alarm too hot removed"]
        await site.heard(EVENTS, lambda body: body["state"] == "abandoned")
