"""The running gateway: the one place where the parts meet.

    devices ─ Acquirer ─┬─ Outbox ─ Publisher… ─ sinks
                        ├─ LiveTable
                        └─ Detector ─ events ─ Outbox

`Gateway` is the acquirer's Road: what it does with a reading stands in `seen` and `keep`.
"""

import asyncio
import os
from collections.abc import Awaitable, Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import structlog

from gateway import __version__
from gateway.acquire.acquirer import Acquirer
from gateway.config.diff import Diff, diff
from gateway.config.load import load
from gateway.config.model import Config, DeviceSpec, GatewaySection
from gateway.core.clock import Clock, SystemClock
from gateway.core.context import Context
from gateway.core.errors import ConfigError, GatewayError
from gateway.core.live import LiveDevice, LiveTable
from gateway.core.readings import Readings
from gateway.core.tag import Device
from gateway.detect import Detector
from gateway.operate import answers
from gateway.operate.clock_watch import ClockWatch
from gateway.operate.control import ControlServer
from gateway.outbox import Outbox
from gateway.plugin.discovery import Plugins
from gateway.plugin.driver import Found
from gateway.publish import Publisher
from gateway.supervise import Health, running
from gateway.supervise.systemd import notify
from gateway.supervise.watchdog import Watchdog
from gateway.trust.audit import AuditTrail

log = structlog.get_logger()


def look_up(section: GatewaySection) -> Plugins:
    """The plugins that a configuration can name."""
    return Plugins(section.plugin_dirs, section.replaces)


def state_dir(section: GatewaySection) -> Path:
    """Where outbox and audit trail live: as configured, else as systemd says, else in the user's own state folder."""
    if section.state_dir is not None:
        return section.state_dir
    if given := os.environ.get("STATE_DIRECTORY"):
        return Path(given.split(":")[0])
    base = Path(os.environ.get("XDG_STATE_HOME") or Path.home() / ".local" / "state")
    return base / "edge-gateway" / section.name


