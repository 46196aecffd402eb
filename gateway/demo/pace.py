"""What the simulated devices need: simulated time that follows the clock, and commands on standard input."""

import asyncio
import os
import stat
import sys
import time
from collections.abc import AsyncIterator, Callable


class Pace:
    """Steps a simulation so that its time follows the clock."""

    def __init__(self, step: float) -> None:
        self._step = step
        self._next = time.monotonic() + step

    def catch_up(self, step: Callable[[float], None]) -> None:
        """Make the steps that have fallen due; after a long pause only those of the last minute."""
        now = time.monotonic()
        self._next = max(self._next, now - 60)
        while self._next <= now:
            step(self._step)
            self._next += self._step


async def commands() -> AsyncIterator[str]:
    """Lines from standard input, until it ends: the parent is gone, and so should we be. From /dev/null and files come
    none, and no end."""
    if not sys.stdin.isatty() and (stat.S_ISCHR(mode := os.fstat(0).st_mode) or stat.S_ISREG(mode)):
        await asyncio.Future()
    reader = asyncio.StreamReader()
    await asyncio.get_running_loop().connect_read_pipe(lambda: asyncio.StreamReaderProtocol(reader), sys.stdin)
    while line := await reader.readline():
        yield line.decode().strip()
