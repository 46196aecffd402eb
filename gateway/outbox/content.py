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
from functools import lru_cache
from hashlib import sha256
from typing import Any

import numpy as np
import orjson
from numpy.typing import NDArray

from gateway.core.context import Context
from gateway.core.quality import BAD, HISTORICAL, describe
from gateway.core.readings import Readings
from gateway.core.record import Record
from gateway.core.tag import FITS_FLOAT32, Tag, Tags

_MILLISECOND = 1_000_000
_INFINITE = float("inf")
_SHORT = 8
"""Bytes of a short hash."""
_PLANS = 4
"""Plans kept per device: its scan groups. Reports by exception make ever new ones."""


class _Plan:
    """How rows of some tags, in some order, are hashed."""

    def __init__(self, names: NDArray[np.uint64], codes: NDArray[np.uint8], context: bytes) -> None:
        self.names = names
        """The short hash of each row's tag."""
        self.start = sha256(context + names.tobytes())
        self.rows: NDArray[np.intp] | None = None
        """Which rows of the record, when that becomes several messages."""
        self.dtype: type[np.floating[Any]] = np.float64 if np.count_nonzero(codes & _WIDE) else np.float32
        self._truths = np.flatnonzero(codes & _BOOL)
        self._singles = np.flatnonzero(codes & _FLOAT32) if self.dtype is np.float64 else codes[:0]

    def numbers(self, value: NDArray[np.float64]) -> NDArray[np.floating[Any]]:
        """What a reader of the message sees, with NaN for null."""
        seen: NDArray[np.floating[Any]] = value.astype(self.dtype)
        if len(self._singles):
            text = orjson.dumps(value[self._singles].astype(np.float32), option=orjson.OPT_SERIALIZE_NUMPY)
            seen[self._singles] = np.array(orjson.loads(text), np.float64)
        if len(self._truths):
            seen[self._truths] = np.abs(np.sign(value[self._truths]))
        seen += 0.0  # makes -0 a 0, for an integer has none
        if not seen.dot(seen) < _INFINITE:
            seen[~np.isfinite(seen)] = math.nan
        return seen


_FLOAT32, _BOOL, _WIDE = 1, 2, 4
"""What matters of a tag's type; _WIDE: its numbers do not fit a float32."""


def _code(tag: Tag) -> int:
    return {"float32": _FLOAT32, "bool": _BOOL}.get(tag.type, 0 if tag.type in FITS_FLOAT32 else _WIDE)


class Content:
    """Hashes the records of one device in one context."""

    def __init__(self, tags: Tags, context: Context) -> None:
        in_order = sorted(tags, key=lambda tag: tag.id)
        self._ids = np.array([tag.id for tag in in_order], np.uint32)
        self._names = np.frombuffer(_shorts(tag.name for tag in in_order), np.uint64)
        self._codes = np.array([_code(tag) for tag in in_order], np.uint8)
        said = context.said()
        self._context = _shorts([*said, *said.values()])
        self._plans: dict[bytes, list[_Plan]] = {}

    def digests(self, record: Record) -> list[bytes]:
        """SHA-256 of each message that the record becomes, in their order. Numpy's overflow warning must be off."""
        readings = record.readings
        assert readings is not None
        raw = readings.tag.tobytes()
        plans = self._plans.get(raw) or self._planned(raw, readings.tag)
        if len(plans) == 1:
            return [_digest(plans[0], readings, record, record.id)]
        return [
            _digest(plan, readings.take(plan.rows), record, f"{record.id}:{n}" if n else record.id)
            for n, plan in enumerate(plans)
            if plan.rows is not None
        ]

    def _planned(self, raw: bytes, ids: NDArray[np.uint32]) -> list[_Plan]:
        places = np.searchsorted(self._ids, ids)
        in_order = np.sort(places)
        if not np.count_nonzero(in_order[1:] == in_order[:-1]):
            plans = [self._plan(places)]
        else:
            plans = [self._part(places, rows) for rows in _samples(places.tolist())]
        if len(self._plans) >= _PLANS:
            del self._plans[next(iter(self._plans))]
        self._plans[raw] = plans
        return plans

    def _plan(self, places: NDArray[np.intp]) -> _Plan:
        return _Plan(self._names[places], self._codes[places], self._context)

    def _part(self, places: NDArray[np.intp], rows: list[int]) -> _Plan:
        plan = self._plan(places[rows])
        plan.rows = np.array(rows, np.intp)
        return plan


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


def _digest(plan: _Plan, readings: Readings, record: Record, name: str) -> bytes:
    numbers, quality, texts = plan.numbers(readings.value), b"", b""
    if np.count_nonzero(readings.quality):
        quality = _qualities(plan.names, readings.quality)
        numbers[readings.quality >= BAD] = math.nan
    if readings.exact:
        numbers, texts = _with_exact(numbers, readings.exact, readings.quality)
    accepted = (record.wall_ns // _MILLISECOND).to_bytes(8, "little")
    of_it = plan.start.copy()
    of_it.update(b"".join((name.encode(), b"\n", quality, accepted, _times(readings.t_ns), numbers.tobytes(), texts)))
    return of_it.digest()


def _times(t_ns: NDArray[np.int64]) -> bytes:
    raw = t_ns.tobytes()
    if raw != raw[:8] * len(t_ns):
        raw = (t_ns // _MILLISECOND).tobytes()
        return raw if raw != raw[:8] * len(t_ns) else raw[:8]
    return (int(t_ns[0]) // _MILLISECOND).to_bytes(8, "little", signed=True)


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
    """The numbers with those that are no float64, arrays laid flat and infinity for each text; and the texts' hashes."""
    seen: list[Any] = []
    for row, number in enumerate(numbers.tolist()):
        seen.extend(_leaves(exact[row]) if row in exact and quality[row] < BAD else [number])
    texts = [each for each in seen if isinstance(each, str)]
    flat = np.array([0 if isinstance(each, str) else each for each in seen], numbers.dtype)
    flat += 0.0
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
