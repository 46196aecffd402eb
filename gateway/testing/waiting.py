"""Waiting for a state, never for time to pass."""

import asyncio
import inspect
from collections.abc import Awaitable, Callable
from typing import TypeVar

R = TypeVar("R")

_FIRST, _SELDOM = 0.001, 0.01
"""Seconds between two looks: at the beginning, and from then on twice as long each time, up to this."""


async def eventually(
    condition: Callable[[], R | Awaitable[R]],
    timeout: float = 60.0,
    *,
    what: str = "",
    explain: Callable[[], str] = lambda: "",
) -> R:
    """Wait until `condition()`, which may be async, is true, and return what it gave.

    Raises AssertionError if it does not become so within `timeout` seconds, with `what` was waited for and what `explain()`
    says then. The last look comes after the time-out, so a machine that stood still meanwhile fails nobody.
    """
    clock = asyncio.get_running_loop().time
    end, pause = clock() + timeout, _FIRST
    while True:
        late = clock() > end
        found = condition()
        if inspect.isawaitable(found):
            found = await found
        if found:
            return found
        if late:
            wanted = what or getattr(condition, "__doc__", None) or condition
            raise AssertionError(f"not so within {timeout:g} s: {wanted}\n{explain()}".rstrip())
        await asyncio.sleep(pause)
        pause = min(2 * pause, _SELDOM)
