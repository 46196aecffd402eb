"""The honest part of an attack: a Modbus device, an OPC UA server, a broker, whoever watches what arrives there, and the
gateway as a process beside them."""

import asyncio
import contextlib
import json
import shutil
import subprocess
import sys
import time
from asyncio.subprocess import PIPE, Process
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import Any, NamedTuple

from tests.attack import measure
from tests.attack.attacks import PORTS, Attack, Site
from tests.peers.broker import Broker
from tests.peers.opcua_servers import OpcUaPeer
from tests.peers.ports import free_port
from tests.system.daemon import Daemon
from tests.system.plant import modbus, modbus_devices, mqtt

ROOT = Path(__file__).parents[2]
HONEST = ("plant/press", "plant/boiler")
"""Topics of the devices that nobody may disturb."""
BEGINNING = 60.0
"""Seconds until the gateway answers, and until the honest devices are heard."""
STOPPING = 15.0
"""Seconds after which a gateway that does not heed SIGTERM is killed."""
ANSWER = 10.0
"""Seconds after which an answer to `status` is given up."""

BOILER = """
[[device]]
name = "boiler"
driver = "opcua"
url = "{url}"
security = "none"
acquisition = "poll"
scan = "250ms"
[device.tags]
temperature = {{ address = "nsu=http://peer.example/plant;s=Temperature" }}
"""


class Figures(NamedTuple):
    """What one attack did. Sizes in bytes, times in seconds."""

    peak: int
    """Most memory of the gateway and its children."""
    gap: float
    """Longest time in which an honest device was not heard."""
    still: float
    """Longest time in which the machine itself stood still, meanwhile."""
    asked: float
    """Longest time in which `status` was not answered."""
    stop: float
    """Until it ended after SIGTERM."""
    code: int | None
    """Its exit status; None when it had to be killed."""
    trouble: str = ""
    """What else went wrong."""


class Stage:
    """Entered once; each attack has a gateway of its own on it."""

    def __init__(self, directory: Path, modbus_port: int, opcua_url: str, broker: Broker) -> None:
        self.directory = directory
        self._broker = broker
        self._arrived = directory / "arrived.txt"
        self._beats = directory / "beats.txt"
        scan = {"scan": '"100ms"', "timeout": '"5s"'}
        self.honest = mqtt(broker.port) + modbus("press", modbus_port, **scan) + BOILER.format(url=opcua_url)

    @asynccontextmanager
    async def watched(self) -> AsyncIterator["Stage"]:
        """Somebody writes down when what arrives at the broker, and how late the machine itself is."""
        watch = ["mosquitto_sub", "-h", "127.0.0.1", "-p", str(self._broker.port), "-q", "0", "-F", "%U %t"]
        topics = [word for topic in HONEST for word in ("-t", topic)]
        with self._arrived.open("wb") as arrived:
            watcher = subprocess.Popen([*watch, *topics], stdout=arrived)
        beat = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "tests.attack.measure", str(self._beats)), cwd=ROOT, stdout=PIPE
        )
        try:
            assert beat.stdout is not None
            await beat.stdout.readline()
            yield self
        finally:
            watcher.terminate()
            watcher.wait()
            await _end(beat)

    def heard(self) -> dict[str, list[float]]:
        """Topic of an honest device → when it was heard."""
        return measure.arrivals(self._arrived)

    def stood_still(self, begin: float, end: float) -> float:
        """How long the machine itself stood still at most, between these times."""
        return measure.stood_still(self._beats, begin, end)

    async def suffer(self, attack: Attack) -> Figures:
        """Start a gateway, attack it, stop it amid the attack."""
        folder = self.directory / attack.name
        site = Site(
            folder / "hostile",
            folder / "state",
            folder / "control.sock",
            folder / "config.toml",
            [free_port() for _ in range(PORTS)],
        )
        site.folder.mkdir(parents=True)
        daemon = Daemon(folder, self.honest)
        try:
            if attack.used_state:
                daemon.write(attack.gateway + self.honest + attack.tables(site))
                await self._run_in(daemon)
            if attack.prepare is not None:
                attack.prepare(site)
            daemon.write(attack.gateway + self.honest + attack.tables(site))
            return await self._attacked(daemon, attack, site)
        finally:
            await daemon.kill()
            self._tidy(folder)

    async def _run_in(self, daemon: Daemon) -> None:
        begin = time.time()
        await daemon.start()
        await self._heard(daemon, begin)
        await daemon.stop()

    async def _attacked(self, daemon: Daemon, attack: Attack, site: Site) -> Figures:
        before = attack.play.__qualname__.startswith("served.")
        async with AsyncExitStack() as stack:
            if before:
                await stack.enter_async_context(hostile(attack, site))
            begin = time.time()
            try:
                async with asyncio.timeout(BEGINNING):
                    await daemon.start()
                    if not before:
                        await self._heard(daemon, begin)
                        await stack.enter_async_context(hostile(attack, site))
                    first = await self._heard(daemon, begin)
            except (AssertionError, TimeoutError):
                trouble = "the gateway did not start" if not daemon.running else "no honest device was heard"
                await daemon.kill()
                return Figures(0, 99.0, 0.0, 99.0, 99.0, None, f"{trouble}: {last_lines(daemon.log)}")
            return await self._measured(daemon, attack, first if before else time.time())

    async def _measured(self, daemon: Daemon, attack: Attack, begin: float) -> Figures:
        memory, asking = Memory(daemon.pid), Asking(daemon)
        async with memory.sampled(), asking.asked(), _meanwhile(lambda: _ask_for(daemon, attack)):
            await asyncio.sleep(attack.seconds)
        memory.look()
        end = time.time()
        if not daemon.running:
            return Figures(memory.peak, 99.0, 0.0, 99.0, 99.0, None, f"the gateway ended: {last_lines(daemon.log)}")
        stop, code = await self._stopped(daemon)
        await asyncio.sleep(0.3)  # for what is on its way to the watcher
        heard = self.heard()
        gap = max(measure.longest_gap(heard.get(topic, []), begin, end) for topic in HONEST)
        still = self.stood_still(begin, end)
        trouble = "" if code in (0, None) else f"exit status {code}: {last_lines(daemon.log)}"
        if attack.named not in daemon.log:
            trouble = trouble or f"the log does not say {attack.named!r}"
        return Figures(memory.peak, gap, still, asking.longest, stop, code, trouble)

    async def _heard(self, daemon: Daemon, since: float) -> float:
        """Wait until each honest device has been heard since then; when that was."""
        while True:
            assert daemon.running, f"the gateway ended: {last_lines(daemon.log)}"
            heard = self.heard()
            first = [min((at for at in heard.get(topic, []) if at >= since), default=0.0) for topic in HONEST]
            if all(first):
                return max(first)
            await asyncio.sleep(0.05)

    async def _stopped(self, daemon: Daemon) -> tuple[float, int | None]:
        begin = time.monotonic()
        try:
            async with asyncio.timeout(STOPPING):
                code: int | None = await daemon.stop()
        except TimeoutError:
            await daemon.kill()
            code = None
        return time.monotonic() - begin, code

    def _tidy(self, folder: Path) -> None:
        """Only the log and the configuration stay, for whoever looks into a failure."""
        for path in folder.iterdir():
            if path.is_dir() and not path.is_symlink():
                shutil.rmtree(path, ignore_errors=True)


