"""The clocks of the gateway, as one object that tests replace."""

import time
from dataclasses import dataclass
from typing import Protocol


class Clock(Protocol):
    """Wall time for people and far systems, boot time for ages, monotonic time for the event loop."""

    def wall_ns(self) -> int:
        """Nanoseconds since 1970 UTC; may step."""
        ...

    def boot_ns(self) -> int:
        """Nanoseconds since boot, suspend included; never steps."""
        ...

    def monotonic(self) -> float:
        """Seconds; the event loop's clock."""
        ...


class SystemClock:
    """The clocks of this machine."""

    def wall_ns(self) -> int:
        return time.time_ns()

    def boot_ns(self) -> int:
        return time.clock_gettime_ns(time.CLOCK_BOOTTIME)

    def monotonic(self) -> float:
        return time.monotonic()


@dataclass
class FakeClock:
    """Clocks that move only when told to; for tests."""

    wall: int = 1_800_000_000_000_000_000
    boot: int = 1_000_000_000_000

    def wall_ns(self) -> int:
        return self.wall

    def boot_ns(self) -> int:
        return self.boot

    def monotonic(self) -> float:
        return self.boot / 1e9

    def advance(self, seconds: float) -> None:
        """Let time pass on all clocks."""
        self.wall += int(seconds * 1e9)
        self.boot += int(seconds * 1e9)

    def step(self, seconds: float) -> None:
        """Set the wall clock forward, or back when negative, without time passing."""
        self.wall += int(seconds * 1e9)
