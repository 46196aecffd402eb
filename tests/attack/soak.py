"""All attacks take turns on one gateway that goes on: its memory must not grow with the turns."""

import asyncio
import time
from collections.abc import Sequence
from pathlib import Path

from tests.attack import measure
from tests.attack.attacks import PORTS, Attack, Site
from tests.attack.stage import HONEST, Memory, Stage, hostile, last_lines, stage
from tests.peers.ports import free_port
from tests.system.daemon import Daemon

TURN = 2.0
"""Seconds of an attack."""
REST = 1.5
"""Seconds without one; then memory is looked at."""
NOISE = 4.0
"""Deviations from the line that count as noise."""
LEAST = 8 * 1024 * 1024
"""Bytes that a soak may always grow by: what an allocator keeps here and there."""
MIB = 1024 * 1024


async def soak(
    attacks: Sequence[Attack], directory: Path, seconds: float, turn: float = TURN, least: int = LEAST
) -> str:
    """Why it failed; empty when it held: it may grow by its noise, or by `least` bytes, over so many seconds and at least two
    rounds, of which the first is not counted. Prints a line for each round."""
    turns = [attack for attack in attacks if attack.soak]
    async with stage(directory) as ready:
        folder = directory / "soak"
        (folder / "hostile").mkdir(parents=True)
        daemon = Daemon(folder, ready.honest)
        try:
            await daemon.start()
            return await _rounds(ready, daemon, turns, folder, seconds, turn, least)
        finally:
            await daemon.kill()


async def _rounds(
    ready: Stage, daemon: Daemon, turns: Sequence[Attack], folder: Path, seconds: float, turn: float, least: int
) -> str:
    memory = Memory(daemon.pid)
    points: list[tuple[float, float]] = []
    begin, number, passed = time.monotonic(), 0, 0.0
    print(f"{len(turns)} attacks take turns of {turn:g} s")
    print(f"{'ROUND':>5} {'MEMORY':>8} {'PEAK':>8} {'GAP':>7} {'(MACHINE)':>9}")
    while number < 2 or passed < seconds:
        number, since = number + 1, time.time()
        for attack in turns:
            try:
                await _turn(ready, daemon, attack, _site(folder), turn)
            except TimeoutError:
                return f"`reload` is not answered at {attack.name}: {last_lines(daemon.log)}"
            if not daemon.running:
                return f"the gateway ended at {attack.name}: {last_lines(daemon.log)}"
            memory.look()
            passed = time.monotonic() - begin
            if number > 1:  # in its first turn each attack has things imported, and allocated once
                points.append((passed, float(memory.now)))
            if number > 2 and passed >= seconds:
                break
        heard = ready.heard()
        gap = max(measure.longest_gap(heard.get(topic, []), since, time.time()) for topic in HONEST)
        still = ready.stood_still(since, time.time())
        print(f"{number:5} {memory.now / MIB:7.0f}M {memory.peak / MIB:7.0f}M {gap:6.2f}s {still:8.2f}s", flush=True)
    if why := _grown(points, least):
        return why
    async with asyncio.timeout(30):
        code = await daemon.stop()
    return "" if code == 0 else f"it ended with {code}: {last_lines(daemon.log)}"


def _site(folder: Path) -> Site:
    """With ports of its own for each turn: they are held for it only for a while."""
    ports = [free_port() for _ in range(PORTS)]
    return Site(folder / "hostile", folder / "state", folder / "control.sock", folder / "config.toml", ports)


def _grown(points: Sequence[tuple[float, float]], least: int) -> str:
    """Whether memory rises by more than its noise, in words; empty if not."""
    rise, noise = measure.slope(points)
    whole = rise * (points[-1][0] - points[0][0])
    print(f"memory rises by {rise * 60 / 1024:.1f} KiB a minute; noise {noise / 1024:.0f} KiB", flush=True)
    return f"memory rises by {whole / MIB:.1f} MiB" if whole > max(NOISE * noise, least) else ""


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
    """As a person does it; one that is not answered, by an attack on the control socket, is asked again."""
    for _ in range(20):
        if not daemon.running or (await daemon.ask("reload")).code == 0:
            return
        await asyncio.sleep(0.5)
