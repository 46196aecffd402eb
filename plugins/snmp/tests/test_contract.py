"""The suite that every driver passes."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import pytest_asyncio

from gateway.plugin import Device
from gateway.testing import DriverContract, UdpLink
from gateway.testing.link import Link
from plugins.snmp.driver import Snmp
from plugins.snmp.tests.agent import SYS, agent, make_device


class TestSnmp(DriverContract):
    driver = Snmp
    good = {"services": 72, "place": "place-4711"}
    bad = ("missing",)
    writes = {"place": "place-4712"}
    refused_writes = {"missing": "x"}

    @pytest.fixture(autouse=True)
    def credentials(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        (tmp_path / "community").write_text("secret")
        monkeypatch.setenv("CREDENTIALS_DIRECTORY", str(tmp_path))

    @pytest_asyncio.fixture
    async def server(self, tmp_path: Path) -> AsyncIterator[int]:
        async with agent(tmp_path) as port:
            yield port

    @pytest_asyncio.fixture
    async def link(self, server: int) -> AsyncIterator[Link]:
        async with UdpLink(server) as link:
            yield link

    def device(self, port: int) -> Device:
        tags = {
            "services": f"{SYS}.7.0",
            "missing": {"oid": f"{SYS}.98.0", "syntax": "string"},
            "place": {"oid": f"{SYS}.6.0", "syntax": "string"},
        }
        return make_device(tags, port, timeout="3s", community={"credential": "community"})
