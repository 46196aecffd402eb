"""One connection, kept alive, with the devices that share it."""

import asyncio
from collections import Counter, deque
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager, AbstractContextManager, aclosing, asynccontextmanager
from functools import partial
from pathlib import Path
from typing import Any

import structlog

from gateway.acquire.slot import Slot
from gateway.acquire.source import Scan, Source
from gateway.acquire.wheel import Turn, Wheel
from gateway.config.model import DeviceSpec
from gateway.core.clock import Clock
from gateway.core.device_event import Told
from gateway.core.errors import DeviceError, LinkError
from gateway.core.readings import Readings
from gateway.plugin.driver import Driver
from gateway.supervise import Deadlines, Health, keep_running, running

CLOSE_TIMEOUT = 3.0
SILENCE = 10
"""A subscription without a sign of life for this many scans, and at least 30 s, is torn down."""


Call = Callable[[Driver[Any, Any]], Awaitable[Any]]


class Request:
    """A read or write that a person asked for; it goes before waiting scans."""

    def __init__(self, source: Source, call: Call) -> None:
        self.source = source
        self.call = call
        self.answer: asyncio.Future[Any] = asyncio.get_running_loop().create_future()


class Line:
    """Dials, polls or subscribes, and dials again; see `gateway.plugin.Driver` for what it calls when."""

    def __init__(
        self,
        driver_type: type[Driver[Any, Any]],
        sources: Sequence[Source],
        *,
        wheel: Wheel,
        deadlines: Deadlines,
        slot: Slot,
        dial: AbstractAsyncContextManager[Any],
        clock: Clock,
        state_dir: Path | None = None,
    ) -> None:
        self.sources = {source.name: source for source in sources}
        self.name = sources[0].name
        self.driver_type = driver_type
        self._state_dir = state_dir
        self._wheel = wheel
        self._deadlines = deadlines
        self._slot = slot
        self._dial = dial
        self._timeout = sources[0].spec.config.timeout
        self._in_flight = sources[0].spec.config.max_in_flight
        self._patience = self._timeout
        self._due: deque[Scan] = deque()
        self._asked: list[Request] = []
        self._idle: list[asyncio.Future[None]] = []
        """Readers that have nothing to do."""
        self.driver: Driver[Any, Any] | None = None
        """Of the open connection."""
        self._tally: Counter[str] = Counter()
        for source in sources:
            source.line_counts = self.counts
            source.line_facts = self.facts
            source.line_remarks = self.remarks
        # A line of one device has that device's health; a shared one has its own beside theirs.
        self.shared = len(sources) > 1
        log = structlog.get_logger().bind(line=self.name)
        self.health = Health(f"line of {self.name}", clock, log=log) if self.shared else sources[0].health

    @property
    def specs(self) -> list[DeviceSpec]:
        """The devices of the line, as they were configured."""
        return [source.spec for source in self.sources.values()]

    def counts(self) -> Mapping[str, int]:
        """What went wrong on the line since the start: `drops` of an established connection, and what drivers count."""
        now = self.driver.counts if self.driver is not None else {}
        return self._tally + Counter(now)

    def facts(self) -> Mapping[str, str | float]:
        """What its driver tells of the open connection; nothing while there is none."""
        return self.driver.facts if self.driver is not None else {}

    def remarks(self) -> Sequence[str]:
        """What its driver finds worth saying of the open connection, though it works."""
        return self.driver.remarks if self.driver is not None else []

    async def run(self) -> None:
        """Keep the line alive, until cancelled."""
        await keep_running(self._session, self.health)

    async def ask(self, source: Source, call: Call, at_once: bool = False) -> Any:
        """What the driver answers to this call for a person: before the scans that wait, or beside all that is under way
        (`at_once`). Raises DeviceError or LinkError."""
        driver = self.driver
        if driver is None:
            raise LinkError(f"{source.name} is not connected: {self.health.reason or 'connecting'}")
        if at_once or driver.subscribes():
            async with asyncio.timeout(self._timeout):
                return await call(driver)
        request = Request(source, call)
        self._asked.append(request)
        self._wake()
        return await request.answer

    async def _session(self) -> None:
        driver = self.driver_type([source.device for source in self.sources.values()], self._alive)
        driver.state_dir = self._state_dir or driver.state_dir
        driver.tell = self._told
        try:
            async with self._connected(driver):
                await self._describe(driver)
                self.driver = driver
                await (self._subscribe(driver) if driver.subscribes() else self._poll(driver))
        finally:
            driver.release()

    @asynccontextmanager
    async def _connected(self, driver: Driver[Any, Any]) -> AsyncIterator[None]:
        try:
            async with self._dial, asyncio.timeout(self._timeout):
                await driver.connect()
        except TimeoutError as error:
            self._drop()
            raise LinkError(str(error) or f"no connection within {self._timeout:g} s") from error
        except BaseException:
            self._drop()
            raise
        try:
            yield
        finally:
            self._tally.update(driver.counts)
            self._tally["drops"] += not _stopping()
            self._drop()
            await close(driver)

    async def _describe(self, driver: Driver[Any, Any]) -> None:
        async with asyncio.timeout(max(self._timeout, 10.0)):
            found = await driver.describe()
        for source in self.sources.values():
            source.describe({tag.name: what for tag, what in found.items() if tag.device == source.name})
        driver.devices = tuple(source.device for source in self.sources.values())

    def _drop(self) -> None:
        """The connection is gone: values go stale at once, waiting requests fail."""
        self.driver = None
        stopping = _stopping()
        for source in self.sources.values():
            if stopping:
                source.health.stopped()
            elif self.shared:
                source.health.down("its line is down")
            source.go_stale()
        for request in self._asked:
            if not request.answer.done():
                request.answer.set_exception(LinkError(f"the line to {request.source.name} was lost"))
        for scan in self._due:
            self._end(scan)
        self._asked.clear()
        self._due.clear()

    def _alive(self) -> None:
        """What drivers call at a sign of life."""
        for source in self.sources.values():
            source.alive()
        if self._silence is not None:
            self._silence.reschedule(asyncio.get_running_loop().time() + self._silent_after)

    def _told(self, told: Told) -> None:
        """What drivers call with events of devices."""
        self.sources[told.device].told(told)

    _silence: asyncio.Timeout | None = None

    @property
    def _silent_after(self) -> float:
        return max(30.0, SILENCE * next(iter(self.sources.values())).spec.config.scan)

    async def _subscribe(self, driver: Driver[Any, Any]) -> None:
        try:
            async with asyncio.timeout(self._silent_after) as self._silence, aclosing(stream(driver)) as blocks:
                async for readings in blocks:
                    self._alive()
                    self.health.up()
                    self.sources[readings.device.name].accept(readings)
            raise LinkError("the subscription ended")
        except TimeoutError as error:
            raise LinkError(f"connected, but nothing came for {self._silent_after:g} s: dialling anew") from error
        finally:
            self._silence = None

    async def _poll(self, driver: Driver[Any, Any]) -> None:
        turns: list[Turn] = []
        scans = sum(len(source.scans) for source in self.sources.values())
        readers = scans if driver.takes_turns else self._in_flight
        self._patience = self._timeout * (scans if driver.takes_turns else 1)
        for source in self.sources.values():
            source.rest_until = 0.0
            for scan in source.scans:
                self._fall_due(scan)
                turns.append(self._turn(source, scan))
        try:
            if readers == 1:
                await self._reader(driver)
            async with running(*(self._reader(driver) for _ in range(readers))):
                await asyncio.Event().wait()
        finally:
            for turn in turns:
                self._wheel.remove(turn)

    def _turn(self, source: Source, scan: Scan) -> Turn:
        return self._wheel.add(partial(self._fall_due, scan), scan.period, source.name, source.spec.config.align)

    def _fall_due(self, scan: Scan) -> None:
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

    def _end(self, scan: Scan) -> None:
        scan.pending = False
        self._slot.end()

    def _wake(self) -> None:
        """Wake one idle reader, if there is one."""
        while self._idle:
            bell = self._idle.pop()
            if not bell.done():
                bell.set_result(None)
                return

    async def _reader(self, driver: Driver[Any, Any]) -> None:
        loop = asyncio.get_running_loop()
        deadline = self._deadlines.within(self._patience)
        while True:
            while not (self._due or self._asked):
                bell = loop.create_future()
                self._idle.append(bell)
                await bell
            if self._asked:
                await self._do(driver, self._asked.pop(0))
            else:
                await self._read_scan(driver, self._due.popleft(), deadline)

    async def _read_scan(self, driver: Driver[Any, Any], scan: Scan, deadline: AbstractContextManager[None]) -> None:
        source = scan.source
        try:
            with deadline:
                values = await driver.read(scan.tags)
        except (DeviceError, TimeoutError) as error:
            if not self.shared and not isinstance(error, DeviceError):
                raise
            source.failed(str(error), asyncio.get_running_loop().time())
            if all(each.health.state == "down" for each in self.sources.values()):
                self.health.down(str(error))
        else:
            self.health.up()
            source.take(scan.tags, values)
        finally:
            self._end(scan)

    async def _do(self, driver: Driver[Any, Any], request: Request) -> None:
        try:
            with self._deadlines.within(self._timeout):
                answer = await request.call(driver)
        except BaseException as error:
            if not request.answer.done():
                request.answer.set_exception(
                    error if isinstance(error, DeviceError | TimeoutError) else LinkError(f"the line was lost: {error}")
                )
            if not isinstance(error, DeviceError):
                raise
        else:
            if not request.answer.done():
                request.answer.set_result(answer)


def _stopping() -> bool:
    """Whether the present task was told to end."""
    task = asyncio.current_task()
    return task is not None and task.cancelling() > 0


async def close(driver: Driver[Any, Any]) -> None:
    """Close, for at most so long. Never raises: how a connection ended is known already."""
    closing = asyncio.create_task(driver.close())
    try:
        done, _ = await asyncio.wait([closing], timeout=CLOSE_TIMEOUT)
    finally:
        closing.cancel()
    if not done:
        driver.log.warning("closing took too long, the connection was left", seconds=CLOSE_TIMEOUT)
    elif not closing.cancelled() and (error := closing.exception()):
        driver.log.error("the driver's close failed", exc_info=error)


def stream(driver: Driver[Any, Any]) -> AsyncGenerator[Readings, None]:
    """The driver's subscription."""
    blocks = driver.stream()
    assert isinstance(blocks, AsyncGenerator), "stream() must be an async generator"
    return blocks
