"""A service is a plugin beside the road: nothing in the gateway knows it by name."""

from contextlib import suppress
from typing import Any

import pytest

from gateway.app import look_up
from gateway.config.load import load
from gateway.core.command import Actor
from gateway.core.errors import ConfigError, GatewayError
from gateway.operate import services
from gateway.supervise import backoff, foreign
from tests.app.plant import Ahead, Site, device, sink


def service(name: str = "totals", plugin: str = "totals", more: str = "") -> str:
    """A [[service]] table."""
    return f'[[service]]\nname = "{name}"\nplugin = "{plugin}"\n{more}\n'


async def state_of(site: Site, name: str = "totals") -> dict[str, Any]:
    (found,) = (each for each in (await site.ask("status"))["services"] if each["name"] == name)
    return dict(found)


async def counted(site: Site, more_than: int) -> int:
    """How many readings the service has seen, as soon as there are more."""
    while True:
        with suppress(AssertionError):  # not started yet
            count = await site.ask("totals.count", device="oven")
            if count > more_than:
                return int(count)
        await site.heard("north/oven", since=len(site.far.story))


async def test_it_sees_what_is_read_and_answers_commands_of_its_own(site: Site) -> None:
    site.write(sink(), device("oven"), service(more="begin_at = 1_000_000"))
    async with site.running(Ahead()):
        await site.heard("north/oven")
        await counted(site, await counted(site, 1_000_000))
        assert (await state_of(site))["state"] == "up"


async def test_its_commands_are_checked_and_audited_as_all_others_are(site: Site) -> None:
    site.write(sink(), device("oven"), service())
    async with site.running(Ahead()) as gateway:
        await counted(site, 0)
        operator = Actor("kim", roles=frozenset(("viewer", "operator")))
        with pytest.raises(GatewayError, match=r"totals\.reset needs the role engineer; kim has: operator, viewer"):
            await gateway._commands.call(operator, {"command": "totals.reset"})
        with pytest.raises(GatewayError, match=r'totals\.count needs the argument "device"'):
            await gateway._commands.call(operator, {"command": "totals.count"})
        assert await site.ask("totals.reset") is None
    done = [line["action"] for line in site.audit() if line["action"].startswith("totals.")]
    assert done == ["totals.reset", "totals.reset.result"]


async def test_what_it_asks_of_the_gateway_it_asks_with_the_roles_of_who_asks_it(site: Site) -> None:
    site.write(sink(), device("oven"), service("page", "asking"))
    async with site.running(Ahead()) as gateway:
        while (await state_of(site, "page"))["state"] != "up":
            await site.heard("north/oven", since=len(site.far.story))
        answer = await site.ask("page.look")
        assert answer["alarms"] == []
        assert len(answer["values"]) == 2
        with pytest.raises(GatewayError, match="alarms needs the role viewer"):
            await gateway._commands._bodies["page.look"](Actor("kim", roles=frozenset()))


ODD = """
import asyncio
from gateway.plugin import Declared, Service, ServiceConfig

class Odd(Service[ServiceConfig]):
    kept = []

    def commands(self):
        {commands}

    async def run(self):
        {run}

    async def do(self, by):
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            await asyncio.Event().wait()

    async def outlive(self):
        while True:
            for call in (self.host.started, lambda: self.host.observe(print)):
                try:
                    call()
                    self.kept.append("")
                except Exception as error:
                    self.kept.append(str(error))
            await asyncio.sleep(0.01)
"""


def lay(
    site: Site, commands: str = 'return {"do": (Declared(), self.do)}', run: str = "await asyncio.Event().wait()"
) -> None:
    (site.path / "plugins" / "odd.py").write_text(ODD.format(commands=commands, run=run))
    site.write(sink(), device("oven"), service("page", "odd"))


@pytest.mark.parametrize(
    ("commands", "said"),
    [
        ("return None", "must return a table"),
        ("return {f'c{n}': (Declared(), self.do) for n in range(101)}", "of 100 commands at most"),
        ("return {1: (Declared(), self.do)}", "a name is made of a-z, 0-9 and _"),
        ("return {'do\\n': (Declared(), self.do)}", "a name is made of a-z, 0-9 and _"),
        ("return {'do': self.do}", "do must be a Declared and what does it"),
        ("return {'do': ('a', 'b')}", "do must be a Declared and what does it"),
        ("return {'do': (Declared(), 5)}", "do must be a Declared and what does it"),
    ],
)
async def test_what_are_no_commands_is_refused_in_words(site: Site, commands: str, said: str) -> None:
    lay(site, commands)
    async with site.running(Ahead()):
        await site.heard("north/oven")
        while not (parts := (await site.ask("status"))["parts"]):
            await site.heard("north/oven", since=len(site.far.story))
        assert said in parts[0]["reason"]


