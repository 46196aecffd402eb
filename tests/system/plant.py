"""Devices for the daemon to read, in processes of their own, and the tables of the configuration that describe them."""

import asyncio
import contextlib
import sys
from asyncio.subprocess import PIPE
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from tests.peers.modbus_server import load_library

from .daemon import PATIENCE

ROOT = Path(__file__).parents[2]


@asynccontextmanager
async def modbus_devices(*options: str) -> AsyncIterator[list[int]]:
    """A libmodbus server; gives its ports."""
    try:
        load_library()
    except OSError as error:
        pytest.skip(str(error))
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, str(ROOT / "tests/peers/modbus_server.py"), *options), stdout=PIPE
    )
    try:
        assert process.stdout is not None
        async with asyncio.timeout(PATIENCE):
            words = (await process.stdout.readline()).split()
        assert words[:1] == [b"ready"], "the Modbus server did not start"
        yield [int(word) for word in words[1:]]
    finally:
        with contextlib.suppress(ProcessLookupError):
            process.kill()
        await process.communicate()  # to the end of its output, so that nothing is left open


def modbus(name: str, port: int, *, floats: int = 4, tag_options: str = "", more_tags: str = "", **options: str) -> str:
    """The `[[device]]` of a libmodbus server: `tag_00` and on hold the counter + n / 64. A server on a busy machine has time
    to answer; a test of silence gives its own `timeout`."""
    said = {"scan": '"250ms"', "timeout": '"20s"', **options}
    lines = [f"{key} = {value}" for key, value in said.items()]
    tags = [
        f'tag_{n:02} = {{ address = "hr:{2 * n}", type = "float32"{tag_options and ", " + tag_options} }}'
        for n in range(floats)
    ]
    head = ["[[device]]", f'name = "{name}"', 'driver = "modbus"', 'host = "127.0.0.1"', f"port = {port}"]
    return "\n".join([*head, *lines, "[device.tags]", *tags, more_tags, ""])


def mqtt(port: int, **options: str) -> str:
    """The `[[sink]]` of a broker, which has time to answer; a test of silence gives its own `ack_timeout`."""
    said = {"ack_timeout": '"30s"', "topic": '"plant/{device}"', **options}
    lines = [f"{key} = {value}" for key, value in said.items()]
    return "\n".join(
        ["[[sink]]", 'name = "central"', 'plugin = "mqtt"', 'host = "127.0.0.1"', f"port = {port}", *lines, ""]
    )
