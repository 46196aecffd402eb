"""How one version of a model follows another while the gateway runs: in shadow, approved, rolled back, or put aside."""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from pathlib import Path

import structlog

from gateway.core.clock import Clock
from gateway.core.errors import GatewayError
from gateway.detect import versions
from gateway.detect.alarms import Alarms
from gateway.detect.model import Model
from gateway.detect.onnx_file import ModelError, read_onnx
from gateway.detect.session import OpenModel
from gateway.detect.shadow import Shadow
from gateway.detect.watch import Watch

VERSION_SECONDS = 5.0
"""How often a next version is looked for."""

log = structlog.get_logger()


class Succession:
    """The versions of a detector's models, see `versions`. Only for the event loop's thread."""

    def __init__(
        self,
        models: Sequence[Model],
        path: Callable[[Model], Path],
        opened: Callable[[Model, Path], Awaitable[OpenModel]],
        make_watch: Callable[[Model, OpenModel, Alarms], Watch],
        alarms: Alarms,
        clock: Clock,
    ) -> None:
        """`path`: of the active version; `opened` raises ModelError; a watch of `make_watch` knows the devices."""
        self._models = models
        self._path = path
        self._opened = opened
        self._make_watch = make_watch
        self._alarms = alarms
        self._clock = clock

    def find(self, name: str) -> Model:
        """The model of this name that runs. Raises GatewayError."""
        for model in self._models:
            if model.name == name and model.watch:
                return model
        known = ", ".join(model.name for model in self._models if model.watch)
        raise GatewayError(f'no model "{name}" is running; there are: {known or "none"}')

    async def run(self) -> None:
        """Look for next versions now and then, until cancelled."""
        while True:
            await self.look()
            await asyncio.sleep(VERSION_SECONDS)

    async def look(self) -> None:
        """Begin to run what has come beside an active model's file, and end what has gone."""
        for model in self._models:
            stamp = await asyncio.to_thread(versions.stamp, versions.next_of(self._path(model)))
            if stamp is None or model.watch is None:
                model.shadow = None
            elif model.shadow is None or model.shadow.stamp != stamp:
                await self._begin_shadow(model, stamp)

    async def _begin_shadow(self, model: Model, stamp: tuple[int, int, int]) -> None:
        shadow = Shadow(stamp)
        try:
            opened = await self._opened(model, versions.next_of(self._path(model)))
        except ModelError as error:
            shadow.failure = str(error)
            log.warning("the next version of a model cannot be used", model=model.name, reason=shadow.failure)
        else:
            quiet = Alarms(
                lambda event: shadow.raised.append(event.device) if event.state == "raised" else None, self._clock
            )
            shadow.watch = self._make_watch(model, opened, quiet)
            log.info("model runs in shadow", **shadow.watch.source.detail())
        model.shadow = shadow

    async def approve(self, model: Model, sha256: str) -> None:
        """The version in shadow becomes active; its windows are warm, so nothing is missed. Raises GatewayError when there is
        none with this SHA-256."""
        shadow = model.shadow
        if shadow is None or shadow.watch is None or shadow.sha256 != sha256:
            raise GatewayError(self.nothing_in_shadow(model))
        path = self._path(model)
        found = await asyncio.to_thread(read_onnx, versions.next_of(path))
        if found.sha256 != sha256:
            raise GatewayError(f"{found.path}: has just been changed; what ran in shadow is another version")
        await asyncio.to_thread(versions.approve, path)
        model.shadow = None
        self._exchange(model, shadow.watch)

    async def before(self, model: Model) -> OpenModel:
        """The version before the active one. Raises GatewayError when there is none, or it can no longer be used."""
        path = versions.previous_of(self._path(model))
        if await asyncio.to_thread(versions.stamp, path) is None:
            raise GatewayError(f'model "{model.name}" has no version before: there is no {path}')
        return await self._opened(model, path)

    async def roll_back(self, model: Model, opened: OpenModel) -> None:
        """The version before becomes active again, with the windows of the one that was; that one runs in shadow. Raises
        GatewayError."""
        await asyncio.to_thread(versions.roll_back, self._path(model))
        before, watch = model.watch, self._make_watch(model, opened, self._alarms)
        if before:
            watch.continue_from(before)
        model.shadow = None
        self._exchange(model, watch)

    async def retire(self, model: Model) -> None:
        """The version in shadow is put aside. Raises GatewayError when there is none."""
        if model.shadow is None:
            raise GatewayError(self.nothing_in_shadow(model))
        await asyncio.to_thread(versions.retire, self._path(model))
        model.shadow = None

    def nothing_in_shadow(self, model: Model) -> str:
        """Why nothing can be approved, in words."""
        if model.shadow and model.shadow.failure:
            return f'the next version of model "{model.name}" cannot be used: {model.shadow.failure}'
        return f'model "{model.name}" has no version in shadow: put one at {versions.next_of(self._path(model))}'

    def _exchange(self, model: Model, watch: Watch) -> None:
        if model.watch:
            model.watch.tell_to(Alarms(lambda event: None, self._clock))
        watch.tell_to(self._alarms)
        model.watch, model.identity = watch, watch.source.detail()
        log.info("model exchanged", **model.identity)
