"""Whoever answers at the port of an OPC UA server takes neither memory nor time from others, and ends nothing."""

import asyncio
import json
import sys
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from tests.peers.opcua_hostile import ATTACKS

ROOT = Path(__file__).parents[3]
MEMORY = 150
"""MiB beyond the quiet process."""
GAP = 1.0
"""Seconds of CPU time for which nothing else has its turn."""
STOP = 20.0
"""Seconds from the wish to end to the end: what was waited for then is some time-outs, and never for ever."""

OFTEN = ["endless-chunks", "publish-of-60000-texts", "odd-values"]
"""One of each kind, for each run of the tests."""


@asynccontextmanager
async def attacked(attack: str):
    """The port of an attacker in a process of its own."""
    program = [sys.executable, "-m", "tests.peers.opcua_hostile", attack]
    process = await asyncio.create_subprocess_exec(*program, cwd=ROOT, stdout=asyncio.subprocess.PIPE)
    try:
        yield json.loads(await process.stdout.readline())["ready"]
    finally:
        process.kill()
        await process.wait()


async def besieged(attack: str, seconds: float, **options) -> dict:
    """What it costs a process to be attacked for so long."""
    async with attacked(attack) as port:
        program = [sys.executable, "-m", "plugins.opcua.tests.besieged", str(port), str(seconds), json.dumps(options)]
        pipe = asyncio.subprocess.PIPE
        process = await asyncio.create_subprocess_exec(*program, cwd=ROOT, stdout=pipe, stderr=pipe)
        out, err = await process.communicate()
    assert out, err.decode()[-2000:]
    return json.loads(out.splitlines()[-1])


def check(cost: dict) -> None:
    assert cost["alive"]
    assert not [error for error in cost["errors"] if error.startswith("BUG")]
    assert cost["memory"] < MEMORY
    assert cost["gap"] < 2 * GAP
    assert cost["stop"] < STOP


@pytest.mark.parametrize("attack", OFTEN)
async def test_an_attack_costs_little_and_ends_nothing(attack):
    check(await besieged(attack, 1.5))


@pytest.mark.slow
@pytest.mark.timeout(600)
@pytest.mark.parametrize("acquisition", ["subscribe", "poll"])
async def test_no_attack_costs_much_or_ends_anything(acquisition):
    polled = {"acquisition": "poll", "events": False} if acquisition == "poll" else {}
    wanted = [name for name in ATTACKS if name not in OFTEN and (name.startswith("read-") or not polled)]
    room = asyncio.Semaphore(3)

    async def one(attack: str) -> None:
        async with room:
            cost = await besieged(attack, 1.5, **polled)
        try:
            check(cost)
        except AssertionError as error:
            raise AssertionError(f"{attack}: {cost}") from error

    await asyncio.gather(*map(one, wanted))
