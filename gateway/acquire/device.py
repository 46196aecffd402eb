"""One device that is being read."""

import asyncio
from collections.abc import Collection, Mapping, Sequence
from typing import Protocol

import numpy as np
import structlog

from gateway.acquire.condition import Conditioner
from gateway.acquire.source_clock import SourceClock
from gateway.acquire.values import as_readings
from gateway.config.model import DeviceSpec
from gateway.core.clock import Clock
from gateway.core.device_event import Told
from gateway.core.event import Event
from gateway.core.live import LiveDevice
from gateway.core.quality import BAD_NO_COMMUNICATION
from gateway.core.readings import Readings
from gateway.core.tag import Device, Tags
from gateway.kit import Suspects
from gateway.plugin.driver import Found, Values
from gateway.supervise import Backoff, Health


class Road(Protocol):
    """Where readings go from here; `app` joins it to the outbox, the live table and the detector."""

    def bind(self, spec: DeviceSpec, found: Mapping[str, Found]) -> Device:
        """The device with its tag ids, after the device told what it knows of its tags."""
        ...

    def define(self, device: Device) -> LiveDevice:
        """A device is new, or has a new definition: from now on its readings come with this object."""
        ...

    def seen(self, readings: Readings, boot_ns: int) -> None:
        """Every conditioned reading, reported or not: for the live table and the detector."""
        ...

    def keep(self, readings: Readings) -> None:
        """The readings to be stored and published."""
        ...

    def settle(self) -> None:
        """All polls that were due are answered: nothing is to come that would be worth waiting for."""
        ...

    def told(self, told: Told) -> None:
        """The device has an event, or says which conditions still stand."""
        ...

    def event(self, event: Event) -> None:
        """Something that acquisition noticed itself."""
        ...

    def device_changed(self, device: Device, health: Health) -> None:
        """The device's state has changed."""
        ...


class OfLine(Protocol):
    """What a device knows of the line that it is read over."""

    subscribed: bool
    health: Health
    """The device's own, unless several devices share the line."""

    def counts(self) -> Mapping[str, int]:
        """What went wrong since the start, by kind."""
        ...

    def facts(self) -> Mapping[str, str | float]:
        """What its driver tells of the connection."""
        ...

    def remarks(self) -> Sequence[str]:
        """What a person should know of the connection."""
        ...

    def process(self) -> Mapping[str, int] | None:
        """The process in which its driver works, where that is one of its own and runs."""
        ...


class Scan:
    """Tags of one device that are polled together."""

    __slots__ = ("_names", "_parts", "pending", "period", "skipped", "source", "suspects", "tags")

    def __init__(self, source: "AcquiredDevice", tags: Tags, period: float, suspects: Suspects[str]) -> None:
        self.source = source
        self.tags = tags
        self.period = period
        self.suspects = suspects
        """Names of tags over which the connection ended when they were read; they outlive the definition of the device."""
        self.pending = False
        self.skipped = 0
        """Polls left out because the one before was not answered yet."""
        self._names = tuple(tag.name for tag in tags)
        self._parts = {self._names: tags}

    def portions(self, now: float) -> list[Tags]:
        """What to read, one after the other: all tags at once, unless some are suspected of ending the connection."""
        if not self.suspects:
            return [self.tags]
        parts = [self.part(names) for names in self.suspects.portions(self._names, now)]
        self._parts = {self._names: self.tags} | {tuple(tag.name for tag in part): part for part in parts}
        return parts

    def part(self, names: Collection[str]) -> Tags:
        """Those of its tags that are among these: the same object as before, where they are the same as at the last scan."""
        wanted = tuple(name for name in self._names if name in names)
        return self._parts.get(wanted) or Tags(self.source.name, [tag for tag in self.tags if tag.name in names])


