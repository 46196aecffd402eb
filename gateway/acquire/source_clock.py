"""How far the clock of a source is from the gateway's.

A source time tells that only when it is fresh: a value may have been the same since yesterday. It is fresh when it is newer
than all before, and also when it is not though a value has changed: then the source's clock stands still. Answers come late
and queues are emptied after a break, so of the offsets seen within some seconds the largest counts.
"""

from uuid import uuid4

from gateway.core.amounts import format_duration
from gateway.core.clock import Clock
from gateway.core.event import Event
from gateway.core.live import LiveDevice
from gateway.core.quality import HISTORICAL
from gateway.core.readings import Readings

WINDOW_NS = 10_000_000_000
"""Within which the largest offset counts."""


class SourceClock:
    """Watches the clock of one device."""

    def __init__(self, device: str, limit: float, clock: Clock) -> None:
        """`limit`: seconds, see `max_clock_offset`."""
        self.offset: float | None = None
        """Seconds that it is ahead of the gateway's, negative when behind; None while that is not known, or the device gives
        no times of its own."""
        self.is_off = False
        """Whether it is farther off than it may be."""
        self._device = device
        self._limit = limit
        self._clock = clock
        self._newest = 0
        self._begun = 0
        self._best: int | None = None
        self._compared = 0
        self._event = ""

    def see(self, readings: Readings, live: LiveDevice) -> None:
        """Readings have come, and are not yet in the live table."""
        if readings.own_time or not len(readings) or int(readings.quality[0]) & HISTORICAL:
            return
        newest, before = int(readings.t_ns.max()), self._newest
        if newest > before:
            self._newest = newest
            fresh = before > 0 or newest > self._clock.wall_ns()
        else:
            fresh = self._has_changed(readings, live)
        if fresh:
            offset = newest - self._clock.wall_ns()
            if self._best is None:
                self._best, self._begun = offset, self._clock.boot_ns()
            self._best = max(self._best, offset)

    def _has_changed(self, readings: Readings, live: LiveDevice) -> bool:
        """Whether a value is another one than before; looked at now and then only, since values often stay."""
        boot_ns = self._clock.boot_ns()
        if boot_ns - self._compared < WINDOW_NS // 2 or readings.device is not live.device:
            return False
        self._compared = boot_ns
        return live.would_change(readings)

    def look(self) -> Event | None:
        """Called about once a second: what is to be told, if its clock is now too far off, or right again."""
        if self._best is None or self._clock.boot_ns() - self._begun < WINDOW_NS:
            return None
        self.offset, self._best = self._best / 1e9, None
        is_off = abs(self.offset) > self._limit
        if is_off == self.is_off:
            return None
        self.is_off = is_off
        return self._told()

    def words(self) -> str:
        """Such as "2 h behind"."""
        offset = self.offset or 0.0
        return f"{format_duration(abs(offset))} {'ahead' if offset > 0 else 'behind'}"

    def _told(self) -> Event:
        detail = {"offset_s": round(self.offset or 0.0, 3), "max_clock_offset_s": self._limit}
        if self.is_off:
            self._event, state, severity = uuid4().hex, "source_off", "warning"
            message = f"the clock of {self._device} is {self.words()}: set it, or its time service"
            if self._clock.synchronised() is False:
                message += "; but the gateway's own is not synchronised either, so look at both"
        else:
            state, severity, message = "source_right", "info", f"the clock of {self._device} is right again"
        now = self._clock.wall_ns()
        return Event(self._event, "clock", state, self._device, now, message, severity, detail)
