"""What plugins hand up, as the gateway lets it in: typed, bounded, texts cleaned. One oddity costs what it belongs to, and
never the plugin's other devices, nor a part of the gateway that comes later.

All of this runs within the plugin's own call (see `gateway.supervise.contained`), so whatever these functions raise is
counted against the plugin.
"""

import math
from collections.abc import Collection, Mapping, Sequence
from itertools import chain
from typing import Any

import numpy as np
from numpy.typing import NDArray

from gateway.core.device_event import DEVICE, DEVICE_AUDIT, Condition, DeviceEvent, Retained, Told
from gateway.core.errors import PluginError
from gateway.core.parsing import JsonObject
from gateway.core.quality import BAD_OUT_OF_RANGE, UNCERTAIN
from gateway.core.readings import NO_EXACT, Exact, Readings
from gateway.core.tag import VALUE_TYPES, Device, Tag
from gateway.core.text import cleaned, encodable
from gateway.plugin.driver import Found
from gateway.plugin.guessing import Guess
from gateway.plugin.sound import dumps, sound

TEXT = 1000
"""Characters of a name, a unit, a reason."""
DETAIL = 64 * 1024
"""Bytes of JSON that an event may carry."""
CONDITIONS = 100_000
"""Conditions that a device may retain at once."""
OFFERS = 1_000_000
"""Places that a device may offer to who browses it."""
LINES = 50
"""Facts, remarks or counts of a connection."""
VALUE = 1024 * 1024
"""Bytes or characters of one value; a larger one is bad."""
BITS = 1024
"""Of an integer."""
EARLIEST, LATEST = 1, 7_258_118_400_000_000_000
"""Source times in ns since 1970, up to 2200; others are none."""
_SEVERITIES = ("info", "advisory", "warning", "alarm")
_INT64, _FLOAT64, _UINT32 = np.dtype(np.int64), np.dtype(np.float64), np.dtype(np.uint32)


def told(what: Told, devices: Collection[str], now_ns: int) -> Told:
    """An event, or the conditions that a device retains. Raises PluginError for what is neither, or of a device that is not
    one of these."""
    if not isinstance(what, DeviceEvent | Retained):
        raise PluginError(f"tell was given a {type(what).__name__}; it takes a DeviceEvent or Retained")
    if what.device not in devices:
        raise PluginError(f'tell was given an event of "{cleaned(what.device)}", which is no device of this line')
    if isinstance(what, Retained):
        if len(what.conditions) > CONDITIONS:
            raise PluginError(
                f"{what.device} retains {len(what.conditions)} conditions; {CONDITIONS} at most are believed"
            )
        return Retained(what.device, frozenset(cleaned(condition) for condition in what.conditions))
    t_ns = what.t_ns
    return DeviceEvent(
        what.device,
        cleaned(what.id),
        int(t_ns) if isinstance(t_ns, int | np.integer) and EARLIEST <= t_ns <= LATEST else now_ns,
        cleaned(what.message),
        what.severity if what.severity in _SEVERITIES else "info",
        _detail(what.detail),
        _condition(what.condition),
        cleaned(what.state),
        bool(what.restated),
        cleaned(what.by),
        DEVICE_AUDIT if what.kind == DEVICE_AUDIT else DEVICE,
    )


def _condition(condition: Condition | None) -> Condition | None:
    if condition is None:
        return None
    if not isinstance(condition, Condition):
        raise PluginError(f"an event's condition is a {type(condition).__name__}, not a Condition")
    seen = condition.acknowledged
    return Condition(
        cleaned(condition.id),
        cleaned(condition.name),
        bool(condition.active),
        None if seen is None else bool(seen),
        bool(condition.retained),
    )


def _detail(detail: Mapping[str, Any]) -> Mapping[str, Any]:
    if not detail:
        return {}
    if not isinstance(detail, Mapping):
        raise PluginError(f"an event's detail is a {type(detail).__name__}, not a mapping of names to JSON values")
    plain: Mapping[str, Any] = sound(detail)
    size = len(dumps(plain))
    return plain if size <= DETAIL else {"left_out": f"detail of {size} bytes; an event carries {DETAIL} at most"}


