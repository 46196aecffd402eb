"""From what is handed in to what is written: stamps, numbers, bytes."""

from collections.abc import Mapping
from typing import Any

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
from gateway.outbox.writer import Group

log = structlog.get_logger()

ROWS_AT_MOST = 16_384
"""A larger block becomes several records."""


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
        self._config = 0
        self._config_text = ""
        self.configured("")
        self._gathered: list[tuple[Kind, Readings | bytes]] = []

    def configured(self, config_hash: str) -> None:
        """From now on records carry the first 32 bits of this hash."""
        self._config = int(config_hash[:8] or "0", 16)
        self._config_text = f"{self._config:08x}"

    @property
    def config(self) -> str:
        """Short form of the configuration's hash."""
        return self._config_text

    def __bool__(self) -> bool:
        return bool(self._gathered)

    def readings(self, readings: Readings) -> None:
        """Take a block."""
        n = len(readings)
        if n <= ROWS_AT_MOST:
            self._gathered.append((Kind.READINGS, readings))
            return
        for start in range(0, n, ROWS_AT_MOST):
            part = readings.take(np.arange(start, min(start + ROWS_AT_MOST, n)))
            self._gathered.append((Kind.READINGS, part))

    def body(self, kind: Kind, body: Mapping[str, Any]) -> None:
        """Take an event, loss or skip."""
        payload = orjson.dumps(body, default=str, option=orjson.OPT_SERIALIZE_NUMPY | orjson.OPT_NON_STR_KEYS)
        self._gathered.append((kind, payload))

    def _stamp(self) -> Stamp:
        wall_ns, boot_ns = self._clock.wall_ns(), self._clock.boot_ns()
        offset = wall_ns - boot_ns
        step = offset - self.offset
        self.offset = offset
        if abs(step) >= STEP_NS:
            self.epoch += 1
            self._stepped(step / 1e9, wall_ns)
        return Stamp(wall_ns, boot_ns, self._boot, self.epoch, self._config)

    def _stepped(self, seconds: float, wall_ns: int) -> None:
        message = f"The clock was set {'forward' if seconds > 0 else 'back'} by {abs(seconds):.1f} s."
        log.warning(message, epoch=self.epoch)
        detail = {"step_s": seconds, "epoch": self.epoch}
        event = Event(f"clock-{self.epoch}", "clock", "stepped", "", wall_ns, message, "warning", detail)
        self.body(Kind.EVENT, event.body())

    def group(self) -> Group:
        """All that was gathered, numbered and stamped with this moment; empty afterwards."""
        stamp = self._stamp()
        gathered, self._gathered = self._gathered, []
        lanes: dict[Lane, list[Entry]] = {lane: [] for lane in Lane}
        with np.errstate(over="ignore"):
            for kind, content in gathered:
                lane = Lane.DATA if kind is Kind.READINGS else Lane.ALARM
                lanes[lane].append(self._entry(lane, kind, content, stamp))
        filled = {lane: entries for lane, entries in lanes.items() if entries}
        size = sum(len(entry.frame) for entries in filled.values() for entry in entries)
        return Group(filled, self._dictionary.take_fresh(), size)

    def _entry(self, lane: Lane, kind: Kind, content: Readings | bytes, stamp: Stamp) -> Entry:
        source: Source | None = None
        readings: Readings | None = None
        body: Mapping[str, Any] | None = None
        if isinstance(content, Readings):
            readings, codec, rows = content, columns.CODEC, len(content)
            source = self._dictionary.source(readings.device, self._config_text)
            shape, payload = columns.encode(readings, source.tag_bytes)
        else:
            codec, rows, shape, payload = JSON, 1, 0, content
            body = orjson.loads(payload)
        lane_log = self._lanes[lane]
        seq = lane_log.next_seq
        wall_ns, boot_ns, boot, epoch, _ = stamp
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
        )
        total = lane_log.number(record)
        data = frame(
            lane,
            kind,
            payload,
            seq=seq,
            total=total,
            rows=rows,
            source=source.id if source is not None else 0,
            codec=codec,
            shape=shape,
            stamp=stamp,
        )
        return Entry(seq, total, rows, wall_ns, source, data)
