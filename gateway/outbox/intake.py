"""From what is handed in to what is written: stamps, numbers, bytes."""

from collections.abc import Mapping
from typing import Any, NamedTuple

import numpy as np
import orjson
import structlog

from gateway.core.clock import Clock
from gateway.core.event import Event
from gateway.core.readings import Readings
from gateway.core.record import Kind, Lane, Record
from gateway.outbox import columns
from gateway.outbox.dictionary import Dictionary, Source
from gateway.outbox.frames import JSON, Stamp, frame
from gateway.outbox.lane import LaneLog
from gateway.outbox.segment import Entry
from gateway.outbox.state import STEP_NS
from gateway.outbox.writer import Batch

log = structlog.get_logger()

ROWS_AT_MOST = 16_384
"""A larger block becomes several records."""


class _Gathered(NamedTuple):
    kind: Kind
    content: Readings | bytes
    stamp: Stamp


class Intake:
    """Gathers records, then numbers and encodes them for one write."""

    def __init__(
        self, log_id: str, lanes: Mapping[Lane, LaneLog], dictionary: Dictionary, clock: Clock, boot: int, epoch: int
    ) -> None:
        self._log_id = log_id
        self._lanes = lanes
        self._dictionary = dictionary
        self._clock = clock
        self._boot = boot
        self.epoch = epoch
        self.offset = clock.wall_ns() - clock.boot_ns()
        """Wall clock less boot clock, ns."""
        self.config = 0
        """First 32 bits of the configuration's hash."""
        self._gathered: list[_Gathered] = []

    def __bool__(self) -> bool:
        return bool(self._gathered)

    def readings(self, readings: Readings) -> None:
        """Take a block."""
        stamp = self._stamp()
        if len(readings) <= ROWS_AT_MOST:
            self._gathered.append(_Gathered(Kind.READINGS, readings, stamp))
            return
        for start in range(0, len(readings), ROWS_AT_MOST):
            part = readings.take(np.arange(start, min(start + ROWS_AT_MOST, len(readings))))
            self._gathered.append(_Gathered(Kind.READINGS, part, stamp))

    def body(self, kind: Kind, body: Mapping[str, Any]) -> None:
        """Take an event, loss or skip."""
        payload = orjson.dumps(body, default=str, option=orjson.OPT_SERIALIZE_NUMPY | orjson.OPT_NON_STR_KEYS)
        self._gathered.append(_Gathered(kind, payload, self._stamp()))

    def _stamp(self) -> Stamp:
        wall_ns, boot_ns = self._clock.wall_ns(), self._clock.boot_ns()
        offset = wall_ns - boot_ns
        step = offset - self.offset
        self.offset = offset
        if abs(step) >= STEP_NS:
            self.epoch += 1
            self._stepped(step / 1e9, wall_ns)
        return Stamp(wall_ns, boot_ns, self._boot, self.epoch, self.config)

    def _stepped(self, seconds: float, wall_ns: int) -> None:
        message = f"The clock was set {'forward' if seconds > 0 else 'back'} by {abs(seconds):.1f} s."
        log.warning(message, epoch=self.epoch)
        detail = {"step_s": seconds, "epoch": self.epoch}
        event = Event(f"clock-{self.epoch}", "clock", "stepped", "", wall_ns, message, "warning", detail)
        self.body(Kind.EVENT, event.body())

    def batch(self) -> Batch:
        """All that was gathered, numbered; empty afterwards."""
        gathered, self._gathered = self._gathered, []
        batch = Batch({lane: [] for lane in Lane})
        with np.errstate(over="ignore"):
            for item in gathered:
                entry = self._entry(item)
                batch.lanes[Lane.DATA if item.kind is Kind.READINGS else Lane.ALARM].append(entry)
                batch.size += len(entry.frame)
        batch.lanes = {lane: entries for lane, entries in batch.lanes.items() if entries}
        batch.definitions = self._dictionary.take_fresh()
        return batch

    def _entry(self, item: _Gathered) -> Entry:
        source: Source | None = None
        readings: Readings | None = None
        body: Mapping[str, Any] | None = None
        if isinstance(item.content, Readings):
            readings, lane, codec, rows = item.content, Lane.DATA, columns.CODEC, len(item.content)
            source = self._dictionary.source(readings.device, f"{self.config:08x}")
            shape, payload = columns.encode(readings, source.tag_bytes)
        else:
            lane, codec, rows, shape, payload = Lane.ALARM, JSON, 1, 0, item.content
            body = orjson.loads(payload)
        stamp = item.stamp
        lane_log = self._lanes[lane]
        seq = lane_log.next_seq
        config = f"{stamp.config:08x}"
        record = Record(
            self._log_id,
            lane,
            seq,
            item.kind,
            stamp.wall_ns,
            stamp.boot_ns,
            stamp.boot,
            stamp.epoch,
            config,
            rows,
            readings,
            body,
        )
        total = lane_log.number(record)
        data = frame(
            lane,
            item.kind,
            payload,
            seq=seq,
            total=total,
            rows=rows,
            source=source.id if source is not None else 0,
            codec=codec,
            shape=shape,
            stamp=stamp,
        )
        return Entry(seq, total, rows, stamp.wall_ns, source, data)
