"""Asks drivers to look at addresses, no faster than was agreed."""

import asyncio
from collections.abc import Callable, Collection, Sequence
from contextlib import aclosing
from dataclasses import dataclass, field, replace
from typing import Any, cast

from gateway.core.text import cleaned
from gateway.plugin.driver import Driver
from gateway.plugin.finding import Discovered, Finding, Search
from gateway.supervise import contained

AT_ONCE = 32
"""Places that are looked at side by side."""

Drivers = dict[str, type[Driver[Any, Any]]]


@dataclass(frozen=True, slots=True)
class Plan:
    """What is to be looked at, and how."""

    hosts: Sequence[str]
    drivers: Drivers
    serial: Sequence[str] = ()
    ports: Sequence[int] = ()
    units: Sequence[int] = ()
    urls: Sequence[tuple[str, str, int | None]] = ()
    """Devices that were named by their URLs: driver, host, port."""
    timeout: float = 1.0
    rate: float = 20.0
    known: Collection[tuple[str, str]] = ()
    """Drivers and hosts that the configuration has already: many devices bear few connections, so they get no other one."""

    def searches(self, turn: Callable[[], Any]) -> list[tuple[str, Search]]:
        """Each place, with the name of the driver that looks at it."""
        one = Search(turn, ports=self.ports, units=self.units, timeout=self.timeout)
        places = [replace(one, host=host) for host in self.hosts]
        places += [replace(one, serial=port) for port in self.serial]
        looks = [(name, place) for place in places for name in self.drivers]
        for name, host, port in self.urls:
            looks.append((name, replace(one, host=host, ports=[port] if port else self.ports, named=True)))
        return [(name, place) for name, place in looks if (name, place.host) not in self.known]

    @property
    def connections(self) -> int:
        """How many are tried at least."""
        ranges = len(self.hosts) * len(self.drivers) * max(1, len(self.ports))
        return ranges + len(self.serial) + len(self.urls)

    @property
    def places(self) -> Sequence[str]:
        """All hosts and serial ports."""
        return [*self.hosts, *(host for _, host, _ in self.urls), *self.serial]

    @property
    def seconds(self) -> float:
        """How long it takes about where hardly anybody answers."""
        waves = -(-self.connections // AT_ONCE)
        return max(self.connections / self.rate, waves * self.timeout)


class SearchPace:
    """Lets through so many each second, evenly."""

    def __init__(self, rate: float) -> None:
        self._gap = 1.0 / rate
        self._next = 0.0

    async def turn(self) -> None:
        """Wait until it is our turn."""
        loop = asyncio.get_running_loop()
        at = max(self._next, loop.time())
        self._next = at + self._gap
        await asyncio.sleep(at - loop.time())


@dataclass(slots=True)
class Progress:
    """How far it is, what was found, with the name of its driver, and what went wrong on the way."""

    done: int = 0
    total: int = 0
    found: list[tuple[str, Discovered]] = field(default_factory=list)
    bugs: list[str] = field(default_factory=list)


async def search(plan: Plan, progress: Progress) -> None:
    """Look everywhere. What a driver raises costs its place alone; what was found stays when it is cancelled."""
    places = plan.searches(SearchPace(plan.rate).turn)
    progress.total = len(places)
    room = asyncio.Semaphore(AT_ONCE)

    async def look(name: str, place: Search) -> None:
        async with room:
            try:
                await contained(_all_of(plan.drivers[name], place, lambda each: progress.found.append((name, each))))
            except Exception as error:  # noqa: BLE001 - a driver's bug
                where = place.host or place.serial
                progress.bugs.append(
                    f"{name} at {where}: {type(error).__name__}: {cleaned(error)} (a bug of the driver)"
                )
        progress.done += 1

    async with asyncio.TaskGroup() as tasks:
        for name, place in places:
            tasks.create_task(look(name, place))


async def _all_of(driver: type[Driver[Any, Any]], place: Search, tell: Callable[[Discovered], None]) -> None:
    finding = cast(type[Finding], driver)
    async with aclosing(finding.discover(place)) as offers:  # type: ignore[type-var]
        async for each in offers:
            tell(each)
