"""`check --connect`: what answers, and what does not; beside a running gateway too."""

import asyncio
import json
from pathlib import Path
from typing import Any

import pytest

from gateway.cli import main
from gateway.core.errors import DeviceError, LinkError
from gateway.plugin.loading import load_plugin
from tests.app.plant import Site, device, sink


def check(site: Site, *more: str) -> int:
    return main(["check", "--connect", "--config", str(site.config), "--socket", str(site.socket), *more])


def files(site: Site) -> list[Path]:
    """All that stands there, but Python's own."""
    return sorted(path for path in site.path.rglob("*") if "__pycache__" not in path.parts)


def lab(site: Site) -> Any:
    return load_plugin(site.path / "plugins" / "lab.py")


def test_all_that_answers_is_shown_with_a_first_value_and_nothing_is_written(
    site: Site, capsys: pytest.CaptureFixture[str]
) -> None:
    site.write(sink(), device("oven", tags='[device.tags]\ntemp = { unit = "°C", scale = 0.1, offset = 20 }\n'))
    before = files(site)
    assert check(site) == 0
    told = capsys.readouterr().out
    assert "  device  oven       ok    temp = 20.1 °C" in told
    assert told.endswith("all of them answer\n")
    assert site.bench.closes == ["oven"]
    assert (site.far.connects, site.far.closes, site.far.records) == (1, 1, [])
    assert files(site) == before


@pytest.mark.parametrize("silent", [False, True])
def test_what_a_device_calls_itself_is_shown_and_costs_nothing_where_it_does_not(
    site: Site, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, silent: bool
) -> None:
    async def identify(self, device):
        if silent:
            raise LinkError("it hung up")
        return f"Acme\n{device.name}"

    monkeypatch.setattr(lab(site), "identify", identify, raising=False)
    site.write(sink(), device("oven", tags='[device.tags]\ntemp = { unit = "°C", scale = 0.1, offset = 20 }\n'))
    assert check(site) == 0
    told = capsys.readouterr().out
    assert "temp = 20.1 °C" in told
    assert ("temp = 20.1 °C  (Acme oven)" in told) is not silent


def test_why_a_tag_cannot_be_read_is_told_where_the_driver_says_it(
    site: Site, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    async def read(self, tags):
        return [1.0, None]

    monkeypatch.setattr(lab(site), "read", read)
    monkeypatch.setattr(lab(site), "remarks", property(lambda self: ["there is no such tag: speed"]))
    site.write(sink(), device("oven"))
    assert check(site) == 1
    lines = capsys.readouterr().out.partition("connecting\n")[2].splitlines()
    assert [line.strip() for line in lines[1:3]] == ["speed: bad", "there is no such tag: speed"]


def test_what_fails_is_told_with_its_reason_beside_what_works(
    site: Site, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    async def connect(self) -> None:
        if self.config.name == "press":
            raise LinkError("connection refused on port 502")
        if self.config.name == "saw":
            raise KeyError("oops")

    async def read(self, tags):
        if tags.device == "mill":
            raise DeviceError("unit 3: no answer")
        return [1.0, None]

    monkeypatch.setattr(lab(site), "connect", connect)
    monkeypatch.setattr(lab(site), "read", read)
    site.far.down = True
    site.write(sink(), *(device(name) for name in ("press", "saw", "mill", "oven")))
    assert check(site) == 1
    lines = capsys.readouterr().out.partition("connecting\n")[2].splitlines()
    assert [line.split()[:3] for line in lines if "FAIL" in line] == [
        ["device", "press", "FAIL"],
        ["device", "saw", "FAIL"],
        ["device", "mill", "FAIL"],
        ["device", "oven", "FAIL"],
        ["sink", "central", "FAIL"],
    ]
    assert "connection refused on port 502" in lines[0]
    assert "KeyError: 'oops' (a bug of the driver)" in lines[1]
    assert "unit 3: no answer" in lines[2]
    assert "1 of 2 tags cannot be read" in lines[3]
    assert lines[4].strip() == "speed: bad"
    assert "the far side is down" in lines[5]
    assert lines[-1] == "5 problems"


def test_devices_on_one_line_are_dialled_once(site: Site) -> None:
    site.write(sink(), device("oven", 'bus = "b"'), device("press", 'bus = "b"'))
    assert check(site) == 0
    assert len(site.bench.connects) == len(site.bench.closes) == 1


def test_many_silent_devices_are_waited_for_together(
    site: Site, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    waited_for, together = set(), []

    async def connect(self) -> None:
        waited_for.add(self.config.name)
        try:
            await asyncio.Event().wait()
        finally:
            together.append(len(waited_for))
            waited_for.discard(self.config.name)

    monkeypatch.setattr(lab(site), "connect", connect)
    site.write(*(device(f"d{n}", 'timeout = "500ms"') for n in range(20)))
    assert check(site) == 1
    assert together == list(range(20, 0, -1)), "all had begun before the first was given up"
    assert capsys.readouterr().out.count("no connection within 0.5 s") == 20


def test_scripts_get_it_as_json(site: Site, capsys: pytest.CaptureFixture[str]) -> None:
    site.write(sink(), device("oven"))
    assert check(site, "--json") == 0
    answer = json.loads(capsys.readouterr().out)
    oven, central = answer["connections"]
    assert (answer["ok"], oven["ok"], oven["by"], central["ok"]) == (True, True, "dialled", True)
    assert oven["tags"][0] == {"tag": "temp", "value": 1.0, "unit": "°C", "quality": "good"}


async def test_devices_that_the_running_gateway_reads_are_asked_of_it_and_only_new_ones_are_dialled(
    site: Site, capsys: pytest.CaptureFixture[str]
) -> None:
    site.write(sink(), device("oven"))
    async with site.running():
        await site.heard("north/oven")
        assert await asyncio.to_thread(check, site) == 0
        assert "asked for its devices" in capsys.readouterr().out
        assert site.bench.connects == ["oven"]
        site.write(sink(), device("oven", 'timeout = "2s"'), device("press"))
        assert await asyncio.to_thread(check, site) == 0
        told = capsys.readouterr().out
        assert "another version of this file" in told
        assert site.bench.connects == ["oven", "press"]
        await site.heard("north/oven", since=len(site.far.story))


async def test_another_gateway_on_the_socket_is_not_asked(site: Site, capsys: pytest.CaptureFixture[str]) -> None:
    site.write(device("oven"))
    async with site.running():
        await site.until(lambda: site.bench.connects)
        site.config.write_text(site.config.read_text().replace('"g1"', '"g2"'))
        assert await asyncio.to_thread(check, site) == 0
    assert site.bench.connects == ["oven", "oven"]
