"""What the kernel says of the wall clock: whether a time service (chrony, timesyncd, ntpd, PTP) keeps it right."""

import ctypes
import os
from collections.abc import Callable
from functools import lru_cache
from typing import Any

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
