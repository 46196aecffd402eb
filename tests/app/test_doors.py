"""What goes through the doors for plugins: each is a file in `tests/app/plugins`, and nothing in the gateway knows it."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from gateway.cli.config.check import check
from gateway.core.errors import GatewayError
from gateway.plugin.loading import load_plugin
from tests.app.plant import Site, device, sink


def either(name: str, more: str) -> str:
    """A [[device]] that polls or subscribes."""
    return device(name, more).replace('"lab"', '"either"')


async def test_a_line_polls_or_subscribes_as_its_configuration_says(site: Site) -> None:
    site.write(sink(), either("asked", ""), either("reporting", "reports = true"))
    async with site.running():
        await site.heard("north/asked", lambda body: 1 < body["values"]["temp"] < 1000)
        await site.heard("north/reporting", lambda body: body["values"]["temp"] > 1001)
        (now,) = await site.ask("read", device="reporting", tags=["temp"])
        assert 0 < now["value"] < 1000, "what a person asks for is read at once"
        site.write(sink(), either("asked", "reports = true"), either("reporting", ""))
        await site.ask("reload")
        since = len(site.far.story)
        await site.heard("north/asked", lambda body: body["values"]["temp"] > 1001, since)
        await site.heard("north/reporting", lambda body: 1 < body["values"]["temp"] < 1000, since)


def test_check_tells_of_a_device_that_shares_a_line_and_is_to_be_read_otherwise(
    site: Site, capsys: pytest.CaptureFixture[str]
) -> None:
    site.write(either("asked", 'bus = "b"'), either("reporting", 'bus = "b"\nreports = true'))
    assert check(site.config) == 0
    assert 'line of "asked": reporting will be polled, as the first device' in capsys.readouterr().out


WRITABLE = "[device.tags]\ntemp = { write = true, min = 0, max = 99, max_rate = '6000/min' }\n"
REQUESTING = sink("far").replace('"memory"', '"requesting"')
WRITE = {"device": "oven", "tag": "temp", "value": 42, "reason": "recipe 7"}

Ask = Callable[..., Awaitable[Any]]


@pytest.fixture
def far_side(site: Site, monkeypatch: pytest.MonkeyPatch) -> Ask:
    """Has the far side of the sink "far" ask for something, and gives the answer that it gets."""
    requests: asyncio.Queue[Any] = asyncio.Queue()
    requesting = load_plugin(site.path / "plugins" / "requesting.py")
    monkeypatch.setattr(requesting, "requests", requests, raising=False)
    site.gateway_line = "writes = true"

    async def ask(command: str, **arguments: Any) -> Any:
        answer = asyncio.get_running_loop().create_future()
        requests.put_nowait((command, arguments, answer))
        return await answer

    return ask


async def test_a_write_that_a_sink_asks_for_is_refused_by_role_and_that_is_audited(site: Site, far_side: Ask) -> None:
    site.write(sink(), REQUESTING, device("oven", tags=WRITABLE))
    async with site.running():
        await site.heard("north/oven")
        with pytest.raises(GatewayError, match=r"write needs the role engineer; sink far has: none \(\[access\]"):
            await far_side("write", **WRITE)
        with pytest.raises(GatewayError, match="status needs the role viewer"):
            await far_side("status")
    refused = [line for line in site.audit() if line["action"] == "access.refused"]
    assert [(line["who"], line["command"], line["roles"]) for line in refused] == [
        ("sink far", "write", []),
        ("sink far", "status", []),
    ]
    assert site.bench.written == []


async def test_what_the_configuration_allows_a_sink_is_done_guarded_and_audited_under_its_name(
    site: Site, far_side: Ask
) -> None:
    tables = sink(), REQUESTING, device("oven", tags=WRITABLE)
    site.write(*tables, '[access]\nengineer = ["sink:far"]')
    async with site.running():
        await site.heard("north/oven")
        answer = await far_side("write", **WRITE)
        assert (answer["new"], answer["result"]) == (42.0, "confirmed")
        assert site.bench.written == [("temp", 42.0)]
        with pytest.raises(GatewayError, match="99"):
            await far_side("write", **{**WRITE, "value": 100})
        with pytest.raises(GatewayError, match="write needs the argument"):
            await far_side("write", device="oven")
        assert {row["tag"] for row in await far_side("tags", device="oven")} == {"temp"}
        site.write(*tables, '[access]\nviewer = ["sink:far"]')
        await site.ask("reload")
        with pytest.raises(GatewayError, match="sink far has: viewer"):
            await far_side("write", **WRITE)
    done = [(line["action"], line["who"]) for line in site.audit() if line["action"].startswith("write")]
    assert done == [("write", "sink far"), ("write.result", "sink far")]
    assert site.bench.written == [("temp", 42.0)]


def test_check_tells_of_a_sink_that_access_names_and_that_is_not_there(
    site: Site, capsys: pytest.CaptureFixture[str]
) -> None:
    site.write(REQUESTING, device("oven"), '[access]\nengineer = ["sink:fat", "sink:far"]')
    assert check(site.config) == 0
    said = capsys.readouterr().out
    assert '[access]: "sink:fat": there is no such sink, did you mean "far"?' in said
    assert "sink:far" not in said.replace("sink:fat", "")