class Gateway:
    """One gateway, built from a configuration. `run` it once."""

    def __init__(self, config: Config, clock: Clock | None = None) -> None:
        self.config = config
        self.live = LiveTable()
        self._clock = clock or SystemClock()
        self._started_ns = self._clock.boot_ns()
        self._loaded_ns = self._clock.wall_ns()
        self._plugins = look_up(config.gateway)
        self._publishers: dict[str, Publisher] = {}
        self._tasks: dict[str, asyncio.Task[Any]] = {}
        self._states: dict[str, tuple[bool, str]] = {}

    async def run(self, stop: asyncio.Event, socket: Path, ready: Callable[[], None] = lambda: None) -> None:
        """Run until `stop` is set. Parts start from the outbox outwards to the devices, and stop the other way round."""
        directory = state_dir(self.config.gateway)
        directory.mkdir(parents=True, exist_ok=True, mode=0o750)
        self._audit = AuditTrail(directory / "audit.jsonl", self._clock)
        self._audit.write("gateway.start", "system", version=__version__, config=self.config.hash)
        self._outbox = Outbox.open(
            directory / "outbox", self.config.outbox, clock=self._clock, config_hash=self.config.short_hash
        )
        self._acquirer = Acquirer(self, self._plugins.driver, self._clock)
        await self._acquirer.apply(self.config.devices)
        self._detector = self._make_detector(self.config)
        try:
            async with running(self._outbox.run(), self._watchdog().run(), self._clock_watch().run()) as self._running:
                self._publish_to(self.config)
                async with running() as self._detecting:
                    self._detecting_task = self._detecting.start(self._detector.run())
                    async with running(self._acquirer.run()), ControlServer(socket, self._commands()):
                        log.info("running", gateway=self.config.gateway.name, version=__version__)
                        notify(READY=1)
                        ready()
                        await stop.wait()
                        notify(STOPPING=1)
        finally:
            await self._outbox.close()
            self._audit.write("gateway.stop", "system", version=__version__)
            log.info("stopped")

    # The road of the readings.

    def bind(self, spec: DeviceSpec, found: Mapping[str, Found]) -> Device:
        """See `gateway.acquire.source.Road`, also for the next five."""
        return self._outbox.bind(spec, _context(self.config.gateway, spec), found)

    def define(self, device: Device) -> LiveDevice:
        return self.live.define(device)

    def seen(self, readings: Readings, boot_ns: int) -> None:
        self.live.update(readings, boot_ns)
        self._detector.feed(readings)

    def keep(self, readings: Readings) -> None:
        self._outbox.append(readings)

    def settle(self) -> None:
        self._outbox.flush()

    def device_changed(self, device: Device, health: Health) -> None:
        online = health.state == "up"
        self._states[device.name] = (online, health.reason)
        for publisher in self._publishers.values():
            publisher.device_changed(device, online, health.reason)

    # Parts.

    def _make_detector(self, config: Config) -> Detector:
        return Detector(
            config.models,
            [live.device for live in self.live],
            emit=self._outbox.append_event,
            clock=self._clock,
            version=__version__,
            base=config.path.parent,
        )

    def _watchdog(self) -> Watchdog:
        return Watchdog(
            {"acquisition": self._acquirer.wheel.late, "outbox": self._outbox.late},
            status=lambda: answers.summary(self._acquirer.sources, self._sinks()),
        )

    def _clock_watch(self) -> ClockWatch:
        def stepped(seconds: float) -> None:
            log.warning("the clock was set", seconds=round(seconds, 3))
            # The outbox notices by itself and tells the far side.
            self._audit.write("clock.step", "system", seconds=round(seconds, 3))
            self._acquirer.wheel.align()

        return ClockWatch(self._clock, stepped)

    def _publish_to(self, config: Config) -> None:
        """Start publishers for the sinks that have none."""
        for sink in config.sinks:
            if sink.name not in self._publishers:
                publisher = self._publishers[sink.name] = Publisher(
                    sink,
                    self._plugins.sink(sink.plugin),
                    outbox=self._outbox,
                    live=self.live,
                    gateway=config.gateway,
                    clock=self._clock,
                    version=__version__,
                    device_state=lambda name: self._states.get(name, (False, "not read yet")),
                    devices=lambda: [live.device for live in self.live],
                )
                self._tasks[sink.name] = self._running.start(publisher.run())

    async def _stop_publisher(self, name: str) -> None:
        del self._publishers[name]
        task = self._tasks.pop(name)
        task.cancel()
        await asyncio.wait([task])
        self._outbox.release(name)

    # What people ask for.

    def _commands(self) -> Mapping[str, Callable[..., Awaitable[Any]]]:
        return {"status": self._status, "tags": self._tags, "read": self._read, "reload": self._reload}

    async def _status(self, who: str) -> dict[str, Any]:
        return {
            "gateway": self.config.gateway.name,
            "version": __version__,
            "uptime_s": round((self._clock.boot_ns() - self._started_ns) / 1e9, 1),
            "config": {
                "path": str(self.config.path),
                "hash": self.config.short_hash,
                "loaded": self._loaded_ns // 1_000_000,
            },
            "devices": answers.devices(self._acquirer.sources),
            "sinks": self._sinks(),
            "outbox": self._outbox.status(),
            "models": self._detector.status(),
        }

    def _sinks(self) -> list[dict[str, Any]]:
        return [publisher.status() for publisher in self._publishers.values()]

    async def _tags(self, who: str, device: str | None = None) -> list[dict[str, Any]]:
        if device is not None and device not in self.live:
            raise GatewayError(f'no device "{device}"; there are: {", ".join(live.device.name for live in self.live)}')
        chosen = [self.live[device]] if device is not None else list(self.live)
        return [row for live in chosen for row in answers.tags(live, self._clock)]

    async def _read(self, who: str, device: str, tags: Sequence[str]) -> list[dict[str, Any]]:
        known = {tag.name for tag in self.live[device].device.tags} if device in self.live else set()
        for tag in tags:
            if device in self.live and tag not in known:
                raise GatewayError(f'device "{device}" has no tag "{tag}"; it has: {", ".join(sorted(known))}')
        return answers.readings(await self._acquirer.read(device, tags))

    async def _reload(self, who: str) -> dict[str, Any]:
        """Apply the configuration file as it is now. A file with mistakes changes nothing."""
        try:
            new = await asyncio.to_thread(load, self.config.path, look_up)
            change = diff(self.config, new)
            if change.gateway or change.outbox:
                keys = [*(f"[gateway] {key}" for key in change.gateway), *(f"[outbox] {key}" for key in change.outbox)]
                raise GatewayError(f"{', '.join(keys)}: changing this needs a restart (systemctl restart edge-gateway)")
        except GatewayError as error:
            self._audit.write("config.refused", who, reason=str(error))
            if isinstance(error, ConfigError):
                return {"applied": False, "problems": [str(problem) for problem in error.problems]}
            return {"applied": False, "problems": [str(error)]}
        self._audit.write("config.reload", who, old=self.config.hash, new=new.hash, changes=change.lines())
        await self._apply(new, change)
        self.config, self._loaded_ns = new, self._clock.wall_ns()
        return {"applied": True, "changes": change.lines()}

    async def _apply(self, new: Config, change: Diff) -> None:
        """Exchange what changed: devices first to stop and last to start."""
        kept = [spec for spec in self.config.devices if _same(spec, new.devices)]
        await self._acquirer.apply(kept)
        for name in set(self._publishers) - {sink.name for sink in new.sinks if sink in self.config.sinks}:
            await self._stop_publisher(name)
        self._outbox.configured(new.hash)
        self._publish_to(new)
        known = {spec.config.name: spec for spec in kept}
        for name in [
            live.device.name for live in self.live if live.device.name not in {s.config.name for s in new.devices}
        ]:
            self.live.forget(name)
        await self._acquirer.apply([known.get(spec.config.name, spec) for spec in new.devices])
        if change.models or change.devices:
            await self._exchange_detector(new)

    async def _exchange_detector(self, new: Config) -> None:
        self._detecting_task.cancel()
        await asyncio.wait([self._detecting_task])
        self._detector = self._make_detector(new)
        self._detecting_task = self._detecting.start(self._detector.run())


def _same(spec: DeviceSpec, others: Sequence[DeviceSpec]) -> bool:
    """Whether an equal device stands among the others, wherever in the file."""
    return any(spec.config == other.config and spec.tags == other.tags for other in others)


def _context(gateway: GatewaySection, spec: DeviceSpec) -> Context:
    """The device's place: its own words where it has any, else the gateway's."""
    config = spec.config

    def either(own: str | None, shared: str) -> str:
        return shared if own is None else own

    return Context(
        either(config.enterprise, gateway.enterprise),
        either(config.site, gateway.site),
        either(config.area, gateway.area),
        either(config.line, gateway.line),
    )