class AcquiredDevice:
    """Conditions what one device answers, knows its health, and marks its values stale."""

    def __init__(self, spec: DeviceSpec, road: Road, clock: Clock, line: OfLine) -> None:
        self.spec = spec
        self.line = line
        self.name = spec.config.name
        self._road = road
        self._clock = clock
        self.health = Health(
            self.name, clock, log=structlog.get_logger().bind(device=self.name), on_change=self._health_changed
        )
        self.clock = SourceClock(self.name, spec.config.max_clock_offset, clock)
        """How far the device's own clock is off."""
        self._suspects: dict[float, Suspects[str]] = {}
        """By the period of the scan."""
        self.polls = 0
        self.errors = 0
        self.rest_until = 0.0
        """Loop time until which the device is left alone after errors of its own."""
        self._backoff = Backoff(first=2.0)
        self._answered_ns = 0
        self._fresh = False
        self._retired = False
        limit = spec.config.stale_after or max(5.0, 3 * max((scan for scan in self._periods()), default=1.0))
        self._stale_after_ns = int(limit * 1e9)
        self._define(road.bind(spec, {}))

    def _define(self, device: Device) -> None:
        self.device = device
        self.live = self._road.define(device)
        self._conditioner = Conditioner(device, self.spec.tags)
        by_period: dict[float, list[str]] = {}
        for name, config in self.spec.tags.items():
            by_period.setdefault(config.scan or self.spec.config.scan, []).append(name)
        if len(by_period) == 1:
            self.scans = [self._scan(device.tags, next(iter(by_period)))]
        else:
            tags = {tag.name: tag for tag in device.tags}
            self.scans = [
                self._scan(Tags(self.name, [tags[name] for name in names]), period)
                for period, names in by_period.items()
            ]

    def _scan(self, tags: Tags, period: float) -> Scan:
        return Scan(self, tags, period, self._suspects.setdefault(period, Suspects()))

    @property
    def left_out(self) -> dict[str, str]:
        """Names of tags over which the connection ends whenever they are read, and in which words."""
        return {name: why for each in self._suspects.values() for name, why in each.parked.items()}

    def _periods(self) -> set[float]:
        return {config.scan or self.spec.config.scan for config in self.spec.tags.values()}

    async def describe(self, found: Mapping[str, Found]) -> None:
        """Take over what the device tells of its tags; a changed definition gets tag ids of its own. With thousands of tags
        each step takes its time: others have their turn between them."""
        if not found:
            return
        device = self._road.bind(self.spec, found)
        await asyncio.sleep(0)
        if not self._retired and not np.array_equal(device.tags.ids, self.device.tags.ids):
            self._define(device)
            await asyncio.sleep(0)

    def retire(self) -> None:
        """It is replaced: what the device tells of its tags from now on defines nothing."""
        self._retired = True

    def take(self, tags: Tags, values: Values) -> None:
        """The device has answered a poll."""
        self.polls += 1
        self.accept(as_readings(self.device, tags, values, self._clock.wall_ns()))

    def leave_out(self, tags: Tags) -> None:
        """These cannot be read without losing the connection."""
        count = len(tags)
        quality = np.full(count, BAD_NO_COMMUNICATION, np.uint32)
        times = np.full(count, self._clock.wall_ns())
        self.accept(Readings(self.device, times, tags.ids, np.full(count, np.nan), quality, own_time=True))

    def accept(self, readings: Readings) -> None:
        """Readings have come: condition them and send them on."""
        readings = self._conditioner.scale(readings)
        boot_ns = self._clock.boot_ns()
        self._answered_ns, self._fresh = boot_ns, True
        if self.health.state != "up":
            self.rest_until = 0.0
            self._backoff = Backoff(first=2.0)
            self.health.up()
        if not readings.own_time:
            self.clock.see(readings, self.live)
        self._road.seen(readings, boot_ns)
        report = self._conditioner.report(readings, boot_ns)
        if report is not None:
            self._road.keep(report)

    def conditioned(self, readings: Readings) -> Readings:
        """Readings that a person asked for, scaled, and kept nowhere."""
        return self._conditioner.scale(readings)

    def now(self) -> int:
        """Wall time, ns."""
        return self._clock.wall_ns()

    def alive(self) -> None:
        """A sign of life without readings."""
        self._answered_ns = self._clock.boot_ns()

    def told(self, told: Told) -> None:
        """The device has something to say beside values."""
        self._road.told(told)

    def failed(self, reason: str, now: float) -> None:
        """The device itself answered wrongly or not at all; its line goes on, the device is left alone for a while."""
        self.errors += 1
        pause = self._backoff.pause(0.0)
        self.rest_until = now + pause
        self.health.down(reason)
        self.health.tries_again_in(pause)
        self.go_stale()

    def rest_no_more(self) -> None:
        """It is read over a new connection: what was wrong over the last one is no reason to wait."""
        self.rest_until = 0.0

    def go_stale(self) -> None:
        """Nothing confirms the last values any more: say so, once, with their old source times."""
        if not self._fresh:
            return
        self._fresh = False
        self._send_on(self._conditioner.stale(self.live.snapshot()))

    def look(self) -> None:
        """Called about once a second: is it stale, is a heartbeat of a subscribed tag due, is its clock right?"""
        if event := self.clock.look():
            self._road.event(event)
        if not self._fresh:
            return
        boot_ns = self._clock.boot_ns()
        if boot_ns - self._answered_ns > self._stale_after_ns:
            self.go_stale()
        elif self.line.subscribed:
            repeats = self._conditioner.repeats(self.live.snapshot(), boot_ns)
            if repeats is not None:
                self._road.keep(repeats)

    def _send_on(self, readings: Readings | None) -> None:
        if readings is not None:
            self._road.seen(readings, self._clock.boot_ns())
            self._road.keep(readings)

    def _health_changed(self, health: Health) -> None:
        if hasattr(self, "device"):
            self._road.device_changed(self.device, health)
