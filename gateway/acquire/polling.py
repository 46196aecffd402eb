"""A connection over which devices are polled."""

import asyncio
from collections.abc import Mapping
from contextlib import AbstractContextManager
from functools import partial
from typing import Any

import structlog

from gateway.acquire.connection import LineConnection
from gateway.acquire.device import AcquiredDevice, Scan
from gateway.acquire.scan_queue import Request, ScanQueue
from gateway.acquire.wheel import Turn, Wheel
from gateway.core.errors import DeviceError, LinkError
from gateway.core.tag import Tags
from gateway.core.text import cleaned
from gateway.plugin.driver import Driver
from gateway.supervise import Deadlines, Foreign, Health
from gateway.supervise.foreign import outcome
from gateway.supervise.keep_running import EXPECTED, told


class Polling(LineConnection):
    """Reads scans as they fall due, and does what people ask before those that wait; as much at once as the driver bears."""

    def __init__(
        self,
        driver: Driver[Any, Any],
        sources: Mapping[str, AcquiredDevice],
        health: Health,
        foreign: Foreign,
        queue: ScanQueue,
        wheel: Wheel,
        deadlines: Deadlines,
    ) -> None:
        super().__init__(driver, sources, health, foreign)
        self._queue = queue
        self._wheel = wheel
        self._deadlines = deadlines
        self._patience = self.config.timeout
        """Seconds that one read may take."""
        self._deaf: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        """Done when a call goes on though it was cancelled."""
        self._under_way: set[Request] = set()
        self._log = structlog.get_logger().bind(line=next(iter(sources)))

    async def _read(self) -> None:
        scans = [scan for source in self.sources.values() for scan in source.scans]
        readers = len(scans) if self.driver.takes_turns else self.config.max_in_flight
        self._patience *= len(scans) if self.driver.takes_turns else 1
        for source in self.sources.values():
            source.rest_no_more()
        turns = [self._turn(scan) for scan in scans]
        tasks = [self.foreign.start(self._reader) for _ in range(readers)]
        try:
            await asyncio.wait([*tasks, self._deaf], return_when=asyncio.FIRST_COMPLETED)
            ended = [task for task in tasks if task.done()]
        finally:
            self.over()  # before the readers end, which may take their time
            for turn in turns:
                self._wheel.remove(turn)
            try:
                await self.foreign.end(tasks)
            finally:
                for request in self._under_way:
                    request.fail_lost()
        for task in ended:
            outcome(task)
        raise LinkError(
            f"no answer within {self._patience:g} s, and the driver does not end the read though it is cancelled"
        )

    def _turn(self, scan: Scan) -> Turn:
        """Read it now, and then whenever its turn comes."""
        self._queue.fall_due(scan)
        align = scan.source.spec.config.align
        return self._wheel.add(partial(self._queue.fall_due, scan), scan.period, scan.source.name, align)

    def _is_deaf(self) -> None:
        if not self._deaf.done():
            self._deaf.set_result(None)

    async def _reader(self) -> None:
        deadline = self._deadlines.within(self._patience, self._is_deaf)
        while self.is_open:
            work = await self._queue.next()
            if isinstance(work, Request):
                await self._do(work)
            else:
                await self._read_scan(work, deadline)

    async def _do(self, request: Request) -> None:
        self._under_way.add(request)
        try:
            with self._deadlines.within(self.config.timeout, self._is_deaf):
                answer = await request.call(self.driver)
        except Exception as error:
            known = isinstance(error, DeviceError | TimeoutError)
            request.fail(error if known else LinkError(f"the line was lost: {told(error)}"))
            if not isinstance(error, DeviceError):
                raise
        else:
            request.succeed(answer)
        finally:
            self._under_way.discard(request)
            request.fail_lost()

    async def _read_scan(self, scan: Scan, deadline: AbstractContextManager[None]) -> None:
        source = scan.source
        try:
            for tags in scan.portions(asyncio.get_running_loop().time()):
                await self._read_part(scan, tags, deadline)
                if not self.is_open:
                    return  # it was told to end, and has gone on
            if scan.suspects.parked:
                self._leave_out(scan)
        except (DeviceError, TimeoutError) as error:
            if not self._is_shared and not isinstance(error, DeviceError):
                raise
            if self.foreseen:
                self.foreseen = False  # the line goes on
                return
            source.failed(told(error), asyncio.get_running_loop().time())
            if all(each.health.state == "down" for each in self.sources.values()):
                self.health.down(told(error))
        else:
            self.health.up()
        finally:
            if self.is_open:
                self._queue.end(scan)

    async def _read_part(self, scan: Scan, tags: Tags, deadline: AbstractContextManager[None]) -> None:
        try:
            with deadline:
                values = await self.driver.read(tags)
            if self.is_open:
                scan.source.take(tags, values)
        except DeviceError:
            raise
        except Exception as error:
            if self.is_open:  # else it ended over something else
                self._ended_over(scan, tags, error)
            raise
        self.answered.add(tags)
        if scan.suspects:
            scan.suspects.answered(tuple(tag.name for tag in tags))

    @property
    def _is_shared(self) -> bool:
        return len(self.sources) > 1

    def _leave_out(self, scan: Scan) -> None:
        """What is not read, since the connection would end. Raises DeviceError where that is all that the device has."""
        source = scan.source
        if len(source.left_out) == len(source.device.tags):
            raise DeviceError(f"the connection ends whenever it is read ({next(iter(source.left_out.values()))})")
        source.leave_out(scan.part(scan.suspects.parked))

    def _ended_over(self, scan: Scan, tags: Tags, error: Exception) -> None:
        """The connection ends, perhaps over what was just asked for; of a shared line, a device that is silent ends none."""
        source, others = scan.source, self.answered - {tags}
        names, why = tuple(tag.name for tag in tags), cleaned(told(error))
        now, silent = asyncio.get_running_loop().time(), isinstance(error, TimeoutError)
        goes_on = self._is_shared and silent
        if goes_on:
            others = {each for each in others if each.device == source.name}
            self.answered -= others  # what it has answered long ago says nothing the next time
        before = set(scan.suspects.parked)
        foreseen = scan.suspects.ended(names, why, now, alive=bool(others), silent=silent)
        self.foreseen |= foreseen and (bool(others) or not goes_on)
        for name in scan.suspects.parked.keys() - before:
            self._log.warning(
                "the connection ends whenever the tag is read; it is left out, and tried again by itself",
                tag=f"{source.name}/{name}",
                reason=why,
                exc_info=None if isinstance(error, EXPECTED) else error,
            )
