"""A record's own hash: over what its messages say, so that whoever holds the messages can compute it (docs/json.md).

Hashed are texts, one to a line, then columns: id, time of acceptance, context, tag names, qualities that are not plainly
good, values that are texts; times as int64 (ms), numbers as float32 or float64, all little-endian. A message whose tags
are all float32 says so, because then the numbers are hashed as such; in any other message a float32 counts as the float64
that its shortest decimal form means, as a reader of JSON sees it.
"""

import base64
import math
from collections.abc import Iterator, Mapping, Sequence
from hashlib import sha256
from typing import Any

import numpy as np
import orjson
from numpy.typing import NDArray

from gateway.core.context import Context
from gateway.core.quality import BAD, HISTORICAL, describe
from gateway.core.readings import Readings
from gateway.core.record import Record
from gateway.core.tag import VALUE_TYPES, Tag, Tags

_MILLISECOND = 1_000_000
_INFINITE = float("inf")
_PLANS = 4
"""Plans kept per device: its scan groups."""


class _Plan:
    """How rows of these tags, in this order, are hashed."""

    def __init__(self, tags: Sequence[Tag], context: Context) -> None:
        said = [f"{name}={value}" for name, value in context.said().items()]
        self.text = "".join(f"\n{line}" for line in (*said, *(tag.name for tag in tags))).encode("utf-8", "replace")
        self.names = [tag.name for tag in tags]
        self.single = all(tag.type == "float32" for tag in tags)
        self.plain = all(tag.type == "float64" for tag in tags)
        self.float32 = _rows(tags, "float32")
        self.truths = _rows(tags, "bool")
        self.whole = _rows(tags, *(each for each in VALUE_TYPES if "int" in each))

    def numbers(self, value: NDArray[np.float64]) -> NDArray[Any]:
        """What a reader of the message sees, with NaN for null. May be the same array."""
        if self.single:
            seen: NDArray[Any] = value.astype(np.float32)
        else:
            seen = value if self.plain else self._mixed(value)
        if seen.dot(seen) < _INFINITE:
            return seen
        return np.where(np.isfinite(seen), seen, seen.dtype.type(math.nan))

    def _mixed(self, value: NDArray[np.float64]) -> NDArray[np.float64]:
        seen = value.copy()
        if len(self.whole):
            seen[self.whole] += 0.0  # an integer has no -0
        if len(self.float32):
            text = orjson.dumps(value[self.float32].astype(np.float32), option=orjson.OPT_SERIALIZE_NUMPY)
            seen[self.float32] = np.array(orjson.loads(text), np.float64)
        if len(self.truths):
            truths = seen[self.truths]
            seen[self.truths] = np.where(np.isfinite(truths), truths != 0, math.nan)
        return seen


def _rows(tags: Sequence[Tag], *types: str) -> NDArray[np.intp]:
    return np.array([row for row, tag in enumerate(tags) if tag.type in types], np.intp)


class Content:
    """Hashes the records of one device in one context."""

    def __init__(self, tags: Tags, context: Context) -> None:
        self._context = context
        self._tags = {tag.id: tag for tag in tags}
        self._plans: dict[bytes, list[tuple[_Plan, NDArray[np.intp] | None]]] = {}

    def digests(self, record: Record) -> list[bytes]:
        """SHA-256 of each message that the record becomes, in their order. Numpy's overflow warning must be off."""
        readings = record.readings
        assert readings is not None
        raw = readings.tag.tobytes()
        parts = self._plans.get(raw) or self._planned(raw, readings.tag)
        if len(parts) == 1:
            return [_digest(parts[0][0], readings, record, b"%d" % record.seq)]
        return [
            _digest(plan, readings.take(rows), record, b"%d:%d" % (record.seq, n) if n else b"%d" % record.seq)
            for n, (plan, rows) in enumerate(parts)
            if rows is not None
        ]

    def _planned(self, raw: bytes, ids: NDArray[np.uint32]) -> list[tuple[_Plan, NDArray[np.intp] | None]]:
        tags = [self._tags[each] for each in ids.tolist()]
        samples = _samples(ids)
        if len(samples) < 2:
            parts: list[tuple[_Plan, NDArray[np.intp] | None]] = [(_Plan(tags, self._context), None)]
        else:
            parts = [(_Plan([tags[row] for row in rows], self._context), np.array(rows, np.intp)) for rows in samples]
        if len(self._plans) >= _PLANS:
            del self._plans[next(iter(self._plans))]
        self._plans[raw] = parts
        return parts


def _samples(ids: NDArray[np.uint32]) -> list[list[int]]:
    """The rows of each tag's first sample, of its second one, and so on."""
    seen: dict[int, int] = {}
    samples: list[list[int]] = []
    for row, tag in enumerate(ids.tolist()):
        nth = seen[tag] = seen.get(tag, -1) + 1
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
    told = ((plan.names[row], describe(int(plain[row]))) for row in np.flatnonzero(plain).tolist())
    return "".join(f"\n{name}={words}" for name, words in told).encode("utf-8", "replace")


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
