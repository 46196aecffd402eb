"""Windows on an aligned time grid, from readings that come when they come.

Time here is the source's. An asset is a device that a model watches; its time is its newest source time, running on with
the gateway's boot clock while nothing arrives. So a source whose clock is wrong by hours gives the same windows as one
that is right, and tags that are quiet because of a deadband do not stop the grid. Cell k ends at k × period and holds, for
every input, the last value with a source time up to its end; it is closed half a period later, so that slower tags may
catch up. Nothing that happens after a cell's end changes it.

A value stands in for newer ones until its age limit, counted from when the device last confirmed it. A cell with any input
that is not usable breaks the window: it is complete again when W usable cells have followed one another.

All assets of a model lie in common arrays, and one call closes the cells of all of them.
"""

from collections.abc import Iterator
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from gateway.core.quality import CLAMPED, FORCED, REPEATED, STALE, UNCERTAIN
from gateway.detect.models import MAX_HISTORY

USABLE, UNSEEN, NOT_GOOD, LOST, SET_BY_HAND, TOO_OLD, AT_LIMIT = range(7)
REASONS = ("usable", "not read yet", "not good", "stale", "forced", "too old", "clamped")
"""What an input is in a cell, in words, by its code. A clamped value is scored, but is not called normal."""

_NEVER = np.iinfo(np.int64).min
_LATEST = 2**62
"""In the year 2116; a later source time is taken for none."""
_LARGEST = float(np.finfo(np.float32).max)
_OF_ASSETS = (
    "windows", "codes", "run", "_value", "_code", "_t", "_confirmed", "_next_end", "_anew", "_newest", "_newest_boot",
)  # fmt: skip

Rows = NDArray[np.intp]
Times = NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class Samples:
    """Readings of a model's inputs. Row i belongs to `slot[i]` = asset × inputs + input."""

    slot: Rows
    t_ns: Times
    value: NDArray[np.float64]
    quality: NDArray[np.uint32]
    boot_ns: Times
    """When the gateway got it, by the boot clock."""

    def __len__(self) -> int:
        return len(self.slot)

    def take(self, chosen: NDArray[np.bool_] | Rows) -> "Samples":
        """These rows of it."""
        return Samples(
            self.slot[chosen], self.t_ns[chosen], self.value[chosen], self.quality[chosen], self.boot_ns[chosen]
        )


@dataclass(frozen=True, slots=True)
class Closed:
    """Cells that were closed together: one for each of these assets."""

    assets: Rows
    end_ns: Times
    """End of each cell, source time."""
    anew: NDArray[np.bool_]
    """Whether it is the first cell of an asset after a start, a gap, or a step of its clock."""


@dataclass(frozen=True, slots=True)
class _Waiting:
    """Samples in the order in which they hold."""

    slot: Rows
    asset: Rows
    holds_from: Times
    t_ns: Times
    confirmed: Times
    value: NDArray[np.float64]
    code: NDArray[np.uint8]

    def where(self, chosen: NDArray[np.bool_] | Rows) -> "_Waiting":
        return _Waiting(
            self.slot[chosen], self.asset[chosen], self.holds_from[chosen], self.t_ns[chosen],
            self.confirmed[chosen], self.value[chosen], self.code[chosen],
        )  # fmt: skip

    def merged(self, later: "_Waiting") -> "_Waiting":
        both = _Waiting(*(np.concatenate((getattr(self, name), getattr(later, name))) for name in _Waiting.__slots__))
        return both.where(np.argsort(both.holds_from, kind="stable"))


