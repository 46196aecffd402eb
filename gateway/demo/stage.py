"""The demonstration's processes: devices, broker, and the real daemon between them."""

import asyncio
import contextlib
import os
import signal
import socket
import sys
from asyncio.subprocess import DEVNULL, PIPE, Process
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path

from gateway.core.errors import GatewayError
from gateway.demo import broker, scenario
from gateway.demo.scenario import Ports

STOP_TIMEOUT = 10.0


@dataclass(frozen=True)
class Stage:
    """What runs during a demonstration."""

    config: Path
    ports: Ports
    broker: str
    coater: Process
    daemon: Process
    socket: Path


@asynccontextmanager
async def stage(directory: Path) -> AsyncIterator[Stage]:
    """Start everything in `directory`, stop it at the end. Raises GatewayError with the reason when a part fails."""
    page = _free_port(8080) if _page_can_be() else None
    ports = Ports(_free_port(1883), _free_port(5020), _free_port(4840), page, _free_port(10102))
    name, broker_command = broker.command(ports.mqtt, directory)
    config = scenario.write(directory, ports, sys.executable, " ".join(broker_command), broker.PROTOCOL[name])
    control = directory / "control.sock"
    async with contextlib.AsyncExitStack() as stack:
        await stack.enter_async_context(_process(directory / "broker.log", *broker_command))
        coater = await stack.enter_async_context(_module(directory, "serve_coater", ports.coater))
        await stack.enter_async_context(_module(directory, "serve_bioreactor", ports.bioreactor))
        await stack.enter_async_context(_module(directory, "serve_cip", ports.cip))
        await broker.listening(ports.mqtt)
        daemon = await stack.enter_async_context(
            _process(
                directory / "gateway.log",
                *(sys.executable, "-m", "gateway", "run", "--config", str(config), "--socket", str(control)),
            )
        )
        yield Stage(config, ports, name, coater, daemon, control)


def _module(directory: Path, name: str, port: int) -> contextlib.AbstractAsyncContextManager[Process]:
    return _process(directory / f"{name}.log", sys.executable, "-m", f"gateway.demo.{name}", "--port", str(port))


@asynccontextmanager
async def _process(log: Path, *command: str) -> AsyncIterator[Process]:
    """A process in a session of its own, so that a Ctrl-C of the terminal reaches us alone and we stop it in good order."""
    with log.open("w") as out:
        process = await asyncio.create_subprocess_exec(
            *command, stdin=PIPE, stdout=DEVNULL, stderr=out, start_new_session=True, env=_environment()
        )
    try:
        yield process
    finally:
        await _stop(process)


def _environment() -> dict[str, str]:
    return {**os.environ, "PYTHONUNBUFFERED": "1"}


async def _stop(process: Process) -> None:
    if process.returncode is not None:
        return
    if process.stdin:
        process.stdin.close()
    process.send_signal(signal.SIGTERM)
    try:
        async with asyncio.timeout(STOP_TIMEOUT):
            await process.wait()
    except TimeoutError:
        process.kill()
        await process.wait()


def _page_can_be() -> bool:
    """Whether the extra `web` is installed; all else works without it."""
    return all(find_spec(name) for name in ("argon2", "prometheus_client", "starlette", "uvicorn"))


def _free_port(wanted: int) -> int:
    """The usual port if it is free, else any free one."""
    for port in (wanted, 0):
        with socket.socket() as probe, contextlib.suppress(OSError):
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            probe.bind(("127.0.0.1", port))
            return int(probe.getsockname()[1])
    raise GatewayError("no free port on 127.0.0.1")


async def tell_coater(running: Stage, word: str) -> None:
    """Start ("clog") or end ("clean") the coater's fault."""
    assert running.coater.stdin is not None
    running.coater.stdin.write(word.encode() + b"\n")
    await running.coater.stdin.drain()
