"""The whole gateway in this process, between a driver and a sink that the test holds in its hands."""

import asyncio
import json
import shutil
import sys
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from gateway.app import Gateway, look_up
from gateway.config.load import load
from gateway.core.clock import SystemClock
from gateway.plugin.loading import load_plugin
from gateway.testing import eventually

PLUGINS = Path(__file__).parent / "plugins"
HOUR_NS = 3_600_000_000_000
TAGS = "[device.tags]\ntemp = { unit = '°C' }\nspeed = {}\n"


def device(name: str, more: str = "", tags: str = TAGS) -> str:
    """A [[device]] table, read every 50 ms."""
    return f'[[device]]\nname = "{name}"\ndriver = "lab"\nscan = "50ms"\n{more}\n{tags}'


def sink(name: str = "central", more: str = "") -> str:
    """A [[sink]] table."""
    return f'[[sink]]\nname = "{name}"\nplugin = "memory"\n{more}\n'


class Ahead(SystemClock):
    """The clocks of this machine, both set forward to the beginning of an hour."""

    def __init__(self) -> None:
        self.ns = 0
        self.to_the_next_hour()

    def wall_ns(self) -> int:
        return super().wall_ns() + self.ns

    def boot_ns(self) -> int:
        return super().boot_ns() + self.ns

    def to_the_next_hour(self) -> None:
        self.ns += HOUR_NS - self.wall_ns() % HOUR_NS


class Site:
    """A directory with configuration, plugins and state, and what the plugins see."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.config = path / "config.toml"
        self.socket = path / "control.sock"
        shutil.copytree(PLUGINS, path / "plugins", ignore=shutil.ignore_patterns("__pycache__"))
        memory, lab = load_plugin(path / "plugins" / "memory.py"), load_plugin(path / "plugins" / "lab.py")
        far, bench = _module(memory).Far(), _module(lab).Bench()
        memory.far = self.far = far
        lab.bench = self.bench = bench
        self.gateway_line = ""
        self.tasks: list[asyncio.Task[None]] = []
        self.settled = 0

    def write(self, *tables: str) -> None:
        head = (
            f'[gateway]\nname = "g1"\nsite = "north"\nstate_dir = "{self.path / "state"}"\nplugin_dirs = ["plugins"]\n'
        )
        self.config.write_text("\n".join([head + self.gateway_line, *tables]))

    @asynccontextmanager
    async def running(self, clock: Any = None, socket: Path | None = None) -> AsyncIterator[Gateway]:
        """The gateway, from its being ready to its end."""
        gateway = Gateway(load(self.config, look_up), clock)
        stop, ready = asyncio.Event(), asyncio.Event()

        def settle() -> None:
            self.settled += 1
            ready.set()

        task = asyncio.create_task(gateway.run(stop, socket or self.socket, settle))
        self.tasks.append(task)
        waiting = asyncio.create_task(ready.wait())
        try:
            await asyncio.wait([task, waiting], timeout=60, return_when=asyncio.FIRST_COMPLETED)
            if ready.is_set():
                yield gateway
        finally:
            waiting.cancel()
            stop.set()
            async with asyncio.timeout(60):
                await task

    async def ask(self, command: str, **arguments: Any) -> Any:
        """The answer on the control socket."""
        reader, writer = await asyncio.open_unix_connection(self.socket)
        writer.write(json.dumps({"command": command, "arguments": arguments}).encode() + b"\n")
        reply = json.loads(await reader.readline())
        writer.close()
        await writer.wait_closed()
        assert "result" in reply, reply
        return reply["result"]

    async def answered(self, command: str, wanted: Callable[[Any], object]) -> Any:
        """The first answer on the control socket that is as wanted."""
        answers: list[Any] = []

        async def as_wanted() -> object:
            answers.append(await self.ask(command))
            return wanted(answers[-1])

        await eventually(as_wanted, what=f"{command} answers so", explain=lambda: str(answers[-1]))
        return answers[-1]

    async def until(self, condition: Callable[[], Any], what: str = "") -> None:
        """Wait until it holds; looked at whenever the far side hears something, and now and then."""
        try:
            async with asyncio.timeout(60):
                while not condition():
                    self.far.news.clear()
                    await _soon(self.far.news.wait())
        except TimeoutError:
            raise AssertionError(f"never: {what}; the far side heard {self.far.story[-20:]}") from None

    async def heard(self, topic: str, check: Callable[[dict[str, Any]], Any] = lambda _: True, since: int = 0) -> int:
        """Wait for a message; where it stands in the story."""

        def place() -> int | None:
            return next(
                (n for n, (at, body) in enumerate(self.far.story) if n >= since and at == topic and check(body)), None
            )

        await self.until(lambda: place() is not None, f"a message on {topic}")
        found = place()
        assert found is not None
        return found

    def audit(self) -> list[dict[str, Any]]:
        """The audit trail, without a line that is just being written."""
        whole, _, _ = (self.path / "state" / "audit.jsonl").read_text().rpartition("\n")
        return [json.loads(line) for line in whole.splitlines()]


async def _soon(news: Awaitable[Any]) -> None:
    try:
        async with asyncio.timeout(0.05):
            await news
    except TimeoutError:
        pass


def _module(cls: type) -> Any:
    return sys.modules[cls.__module__]
