"""One connection, kept alive, with the devices that share it."""

import asyncio
from collections import Counter
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import AbstractContextManager, aclosing, asynccontextmanager
from dataclasses import dataclass
from functools import partial
from itertools import chain
from pathlib import Path
from typing import Any

import structlog

from gateway.acquire.device import AcquiredDevice, Road, Scan
from gateway.acquire.dials import Dials
from gateway.acquire.driving import OfItself, close, offers, stream
from gateway.acquire.scan_queue import Call, Request, ScanQueue
from gateway.acquire.slot import Slot
from gateway.acquire.wheel import Turn, Wheel
from gateway.config.model import DeviceSpec
from gateway.core.clock import Clock
from gateway.core.device_event import Told
from gateway.core.errors import DeviceError, ForeseenError, LinkError, PluginError
from gateway.core.readings import Readings
from gateway.core.tag import Tags
from gateway.core.text import cleaned, listed
from gateway.isolation import Isolated, Process
from gateway.kit.suspects import TRIAL
from gateway.plugin import checked
from gateway.plugin.driver import Driver, Found
from gateway.plugin.hosts import Memory, OpenLineHost
from gateway.supervise import Backoff, Deadlines, Foreign, Health, containing, keep_running
from gateway.supervise.foreign import Opening, outcome
from gateway.supervise.keep_running import EXPECTED, told