class Memory:
    """Watches a process's memory; `peak` and `now` in bytes."""

    def __init__(self, pid: int) -> None:
        self._pid = pid
        self.now = self.peak = 0

    def look(self) -> None:
        now, peak = measure.memory(self._pid)
        if now:
            self.now, self.peak = now, max(self.peak, peak)

    @asynccontextmanager
    async def sampled(self) -> AsyncIterator[None]:
        async with _meanwhile(self._sample):
            yield

    async def _sample(self) -> None:
        while True:
            self.look()
            await asyncio.sleep(0.05)


class Asking:
    """Asks for `status` twice a second; `longest` is the longest time between two answers, or until the first."""

    def __init__(self, daemon: Daemon) -> None:
        self._daemon = daemon
        self._answered = time.monotonic()
        self.longest = 0.0

    @asynccontextmanager
    async def asked(self) -> AsyncIterator[None]:
        async with _meanwhile(self._ask):
            yield
        self.longest = max(self.longest, time.monotonic() - self._answered)

    async def _ask(self) -> None:
        self._answered = time.monotonic()
        while True:
            with contextlib.suppress(OSError, TimeoutError, ValueError, KeyError):
                async with asyncio.timeout(ANSWER):
                    await self._daemon.status()
                now = time.monotonic()
                self.longest, self._answered = max(self.longest, now - self._answered), now
            await asyncio.sleep(0.5)


@asynccontextmanager
async def _meanwhile(work: Callable[[], Any]) -> AsyncIterator[None]:
    task = asyncio.create_task(work())
    try:
        yield
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


async def _ask_for(daemon: Daemon, attack: Attack) -> None:
    """What the attack wants to be asked, once a second, whether or not it is answered."""
    while attack.asks:
        for asked in attack.asks:
            with contextlib.suppress(OSError):
                _, writer = await asyncio.open_unix_connection(str(daemon.socket))
                writer.write(json.dumps(asked).encode() + b"\n")
                asyncio.get_running_loop().call_later(20.0, writer.close)
        await asyncio.sleep(1.0)


@asynccontextmanager
async def hostile(attack: Attack, site: Site) -> AsyncIterator[None]:
    """The attack, played in a process of its own."""
    paths = [str(path) for path in (site.folder, site.state, site.socket, site.config)]
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "tests.attack.hostile", attack.name, *paths, *map(str, site.ports)),
        cwd=ROOT,
        stdout=PIPE,
        stdin=asyncio.subprocess.DEVNULL,
    )
    try:
        assert process.stdout is not None
        async with asyncio.timeout(BEGINNING):
            assert await process.stdout.readline() == b"ready\n", f"{attack.name} could not be played"
        yield
    finally:
        await _end(process)


async def _end(process: Process) -> None:
    with contextlib.suppress(ProcessLookupError):
        process.kill()
    await process.communicate()


def last_lines(log: str) -> str:
    """The last lines of a log, as one."""
    return " / ".join(line.strip() for line in log.strip().splitlines()[-3:])[-400:]


@asynccontextmanager
async def stage(directory: Path) -> AsyncIterator[Stage]:
    """The stage, with its peers running."""
    async with AsyncExitStack() as stack:
        [port] = await stack.enter_async_context(modbus_devices("--period", "0.1"))
        server = await stack.enter_async_context(OpcUaPeer("asyncua", directory / "pki"))
        broker = stack.enter_context(Broker(directory))
        yield await stack.enter_async_context(Stage(directory, port, server.url, broker).watched())


def json_line(name: str, figures: Figures, why: str) -> str:
    """A row for programs."""
    return json.dumps({"attack": name, **figures._asdict(), "failed": why})
