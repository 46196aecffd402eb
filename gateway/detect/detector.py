"""All models and limits of the gateway: feeds them, lets them tick, and reports on them."""

import asyncio
from collections.abc import Callable, Sequence
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import structlog

from gateway.alarms import Alarms, cpu
from gateway.config.model import AlarmSection, ModelSection
from gateway.core.clock import Clock
from gateway.core.event import Event
from gateway.core.readings import Readings
from gateway.core.tag import Device
from gateway.detect import events, versions
from gateway.detect.fault import fault
from gateway.detect.limit_watch import LimitWatch
from gateway.detect.model import Model
from gateway.detect.models import (
    MEMORY_IN_ALL,
    WALL_SECONDS,
    ModelError,
    OpenModel,
    Trial,
    graph,
    read_model,
    tried_model,
)
from gateway.detect.own_thread import hanging, in_own_thread
from gateway.detect.patterns import matching
from gateway.detect.succession import Note, Succession, no_note
from gateway.detect.watch import Spawn, Watch
from gateway.detect.windows import columns as columns_of
from gateway.detect.windows import drift_file
from gateway.supervise.contained import contained, containing

LOAD_SECONDS = WALL_SECONDS + 30.0
"""A model that is not tried and loaded after this long has failed."""
MOST_HANGING = 4
"""Calls of models that do not end; with so many no other model is loaded."""
MAX_WAITING = 20_000
"""Blocks that wait for one model while it is loaded; beyond, the oldest go."""
SLOW_AT_ONCE = 2
"""How many models that score in a thread may do so at a time; each has one call under way or waiting, never more."""
LIMIT_SECONDS = 0.25
"""How often limits are looked at, at least."""

log = structlog.get_logger()


