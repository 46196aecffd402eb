"""Controllers for the tests of this folder: cpppo's, which is not ours, and ours (fakes.py)."""

import asyncio
import contextlib
import socket
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from gateway.plugin import Device, Readings, quality
from gateway.testing import build_device
from plugins.ethernetip.driver import EthernetIp

PYTHON = Path(__file__).parents[3] / ".venv" / "cip" / "bin" / "python"
"""Of the environment that has cpppo, pylogix and pycomm3."""


def need_judges() -> None:
    """Skips, and says what is missing."""
    if not PYTHON.exists():
        pytest.skip("cpppo, pylogix and pycomm3 are missing: sh .ci/tools.sh installs them")


@asynccontextmanager
async def cpppo(*tags: str) -> AsyncIterator[int]:
    """A controller of cpppo's with tags such as "Speed=REAL"; gives the port."""
    need_judges()
    for _ in range(5):
        with socket.socket() as chosen:
            chosen.bind(("127.0.0.1", 0))
            port = chosen.getsockname()[1]
        command = ["-m", "cpppo.server.enip", "--no-udp", "--no-config", "-A", "-a", f"127.0.0.1:{port}", *tags]
        process = await asyncio.create_subprocess_exec(
            str(PYTHON), "-u", *command, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.DEVNULL
        )
        assert process.stdout is not None
        if b"Server address" in await process.stdout.readline():
            break
        with contextlib.suppress(ProcessLookupError):
            process.kill()
        await process.wait()  # somebody else was given the port
    else:
        pytest.fail("cpppo does not start")
    try:
        yield port
    finally:
        with contextlib.suppress(ProcessLookupError):
            process.kill()
        await process.wait()


def make_device(tags: Mapping[str, Any], port: int, **options: Any) -> Device:
    """A controller on this machine whose tags are given as name → address or options."""
    made = {name: {"address": given} if isinstance(given, str) else given for name, given in tags.items()}
    return build_device(EthernetIp, {"host": "127.0.0.1", "port": port, "timeout": "25s"} | options, made)


@asynccontextmanager
async def connected(*devices: Device) -> AsyncIterator[EthernetIp]:
    """A driver that is connected to these devices."""
    driver = EthernetIp(devices)
    await driver.connect()
    try:
        yield driver
    finally:
        await driver.close()


async def read_all(driver: EthernetIp, device: Device) -> dict[str, Any]:
    """Value of each tag, None for a bad one."""
    values = await driver.read(device.tags)
    assert isinstance(values, Readings)
    return {
        tag.name: values.exact.get(row, values.value[row]) if values.quality[row] == quality.GOOD else None
        for row, tag in enumerate(device.tags)
    }
