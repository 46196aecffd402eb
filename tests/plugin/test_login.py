"""The login that docs/plugins.md shows, put into what `plugin new` writes, keeps the contract with a server that answers only
who has logged in."""

import re
from pathlib import Path

import pytest
import pytest_asyncio

from gateway.core.errors import RefusedError
from gateway.plugin.loading import load_plugin
from gateway.plugin.scaffold import write_scaffold
from gateway.testing import DriverContract, build_device, serving
from gateway.testing.loops import BOTH

PAGE = Path(__file__).parents[2] / "docs" / "plugins.md"
CHANNELS = {b"1": b"12.5", b"2": b"-3.25"}


@pytest.fixture(scope="module", autouse=True)
def plugin(tmp_path_factory):
    folder = tmp_path_factory.mktemp("plugins")
    write_scaffold("acme_guarded", folder)
    path = folder / "acme_guarded" / "__init__.py"
    shown = re.search(r"(?m)^    async def connect\(self\) -> None:  # .*?\n\n(?=\S)", PAGE.read_text(), re.DOTALL)
    assert shown and "greet=self._log_in" in shown[0]
    code, times = re.subn(
        r"    async def connect.*?\n\n", lambda _: shown[0], path.read_text(), count=1, flags=re.DOTALL
    )
    imports = "from gateway.kit import Stream\nfrom gateway.plugin import RefusedError, Secret, resolve\n"
    option = '    pin: Secret\n    """Its pin."""\n\n    host: Host\n'
    path.write_text(
        code.replace("from gateway.kit", f"{imports}from gateway.kit", 1).replace("    host: Host\n", option)
    )
    assert times == 1
    TestGuarded.driver = load_plugin(path.parent)


@pytest.fixture(autouse=True)
def pin(monkeypatch):
    monkeypatch.setenv("ACME_PIN", "1234")


async def answer(reader, writer):
    writer.write(b"ACME 1.0\n")
    if await reader.readline() != b"PIN 1234\r\n":
        writer.write(b"NO\n")
        return
    writer.write(b"OK\n")
    while line := await reader.readline():
        writer.write(CHANNELS.get(line.split()[1], b"ERR") + b"\r\n")


class TestGuarded(DriverContract):
    loops = BOTH
    good = {"left": 12.5, "right": -3.25}
    bad = ("missing",)

    @pytest_asyncio.fixture
    async def server(self):
        async with serving(answer) as port:
            yield port

    def device(self, port):
        tags = {"left": {"channel": 1}, "missing": {"channel": 9}, "right": {"channel": 2}}
        return build_device(self.driver, {"host": "127.0.0.1", "port": port, "pin": {"env": "ACME_PIN"}}, tags)

    async def test_a_wrong_pin_is_refused_in_words(self, link, monkeypatch):
        monkeypatch.setenv("ACME_PIN", "0000")
        with pytest.raises(RefusedError, match="does not take the pin"):
            async with self._line(link):
                pass
