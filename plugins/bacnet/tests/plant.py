"""The device of serve.py, and drivers for it; shared by the tests of this folder."""

import contextlib
import socket
import subprocess
import sys
from collections.abc import AsyncIterator, Iterator, Mapping
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path
from typing import Any

import pytest

from gateway.core.readings import Readings
from gateway.plugin import Device
from gateway.testing import FakeLineHost, build_device
from plugins.bacnet.driver import Bacnet

pytest.importorskip("bacpypes3", reason="the judge is missing: pip install bacpypes3==0.0.110")
INSTANCE = 1234


class Served:
    """A device in a process of its own."""

    def __init__(self, port: int, process: "subprocess.Popen[str]") -> None:
        self.port = port
        self._process = process

    def tell(self, line: str) -> None:
        """See serve.py."""
        assert self._process.stdin
        assert self._process.stdout
        self._process.stdin.write(f"{line}\n")
        self._process.stdin.flush()
        answer = self._process.stdout.readline().strip()
        assert answer == "done", answer

    def set(self, name: str, attribute: str, value: object) -> None:
        """An attribute of an object, by bacpypes3's name of it."""
        self.tell(f"set {name} {attribute} {value}")


@contextmanager
def served(instance: int = INSTANCE, port: int = 0, address: str = "127.0.0.1") -> Iterator[Served]:
    """The device at an address of this machine."""
    port = port or free_udp_port(address)
    command = [sys.executable, str(Path(__file__).parent / "serve.py"), f"{address}:{port}", str(instance)]
    process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    try:
        assert process.stdout
        assert process.stdout.readline().strip() == "ready"
        yield Served(port, process)
    finally:
        process.kill()
        with contextlib.suppress(BrokenPipeError):
            process.communicate()


def free_udp_port(address: str = "127.0.0.1") -> int:
    """One that nobody has."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as chosen:
        chosen.bind((address, 0))
        return int(chosen.getsockname()[1])


def make_device(tags: Mapping[str, Any], port: int, **options: Any) -> Device:
    """The device at a port of this machine, whose tags are given as name → address or options. Its name is that of the
    gateway's own UDP port: each has one of its own unless it says another."""
    made = {name: {"address": given} if isinstance(given, str) else given for name, given in tags.items()}
    common = {
        "host": "127.0.0.1",
        "port": port,
        "device": INSTANCE,
        "local_port": 0,
        "timeout": "20s",
        "request_timeout": "8s",
    }
    return build_device(Bacnet, common | options, made)


@asynccontextmanager
async def connected(device: Device, host: FakeLineHost | None = None) -> AsyncIterator[Bacnet]:
    """A driver that is connected to this device."""
    driver = Bacnet([device], host)
    await driver.connect()
    try:
        yield driver
    finally:
        await driver.close()


def by_name(readings: Readings) -> dict[str, Any]:
    """The value of each tag, None for one that has none."""
    names = {tag.id: tag.name for tag in readings.device.tags}
    return {
        names[int(tag)]: readings.exact.get(
            row, None if readings.value[row] != readings.value[row] else float(readings.value[row])
        )
        for row, tag in enumerate(readings.tag)
    }


def qualities(readings: Readings) -> dict[str, int]:
    """The quality of each tag."""
    names = {tag.id: tag.name for tag in readings.device.tags}
    return {names[int(tag)]: int(code) for tag, code in zip(readings.tag, readings.quality, strict=True)}
