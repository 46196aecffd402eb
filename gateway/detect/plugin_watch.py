"""An `[[alarm]]` that a plugin watches: a `Watcher` of the detector around the plugin's own object."""

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, Protocol
from uuid import uuid4

import structlog

from gateway.alarms import Alarms, Key
from gateway.config.base import WatchConfig
from gateway.core.clock import Clock
from gateway.core.event import Event
from gateway.core.tag import Device
from gateway.core.text import cleaned
from gateway.core.times import EARLIEST, LATEST
from gateway.detect.patterns import matching
from gateway.detect.watcher import Fed, Spawn, Watcher
from gateway.plugin.checked import promise
from gateway.plugin.hosts import WatchHost
from gateway.plugin.watch import Watch
from gateway.status import WatchStatus
from gateway.supervise.contained import containing

PAUSE = 1.0
"""Seconds between two looks, at most."""
_OF_EVENTS = ("event", "kind", "state", "device", "ts", "severity", "message", "contributions")
"""Members of an event that a plugin's detail does not replace."""
_MANY = 16

log = structlog.get_logger()


class WatchPlugins(Protocol):
    """Where watch plugins come from."""

    def watch(self, name: str) -> type[Watch[Any]]:
        """The watch of this plugin. Raises PluginError for one that is none, or does not load."""
        ...

    def barred(self, part: str, plugin: str) -> str:
        """Why a part of a plugin must not be started; empty when it may."""
        ...


@dataclass(frozen=True, slots=True)
class WatchSurroundings:
    """What a watch of a plugin has to do with."""

    alarms: Alarms
    clock: Clock
    gateway_version: str
    plugins: WatchPlugins


class _Host(WatchHost):
    """What one `[[alarm]]` tells the alarms."""

    def __init__(self, config: WatchConfig, devices: tuple[str, ...], around: WatchSurroundings) -> None:
        self._config = config
        self._devices = devices
        self._around = around

    @property
    def devices(self) -> Collection[str]:
        return self._devices

    def key(self, device: str) -> Key:
        """The same as of a limit: what people and events call it does not depend on what watches."""
        if device not in self._devices:
            raise KeyError(f"{device} is no device of alarm {self._config.name}")
        return Key("alarm", self._config.name, device)

    def is_raised(self, device: str) -> bool:
        alarm = self._around.alarms.get(self.key(device))
        return alarm is not None and alarm.condition

    def raised(self, device: str, message: str, t_ns: int, **detail: Any) -> None:
        if self.is_raised(device):
            return
        told = f"{message}; {self._config.action}" if self._config.action else message
        event = self._event(uuid4().hex, "raised", device, told, t_ns, detail)
        self._around.alarms.raised(self.key(device), event, self._config.latch)

    def cleared(self, device: str, message: str, t_ns: int, **detail: Any) -> None:
        begun = self._around.alarms.get(self.key(device))
        if begun is not None and begun.condition:
            event = self._event(begun.event, "cleared", device, message, t_ns, detail)
            self._around.alarms.cleared(self.key(device), event)

    def _event(self, of: str, state: str, device: str, message: str, t_ns: int, given: Mapping[str, Any]) -> Event:
        config = self._config
        detail = {name: value for name, value in promise(given).items() if name not in _OF_EVENTS}
        detail |= {"alarm": config.name, "plugin": config.plugin, "gateway_version": self._around.gateway_version}
        if config.action:
            detail["action"] = config.action
        at = int(t_ns) if EARLIEST < t_ns < LATEST else self._around.clock.wall_ns()
        return Event(of, "alarm", state, device, at, cleaned(message), config.severity, detail)


class PluginWatch:
    """A `Watcher`. What the plugin raises costs what it was just shown, and is told."""

    pause: ClassVar[float] = PAUSE

    def __init__(self, config: WatchConfig, devices: Sequence[str], around: WatchSurroundings) -> None:
        self.config = config
        self.devices = tuple(devices)
        self.failure = ""
        """What went wrong last; empty once a whole turn went well."""
        self._around = around
        self._host = _Host(config, self.devices, around)
        self._watch: Watch[Any] | None = None
        self._bound: dict[str, Device] = {}
        self._logged: set[str] = set()

    @property
    def alarm_keys(self) -> Collection[Key]:
        """One for each device (see `Watcher`)."""
        return {self._host.key(device) for device in self.devices}

    def restore(self, before: Sequence[Watcher]) -> None:
        """See `Watcher`: the plugin's object goes on where its table and devices are the same."""
        for each in before:
            if isinstance(each, PluginWatch) and (each.config, each.devices) == (self.config, self.devices):
                self._watch, self._host, self.failure = each._watch, each._host, each.failure

    def bind(self, device: Device, described: bool) -> None:
        """Hand it on to the plugin (see `Watcher`)."""
        self._bound[device.name] = device
        if watch := self._watch:
            self._contained(lambda: watch.bind(device))

    def advance(self, fed: Fed, boot_ns: int, spawn: Spawn) -> None:
        """Show the plugin what has come (see `Watcher`)."""
        if (watch := self._watch) is None and (watch := self._make()) is None:
            return
        good = True
        for readings, came_ns in fed.blocks:
            if readings.device.name in self.devices:
                good &= self._contained(lambda: watch.seen(readings, came_ns))  # noqa: B023 - called at once
        good &= self._contained(lambda: watch.look(boot_ns))
        if good:
            self.failure = ""

    def _make(self) -> Watch[Any] | None:
        """The plugin's object, once; tried again at the next turn where that fails."""
        plugins, made = self._around.plugins, list[Watch[Any]]()
        if why := plugins.barred(f"alarm {self.config.name}", self.config.plugin):
            self.failure = why
        elif self._contained(lambda: made.append(plugins.watch(self.config.plugin)(self.config, self._host))):
            (self._watch,) = made
            for device in self._bound.values():
                self.bind(device, True)
        return self._watch

    def _contained(self, call: Callable[[], None]) -> bool:
        """Whether it went well."""
        try:
            with containing():
                call()
        except Exception as error:
            self.failure = cleaned(f"{type(error).__name__}: {error}")
            if self.failure not in self._logged and len(self._logged) < _MANY:
                self._logged.add(self.failure)
                log.error("a watch failed", alarm=self.config.name, plugin=self.config.plugin, exc_info=error)
            return False
        return True

    def status(self) -> WatchStatus:
        """What the plugin tells, and what went wrong with it."""
        facts: dict[str, object] = {}
        if watch := self._watch:
            self._contained(lambda: facts.update(promise(watch.facts())))
        return WatchStatus(
            name=self.config.name,
            plugin=self.config.plugin,
            state="faulted" if self.failure else "up",
            reason=self.failure,
            devices=self.devices,
            raised=[device for device in self.devices if self._host.is_raised(device)],
            facts=facts,
        )


def plugin_watches(
    configs: Sequence[WatchConfig], devices: Sequence[Device], around: WatchSurroundings
) -> list[PluginWatch]:
    """A watch for each `[[alarm]]` with `plugin`, over those of the devices that it names."""
    names = [device.name for device in devices]
    return [PluginWatch(config, matching(config.devices, names), around) for config in configs]
