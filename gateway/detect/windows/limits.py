"""Limits that tags should keep, without a model: too high, too low, changing too fast, or silent.

A limit is broken once its condition has held for `on_delay`, and kept again once the value has been back by more than the
hysteresis for `off_delay`. Delays run in source time, and on with the gateway's boot clock while a value stays as it is, or
while the source's clock stands still or has been set back. What is not good, stale or forced breaks no limit and mends none.
Arrays over all devices of one limit; no clock, no I/O.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from gateway.core.quality import CLAMPED, FORCED, REPEATED, STALE, UNCERTAIN
from gateway.detect.windows.grid import Rows, Samples, Times

CONDITIONS = ("high", "low", "rate", "no_data", "stuck")
_REMEMBERED = 32
"""Samples kept for `rate`: its span is looked at in this many steps."""
_JITTER_NS = 5_000_000_000
"""How far a source time may lie behind what it should be without being taken for one that stood still, or was set back."""

Flags = NDArray[np.bool_]
Values = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Limit:
    """What one `[[alarm]]` says; times in nanoseconds."""

    condition: str
    """One of CONDITIONS."""
    limit: float
    """In the tag's unit; for "no_data" and "stuck" nanoseconds."""
    hysteresis: float = 0.0
    span_ns: int = 0
    """For "rate": within which the value may change by `limit`."""
    on_delay_ns: int = 0
    off_delay_ns: int = 0


@dataclass(frozen=True, slots=True)
class Change:
    """Rows of which the limit was broken, or kept again, at these values and source times."""

    rows: Rows
    broken: Flags
    value: Values
    """What was compared with the limit; NaN for "no_data", and for "stuck" the value that did not change."""
    t_ns: Times


class Limits:
    """One limit over its devices; row i is device i, whose tag is slot i of the samples."""

    def __init__(self, limit: Limit, rows: int) -> None:
        self.limit = limit
        self.broken = np.zeros(rows, np.bool_)
        self.value = np.full(rows, np.nan)
        """What was last compared with the limit; NaN where nothing usable was."""
        self._since = np.zeros(rows, np.int64)
        """When the row began to be on the other side; 0 where it is not."""
        self._t = np.zeros(rows, np.int64)
        self._boot = np.zeros(rows, np.int64)
        self._source = np.zeros(rows, np.int64)
        """The newest source time; `_t` runs on where it stands."""
        self._shift = np.zeros(rows, np.int64)
        """By how much `_t` is ahead of the source's time, which is what is told."""
        self._changed = np.zeros(rows, np.int64)
        """For "stuck": when, by the boot clock, the value was last another one; 0 where that is not known."""
        self._usable = np.zeros(rows, np.bool_)
        self._past = _Past(rows, limit.span_ns) if limit.condition == "rate" else None

    def advance(self, samples: Samples | None, boot_ns: int) -> list[Change]:
        """Take samples, let the time pass up to `boot_ns`, and give what changed, in order of time."""
        changes = []
        if samples is not None:
            changes = [self._take(each) for each in _one_of_each(samples)]
        self._boot[self._boot == 0] = boot_ns
        rows = np.arange(len(self.broken))
        if self.limit.condition == "no_data":
            silent = boot_ns - self._boot > self.limit.limit
            changes.append(self._judge(rows, np.full(len(rows), boot_ns), silent, ~silent))
        elif self.limit.condition == "stuck":
            rows = np.flatnonzero(self._usable & (self._changed > 0))
            frozen = boot_ns - self._changed[rows] >= self.limit.limit
            changes.append(self._judge(rows, np.full(len(rows), boot_ns), frozen, ~frozen))
        else:
            rows = np.flatnonzero((self._since > 0) & self._usable)
            beyond, calm = self._sides(self.value[rows])
            changes.append(self._judge(rows, self._t[rows] + boot_ns - self._boot[rows], beyond, calm))
        return [change for change in changes if len(change.rows)]

    def forget(self, row: int) -> None:
        """This row's tag is another one now; what is broken stays so until it is seen to be kept."""
        for times in (self._since, self._t, self._boot, self._source, self._shift, self._changed):
            times[row] = 0
        self.value[row], self._usable[row] = np.nan, False
        if self._past is not None:
            self._past.forget(np.array([row]))

    def _take(self, samples: Samples) -> Change:
        """One sample of each of some rows."""
        usable = (samples.quality < UNCERTAIN) & ((samples.quality & (STALE | FORCED)) == 0)
        if self.limit.condition != "no_data":  # a text has no number, and yet is data
            usable &= np.isfinite(samples.value)
        if self.limit.condition == "stuck":  # what lies behind a clamped value may well move
            usable &= (samples.quality & CLAMPED) == 0
        anew = ~self._usable[samples.slot][usable]
        self._usable[samples.slot] = usable
        rows, value, boot_ns = samples.slot[usable], samples.value[usable], samples.boot_ns[usable]
        given = np.where(samples.t_ns > 0, samples.t_ns, samples.boot_ns)[usable]
        t_ns = self._time(rows, given, boot_ns, samples.quality[usable] & REPEATED != 0)
        moved = anew | (value != self.value[rows])
        self._changed[rows[moved]] = boot_ns[moved]
        if self._past is not None:
            value = self._past.change(rows, t_ns, value)
        self._t[rows], self._boot[rows], self.value[rows] = t_ns, boot_ns, value
        if self.limit.condition in ("no_data", "stuck"):
            return Change(rows[:0], self.broken[:0], value[:0], t_ns[:0])
        return self._judge(rows, t_ns, *self._sides(value))

    def _time(self, rows: Rows, given: Times, boot_ns: Times, repeated: Flags) -> Times:
        """The time of samples: the source's, which goes on with the boot clock while it stands, or is behind what it was."""
        last, run, newest = self._t[rows], boot_ns - self._boot[rows], self._source[rows]
        ahead = given - newest
        set_back = ~repeated & (ahead < -_JITTER_NS)
        self._source[rows] = np.where(repeated, newest, np.where(set_back, given, np.maximum(newest, given)))
        if self._past is not None:
            self._past.forget(rows[set_back])
        on = last + np.where(repeated | (ahead <= 0), run, np.minimum(ahead, run))
        stands = repeated | (ahead <= 0) | (on - given > _JITTER_NS)
        t_ns = np.where((last > 0) & stands, on, given)
        self._shift[rows] = np.where(repeated & (last > 0), self._shift[rows], t_ns - given)
        return t_ns

    def _sides(self, value: Values) -> tuple[Flags, Flags]:
        """Where the limit is exceeded, and where it is kept by more than the hysteresis."""
        limit, hysteresis = self.limit.limit, self.limit.hysteresis
        if self.limit.condition == "low":
            return value < limit, value >= limit + hysteresis
        return value > limit, value <= limit - hysteresis

    def _judge(self, rows: Rows, t_ns: Times, beyond: Flags, calm: Flags) -> Change:
        """Turn over the rows that have been on the other side for their delay."""
        broken = self.broken[rows]
        other_side = np.where(broken, calm, beyond)
        before = self._since[rows]
        since = np.where(before == 0, t_ns, np.minimum(before, t_ns))
        delay = np.where(broken, self.limit.off_delay_ns, self.limit.on_delay_ns)
        turned: Flags = other_side & (t_ns - since >= delay)
        self.broken[rows] = broken ^ turned
        self._since[rows] = np.where(other_side & ~turned, since, 0)
        told = t_ns[turned] - self._shift[rows[turned]]
        return Change(rows[turned], ~broken[turned], self.value[rows[turned]], told)


