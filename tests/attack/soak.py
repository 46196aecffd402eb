"""All attacks take turns on one gateway that goes on: its memory must not grow with the turns.

What is judged is a round, in which each attack has had its turn: the median of the gateway's resident memory over its turns,
all its processes together. The first third of the time, and at least one round, is the warm-up: code is imported, caches
fill, and the allocators take the most that a burst has ever needed, which they keep in part. A leak goes on after that. The
slope over the other rounds, at least FEWEST, is Theil and Sen's, with Sen's interval of 95 %, which is made of the scatter of
the rounds themselves. It held when

- the interval does not lie wholly above A_MONTH, the slope that would fill a PC of 1 GiB within a month of attacks, and
- the interval does not reach up to A_LEAK: what is so uncertain that a leak of that size could hide in it has proven nothing.
"""

import asyncio
import json
import statistics
import time
from collections.abc import Sequence
from pathlib import Path

from tests.attack import measure
from tests.attack.attacks import PORTS, Attack, Site
from tests.attack.stage import HONEST, Memory, Stage, hostile, last_lines, stage
from tests.peers.ports import free_port
from tests.system.daemon import Daemon

TURN = 1.0
"""Seconds of an attack."""
REST = 0.3
"""Seconds without one; then memory is looked at."""
FEWEST = 5
"""Rounds after the warm-up, however long they take."""
MIB = 1024 * 1024
A_MONTH = 1024 * MIB / (30 * 24 * 60)
"""Bytes a minute, 24 KiB."""
A_LEAK = 0.5 * MIB
"""Bytes a minute."""
_RELOADED = 15.0
"""Seconds until a reload that is not answered is asked for again."""


async def soak(
    attacks: Sequence[Attack], directory: Path, seconds: float, turn: float = TURN, may: float = A_MONTH
) -> str:
    """Why it failed; empty when it held: it may grow by so many bytes a minute. Prints a line for each round."""
    turns = [attack for attack in attacks if attack.soak]
    async with stage(directory) as ready:
        folder = directory / "soak"
        (folder / "hostile").mkdir(parents=True)
        daemon = Daemon(folder, ready.honest)
        try:
            await daemon.start()
            return await _rounds(ready, daemon, turns, folder, seconds, turn, may)
        finally:
            await daemon.kill()


async def _rounds(
    ready: Stage, daemon: Daemon, turns: Sequence[Attack], folder: Path, seconds: float, turn: float, may: float
) -> str:
    memory = Memory(daemon.pid)
    steady: list[tuple[float, float]] = []
    begin, number, passed = time.monotonic(), 0, 0.0
    print(f"{len(turns)} attacks take turns of {turn:g} s")
    print(f"{'ROUND':>5} {'MINUTE':>6} {'MEMORY':>8} {'PEAK':>8} {'GAP':>7} {'(MACHINE)':>9}")
    while passed < seconds or len(steady) < FEWEST:
        number, since, warm, looks = number + 1, time.time(), number > 0 and passed >= seconds / 3, []
        for attack in turns:
            try:
                await _turn(ready, daemon, attack, _site(folder), turn)
            except TimeoutError:
                return f"`reload` is not answered at {attack.name}: {last_lines(daemon.log)}"
            if not daemon.running:
                return f"the gateway ended at {attack.name}: {last_lines(daemon.log)}"
            memory.look()
            looks.append(memory.now)
        middle, passed = passed, time.monotonic() - begin
        middle = (middle + passed) / 2
        if warm:
            steady.append((middle / 60, statistics.median(looks)))
        heard = ready.heard()
        gap = max(measure.longest_gap(heard.get(topic, []), since, time.time()) for topic in HONEST)
        still = ready.stood_still(since, time.time())
        sizes = f"{statistics.median(looks) / MIB:7.1f}M {memory.peak / MIB:7.0f}M"
        print(
            f"{number:5} {middle / 60:6.1f} {sizes} {gap:6.2f}s {still:8.2f}s{'' if warm else '  warm-up'}", flush=True
        )
    if why := grown(steady, may):
        return why
    async with asyncio.timeout(30):
        code = await daemon.stop()
    return "" if code == 0 else f"it ended with {code}: {last_lines(daemon.log)}"


def grown(rounds: Sequence[tuple[float, float]], may: float = A_MONTH) -> str:
    """Of (minute, bytes) of each round after the warm-up: whether memory rises by more than it may, in words; empty if not.
    The rule stands at the top."""
    rise, least, most = measure.slope(rounds)
    said = f"{rise / MIB:+.3f} MiB a minute ({least / MIB:+.3f} to {most / MIB:+.3f} with 95 %)"
    print(f"memory over {len(rounds)} rounds after the warm-up: {said}", flush=True)
    if least > may:
        return f"memory rises: {said}"
    if most >= max(may, A_LEAK):
        return f"memory scatters too much to tell whether it rises: {said}"
    return ""


def _site(folder: Path) -> Site:
    """With ports of its own for each turn: they are held for it only for a while."""
    ports = [free_port() for _ in range(PORTS)]
    return Site(folder / "hostile", folder / "state", folder / "control.sock", folder / "config.toml", ports)


async def _turn(ready: Stage, daemon: Daemon, attack: Attack, site: Site, seconds: float) -> None:
    if attack.prepare is not None:
        attack.prepare(site)
    daemon.write(ready.honest + attack.tables(site))
    async with hostile(attack, site):
        await _reload(daemon)
        await asyncio.sleep(seconds)
    daemon.write(ready.honest)
    await _reload(daemon)
    await asyncio.sleep(REST)


async def _reload(daemon: Daemon) -> None:
    """One that is not answered, by an attack on the control socket, is asked for again."""
    end = time.monotonic() + 60
    while daemon.running and not await _reloaded(daemon):
        if time.monotonic() > end:
            raise TimeoutError
        await asyncio.sleep(0.5)


async def _reloaded(daemon: Daemon) -> bool:
    try:
        async with asyncio.timeout(_RELOADED):
            reader, writer = await asyncio.open_unix_connection(str(daemon.socket))
            try:
                writer.write(b'{"command": "reload"}\n')
                answer = json.loads(await reader.readline())
                return bool(answer.get("result", {}).get("applied"))
            finally:
                writer.close()
    except (OSError, TimeoutError, ValueError):
        return False
