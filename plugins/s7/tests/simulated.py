"""A CPU by the C++ server of snap7, which is not ours; shared by the tests of this folder."""

import asyncio
import contextlib
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from gateway.plugin import Device
from gateway.testing import build_device
from plugins.s7.driver import S7

PYTHON = Path(__file__).parents[3] / ".venv" / "snap7" / "bin" / "python"


class Cpu:
    def __init__(self, process: asyncio.subprocess.Process, port: int) -> None:
        self.port = port
        self._process = process

    async def put(self, area: str, offset: int, wire: bytes, number: int = 0) -> bytes:
        """Hold these bytes. Returns the 32 that stand there then."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write(f"{area} {number} {offset} {wire.hex()}\n".encode())
        return bytes.fromhex((await self._process.stdout.readline()).decode())


@asynccontextmanager
async def cpu() -> AsyncIterator[Cpu]:
    """A CPU with DB1, DB2 (its words hold their own numbers), DB7, M, I, Q, T and C."""
    if not PYTHON.exists():
        pytest.skip("snap7 is missing: sh .ci/tools.sh installs it")
    for _ in range(5):
        with socket.socket() as chosen:
            chosen.bind(("127.0.0.1", 0))
            port = chosen.getsockname()[1]
        process = await asyncio.create_subprocess_exec(
            str(PYTHON),
            str(Path(__file__).with_name("serve.py")),
            str(port),
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.DEVNULL,
        )
        assert process.stdout is not None
        if await process.stdout.readline() == b"ready\n":
            break
        await process.wait()  # somebody else was given the port
    else:
        pytest.fail("snap7's server does not start")
    try:
        yield Cpu(process, port)
    finally:
        with contextlib.suppress(ProcessLookupError):
            process.kill()
        await process.wait()


def make_device(tags: dict[str, Any], port: int, **options: Any) -> Device:
    """The CPU on this machine whose tags are given as name → address or options."""
    made = {name: {"address": given} if isinstance(given, str) else given for name, given in tags.items()}
    return build_device(S7, {"host": "127.0.0.1", "port": port, "timeout": "25s"} | options, made)


@asynccontextmanager
async def connected(*devices: Device) -> AsyncIterator[S7]:
    """A driver that is connected to these devices."""
    driver = S7(devices)
    await driver.connect()
    try:
        yield driver
    finally:
        await driver.close()