async def test_who_outlives_his_attempt_can_do_nothing_any_more(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(backoff.Backoff, "pause", lambda *_: 3600.0)  # there is no second attempt
    lay(site, run="self.task = asyncio.ensure_future(self.outlive()); raise OSError('gone')")
    async with site.running(Ahead()) as gateway:
        await site.heard("north/oven")
        kept = gateway.plugins.service("odd").kept  # type: ignore[attr-defined]
        while len(kept) < 40:
            await site.heard("north/oven", since=len(site.far.story))
        assert set(kept[2:]) == {"this attempt of the service has ended"}
        assert (await state_of(site, "page"))["state"] == "down"
        observers = len(gateway._pipeline._observers)
    assert observers < 10, "those of the gateway itself"


async def test_a_command_that_does_not_end_is_left_behind_in_time(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(services, "PATIENCE", 0.05)
    monkeypatch.setattr(foreign, "PATIENCE", 0.05)
    lay(site, run="self.host.started(); await asyncio.Event().wait()")
    async with site.running(Ahead()):
        while (await state_of(site, "page"))["state"] != "up":
            await site.heard("north/oven", since=len(site.far.story))
        for _ in range(foreign.MOST_LEFT):
            with pytest.raises(AssertionError, match=r"page\.do did not end within 0\.05 s"):
                await site.ask("page.do")
        with pytest.raises(AssertionError, match="10 calls do not end although they were cancelled"):
            await site.ask("page.do")


async def test_a_service_that_fails_is_named_and_all_else_goes_on(site: Site) -> None:
    broken = site.path / "plugins" / "broken.py"
    broken.write_text(
        "from gateway.plugin import Service, ServiceConfig\n"
        "class Broken(Service[ServiceConfig]):\n"
        "    async def run(self):\n"
        "        self.host.started()\n"
        "        raise SystemExit\n"
    )
    site.write(sink(), device("oven"), service(), service("page", "broken"))
    async with site.running(Ahead()):
        await site.heard("north/oven")
        while not (parts := (await site.ask("status"))["parts"]):
            await site.heard("north/oven", since=len(site.far.story))
        (trouble,) = parts
        assert trouble["name"] == "service page"
        assert trouble["state"] == "faulted"
        assert "SystemExit" in trouble["reason"]
        await site.heard("north/oven", since=len(site.far.story))
        assert (await state_of(site))["state"] == "up"


async def test_a_reload_starts_exchanges_and_stops_services(site: Site) -> None:
    site.write(sink(), device("oven"))
    async with site.running(Ahead()):
        await site.heard("north/oven")
        site.write(sink(), device("oven"), service())
        assert (await site.ask("reload"))["changes"] == ["service totals added"]
        assert await counted(site, 0) < 1_000_000
        site.write(sink(), device("oven"), service(more="begin_at = 1_000_000"))
        assert (await site.ask("reload"))["changes"] == ["service totals changed"]
        await counted(site, 1_000_000)
        site.write(sink(), device("oven"))
        assert (await site.ask("reload"))["changes"] == ["service totals removed"]
        with pytest.raises(AssertionError, match="no command"):
            await site.ask("totals.count", device="oven")


def test_mistakes_are_told_with_what_to_write(site: Site) -> None:
    wrong = [service("a", "lab"), service("b", "totalz"), service("c", more="begin = 1"), service("c")]
    site.write(sink("d", ""), device("oven"), *wrong, '[[sink]]\nname = "e"\nplugin = "totals"\n')
    with pytest.raises(ConfigError) as refused:
        load(site.config, look_up)
    said = [f"{problem.where}: {problem.message}" for problem in refused.value.problems]
    assert any('"lab" is a driver, not a service: name it in a [[device]] table' in each for each in said), said
    assert any('no service plugin "totalz", did you mean "totals"?' in each for each in said), said
    assert any('begin: unknown key, did you mean "begin_at"?' in each for each in said), said
    assert any("this name is taken already" in each for each in said), said
    assert any('"totals" is a service, not a sink: name it in a [[service]] table' in each for each in said), said
