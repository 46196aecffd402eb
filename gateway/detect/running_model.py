"""A model of the configuration, while the gateway runs."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

from gateway.alarms import Key
from gateway.config.model import ModelSection
from gateway.core.readings import Readings
from gateway.core.tag import Device
from gateway.core.text import listed
from gateway.detect.model_watcher import ModelWatcher
from gateway.detect.shadow import Shadow
from gateway.detect.versions import Stamp
from gateway.detect.watcher import Fed, Spawn, Watcher
from gateway.status import ModelStatus, ScoringStatus

MAX_WAITING = 20_000
"""Blocks that wait for one model while it is loaded; beyond, the oldest go."""
_NAMED = 3
"""Devices that a reason names."""


class Owner(Protocol):
    """Who loads models, and tells of them."""

    def fail(self, model: "RunningModel", reason: str) -> None:
        """It runs no longer."""

    def tell_unfit(self, model: "RunningModel", device: str, reason: str) -> None:
        """It cannot score this device."""


@dataclass(slots=True)
class RunningModel:
    """A configured model: being loaded, watching, or failed. A `Watcher`, whose `watch` comes with the file."""

    section: ModelSection
    path: Path
    """Of the active version."""
    name: str
    devices: tuple[str, ...]
    owner: Owner
    watch: ModelWatcher | None = None
    failure: str = ""
    identity: Mapping[str, object] = field(default_factory=dict)
    """What its events carry once the file has been read."""
    shadow: Shadow | None = None
    """The next version, if there is one."""
    stamp: Stamp | None = None
    """Of the active version's file when it was last looked at."""
    memory: int = 0
    """What the version takes that was loaded last, in bytes."""
    waiting: list[tuple[Readings, int]] = field(default_factory=list)
    """What came while it is being loaded."""
    remark: str = ""
    """What a person should know of one that runs."""

    known: dict[str, tuple[Device, bool]] = field(default_factory=dict)
    """Its devices as they are now, and whether they have described themselves."""
    before: "RunningModel | None" = None
    """The same model in the detector before, while this one is being loaded."""

    def restore(self, before: Sequence[Watcher]) -> None:
        """See `Watcher`. What waited for the one before waits for this one, which takes its windows over once loaded."""
        there = [each for each in before if isinstance(each, RunningModel) and each.path == self.path]
        self.waiting = next(([*each.waiting] for each in there), [])
        same = (each for each in there if each.section.name == self.section.name)
        self.before = next((each if each.watch else each.before for each in same), None)

    def bind(self, device: Device, described: bool) -> None:
        """Also for the version in shadow (see `Watcher`)."""
        self.known[device.name] = device, described
        if self.watch:
            unfit = self.watch.binding.unfit
            before = unfit.get(device.name)
            self.watch.bind(device, described)
            reason = unfit.get(device.name)
            if reason and reason != before:
                self.owner.tell_unfit(self, device.name, reason)
        if self.shadow and self.shadow.watch:
            self.shadow.watch.bind(device, described)

    def advance(self, fed: Fed, boot_ns: int, spawn: Spawn) -> None:
        """See `Watcher`. Until it is loaded, what comes waits; nothing waits for one that has failed."""
        if self.watch is None:
            self._wait(fed.blocks)
            return
        if self.waiting:
            fed, self.waiting = Fed([*self.waiting, *fed.blocks]), []
        self.watch.try_advance(fed.columns, boot_ns, spawn)
        if self.watch.failure:
            self.owner.fail(self, self.watch.failure)
        elif self.shadow:
            self.shadow.advance(self.watch, fed.columns, boot_ns, spawn)

    def _wait(self, blocks: Sequence[tuple[Readings, int]]) -> None:
        if self.failure:
            self.waiting = []
        else:
            self.waiting += blocks
            del self.waiting[:-MAX_WAITING]

    @property
    def alarm_keys(self) -> set[Key]:
        """None until it is loaded (see `Watcher`)."""
        return self.watch.alarm_keys if self.watch else set()

    @property
    def pause(self) -> float:
        """See `Watcher`. Half of its period, so that no cell is closed much after its time."""
        return self.watch.identity.card.period_ms / 2000 if self.watch else 1.0

    def is_same_as(self, other: "RunningModel", sha256: str) -> bool:
        """Whether it watches the same devices in the same way, with this version."""
        return (self.section, self.devices, self.sha256) == (other.section, other.devices, sha256)

    @property
    def sha256(self) -> str:
        """Of the active version; empty if none runs."""
        return self.watch.identity.sha256 if self.watch else ""

    def state(self) -> tuple[str, str]:
        """In the words of `gateway.supervise.Health`, with the reason."""
        if self.failure:
            return "faulted", self.failure
        if self.watch is None:
            return "starting", "is being read and tried"
        unfit = self.watch.binding.unfit
        if len(unfit) == len(self.devices):
            return "faulted", "; ".join(f"{name}: {reason}" for name, reason in unfit.items())
        if mute := self.watch.without_number():
            return "faulted", (
                f"gives no finite score of {listed(mute, _NAMED)}: nothing is found there; replace the model, or "
                f"edge-gateway models rollback {self.name}"
            )
        return "up", self.remark

    def status(self) -> ModelStatus:
        """With its devices."""
        state, reason = self.state()
        return ModelStatus(
            name=self.name,
            file=str(self.section.file),
            state=state,
            reason=reason,
            scoring=self._scoring(self.watch) if self.watch else None,
            shadow=self.shadow.status() if self.shadow else None,
        )

    def _scoring(self, watch: ModelWatcher) -> ScoringStatus:
        return ScoringStatus(
            version=watch.identity.card.version,
            sha256=watch.identity.sha256,
            signed_by=watch.signed_by,
            batched=watch.session.batched,
            score_ms=round(watch.seconds * 1e3, 3),
            late=watch.judge.grid.late,
            skipped=watch.skipped,
            restarts=watch.judge.grid.restarts,
            devices=[watch.asset_status(name) for name in self.devices],
        )
