"""From what is handed in to what is written: may it come in, stamps, numbers, bytes."""

import asyncio
from collections.abc import Mapping, Sequence
from typing import Any, Protocol

import numpy as np
import structlog

from gateway.core.readings import Readings
from gateway.core.record import Kind, Lane, Record
from gateway.core.tag import Device
from gateway.core.text import cleaned
from gateway.encode import columns
from gateway.outbox.format import JSON, ContextFrame, Definition, Dictionary, Stamp, encoded, frame
from gateway.outbox.write.disk import Disk
from gateway.outbox.write.lane import LaneLog
from gateway.outbox.write.lane_file import Entry
from gateway.outbox.write.log_clock import LogClock
from gateway.outbox.write.writer import Group, Writer

log = structlog.get_logger()

GATHER = 0.002
"""Seconds that a slot's first record waits for the others."""

Body = tuple[bytes, Mapping[str, Any]]
"""As bytes, and as an object."""

_Gathered = tuple[Kind, Readings | Body, int]
"""What, and how many readings were read for it, of which these are the ones to be kept."""

ROWS_AT_MOST = 16_384
"""A larger block becomes several records."""


class Counts(Protocol):
    """Who counts for the receipts."""

    def read(self, device: Device, readings: int) -> None:
        """The device's driver has delivered so many."""
        ...

    def take_read(self, device: Device) -> int:
        """What was read of the device since its last record, which the next one carries."""
        ...

    def not_accepted(self, device: Device, readings: int) -> None:
        """So many were turned away."""
        ...


