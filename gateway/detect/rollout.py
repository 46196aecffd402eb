"""How one version of a model follows another while the gateway runs: in shadow, approved, rolled back, or put aside."""

import asyncio
from collections.abc import Sequence
from pathlib import Path
from typing import Protocol

import structlog

from gateway.alarms import Alarms
from gateway.core.errors import GatewayError
from gateway.core.event import Event
from gateway.detect import event_words, versions
from gateway.detect.model_watcher import ModelWatcher
from gateway.detect.models import ModelError, OpenModel
from gateway.detect.running_model import RunningModel
from gateway.detect.shadow import Shadow, Unheard
from gateway.detect.versions import Stamp
from gateway.detect.watcher import DetectorSurroundings
from gateway.supervise.contained import contained

VERSION_SECONDS = 2.0
"""How often the files are looked at; one that has changed is read when it has stayed the same from one look to the next."""
TROUBLED_SECONDS = 60.0
"""After which files that could not be followed are tried again."""

log = structlog.get_logger()


class Loading(Protocol):
    """What knows the devices."""

    async def opened(self, model: RunningModel, path: Path) -> OpenModel:
        """The model in a file. Raises ModelError."""

    async def load_again(self, model: RunningModel) -> None:
        """Begin to run the active version, or say why not."""

    def make_bound_watch(self, model: RunningModel, opened: OpenModel, alarms: Alarms) -> ModelWatcher:
        """A watch that is bound to the devices."""

    def emit(self, event: Event) -> None:
        """Tell it to the plant."""


