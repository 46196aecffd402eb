"""Whether a plugin's call blocks the event loop: sleeps, or waits for a socket or a file, without letting others work.

Counted is the time in which the loop's thread, which had given its processor up, neither worked nor waited for one, and no
other thread of the process did so either, which may have kept it from going on; so a slow or busy machine makes no call seem
to block.
"""

import contextlib
import resource
import time
import types
from collections.abc import Awaitable, Generator, Iterator
from pathlib import Path
from typing import Any, TypeVar

R = TypeVar("R")

LIMIT = 0.05
"""Seconds for which one step of a call may block."""
CERTAIN = 1.0
"""Seconds of blocking that are believed the first time. Less is believed of a call in which it is seen twice: a thread that
the call has waited for, and that has ended since, may have waited for a processor, which nobody knows any more."""

_suspected: set[str] = set()
"""Calls that seemed to block once."""


def _given_up() -> int:
    """How often this thread has gone to sleep by itself."""
    return resource.getrusage(getattr(resource, "RUSAGE_THREAD", resource.RUSAGE_SELF)).ru_nvcsw


def _queued() -> dict[str, float]:
    """Seconds for which each thread of this process, and each child that they may wait for to begin, has waited for a
    processor; nothing where that is not Linux."""
    found = {}
    for thread in Path("/proc/self/task").glob("*"):
        with contextlib.suppress(OSError, IndexError, ValueError):  # it has just ended
            found[thread.name] = _waited(thread)
            for child in (thread / "children").read_text().split():
                found[child] = _waited(Path("/proc", child))
    return found


def _waited(task: Path) -> float:
    return int((task / "schedstat").read_text().split()[1]) / 1e9


class Blocking:
    """Collects the longest step that blocked."""

    def __init__(self, call: str = "") -> None:
        """`call`: which one, where it is not told by what is `measured`."""
        self.longest = 0.0
        self._call = call

    @contextlib.contextmanager
    def step(self) -> Iterator[None]:
        """Measure the block, which must not await."""
        switches, queued, wall, worked = _given_up(), _queued(), time.monotonic(), time.process_time()
        try:
            yield
        finally:
            worked, wall = time.process_time() - worked, time.monotonic() - wall
            if _given_up() > switches:  # else a machine that stood still
                waited = sum(now - queued.get(thread, 0.0) for thread, now in _queued().items())
                self.longest = max(self.longest, wall - worked - waited)

    @types.coroutine
    def measured(self, call: Awaitable[R]) -> Generator[Any, Any, R]:
        """What the call returns, each of its steps measured."""
        self._call = getattr(call, "__qualname__", self._call)
        steps: Any = call.__await__()
        given: Any = None
        error: BaseException | None = None
        while True:
            with self.step():
                try:
                    wants = steps.send(given) if error is None else steps.throw(error)
                except StopIteration as done:
                    result: R = done.value
                    return result
            try:
                given, error = (yield wants), None
            except BaseException as raised:  # noqa: BLE001 - handed on into the call
                given, error = None, raised

    def check(self) -> None:
        """Fail when a step has blocked for too long, and that was no chance."""
        before = self._call in _suspected
        if self.longest >= LIMIT:
            _suspected.add(self._call)
        assert self.longest < (LIMIT if before else CERTAIN), (
            f"a call blocked the event loop for {self.longest * 1000:.0f} ms, and with it all other devices and sinks: "
            "await instead, or use in_thread (docs/plugins.md)"
        )
