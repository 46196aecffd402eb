"""Models and limits as the configuration has them, exchanged while the gateway runs; the alarms outlive each exchange."""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from pathlib import Path

import structlog

from gateway.alarms import Alarms, Conditions, EvidenceStore
from gateway.config.base import WatchConfig
from gateway.config.model import AlarmSection, Config, DeviceSpec, ModelSection
from gateway.core.clock import Clock
from gateway.core.event import EventLog
from gateway.core.readings import Readings
from gateway.core.tag import Device
from gateway.detect.detector import Detector
from gateway.detect.limit_watch import limit_watches
from gateway.detect.patterns import matching
from gateway.detect.plugin_watch import WatchPlugins, WatchSurroundings, plugin_watches
from gateway.detect.watcher import DetectorSurroundings
from gateway.detect.windows import drift_file
from gateway.status import PartStatus
from gateway.supervise import Health, Running, keep_running, running
from gateway.trust.audit import AuditRecords

log = structlog.get_logger()

KEEP_SECONDS = 600.0
"""How often counts of drift are written down."""


class Detection:
    """`follow` a configuration, then `run`; `follow` another at any time."""

    def __init__(
        self,
        events: EventLog,
        clock: Clock,
        version: str,
        directory: Path,
        plugins: WatchPlugins,
        audit: AuditRecords,
    ) -> None:
        """Alarms, drift and the windows of events are kept in `directory`."""
        self.evidence = EvidenceStore(directory / "events")
        """What each anomaly was found in."""
        self.alarms = Alarms(events, clock, directory / "alarms.json", self.evidence)
        self.conditions = Conditions(self.alarms, events, clock)
        self.detector: Detector
        self._drift_dir = directory / "drift"
        self._around = DetectorSurroundings(events, self.alarms, clock, version, audit, self._drift_dir)
        self._of_plugins = WatchSurroundings(self.alarms, clock, version, plugins)
        self._watched: list[tuple[object, ...]] | None = None
        self._running: Running | None = None
        self._task: asyncio.Task[None] | None = None
        self._health = {name: Health(name, clock) for name in ("alarms", "conditions", "detector", "drift")}

    def seen(self, readings: Readings, boot_ns: int) -> None:
        """Take a block, as an observer of the pipeline."""
        self.detector.feed(readings, boot_ns)

    async def run(self) -> None:
        """Score, until cancelled. A bug in alarms or detector is told, and does not end what goes on without them."""
        async with (
            running(
                self._again("alarms", self.alarms.run),
                self._again("conditions", self.conditions.run),
                self._again("drift", self._keep_drift),
            ),
            running() as self._running,
        ):
            self._start()
            try:
                await asyncio.Event().wait()
            finally:
                self._running = None

    def parts(self) -> list[PartStatus]:
        """What does not work of this."""
        troubled = [health for health in self._health.values() if health.state in ("down", "faulted")]
        return [PartStatus(name=health.name, state=health.state, reason=health.reason) for health in troubled]

    def _start(self) -> None:
        assert self._running is not None
        self._task = self._running.start(self._again("detector", self.detector.run))
        self._task.add_done_callback(self._ended)

    def _ended(self, task: asyncio.Task[None]) -> None:
        """Nobody has exchanged this detector, yet its task has ended, as by a library that cancels all tasks it finds."""
        if self._running is not None and self._task is task:
            log.error("the detector's task has ended though nobody asked for it; it is started anew")
            self._start()

    async def _again(self, name: str, part: Callable[[], Awaitable[None]]) -> None:
        health = self._health[name]

        async def session() -> None:
            if health.state != "starting":  # at a start there is nothing to say
                health.up()
            await part()

        await keep_running(session, health)

    async def _keep_drift(self) -> None:
        try:
            while True:
                await asyncio.sleep(KEEP_SECONDS)
                await asyncio.to_thread(drift_file.write, self._drift_dir, self.detector.kept())
        finally:
            drift_file.write(self._drift_dir, self.detector.kept())

    async def follow(self, config: Config, specs: Sequence[DeviceSpec], devices: Sequence[Device]) -> None:
        """A detector for these, which goes on with the windows of the one before; that one itself, while models, their files,
        limits and watched devices stay the same."""
        watched = _watched(config, specs)
        if watched == self._watched:
            return
        before, self._watched = self.detector if self._watched is not None else None, watched
        task, self._task = self._task, None
        if task is not None:
            task.cancel()
            await asyncio.wait([task])
        self.detector = Detector(
            self._around,
            config.models,
            devices,
            base=config.path.parent,
            watchers=[
                *limit_watches(config.alarms, devices, self.alarms, self._around.clock, self._around.version),
                *plugin_watches(config.watches, devices, self._of_plugins),
            ],
            before=before,
        )
        if self._running is not None:
            self._start()


def _watched(config: Config, specs: Sequence[DeviceSpec]) -> list[tuple[object, ...]]:
    by_name = {spec.config.name: spec for spec in specs}

    def of(section: ModelSection | AlarmSection | WatchConfig) -> list[DeviceSpec]:
        return [by_name[name] for name in matching(section.devices, [*by_name])]

    models = [(model, config.files.get(model.file), of(model)) for model in config.models]
    limits = [(limit, of(limit)) for limit in config.alarms]
    return [*models, *limits, *((watch, of(watch)) for watch in config.watches)]
