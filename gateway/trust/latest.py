"""What time it is at least: a token that has expired stays so when somebody, or an empty battery, sets the clock back.

Believed is the wall clock, but never less than what was known before: in this run by the boot clock, which nobody sets, and
over restarts by a file, in which stands the latest time at which a time service kept the clock right. So a clock that was
wrong by years, and that nobody vouched for, closes nothing beyond this run.
"""

from contextlib import suppress
from pathlib import Path

import structlog

from gateway.core.clock import Clock
from gateway.places.durable import write_whole
from gateway.places.regular import read_regular

FILE = "latest-time"
"""In the state directory: seconds since 1970, as text."""
EVERY = 3600.0
"""Seconds after which a later time is worth writing down."""

log = structlog.get_logger()


class LatestTime:
    """`now` whenever somebody has to know; `keep` in a thread when it says so."""

    def __init__(self, directory: Path, clock: Clock) -> None:
        self._path = directory / FILE
        self._clock = clock
        self._kept = self._read()
        """What the file says."""
        self._floor, self._since = max(self._kept, clock.wall_ns() / 1e9), clock.boot_ns() / 1e9
        """What time it was at least, and when by the boot clock."""
        self._vouched = 0.0

    def now(self) -> float:
        """Seconds since 1970."""
        wall, boot = self._clock.wall_ns() / 1e9, self._clock.boot_ns() / 1e9
        if self._clock.synchronised():
            known = self._kept if not self._vouched else self._vouched
            self._floor, self._since = max(wall, known), boot
            self._vouched = self._floor
        else:
            self._floor, self._since = max(wall, self._floor + boot - self._since), boot
        return self._floor

    @property
    def is_worth_keeping(self) -> bool:
        """Whether the file is behind."""
        return self._vouched > self._kept + EVERY

    def keep(self) -> None:
        """Write it down. Blocking; that it cannot be is said in the log, once for each hour."""
        self._kept = self._vouched
        try:
            write_whole(self._path, b"%d\n" % self._kept)
        except OSError as error:
            log.warning("the latest time is not kept for the next start", file=str(self._path), error=str(error))

    def _read(self) -> float:
        with suppress(OSError, ValueError):
            said = read_regular(self._path, 100).decode("ascii").strip()
            return float(said) if said.isdecimal() and len(said) < 12 else 0.0
        return 0.0