def described(found: Mapping[Tag, Found]) -> dict[Tag, Found]:
    """What `describe` returned. A type that no tag can have is left open."""
    if not isinstance(found, Mapping):
        raise PluginError(f"describe returned a {type(found).__name__}, not a mapping of tags to Found")
    if wrong := next((tag for tag in found if not isinstance(tag, Tag)), None):
        raise PluginError(f"describe returned {cleaned(wrong)}, which is no tag")
    return {tag: _found(what, typed=True) for tag, what in found.items()}


def offer(address: str, found: Found) -> tuple[str, Found]:
    """One place of `browse`."""
    return cleaned(address), _found(found, typed=False)


def _found(found: Found, typed: bool) -> Found:
    if not isinstance(found, Found):
        raise PluginError(f"a {type(found).__name__} stands for what was found; it is to be a Found")
    type_ = cleaned(found.type, TEXT)
    return Found(
        type_ if type_ in VALUE_TYPES or not typed else "",
        cleaned(found.unit),
        cleaned(found.description),
        cleaned(found.path),
        cleaned(found.role, TEXT),
        cleaned(found.group),
        cleaned(found.option, TEXT),
    )


def guesses(found: Sequence[Guess]) -> list[Guess]:
    """What `guesses` returned."""
    return [
        Guess({cleaned(key): _option(value) for key, value in guess.options.items()}, sound(guess.value))
        for guess in found
    ]


def _option(value: str | int) -> str | int:
    return value if isinstance(value, int) else cleaned(value)


def results(found: Sequence[tuple[str, Any]]) -> list[tuple[str, Any]]:
    """What `call` returned."""
    return [(cleaned(name), sound(value)) for name, value in found]


def methods(allowed: Mapping[str, Sequence[str]]) -> dict[str, list[str]]:
    """What may be called."""
    return {cleaned(target): [cleaned(name) for name in names] for target, names in allowed.items()}


def facts(found: Mapping[str, str | float]) -> dict[str, str | float]:
    """What the driver tells of its connection."""
    return {cleaned(name): _fact(value) for name, value in list(found.items())[:LINES]}


def _fact(value: object) -> str | float:
    if isinstance(value, int | float) and math.isfinite(value) and abs(value) < 2**63:
        return value
    return cleaned(value)


def promise(found: Mapping[str, Any]) -> JsonObject:
    """What a sink tells of its connection."""
    return {cleaned(name): sound(value) for name, value in list(found.items())[:LINES]}


def counts(found: Mapping[str, int]) -> dict[str, int]:
    """What the driver has counted; what is no number is left out."""
    return {cleaned(name): int(n) for name, n in list(found.items())[:LINES] if isinstance(n, int) and abs(n) < 2**63}


def remarks(found: Sequence[str]) -> list[str]:
    """What a person should know of the connection."""
    if isinstance(found, str):
        return [cleaned(found)]
    return [cleaned(remark) for remark in list(found)[:LINES]]


def readings(block: Readings, device: Device, now_ns: int) -> Readings:
    """A block that a driver made of this device, with columns of its own, since the driver may use its arrays again. A row
    whose source time is none gets the gateway's, and is uncertain. Raises PluginError for what cannot be understood."""
    if not isinstance(block, Readings):
        raise PluginError(f"readings are a {type(block).__name__}, not Readings")
    if block.device is not device:
        raise PluginError(f"readings of {cleaned(block.device)}, where the device is {device} as the driver has it now")
    tag = _column(block.tag, _UINT32, "tag")
    n = len(tag)
    t_ns, value = _column(block.t_ns, _INT64, "t_ns"), _column(block.value, _FLOAT64, "value")
    quality = _column(block.quality, _UINT32, "quality")
    if not len(t_ns) == len(value) == len(quality) == n:
        lengths = f"t_ns {len(t_ns)}, tag {n}, value {len(value)}, quality {len(quality)}"
        raise PluginError(f"the columns of a block have unlike lengths: {lengths}")
    if n and not _are_times(t_ns, n):
        none = (t_ns < EARLIEST) | (t_ns > LATEST)
        t_ns, quality = np.where(none, now_ns, t_ns), np.where(none, quality | np.uint32(UNCERTAIN), quality)
    exact = block.exact
    if exact:
        exact, quality = _exact(exact, quality)
        exact = dict(exact)
    return Readings(device, _own(t_ns), tag, _own(value), _own(quality), exact, bool(block.own_time))