class Intake:
    """Gathers records for a moment, numbers and encodes them, and gives them to the writer as one group."""

    def __init__(
        self,
        log_id: str,
        lanes: Mapping[Lane, LaneLog],
        dictionary: Dictionary,
        log_clock: LogClock,
        disk: Disk,
        writer: Writer,
        counts: Counts,
    ) -> None:
        self._log_id = log_id
        self._lanes = lanes
        self._dictionary = dictionary
        self._log_clock = log_clock
        self._disk = disk
        self._admission = disk.admission
        self._writer = writer
        self._counts = counts
        self._config = 0
        self._config_text = ""
        self.configured("")
        self._gathered: list[_Gathered] = []
        self._stamped: list[tuple[Stamp, list[_Gathered]]] = []
        """What was gathered before the clock changed, with the clock as it was then."""
        self._timer: asyncio.Handle | None = None
        """When what was gathered is written."""
        self._misfits: set[str] = set()
        """Why blocks could not be stored, as far as it was logged."""

    def configured(self, config_hash: str) -> None:
        """From now on records carry the first 32 bits of this hash."""
        self._config = int(config_hash[:8] or "0", 16)
        self._config_text = f"{self._config:08x}"

    @property
    def config(self) -> str:
        """Short form of the configuration's hash."""
        return self._config_text

    def tick(self) -> None:
        """Once a second: follow the clock, and write what that has to tell."""
        self.look()
        if self._gathered and self._timer is None:
            self.flush_soon()

    def look(self) -> None:
        """Follow the clock. To be called about once a second; what is handed in looks for steps by itself."""
        before = self._log_clock.stamp(self._config)
        events = self._log_clock.look()
        if events and self._gathered:
            gathered, self._gathered = self._gathered, []
            self._stamped.append((before, gathered))
        for event in events:
            self.gather(Kind.EVENT, event.body())

    def stamp(self) -> Stamp:
        """This moment, as records carry it."""
        return self._log_clock.stamp(self._config)

    def readings(self, readings: Readings) -> None:
        """Take a block that is `fitted`; a very large one becomes several records. It is written soon, with others of its
        moment; one that may not come in is counted."""
        n = len(readings)
        if not self._admission.admits(Lane.DATA, n):
            self._counts.not_accepted(readings.device, n)
            return
        read = self._counts.take_read(readings.device)
        if self._log_clock.stepped:
            self.look()
        if n <= ROWS_AT_MOST:
            self._gathered.append((Kind.READINGS, readings, read))
        else:
            for start in range(0, n, ROWS_AT_MOST):
                part = readings.take(np.arange(start, min(start + ROWS_AT_MOST, n)))
                self._gathered.append((Kind.READINGS, part, 0 if start else read))
        if self._timer is None:
            self._timer = asyncio.get_running_loop().call_later(GATHER, self.flush)

    def event(self, body: Mapping[str, Any]) -> None:
        """Take an event; one that may not come in is counted."""
        if self._admission.admits(Lane.ALARM, 1):
            self.body(Kind.EVENT, body)

    def body(self, kind: Kind, body: Mapping[str, Any]) -> None:
        """Take what the log itself has to say; it is written at once."""
        self.gather(kind, body)
        self.flush_soon()

    def gather(self, kind: Kind, body: Mapping[str, Any]) -> None:
        """The same, to be written with what comes next."""
        self._gathered.append((kind, encoded(kind, body), 0))

    def misfit(self, device: Device, rows: int, why: str) -> None:
        """A block of so many rows cannot be stored: counted, and told as not accepted."""
        reason = f"what {device.name} gave cannot be stored: {why}"
        if reason not in self._misfits:
            self._misfits.add(reason)
            log.error("readings are not accepted", device=device.name, reason=why)
        self._admission.turn_away(Lane.DATA, rows, reason)
        self._counts.not_accepted(device, rows)

    def _not_stored(self, content: Readings | Body, read: int, error: Exception) -> None:
        """What was taken cannot be encoded; the rest of its group is."""
        why = cleaned(f"{type(error).__name__}: {error}")
        if isinstance(content, Readings):
            self._counts.read(content.device, read)
            self.misfit(content.device, len(content), why)
        else:
            log.error("an event cannot be stored", reason=why)
            self._admission.turn_away(Lane.ALARM, 1, f"it cannot be stored: {why}")

    def flush_soon(self) -> None:
        """Write what was gathered in the loop's next turn."""
        if self._timer is not None:
            self._timer.cancel()
        self._timer = asyncio.get_running_loop().call_soon(self.flush)

    def flush(self) -> None:
        """Write what was gathered without waiting for more."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        if self._gathered or self._stamped:
            group = self.group()
            self._disk.begins(group.sizes)
            self._writer.write(group)

    def group(self) -> Group:
        """All that was gathered, numbered and stamped with this moment; empty afterwards."""
        if self._log_clock.stepped:
            self.look()
        parts = [*self._stamped, (self._log_clock.stamp(self._config), self._gathered)]
        self._stamped, self._gathered = [], []
        lanes: dict[Lane, list[Entry]] = {lane: [] for lane in Lane}
        with np.errstate(over="ignore"):
            for stamp, gathered in parts:
                for kind, content, read in gathered:
                    lane = Lane.DATA if kind is Kind.READINGS else Lane.ALARM
                    try:
                        lanes[lane].append(self._entry(lane, kind, content, read, stamp))
                    except Exception as error:  # noqa: BLE001 - one oddity costs one block, not all of the slot
                        self._not_stored(content, read, error)
        filled = {lane: entries for lane, entries in lanes.items() if entries}
        sizes = {lane: sum([len(entry.frame) for entry in entries]) for lane, entries in filled.items()}
        return Group(filled, *self._dictionary.take_fresh(), sizes)

    def _entry(self, lane: Lane, kind: Kind, content: Readings | Body, read: int, stamp: Stamp) -> Entry:
        """It takes its number last: what raises leaves no hole."""
        definition: Definition | None = None
        context: ContextFrame | None = None
        readings: Readings | None = None
        body: Mapping[str, Any] | None = None
        if isinstance(content, Readings):
            readings, codec, rows = content, columns.CODEC, len(content)
            definition = self._dictionary.definition(readings.device, self._config_text)
            context = self._dictionary.contexts.frame_of(readings.device)
            shape, payload = columns.encode(readings, definition.tag_bytes)
        else:
            codec, rows, shape = JSON, 1, 0
            payload, body = content
        lane_log = self._lanes[lane]
        seq = lane_log.next_seq
        wall_ns, boot_ns, boot, epoch, _, clock = stamp
        record = Record(
            self._log_id,
            lane,
            seq,
            kind,
            wall_ns,
            boot_ns,
            boot,
            epoch,
            self._config_text,
            rows,
            readings,
            body,
            clock,
        )
        total = lane_log.next_total
        data = frame(
            lane,
            kind,
            payload,
            seq=seq,
            total=total,
            rows=rows,
            source=definition.id if definition is not None else 0,
            codec=codec,
            shape=shape,
            own_time=readings is not None and readings.own_time,
            context=context.number if context is not None else 0,
            stamp=stamp,
        )
        digests: Sequence[bytes] = ()
        if definition is not None and readings is not None:
            digests = definition.content(readings.device.context).digests(record, shape, payload)
        lane_log.number(record)
        return Entry(seq, total, rows, wall_ns, definition, data, digests, read, context)
