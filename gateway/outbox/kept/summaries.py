"""Has summaries made of finished segments, one after the other, in a thread that mostly rests."""

import asyncio
import threading
import time
from collections.abc import Callable

import structlog

from gateway.core.clock import Clock
from gateway.outbox.format import Segment
from gateway.outbox.kept.summarising import Summarising
from gateway.outbox.start import State
from gateway.outbox.write import LaneLog, Writer
from gateway.places.durable import write_whole

log = structlog.get_logger()

_OLD_NS = 60_000_000_000
"""A segment is left alone for so long: most go soon, since every sink has them."""
_REST = 9
"""It rests so many times as long as it works: a tenth of a core at most."""
_PAUSE_NS = 600_000_000_000
"""After the disk did not take one."""


class Summaries:
    """Of one log's readings."""

    def __init__(self, lane: LaneLog, found: State, writer: Writer, clock: Clock) -> None:
        self._lane = lane
        self._state = found
        self._writer = writer
        self._clock = clock
        self._task: asyncio.Task[None] | None = None
        self._end = threading.Event()
        self._without: set[str] = set()
        """Names of segments that get none: not worth its room, or it cannot be made."""
        self._not_before = 0
        """By the boot clock: when the disk is tried again."""

    def tick(self, may_have: Callable[[Segment], bool]) -> None:
        """Once a second: begin the next, if one is due that `may_have` room; the newest first."""
        if self._task is not None and not self._task.done():
            return
        now = self._clock.boot_ns()
        if now < self._not_before or self._end.is_set():
            return
        for segment in reversed(self._lane.segments[:-1]):
            is_old = segment.boot_to is None or segment.boot_to <= now - _OLD_NS
            if is_old and not segment.summary and segment.path.name not in self._without and may_have(segment):
                self._task = asyncio.create_task(self._make(segment))
                return

    async def _make(self, segment: Segment) -> None:
        name = segment.path.name
        try:
            size = await asyncio.to_thread(self._made, segment)
        except FileNotFoundError:
            self._without.add(name)  # gone, or about to be found so
        except OSError as error:
            if not self._not_before:  # once is enough
                log.info(
                    "a summary of the outbox cannot be written: charts of long spans take longer", error=str(error)
                )
            self._not_before = self._clock.boot_ns() + _PAUSE_NS
        except Exception:
            log.exception("a summary of the outbox cannot be made", file=name)
            self._without.add(name)
        else:
            self._writer.count(size or 0)
            if size is None:
                self._without.add(name)
            elif segment in self._lane.segments:
                segment.summary = size
            else:
                self._writer.remove([segment.summary_path])
        self._without &= {each.path.name for each in self._lane.segments}

    def _made(self, segment: Segment) -> int | None:
        """Bytes of the file; None where there is none. In a thread. Raises OSError."""
        making = Summarising(self._state.log_id, segment, self._state.dictionary)
        before = time.monotonic()
        for _ in making.run():
            if self._end.wait(_REST * (time.monotonic() - before)):
                return None
            before = time.monotonic()
        data = making.file()
        if data is None:
            return None
        path = segment.summary_path
        path.parent.mkdir(exist_ok=True)
        try:
            write_whole(path, data, sync=False)
        except OSError:
            path.with_name(path.name + ".part").unlink(missing_ok=True)  # the room is needed
            raise
        return len(data)

    async def close(self) -> None:
        """Make no more."""
        self._end.set()
        if self._task is not None:
            await asyncio.gather(self._task, return_exceptions=True)
