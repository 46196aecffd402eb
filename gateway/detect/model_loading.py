"""The models of a configuration: each is read, tried and set to watch, also again, and what fails is told."""

import asyncio
from collections.abc import Callable, Sequence
from contextlib import nullcontext
from pathlib import Path

import structlog

from gateway.alarms import Alarms, cpu
from gateway.config.model import ModelSection
from gateway.core.event import Event
from gateway.detect import event_words, versions
from gateway.detect.fault import fault
from gateway.detect.model_watcher import ModelWatcher
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
from gateway.detect.running_model import RunningModel
from gateway.detect.watcher import DetectorSurroundings
from gateway.detect.windows import drift_file
from gateway.supervise.contained import contained

LOAD_SECONDS = WALL_SECONDS + 30.0
"""A model that is not tried and loaded after this long has failed."""
MOST_HANGING = 4
"""Calls of models that do not end; with so many no other model is loaded."""
SLOW_AT_ONCE = 2
"""How many models that score in a thread may do so at a time; each has one call under way or waiting, never more."""

log = structlog.get_logger()


class Models:
    """Loads the models of a detector, each in a thread of its own, and stands behind them: `Owner`, and `Loading` for what
    exchanges versions. One that cannot be loaded, does not fit, fails or hangs is put aside with one event."""

    def __init__(
        self,
        around: DetectorSurroundings,
        sections: Sequence[ModelSection],
        devices: Sequence[str],
        *,
        base: Path,
        before: "Models | None",
        settled: Callable[[], None],
    ) -> None:
        """See `Detector`. `settled` is called when what was to be loaded watches, or has failed."""
        self.all = [
            RunningModel(
                section,
                base / section.file,
                section.name or section.file.stem,
                matching(section.devices, devices),
                self,
            )
            for section in sections
        ]
        self._around = around
        self._settled = settled
        self._slow: asyncio.Semaphore = before._slow if before else asyncio.Semaphore(SLOW_AT_ONCE)
        self._trying: asyncio.Semaphore = before._trying if before else asyncio.Semaphore(1)

    async def load(self) -> None:
        """Load all models that are configured."""
        await asyncio.gather(*(self._load(model) for model in self.all))
        self._settled()

    async def load_again(self, model: RunningModel) -> None:
        """Load one that has failed."""
        await self._load(model)
        self._settled()

    def kept(self) -> list[drift_file.KeptDrift]:
        """What of the models is to outlive the gateway."""
        return [model.watch.kept() for model in self.all if model.watch]

    async def opened(self, model: RunningModel, path: Path) -> OpenModel:
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
        shadows = [model.shadow.watch for model in self.all if model.shadow and model.shadow.watch]
        active = (model.watch.memory if model.watch else model.memory for model in self.all if not model.failure)
        return sum(active) + sum(shadow.memory for shadow in shadows)

    async def _load(self, model: RunningModel) -> None:
        try:
            model.stamp = await asyncio.to_thread(versions.stamp, model.path)
            if not model.devices:
                raise ModelError(f"no device is named {' or '.join(model.section.devices)}")
            opened = await contained(self.opened(model, model.path))
            model.name = model.section.name or opened.card.name
            self._start(model, opened, await asyncio.to_thread(self._kept_of, model.name, opened.file.sha256))
        except ModelError as error:
            self.fail(model, str(error))
        except Exception as error:  # noqa: BLE001 - the other models go on
            self.fail(model, fault(error))

    def _kept_of(self, name: str, sha256: str) -> drift_file.KeptDrift | None:
        return drift_file.read(self._around.drift_dir, name, sha256) if self._around.drift_dir else None

    def _start(self, model: RunningModel, opened: OpenModel, kept: drift_file.KeptDrift | None) -> None:
        earlier, model.before = model.before, None
        if earlier and earlier.watch and earlier.is_same_as(model, opened.file.sha256):
            model.watch, model.shadow = earlier.watch, earlier.shadow
        else:
            model.watch = self._make_watch(model, opened, self._around.alarms)
        model.identity, model.failure = model.watch.identity.detail(), ""
        told = {**model.identity, "devices": len(model.devices), "score_ms": round(opened.seconds * 1e3, 3)}
        log.info("model loaded", **told)
        for device, described in [*model.known.values()]:
            model.bind(device, described)
        if earlier and earlier.watch and earlier.watch is not model.watch:
            model.watch.continue_from(earlier.watch)
        elif kept and not earlier:
            model.watch.restore(kept)

    def _make_watch(self, model: RunningModel, opened: OpenModel, alarms: Alarms) -> ModelWatcher:
        identity = event_words.ModelIdentity(
            model.name, opened.card, opened.file.sha256, self._around.version, graph.version(), cpu()
        )
        return ModelWatcher(identity, opened, model.devices, model.section, alarms, self._slow)

    def make_bound_watch(self, model: RunningModel, opened: OpenModel, alarms: Alarms) -> ModelWatcher:
        """A watch for another version, which knows the devices as they are now described."""
        watch = self._make_watch(model, opened, alarms)
        for device, described in model.known.values():
            watch.bind(device, described)
        return watch

    def fail(self, model: RunningModel, reason: str) -> None:
        """It is put aside, and what it had raised ends."""
        for key in model.alarm_keys:
            self._around.alarms.abandon(key)
        model.failure, model.watch, model.before = reason, None, None
        detail = {"file": str(model.section.file), "gateway_version": self._around.version, **model.identity}
        self.emit(event_words.failed(model.name, reason, self._around.clock.wall_ns(), detail))

    def tell_unfit(self, model: RunningModel, device: str, reason: str) -> None:
        """It cannot score this device."""
        self.emit(event_words.failed(model.name, reason, self._around.clock.wall_ns(), model.identity, device))

    def emit(self, event: Event) -> None:
        """Tell it to the plant, and to the log."""
        log.warning("event", kind=event.kind, state=event.state, device=event.device, message=event.message)
        self._around.events.append_event(event)
