"""One connection, kept alive, with the devices that share it."""

import asyncio
from collections import Counter
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from itertools import chain
from pathlib import Path
from typing import Any

import structlog

from gateway.acquire.connection import LineConnection
from gateway.acquire.device import AcquiredDevice, Road
from gateway.acquire.dials import Dials
from gateway.acquire.driving import OfItself, close, offers, recorded
from gateway.acquire.polling import Polling
from gateway.acquire.scan_queue import Call, Request, ScanQueue
from gateway.acquire.slot import Slot
from gateway.acquire.subscribing import Subscribing
from gateway.acquire.wheel import Wheel
from gateway.config.model import DeviceSpec
from gateway.core.clock import Clock
from gateway.core.device_event import Told
from gateway.core.errors import ForeseenError, LinkError
from gateway.core.readings import Readings
from gateway.core.tag import Tag
from gateway.core.text import listed
from gateway.isolation import Isolated, Process
from gateway.kit.suspects import TRIAL
from gateway.plugin import checked
from gateway.plugin.driver import Driver, Found
from gateway.plugin.hosts import LineHost, Memory, OpenLineHost
from gateway.supervise import Backoff, Deadlines, Foreign, Health, containing, keep_running
from gateway.supervise.foreign import Opening
from gateway.supervise.keep_running import told

BACK_SOON = 12.0
"""Seconds within which a line dials again, its time-out counted in: what was repaired delivers soon, whatever it did."""
AT_ONCE = 0.2
"""Seconds after which a line dials again where nothing but what was suspected has ended the connection."""
IN_VAIN = 20
"""Such connections, one after the other, that may bring nothing."""


@dataclass(frozen=True, slots=True)
class Shared:
    """What all lines have in common."""

    road: Road
    clock: Clock
    wheel: Wheel
    deadlines: Deadlines
    slot: Slot
    dials: Dials
    state_dir: Path | None
    """Where drivers keep files; None for the machine's own place."""


