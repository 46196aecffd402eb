"""Whether a plugin's call blocks the event loop: sleeps, or waits for a socket or a file, without letting others work.

Counted is the time in which the loop's thread neither worked nor waited for a processor, and no other thread of the process
kept it from working; so a slow or busy machine makes no call seem to block.
"""

import contextlib
import threading
import time
import types
from collections.abc import Awaitable, Generator, Iterator
from pathlib import Path
from typing import Any, TypeVar

R = TypeVar("R")

LIMIT = 0.05
"""Seconds for which one step of a call may block."""


class Blocking:
    """Collects the longest step that blocked."""

    def __init__(self) -> None:
        self.longest = 0.0
        self._schedule = Path(f"/proc/self/task/{threading.get_native_id()}/schedstat")

    @contextlib.contextmanager
    def step(self) -> Iterator[None]:
        """Measure the block, which must not await."""
        began = self._spent()
        try:
            yield
        finally:
            wall, own, queued, process = (now - then for now, then in zip(self._spent(), began, strict=True))
            others = max(0.0, process - own)
            self.longest = max(self.longest, wall - own - queued - others)

    def _spent(self) -> tuple[float, float, float, float]:
        """Seconds: of the wall clock; worked by this thread; waited for a processor; worked by the whole process."""
        try:
            queued = int(self._schedule.read_text().split()[1]) / 1e9
        except (OSError, IndexError, ValueError):  # no Linux: the limit is as good as it can be
            queued = 0.0
        return time.monotonic(), time.thread_time(), queued, time.process_time()

    @types.coroutine
    def measured(self, call: Awaitable[R]) -> Generator[Any, Any, R]:
        """What the call returns, each of its steps measured."""
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
        """Fail when a step has blocked for too long."""
        assert self.longest < LIMIT, (
            f"a call blocked the event loop for {self.longest * 1000:.0f} ms, and with it all other devices and sinks: "
            "await instead, or use in_thread (docs/plugins.md)"
        )
