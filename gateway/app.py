"""The running gateway: the one place where the parts meet."""

import asyncio
from collections.abc import AsyncIterator, Callable, Collection, Coroutine, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import structlog

from gateway import __version__
from gateway.acquire.acquirer import Acquirer
from gateway.config.base import SinkConfig
from gateway.config.diff import kept
from gateway.config.load import remarks
from gateway.config.model import Config, DeviceSpec, GatewaySection
from gateway.core.clock import Clock, ClockState, SystemClock
from gateway.core.command import Actor, Body
from gateway.core.errors import ConfigError, GatewayError
from gateway.core.live import LiveTable
from gateway.core.text import cleaned
from gateway.detect import Detection
from gateway.operate import answers, headline
from gateway.operate.alarms import AlarmCommands
from gateway.operate.audit_head import AuditHead
from gateway.operate.audit_log import AuditLog
from gateway.operate.calls import Calls
from gateway.operate.clock_watch import ClockWatch
from gateway.operate.commands import Commands
from gateway.operate.dead_letters import DeadLetterCommands
from gateway.operate.devices import DeviceCommands
from gateway.operate.history import HistoryCommands
from gateway.operate.models import ModelCommands
from gateway.operate.plugins_in_use import PluginsInUse
from gateway.operate.refusals import Refusals
from gateway.operate.reload import Reloads
from gateway.operate.services import Services, ServiceSurroundings
from gateway.operate.socket import ControlServer
from gateway.operate.stalls import BEAT
from gateway.operate.writes import Writes, WriteSurroundings
from gateway.outbox import Outbox
from gateway.outbox.substitute import open_outbox
from gateway.pipeline import Pipeline
from gateway.places.state_dir import state_dir, take_over_certificates
from gateway.plugin.discovery import Plugins
from gateway.publish import Publisher, Publishers, SinkSurroundings
from gateway.status import (
    AuditStatus,
    ClockStatus,
    ConfigStatus,
    GatewayStatus,
    LimitStatus,
    ModelStatus,
    WatchStatus,
    rendered,
)
from gateway.supervise import Running, contained, running
from gateway.supervise.keep_running import leaves, told
from gateway.supervise.owned import owned
from gateway.supervise.systemd import notify
from gateway.supervise.watchdog import Watchdog
from gateway.trust.access import roles_of_sink
from gateway.trust.logins import Logins
from gateway.trust.versions import versions

log = structlog.get_logger()

LAST_WORDS = 2.0
"""Seconds that a stop waits for the disk to take what was read last."""
UNSYNCHRONISED = "records say so; set up a time service (chrony, systemd-timesyncd), or see docs/clocks.md"


def look_up(section: GatewaySection) -> Plugins:
    """The plugins that a configuration can name."""
    return Plugins(section.plugin_dirs, section.replaces)


