"""A record's own hash: over what its messages say, so that whoever holds the messages can compute it (docs/json.md).

Hashed are, one behind the other: the first 8 bytes of the hash of every name and value in the context and of every tag's
name; the id; the same 8 bytes for tags that are not plainly good, and for their qualities; time of acceptance and source
times (int64, ms; only one if all are alike); numbers (float32 or float64); and the hash of every value that is a text.
Numbers are little-endian. In a message that does not say `f32`, a float32 counts as the float64 that its shortest decimal
form means, as a reader of JSON sees it.
"""

import base64
import math
from collections.abc import Iterable, Iterator, Mapping
from copy import copy
from functools import lru_cache
from hashlib import sha256
from typing import Any, SupportsInt

import numpy as np
import orjson
from numpy.typing import NDArray

from gateway.core.context import Context
from gateway.core.quality import BAD, HISTORICAL, all_good, describe
from gateway.core.readings import Readings, samples
from gateway.core.record import Record
from gateway.core.tag import FITS_FLOAT32, VALUE_TYPES, Tags
from gateway.encode.columns import ALL_GOOD, EXACT, FLOAT32, ONE_TIME

_MILLISECOND = 1_000_000
_INFINITE = float("inf")
_SHORT = 8
"""Bytes of a short hash."""
_PLANS = 4
"""Plans kept per device: its scan groups, whose column of tags is always the same object."""

_FORM, _PLAIN = ONE_TIME | ALL_GOOD | EXACT, ONE_TIME | ALL_GOOD
"""Of a payload's shape: what matters here, and how it is for most blocks."""

_FLOAT32, _BOOL, _SMALL, _WIDE, _OTHER = range(5)
"""What matters of a tag's type; _SMALL and _WIDE are integers that fit, or do not fit, a float32."""

_CODES = {each: _SMALL if each in FITS_FLOAT32 else _WIDE for each in VALUE_TYPES if "int" in each}
_CODES |= {"float32": _FLOAT32, "bool": _BOOL}


class _Plan:
    """How rows of some tags, in some order, are hashed."""

    def __init__(
        self, names: NDArray[np.uint64], codes: NDArray[np.uint8] | None, context: bytes, single: bool
    ) -> None:
        """`codes`: of each row, where types matter; `single`: all numbers fit a float32."""
        self.names = names
        """The short hash of each row's tag."""
        self.start = sha256(context + names.tobytes())
        self.rows: NDArray[np.intp] | None = None
        """Which rows of the record, when that becomes several messages."""
        self._codes = codes
        self._single = single
        if codes is not None:
            self._truths = np.flatnonzero(codes == _BOOL)
            self._whole = np.flatnonzero((codes == _SMALL) | (codes == _WIDE))
            self._singles = codes[:0] if single else np.flatnonzero(codes == _FLOAT32)

    def numbers(self, readings: Readings) -> NDArray[np.floating[Any]]:
        """What a reader of the message sees, with NaN for null; not to be changed."""
        value = readings.value
        seen: NDArray[np.floating[Any]] = readings.float32() if self._single else value.astype(np.float64, copy=False)
        if self._codes is not None:
            seen = seen.copy()
            self._as_printed(value, seen)
        if not seen.dot(seen) < _INFINITE:
            seen = np.where(np.isfinite(seen), seen, np.float32(math.nan))
        return seen

    def stored(self, readings: Readings, shape: int, payload: bytes) -> bytes:
        """The bytes of `numbers` for readings that were stored as this payload, of a _PLAIN form; none where that takes
        more than a look."""
        value, n = readings.value, len(readings.tag)
        if self._codes is not None or not value.dot(value) < _INFINITE:
            return b""
        if self._single:
            return payload[8 : 8 + 4 * n] if shape & FLOAT32 else b""
        return value.astype(np.float64, copy=False).tobytes() if shape & FLOAT32 else payload[8 : 8 + 8 * n]

    def _as_printed(self, value: NDArray[np.float64], seen: NDArray[np.floating[Any]]) -> None:
        if len(self._whole):
            seen[self._whole] += 0.0  # an integer has no -0
        if len(self._singles):
            text = orjson.dumps(value[self._singles].astype(np.float32), option=orjson.OPT_SERIALIZE_NUMPY)
            seen[self._singles] = np.array(orjson.loads(text), np.float64)
        if len(self._truths):
            seen[self._truths] = np.abs(np.sign(value[self._truths]))


