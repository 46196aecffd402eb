"""The services of the configuration: each runs beside the road, is started anew when it fails, and stops no other part."""

import asyncio
import re
from collections.abc import Callable, Collection, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from types import MappingProxyType
from typing import Any

import structlog

from gateway import __version__
from gateway.config.base import ServiceConfig
from gateway.core.clock import Clock
from gateway.core.command import VIEWER, Actor, Body, Declared
from gateway.core.errors import GatewayError, PluginError, RefusedError
from gateway.core.live import LiveTable
from gateway.core.readings import Readings
from gateway.core.tag import Device
from gateway.core.text import cleaned
from gateway.operate import headline
from gateway.operate.audit_log import AuditLog
from gateway.operate.commands import Commands
from gateway.outbox.format import file_name
from gateway.pipeline import Pipeline
from gateway.plugin.hosts import EventListener, Observer, ServiceHost
from gateway.plugin.mounts import PATH, App, Message, Mounted, Receive, Send
from gateway.plugin.people import People
from gateway.plugin.service import Service
from gateway.status import GatewayStatus, PartStatus, ServiceStatus, rendered
from gateway.supervise import Foreign, Health, Running, containing, keep_running, running
from gateway.trust.access import ALL

COMMANDS = 100
"""Of a service."""
OBSERVERS = 100
"""Of a service, over one attempt: each is called for every block that is read."""
PATIENCE = 60.0
"""Seconds for a command of a service: while it runs, it keeps a place at the control socket."""
NAME = re.compile(r"[a-z][a-z0-9_]{0,39}")
"""Of a command."""


@dataclass(frozen=True, slots=True)
class ServiceSurroundings:
    """What services have to do with."""

    gateway: str
    live: LiveTable
    pipeline: Pipeline
    commands: Commands
    audit: AuditLog
    clock: Clock
    directory: Path
    """Where each has a folder of its own."""
    status: Callable[[], GatewayStatus]
    people: People
    service_type: Callable[[str], type[Service[Any]]]
    """Of a plugin's name."""
    barred: Callable[[str, str], str]
    """Why a part of a plugin must not be started; empty when it may."""
    mounted: dict[str, Mounted] = field(default_factory=dict)
    """What services offer, by path."""


class Services:
    """`apply` those of a configuration, then `run`; they can be exchanged while it runs."""

    def __init__(self, around: ServiceSurroundings) -> None:
        self._around = around
        self._parts: dict[str, _Part] = {}
        self._running: Running | None = None

    async def run(self) -> None:
        """Keep them running, until cancelled."""
        async with running() as self._running:
            try:
                for part in self._parts.values():
                    part.start(self._running)
                await asyncio.Event().wait()
            finally:
                self._running = None

    async def apply(self, services: Sequence[ServiceConfig], renewed: Collection[str] = ()) -> None:
        """Stop those that are not exactly among these, or are `renewed`, such as "service page", and start what is new."""
        parts = self._parts.values()
        ended = [part for part in parts if part.config not in services or part.health.name in renewed]
        for part in ended:
            del self._parts[part.config.name]
        await asyncio.gather(*(part.stop() for part in ended))
        for config in services:
            if config.name not in self._parts:
                part = self._parts[config.name] = _Part(config, self._around)
                if self._running is not None:
                    part.start(self._running)

    def status(self) -> list[ServiceStatus]:
        """State of each."""
        return [part.status() for part in self._parts.values()]

    def parts(self) -> list[PartStatus]:
        """Those that do not work."""
        troubled = [part.health for part in self._parts.values() if part.health.state in ("down", "faulted")]
        return [PartStatus(name=health.name, state=health.state, reason=health.reason) for health in troubled]


class _Part:
    """One `[[service]]`, with its attempts to run."""

    def __init__(self, config: ServiceConfig, around: ServiceSurroundings) -> None:
        self.config = config
        self.health = Health(f"service {config.name}", around.clock)
        self._around = around
        self._foreign = Foreign(structlog.get_logger().bind(service=config.name))
        self._task: asyncio.Task[Any] | None = None

    def start(self, running: Running) -> None:
        self._task = running.start(keep_running(self._session, self.health))

    async def stop(self) -> None:
        if self._task is not None:
            self._task.cancel()
            await asyncio.wait([self._task])

    def status(self) -> ServiceStatus:
        health = self.health
        return ServiceStatus(
            name=self.config.name,
            plugin=self.config.plugin,
            state=health.state,
            reason=health.reason,
            since_s=round(health.age, 1),
        )

    async def _session(self) -> None:
        self._foreign.check()
        if why := self._around.barred(self.health.name, self.config.plugin):
            raise RefusedError(why)
        with ExitStack() as leaving:
            host = _Host(self.config.name, self._around, self._foreign, self.health, leaving)
            with containing():
                service = self._around.service_type(self.config.plugin)(self.config, host)
                for name, declared, body in _offered(service.commands()):
                    self._offer(f"{self.config.name}.{name}", declared, body, leaving)
            await self._foreign.call(service.run)
        raise PluginError("its run has ended, though nobody asked for that")

    def _offer(self, name: str, declared: Declared, body: Body, leaving: ExitStack) -> None:
        async def called(by: Actor, **arguments: Any) -> Any:
            try:
                async with asyncio.timeout(PATIENCE):
                    return await self._foreign.call(lambda: body(by, **arguments))
            except TimeoutError:
                raise GatewayError(f"{name} did not end within {PATIENCE:g} s") from None

        async def audited(by: Actor, **arguments: Any) -> Any:
            async with self._around.audit.audited(by, name, arguments=arguments):
                return await called(by, **arguments)

        self._around.commands.add(name, declared, audited if declared.audited else called)
        leaving.callback(self._around.commands.remove, name)


