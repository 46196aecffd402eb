"""What the running gateway says of its clock, and of a state directory that came from another machine."""

from typing import Any

import pytest

from gateway.core.clock import SystemClock
from gateway.outbox.format import identity
from tests.app.plant import Site, device, sink

YEARS = 56 * 365 * 86_400_000


class DeadBattery(SystemClock):
    """The machine's clocks, but the wall clock is years behind until the time service sets it."""

    synced = False

    def wall_ns(self) -> int:
        return super().wall_ns() - (0 if self.synced else YEARS * 1_000_000)

    def synchronised(self) -> bool:
        return self.synced


def actions(site: Site, action: str) -> list[dict[str, Any]]:
    return [line for line in site.audit() if line["action"] == action]


async def test_the_first_synchronisation_is_told_everywhere_and_mends_what_waits(site: Site) -> None:
    clock = DeadBattery()
    site.write(sink(), device("oven"))
    async with site.running(clock):
        early = await site.heard("north/oven")
        assert site.far.story[early][1]["clock"] == "not yet synchronised"
        assert (await site.ask("status"))["clock"]["state"] == "not yet synchronised"
        clock.synced = True
        told = await site.heard("north/g1/_event", lambda body: body["state"] == "synchronised")
        assert site.far.story[told][1]["before"] == "not yet synchronised"
        right = await site.heard("north/oven", lambda body: "clock" not in body, since=told)
        assert site.far.story[right][1]["ts"] - site.far.story[early][1]["ts"] >= YEARS
        assert (await site.ask("status"))["clock"]["state"] == "synchronised"
        await site.until(lambda: actions(site, "clock.state") and actions(site, "clock.step"), "in the audit trail")
    (state,), (step,) = actions(site, "clock.state"), actions(site, "clock.step")
    assert state["state"] == "synchronised"
    assert step["seconds"] == pytest.approx(YEARS / 1000, abs=1)
    assert actions(site, "gateway.start")[0]["clock"] == "not synchronised"
    assert "clock" not in actions(site, "gateway.stop")[0]


async def test_a_step_while_the_gateway_stood_still_is_in_the_audit_trail(site: Site) -> None:
    clock = DeadBattery()
    site.write(sink(), device("oven"))
    async with site.running(clock):
        await site.heard("north/oven")
    clock.synced = True
    async with site.running(clock):
        await site.until(lambda: actions(site, "clock.step"), "in the audit trail")
    (step,) = actions(site, "clock.step")
    assert step["seconds"] == pytest.approx(YEARS / 1000, abs=1)


async def test_a_clone_begins_a_new_log_and_log_event_audit_trail_and_status_say_so(
    site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    machine = site.path / "machine-id"
    monkeypatch.setattr(identity, "MACHINE_ID", machine)
    machine.write_text("1" * 32)
    site.write(sink(), device("oven"))
    async with site.running():
        await site.heard("north/oven")
        original = (await site.ask("status"))["outbox"]["log"]
    machine.write_text("2" * 32)
    since = len(site.far.story)
    async with site.running():
        event = await site.heard("north/g1/_event", lambda body: body["kind"] == "outbox", since)
        after = await site.heard("north/oven", since=since)
        outbox = (await site.ask("status"))["outbox"]
    assert "clone" in site.far.story[event][1]["message"]
    assert outbox["log"] != original
    assert outbox["set_aside"] == [site.far.story[event][1]["directory"]]
    assert site.far.story[after][1]["id"].startswith(outbox["log"])
    (begun,) = actions(site, "outbox.begun")
    assert (begun["old"], begun["new"], begun["target"]) == (original, outbox["log"], outbox["set_aside"][0])
