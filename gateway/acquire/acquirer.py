"""All lines together."""

import asyncio
from collections.abc import Hashable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, Protocol

import structlog

from gateway.acquire import asked
from gateway.acquire.device import AcquiredDevice, Road
from gateway.acquire.dials import Dials
from gateway.acquire.line import Line, Shared
from gateway.acquire.slot import Slot
from gateway.acquire.wheel import Wheel
from gateway.config.base import DeviceConfig
from gateway.config.model import DeviceSpec
from gateway.core.clock import Clock
from gateway.core.errors import GatewayError, LinkError, PluginError, RefusedError
from gateway.core.readings import Readings
from gateway.core.tag import Tag, Tags
from gateway.core.text import cleaned
from gateway.isolation import Starts, placed
from gateway.plugin.driver import Driver, Found, subscribes
from gateway.plugin.guessing import Guess
from gateway.supervise import Deadlines, Running, containing, running
from gateway.supervise.keep_running import told

SWEEP_EVERY = 0.4
LOOK_EVERY = 1.0

log = structlog.get_logger()


class DriverTypes(Protocol):
    """Who knows the drivers by their names."""

    def driver(self, name: str) -> type[Driver[Any, Any]]:
        """The driver of this name. Raises PluginError where there is none that loads."""
        ...


class Drivers(DriverTypes, Protocol):
    """The same of a gateway that runs. It is asked whenever one is made, so it may change its mind."""

    def barred_device(self, device: DeviceConfig) -> str:
        """Why a device is not to be dialled; empty when it may be."""
        ...


class Acquirer:
    """Reads all devices. Lines can be exchanged while it runs."""

    def __init__(self, road: Road, drivers: Drivers, clock: Clock, state_dir: Path | None = None) -> None:
        self._drivers = drivers
        self.wheel = Wheel(clock)
        self._deadlines = Deadlines()
        slot = Slot(road)
        self._shared = Shared(road, clock, self.wheel, self._deadlines, slot, Dials(), state_dir)
        self._starts = Starts()
        self._lines: dict[Hashable, Line] = {}
        self._tasks: dict[Hashable, asyncio.Task[Any]] = {}
        self._running: Running | None = None
        self._changing = asyncio.Lock()

    @property
    def sources(self) -> Iterable[AcquiredDevice]:
        """All devices that are being read."""
        return (source for line in self._lines.values() for source in line.sources.values())

    def missed(self) -> Mapping[str, int]:
        """Polls of each device that were left out, because the one before was not answered yet."""
        return {source.name: sum(scan.skipped for scan in source.scans) for source in self.sources}

    async def run(self) -> None:
        """Read, until cancelled."""
        self.wheel.add(self._deadlines.sweep, SWEEP_EVERY, "", align=True)
        self.wheel.add(self._look, LOOK_EVERY, "", align=True)
        async with running(self.wheel.run()) as self._running:
            try:
                for key in self._lines:
                    self._start(key)
                await asyncio.Event().wait()
            finally:
                self._running = None

    async def apply(self, specs: Sequence[DeviceSpec], *, park: bool = False) -> None:
        """Read exactly these devices: lines whose devices are the same objects go on undisturbed, the others are closed
        and, where still wanted, made anew. A plugin that cannot tell the line of its device raises PluginError before
        anything is changed; with `park` that device alone stays down, with the reason, and is tried again."""
        async with self._changing:
            await self._apply(specs, park)

    async def retire(self, specs: Sequence[DeviceSpec], *, park: bool = False) -> None:
        """Close the lines that have no place, or other devices, when exactly these are to be read. Raises as `apply`."""
        async with self._changing:
            await self._retire(by_line(specs, self._drivers, park=park))

    async def _apply(self, specs: Sequence[DeviceSpec], park: bool) -> None:
        wanted = by_line(specs, self._drivers, park=park)
        await self._retire(wanted)
        for key, members in wanted.items():
            if key not in self._lines:
                self._lines[key] = self._line(key, members)
                self._start(key)

    async def _retire(self, wanted: Mapping[Hashable, Sequence[DeviceSpec]]) -> None:
        ended = [key for key, line in self._lines.items() if _ids(line.specs) != _ids(wanted.get(key, ()))]
        tasks = []
        for key in ended:
            for source in self._lines.pop(key).sources.values():
                source.retire()
            if task := self._tasks.pop(key, None):
                task.cancel()
                tasks.append(task)
        if tasks:
            await asyncio.wait(tasks)

    def _place_anew(self, spec: DeviceSpec) -> None:
        """Ask once more for the line of a device that was parked. Raises what the plugin raises."""
        _key(spec, self._drivers)
        if self._running is not None:
            self._running.start_aside(self._join_lines(), f"placing {spec.config.name}")
        raise LinkError("its plugin tells its line now")

    async def _join_lines(self) -> None:
        async with self._changing:
            await self._apply([source.spec for source in self.sources], park=True)

    async def read(self, device: str, names: Sequence[str]) -> Readings:
        """Read tags now, out of turn. Raises GatewayError with the reason."""
        with _in_words(device):
            line = self._line_of(device)
            tags = [tag for tag in line.sources[device].device.tags if tag.name in names]
            return await asked.read(line, device, Tags(device, tags))

    async def write(self, tag: Tag, value: float | bool | int | str) -> None:
        """Write a value in the device's own unit, before all waiting reads. Raises GatewayError with the reason."""
        with _in_words(tag.device):
            await asked.write(self._line_of(tag.device), tag, value)

    async def acknowledge(self, device: str, condition: str, event: str, comment: str) -> None:
        """Acknowledge a condition at the device. Raises GatewayError with the reason."""
        with _in_words(device):
            await asked.acknowledge(self._line_of(device), device, condition, event, comment)

    def methods(self, device: str) -> Mapping[str, Sequence[str]]:
        """What may be called: object → its methods. Raises GatewayError for an unknown device."""
        return asked.methods(self._line_of(device), device)

    async def call(self, device: str, target: str, method: str, arguments: Sequence[Any]) -> Sequence[tuple[str, Any]]:
        """Call a method of the device. Raises GatewayError with the reason."""
        with _in_words(device, "; it may have been carried out"):
            return await asked.call(self._line_of(device), device, target, method, arguments)

    async def guesses(self, device: str, address: str, count: int) -> Sequence[Guess]:
        """What an address of the device may mean. Raises GatewayError with the reason."""
        with _in_words(device):
            return await asked.guesses(self._line_of(device), device, address, count)

    def has_history(self, device: str) -> None:
        """Raises GatewayError where there is no such device, or its driver has no history to give."""
        asked.has_history(self._line_of(device), device)

    async def recorded(self, device: str, tag: str, from_ns: int, to_ns: int, most: int) -> tuple[list[Readings], bool]:
        """About so many readings that the device has recorded of a tag in this span, scaled, and whether these are all.
        Raises GatewayError with the reason, from a DeviceError where it concerns this tag alone."""
        with _in_words(device):
            return await asked.recorded(self._line_of(device), device, tag, from_ns, to_ns, most)

    async def browse(self, device: str, *, types: bool = False) -> list[tuple[str, Found]] | None:
        """What the device offers, or what of it has a type that is known; None while it is not connected. Raises GatewayError
        with the reason."""
        with _in_words(device):
            return await asked.browse(self._line_of(device), device, types=types)

    def _line_of(self, device: str) -> Line:
        for line in self._lines.values():
            if device in line.sources:
                return line
        raise GatewayError(f'no device "{device}"; there are: {", ".join(source.name for source in self.sources)}')

    def _line(self, key: Hashable, specs: Sequence[DeviceSpec]) -> Line:
        driver_type = self._drivers.driver(specs[0].config.driver)
        parked = isinstance(key, _Parked)
        subscribed = not parked and subscribes(driver_type, specs[0].config)
        first = partial(self._place_anew, specs[0]) if parked else partial(self._refuse_barred, specs)
        try:
            driver_type = placed(driver_type, [spec.config for spec in specs], self._starts)
        except PluginError as error:
            first = partial(_refuse, str(error))
        return Line(driver_type, specs, self._shared, subscribed=subscribed, first=first)

    def _refuse_barred(self, specs: Sequence[DeviceSpec]) -> None:
        for spec in specs:
            if why := self._drivers.barred_device(spec.config):
                raise RefusedError(why)

    def _start(self, key: Hashable) -> None:
        if self._running is None:
            return
        task = self._tasks[key] = self._running.start(self._lines[key].run())
        task.add_done_callback(lambda task: self._ended(key, task))

    def _ended(self, key: Hashable, task: asyncio.Task[Any]) -> None:
        """Nobody has retired this line, yet its task has ended, as by a library that cancels all tasks it finds."""
        if self._running is not None and self._tasks.get(key) is task:
            log.error(
                "the task of a line has ended though nobody asked for it; it is started anew",
                line=self._lines[key].name,
            )
            self._start(key)

    def _look(self) -> None:
        for source in self.sources:
            try:
                source.look()
            except Exception as error:
                log.error("a device cannot be looked at", device=source.name, exc_info=error)


