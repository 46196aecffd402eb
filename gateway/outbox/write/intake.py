"""From what is handed in to what is written: stamps, numbers, bytes."""

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from gateway.core.readings import Readings
from gateway.core.record import Kind, Lane, Record
from gateway.encode import columns
from gateway.outbox.format import JSON, Definition, Dictionary, Stamp, encoded, frame
from gateway.outbox.write.lane import LaneLog
from gateway.outbox.write.lane_file import Entry
from gateway.outbox.write.log_clock import LogClock
from gateway.outbox.write.writer import Group

Body = tuple[bytes, Mapping[str, Any]]
"""As bytes, and as an object."""

_Gathered = tuple[Kind, Readings | Body, int]
"""What, and how many readings were read for it, of which these are the ones to be kept."""

ROWS_AT_MOST = 16_384
"""A larger block becomes several records."""


class Intake:
    """Gathers records, then numbers and encodes them for one write."""

    def __init__(
        self,
        log_id: str,
        lanes: Mapping[Lane, LaneLog],
        dictionary: Dictionary,
        stamps: LogClock,
        not_stored: Callable[[Readings | Body, int, Exception], None],
    ) -> None:
        """`not_stored` is told of what cannot be encoded, and what was read for it."""
        self._not_stored = not_stored
        self._log_id = log_id
        self._lanes = lanes
        self._dictionary = dictionary
        self._log_clock = stamps
        self._config = 0
        self._config_text = ""
        self.configured("")
        self._gathered: list[_Gathered] = []
        self._stamped: list[tuple[Stamp, list[_Gathered]]] = []
        """What was gathered before the clock changed, with the clock as it was then."""

    def configured(self, config_hash: str) -> None:
        """From now on records carry the first 32 bits of this hash."""
        self._config = int(config_hash[:8] or "0", 16)
        self._config_text = f"{self._config:08x}"

    @property
    def config(self) -> str:
        """Short form of the configuration's hash."""
        return self._config_text

    def __bool__(self) -> bool:
        return bool(self._gathered or self._stamped)

    def look(self) -> None:
        """Follow the clock. To be called about once a second; what is handed in looks for steps by itself."""
        before = self._log_clock.stamp(self._config)
        events = self._log_clock.look()
        if events and self._gathered:
            gathered, self._gathered = self._gathered, []
            self._stamped.append((before, gathered))
        for event in events:
            self.body(Kind.EVENT, event.body())

    def readings(self, readings: Readings, read: int) -> None:
        """Take a block, for which so many were read; a very large one becomes several records."""
        if self._log_clock.stepped:
            self.look()
        n = len(readings)
        if n <= ROWS_AT_MOST:
            self._gathered.append((Kind.READINGS, readings, read))
            return
        for start in range(0, n, ROWS_AT_MOST):
            part = readings.take(np.arange(start, min(start + ROWS_AT_MOST, n)))
            self._gathered.append((Kind.READINGS, part, 0 if start else read))

    def stamp(self) -> Stamp:
        """This moment, as records carry it."""
        return self._log_clock.stamp(self._config)

    def body(self, kind: Kind, body: Mapping[str, Any]) -> None:
        """Take an event, loss or skip."""
        self._gathered.append((kind, encoded(kind, body), 0))

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
        readings: Readings | None = None
        body: Mapping[str, Any] | None = None
        if isinstance(content, Readings):
            readings, codec, rows = content, columns.CODEC, len(content)
            definition = self._dictionary.definition(readings.device, self._config_text)
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
            stamp=stamp,
        )
        digests = definition.content.digests(record, shape, payload) if definition is not None else ()
        lane_log.number(record)
        return Entry(seq, total, rows, wall_ns, definition, data, digests, read)