class Grid:
    """The windows of one model over all its assets. Times in nanoseconds."""

    def __init__(self, assets: int, window: int, period_ns: int, max_age_ns: Times) -> None:
        """`max_age_ns`: int64[T], the age limit of each input."""
        inputs = len(max_age_ns)
        self.period_ns = period_ns
        self.lateness_ns = period_ns // 2
        self.windows = np.full((assets, window, inputs), np.nan, np.float32)
        """float32[assets, W, T], oldest cell first; an asset's is complete when its `run` is at least W."""
        self.codes = np.full((assets, inputs), UNSEEN, np.uint8)
        """What each input was in the asset's last cell, see REASONS."""
        self.run = np.zeros(assets, np.int64)
        """How many cells in a row, up to the last one, had all inputs usable or clamped."""
        self.late = 0
        """Samples that came after their cell was closed."""
        self.restarts = 0
        """How often an asset began anew after a gap or a step of its clock."""
        self._max_age = max_age_ns
        self._gap = int(max_age_ns.max(initial=0)) + max(window, MAX_HISTORY) * period_ns  # forgotten by every decision
        self.within_gap_ns = self._gap - 2 * period_ns
        """How long after an asset's newest sample its cells are closed one by one, however late `advance` is called."""
        self._value = np.full((assets, inputs), np.nan)
        self._code = np.full((assets, inputs), UNSEEN, np.uint8)
        self._t = np.full((assets, inputs), _NEVER)
        self._confirmed = np.full((assets, inputs), _NEVER)
        self._next_end = np.zeros(assets, np.int64)
        self._anew = np.ones(assets, np.bool_)
        self._newest = np.zeros(assets, np.int64)
        self._newest_boot = np.zeros(assets, np.int64)
        self._waiting: _Waiting | None = None

    def advance(self, samples: Samples | None, boot_ns: int) -> Iterator[Closed]:
        """Take samples and close every cell whose time is over, one cell per asset at a time.

        After each step `windows`, `codes` and `run` show the assets as of that cell. Samples of more than the age limit and
        64 cells should come in several calls: what lies further back than that from the newest is taken for a gap.
        """
        if samples is not None and len(samples):
            arranged = self._arrange(samples)
            self._waiting = arranged if self._waiting is None else self._waiting.merged(arranged)
        now = self._now(slice(None), boot_ns)
        self._skip_gaps(now)
        while True:
            self._apply()
            due = np.flatnonzero((self._next_end > 0) & (self._next_end + self.lateness_ns <= now))
            if not len(due):
                return
            yield self._close(due)

    def continue_from(self, other: "Grid", mine: Rows, theirs: Rows) -> None:
        """Take over assets of another grid of the same form, which is not used any more: row `mine[i]` is its `theirs[i]`."""
        for name in _OF_ASSETS:
            getattr(self, name)[mine] = getattr(other, name)[theirs]
        self.late, self.restarts = other.late, other.restarts
        if (waiting := other._waiting) is not None:
            place = np.full(len(other.run), -1)
            place[theirs] = mine
            waiting = waiting.where(place[waiting.asset] >= 0)
            asset, inputs = place[waiting.asset], len(self._max_age)
            self._waiting = replace(waiting, asset=asset, slot=asset * inputs + waiting.slot % inputs)

    def forget(self, assets: Rows) -> None:
        """Begin anew with these assets: no samples, no clock."""
        self._code[assets] = UNSEEN
        self.codes[assets] = UNSEEN
        self._t[assets] = self._confirmed[assets] = _NEVER
        self._next_end[assets] = self._newest[assets] = self._newest_boot[assets] = 0
        self.run[assets] = 0
        self._anew[assets] = True
        if self._waiting is not None:
            self._waiting = self._waiting.where(~np.isin(self._waiting.asset, assets))

    def _now(self, assets: Rows | slice, boot_ns: Times | int) -> Times:
        """The assets' own time; 0 while nothing was read."""
        newest = self._newest[assets]
        return np.where(newest > 0, newest + boot_ns - self._newest_boot[assets], 0)

    def _arrange(self, samples: Samples) -> _Waiting:
        order = np.argsort(samples.t_ns, kind="stable")
        slot, t_ns, boot_ns = samples.slot[order], samples.t_ns[order], samples.boot_ns[order]
        value, quality = samples.value[order], samples.quality[order]
        asset = slot // len(self._max_age)
        timed = (t_ns > 0) & (t_ns < _LATEST) & ((quality & (REPEATED | STALE)) == 0)
        self._restart_where_time_ran_back(slot[timed], asset[timed], t_ns[timed])
        self._set_clocks(asset[timed], t_ns[timed], boot_ns[timed])
        arrived = self._now(asset, boot_ns)
        too_old = arrived - t_ns > self._max_age[slot % len(self._max_age)]
        self.late += int(np.count_nonzero(timed & (t_ns <= self._next_end[asset] - self.period_ns)))
        code = _codes(value, quality)
        waiting = _Waiting(
            slot, asset,
            holds_from=np.where(timed, t_ns, arrived),
            t_ns=np.where(t_ns < _LATEST, t_ns, arrived),
            confirmed=np.where(timed & ~too_old, t_ns, arrived),  # a first value may be old and yet be the present one
            value=np.where(is_scored(code), value, np.nan),
            code=code,
        )  # fmt: skip
        return waiting if timed.all() else waiting.where(np.argsort(waiting.holds_from, kind="stable"))

    def _restart_where_time_ran_back(self, slot: Rows, asset: Rows, t_ns: Times) -> None:
        known = self._t.reshape(-1)[slot]
        back = (known > 0) & (t_ns < known - 2 * self.period_ns)
        if back.any():
            assets = np.unique(asset[back])
            self.forget(assets)
            self.restarts += len(assets)

    def _set_clocks(self, asset: Rows, t_ns: Times, boot_ns: Times) -> None:
        newer = t_ns > self._newest[asset]
        self._newest[asset[newer]] = t_ns[newer]  # ascending: an asset's newest is written last
        self._newest_boot[asset[newer]] = boot_ns[newer]

    def _skip_gaps(self, now: Times) -> None:
        """Let assets that begin, or return after a gap, begin with their earliest sample behind the gap."""
        behind = (now > 0) & (now - self._next_end > self._gap)
        if not behind.any():
            return
        first = now.copy()
        if self._waiting is not None:
            near = self._waiting.where(self._waiting.holds_from >= now[self._waiting.asset] - self._gap)
            first[near.asset[::-1]] = near.holds_from[::-1]  # descending: the earliest is written last
        self.restarts += int(np.count_nonzero(behind & (self._next_end > 0)))
        self._next_end[behind] = -(-first[behind] // self.period_ns) * self.period_ns
        self.run[behind] = 0
        self._anew[behind] = True

    def _apply(self) -> None:
        """Take over the waiting samples that hold in the cells now open."""
        waiting = self._waiting
        if waiting is None:
            return
        holds = waiting.holds_from <= self._next_end[waiting.asset]
        now = waiting.where(holds)
        self._waiting = None if holds.all() else waiting.where(~holds)
        known = self._t.reshape(-1)
        fresh = now.where((now.t_ns >= known[now.slot]) | (now.code == LOST))
        self._value.reshape(-1)[fresh.slot] = fresh.value
        self._code.reshape(-1)[fresh.slot] = fresh.code
        self._confirmed.reshape(-1)[fresh.slot] = fresh.confirmed
        known[fresh.slot] = np.maximum(fresh.t_ns, known[fresh.slot])

    def _close(self, due: Rows) -> Closed:
        end = self._next_end[due]
        code = self._code[due]
        aged = is_scored(code) & (end[:, np.newaxis] - self._confirmed[due] > self._max_age)
        code[aged] = TOO_OLD
        self.codes[due] = code
        every: Rows | slice = slice(None) if len(due) == len(self.windows) else due
        self.windows[every, :-1] = self.windows[every, 1:]
        self.windows[every, -1] = self._value[due]
        self.run[due] = np.where(is_scored(code).all(axis=1), self.run[due] + 1, 0)
        self._next_end[due] += self.period_ns
        closed = Closed(due, end, self._anew[due])
        self._anew[due] = False
        return closed


def is_scored(code: NDArray[np.uint8]) -> NDArray[np.bool_]:
    """Which inputs have a value that a model may see."""
    scored: NDArray[np.bool_] = (code == USABLE) | (code == AT_LIMIT)
    return scored


def _codes(value: NDArray[np.float64], quality: NDArray[np.uint32]) -> NDArray[np.uint8]:
    usable = (quality < UNCERTAIN) & (np.abs(value) <= _LARGEST)  # NaN is not
    code = np.where(usable, USABLE, NOT_GOOD).astype(np.uint8)
    code[usable & ((quality & CLAMPED) != 0)] = AT_LIMIT
    code[(quality & FORCED) != 0] = SET_BY_HAND
    code[(quality & STALE) != 0] = LOST
    return code
