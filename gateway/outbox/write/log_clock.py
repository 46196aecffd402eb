"""When a record was accepted: by both clocks, in which epoch of the wall clock, and how far that clock could be trusted.

A step is a change of the wall clock against the boot clock. Slewing, as of a leap smear or a small correction, moves both
alike and is no step; nor is a time zone or daylight saving, which UTC does not have; nor is suspend, which both clocks
count. A leap second that the kernel inserts is a step of one second.
"""

from collections.abc import Mapping

import structlog

from gateway.core.clock import STEP_NS, Clock, ClockState
from gateway.core.event import Event
from gateway.outbox.format import ClockCorrections, Stamp
from gateway.outbox.write.writer import Writer

log = structlog.get_logger()


class LogClock:
    """The clocks of one log. Epoch and offset go to the disk at each step, and at the first synchronisation of a boot."""

    def __init__(
        self, clock: Clock, boot: int, epoch: int, offset: int, synced: ClockCorrections, writer: Writer
    ) -> None:
        """`offset` is the last one known in this boot."""
        self._clock = clock
        self._boot = boot
        self._synced = synced
        self._writer = writer
        self.epoch = epoch
        """Grows by one at each step, and at each boot."""
        self.offset = offset
        """Wall clock less boot clock, ns."""
        self.state = self._state(clock.synchronised())

    def _now(self) -> int:
        return self._clock.wall_ns() - self._clock.boot_ns()

    def _state(self, synchronised: bool | None) -> ClockState:
        if synchronised is None:
            return ClockState.UNKNOWN
        if synchronised:
            return ClockState.SYNCHRONISED
        return ClockState.LOST if self._boot in self._synced else ClockState.NOT_YET

    @property
    def stepped(self) -> bool:
        """Whether the wall clock was set since `look` was called last."""
        return abs(self._clock.wall_ns() - self._clock.boot_ns() - self.offset) >= STEP_NS

    def stamp(self, config: int) -> Stamp:
        """This moment, as the clock goes since `look` was called last."""
        wall_ns, boot_ns = self._clock.wall_ns(), self._clock.boot_ns()
        if abs(wall_ns - boot_ns - self.offset) >= STEP_NS:
            wall_ns = boot_ns + self.offset
        return Stamp(wall_ns, boot_ns, self._boot, self.epoch, config, self.state)

    def look(self) -> list[Event]:
        """Follow the clock; what is to be told. To be called about once a second, and whenever it has `stepped`."""
        synchronised = self._clock.synchronised()
        offset = self._now()
        step, self.offset = offset - self.offset, offset
        was, self.state = self.state, self._state(synchronised)
        first = self.state is ClockState.SYNCHRONISED and self._boot not in self._synced
        if first:
            self._synced.note(self._boot, offset)
        events = []
        if abs(step) >= STEP_NS:
            self.epoch += 1
            events.append(self._step_event(step / 1e9))
        if self.state is not was:
            events.append(self._state_event(was))
        if first or abs(step) >= STEP_NS:
            self._writer.note_clock(self.epoch, self.offset, self._synced.dump())
        return events

    def _step_event(self, seconds: float) -> Event:
        message = f"The clock was set {'forward' if seconds > 0 else 'back'} by {abs(seconds):.1f} s."
        log.warning(message, epoch=self.epoch)
        detail = {"step_s": seconds, "epoch": self.epoch}
        return self._event(f"clock-{self.epoch}", "stepped", message, "warning", detail)

    def _state_event(self, was: ClockState) -> Event:
        good = self.state is ClockState.SYNCHRONISED
        message = f"The clock is {self.state.words}; it was {was.words} before."
        (log.info if good else log.warning)(message)
        detail = {"before": was.words, "epoch": self.epoch}
        return self._event("clock-state", self.state.words, message, "info" if good else "warning", detail)

    def _event(self, name: str, state: str, message: str, severity: str, detail: Mapping[str, object]) -> Event:
        return Event(name, "clock", state, "", self._clock.wall_ns(), message, severity, detail)
