"""What the detector feeds: a model, a limit, or another kind of watch over devices."""

from collections.abc import Callable, Collection, Coroutine, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any, Protocol

from gateway.alarms import Alarms, Key
from gateway.core.clock import Clock
from gateway.core.event import EventLog
from gateway.core.readings import Readings
from gateway.core.tag import Device
from gateway.detect.fault import fault
from gateway.detect.windows import columns
from gateway.trust.audit import AuditRecords, Unaudited

Spawn = Callable[[Coroutine[Any, Any, None]], object]
"""Starts a task that does not outlive the detector."""


@dataclass(frozen=True, slots=True)
class DetectorSurroundings:
    """What a detector has to do with; the one that follows it has the same."""

    events: EventLog
    """Called in the event loop."""
    alarms: Alarms
    clock: Clock
    version: str
    """Of the gateway."""
    audit: AuditRecords = field(default_factory=Unaudited)
    drift_dir: Path | None = None
    """Holds what was counted before the start."""


class Fed:
    """The blocks that came since the last tick, each with the time of the boot clock at which it came."""

    def __init__(self, blocks: Sequence[tuple[Readings, int]]) -> None:
        self.blocks = blocks

    @cached_property
    def columns(self) -> tuple[Any, ...] | None:
        """All blocks as common columns, made once for all watchers: see `windows.columns`. None for none, and for blocks that
        do not fit together, which are a plugin's: the next ones may be good."""
        try:
            return columns(self.blocks) if self.blocks else None
        except Exception as error:  # noqa: BLE001
            fault(error)
            return None


class Watcher(Protocol):
    """One watch over some devices. It is called in the event loop only; what it raises is logged and costs no other watcher.

    It tells `Alarms` itself what it finds. The detector restores it once, then binds its devices, then lets it advance.
    """

    @property
    def devices(self) -> Collection[str]:
        """The names of the devices that it watches."""

    @property
    def alarm_keys(self) -> Collection[Key]:
        """All alarms that it may raise; what is raised under another key has nobody who would end it, and is abandoned."""

    @property
    def pause(self) -> float:
        """Seconds after which it wants to advance again, at the latest."""

    def restore(self, before: "Sequence[Watcher]") -> None:
        """Go on where the watchers of the detector before were, if one of them is this one; they are not used any more."""

    def bind(self, device: Device, described: bool) -> None:
        """One of its devices as it now is; `described` by itself, or as yet by the configuration only."""

    def advance(self, fed: Fed, boot_ns: int, spawn: Spawn) -> None:
        """Take what came, also of devices that it does not watch, let the time pass, and tell what is found. What takes long
        is run by `spawn`."""

    def status(self) -> object:
        """How it stands, as frozen data: see `gateway.status`."""
