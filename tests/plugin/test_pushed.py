"""The driver of docs/plugins.md for a device that sends by itself keeps the contract."""

import asyncio
import re
from pathlib import Path

import pytest
import pytest_asyncio

from gateway.plugin.loading import load_plugin
from gateway.testing import DriverContract, build_device, serving

PAGE = Path(__file__).parents[2] / "docs" / "plugins.md"


@pytest.fixture(scope="module", autouse=True)
def plugin(tmp_path_factory):
    code = next(
        each for each in re.findall(r"```python\n(.*?)```", PAGE.read_text(), re.DOTALL) if "AcmeCounter" in each
    )
    path = tmp_path_factory.mktemp("plugins") / "acme_counter.py"
    path.write_text(code)
    TestAcmeCounter.driver = load_plugin(path)


class TestAcmeCounter(DriverContract):
    good = {"left": 12.5, "right": -3.25}
    bad = ("broken",)

    @pytest_asyncio.fixture
    async def server(self):
        async def push(_, writer):
            while True:
                writer.write(b"left 12.5\r\nright -3.25\r\nbroken ---\r\nother 1\r\n")
                await writer.drain()
                await asyncio.sleep(0.01)

        async with serving(push) as port:
            yield port

    def device(self, port):
        tags = {name: {"channel": name} for name in ("left", "broken", "right")}
        return build_device(self.driver, {"host": "127.0.0.1", "port": port}, tags)
