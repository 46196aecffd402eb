"""What a message says of the clock behind its times (docs/json.md); nothing when it was synchronised."""

from typing import Any

import orjson

from gateway.core.clock import ClockState
from gateway.core.record import Record

_MILLISECOND = 1_000_000


def clock_members(record: Record) -> dict[str, Any]:
    """`clock`, and `corrected`: milliseconds that were added at sending, by member."""
    if record.clock is ClockState.SYNCHRONISED:
        return {}
    said: dict[str, Any] = {"clock": record.clock.words}
    if record.corrected_ns is not None:
        shift = record.corrected_ns // _MILLISECOND
        own_time = record.readings is not None and record.readings.own_time
        said["corrected"] = {"ts": shift, "accepted": shift} if own_time else {"accepted": shift}
    return said


def clock_json(record: Record) -> bytes:
    """The same as JSON, each member with a comma before it."""
    said = clock_members(record)
    return b"," + orjson.dumps(said)[1:-1] if said else b""
