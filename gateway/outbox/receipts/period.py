"""What was accepted in one stretch of time, by device: an hour of the wall clock, or what a stop or a step left of it."""

from array import array
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from hashlib import sha256
from typing import Any

from gateway.core.context import Context
from gateway.core.record import Record
from gateway.core.tag import Device
from gateway.core.times import EARLIEST, LATEST
from gateway.outbox.format import FARTHEST, read_context

HOUR_NS = 3_600_000_000_000
RECORDS_AT_MOST = 1 << 26
"""Numbers of one period."""
_LEAP = 1 << 20
NOBODY = 0xFFFF
"""In the index: a number of which no record could be read."""
CONTEXTS_AT_MOST = 2048
"""Tallies of one period beyond two for each device: where batches are shorter than minutes, a period ends before its hour."""


@dataclass(slots=True)
class Tally:
    """One device in one context."""

    device: str
    context: dict[str, str]
    hash: bytes = bytes(32)
    """Chain over the messages' own hashes: SHA-256 of the chain so far and the next hash."""
    records: int = 0
    messages: int = 0
    readings: int = 0
    first: int = 0
    last: int = 0
    read: int = 0
    missed: int = 0
    not_accepted: int = 0
    gaps: list[list[Any]] = field(default_factory=list)
    """Reason, from (ns) and to (ns, or None) of each time in which the device gave nothing."""

    def accept(self, record: Record, digests: Sequence[bytes]) -> None:
        """Count a record; `digests` are the hashes of its messages."""
        for digest in digests:
            self.hash = sha256(self.hash + digest).digest()
        self.first = self.first or record.seq
        self.last = record.seq
        self.records += 1
        self.messages += len(digests)
        self.readings += record.rows

    @property
    def says_something(self) -> bool:
        return bool(self.records or self.read or self.missed or self.not_accepted or self.gaps)

    def dump(self) -> dict[str, Any]:
        """The tally as JSON values."""
        return {name: getattr(self, name) for name in self.__slots__} | {"hash": self.hash.hex()}

    @classmethod
    def load(cls, body: Mapping[str, Any]) -> "Tally":
        """The inverse. Raises an Exception for what is no tally."""
        tally = cls(**{**body, "hash": bytes.fromhex(body["hash"])})
        counts = [tally.records, tally.messages, tally.readings, tally.first, tally.last]
        counts += [tally.read, tally.missed, tally.not_accepted]
        if len(tally.hash) != 32 or not all(type(each) is int and 0 <= each < FARTHEST for each in counts):
            raise ValueError("its counts cannot be right")
        if type(tally.device) is not str or read_context(tally.context).said() != tally.context:
            raise ValueError("it does not say which device it is of")
        for reason, low, high in tally.gaps:
            if type(reason) is not str or not _is_time(low) or not (high is None or _is_time(high)):
                raise ValueError("a gap cannot be right")
        return tally


@dataclass(slots=True, eq=False)
class Period:
    """Records of the data lane with the numbers `first` up to, not including, `end`."""

    first: int
    wall_ns: int
    """When it began."""
    epoch: int
    end: int = 0
    wall_to_ns: int = 0
    interrupted: bool = False
    """It was ended by a kill or a power cut."""
    incomplete: bool = False
    """Records that belong to it could not be read again after that; they are not counted."""
    tallies: list[Tally] = field(default_factory=list)
    revision: int = 0
    done: list[str] = field(default_factory=list)
    """Sinks that have nothing of it pending, as the last revision says."""
    final: bool = False

    def __post_init__(self) -> None:
        self.end = self.end or self.first

    @property
    def hour_ns(self) -> int:
        """Beginning of its hour."""
        return self.wall_ns // HOUR_NS * HOUR_NS

    def dump(self) -> dict[str, Any]:
        """The period as JSON values."""
        return {name: getattr(self, name) for name in self.__slots__} | {
            "tallies": [tally.dump() for tally in self.tallies]
        }

    @classmethod
    def load(cls, body: Mapping[str, Any]) -> "Period":
        """The inverse. Raises an Exception for what is no period."""
        period = cls(**{**body, "tallies": [Tally.load(each) for each in body["tallies"]]})
        counts = (period.first, period.end, period.epoch, period.revision)
        if not all(type(each) is int and 0 <= each < FARTHEST for each in counts) or not (
            _is_time(period.wall_ns) and _is_time(period.wall_to_ns)
        ):
            raise ValueError("its numbers cannot be right")
        if not 0 <= period.end - period.first <= RECORDS_AT_MOST or len(period.tallies) >= NOBODY:
            raise ValueError("it has more records, or devices, than a period can have")
        if not all(type(each) is bool for each in (period.interrupted, period.incomplete, period.final)):
            raise ValueError("it does not say how it ended")
        period.done = [str(sink) for sink in period.done]
        return period


class OpenPeriod:
    """The period that records are being added to."""

    def __init__(self, period: Period) -> None:
        self.period = period
        self.index = array("H")
        """Number of the device (in `tallies`) and readings of each record, flat, from `index_from` on."""
        self.index_from = period.end
        self._hour = period.wall_ns // HOUR_NS
        self._tallies: dict[str, tuple[Context, int, Tally]] = {}
        """Of each device's name: the context that it had last, and its tally in that."""
        self._numbers = {_key(tally.device, tally.context): n for n, tally in enumerate(period.tallies)}

    def tally(self, device: Device) -> Tally:
        """The device's, in its context."""
        return self._of(device)[2]

    def _of(self, device: Device) -> tuple[Context, int, Tally]:
        known = self._tallies.get(device.name)
        if known is None or known[0] is not device.context:
            said = device.context.said()
            number = self._numbers.setdefault(_key(device.name, said), len(self.period.tallies))
            if number == len(self.period.tallies):
                self.period.tallies.append(Tally(device.name, said))
            known = self._tallies[device.name] = (device.context, number, self.period.tallies[number])
        return known

    def belongs(self, record: Record) -> bool:
        """Whether a record is of this hour, and of this epoch of the clock, and not far away from the last one, and there is
        room for its context."""
        period, seq = self.period, record.seq
        same = record.epoch == period.epoch and record.wall_ns // HOUR_NS == self._hour
        if len(period.tallies) >= min(CONTEXTS_AT_MOST + 2 * len(self._tallies), NOBODY - 1):
            return False
        return same and period.end <= seq <= period.end + _LEAP and seq < period.first + RECORDS_AT_MOST

    def accept(self, record: Record, digests: Sequence[bytes]) -> Tally:
        """Count a record of readings; `digests` are the hashes of its messages."""
        assert record.readings is not None
        _, number, tally = self._of(record.readings.device)
        tally.accept(record, digests)
        period = self.period
        if record.seq != period.end:
            period.incomplete = True
            self.index.extend((NOBODY, 0) * (record.seq - period.end))
        self.index.extend((number, record.rows))
        period.end = record.seq + 1
        period.wall_to_ns = record.wall_ns
        return tally

    @property
    def unsaved(self) -> tuple[int, bytes]:
        """The part of the index that is in memory only, and the number it begins with."""
        return self.index_from, self.index.tobytes()

    def take_index(self) -> tuple[int, bytes]:
        """What was added to the index since the last call, and the number it begins with."""
        taken = self.unsaved
        self.index = array("H")
        self.index_from = self.period.end
        return taken


def _is_time(value: object) -> bool:
    return type(value) is int and EARLIEST <= value <= LATEST


def _key(device: str, context: Mapping[str, str]) -> tuple[object, ...]:
    return device, *context.items()
