"""The running gateway: the one place where the parts meet."""

import asyncio
from collections.abc import AsyncIterator, Callable, Collection, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import structlog

from gateway import __version__
from gateway.acquire.acquirer import Acquirer
from gateway.config.base import SinkConfig
from gateway.config.diff import kept
from gateway.config.load import remarks
from gateway.config.model import Config, GatewaySection
from gateway.core.clock import Clock, ClockState, SystemClock
from gateway.core.command import Actor, Body
from gateway.core.errors import GatewayError
from gateway.core.live import LiveTable
from gateway.detect import Detection
from gateway.operate import headline
from gateway.operate.alarms import AlarmCommands
from gateway.operate.audit_head import AuditHead
from gateway.operate.audit_log import AuditLog
from gateway.operate.batches import BatchCommands
from gateway.operate.certificate_watch import CertificateWatch
from gateway.operate.clock_watch import ClockWatch
from gateway.operate.commands import Commands
from gateway.operate.dead_letters import DeadLetterCommands
from gateway.operate.device_history import DeviceHistory
from gateway.operate.devices import DeviceCommands
from gateway.operate.history import HistoryCommands
from gateway.operate.models import ModelCommands
from gateway.operate.plugins_in_use import PluginsInUse
from gateway.operate.queries import Trends, Upkeep, Why
from gateway.operate.reload import Reloads
from gateway.operate.running_parts import RunningParts
from gateway.operate.services import Services, ServiceSurroundings
from gateway.operate.socket import ControlServer
from gateway.operate.stalls import BEAT
from gateway.operate.status import StatusCommands
from gateway.operate.trusted_servers import CertificateCommands
from gateway.operate.writes import Calls, Writes, WriteSurroundings
from gateway.outbox import Outbox
from gateway.outbox.substitute import open_outbox
from gateway.pipeline import Pipeline
from gateway.places.state_dir import state_dir, take_over_certificates
from gateway.plugin.discovery import Plugins
from gateway.production import Production
from gateway.publish import Publisher, Publishers, SharedObjects, SinkSurroundings
from gateway.status import rendered
from gateway.supervise import Running, running
from gateway.supervise.keep_running import leaves
from gateway.supervise.owned import owned
from gateway.supervise.systemd import notify
from gateway.supervise.watchdog import Watchdog
from gateway.trust.access import roles_of_sink
from gateway.trust.logins import Logins

log = structlog.get_logger()

LAST_WORDS = 2.0
"""Seconds that a stop waits for the disk to take what was read last."""
UNSYNCHRONISED = "records say so; set up a time service (chrony, systemd-timesyncd), or see docs/clocks.md"


def look_up(section: GatewaySection) -> Plugins:
    """The plugins that a configuration can name."""
    return Plugins.for_config(section)


