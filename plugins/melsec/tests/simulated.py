"""A PLC by aslmp's simulator, which is not ours; shared by the tests of this folder."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest

from gateway.plugin import Device
from gateway.testing import build_device
from plugins.melsec.driver import Melsec

testing = pytest.importorskip("aslmp.testing", reason="aslmp is missing: pip install aslmp")
from aslmp.profile import Encoding  # noqa: E402
from aslmp.wire.frames import FrameType  # noqa: E402

WAYS = {
    f"{transport}-{code}-{frame}": {"transport": transport, "code": code, "frame": frame}
    for transport in ("tcp", "udp")
    for code in ("binary", "ascii")
    for frame in ("3E", "4E")
}


def entry(way: str) -> Any:
    options = WAYS[way]
    return testing.Entry(
        name=way,
        protocol=options["transport"],
        encoding=Encoding.ASCII_XY_HEX if options["code"] == "ascii" else Encoding.BINARY,
        frame=FrameType.FOUR_E if options["frame"] == "4E" else FrameType.THREE_E,
        max_connections=4,
    )


@asynccontextmanager
async def plc(target: Any = testing.PEDANTIC, **options: Any) -> AsyncIterator[Any]:
    """A PLC that is reached by each of WAYS. Each word of D holds its own number."""
    async with testing.PlcSimulator(target=target, entries=[entry(way) for way in WAYS], **options) as simulator:
        simulator.memory.write_words("D", 0, range(2000))
        yield simulator


def make_device(tags: dict[str, Any], simulator: Any, way: str = "tcp-binary-3E", **options: Any) -> Device:
    """The simulated PLC; tags are given as name → address (uint16 where it is a word) or options."""
    made = {name: _options(given) if isinstance(given, str) else given for name, given in tags.items()}
    host, port = simulator.address(way)
    return build_device(Melsec, {"host": host, "port": port, "timeout": "25s"} | WAYS[way] | options, made)


def _options(address: str) -> dict[str, Any]:
    return {"address": address} if "." in address or address[0] in "MXYBK" else {"address": address, "type": "uint16"}


@asynccontextmanager
async def connected(*devices: Device) -> AsyncIterator[Melsec]:
    """A driver that is connected to these devices."""
    driver = Melsec(devices)
    await driver.connect()
    try:
        yield driver
    finally:
        await driver.close()