def _offered(commands: Any) -> list[tuple[str, Declared, Body]]:
    """What a service offers. Raises PluginError for what are no commands."""
    if not isinstance(commands, Mapping) or len(commands) > COMMANDS:
        raise PluginError(f"commands() must return a table, of {COMMANDS} commands at most")
    found = []
    for name, offer in commands.items():
        if not (isinstance(name, str) and NAME.fullmatch(name)):
            raise PluginError(
                f"commands(): a name is made of a-z, 0-9 and _, 40 characters at most: {cleaned(name, 100)}"
            )
        if not (isinstance(offer, tuple) and len(offer) == 2 and isinstance(offer[0], Declared) and callable(offer[1])):
            raise PluginError(f"commands(): {name} must be a Declared and what does it")
        found.append((name, *offer))
    return found


class _Host(ServiceHost):
    """What one attempt of a service sees of the gateway. A task that outlives the attempt can change nothing any more."""

    def __init__(
        self, name: str, around: ServiceSurroundings, foreign: Foreign, health: Health, leaving: ExitStack
    ) -> None:
        self.gateway = around.gateway
        self.version = __version__
        self._name = name
        self._around = around
        self._foreign = foreign
        self._health = health
        self._leaving = leaving
        self._observers = 0
        self._is_over = False
        leaving.callback(self._end)

    def _end(self) -> None:
        self._is_over = True

    def _must_go_on(self) -> None:
        if self._is_over:
            raise PluginError("this attempt of the service has ended")

    @property
    def state_dir(self) -> Path:
        path = self._around.directory / file_name(self._name)
        path.mkdir(mode=0o700, parents=True, exist_ok=True)
        return path

    @property
    def devices(self) -> Sequence[Device]:
        return [live.device for live in self._around.live]

    def started(self) -> None:
        self._must_go_on()
        self._health.up()

    def state(self) -> GatewayStatus:
        return self._around.status()

    def status(self) -> Mapping[str, Any]:
        told: Mapping[str, Any] = rendered(self._around.status())
        return told

    def values(self, device: str) -> Readings:
        return self._around.live[device].snapshot()

    def observe(self, observer: Observer) -> None:
        self._must_go_on()
        if self._observers >= OBSERVERS:
            raise PluginError(f"a service may have {OBSERVERS} observers")
        self._observers += 1
        self._leaving.callback(self._around.pipeline.observe(f"service {self._name}", observer))

    def listen(self, listener: EventListener) -> None:
        self._must_go_on()
        if self._observers >= OBSERVERS:
            raise PluginError(f"a service may have {OBSERVERS} observers")
        self._observers += 1
        self._leaving.callback(self._around.pipeline.listen(f"service {self._name}", listener))

    @property
    def commands(self) -> Mapping[str, Declared]:
        return self._around.commands.table

    @property
    def people(self) -> People:
        return self._around.people

    def troubles(self, status: Mapping[str, Any]) -> Sequence[tuple[str, bool]]:
        return [(trouble.text, trouble.severe) for trouble in headline.troubles(status)]

    def mount(self, path: str, app: App, role: str = VIEWER) -> None:
        self._must_go_on()
        if not PATH.fullmatch(path):
            raise PluginError(f"mount(): a path is made of a-z, 0-9 and -, 40 characters at most: {cleaned(path, 100)}")
        if role not in ALL:
            raise PluginError(f"mount(): there is no role {cleaned(role, 100)}")
        if (other := self._around.mounted.get(path)) is not None:
            raise PluginError(f"mount(): {path} is offered by service {other.service} already")

        async def carried(scope: Message, receive: Receive, send: Send) -> None:
            await self._foreign.call(lambda: app(scope, receive, send))

        self._around.mounted[path] = Mounted(self._name, carried, role)
        self._leaving.callback(self._around.mounted.pop, path)

    @property
    def mounted(self) -> Mapping[str, Mounted]:
        return MappingProxyType(self._around.mounted)

    async def ask(self, by: Actor, command: str, arguments: Mapping[str, Any] | None = None) -> Any:
        self._must_go_on()
        return await self._around.commands.call(by, {"command": command, "arguments": dict(arguments or {})})