SILENCE = 10
"""A subscription without a sign of life for this many scans, and at least 30 s, is torn down, unless `max_silence` says
otherwise."""
BACK_SOON = 12.0
"""Seconds within which a line dials again, its time-out counted in: what was repaired delivers soon, whatever it did."""
WITHOUT_A_PAUSE = 0.05
"""Seconds for which blocks of a subscription may come one after the other before others have their turn."""
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
        self._in_flight = sources[0].spec.config.max_in_flight
        self._patience = self._timeout
        self._queue = ScanQueue(shared.slot)
        self._under_way: set[Request] = set()
        self.driver: Driver[Any, Any] | None = None
        """Of the open connection."""
        self._deaf: asyncio.Future[None] | None = None
        """Done when a read goes on though it was cancelled."""
        self._tally: Counter[str] = Counter()
        self._answered: set[Tags] = set()
        """What was read on this connection."""
        self._trial = False
        """Whether the connection ended over what was suspected. That is no loss: all else has been read."""
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
        return self._tally + Counter(self._of_itself.ask(self.driver, "counts", checked.counts) or {})

    def facts(self) -> Mapping[str, str | float]:
        """What its driver tells of the open connection; nothing while there is none."""
        return self._of_itself.ask(self.driver, "facts", checked.facts) or {}

    def remarks(self) -> Sequence[str]:
        """What its driver finds worth saying of the open connection, though it works."""
        said = self._of_itself.ask(self.driver, "remarks", checked.remarks) or ()
        return [*said, *self._of_itself.remarks, *chain(*map(_left_out, self.sources.values()))]

    def process(self) -> Mapping[str, int] | None:
        """The process in which the driver works, where that is one of its own and runs."""
        kept = self._kept_process
        return kept.status() if kept is not None else None

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
        driver = self.driver
        if driver is None:
            raise LinkError(f"{source.name} is not connected: {self.health.reason or 'connecting'}")
        if at_once or self.subscribed:
            async with asyncio.timeout(self._timeout):
                return await self._foreign.call(lambda: call(driver))
        request = Request(source, call)
        self._queue.ask(request)
        return await request.answer

    async def offers(self) -> list[tuple[str, Found]] | None:
        """What the device offers; None while the line is not connected."""
        driver = self.driver
        return None if driver is None else await self._foreign.call(lambda: offers(driver))

    async def _session(self) -> None:
        in_vain = 0
        try:
            while True:
                try:
                    await self._connection()
                except Exception:
                    in_vain = 0 if self._answered else in_vain + 1
                    if not self._trial or in_vain > IN_VAIN:
                        raise
                await asyncio.sleep(AT_ONCE)
        finally:
            self._trial = False
            self._drop()  # also when it ends between two connections

    async def _connection(self) -> None:
        self._foreign.check()
        self._first()
        self._answered, self._trial = set(), False
        host = OpenLineHost(self, self.name, self._state_dir, self._memory)
        driver = self.driver_type([source.device for source in self.sources.values()], host)
        try:
            if isinstance(driver, Isolated):
                await driver.prepare()
            async with self._connected(driver):
                await self._describe(driver)
                self.driver = driver
                await (self._subscribe(driver) if self.subscribed else self._poll(driver))
        except Exception as error:
            if self._kept_process is not None and (end := self._kept_process.epitaph()):
                raise LinkError(end) from error  # whatever was noticed first, this is why
            raise
        finally:
            host.leave()
            driver.release()

    @asynccontextmanager
    async def _connected(self, driver: Driver[Any, Any]) -> AsyncIterator[None]:
        opening = Opening(lambda: driver.connect(), lambda: close(driver, self._log))
        try:
            async with self._dials.place(), asyncio.timeout(self._timeout):
                await self._foreign.call(opening.open)
        except BaseException as error:
            self._drop()
            await opening.give_up()
            if isinstance(error, TimeoutError):
                raise LinkError(str(error) or f"no connection within {self._timeout:g} s") from error
            raise
        try:
            yield
        except ForeseenError:
            self._trial = True
            raise
        finally:
            self._tally.update(self._of_itself.ask(driver, "counts", checked.counts) or {})
            self._tally["trials" if self._trial else "drops"] += not _stopping()  # one that we close is neither
            self._drop()
            await close(driver, self._log)

    async def _describe(self, driver: Driver[Any, Any]) -> None:
        async with asyncio.timeout(max(self._timeout, 10.0)):
            found = checked.described(await self._foreign.call(lambda: driver.describe()))
        by_device: dict[str, dict[str, Found]] = {}
        for tag, what in found.items():
            by_device.setdefault(tag.device, {})[tag.name] = what
        for source in self.sources.values():
            await asyncio.sleep(0)
            await source.describe(by_device.get(source.name, {}))
        driver.redefine([source.device for source in self.sources.values()])

    def _drop(self) -> None:
        """The connection is gone: values go stale at once, unless it is for a trial and the next is made at once; requests
        under way fail."""
        self.driver = None  # first: what a read that ends now still brings is of a connection that is over
        stopping = _stopping()
        lost = stopping or not self._trial
        for source in self.sources.values():
            if stopping:
                source.health.stopped()
            elif self.shared and lost:
                source.health.down("its line is down")
            if lost:
                source.go_stale()
        self._queue.drop(self.sources.values(), lost=lost)
        for request in self._under_way:
            request.fail(LinkError(f"the line to {request.source.name} was lost"))
        self._under_way.clear()

    def alive(self) -> None:
        """The driver has seen a sign of life."""
        for source in self.sources.values():
            source.alive()
        if self._silence is not None and not self._silence.expired():
            self._silence.reschedule(asyncio.get_running_loop().time() + self._silent_after)

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

    _silence: asyncio.Timeout | None = None

    @property
    def _silent_after(self) -> float:
        config = next(iter(self.sources.values())).spec.config
        return config.max_silence or max(30.0, SILENCE * config.scan)

    async def _subscribe(self, driver: Driver[Any, Any]) -> None:
        pump = self._foreign.start(lambda: self._pump(driver))
        try:
            async with asyncio.timeout(self._silent_after) as self._silence:
                await asyncio.wait([pump])
        except TimeoutError as error:
            raise LinkError(f"connected, but nothing came for {self._silent_after:g} s: dialling anew") from error
        finally:
            self._silence = None
            self.driver = None
            await self._foreign.end([pump])
        outcome(pump)  # raises what ended it
        raise LinkError("the subscription ended")

    async def _pump(self, driver: Driver[Any, Any]) -> None:
        loop = asyncio.get_running_loop()
        others = loop.time()
        async with aclosing(stream(driver)) as blocks:
            async for block in blocks:
                if self.driver is not driver:
                    return  # it was told to end, and has gone on
                self.alive()
                source = self.sources.get(block.device.name) if isinstance(block, Readings) else None
                if source is None:
                    raise PluginError("stream yielded what is no Readings of a device of this line")
                source.accept(checked.readings(block, source.device, source.now()))
                self._answered.add(source.device.tags)
                self.health.up()
                if loop.time() - others > WITHOUT_A_PAUSE:
                    await asyncio.sleep(0)  # a generator that never waits keeps nobody else from working
                    others = loop.time()

    async def _poll(self, driver: Driver[Any, Any]) -> None:
        turns: list[Turn] = []
        scans = sum(len(source.scans) for source in self.sources.values())
        readers = scans if driver.takes_turns else self._in_flight
        self._patience = self._timeout * (scans if driver.takes_turns else 1)
        for source in self.sources.values():
            source.rest_until = 0.0
            for scan in source.scans:
                self._queue.fall_due(scan)
                turns.append(self._turn(source, scan))
        self._deaf = asyncio.get_running_loop().create_future()
        tasks = [self._foreign.start(lambda: self._reader(driver)) for _ in range(readers)]
        try:
            await asyncio.wait([*tasks, self._deaf], return_when=asyncio.FIRST_COMPLETED)
            ended = [task for task in tasks if task.done()]
        finally:
            self.driver = None
            for turn in turns:
                self._wheel.remove(turn)
            await self._foreign.end(tasks)
        for task in ended:
            outcome(task)
        raise LinkError(
            f"no answer within {self._patience:g} s, and the driver does not end the read though it is cancelled"
        )

    def _is_deaf(self) -> None:
        """A call goes on although it was cancelled."""
        if self._deaf is not None and not self._deaf.done():
            self._deaf.set_result(None)

    def _turn(self, source: AcquiredDevice, scan: Scan) -> Turn:
        return self._wheel.add(partial(self._queue.fall_due, scan), scan.period, source.name, source.spec.config.align)

    async def _reader(self, driver: Driver[Any, Any]) -> None:
        deadline = self._deadlines.within(self._patience, self._is_deaf)
        while self.driver is driver:
            work = await self._queue.next()
            if isinstance(work, Request):
                await self._do(driver, work)
            else:
                await self._read_scan(driver, work, deadline)

    async def _read_scan(self, driver: Driver[Any, Any], scan: Scan, deadline: AbstractContextManager[None]) -> None:
        source = scan.source
        try:
            for tags in scan.portions(asyncio.get_running_loop().time()):
                await self._read_part(driver, scan, tags, deadline)
                if self.driver is not driver:
                    return  # it was told to end, and has gone on
            if scan.suspects.parked:
                self._leave_out(scan)
        except (DeviceError, TimeoutError) as error:
            if not self.shared and not isinstance(error, DeviceError):
                raise
            if self._trial:
                self._trial = False  # the line goes on
                return
            source.failed(told(error), asyncio.get_running_loop().time())
            if all(each.health.state == "down" for each in self.sources.values()):
                self.health.down(told(error))
        else:
            self.health.up()
        finally:
            if self.driver is driver:
                self._queue.end(scan)

    async def _read_part(
        self, driver: Driver[Any, Any], scan: Scan, tags: Tags, deadline: AbstractContextManager[None]
    ) -> None:
        try:
            with deadline:
                values = await driver.read(tags)
            if self.driver is driver:
                scan.source.take(tags, values)
        except DeviceError:
            raise
        except Exception as error:
            if self.driver is driver:  # else it ended over something else
                self._ended_over(scan, tags, error)
            raise
        self._answered.add(tags)
        if scan.suspects:
            scan.suspects.answered(tuple(tag.name for tag in tags))

    def _leave_out(self, scan: Scan) -> None:
        """What is not read, since the connection would end. Raises DeviceError where that is all that the device has."""
        source = scan.source
        if len(source.left_out) == len(source.device.tags):
            raise DeviceError(f"the connection ends whenever it is read ({next(iter(source.left_out.values()))})")
        source.leave_out(scan.part(scan.suspects.parked))

    def _ended_over(self, scan: Scan, tags: Tags, error: Exception) -> None:
        """The connection ends, perhaps over what was just asked for; of a shared line, a device that is silent ends none."""
        source, others = scan.source, self._answered - {tags}
        names, why = tuple(tag.name for tag in tags), cleaned(told(error))
        now, silent = asyncio.get_running_loop().time(), isinstance(error, TimeoutError)
        goes_on = self.shared and silent
        if goes_on:
            others = {each for each in others if each.device == source.name}
            self._answered -= others  # what it has answered long ago says nothing the next time
        before = set(scan.suspects.parked)
        foreseen = scan.suspects.ended(names, why, now, alive=bool(others), silent=silent)
        self._trial |= foreseen and (bool(others) or not goes_on)
        for name in scan.suspects.parked.keys() - before:
            self._log.warning(
                "the connection ends whenever the tag is read; it is left out, and tried again by itself",
                tag=f"{source.name}/{name}",
                reason=why,
                exc_info=None if isinstance(error, EXPECTED) else error,
            )

    async def _do(self, driver: Driver[Any, Any], request: Request) -> None:
        self._under_way.add(request)
        try:
            with self._deadlines.within(self._timeout, self._is_deaf):
                answer = await request.call(driver)
        except Exception as error:
            known = isinstance(error, DeviceError | TimeoutError)
            request.fail(error if known else LinkError(f"the line was lost: {told(error)}"))
            if not isinstance(error, DeviceError):
                raise
        else:
            if not request.answer.done():
                request.answer.set_result(answer)
        finally:
            self._under_way.discard(request)
            request.fail(LinkError(f"the line to {request.source.name} was lost"))


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
