"""How the writer's thread and its disk are doing, as the event loop knows it."""

import asyncio
import errno
import time
from collections.abc import Mapping
from contextlib import suppress

import structlog

from gateway.core.record import Lane
from gateway.outbox.write.admission import Admission

log = structlog.get_logger()


HANGS = 10.0
"""Seconds without an error that a disk may take for a write; SD cards do stand still for some."""
_GONE = (errno.ENOENT, errno.ENOTDIR, errno.ESTALE)


class Disk:
    """Told what the thread begins, has done and cannot do."""

    def __init__(self, admission: Admission) -> None:
        self.trouble = ""
        """Why it takes nothing at the moment; empty while all is well."""
        self.gone = False
        """Whether the trouble is that the log's folder is not there: no waiting makes that better."""
        self.admission = admission
        self._progress = self._since = time.monotonic()
        self.failure: BaseException | None = None
        """What the thread died of."""
        self._ended = asyncio.Event()
        self._moved = asyncio.Event()

    def begins(self, sizes: Mapping[Lane, int]) -> None:
        """The thread gets a group of so many bytes."""
        if not self.admission.queued:
            self._progress = time.monotonic()
        for lane, size in sizes.items():
            self.admission.taken(lane, size)

    def done(self, size: int, *, all_written: bool) -> None:
        """A group of so many bytes is finished with, and on disk unless the thread gave up."""
        self.admission.queued -= size
        self._progress = time.monotonic()
        self._moved.set()
        if self.trouble and all_written:
            log.info("the disk takes the outbox again")
            self.trouble, self.gone = "", False

    def stands(self) -> None:
        """It could be asked, and nothing waits for it: whatever it was is over."""
        if self.trouble and not self.admission.queued:
            log.info("the disk takes the outbox again")
            self.trouble, self.gone = "", False

    def takes_nothing(self, patience: float) -> str:
        """Why it has taken nothing for more than so many seconds, hangs, or is gone; empty while it takes something, or did
        a moment ago."""
        if self.trouble:
            return self.trouble if self.gone or time.monotonic() - self._since > patience else ""
        return "it does not answer" if self.late() > max(patience, HANGS) else ""

    def refuses(self, error: OSError) -> None:
        """A write failed and will be tried again."""
        if not self.trouble:
            self._since = time.monotonic()
            log.error("the disk does not take the outbox; trying on", error=str(error))
        self.trouble, self.gone = str(error), error.errno in _GONE

    def ends(self, failure: BaseException | None) -> None:
        """The thread has ended."""
        self.failure = failure
        self._ended.set()

    def late(self) -> float:
        """Seconds for which the thread has not finished a group that it was given; 0 when it has nothing to do. A disk that
        refuses does not count: the thread tries on."""
        if not self.admission.queued or self.trouble:
            return 0.0
        return time.monotonic() - self._progress

    async def written_out(self, timeout: float) -> None:
        """Wait until nothing is on its way to the disk; at most so many seconds."""
        with suppress(TimeoutError):
            async with asyncio.timeout(timeout):
                while self.admission.queued:
                    self._moved.clear()
                    await self._moved.wait()

    async def ended(self, timeout: float | None = None) -> bool:
        """Wait for the thread's end, at most so many seconds; whether it has come."""
        with suppress(TimeoutError):
            async with asyncio.timeout(timeout):
                await self._ended.wait()
        return self._ended.is_set()