class RecordHash:
    """Hashes the records of one device in one context."""

    def __init__(self, tags: Tags, context: Context) -> None:
        in_order = sorted(tags, key=lambda tag: tag.id)
        self._ids = np.array([tag.id for tag in in_order], np.uint32)
        self._names = np.frombuffer(_shorts(tag.name for tag in in_order), np.uint64)
        self._codes = np.array([_CODES.get(tag.type, _OTHER) for tag in in_order], np.uint8)
        self._in_a_row = len(tags) > 0 and int(self._ids[-1] - self._ids[0]) == len(tags) - 1
        codes = {*self._codes.tolist()}
        self._alike = codes.pop() if codes in ({_FLOAT32}, {_OTHER}) else None
        """The code of all tags, where types do not matter."""
        self._begin(context)

    def _begin(self, context: Context) -> None:
        said = context.said()
        self._context = _shorts([*said, *said.values()])
        self._plans: dict[int, tuple[NDArray[np.uint32], list[_Plan]]] = {}
        """By `id` of the column of tags, which therefore is kept as well."""

    def under(self, context: Context) -> "RecordHash":
        """The same of the device in another context; the names of tags are hashed no second time."""
        other = copy(self)
        other._begin(context)
        return other

    def digests(self, record: Record, shape: int = 0, payload: bytes = b"") -> list[bytes]:
        """SHA-256 of each message that the record becomes, in their order. `shape` and `payload`: what `columns.encode` made
        of its readings, where that is at hand; most of it can be hashed as it stands. Numpy's overflow warning must be off.
        """
        readings = record.readings
        assert readings is not None
        known = self._plans.get(id(readings.tag))
        plans = known[1] if known else self._planned(readings.tag)
        if len(plans) == 1:
            line = f"{record.log}:data:{record.seq}\n"
            if shape & _FORM == _PLAIN and (numbers := plans[0].stored(readings, shape, payload)):
                return [_hashed(plans[0], line, record, _milliseconds(readings.t_ns[0]), numbers)]
            return [_digest(plans[0], readings, record, line)]
        return [
            _digest(plan, readings.take(plan.rows), record, f"{record.id}:{n}\n" if n else f"{record.id}\n")
            for n, plan in enumerate(plans)
            if plan.rows is not None
        ]

    def _planned(self, ids: NDArray[np.uint32]) -> list[_Plan]:
        places = self._places(ids)
        plans = [self._plan(places)] if _distinct(ids) else self._parts(places)
        if not ids.flags.writeable:
            if len(self._plans) >= _PLANS:
                del self._plans[next(iter(self._plans))]
            self._plans[id(ids)] = (ids, plans)
        return plans

    def _places(self, ids: NDArray[np.uint32]) -> NDArray[np.intp]:
        places: NDArray[np.intp] = (
            (ids - self._ids[0]).astype(np.intp) if self._in_a_row else self._ids.searchsorted(ids)
        )
        return places

    def _plan(self, places: NDArray[np.intp]) -> _Plan:
        if self._alike is not None:
            return _Plan(self._names[places], None, self._context, self._alike == _FLOAT32)
        codes = self._codes[places]
        single = not np.count_nonzero(codes >= _WIDE)
        return _Plan(self._names[places], codes, self._context, single)

    def _parts(self, places: NDArray[np.intp]) -> list[_Plan]:
        plans = []
        for rows in samples(places.tolist()):
            plans.append(self._plan(places[rows]))
            plans[-1].rows = rows
        return plans


