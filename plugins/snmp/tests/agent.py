"""net-snmp's agent, which nobody here wrote; shared by the tests of this folder."""

import asyncio
import contextlib
import os
import shutil
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from gateway.plugin import Device
from gateway.testing import build_device
from plugins.snmp.driver import Snmp

pytest.importorskip("pysnmp", reason="pysnmp is missing: pip install edge-gateway[snmp]")
SNMPD = shutil.which("snmpd") or "/usr/sbin/snmpd"
SYS = "1.3.6.1.2.1.1"
NAMES = "1.3.6.1.2.1.2.2.1.2"
"""ifDescr: what interfaces are called."""


@asynccontextmanager
async def agent(folder: Path) -> AsyncIterator[int]:
    """Its port, by UDP."""
    if not Path(SNMPD).exists():
        pytest.skip("snmpd is missing: sudo apt-get install snmpd")
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as chosen:
        chosen.bind(("127.0.0.1", 0))
        port = chosen.getsockname()[1]
    (folder / "snmpd.conf").write_text(
        f"agentaddress udp:127.0.0.1:{port}\nrocommunity public\nrwcommunity secret\n"
        'createUser alice SHA "alicepass1" AES "alicepriv1"\nrwuser alice priv\n'
        "sysServices 72\nview all included .1\nagentuser root\n"
        f"override -rw {SYS}.6.0 octet_str place-4711\noverride -rw {SYS}.99.1.0 counter 4294967290\n"
    )
    command = [SNMPD, "-f", "-C", "-c", str(folder / "snmpd.conf"), "-Lf", str(folder / "log"), "-I", "-smux"]
    environment = {**os.environ, "MIBS": "", "SNMP_PERSISTENT_DIR": str(folder)}
    process = await asyncio.create_subprocess_exec(*command, env=environment, cwd=folder)
    try:
        await _answers(port)
        yield port
    finally:
        with contextlib.suppress(ProcessLookupError):
            process.terminate()
        await process.wait()


async def _answers(port: int) -> None:
    while True:
        driver = Snmp([make_device({"up": f"{SYS}.3.0"}, port, timeout="1s")])
        try:
            await driver.connect()
        except TimeoutError:
            continue
        await driver.close()
        return


def make_device(tags: dict[str, Any], port: int, **options: Any) -> Device:
    """The agent on this machine whose tags are given as name → OID or options."""
    made = {name: {"oid": given} if isinstance(given, str) else given for name, given in tags.items()}
    return build_device(Snmp, {"host": "127.0.0.1", "port": port, "timeout": "10s"} | options, made)


@asynccontextmanager
async def connected(*devices: Device) -> AsyncIterator[Snmp]:
    """A driver that is connected to these devices."""
    driver = Snmp(devices)
    await driver.connect()
    try:
        yield driver
    finally:
        await driver.close()
