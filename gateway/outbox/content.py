"""A record's own hash: over what its messages say, so that whoever holds the messages can compute it (docs/json.md).

Hashed are texts, one to a line, then columns: id, time of acceptance, context, tag names, qualities that are not plainly
good, values that are texts; times as int64 (ms), numbers as float32 or float64, all little-endian. A message whose tags
are all float32 says so, because then the numbers are hashed as such; in any other message a float32 counts as the float64
that its shortest decimal form means, as a reader of JSON sees it.
"""

import base64
import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from hashlib import sha256
from typing import Any

import numpy as np
import orjson
from numpy.typing import NDArray

from gateway.core.context import Context
from gateway.core.quality import BAD, HISTORICAL, describe
from gateway.core.readings import Readings
from gateway.core.record import Record
from gateway.core.tag import VALUE_TYPES, Tags

_MILLISECOND = 1_000_000
_INFINITE = float("inf")
_PLANS = 4
"""Plans kept per device: its scan groups."""


_OTHER, _FLOAT32, _FLOAT64, _BOOL, _WHOLE = range(5)
_CODES = {"float32": _FLOAT32, "float64": _FLOAT64, "bool": _BOOL}
_CODES |= {each: _WHOLE for each in VALUE_TYPES if "int" in each}


@dataclass(slots=True)
class _Plan:
    """How rows of some tags, in some order, are hashed."""

    names: list[bytes]
    text: bytes
    """Context and names, one to a line, with the line feed before."""
    single: bool
    """All are float32."""
    mixed: tuple[NDArray[np.intp], ...] | None
    """The rows that are float32, truth values and integers; None if the types do not matter."""
    rows: NDArray[np.intp] | None = None
    """Which rows of the record, when that becomes several messages."""

    def numbers(self, value: NDArray[np.float64]) -> NDArray[Any]:
        """What a reader of the message sees, with NaN for null. May be the same array."""
        if self.single:
            seen: NDArray[Any] = value.astype(np.float32)
        else:
            seen = value if self.mixed is None else _mixed(value, *self.mixed)
        if seen.dot(seen) < _INFINITE:
            return seen
        return np.where(np.isfinite(seen), seen, seen.dtype.type(math.nan))


def _mixed(
    value: NDArray[np.float64], singles: NDArray[np.intp], truths: NDArray[np.intp], whole: NDArray[np.intp]
) -> NDArray[np.float64]:
    seen = value.copy()
    if len(whole):
        seen[whole] += 0.0  # an integer has no -0
    if len(singles):
        text = orjson.dumps(value[singles].astype(np.float32), option=orjson.OPT_SERIALIZE_NUMPY)
        seen[singles] = np.array(orjson.loads(text), np.float64)
    if len(truths):
        seen[truths] = np.abs(np.sign(value[truths]))
    return seen


class Content:
    """Hashes the records of one device in one context."""

    def __init__(self, tags: Tags, context: Context) -> None:
        self._places = {tag.id: place for place, tag in enumerate(tags)}
        self._names = [tag.name.encode("utf-8", "replace") for tag in tags]
        self._codes = np.array([_CODES.get(tag.type, _OTHER) for tag in tags], np.uint8)
        self._alike = int(self._codes[0]) if len(set(self._codes.tolist())) == 1 else None
        said = "".join(f"\n{name}={value}" for name, value in context.said().items())
        self._context = said.encode("utf-8", "replace")
        self._plans: dict[bytes, list[_Plan]] = {}

    def digests(self, record: Record) -> list[bytes]:
        """SHA-256 of each message that the record becomes, in their order. Numpy's overflow warning must be off."""
        readings = record.readings
        assert readings is not None
        raw = readings.tag.tobytes()
        plans = self._plans.get(raw) or self._planned(raw, readings.tag)
        if len(plans) == 1:
            return [_digest(plans[0], readings, record, b"%d" % record.seq)]
        return [
            _digest(plan, readings.take(plan.rows), record, b"%d:%d" % (record.seq, n) if n else b"%d" % record.seq)
            for n, plan in enumerate(plans)
            if plan.rows is not None
        ]

    def _planned(self, raw: bytes, ids: NDArray[np.uint32]) -> list[_Plan]:
        places = [self._places[each] for each in ids.tolist()]
        if len(set(places)) == len(places):
            plans = [self._plan(places)]
        else:
            plans = [self._plan([places[row] for row in rows], rows) for rows in _samples(places)]
        if len(self._plans) >= _PLANS:
            del self._plans[next(iter(self._plans))]
        self._plans[raw] = plans
        return plans

    def _plan(self, places: list[int], rows: list[int] | None = None) -> _Plan:
        names = [self._names[place] for place in places]
        text = b"\n".join([self._context, *names])
        return _Plan(names, text, *self._types(places), None if rows is None else np.array(rows, np.intp))

    def _types(self, places: list[int]) -> tuple[bool, tuple[NDArray[np.intp], ...] | None]:
        """Whether all are float32, and, where types matter, the rows of each."""
        if self._alike in (_FLOAT32, _FLOAT64, _OTHER):
            return self._alike == _FLOAT32, None
        codes = self._codes[places]
        singles, truths, whole = (np.flatnonzero(codes == code) for code in (_FLOAT32, _BOOL, _WHOLE))
        if len(singles) == len(codes):
            return True, None
        return False, (singles, truths, whole)


