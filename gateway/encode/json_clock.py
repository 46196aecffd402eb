"""What a message says of the clock behind its times (docs/json.md); nothing when it was synchronised."""

from collections.abc import Mapping
from typing import Any

import orjson

from gateway.core.clock import ClockState
from gateway.core.record import Record

_MILLISECOND = 1_000_000


def clock_members(record: Record) -> dict[str, object]:
    """`clock`, and `corrected`: milliseconds that were added at sending, by member; and `kept`, where no disk keeps the
    record: false."""
    said: dict[str, object] = {"kept": False} if record.unkept else {}
    if record.clock is ClockState.SYNCHRONISED:
        return said
    said["clock"] = record.clock.words
    if record.corrected_ns is not None:
        shift = record.corrected_ns // _MILLISECOND
        own_time = record.readings is not None and record.readings.own_time
        said["corrected"] = {"ts": shift, "accepted": shift} if own_time else {"accepted": shift}
    return said


def clock_json(record: Record) -> bytes:
    """The same as JSON, each member with a comma before it."""
    if not record.unkept and (record.corrected_ns is None or record.clock is ClockState.SYNCHRONISED):
        return _STATES[record.clock]
    return _members(clock_members(record))


def _members(said: Mapping[str, Any]) -> bytes:
    return b"," + orjson.dumps(said)[1:-1]


_STATES = {state: _members({"clock": state.words}) for state in ClockState} | {ClockState.SYNCHRONISED: b""}
"""What is said while nothing is known to be corrected."""
