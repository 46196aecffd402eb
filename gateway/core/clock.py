"""The clocks of the gateway, as one object that tests replace."""

import ctypes
import os
import time
from collections.abc import Callable
from dataclasses import dataclass
from enum import IntEnum
from functools import lru_cache, partial
from pathlib import Path
from typing import Any, Protocol

TIMESYNCD = Path("/run/systemd/timesync")
"""Folder of systemd-timesyncd, asked where the kernel may not be (as under systemd's ProtectClock): there is a file
`synchronized` in it after the first synchronisation of this boot."""

STEP_NS = 500_000_000
"""The wall clock has stepped when it moves this much against the boot clock at once."""


class ClockState(IntEnum):
    """How far the wall clock could be trusted when something was stamped with it."""

    UNKNOWN = 0
    SYNCHRONISED = 1
    NOT_YET = 2
    """A time service had not set it since the boot: it may be wrong by years."""
    LOST = 3
    """It was set since the boot, but long ago: it may have drifted by seconds."""

    @property
    def words(self) -> str:
        """For people and messages."""
        return _WORDS[self]


_WORDS = {
    ClockState.UNKNOWN: "unknown",
    ClockState.SYNCHRONISED: "synchronised",
    ClockState.NOT_YET: "not yet synchronised",
    ClockState.LOST: "no longer synchronised",
}


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

    def synchronised(self) -> bool | None:
        """Whether a time service keeps the wall clock right; None where that cannot be known."""
        ...


class SystemClock:
    """The clocks of this machine."""

    # Called several times for each poll, so without a Python frame of their own.
    wall_ns = staticmethod(time.time_ns)
    boot_ns = staticmethod(partial(time.clock_gettime_ns, time.CLOCK_BOOTTIME))
    monotonic = staticmethod(time.monotonic)

    def synchronised(self) -> bool | None:
        try:
            return read_kernel()[0]
        except OSError:
            return (TIMESYNCD / "synchronized").exists() if TIMESYNCD.exists() else None


@dataclass
class FakeClock:
    """Clocks that move only when told to; for tests."""

    wall: int = 1_800_000_000_000_000_000
    boot: int = 1_000_000_000_000
    synced: bool | None = True

    def wall_ns(self) -> int:
        return self.wall

    def boot_ns(self) -> int:
        return self.boot

    def monotonic(self) -> float:
        return self.boot / 1e9

    def synchronised(self) -> bool | None:
        return self.synced

    def advance(self, seconds: float) -> None:
        """Let time pass on all clocks."""
        self.wall += int(seconds * 1e9)
        self.boot += int(seconds * 1e9)

    def step(self, seconds: float) -> None:
        """Set the wall clock forward, or back when negative, without time passing."""
        self.wall += int(seconds * 1e9)


_STA_UNSYNC = 0x40


class _Timex(ctypes.Structure):
    """The first fields of `struct timex`; see adjtimex(2)."""

    _fields_ = (
        ("modes", ctypes.c_uint),
        ("offset", ctypes.c_long),
        ("freq", ctypes.c_long),
        ("maxerror", ctypes.c_long),
        ("esterror", ctypes.c_long),
        ("status", ctypes.c_int),
        ("rest", ctypes.c_char * 512),
    )


@lru_cache(maxsize=1)
def _adjtimex() -> Callable[[Any], int] | None:
    try:
        call = ctypes.CDLL(None, use_errno=True).adjtimex
    except (OSError, AttributeError):
        return None
    call.argtypes, call.restype = [ctypes.POINTER(_Timex)], ctypes.c_int
    return call


def read_kernel() -> tuple[bool, int]:
    """Whether the clock is synchronised, and its greatest error in microseconds; reads only, needs no privilege.

    The kernel takes a clock for not synchronised from the boot until a time service says otherwise, and again when it has
    heard nothing of one until the possible error exceeds 16 s, which takes about nine hours. Raises OSError where the
    call is forbidden (a seccomp filter) or missing.
    """
    call = _adjtimex()
    if call is None:
        raise OSError("the C library has no adjtimex")
    timex = _Timex()
    if call(ctypes.byref(timex)) < 0:
        code = ctypes.get_errno()
        raise OSError(code, os.strerror(code))
    return not timex.status & _STA_UNSYNC, int(timex.maxerror)
