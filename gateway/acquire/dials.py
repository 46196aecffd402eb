"""How many lines dial at once."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

AT_ONCE = 64
HOLD = 0.3
"""Seconds after which a line that is still dialling gives its place to another one: then it only waits for its device, and
a thousand devices that are switched off must not keep one that is there waiting."""


class Dials:
    """Places for lines that begin to dial, so that a start or a lost network does not make all connections in one moment."""

    def __init__(self) -> None:
        self._places = asyncio.Semaphore(AT_ONCE)

    @asynccontextmanager
    async def place(self) -> AsyncIterator[None]:
        """Wait for a place, and hold it for the block, for `HOLD` seconds at most."""
        await self._places.acquire()
        held = True

        def free() -> None:
            nonlocal held
            if held:
                held = False
                self._places.release()

        timer = asyncio.get_running_loop().call_later(HOLD, free)
        try:
            yield
        finally:
            timer.cancel()
            free()
