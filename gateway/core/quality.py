"""Quality of a reading: an OPC UA status code with the gateway's own flags in its reserved bits.

The layout is that of OPC 10000-4 §7.39: bits 30-31 are the severity, 16-27 the sub-code, 0-15 further information. The
standard reserves bits 5, 6, 12, 13 and 28; the flags live there, so a server's status code passes through without loss:
`quality & ~FLAGS` is the code.
"""

import numpy as np
from numpy.typing import NDArray

GOOD = 0x0000_0000
UNCERTAIN = 0x4000_0000
BAD = 0x8000_0000

STALE = 1 << 5
"""The value is the last one known; the device has not confirmed it for longer than it should have."""
REPEATED = 1 << 6
"""The gateway sends a value again that it sent before, with its old source time."""
HISTORICAL = 1 << 12
"""Sent out of order, or long after it was accepted."""
CLAMPED = 1 << 13
"""The device's value lay outside the tag's limits and was set to the nearest one."""
FORCED = 1 << 28
"""A person or a program set this value in place of the measured one."""

FLAGS = STALE | REPEATED | HISTORICAL | CLAMPED | FORCED

# The OPC UA status codes that the gateway itself gives (OPC 10000-6, Annex A.2).
BAD_COMMUNICATION = 0x8005_0000
BAD_TIMEOUT = 0x800A_0000
BAD_NO_COMMUNICATION = 0x8031_0000
BAD_NODE_ID_UNKNOWN = 0x8034_0000
BAD_OUT_OF_RANGE = 0x803C_0000
BAD_NOT_SUPPORTED = 0x803D_0000
BAD_DECODING = 0x8007_0000
BAD_DEVICE_FAILURE = 0x808B_0000
BAD_SENSOR_FAILURE = 0x808C_0000
BAD_CONFIGURATION = 0x8089_0000
BAD_DATA_UNAVAILABLE = 0x809E_0000
"""The device itself says that it has no value there."""
UNCERTAIN_LAST_VALUE = 0x408F_0000
"""UncertainNoCommunicationLastUsableValue: the last good value of a device that cannot be reached."""

_NAMES = {
    GOOD: "good",
    UNCERTAIN: "uncertain",
    BAD: "bad",
    BAD_COMMUNICATION: "bad communication",
    BAD_TIMEOUT: "bad timeout",
    BAD_NO_COMMUNICATION: "bad no communication",
    BAD_NODE_ID_UNKNOWN: "bad unknown address",
    BAD_OUT_OF_RANGE: "bad out of range",
    BAD_NOT_SUPPORTED: "bad not supported",
    BAD_DECODING: "bad decoding",
    BAD_DEVICE_FAILURE: "bad device failure",
    BAD_SENSOR_FAILURE: "bad sensor failure",
    BAD_CONFIGURATION: "bad configuration",
    BAD_DATA_UNAVAILABLE: "bad not available",
    UNCERTAIN_LAST_VALUE: "uncertain last value",
    # Those that OPC UA servers often give (OPC 10000-6, Annex A.2).
    0x8001_0000: "bad unexpected error",
    0x8002_0000: "bad internal error",
    0x8003_0000: "bad out of memory",
    0x8004_0000: "bad resource unavailable",
    0x8008_0000: "bad encoding limits exceeded",
    0x800B_0000: "bad service unsupported",
    0x800C_0000: "bad shutdown",
    0x800E_0000: "bad server halted",
    0x801F_0000: "bad user access denied",
    0x8032_0000: "bad waiting for initial data",
    0x8033_0000: "bad address invalid",
    0x8035_0000: "bad attribute id invalid",
    0x8036_0000: "bad index range invalid",
    0x8037_0000: "bad index range no data",
    0x803A_0000: "bad not readable",
    0x803F_0000: "bad object deleted",
    0x8074_0000: "bad type mismatch",
    0x808A_0000: "bad not connected",
    0x808D_0000: "bad out of service",
    0x809B_0000: "bad no data",
    0x80AF_0000: "bad invalid state",
    0x80B9_0000: "bad response too large",
    0x80DB_0000: "bad too many monitored items",
    0x80E6_0000: "bad security mode insufficient",
    0x4090_0000: "uncertain last usable value",
    0x4091_0000: "uncertain substitute value",
    0x4092_0000: "uncertain initial value",
    0x4093_0000: "uncertain sensor not accurate",
    0x4094_0000: "uncertain engineering units exceeded",
    0x4095_0000: "uncertain sub normal",
    0x0096_0000: "good local override",
    0x0030_0000: "good clamped",
}
_FLAG_NAMES = {
    STALE: "stale",
    REPEATED: "repeated",
    HISTORICAL: "historical",
    CLAMPED: "clamped",
    FORCED: "forced",
}


def status_code(quality: int) -> int:
    """The OPC UA status code within a quality."""
    return quality & ~FLAGS & 0xFFFF_FFFF


def is_good(quality: NDArray[np.uint32]) -> NDArray[np.bool_]:
    """Which rows are of the good class (flags aside)."""
    mask: NDArray[np.bool_] = quality < np.uint32(UNCERTAIN)
    return mask


def all_good(quality: NDArray[np.uint32]) -> bool:
    """Whether all rows are plainly good, with no flag either. For a block of some fifty rows it costs far less to compare
    bytes than to call numpy."""
    raw = quality.tobytes()
    return raw == bytes(len(raw))


def is_bad(quality: NDArray[np.uint32]) -> NDArray[np.bool_]:
    """Which rows are of the bad class."""
    mask: NDArray[np.bool_] = quality >= np.uint32(BAD)
    return mask


def describe(quality: int) -> str:
    """A quality in words, such as "good, clamped" or "bad (0x80AB0000)"."""
    code = status_code(quality)
    severity = ("good", "uncertain", "bad", "bad")[code >> 30]
    words = _NAMES.get(code) or f"{severity} (0x{code:08X})"
    return ", ".join([words, *(name for flag, name in _FLAG_NAMES.items() if quality & flag)])