class Rollout:
    """The versions of a detector's models, see `versions`. Only for the event loop's thread."""

    def __init__(self, models: Sequence[RunningModel], loading: Loading, around: DetectorSurroundings) -> None:
        self._models = models
        self._loading = loading
        self._alarms = around.alarms
        self._clock = around.clock
        self._audit = around.audit
        self._changing = asyncio.Lock()
        self._resting: dict[Path, float] = {}
        """Until when (monotonic) files that could not be followed are left alone."""

    def find(self, name: str) -> RunningModel:
        """The model of this name that runs, or did before it failed. Raises GatewayError."""
        known = [model for model in self._models if model.watch or model.failure]
        for model in known:
            if model.name == name:
                return model
        names = ", ".join(model.name for model in known) or "none; make one with  edge-gateway learn"
        raise GatewayError(f'no model "{name}" is running; there are: {names}')

    async def run(self) -> None:
        """Look at the files now and then, until cancelled."""
        before: list[tuple[Stamp | None, Stamp | None]] = []
        while True:
            now = await asyncio.to_thread(self._stamps)  # raises nothing: what cannot be seen is no file
            for model, stamps, earlier in zip(self._models, now, before, strict=False):
                if stamps == earlier and self._clock.monotonic() >= self._resting.get(model.path, 0.0):
                    await self._try_to_follow(model, stamps)
            before = now
            await asyncio.sleep(VERSION_SECONDS)

    async def look(self) -> None:
        """Follow the files as they are now."""
        for model, stamps in zip(self._models, await asyncio.to_thread(self._stamps), strict=True):
            await self._follow(model, stamps)

    async def _try_to_follow(self, model: RunningModel, stamps: tuple[Stamp | None, Stamp | None]) -> None:
        """What one model's files bring about, or a trail that takes nothing, does not end the watch on the others; it is
        tried again later."""
        try:
            await contained(self._follow(model, stamps))
            self._resting.pop(model.path, None)
        except Exception as error:
            if model.path not in self._resting:
                log.error("the files of a model cannot be followed", model=model.name, error=str(error), exc_info=error)
            self._resting[model.path] = self._clock.monotonic() + TROUBLED_SECONDS

    def _stamps(self) -> list[tuple[Stamp | None, Stamp | None]]:
        return [_stamps(model) for model in self._models]

    async def _follow(self, model: RunningModel, stamps: tuple[Stamp | None, Stamp | None]) -> None:
        async with self._changing:
            if await asyncio.to_thread(_stamps, model) != stamps:
                return  # changed by a command, or being written
            active, following = stamps
            if active != model.stamp:
                await self._active_changed(model, active)
            if following is None or model.watch is None:
                model.shadow = None
            elif model.shadow is None or model.shadow.stamp != following:
                await self._begin_shadow(model, following)

    async def _active_changed(self, model: RunningModel, stamp: Stamp | None) -> None:
        """Load it where none runs; one that runs is exchanged by people only."""
        who = await asyncio.to_thread(versions.owner, model.path)
        if model.watch is None:
            if model.failure and stamp is not None:
                await self._loading.load_again(model)
                new, why = model.sha256, model.failure
                await self._audit.record("active.loaded", "system", target=model.name, new=new, why=why, file_of=who)
            return
        model.stamp = stamp
        found = await asyncio.to_thread(versions.sha256, model.path)
        model.remark = "" if found == model.sha256 else _remark(model, found)
        if model.remark:
            await self._audit.record(
                "active.changed", "system", target=model.name, old=model.sha256, new=found, file_of=who
            )
            self._loading.emit(
                event_words.file_changed(model.name, model.remark, self._clock.wall_ns(), model.identity)
            )

    async def _begin_shadow(self, model: RunningModel, stamp: Stamp) -> None:
        path = versions.next_of(model.path)
        sha256, who = await asyncio.to_thread(lambda: (versions.sha256(path), versions.owner(path)))
        told = {"target": model.name, "old": model.sha256, "new": sha256, "file_of": who}

        def tell_failed(reason: str) -> None:
            now = self._clock.wall_ns()
            self._loading.emit(event_words.next_failed(model.name, path.name, sha256, reason, now, model.identity))

        shadow = Shadow(stamp, tell_failed)
        try:
            if sha256 == model.sha256:
                raise ModelError("it is the active version itself: remove it, or put another one there")
            opened = await self._loading.opened(model, path)
        except ModelError as error:
            await self._audit.record("candidate.failed", "system", why=str(error), **told)
            shadow.fail(str(error))
        else:
            await self._audit.record("candidate.shadow", "system", **told)
            shadow.watch = self._loading.make_bound_watch(model, opened, Alarms(shadow, self._clock))
            log.info("model runs in shadow", **shadow.watch.identity.detail())
        model.shadow = shadow

    async def check_next(self, model: RunningModel, sha256: str) -> ModelWatcher:
        """The version in shadow, if it can be approved. Raises GatewayError when none has this SHA-256, or a file is
        no longer what runs."""
        shadow = model.shadow
        if shadow is None or shadow.watch is None or shadow.sha256 != sha256:
            raise GatewayError(self.nothing_in_shadow(model))
        watch, path = shadow.watch, versions.next_of(model.path)
        if await asyncio.to_thread(versions.sha256, path) != sha256:
            raise GatewayError(f"{path}: has just been changed; what ran in shadow is another version")
        await self._check_active(model)
        return watch

    async def approve(self, model: RunningModel, sha256: str) -> None:
        """The version in shadow becomes active; its windows are warm, so nothing is missed. Raises as `check_next`."""
        async with self._changing:
            watch = await self.check_next(model, sha256)
            await asyncio.to_thread(versions.approve, model.path)
            model.shadow = None
            await self._exchange(model, watch)

    async def before(self, model: RunningModel) -> OpenModel:
        """The version before the active one. Raises GatewayError when there is none, it can no longer be used, or the active
        one's file is no longer what runs."""
        path = versions.previous_of(model.path)
        if await asyncio.to_thread(versions.stamp, path) is None:
            raise GatewayError(f'model "{model.name}" has no version before: there is no {path}')
        await self._check_active(model)
        return await self._loading.opened(model, path)

    async def roll_back(self, model: RunningModel, opened: OpenModel) -> None:
        """The version before becomes active again, with the windows of the one that was; that one runs in shadow. Raises
        GatewayError."""
        async with self._changing:
            await self._check_active(model)
            await asyncio.to_thread(versions.roll_back, model.path)
            before, watch = model.watch, self._loading.make_bound_watch(model, opened, self._alarms)
            if before:
                watch.continue_from(before)
            model.shadow = None
            await self._exchange(model, watch)

    async def retire(self, model: RunningModel) -> None:
        """The version in shadow is put aside. Raises GatewayError when there is none."""
        async with self._changing:
            if model.shadow is None:
                raise GatewayError(self.nothing_in_shadow(model))
            await asyncio.to_thread(versions.retire, model.path)
            model.shadow = None

    def nothing_in_shadow(self, model: RunningModel) -> str:
        """Why nothing can be approved, in words."""
        if model.shadow and model.shadow.failure:
            return f'the next version of model "{model.name}" cannot be used: {model.shadow.failure}'
        if model.failure:
            return (
                f'model "{model.name}" has failed, so nothing runs in shadow beside it: replace {model.path}, or '
                f"edge-gateway models rollback {model.name}"
            )
        return f'model "{model.name}" has no version in shadow: put one at {versions.next_of(model.path)}'

    async def _check_active(self, model: RunningModel) -> None:
        """That the file which is about to become the version before is the one that runs."""
        found = await asyncio.to_thread(versions.sha256, model.path)
        if model.watch and found != model.sha256:
            raise GatewayError(_remark(model, found))

    async def _exchange(self, model: RunningModel, watch: ModelWatcher) -> None:
        model.stamp = await asyncio.to_thread(versions.stamp, model.path)
        if model.watch:
            # It may be scoring in a thread yet. What it finds then goes to alarms that nobody hears of: the plant's are the
            # successor's, and one raised now under the old model's name would never be cleared.
            model.watch.tell_to(Alarms(Unheard(), self._clock))
        watch.tell_to(self._alarms)
        model.watch, model.identity, model.failure, model.remark = watch, watch.identity.detail(), "", ""
        log.info("model exchanged", **model.identity)


def _stamps(model: RunningModel) -> tuple[Stamp | None, Stamp | None]:
    return versions.stamp(model.path), versions.stamp(versions.next_of(model.path))


def _remark(model: RunningModel, found: str) -> str:
    """What it means that the active version's file now has another SHA-256, or is gone."""
    runs = f"version {model.identity['model_version']} runs on"
    if not found:
        return f"{model.path} is gone or cannot be read; {runs} until the gateway is started anew: put the file back"
    return (
        f"{model.path} was changed while it runs, and is not what was loaded; {runs}. To try the new one in shadow, move it "
        f"to {versions.next_of(model.path).name} and put the old one back; to use it at once: edge-gateway reload"
    )