@contextmanager
def _in_words(device: str, doubt: str = "") -> Iterator[None]:
    """Errors for people; `doubt` is said of a request that was not answered."""
    try:
        yield
    except TimeoutError as error:
        raise GatewayError(f"{device}: {cleaned(error) or 'no answer in time'}{doubt}") from error
    except (OSError, GatewayError) as error:
        raise GatewayError(cleaned(error if isinstance(error, GatewayError) else f"{device}: {error}")) from error
    except Exception as error:
        log.error("a call of the driver failed", device=device, exc_info=error)
        raise GatewayError(
            f"{device}: {cleaned(told(error))} (a bug of its driver; the traceback is in the log)"
        ) from error


@dataclass(frozen=True, slots=True)
class _Parked:
    """Stands for the line of a device whose plugin cannot tell it."""

    device: str


def by_line(
    specs: Sequence[DeviceSpec], drivers: DriverTypes, *, park: bool = False
) -> Mapping[Hashable, list[DeviceSpec]]:
    """The devices of each line. Raises PluginError for a device whose plugin cannot tell its line; with `park` it gets one
    of its own."""
    lines: dict[Hashable, list[DeviceSpec]] = {}
    for spec in specs:
        try:
            key = _key(spec, drivers)
        except Exception as error:
            if not park:
                raise
            log.error(
                "the line of a device cannot be told", device=spec.config.name, reason=told(error), exc_info=error
            )
            key = _Parked(spec.config.name)
        lines.setdefault(key, []).append(spec)
    return lines


def _key(spec: DeviceSpec, drivers: DriverTypes) -> Hashable:
    """What the devices of one line have in common. Raises what the plugin raises."""
    with containing():
        type_ = drivers.driver(spec.config.driver)
        key = type_.line_key(spec.config)
        hash(key)
        subscribes(type_, spec.config)
    return ("device", spec.config.name) if key is None else (spec.config.driver, key)


def _refuse(why: str) -> None:
    raise RefusedError(why)


def _ids(specs: Sequence[DeviceSpec]) -> set[int]:
    """By identity, not by value: `config.diff.kept` hands on the very object of what stays the same, and a device whose
    credentials were renewed is another object that says the same."""
    return {id(spec) for spec in specs}
