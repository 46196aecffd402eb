"""Servers in other processes, and a driver on them that is driven as the gateway does it."""

import asyncio
from collections.abc import Callable
from contextlib import aclosing, asynccontextmanager, suppress

import pytest

from gateway.plugin import Device, LinkError, Readings, Tag, Tags, Told, quality
from plugins.opcua import OpcUa
from plugins.opcua.config import NodeConfig, OpcUaConfig
from plugins.opcua.session import profile
from plugins.opcua.subscribe import subscription
from tests.peers.opcua_servers import NAMESPACE, OpcUaPeer, require_node_opcua


@pytest.fixture(autouse=True)
def state_directory(tmp_path, monkeypatch):
    """The certificate that the gateway makes for itself goes here."""
    monkeypatch.setenv("STATE_DIRECTORY", str(tmp_path / "state"))
    profile.forget()
    return tmp_path / "state"


@pytest.fixture
def patient(monkeypatch):
    """Servers may take half a minute for an answer, and for a sign of life; for tests of what is not about that."""
    monkeypatch.setitem(DEFAULTS, "timeout", "25s")
    monkeypatch.setattr(subscription, "SILENT_KEEP_ALIVES", 60)


@pytest.fixture(params=["node-opcua", "asyncua"])
def kind(request):
    if request.param == "node-opcua":
        require_node_opcua()
    return request.param


@pytest.fixture(scope="session")
def server_keys(tmp_path_factory):
    """Servers keep their keys here, so that they are made only once."""
    return tmp_path_factory.mktemp("server-keys")


@pytest.fixture(scope="session")
def servers():
    """Servers that run, by kind and options; a test that kills one leaves the next test a new one."""
    running: dict[tuple[str, ...], OpcUaPeer] = {}
    yield running
    for peer in running.values():
        peer.kill()


@pytest.fixture
async def serve(kind, servers, server_keys):
    """Gives servers: `await serve("--security", "Basic256Sha256")`. Several tests share one, and leave Double as it is; a
    fresh one has no sessions from before. Between tests they rest."""
    used: list[OpcUaPeer] = []

    async def start(*options: str, fresh: bool = False) -> OpcUaPeer:
        peer = servers.get((kind, *options))
        if peer is not None and (fresh or not peer.running):
            peer.kill()
        if peer is None or not peer.running:
            peer = servers[kind, *options] = OpcUaPeer(kind, server_keys / kind, *options)
            await peer.start()
        peer.go_on()
        used.append(peer)
        return peer

    yield start
    for peer in used:
        peer.rest()


DEFAULTS = {"scan": "100ms", "security": "none"}
"""Options of every device, where a test says nothing else."""


def make_device(url: str, tags: dict[str, dict] | list[str], **options) -> Device:
    """A device as the gateway makes it from a configuration."""
    config = OpcUaConfig.model_validate({"name": "plc", "driver": "opcua", "url": url, **DEFAULTS, **options})
    if isinstance(tags, list):
        tags = {name: {} for name in tags}
    made = [
        Tag(100 + row, "plc", name, config=NodeConfig.model_validate({"address": node(name), **more}))
        for row, (name, more) in enumerate(tags.items())
    ]
    return Device("plc", "opcua", Tags("plc", made), config=config)


def node(name: str) -> str:
    return f"nsu={NAMESPACE};s={name}"


class Collector:
    """Runs a driver's stream and keeps what it yields, by tag name."""

    def __init__(self, driver: OpcUa) -> None:
        self.told: list[Told] = []
        """Events and conditions that the drivers handed up."""
        self.adopt(driver)
        self.forgiving = False
        """Whether `until` waits on though the stream has ended."""
        self.lost: list[BaseException] = []
        """Errors after which `kept_alive` dialled anew."""
        self.blocks: list[Readings] = []
        self.error: BaseException | None = None
        self.ended_at = 0.0
        """Loop time at which the stream ended last."""
        self._names = {tag.id: tag.name for tag in driver.devices[0].tags}
        self._changed = asyncio.Event()

    def adopt(self, driver: OpcUa) -> None:
        """Go on with this driver."""
        self.driver = driver
        driver.host.tell = self._hear

    def _hear(self, told: Told) -> None:
        self.told.append(told)
        self._changed.set()

    async def run(self) -> None:
        try:
            async with aclosing(self.driver.stream()) as stream:
                async for readings in stream:
                    self.blocks.append(readings)
                    self._changed.set()
        except Exception as error:
            self.ended_at = asyncio.get_running_loop().time()
            self.error = error
            self._changed.set()

    def rows(self, name: str) -> list[tuple[int, object, int]]:
        """Source time, value and quality of all readings of a tag."""
        return [
            (int(block.t_ns[row]), block.exact.get(row, float(block.value[row])), int(block.quality[row]))
            for block in self.blocks
            for row in range(len(block))
            if self._names[int(block.tag[row])] == name
        ]

    def values(self, name: str) -> list[object]:
        return [value for _, value, code in self.rows(name) if code < quality.BAD]

    async def until(self, reached: Callable[[], object], within: float = 30.0) -> None:
        """Wait until `reached()` holds; looks each time that something has come."""
        async with asyncio.timeout(within):
            while not reached():
                if self.error and not self.forgiving and not isinstance(self.error, asyncio.CancelledError):
                    raise AssertionError(f"the stream has ended: {self.error!r}") from self.error
                self._changed.clear()
                await self._changed.wait()

    async def ended(self, within: float) -> BaseException:
        """The error with which the stream ends."""
        async with asyncio.timeout(within):
            while self.error is None:
                self._changed.clear()
                await self._changed.wait()
        return self.error


@asynccontextmanager
async def streaming(device: Device, alive: Callable[[], None] = lambda: None):
    """A driver that is connected, described and streaming; closed at the end."""
    driver = OpcUa([device], alive)
    try:
        await driver.connect()
        try:
            await driver.describe()
            collector = Collector(driver)
            task = asyncio.create_task(collector.run())
            try:
                yield collector
            finally:
                task.cancel()
                with suppress(asyncio.CancelledError):
                    await task
        finally:
            await driver.close()
    finally:
        driver.release()


@asynccontextmanager
async def kept_alive(device: Device, pause: float = 0.2, alive: Callable[[], None] = lambda: None):
    """As the gateway does it: a driver that streams, and after each lost link a new one for the same device."""
    collector = Collector(OpcUa([device]))
    collector.forgiving = True

    async def run() -> None:
        while True:
            collector.adopt(OpcUa([device], alive))
            collector.error = None
            try:
                async with asyncio.timeout(3):
                    await collector.driver.connect()
                try:
                    await collector.run()
                finally:
                    await collector.driver.close()
            except (OSError, LinkError) as error:
                collector.error = error
            finally:
                collector.driver.release()
            collector.lost.append(collector.error)
            collector._changed.set()
            await asyncio.sleep(pause)

    task = asyncio.create_task(run())
    try:
        yield collector
    finally:
        task.cancel()
        with suppress(asyncio.CancelledError):
            await task