class Line:
    """Dials, polls or subscribes, and dials again; see `gateway.plugin.Driver` for what it calls when.

    Whatever the driver raises, returns or tells ends here, counts against this line, and is told: its calls are contained
    (`gateway.supervise.contained`), run in tasks that can be left behind, and what it hands up is checked
    (`gateway.plugin.checked`).
    """

    def __init__(
        self,
        driver_type: type[Driver[Any, Any]],
        specs: Sequence[DeviceSpec],
        shared: Shared,
        *,
        subscribed: bool = False,
        first: Callable[[], None] = lambda: None,
    ) -> None:
        """`first` is called before each dialling; what it raises stands for what the dialling would have raised."""
        self._first = first
        self.driver_type = driver_type
        self.subscribed = subscribed
        sources = [AcquiredDevice(spec, shared.road, shared.clock, self) for spec in specs]
        self.sources = {source.name: source for source in sources}
        self.name = sources[0].name
        self._state_dir = shared.state_dir
        self._memory: Memory = {}
        """What one connection leaves for the next."""
        self._wheel = shared.wheel
        self._deadlines = shared.deadlines
        self._dials = shared.dials
        self._timeout = sources[0].spec.config.timeout
        self._queue = ScanQueue(shared.slot)
        """It outlives connections: what people ask waits for the next one, where that comes at once."""
        self._connection: LineConnection | None = None
        self._tally: Counter[str] = Counter()
        # A line of one device has that device's health; a shared one has its own beside theirs.
        self.shared = len(sources) > 1
        self._log = structlog.get_logger().bind(line=self.name)
        self._foreign = Foreign(self._log)
        self._of_itself = OfItself(self._log)
        own = Health(f"line of {self.name}", shared.clock, log=self._log)
        self.health = own if self.shared else sources[0].health

    @property
    def specs(self) -> list[DeviceSpec]:
        """The devices of the line, as they were configured."""
        return [source.spec for source in self.sources.values()]

    def counts(self) -> Mapping[str, int]:
        """What went wrong on the line since the start: `drops` of an established connection, and what drivers count."""
        return self._tally + Counter(self._of_itself.ask(self._driver, "counts", checked.counts) or {})

    def facts(self) -> Mapping[str, str | float]:
        """What its driver tells of the open connection; nothing while there is none."""
        return self._of_itself.ask(self._driver, "facts", checked.facts) or {}

    def remarks(self) -> Sequence[str]:
        """What its driver finds worth saying of the open connection, though it works."""
        said = self._of_itself.ask(self._driver, "remarks", checked.remarks) or ()
        return [*said, *self._of_itself.remarks, *chain(*map(_left_out, self.sources.values()))]

    def process(self) -> Mapping[str, int] | None:
        """The process in which the driver works, where that is one of its own and runs."""
        kept = self._kept_process
        return kept.status() if kept is not None else None

    @property
    def _driver(self) -> Driver[Any, Any] | None:
        """Of the open connection."""
        return self._connection.driver if self._connection is not None and self._connection.is_open else None

    @property
    def _kept_process(self) -> Process | None:
        return self.driver_type.kept if issubclass(self.driver_type, Isolated) else None

    async def run(self) -> None:
        """Keep the line alive, until cancelled."""
        try:
            await keep_running(
                self._session, self.health, Backoff(limit=min(10.0, max(2.0, BACK_SOON - self._timeout)))
            )
        finally:
            if self._kept_process is not None:
                await self._kept_process.end()

    async def ask(self, source: AcquiredDevice, call: Call, at_once: bool = False) -> Any:
        """What the driver answers to this call for a person: before the scans that wait, or beside all that is under way
        (`at_once`). Raises DeviceError or LinkError, or what a bug of the driver raises."""
        driver = self._driver
        if driver is None:
            raise LinkError(f"{source.name} is not connected: {self.health.reason or 'connecting'}")
        if at_once or self.subscribed:
            async with asyncio.timeout(self._timeout):
                return await self._foreign.call(lambda: call(driver))
        request = Request(source, call)
        self._queue.ask(request)
        return await request.answer

    async def offers(self, *, types: bool = False) -> list[tuple[str, Found]] | None:
        """What the device offers, or what of it has a type that is known; None while the line is not connected."""
        driver = self._driver
        return None if driver is None else await self._foreign.call(lambda: offers(driver, types=types))

    async def recorded(
        self, source: AcquiredDevice, tag: Tag, from_ns: int, to_ns: int, most: int
    ) -> tuple[list[Readings], bool]:
        """About so many readings that a device has recorded of a tag, scaled, and whether these are all. Raises LinkError
        while the line is not connected, and what the driver raises."""
        driver = self._driver
        if driver is None:
            raise LinkError(f"{source.name} is not connected: {self.health.reason or 'connecting'}")
        device = source.device
        blocks, complete = await self._foreign.call(
            lambda: recorded(driver, device, tag, from_ns, to_ns, most, source.now())
        )
        return [source.conditioned(block) for block in blocks], complete

    async def _session(self) -> None:
        in_vain = 0
        try:
            while True:
                self._foreign.check()
                self._first()
                host = OpenLineHost(self, self.name, self._state_dir, self._memory)
                connection = self._connection = self._made(host)
                try:
                    await self._read_over(connection)
                except Exception:
                    in_vain = 0 if connection.answered else in_vain + 1
                    if not connection.foreseen or in_vain > IN_VAIN:
                        raise
                finally:
                    host.leave()
                    connection.driver.release()
                await asyncio.sleep(AT_ONCE)
        finally:
            self._drop(lost=True)  # also when it ends between two connections

    def _made(self, host: LineHost) -> LineConnection:
        driver = self.driver_type([source.device for source in self.sources.values()], host)
        if self.subscribed:
            return Subscribing(driver, self.sources, self.health, self._foreign)
        return Polling(driver, self.sources, self.health, self._foreign, self._queue, self._wheel, self._deadlines)

    async def _read_over(self, connection: LineConnection) -> None:
        driver = connection.driver
        try:
            if isinstance(driver, Isolated):
                await driver.prepare()
            async with self._dialled(connection):
                await connection.describe()
                await connection.read()
        except Exception as error:
            if self._kept_process is not None and (end := self._kept_process.epitaph()):
                raise LinkError(end) from error  # whatever was noticed first, this is why
            raise

    @asynccontextmanager
    async def _dialled(self, connection: LineConnection) -> AsyncIterator[None]:
        driver = connection.driver
        opening = Opening(lambda: driver.connect(), lambda: close(driver, self._log))
        try:
            async with self._dials.place(), asyncio.timeout(self._timeout):
                await self._foreign.call(opening.open)
        except BaseException as error:
            self._drop(lost=True)
            await opening.give_up()
            if isinstance(error, TimeoutError):
                raise LinkError(str(error) or f"no connection within {self._timeout:g} s") from error
            raise
        try:
            yield
        except ForeseenError:
            connection.foresee()
            raise
        finally:
            stopping, trial = _stopping(), connection.foreseen
            self._tally.update(self._of_itself.ask(driver, "counts", checked.counts) or {})
            self._tally["trials" if trial else "drops"] += not stopping  # one that we close is neither
            self._drop(lost=stopping or not trial)
            await close(driver, self._log)

    def _drop(self, *, lost: bool) -> None:
        """The connection is gone: where it is `lost`, and not for a trial after which the next is made at once, values go
        stale at once and requests that wait fail."""
        self._connection = None
        stopping = _stopping()
        for source in self.sources.values():
            if stopping:
                source.health.stopped()
            elif self.shared and lost:
                source.health.down("its line is down")
            if lost:
                source.go_stale()
        self._queue.drop(self.sources.values(), lost=lost)

    def alive(self) -> None:
        """The driver has seen a sign of life."""
        if self._connection is not None:
            self._connection.alive()

    def told(self, what: Told) -> None:
        """The driver tells of a device. What cannot be understood is left out, counted and logged."""
        try:
            with containing():
                event = checked.told(what, self.sources, next(iter(self.sources.values())).now())
            self.sources[event.device].told(event)
        except Exception as error:  # noqa: BLE001 - one event, and not the connection that brings all others
            if not self._tally["events not understood"]:
                self._log.error("an event of the driver is left out", reason=told(error), exc_info=error)
            self._tally["events not understood"] += 1

    def brought(self, readings: Readings) -> None:
        """The driver has values between two polls. What cannot be understood is left out, counted and logged."""
        connection = self._connection
        if connection is None or not connection.is_open:
            return
        try:
            with containing():
                connection.brought(readings)
        except Exception as error:  # noqa: BLE001 - one block, and not the connection
            if not self._tally["readings not understood"]:
                self._log.error("readings that the driver brings are left out", reason=told(error), exc_info=error)
            self._tally["readings not understood"] += 1


def _left_out(source: AcquiredDevice) -> list[str]:
    """What is to be remarked of it."""
    left_out = source.left_out
    return [
        f"the connection ends whenever {listed([*left_out])} of {source.name} is read ({why}); it is left out, and tried"
        f" again every {TRIAL:g} s: compare the address with the device's manual"
        for why in [*left_out.values()][:1]
    ]


def _stopping() -> bool:
    """Whether the present task was told to end."""
    task = asyncio.current_task()
    return task is not None and task.cancelling() > 0