class Gateway(RunningParts):
    """One gateway, built from a configuration. `run` it once."""

    def __init__(self, config: Config, clock: Clock | None = None) -> None:
        self.config = config
        self.clock = clock or SystemClock()
        self.live = LiveTable()
        self._reading: Running | None = None

    async def run(self, stop: asyncio.Event, socket: Path, settle: Callable[[], None] = lambda: None) -> None:
        """Run until `stop` is set. Parts start from the outbox outwards to the devices, and stop the other way round;
        `settle` is called when all of them run, and after each change of the configuration. Raises GatewayError when it
        cannot start here, and an ExceptionGroup when a part has ended by a bug."""
        self._settle = settle
        gateway = self.config.gateway
        self._directory = state_dir(self.config.path, gateway.state_dir, gateway.name)
        self.audit = AuditLog(self._directory / "audit.jsonl", self.clock)
        self.plugins = PluginsInUse(look_up(gateway), self._directory)
        self.reloads = await asyncio.to_thread(Reloads, self, look_up)
        with owned(self._directory):
            take_over_certificates(self._directory)
            self.audit.record_now("gateway.start", "system", **self.reloads.identity())
            try:
                await self._run(stop, socket)
            except Exception as error:
                self.audit.record_now("gateway.failed", "system", version=__version__, why=str(next(leaves(error))))
                raise
            self.audit.record_now("gateway.stop", "system", version=__version__)
            log.info("stopped")

    async def _run(self, stop: asyncio.Event, socket: Path) -> None:
        self.outbox = self._open_outbox()
        stalls = self.plugins.stalls
        stalls.recall()
        try:
            self._shared = SharedObjects()
            self.publishers = Publishers(self._make_publisher, self.outbox)
            self.publishers.apply(self.config.sinks)
            self.detection = Detection(self.outbox, self.clock, __version__, self._directory, self.plugins, self.audit)
            self.production = Production(
                self.outbox.works, self.outbox, self.clock, self._directory, self.outbox.last_accepted_ns
            )
            self._pipeline = Pipeline(
                self.config.gateway, self.live, self.outbox, self.publishers, self.detection, self.production
            )
            self.acquirer = Acquirer(self._pipeline, self.plugins, self.clock, self._directory)
            self.acquirer.wheel.add(stalls.beat, BEAT, "", align=True)
            self.outbox.receipts.count_missed(self.acquirer)
            await self.acquirer.apply(self.config.devices, park=True)
            await self._follow()
            certificates = CertificateWatch(self, self._directory)
            self.status = StatusCommands(self, self.reloads, certificates)
            history = HistoryCommands(self.outbox, self.audit, self.publishers)
            recorded = DeviceHistory(
                self.live, self.acquirer, self.outbox, self.audit, self.clock, self._directory / "history"
            )
            self._commands = Commands({**self._bodies(history), **recorded.commands()}, audit=self.audit)
            self.services = self._make_services()
            await self.services.apply(self.config.services)
            async with (
                running(
                    self.outbox.run(),
                    self._watchdog().run(),
                    ClockWatch(self.clock, self.outbox, self.acquirer.wheel, self.audit).run(),
                    AuditHead(self.audit, self.outbox, self.clock).run(),
                    certificates.run(),
                ),
                running(self.publishers.run()),
                _last_words(self.outbox),
                running(self.detection.run(), self.production.run()),
                running(self.acquirer.run()) as self._reading,
                running(self.services.run()),
                stalls.running(),
                ControlServer(socket, self._commands, lambda: self.config.access),
            ):
                self._say_ready()
                self.settle()
                await stop.wait()
                self._reading = None
                notify(STOPPING=1)
                await recorded.stop()
                await history.stop()
        finally:
            await self.outbox.close()

    def settle(self) -> None:
        """What runs stays so for a while."""
        self._settle()

    def reload_soon(self) -> None:
        """Reload, as the signal SIGHUP asks for. Before all runs, and after, there is nothing to reload."""
        if self._reading is not None:
            self.reloads.soon(self._reading)

    def _say_ready(self) -> None:
        for remark in remarks(self.config):
            log.warning(str(remark))
        for problem in self.config.parked:
            log.error("left out, its plugin does not load", reason=str(problem))
        for reason in self.plugins.present.parked():
            log.warning("a plugin is parked", reason=reason)
        clock = self.outbox.clock_state
        if clock is not ClockState.SYNCHRONISED:
            tell = log.info if clock is ClockState.UNKNOWN else log.warning
            tell(f"the clock is {clock.words}: {UNSYNCHRONISED}")
        log.info("running", gateway=self.config.gateway.name, version=__version__)
        notify(READY=1)

    # Parts.

    def _open_outbox(self) -> Outbox:
        directory = self._directory / "outbox"
        try:
            outbox = open_outbox(directory, self.config.outbox, clock=self.clock, config_hash=self.config.short_hash)
        except OSError as error:
            raise GatewayError(f"outbox {directory}: {error.strerror or error}") from error
        if old := outbox.set_aside:
            self.audit.record_now(
                "outbox.begun", "system", new=outbox.log_id, old=old.log, target=str(old.directory), why=old.why
            )
        return outbox

    def _watchdog(self) -> Watchdog:
        return Watchdog(
            {"acquisition": self.acquirer.wheel, "outbox": self.outbox},
            status=lambda: headline.summary(rendered(self.status.now())),
        )

    def _make_publisher(self, sink: SinkConfig) -> Publisher:
        return Publisher(
            sink,
            self.plugins.sink(sink.plugin),
            self.outbox,
            SinkSurroundings(
                self.config.gateway,
                __version__,
                self.clock,
                self.live,
                devices=lambda: [live.device for live in self.live],
                device_state=lambda device: self._pipeline.state_of(device),
                request=self._request,
                directory=self._directory / "sinks",
                shared=self._shared,
                attempted=lambda sink, command, why_not: self.audit.attempted(self._far_side(sink), command, why_not),
            ),
            barred=lambda: self.plugins.barred_sink(sink),
        )

    async def _request(self, sink: str, command: str, arguments: Mapping[str, Any]) -> Any:
        """What the far side of a sink asks for."""
        by = self._far_side(sink)
        try:
            answer = await self._commands.call(by, {"command": command, "arguments": dict(arguments)})
        except GatewayError as error:
            if not by.in_trail:
                await self.audit.attempted(by, command, str(error))
            raise
        if not by.in_trail:
            await self.audit.attempted(by, command)
        return answer

    def _far_side(self, sink: str) -> Actor:
        return Actor(f"sink {sink}", roles=roles_of_sink(self.config.access, sink))

    def _make_services(self) -> Services:
        return Services(
            ServiceSurroundings(
                self.config.gateway.name,
                self.live,
                self._pipeline,
                self._commands,
                self.audit,
                self.clock,
                self._directory / "services",
                self.status.now,
                Logins(self._directory, self.clock, self.audit),
                self.plugins.service,
                self.plugins.barred,
            )
        )

    def _bodies(self, history: HistoryCommands) -> dict[str, Body]:
        around = WriteSurroundings(
            self.config.gateway.writes, self.live, self.acquirer, self.audit, self.outbox, self.clock
        )
        return {
            "reload": self.reloads.reload,
            "write": Writes(around).write,
            "call": Calls(around).call,
            **self.status.commands(),
            **DeviceCommands(self.live, self.acquirer, self.clock).commands(),
            **AlarmCommands(self.detection, self.acquirer, self.audit).commands(),
            **Trends(self.live, self.outbox, self.clock).commands(),
            **Upkeep(self, self.reloads, self._directory).commands(),
            **CertificateCommands(self._directory, self.audit).commands(),
            **Why(self.detection, self.outbox, self.audit).commands(),
            **ModelCommands(self.detection, self.audit).commands(),
            **DeadLetterCommands(self.outbox, self.audit).commands(),
            **BatchCommands(self.production, self.outbox, self.audit, self.clock).commands(),
            **history.commands(),
        }

    # Another configuration.

    async def apply(
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
        running = [source.spec for source in self.acquirer.sources]
        specs = kept([spec for spec in running if f"device {spec.config.name}" not in renewed], config.devices)
        self.config = config
        self.plugins.use(plugins)
        await self.acquirer.retire(specs, park=park)
        await self.publishers.retire([sink for sink in config.sinks if f"sink {sink.name}" not in renewed])
        self.outbox.configured(config.hash)
        self.publishers.apply(config.sinks)
        self._pipeline.forget_all_but({spec.config.name for spec in specs})
        await self.acquirer.apply(specs, park=park)
        await self._follow()
        await self.services.apply(config.services, renewed)

    async def _follow(self) -> None:
        """What watches the devices watches those that are read now."""
        specs = [source.spec for source in self.acquirer.sources]
        await self.detection.follow(self.config, specs, [live.device for live in self.live])
        self.production.follow(self.config.contexts, [spec.config.name for spec in specs], self.live)
        can = {spec.config.name for spec in specs if "acknowledge" in self.plugins.driver(spec.config.driver).can}
        self.detection.conditions.retain(can)


@asynccontextmanager
async def _last_words(outbox: Outbox) -> AsyncIterator[None]:
    """What devices and models said when they were stopped reaches the publishers before these are stopped."""
    yield
    await outbox.written_out(LAST_WORDS)
