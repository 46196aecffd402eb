"""A watch is a plugin that raises alarms of its own kind: nothing in the gateway knows it by name."""

from typing import Any

import pytest

from gateway.app import look_up
from gateway.config.load import load
from gateway.core.errors import ConfigError
from tests.app.plant import Site, device, sink

EVENTS = "north/oven/_event"


def watch(name: str = "jumps", more: str = "", plugin: str = "jump") -> str:
    """An [[alarm]] with a plugin."""
    return f'[[alarm]]\nname = "{name}"\nplugin = "{plugin}"\ndevices = ["*"]\ntag = "temp"\nby = 10.0\n{more}\n'


async def looked(site: Site, more: int) -> dict[str, Any]:
    """Its status after so many further turns."""
    before = (await site.ask("status"))["watches"][0]
    said = await site.answered(
        "status", lambda status: status["watches"][0]["facts"].get("looks", 0) >= before["facts"].get("looks", 0) + more
    )
    return dict(said["watches"][0])


async def raised(site: Site, since: int = 0) -> dict[str, Any]:
    place = await site.heard(EVENTS, lambda body: body["state"] == "raised", since=since)
    return site.far.story[place][1]


async def test_it_raises_and_clears_over_a_restart_under_one_id(site: Site) -> None:
    site.write(sink(), device("oven"), watch(more='calm = 20\nseverity = "alarm"\naction = "look at the probe"'))
    site.bench.value = 20.0
    async with site.running():
        await looked(site, 2)
        site.bench.value = 50.0
        event = await raised(site)
        assert (event["kind"], event["alarm"], event["plugin"]) == ("alarm", "jumps", "jump")
        assert event["message"] == "oven jumped from 20 to 50; look at the probe"
        assert (event["severity"], event["to"]) == ("alarm", 50.0)
    stopped = len(site.far.story)
    site.write(sink(), device("oven"), watch(more='calm = 5\nseverity = "alarm"'))
    async with site.running():
        assert (await raised(site, stopped))["event"] == event["event"]
        await site.heard(EVENTS, lambda body: (body["state"], body["event"]) == ("cleared", event["event"]), stopped)
        (listed,) = await site.ask("alarms")
        assert (listed["name"], listed["state"]) == ("jumps/oven", "cleared")
        assert await site.ask("acknowledge", alarm="jumps/oven") == []
    assert "abandoned" not in [body["state"] for topic, body in site.far.story if topic == EVENTS]


async def test_a_reload_that_is_about_others_leaves_it_as_it_is(site: Site) -> None:
    site.write(sink(), device("oven"), watch())
    async with site.running():
        looks = (await looked(site, 2))["facts"]["looks"]
        site.write(sink(), device("oven"), watch(), watch("others", "calm = 9"))
        assert (await site.ask("reload"))["changes"] == ["alarm others added"]
        assert (await looked(site, 1))["facts"]["looks"] > looks
        assert [each["name"] for each in (await site.ask("status"))["watches"]] == ["jumps", "others"]


async def test_a_reload_that_changes_it_keeps_what_is_raised_and_one_without_it_ends_that(site: Site) -> None:
    site.write(sink(), device("oven"), watch(more="calm = 1000"))
    site.bench.value = 20.0
    async with site.running():
        await looked(site, 2)
        site.bench.value = 50.0
        event = (await raised(site))["event"]
        site.write(sink(), device("oven"), watch(more="calm = 1001"))
        assert (await site.ask("reload"))["changes"] == ["alarm jumps changed"]
        assert (await looked(site, 1))["raised"] == ["oven"]
        site.write(sink(), device("oven"))
        assert (await site.ask("reload"))["changes"] == ["alarm jumps removed"]
        await site.heard(EVENTS, lambda body: (body["state"], body["event"]) == ("abandoned", event))


BROKEN = """
from gateway.plugin import Watch, WatchConfig
class BrokenConfig(WatchConfig):
    tag: str
    by: float
class Broken(Watch[BrokenConfig]):
    def seen(self, readings, boot_ns):
        if 666 in readings.value:
            raise SystemExit("the plugin's own bug")
        self.host.raised("oven", "wild", 2**80, event="mine", state="mine", big=2**80, odd={1: object()})
"""


async def test_one_that_fails_is_named_and_limits_and_devices_go_on(site: Site) -> None:
    hot = '[[alarm]]\nname = "hot"\ndevices = ["*"]\ntag = "temp"\nhigh = 600.0\n'
    (site.path / "plugins" / "broken.py").write_text(BROKEN)
    site.write(sink(), device("oven"), watch("wild", plugin="broken"), hot)
    async with site.running():
        event = await raised(site)
        assert (event["alarm"], event["state"], event["event"] != "mine") == ("wild", "raised", True)
        site.bench.value = 666.0
        await site.heard(EVENTS, lambda body: body["state"] == "raised" and body["alarm"] == "hot")
        said = await site.answered("status", lambda status: status["watches"][0]["state"] == "faulted")
        assert "the plugin's own bug" in said["watches"][0]["reason"]
        site.bench.value = 20.0
        await site.answered("status", lambda status: status["watches"][0]["state"] == "up")
    assert '"wild"' in (site.path / "state" / "alarms.json").read_text()


def test_mistakes_are_told_with_what_to_write(site: Site) -> None:
    wrong = [
        watch("a", plugin="lab"),
        watch("b", plugin="jumpp"),
        watch("c", "calmer = 1"),
        watch("d").replace('"*"', '"ovn"'),
        watch("c", 'severity = "loud"'),
    ]
    site.write(sink(), device("oven"), *wrong)
    with pytest.raises(ConfigError) as refused:
        load(site.config, look_up)
    said = "\n".join(f"{problem.where}: {problem.message}" for problem in refused.value.problems)
    assert '"lab" is a driver, not a watch: name it in a [[device]] table' in said
    assert 'no watch plugin "jumpp", did you mean "jump"?' in said
    assert 'calmer: unknown key, did you mean "calm"?' in said
    assert 'no device is named "ovn"' in said
    assert "this name is taken already" in said
    assert "severity" in said
