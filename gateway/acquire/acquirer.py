"""All lines together."""

import asyncio
from collections.abc import Callable, Hashable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from gateway.acquire import asked
from gateway.acquire.line import Line
from gateway.acquire.slot import Slot
from gateway.acquire.source import Road, Source
from gateway.acquire.wheel import Wheel
from gateway.config.model import DeviceSpec
from gateway.core.clock import Clock
from gateway.core.errors import GatewayError
from gateway.core.readings import Readings
from gateway.core.tag import Tag, Tags
from gateway.plugin.driver import Driver, Found, Guess
from gateway.supervise import Deadlines, Running, running

DIALS_AT_ONCE = 32
SWEEP_EVERY = 0.4
LOOK_EVERY = 1.0

DriverTypes = Callable[[str], type[Driver[Any, Any]]]


class Acquirer:
    """Reads all devices. Lines can be exchanged while it runs."""

    def __init__(self, road: Road, driver_type: DriverTypes, clock: Clock, state_dir: Path | None = None) -> None:
        self._road = road
        self._driver_type = driver_type
        self._clock = clock
        self._state_dir = state_dir
        self.wheel = Wheel(clock)
        self._deadlines = Deadlines()
        self._slot = Slot(road.settle)
        self._dial = asyncio.Semaphore(DIALS_AT_ONCE)
        self._lines: dict[Hashable, Line] = {}
        self._tasks: dict[Hashable, asyncio.Task[Any]] = {}
        self._running: Running | None = None

    @property
    def sources(self) -> Iterable[Source]:
        """All devices that are being read."""
        return (source for line in self._lines.values() for source in line.sources.values())

    async def run(self) -> None:
        """Read, until cancelled."""
        self.wheel.add(self._deadlines.sweep, SWEEP_EVERY, "", align=True)
        self.wheel.add(self._look, LOOK_EVERY, "", align=True)
        async with running(self.wheel.run()) as self._running:
            for key in self._lines:
                self._start(key)
            await asyncio.Event().wait()

    async def apply(self, specs: Sequence[DeviceSpec]) -> None:
        """Read exactly these devices: lines whose devices are the same objects go on undisturbed, the others are closed
        and, where still wanted, made anew. Raises what a plugin raises; then some of the lines are missing, which the
        next call makes good."""
        await self.retire(specs)
        for key, members in by_line(specs, self._driver_type).items():
            if key not in self._lines:
                self._lines[key] = self._line(members)
                self._start(key)

    async def retire(self, specs: Sequence[DeviceSpec]) -> None:
        """Close the lines that have no place, or other devices, when exactly these are to be read."""
        wanted = by_line(specs, self._driver_type)
        ended = [key for key, line in self._lines.items() if _ids(line.specs) != _ids(wanted.get(key, ()))]
        tasks = []
        for key in ended:
            del self._lines[key]
            if task := self._tasks.pop(key, None):
                task.cancel()
                tasks.append(task)
        if tasks:
            await asyncio.wait(tasks)

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

    async def browse(self, device: str) -> list[tuple[str, Found]] | None:
        """What the device offers; None while it is not connected. Raises GatewayError with the reason."""
        with _in_words(device):
            return await asked.browse(self._line_of(device), device)

    def _line_of(self, device: str) -> Line:
        for line in self._lines.values():
            if device in line.sources:
                return line
        raise GatewayError(f'no device "{device}"; there are: {", ".join(source.name for source in self.sources)}')

    def _line(self, specs: Sequence[DeviceSpec]) -> Line:
        driver_type = self._driver_type(specs[0].config.driver)
        return Line(
            driver_type,
            [Source(spec, self._road, self._clock, driver_type.subscribes()) for spec in specs],
            wheel=self.wheel,
            deadlines=self._deadlines,
            slot=self._slot,
            dial=self._dial,
            clock=self._clock,
            state_dir=self._state_dir,
        )

    def _start(self, key: Hashable) -> None:
        if self._running is not None:
            self._tasks[key] = self._running.start(self._lines[key].run())

    def _look(self) -> None:
        for source in self.sources:
            source.look()


@contextmanager
def _in_words(device: str, doubt: str = "") -> Iterator[None]:
    """Errors for people; `doubt` is said of a request that was not answered."""
    try:
        yield
    except TimeoutError as error:
        raise GatewayError(f"{device}: {str(error) or 'no answer in time'}{doubt}") from error
    except OSError as error:
        raise GatewayError(f"{device}: {error}") from error


def by_line(specs: Sequence[DeviceSpec], driver_type: DriverTypes) -> Mapping[Hashable, list[DeviceSpec]]:
    """The devices of each line. Raises what a plugin raises."""
    lines: dict[Hashable, list[DeviceSpec]] = {}
    for spec in specs:
        key = driver_type(spec.config.driver).line_key(spec.config)
        own = ("device", spec.config.name) if key is None else (spec.config.driver, key)
        lines.setdefault(own, []).append(spec)
    return lines


def _ids(specs: Sequence[DeviceSpec]) -> set[int]:
    return {id(spec) for spec in specs}
