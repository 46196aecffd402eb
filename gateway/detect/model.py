"""A model of the configuration, while the gateway runs."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from gateway.config.model import ModelSection
from gateway.core.readings import Readings
from gateway.detect.shadow import Shadow
from gateway.detect.versions import Stamp
from gateway.detect.watch import Watch

_NAMED = 3
"""Devices that a reason names."""


@dataclass(slots=True)
class Model:
    """A configured model: being loaded, watching, or failed."""

    section: ModelSection
    path: Path
    """Of the active version."""
    name: str
    devices: tuple[str, ...]
    watch: Watch | None = None
    failure: str = ""
    identity: dict[str, Any] = field(default_factory=dict)
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

    def wait(self, fed: Sequence[tuple[Readings, int]], most: int) -> None:
        """Keep blocks, at most so many, for when it is loaded; nothing for one that has failed."""
        if self.failure:
            self.waiting = []
        else:
            self.waiting += fed
            del self.waiting[:-most]

    def waited(self) -> list[tuple[Readings, int]]:
        """What was kept; it is given out once."""
        waited, self.waiting = self.waiting, []
        return waited

    def is_same_as(self, other: "Model", sha256: str) -> bool:
        """Whether it watches the same devices in the same way, with this version."""
        return (self.section, self.devices, self.sha256) == (other.section, other.devices, sha256)

    @property
    def sha256(self) -> str:
        """Of the active version; empty if none runs."""
        return self.watch.source.sha256 if self.watch else ""

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
            named = ", ".join(mute[:_NAMED]) + (f" and {len(mute) - _NAMED} more" if len(mute) > _NAMED else "")
            return "faulted", (
                f"gives no finite score of {named}: nothing is found there; replace the model, or edge-gateway models "
                f"rollback {self.name}"
            )
        return "up", self.remark