class _Past:
    """The last values of each row, to compare a new one with."""

    def __init__(self, rows: int, span_ns: int) -> None:
        self._span = span_ns
        self._t = np.zeros((rows, _REMEMBERED), np.int64)
        self._value = np.full((rows, _REMEMBERED), np.nan)
        self._next = np.zeros(rows, np.intp)

    def forget(self, rows: Rows) -> None:
        self._value[rows] = np.nan
        self._t[rows] = 0

    def change(self, rows: Rows, t_ns: Times, value: Values) -> Values:
        """How far each value lies from the farthest within the span, 0 for a first one; it is remembered then."""
        newest = self._t[rows].max(axis=1, initial=0)
        self.forget(rows[t_ns < newest])  # the source's clock was set back
        near = t_ns[:, np.newaxis] - self._t[rows] <= self._span
        off = np.where(near, np.abs(value[:, np.newaxis] - self._value[rows]), np.nan)
        keep = t_ns - self._t[rows].max(axis=1, initial=0) >= self._span // _REMEMBERED
        kept = rows[keep]
        self._t[kept, self._next[kept]], self._value[kept, self._next[kept]] = t_ns[keep], value[keep]
        self._next[kept] = (self._next[kept] + 1) % _REMEMBERED
        farthest: Values = np.nan_to_num(np.fmax.reduce(off, axis=1, initial=0.0))
        return farthest


def _one_of_each(samples: Samples) -> list[Samples]:
    """The samples in order of time, cut so that no part holds two of one row."""
    rest = samples.take(np.argsort(samples.t_ns, kind="stable"))
    parts = []
    while len(rest):
        _, first = np.unique(rest.slot, return_index=True)
        parts.append(rest.take(first))
        rest = rest.take(np.delete(np.arange(len(rest)), first))
    return parts
