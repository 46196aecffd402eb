"""What the readers of a line have to do."""

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable, Iterable
from typing import Any

from gateway.acquire.device import AcquiredDevice, Scan
from gateway.acquire.slot import Slot
from gateway.core.errors import LinkError
from gateway.plugin.driver import Driver

Call = Callable[[Driver[Any, Any]], Awaitable[Any]]


class Request:
    """A read or write that a person asked for; it goes before waiting scans."""

    def __init__(self, source: AcquiredDevice, call: Call) -> None:
        self.source = source
        self.call = call
        self.answer: asyncio.Future[Any] = asyncio.get_running_loop().create_future()

    def succeed(self, answer: Any) -> None:
        """Tell who asks, unless nobody waits any more."""
        if not self.answer.done():
            self.answer.set_result(answer)

    def fail(self, error: Exception) -> None:
        """Tell who asks, unless there was an answer before."""
        if not self.answer.done():
            self.answer.set_exception(error)

    def fail_lost(self) -> None:
        """There will be no answer, where there was none before."""
        self.fail(LinkError(f"the line to {self.source.name} was lost"))


class ScanQueue:
    """Scans that are due, in order, and requests of people, which go before them. A scan that is not answered yet when it
    falls due once more is left out and counted, never queued twice."""

    def __init__(self, slot: Slot) -> None:
        self._slot = slot
        self._due: deque[Scan] = deque()
        self._asked: deque[Request] = deque()
        self._idle: list[asyncio.Future[None]] = []
        """Readers that have nothing to do."""

    def fall_due(self, scan: Scan) -> None:
        """Read it as soon as a reader is free, unless its device is left alone for a while."""
        if scan.pending:
            scan.skipped += 1
            return
        rest = scan.source.rest_until
        if rest and asyncio.get_running_loop().time() < rest:
            return
        scan.pending = True
        self._slot.begin()
        self._due.append(scan)
        self._wake()

    def ask(self, request: Request) -> None:
        """Do this before the scans that wait."""
        self._asked.append(request)
        self._wake()

    async def next(self) -> Scan | Request:
        """What a reader does now; waits until there is anything."""
        while not (self._due or self._asked):
            bell = asyncio.get_running_loop().create_future()
            self._idle.append(bell)
            await bell
        return self._asked.popleft() if self._asked else self._due.popleft()

    def end(self, scan: Scan) -> None:
        """It was answered, or will not be."""
        scan.pending = False
        self._slot.end()

    def drop(self, sources: Iterable[AcquiredDevice], *, lost: bool) -> None:
        """The connection is gone: scans fall due anew on the next one. Requests that wait do so for that, unless the line is
        `lost`: then they fail."""
        for scan in (scan for source in sources for scan in source.scans if scan.pending):
            self.end(scan)
        while lost and self._asked:
            self._asked.popleft().fail_lost()
        self._due.clear()
        self._idle.clear()

    def _wake(self) -> None:
        """Wake one idle reader, if there is one."""
        while self._idle:
            bell = self._idle.pop()
            if not bell.done():
                bell.set_result(None)
                return
