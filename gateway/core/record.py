"""What stands in the outbox: one record is one block of readings of one device, or one event, loss or receipt."""

from collections.abc import Mapping
from dataclasses import dataclass
from enum import IntEnum
from typing import Any

from gateway.core.clock import ClockState
from gateway.core.readings import Readings


class Lane(IntEnum):
    """A sequence of its own within a log. Alarm records overtake data."""

    ALARM = 0
    DATA = 1

    __hash__ = int.__hash__  # an enum hashes its name, in Python: three times for each record

    @property
    def word(self) -> str:
        """The lane's name in ids, topics and commands."""
        return _WORDS[self]


_WORDS = ("alarm", "data")


class Kind(IntEnum):
    """What a record holds."""

    READINGS = 0
    EVENT = 1
    LOSS = 2
    RECEIPT = 3
    SKIP = 4
    """Sequence numbers that were reserved and, after an unclean stop, will never be used."""


@dataclass(slots=True, eq=False)
class Record:
    """A record with its number; never changed, but not frozen, because that would make each a microsecond dearer.

    `readings` for Kind.READINGS, else `body`.
    """

    log: str
    lane: Lane
    seq: int
    kind: Kind
    wall_ns: int
    """When the gateway accepted it, by its wall clock."""
    boot_ns: int
    """The same by the boot clock; comparable only within one `boot`."""
    boot: int
    """Number of the boot, short form of the kernel's boot id."""
    epoch: int
    """Grows by one at each step of the wall clock."""
    config: str
    """Short form (8 hex digits) of the hash of the configuration that made it."""
    rows: int
    """How many readings it holds; the unit in which losses and balances are counted."""
    readings: Readings | None = None
    body: Mapping[str, Any] | None = None
    """JSON object of an event, loss or receipt."""
    clock: ClockState = ClockState.SYNCHRONISED
    """How far `wall_ns` could be trusted when it was accepted."""
    corrected_ns: int | None = None
    """What was added at sending, because the clock was set right later in the same boot: to `wall_ns`, and to the source
    times if they are the gateway's own (`Readings.own_time`); whole milliseconds. None on disk, and if nothing is known."""
    unkept: str = ""
    """The last part of its id, in the place of a number, when no disk keeps it; empty for all others."""

    @property
    def id(self) -> str:
        """The record's name in every message: `log:lane:seq`."""
        return f"{self.log}:{self.lane.word}:{self.unkept or self.seq}"

    @property
    def about(self) -> str:
        """The device whose readings it holds, or what else it is, in words."""
        if self.readings is not None:
            return f"device {self.readings.device.name}"
        kind, device = self.kind.name.lower(), (self.body or {}).get("device")
        return f"{kind} of device {device}" if device else kind