def _samples(places: list[int]) -> list[list[int]]:
    """The rows of each tag's first sample, of its second one, and so on."""
    seen: dict[int, int] = {}
    samples: list[list[int]] = []
    for row, place in enumerate(places):
        nth = seen[place] = seen.get(place, -1) + 1
        if nth == len(samples):
            samples.append([])
        samples[nth].append(row)
    return samples


def _digest(plan: _Plan, readings: Readings, record: Record, number: bytes) -> bytes:
    text = b"%b:data:%b\n%d%b" % (record.log.encode(), number, record.wall_ns // _MILLISECOND, plan.text)
    numbers = plan.numbers(readings.value)
    if np.count_nonzero(readings.quality):
        text += _qualities(plan, readings.quality)
        numbers = np.where(readings.quality < BAD, numbers, numbers.dtype.type(math.nan))
    if readings.exact:
        numbers, texts = _with_exact(numbers, readings.exact, readings.quality)
        text += texts
    return sha256(b"".join((text, _times(readings.t_ns), numbers.tobytes()))).digest()


def _times(t_ns: NDArray[np.int64]) -> bytes:
    raw = t_ns.tobytes()
    if raw == raw[:8] * len(t_ns):
        return (int(t_ns[0]) // _MILLISECOND).to_bytes(8, "little", signed=True) * len(t_ns)
    return (t_ns // _MILLISECOND).tobytes()


def _qualities(plan: _Plan, quality: NDArray[np.uint32]) -> bytes:
    plain = quality & np.uint32(~HISTORICAL & 0xFFFF_FFFF)
    rows = np.flatnonzero(plain).tolist()
    return b"".join(b"\n%b=%b" % (plan.names[row], describe(int(plain[row])).encode()) for row in rows)


def _with_exact(
    numbers: NDArray[Any], exact: Mapping[int, Any], quality: NDArray[np.uint32]
) -> tuple[NDArray[Any], bytes]:
    """The numbers with those that are no float64, arrays laid flat; and the texts, one to a line."""
    seen: list[Any] = []
    for row, number in enumerate(numbers.tolist()):
        seen.extend(_leaves(exact[row]) if row in exact and quality[row] < BAD else [number])
    texts = "".join(f"\n{each}" for each in seen if isinstance(each, str)).encode("utf-8", "replace")
    flat = np.array([math.nan if isinstance(each, str) else each for each in seen], numbers.dtype)
    flat[~np.isfinite(flat)] = math.nan
    return flat, texts


def _leaves(value: Any) -> Iterator[float | str]:
    """The single values within one, as a reader of JSON sees them."""
    if isinstance(value, bytes | bytearray | memoryview):
        yield base64.b64encode(value).decode()
    elif hasattr(value, "tolist"):
        yield from _leaves(value.tolist())
    elif isinstance(value, list | tuple):
        for each in value:
            yield from _leaves(each)
    elif value is None:
        yield math.nan
    elif isinstance(value, int | float):
        yield _float(value)
    else:
        yield str(value)


def _float(value: float) -> float:
    try:
        return float(value)
    except OverflowError:
        return math.inf