class Detector:
    """Scores the readings it is fed, tells `alarms` what is raised and cleared, and emits events of the kind "model".

    A model that cannot be loaded, does not fit, fails or hangs is put aside with one event; the others go on.
    """

    def __init__(
        self,
        models: Sequence[ModelSection],
        devices: Sequence[Device],
        *,
        emit: Callable[[Event], None],
        alarms: Alarms,
        limits: Sequence[AlarmSection] = (),
        clock: Clock,
        version: str,
        base: Path,
        note: Note = no_note,
        before: "Detector | None" = None,
        drift_dir: Path | None = None,
    ) -> None:
        """`emit` is called in the event loop; `version` is the gateway's; relative model files start at `base`; `note` writes
        into the audit trail. `before` is not used any more: what stays the same goes on with its windows, versions in
        shadow, delays and counts. `drift_dir` holds what was counted
        before the start."""
        self._drift_dir = drift_dir
        self._emit_out = emit
        self._alarms = alarms
        self._before: Detector | None = before if before is None or before._loaded else before._before
        self._loaded: bool = False
        self._slow: asyncio.Semaphore = before._slow if before else asyncio.Semaphore(SLOW_AT_ONCE)
        self._trying: asyncio.Semaphore = before._trying if before else asyncio.Semaphore(1)
        self._clock = clock
        self._version = version
        self._devices = {device.name: device for device in devices}
        self._models = [
            Model(
                section,
                base / section.file,
                section.name or section.file.stem,
                matching(section.devices, [*self._devices]),
            )
            for section in models
        ]
        if before is not None and not before._loaded:
            for model in self._models:
                model.waiting = next((each.waiting for each in before._models if each.path == model.path), [])
        self.succession = Succession(self._models, self, alarms, clock, note)
        self._limits = [self._limit(limit, matching(limit.devices, [*self._devices])) for limit in limits]
        parts: list[Model | LimitWatch] = [*self._models, *self._limits]
        self._watched = frozenset(name for part in parts for name in part.devices)
        for limit in self._limits:
            for name in limit.devices:
                limit.bind(self._devices[name])
        self._described: dict[str, Device] = {}
        self._fed: list[tuple[Readings, int]] = before._fed if before else []

    def feed(self, readings: Readings) -> None:
        """Take a block; cheap, and nothing for a device that nothing watches."""
        if readings.device.name in self._watched:
            self._fed.append((readings, self._clock.boot_ns()))
            if len(self._fed) > MAX_WAITING:
                del self._fed[: MAX_WAITING // 2]
                log.warning("models cannot keep up, readings were not scored", blocks=MAX_WAITING // 2)

    async def run(self) -> None:
        """Load the models and score, each as soon as it is loaded, until cancelled. What is raised then stays so, for the
        detector that comes after."""
        async with asyncio.TaskGroup() as group:
            group.create_task(self.load())
            if not self._models and not self._limits:
                await asyncio.get_running_loop().create_future()
            group.create_task(self.succession.run())
            while True:
                try:
                    with containing():
                        self.tick(group.create_task)
                except Exception as error:  # noqa: BLE001 - the next tick may be a good one
                    fault(error)
                await asyncio.sleep(self._pause())

    def kept(self) -> list[drift_file.Kept]:
        """What of the models is to outlive the gateway."""
        return [model.watch.kept() for model in self._models if model.watch]

    async def load(self) -> None:
        """Load all models, each in a thread of its own."""
        await asyncio.gather(*(self._load(model) for model in self._models))
        self._retain_alarms()
        self._loaded, self._before = True, None

    def _retain_alarms(self) -> None:
        watches: list[Watch | LimitWatch] = [*self._limits, *(model.watch for model in self._models if model.watch)]
        self._alarms.retain({key for watch in watches for key in watch.alarm_keys})

    def tick(self, spawn: Spawn) -> None:
        """Score what has become due; slow models are run by `spawn`."""
        fed, self._fed = self._fed, []
        self._bind_described(fed)
        columns = self._columns(fed)
        boot_ns = self._clock.boot_ns()
        for model in self._models:
            if model.watch is None:
                model.wait(fed, MAX_WAITING)
            elif waited := model.waited():
                self._advance(model, self._columns([*waited, *fed]), boot_ns, spawn)
            else:
                self._advance(model, columns, boot_ns, spawn)
        for limit in self._limits:
            limit.try_advance(columns, boot_ns)

    def _advance(self, model: Model, columns: tuple[Any, ...] | None, boot_ns: int, spawn: Spawn) -> None:
        watch = model.watch
        assert watch is not None
        watch.try_advance(columns, boot_ns, spawn)
        if watch.failure:
            self._fail(model, watch.failure)
        elif model.shadow:
            model.shadow.advance(watch, columns, boot_ns, spawn)

    def _columns(self, fed: Sequence[tuple[Readings, int]]) -> tuple[Any, ...] | None:
        try:
            return columns_of(fed) if fed else None
        except Exception as error:  # noqa: BLE001 - blocks that do not fit together are a plugin's; the next ones may be good
            fault(error)
            return None

    def status(self) -> list[dict[str, Any]]:
        """Every model with its devices, as JSON values."""
        return [self._model_status(model) for model in self._models]

    def limits(self) -> list[dict[str, Any]]:
        """Every limit with its devices, as JSON values."""
        return [limit.status() for limit in self._limits]

    def _model_status(self, model: Model) -> dict[str, Any]:
        watch = model.watch
        state, reason = model.state()
        status: dict[str, Any] = {"name": model.name, "file": str(model.section.file), "state": state, "reason": reason}
        if watch:
            status |= {
                "version": watch.source.card.version,
                "sha256": watch.source.sha256,
                "signed_by": watch.signed_by,
                "batched": watch.session.batched,
                "score_ms": round(watch.seconds * 1e3, 3),
                "late": watch.judge.grid.late,
                "skipped": watch.skipped,
                "restarts": watch.judge.grid.restarts,
                "devices": [watch.asset_status(name) for name in model.devices],
            }
        if model.shadow:
            status["shadow"] = model.shadow.status()
        return status

    async def opened(self, model: Model, path: Path) -> OpenModel:
        """The model in a file, checked. Raises ModelError."""
        if hanging() >= MOST_HANGING:
            raise ModelError(
                f"is not loaded: {hanging()} calls of models hang; restart the gateway, without the models that do"
            )
        assets, keys, trial = len(model.devices), model.section.signed_by, Trial()
        try:
            found = await in_own_thread(lambda: read_model(path, assets, keys), LOAD_SECONDS)
            async with nullcontext() if trial.knows(found.file, assets) else self._trying:
                most = MEMORY_IN_ALL - self._memory()
                opened = await in_own_thread(lambda: tried_model(found, assets, trial, most), LOAD_SECONDS, trial.stop)
                model.memory = opened.memory
                return opened
        except TimeoutError:
            raise ModelError(f"was not loaded within {LOAD_SECONDS:.0f} s") from None

    def _memory(self) -> int:
        """Bytes that the models take which are loaded, or about to watch."""
        shadows = [model.shadow.watch for model in self._models if model.shadow and model.shadow.watch]
        active = (model.watch.memory if model.watch else model.memory for model in self._models if not model.failure)
        return sum(active) + sum(shadow.memory for shadow in shadows)

    def _limit(self, section: AlarmSection, devices: tuple[str, ...]) -> LimitWatch:
        for limit in self._before._limits if self._before else ():
            if (limit.section, limit.devices) == (section, devices):
                return limit
        return LimitWatch(section, devices, self._alarms, self._clock, self._version)

    async def load_again(self, model: Model) -> None:
        """Load one that has failed."""
        await self._load(model)
        self._retain_alarms()

    async def _load(self, model: Model) -> None:
        try:
            model.stamp = await asyncio.to_thread(versions.stamp, model.path)
            if not model.devices:
                raise ModelError(f"no device is named {' or '.join(model.section.devices)}")
            opened = await contained(self.opened(model, model.path))
            model.name = model.section.name or opened.card.name
            self._start(model, opened, await asyncio.to_thread(self._kept_of, model.name, opened.file.sha256))
        except ModelError as error:
            self._fail(model, str(error))
        except Exception as error:  # noqa: BLE001 - the other models go on
            self._fail(model, fault(error))

    def _kept_of(self, name: str, sha256: str) -> drift_file.Kept | None:
        return drift_file.read(self._drift_dir, name, sha256) if self._drift_dir else None

    def _start(self, model: Model, opened: OpenModel, kept: drift_file.Kept | None) -> None:
        earlier = self._earlier(model)
        if earlier and earlier.watch and earlier.is_same_as(model, opened.file.sha256):
            model.watch, model.shadow = earlier.watch, earlier.shadow
        else:
            model.watch = self._make_watch(model, opened, self._alarms)
        model.identity, model.failure = model.watch.source.detail(), ""
        told = {**model.identity, "devices": len(model.devices), "score_ms": round(opened.seconds * 1e3, 3)}
        log.info("model loaded", **told)
        for name in model.devices:
            device, described = self._described.get(name, self._devices[name]), name in self._described
            self._bind(model, device, described)
            if model.shadow and model.shadow.watch:
                model.shadow.watch.bind(device, described)
        if earlier and earlier.watch and earlier.watch is not model.watch:
            model.watch.continue_from(earlier.watch)
        elif kept and not earlier:
            model.watch.restore(kept)

    def _earlier(self, model: Model) -> Model | None:
        """The same model in the detector before."""
        for earlier in self._before._models if self._before else ():
            if (earlier.path, earlier.section.name) == (model.path, model.section.name) and earlier.watch:
                return earlier
        return None

    def _make_watch(self, model: Model, opened: OpenModel, alarms: Alarms) -> Watch:
        source = events.Source(model.name, opened.card, opened.file.sha256, self._version, graph.version(), cpu())
        return Watch(source, opened, model.devices, model.section, alarms, self._slow)

    def make_bound_watch(self, model: Model, opened: OpenModel, alarms: Alarms) -> Watch:
        """A watch for another version, which knows the devices as they are now described."""
        watch = self._make_watch(model, opened, alarms)
        for name in model.devices:
            watch.bind(self._described.get(name, self._devices[name]), name in self._described)
        return watch

    def _bind_described(self, fed: Sequence[tuple[Readings, int]]) -> None:
        """A device that delivers readings has been described; a new description is a new Device object."""
        for readings, _ in fed:
            device = readings.device
            if self._described.get(device.name) is not device:
                self._described[device.name] = device
                try:
                    self._bind_everywhere(device)
                except Exception as error:  # noqa: BLE001 - it is this device's, and its readings are scored no more
                    fault(error)

    def _bind_everywhere(self, device: Device) -> None:
        for model in self._models:
            if model.watch and device.name in model.devices:
                self._bind(model, device, described=True)
            if model.shadow and model.shadow.watch and device.name in model.devices:
                model.shadow.watch.bind(device, True)
        for limit in self._limits:
            if device.name in limit.devices:
                limit.bind(device)

    def _bind(self, model: Model, device: Device, described: bool) -> None:
        assert model.watch is not None
        unfit = model.watch.binding.unfit
        before = unfit.get(device.name)
        model.watch.bind(device, described)
        reason = unfit.get(device.name)
        if reason and reason != before:
            self.emit(events.failed(model.name, reason, self._clock.wall_ns(), model.identity, device.name))

    def _fail(self, model: Model, reason: str) -> None:
        if model.watch:
            for key in model.watch.alarm_keys:
                self._alarms.abandon(key)
        model.failure, model.watch = reason, None
        detail = {"file": str(model.section.file), "gateway_version": self._version, **model.identity}
        self.emit(events.failed(model.name, reason, self._clock.wall_ns(), detail))

    def emit(self, event: Event) -> None:
        """Tell it to the plant, and to the log."""
        log.warning("event", kind=event.kind, state=event.state, device=event.device, message=event.message)
        self._emit_out(event)

    def _pause(self) -> float:
        """Seconds to the next tick: half of the shortest period, so that no cell is closed much after its time."""
        periods = [model.watch.source.card.period_ms for model in self._models if model.watch]
        return min(max(min(periods, default=2000) / 2000, 0.05), LIMIT_SECONDS if self._limits else 1.0)
