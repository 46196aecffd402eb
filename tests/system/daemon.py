"""The daemon as a process, driven from outside: signals, its log, its control socket, its commands.

async with Daemon(tmp_path, config) as daemon:
    await daemon.until(lambda status: device(status, "press-1")["state"] == "up", "press-1 is up")
"""

import asyncio
import json
import os
import signal
import sys
import time
from asyncio.subprocess import Process
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, NamedTuple, Self

from gateway.testing import eventually

ROOT = Path(__file__).parents[2]
PATIENCE = 60.0
"""Seconds that a busy machine may take for what takes a moment."""

Status = dict[str, Any]


class Done(NamedTuple):
    """What a command left behind."""

    code: int
    out: str
    err: str


async def command(*arguments: str, environment: Mapping[str, str] | None = None, timeout: float = PATIENCE) -> Done:
    """Run `edge-gateway ARGUMENTS` to its end."""
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "gateway", *arguments),
        cwd=ROOT,
        env={**os.environ, **(environment or {})},
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    try:
        async with asyncio.timeout(timeout):
            out, err = await process.communicate()
    finally:
        if process.returncode is None:
            process.kill()
    assert process.returncode is not None
    return Done(process.returncode, out.decode(), err.decode())


class Daemon:
    """`edge-gateway run` on a configuration of its own; started when entered, killed when left."""

    def __init__(self, directory: Path, config: str, wrapper: tuple[str, ...] = ()) -> None:
        """`config` without [gateway]'s name and state_dir when it has no [gateway]; `wrapper` is put before the command."""
        self.directory = directory
        self.config = directory / "config.toml"
        self.state = directory / "state"
        self.socket = directory / "control.sock"
        self.log_file = directory / "daemon.log"
        self._wrapper = wrapper
        self._process: Process | None = None
        directory.mkdir(parents=True, exist_ok=True)
        self.write(config)

    def write(self, config: str) -> None:
        """Put another configuration in place of the one before."""
        gateway = "" if "[gateway]" in config else '[gateway]\nname = "system-gw"\nstate_dir = "state"\n'
        self.config.write_text(f"{gateway}{config}")

    async def __aenter__(self) -> Self:
        await self.start()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.kill()

    @property
    def log(self) -> str:
        """What it has written to standard error since the first start."""
        return self.log_file.read_text(errors="replace")

    @property
    def pid(self) -> int:
        assert self._process is not None
        return self._process.pid

    @property
    def running(self) -> bool:
        return self._process is not None and self._process.returncode is None

    async def start(self, *, ready: bool = True) -> None:
        """Start it and wait until it answers on its control socket."""
        with self.log_file.open("ab") as log:
            self._process = await asyncio.create_subprocess_exec(
                *(*self._wrapper, sys.executable, "-m", "gateway", "run"),
                *("--config", str(self.config), "--socket", str(self.socket)),
                cwd=ROOT,
                stdin=asyncio.subprocess.DEVNULL,
                stdout=log,
                stderr=log,
            )
        if ready:
            await self.until(lambda _: True, "the daemon answers")

    async def stop(self) -> int:
        """SIGTERM; returns the exit status."""
        assert self._process is not None
        self._process.send_signal(signal.SIGTERM)
        async with asyncio.timeout(PATIENCE):
            return await self._process.wait()

    async def kill(self) -> None:
        """kill -9."""
        if self.running:
            assert self._process is not None
            self._process.kill()
            await self._process.wait()

    async def wait(self) -> int:
        """Its exit status, once it has ended by itself."""
        assert self._process is not None
        async with asyncio.timeout(PATIENCE):
            return await self._process.wait()

    async def status(self) -> Status:
        """The answer to `status`."""
        reader, writer = await asyncio.open_unix_connection(str(self.socket), limit=1 << 24)
        try:
            writer.write(b'{"command": "status"}\n')
            answer: Status = json.loads(await reader.readline())["result"]
        finally:
            writer.close()
        return answer

    async def until(self, condition: Callable[[Status], bool], what: str, timeout: float = PATIENCE) -> Status:
        """Ask for the status until the condition holds, and return it."""
        deadline = time.monotonic() + timeout
        status: Status = {}
        while time.monotonic() < deadline:
            assert self.running, f"the daemon ended:\n{self.log}"
            try:
                async with asyncio.timeout(5):
                    status = await self.status()
            except (OSError, TimeoutError, ValueError, KeyError):  # not there yet, going, or we were too slow to ask
                status = {}
            if status and condition(status):
                return status
            await asyncio.sleep(0.05)
        raise AssertionError(f"not within {timeout:g} s: {what}\n{json.dumps(status, indent=1)}\n{self.log[-3000:]}")

    async def delivered(self) -> Status:
        """Wait until the sinks have all that was read until now, and return the status. `pending` and `queued` do not know of
        what was read in the last milliseconds; `drain` writes that out before it counts."""
        done = await self.ask("outbox", "drain", "--timeout", f"{PATIENCE - 10:g}s")
        assert done.code == 0, done
        return await self.status()

    async def logs(self, text: str, timeout: float = PATIENCE) -> None:
        """Wait until the log says this."""
        await eventually(
            lambda: text in self.log, what=f"the log says {text!r}", timeout=timeout, explain=lambda: self.log[-3000:]
        )

    async def ask(self, *arguments: str) -> Done:
        """Run a command against it."""
        return await command(*arguments, "--config", str(self.config), "--socket", str(self.socket))


def device(status: Status, name: str) -> dict[str, Any]:
    """A device's part of the status; empty when it is not there."""
    return next((each for each in status["devices"] if each["name"] == name), {})


def sink(status: Status, name: str = "central") -> dict[str, Any]:
    """A sink's part of the status; empty when it is not there."""
    return next((each for each in status["sinks"] if each["name"] == name), {})


def pending(status: Status) -> int:
    """Readings that wait for any sink."""
    return sum(lane["pending"] for each in status["sinks"] for lane in each["outbox"]["lanes"].values())


def all_up(status: Status) -> bool:
    """Whether every device and sink is up."""
    return all(each["state"] == "up" for each in (*status["devices"], *status["sinks"]))
