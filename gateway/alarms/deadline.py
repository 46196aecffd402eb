"""A moment to come that no setting of the wall clock moves, kept over restarts and reboots."""

from dataclasses import dataclass

from gateway.core.clock import Clock


@dataclass(frozen=True, slots=True)
class Deadline:
    """Counted by the boot clock. That begins anew with each boot; how long the machine was off, only the wall clock may
    know. So after a reboot it is believed as far as it makes the time that was left shorter, never longer."""

    boot: int
    """Number of the boot in which this was written."""
    boot_ns: int
    """When it comes, by the boot clock of that boot."""
    left_ns: int
    """What was left of it when this was written."""
    wall_ns: int
    """When this was written, by the wall clock."""

    @classmethod
    def in_(cls, seconds: float, clock: Clock, boot: int) -> "Deadline":
        """So many seconds from now."""
        left = int(seconds * 1e9)
        return cls(boot, clock.boot_ns() + left, left, clock.wall_ns())

    def left(self, clock: Clock, boot: int) -> int:
        """Nanoseconds that are left, at least 0."""
        if boot == self.boot:
            return max(0, self.boot_ns - clock.boot_ns())
        return max(0, self.left_ns - max(0, clock.wall_ns() - self.wall_ns))

    def kept(self, clock: Clock, boot: int) -> "Deadline":
        """The same as of now: to be written down, once in a while, for the next boot."""
        return Deadline.in_(self.left(clock, boot) / 1e9, clock, boot)