class Gateway:
    """One gateway, built from a configuration. `run` it once."""

    def __init__(self, config: Config, clock: Clock | None = None) -> None:
        self.config = config
        self.live = LiveTable()
        self._clock = clock or SystemClock()
        self._started_ns = self._clock.boot_ns()
        self._loaded_ns = self._clock.wall_ns()
        self._reloading = asyncio.Lock()
        self._reload_waits = False
        self._reading: Running | None = None

    async def run(self, stop: asyncio.Event, socket: Path, settle: Callable[[], None] = lambda: None) -> None:
        """Run until `stop` is set. Parts start from the outbox outwards to the devices, and stop the other way round;
        `settle` is called when all of them run, and after each change of the configuration. Raises GatewayError when it
        cannot start here, and an ExceptionGroup when a part has ended by a bug."""
        self._settle = settle
        gateway = self.config.gateway
        self._directory = state_dir(self.config.path, gateway.state_dir, gateway.name)
        self._audit = AuditLog(self._directory / "audit.jsonl", self._clock)
        self._plugins = PluginsInUse(look_up(gateway), self._directory)
        self._reloads = await asyncio.to_thread(Reloads, self.config, self._plugins.present, look_up)
        with owned(self._directory):
            take_over_certificates(self._directory)
            self._audit.record_now("gateway.start", "system", **self._identity())
            try:
                await self._run(stop, socket)
            except Exception as error:
                self._audit.record_now("gateway.failed", "system", version=__version__, why=str(next(leaves(error))))
                raise
            self._audit.record_now("gateway.stop", "system", version=__version__)
            log.info("stopped")

    async def _run(self, stop: asyncio.Event, socket: Path) -> None:
        self._outbox = self._open_outbox()
        self._stalls = self._plugins.stalls
        self._stalls.recall()
        try:
            self._publishers = Publishers(self._make_publisher, self._outbox.release)
            self._publishers.apply(self.config.sinks)
            self._history = self._make_history()
            self._detection = Detection(
                self._outbox.append_event, self._clock, __version__, self._directory, self._plugins, self._audit.record
            )
            self._pipeline = Pipeline(self.config.gateway, self.live, self._outbox, self._publishers, self._detection)
            self._acquirer = Acquirer(
                self._pipeline,
                self._plugins.driver,
                self._clock,
                self._directory,
                self._plugins.barred_device,
            )
            self._acquirer.wheel.add(self._stalls.beat, BEAT, "", align=True)
            self._outbox.receipts.missed = lambda: answers.missed(self._acquirer.sources)
            await self._acquirer.apply(self.config.devices, park=True)
            await self._follow()
            self._commands = Commands(self._bodies(), refused=Refusals(self._audit))
            self._services = self._make_services()
            await self._services.apply(self.config.services)
            async with (
                running(
                    self._outbox.run(), self._watchdog().run(), self._clock_watch().run(), self._audit_head().run()
                ) as self._running,
                running(self._publishers.run()),
                self._last_words(),
                running(self._detection.run()),
                running(self._acquirer.run()) as self._reading,
                running(self._services.run()),
                self._stalls.running(),
                ControlServer(socket, self._commands, lambda: self.config.access),
            ):
                self._say_ready()
                self._settle()
                await stop.wait()
                self._reading = None
                notify(STOPPING=1)
                await self._history.stop()
        finally:
            await self._outbox.close()

    @asynccontextmanager
    async def _last_words(self) -> AsyncIterator[None]:
        """What devices and models said when they were stopped reaches the publishers before these are stopped."""
        yield
        await self._outbox.written_out(LAST_WORDS)

    def reload_soon(self) -> None:
        """Reload, as the signal SIGHUP asks for; what comes of it stands in the log. One that waits stands for all signals
        that come meanwhile."""
        if self._reading is not None and not self._reload_waits:
            self._reload_waits = True
            self._reading.start_aside(self.reload(Actor("SIGHUP")), "reload")

    def _open_outbox(self) -> Outbox:
        directory = self._directory / "outbox"
        try:
            outbox = open_outbox(directory, self.config.outbox, clock=self._clock, config_hash=self.config.short_hash)
        except OSError as error:
            raise GatewayError(f"outbox {directory}: {error.strerror or error}") from error
        if old := outbox.set_aside:
            self._audit.record_now(
                "outbox.begun", "system", new=outbox.log_id, old=old.log, target=str(old.directory), why=old.why
            )
        return outbox

    def _say_ready(self) -> None:
        for remark in remarks(self.config):
            log.warning(str(remark))
        for problem in self.config.parked:
            log.error("left out, its plugin does not load", reason=str(problem))
        for reason in self._plugins.present.parked():
            log.warning("a plugin is parked", reason=reason)
        clock = self._outbox.clock_state
        if clock is not ClockState.SYNCHRONISED:
            tell = log.info if clock is ClockState.UNKNOWN else log.warning
            tell(f"the clock is {clock.words}: {UNSYNCHRONISED}")
        log.info("running", gateway=self.config.gateway.name, version=__version__)
        notify(READY=1)

    # What is to be known later.

    def _identity(self) -> dict[str, Any]:
        """What runs: hashes and versions."""
        config = self.config
        return {
            "version": __version__,
            "config": config.hash,
            "plugins": self._reloads.hashes,
            "models": {str(model.file): config.files.get(model.file, "") for model in config.models},
            "versions": versions(),
        }

    # Parts.

    def _watchdog(self) -> Watchdog:
        return Watchdog(
            {"acquisition": self._acquirer.wheel.late, "outbox": self._outbox.late},
            status=lambda: headline.summary(rendered(self.status())),
        )

    def _clock_watch(self) -> ClockWatch:
        def stepped(seconds: float) -> None:
            log.warning("the clock was set", seconds=round(seconds, 3))
            # The outbox notices by itself and tells the far side.
            self._acquirer.wheel.align()
            self._running.start_aside(self._audit.record("clock.step", "system", seconds=round(seconds, 3)), "audit")

        def state_changed(state: ClockState) -> None:
            self._running.start_aside(self._audit.record("clock.state", "system", state=state.words), "audit")

        return ClockWatch(
            self._clock,
            stepped,
            offset=self._outbox.offset_before,
            state=lambda: self._outbox.clock_state,
            on_state=state_changed,
        )

    def _audit_head(self) -> AuditHead:
        return AuditHead(self._audit, self._outbox.append_event, self._clock)

    def _make_publisher(self, sink: SinkConfig) -> Publisher:
        return Publisher(
            sink,
            self._plugins.sink(sink.plugin),
            self._outbox,
            SinkSurroundings(
                self.config.gateway,
                __version__,
                self._clock,
                self.live,
                devices=lambda: [live.device for live in self.live],
                device_state=lambda device: self._pipeline.state_of(device),
                request=self._request,
            ),
            barred=lambda: self._plugins.barred_sink(sink),
        )

    def _make_history(self) -> HistoryCommands:
        def start(work: Coroutine[Any, Any, None]) -> asyncio.Task[None]:
            return self._running.start_aside(work, "replay")

        return HistoryCommands(self._outbox, self._audit, start, self._publishers.status)

    def _make_services(self) -> Services:
        return Services(
            ServiceSurroundings(
                self.config.gateway.name,
                self.live,
                self._pipeline,
                self._commands,
                self._audit,
                self._clock,
                self._directory / "services",
                self.status,
                Logins(self._directory, self._clock, self._audit.record),
                self._plugins.service,
                self._plugins.barred,
            )
        )

    # What people ask for, and far sides.

    async def _request(self, sink: str, command: str, arguments: Mapping[str, Any]) -> Any:
        """What the far side of a sink asks for."""
        by = Actor(f"sink {sink}", roles=roles_of_sink(self.config.access, sink))
        return await self._commands.call(by, {"command": command, "arguments": dict(arguments)})

    def _bodies(self) -> dict[str, Body]:
        emit = self._outbox.append_event
        around = WriteSurroundings(
            lambda: self.config.gateway.writes, self.live, self._acquirer, self._audit, emit, self._clock
        )
        return {
            "status": self._status,
            "reload": self.reload,
            "receipts": self._receipts,
            "write": Writes(around).write,
            "call": Calls(around).call,
            **DeviceCommands(self.live, self._acquirer, self._clock).commands(),
            **AlarmCommands(self._detection, self._acquirer, self._audit).commands(),
            **ModelCommands(self._detection, self._audit).commands(),
            **DeadLetterCommands(self._outbox, self._audit).commands(),
            **self._history.commands(),
        }

    async def _receipts(self, by: Actor, from_ns: int, to_ns: int) -> list[dict[str, Any]]:
        return await self._outbox.receipts.so_far(from_ns, to_ns)

    async def _status(self, by: Actor) -> GatewayStatus:
        return self.status()

    def _said_of(self, part: str) -> list[str]:
        return [*self._stalls.said_of(part), *self._outbox.said_of(part)]

    def status(self) -> GatewayStatus:
        """How it stands, with all its parts."""
        detector, audit = self._detection.detector, self._audit
        config = ConfigStatus(
            path=str(self.config.path), hash=self.config.short_hash, loaded=self._loaded_ns // 1_000_000
        )
        return GatewayStatus(
            gateway=self.config.gateway.name,
            version=__version__,
            uptime_s=round((self._clock.boot_ns() - self._started_ns) / 1e9, 1),
            config=config,
            clock=ClockStatus(state=self._outbox.clock_state.words, epoch=self._outbox.epoch),
            devices=answers.devices(self._acquirer.sources, self._said_of),
            sinks=self._publishers.status(),
            outbox=self._outbox.status(),
            models=detector.status(ModelStatus),
            limits=detector.status(LimitStatus),
            watches=detector.status(WatchStatus),
            alarms=self._detection.alarms.listed(),
            parts=[*self._detection.parts(), *self._services.parts()],
            services=self._services.status(),
            stalls=self._stalls.listed(),
            parked=[str(problem) for problem in self.config.parked],
            audit=AuditStatus(damage=audit.damage, failing=audit.failing),
        )

    # Another configuration.

    async def reload(self, by: Actor) -> dict[str, Any]:
        """Apply the configuration file as it is now, after a reload that is under way. A file with mistakes changes
        nothing; what cannot be applied for another reason is taken back."""
        async with self._reloading:
            self._reload_waits = False
            try:
                changes = await self._reload(by)
            except GatewayError as error:
                problems = [str(each) for each in error.problems] if isinstance(error, ConfigError) else [str(error)]
                log.warning("the configuration was not applied", by=by.name, problems=len(problems), first=problems[0])
                await self._audit.record("config.refused", by.name, why="; ".join(problems))
                return {"applied": False, "problems": problems}
            if changes:
                self._settle()
            log.info("the configuration was applied", by=by.name, changes=", ".join(changes) or "none")
            return {"applied": True, "changes": changes}

    async def _reload(self, by: Actor) -> list[str]:
        try:
            plan = await contained(asyncio.to_thread(self._reloads.plan, self.config))
        except GatewayError:
            raise
        except Exception as error:
            log.error("the configuration could not be looked at", exc_info=error)
            raise GatewayError(f"{cleaned(told(error))}; the gateway runs on with the old configuration") from error
        said = {"old": self.config.hash, "new": plan.config.hash, "changes": plan.changes}
        async with self._audit.audited(by, "config.reload", **said):
            await self._exchange(plan.config, plan.plugins, plan.renewed)
        self._reloads.applied(plan)
        self._stalls.pardon()
        return plan.changes

    async def _exchange(self, new: Config, plugins: Plugins, renewed: Collection[str]) -> None:
        old = self.config, self._plugins.present
        try:
            await self._apply(new, plugins, renewed=renewed)
        except Exception as error:
            log.error("the configuration could not be applied", exc_info=error)
            await self._apply(*old, park=True)
            raise GatewayError(f"{cleaned(told(error))}; the gateway runs on with the old configuration") from error
        self._loaded_ns = self._clock.wall_ns()

    async def _apply(
        self, config: Config, plugins: Plugins, *, park: bool = False, renewed: Collection[str] = ()
    ) -> None:
        """Run this configuration: what stays the same goes on undisturbed; of the rest, devices stop first and start last.
        `renewed`: devices, sinks and services that begin anew all the same."""
        for sink in config.sinks:
            plugins.sink(sink.plugin)
        for service in config.services:
            plugins.service(service.plugin)
        for watch in config.watches:
            plugins.watch(watch.plugin)
        running = [source.spec for source in self._acquirer.sources]
        specs = kept([spec for spec in running if f"device {spec.config.name}" not in renewed], config.devices)
        self.config, self._plugins.present = config, plugins
        await self._acquirer.retire(specs, park=park)
        await self._publishers.retire([sink for sink in config.sinks if f"sink {sink.name}" not in renewed])
        self._outbox.configured(config.hash)
        self._publishers.apply(config.sinks)
        self._pipeline.forget_all_but({spec.config.name for spec in specs})
        await self._acquirer.apply(specs, park=park)
        await self._follow()
        await self._services.apply(config.services, renewed)

    async def _follow(self) -> None:
        specs = [source.spec for source in self._acquirer.sources]
        await self._detection.follow(self.config, specs, [live.device for live in self.live])
        self._detection.conditions.retain({spec.config.name for spec in specs if self._tells_conditions(spec)})

    def _tells_conditions(self, spec: DeviceSpec) -> bool:
        return "acknowledge" in self._plugins.driver(spec.config.driver).can