def _own(column: NDArray[Any]) -> NDArray[Any]:
    return column.copy() if column.flags.writeable else column


def _are_times(t_ns: NDArray[np.int64], n: int) -> bool:
    first = int(t_ns[0])
    if not EARLIEST <= first <= LATEST:
        return False
    data = t_ns.tobytes()
    if data == data[:8] * n:  # as of most polls; a tenth of what a reduction costs
        return True
    return int((t_ns.view(np.uint64) - 1).max()) < LATEST  # one comparison: what is below 1 wraps around


def _column(column: NDArray[Any], dtype: np.dtype[Any], name: str) -> NDArray[Any]:
    try:
        if column.dtype is not dtype and column.dtype != dtype:
            if column.dtype.kind not in "iufb":
                raise PluginError(f"the column {name} of a block is of {column.dtype}, not {dtype}")
            column = column.astype(dtype)
        if column.ndim != 1:
            raise PluginError(f"the column {name} of a block has {column.ndim} dimensions, not one")
    except AttributeError:
        raise PluginError(f"the column {name} of a block is a {type(column).__name__}, not a numpy array") from None
    return column


def _exact(exact: Mapping[int, Exact], quality: NDArray[np.uint32]) -> tuple[Mapping[int, Exact], NDArray[np.uint32]]:
    """The exact values that are sound, and the qualities with those that are not."""
    good: dict[int, Exact] = {}
    verdicts: dict[int, int] = {}
    for row, value in exact.items():
        if not isinstance(row, int | np.integer) or not 0 <= row < len(quality):
            raise PluginError(f"an exact value stands in row {cleaned(row)} of a block of {len(quality)} rows")
        taken, verdict = exact_value(value)
        if verdict:
            verdicts[row] = verdict
        if taken is not None:
            good[row] = taken
    if not verdicts:
        return exact, quality
    quality = quality.copy()
    for row, verdict in verdicts.items():
        quality[row] = max(int(quality[row]), verdict)
    return good or NO_EXACT, quality


def exact_value(value: Exact) -> tuple[Exact | None, int]:
    """The value and 0; a text in which something had to be replaced, and uncertain; None and why it is bad."""
    if isinstance(value, str):
        if len(value) > VALUE:
            return None, BAD_OUT_OF_RANGE
        text = encodable(value)
        return text, 0 if text == value else UNCERTAIN
    if isinstance(value, bytes):
        return (value, 0) if len(value) <= VALUE else (None, BAD_OUT_OF_RANGE)
    if isinstance(value, int):
        return (value, 0) if value.bit_length() <= BITS else (None, BAD_OUT_OF_RANGE)
    if _size(value, VALUE, 16) is None:
        return None, BAD_OUT_OF_RANGE
    text = _encodable(value)
    return text, 0 if text == value else UNCERTAIN


def _encodable(value: Any) -> Any:
    if isinstance(value, str):
        return encodable(value)
    if isinstance(value, list | tuple):
        return [_encodable(part) for part in value]
    return {_encodable(key): _encodable(part) for key, part in value.items()} if isinstance(value, dict) else value


def _size(value: Any, room: int, depth: int) -> int | None:
    """About how many bytes a value takes; None for more than `room`, for what is nested deeper than `depth`, and for kinds
    that no value has."""
    if isinstance(value, str | bytes | bytearray):
        return len(value) if len(value) <= room else None
    if isinstance(value, int):
        return 8 if value.bit_length() <= BITS else None
    if value is None or isinstance(value, float | np.generic):
        return 8
    if not isinstance(value, list | tuple | dict) or not depth or len(value) > room:
        return None
    used = 8
    for part in chain(value, value.values()) if isinstance(value, dict) else value:
        size = _size(part, room - used, depth - 1)
        if size is None or used + size > room:
            return None
        used += size
    return used
