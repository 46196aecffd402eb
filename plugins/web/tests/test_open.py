"""`edge-gateway open`."""

import asyncio

import pytest

from gateway.cli import main
from plugins.web.tests.conftest import Running
from tests.app.plant import Site, device, sink


async def test_it_says_where_the_page_is_and_how_to_come_there(
    running: Running, capsys: pytest.CaptureFixture[str]
) -> None:
    async with running() as plant:
        assert await asyncio.to_thread(main, ["open", "--socket", str(plant.site.socket)]) == 0
        here, elsewhere = capsys.readouterr().out.splitlines()[-2:]
        assert here == plant.address
        port = plant.browser().port
        assert f"ssh -L {port}:127.0.0.1:{port} " in elsewhere
        assert await asyncio.to_thread(main, ["open", "--json", "--socket", str(plant.site.socket)]) == 0
        assert capsys.readouterr().out.splitlines()[-1] == f'["{plant.address}"]'


async def test_without_a_page_it_says_what_to_write(site: Site, capsys: pytest.CaptureFixture[str]) -> None:
    site.write(sink(), device("oven"))
    async with site.running():
        assert await asyncio.to_thread(main, ["open", "--socket", str(site.socket)]) == 1
    assert 'plugin = "web"' in capsys.readouterr().err


def test_without_a_gateway_it_says_so(site: Site, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["open", "--socket", str(site.path / "nothing.sock")]) == 3
    assert "no gateway answers" in capsys.readouterr().err
