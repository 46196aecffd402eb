"""The whole gateway in this process, with its page."""

import os
import shutil
import sys
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from gateway.app import Gateway
from plugins.web.tests.browser import Browser
from tests.app.conftest import site
from tests.app.plant import Site, device, sink

__all__ = ["site"]


def page(more: str = "") -> str:
    """A [[service]] table."""
    return f'[[service]]\nname = "page"\nplugin = "web"\nport = 0\n{more}\n'


class Plant:
    """A running gateway with a page."""

    def __init__(self, site: Site, gateway: Gateway) -> None:
        self.site = site
        self.gateway = gateway
        self.address = ""

    async def is_up(self) -> None:
        """Wait until the page is there."""
        while not self.address:
            await self.more_is_read()
            service = (await self.site.ask("status"))["services"][0]
            if service["state"] == "up":
                self.address = (await self.site.ask("page.address"))["address"]
            else:
                assert service["state"] == "starting", service

    async def more_is_read(self) -> None:
        """Wait until the device has been polled, and its message has reached the far side, once more."""
        await self.site.heard("north/oven", since=len(self.site.far.story))

    def browser(self) -> Browser:
        return Browser(self.address)


Running = Callable[..., Any]


@pytest.fixture
def promtool() -> str:
    """Prometheus' own checker."""
    beside = Path(sys.executable).parent
    if found := shutil.which("promtool", path=f"{beside}:{os.environ.get('PATH', '')}"):
        return found
    pytest.skip("needs promtool: sh .ci/tools.sh fetches it, or apt-get install prometheus")


@pytest.fixture
def running(site: Site) -> Running:
    """A function that starts it, with more options of the page, and more tables."""

    @asynccontextmanager
    async def start(more: str = "", *tables: str) -> AsyncIterator[Plant]:
        site.write(sink(), device("oven"), page(more), *tables)
        async with site.running() as gateway:
            plant = Plant(site, gateway)
            await plant.is_up()
            yield plant

    return start