def _distinct(ids: NDArray[np.uint32]) -> bool:
    """Whether no tag has several rows."""
    ascending = np.count_nonzero(ids[1:] > ids[:-1]) == len(ids) - 1
    return ascending or len(set(ids.tolist())) == len(ids)


def _digest(plan: _Plan, readings: Readings, record: Record, line: str) -> bytes:
    """`line`: the message's id, and a line feed."""
    numbers, quality, texts = plan.numbers(readings), b"", b""
    if not all_good(readings.quality):
        quality = _qualities(plan.names, readings.quality)
        numbers = np.where(readings.quality >= BAD, np.float32(math.nan), numbers)
    if readings.exact:
        numbers, texts = _with_exact(numbers, readings.exact, readings.quality)
    return _hashed(plan, line, record, _times(readings.t_ns), numbers.tobytes(), quality, texts)


def _hashed(
    plan: _Plan, line: str, record: Record, times: bytes, numbers: bytes, quality: bytes = b"", texts: bytes = b""
) -> bytes:
    of_it = plan.start.copy()
    of_it.update(b"".join((line.encode(), quality, _milliseconds(record.wall_ns), times, numbers, texts)))
    return of_it.digest()


def _times(t_ns: NDArray[np.int64]) -> bytes:
    raw = t_ns.tobytes()
    if raw != raw[:8] * len(t_ns):
        raw = (t_ns // _MILLISECOND).tobytes()
        return raw if raw != raw[:8] * len(t_ns) else raw[:8]
    return _milliseconds(t_ns[0])


def _milliseconds(t_ns: SupportsInt) -> bytes:
    return (int(t_ns) // _MILLISECOND).to_bytes(8, "little", signed=True)


def _shorts(texts: Iterable[str]) -> bytes:
    return b"".join(_hash(text)[:_SHORT] for text in texts)


def _hash(text: str) -> bytes:
    return sha256(text.encode("utf-8", "replace")).digest()


def _qualities(names: NDArray[np.uint64], quality: NDArray[np.uint32]) -> bytes:
    plain = quality & np.uint32(~HISTORICAL & 0xFFFF_FFFF)
    rows = np.flatnonzero(plain)
    return names[rows].tobytes() + b"".join(map(_words, plain[rows].tolist()))


@lru_cache(maxsize=4096)
def _words(quality: int) -> bytes:
    return _shorts([describe(quality)])


def _with_exact(
    numbers: NDArray[np.floating[Any]], exact: Mapping[int, Any], quality: NDArray[np.uint32]
) -> tuple[NDArray[np.floating[Any]], bytes]:
    """The numbers with those that are no float64, arrays and structures laid flat, infinity for each text; and the hashes of
    the texts."""
    seen: list[Any] = []
    for row, number in enumerate(numbers.tolist()):
        seen.extend(_leaves(exact[row]) if row in exact and quality[row] < BAD else [number])
    texts = [each for each in seen if isinstance(each, str)]
    flat = np.array([0 if isinstance(each, str) else each for each in seen], numbers.dtype)
    flat[~np.isfinite(flat)] = math.nan
    flat[[place for place, each in enumerate(seen) if isinstance(each, str)]] = math.inf
    return flat, b"".join(map(_hash, texts))


def _leaves(value: Any) -> Iterator[float | str]:
    """The single values within one, as a reader of JSON sees them."""
    if isinstance(value, bytes | bytearray | memoryview):
        yield base64.b64encode(value).decode()
    elif hasattr(value, "tolist"):
        yield from _leaves(value.tolist())
    elif isinstance(value, list | tuple):
        for each in value:
            yield from _leaves(each)
    elif isinstance(value, dict):
        for name, part in value.items():
            yield str(name)
            yield from _leaves(part)
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
