"""Feeds what watches the devices, lets it tick, and reports on it: models, limits, and whatever else is a `Watcher`."""

import asyncio
from collections.abc import Sequence
from pathlib import Path
from typing import TypeVar

import structlog

from gateway.config.model import ModelSection
from gateway.core.readings import Readings
from gateway.core.tag import Device
from gateway.detect.fault import fault
from gateway.detect.model_loading import Models
from gateway.detect.rollout import Rollout
from gateway.detect.watcher import DetectorSurroundings, Fed, Spawn, Watcher
from gateway.detect.windows import drift_file
from gateway.supervise.contained import containing

MAX_FED = 20_000
"""Blocks that wait for a tick; beyond, the oldest go."""
PAUSES = 0.05, 1.0
"""Seconds between two ticks, at least and at most."""

S = TypeVar("S")

log = structlog.get_logger()


class Detector:
    """Scores the readings it is fed, tells `alarms` what is raised and cleared, and emits events of the kind "model".

    What goes wrong in one watcher costs no other.
    """

    def __init__(
        self,
        around: DetectorSurroundings,
        models: Sequence[ModelSection],
        devices: Sequence[Device],
        *,
        base: Path,
        watchers: Sequence[Watcher] = (),
        before: "Detector | None" = None,
    ) -> None:
        """Relative model files start at `base`; `watchers` watch beside the models. `before` is not used any more: what stays
        the same goes on with its windows, versions in shadow, delays and counts."""
        self._around = around
        self.models: Models = Models(
            around,
            models,
            [device.name for device in devices],
            base=base,
            before=before.models if before else None,
            settled=self._retain_alarms,
        )
        self.rollout = Rollout(self.models.all, self.models, around)
        self._watchers: list[Watcher] = [*self.models.all, *watchers]
        self._watched = frozenset(name for watcher in self._watchers for name in watcher.devices)
        self._described: dict[str, Device] = {}
        # What came for the one before, and what still comes to it until it is exchanged, is the same list.
        self._fed: list[tuple[Readings, int]] = before._fed if before else []
        if before:
            for watcher in self._watchers:
                watcher.restore(before._watchers)
        for device in devices:
            self._bind(device, described=False)

    def feed(self, readings: Readings, boot_ns: int) -> None:
        """Take a block, with the time of the boot clock at which it came; cheap, and nothing for a device that nothing
        watches."""
        if readings.device.name in self._watched:
            self._fed.append((readings, boot_ns))
            if len(self._fed) > MAX_FED:
                del self._fed[: MAX_FED // 2]
                log.warning("models cannot keep up, readings were not scored", blocks=MAX_FED // 2)

    async def run(self) -> None:
        """Load the models and score, each as soon as it is loaded, until cancelled. What is raised then stays so, for the
        detector that comes after."""
        async with asyncio.TaskGroup() as group:
            group.create_task(self.load())
            if not self._watchers:
                never = asyncio.get_running_loop().create_future()
                await never  # with nothing to watch, not a tick a second
            group.create_task(self.rollout.run())
            while True:
                try:
                    with containing():
                        self.tick(group.create_task)
                except Exception as error:  # noqa: BLE001 - the next tick may be a good one
                    fault(error)
                await asyncio.sleep(self._pause())

    async def load(self) -> None:
        """Load all models."""
        await self.models.load()

    def tick(self, spawn: Spawn) -> None:
        """Let all that watches take what has come; what takes long is run by `spawn`."""
        blocks, self._fed = self._fed, []
        self._bind_described(blocks)
        fed, boot_ns = Fed(blocks), self._around.clock.boot_ns()
        for watcher in self._watchers:
            try:
                with containing():
                    watcher.advance(fed, boot_ns, spawn)
            except Exception as error:  # noqa: BLE001 - the others go on, and it may at the next tick
                fault(error)

    def status(self, kind: type[S]) -> list[S]:
        """Every watcher that tells of itself in this way, such as `ModelStatus`."""
        return [each for each in self.statuses() if isinstance(each, kind)]

    def statuses(self) -> list[object]:
        """Of every watcher; see `gateway.status`."""
        return [watcher.status() for watcher in self._watchers]

    def kept(self) -> list[drift_file.KeptDrift]:
        """What is to outlive the gateway."""
        return self.models.kept()

    def _retain_alarms(self) -> None:
        self._around.alarms.retain({key for watcher in self._watchers for key in watcher.alarm_keys})

    def _bind_described(self, blocks: Sequence[tuple[Readings, int]]) -> None:
        """A device that delivers readings has been described; a new description is a new Device object."""
        for readings, _ in blocks:
            device = readings.device
            if self._described.get(device.name) is not device:
                self._described[device.name] = device
                self._bind(device, described=True)

    def _bind(self, device: Device, described: bool) -> None:
        for watcher in self._watchers:
            if device.name in watcher.devices:
                try:
                    with containing():
                        watcher.bind(device, described)
                except Exception as error:  # noqa: BLE001 - it is this device's, and its readings are scored no more
                    fault(error)

    def _pause(self) -> float:
        """Seconds to the next tick."""
        least, most = PAUSES
        return max(least, min([most, *(watcher.pause for watcher in self._watchers)]))
