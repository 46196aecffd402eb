"""Scaling, clamping, deadband and heartbeat, as array operations over a whole block."""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from gateway.config.base import TagConfig
from gateway.core.errors import PluginError
from gateway.core.quality import CLAMPED, REPEATED, STALE, UNCERTAIN_LAST_VALUE, is_bad
from gateway.core.readings import Exact, Readings, samples
from gateway.core.tag import Device

DEFAULT_HEARTBEAT = 60.0
_NEVER = int(np.iinfo(np.int64).max)
_ALL = slice(None)


@dataclass(frozen=True, slots=True)
class _Rows:
    """What a fixed list of tag ids means to this device; made once per list."""

    ids: NDArray[np.uint32]
    rows: NDArray[np.intp]
    factor: NDArray[np.float64]
    divisor: NDArray[np.float64]
    offset: NDArray[np.float64]
    low: NDArray[np.float64]
    high: NDArray[np.float64]
    deadband: NDArray[np.float64]
    filters: NDArray[np.bool_]
    scaled: bool
    clamped: bool
    filtered: bool
    repeats: bool
    """A tag occurs more than once."""

    whole: bool
    """All rows of the device in their order."""


class Conditioner:
    """Conditions the readings of one device. Row numbers are those of `device.tags`."""

    def __init__(self, device: Device, tags: Mapping[str, TagConfig]) -> None:
        configs = [tags[tag.name] for tag in device.tags]
        count = len(configs)
        self.device = device
        self._order = np.argsort(device.tags.ids)
        self._sorted = device.tags.ids[self._order]
        self._factor, self._divisor = _factors(configs)
        self._offset = np.array([config.offset for config in configs])
        spans = [config.clamp or (-np.inf, np.inf) for config in configs]
        bounds = np.array(spans, np.float64).reshape(-1, 2)
        self._low, self._high = bounds[:, 0], bounds[:, 1]
        self._deadband = np.array([_deadband(config) for config in configs])
        self._filtered = self._deadband >= 0
        self._heartbeat = np.array([_heartbeat(config) for config in configs], np.int64)
        self._value = np.full(count, np.nan)
        self._quality = np.full(count, 0xFFFF_FFFF, np.uint32)
        self._sent_ns = np.zeros(count, np.int64)
        self._beats = np.flatnonzero(self._heartbeat != _NEVER)
        self._next_beat = 0
        """Boot time before which no heartbeat is due."""
        self._same: NDArray[np.uint32] | None = None
        """The qualities of the last whole block, if `_quality` has what it has."""
        self._exact: dict[int, Exact] = {}
        self._known: dict[int, _Rows] = {}

    def scale(self, readings: Readings) -> Readings:
        """Published values from the device's: scaled, then clamped. Source times and tags stay the same objects."""
        rows = self._rows(readings.tag)
        if not (rows.scaled or rows.clamped):
            return readings
        value, quality, exact = readings.value, readings.quality, readings.exact
        if rows.scaled:
            if exact:
                value, exact = _float_exact(readings, (rows.factor != rows.divisor) | (rows.offset != 0))
            value = value * rows.factor / rows.divisor + rows.offset
        if rows.clamped:
            clamped = np.minimum(np.maximum(value, rows.low), rows.high)
            beyond = (clamped != value) & ~np.isnan(value)
            if beyond.any():
                value, quality = clamped, np.where(beyond, quality | np.uint32(CLAMPED), quality)
        return Readings(readings.device, readings.t_ns, readings.tag, value, quality, exact, readings.own_time)

    def report(self, readings: Readings, boot_ns: int) -> Readings | None:
        """The rows to publish: all of tags without a deadband; else those that moved beyond it since the last report, or
        changed in quality, or whose heartbeat is due. None if there is none."""
        rows = self._rows(readings.tag)
        if not rows.filtered:
            return readings
        if not rows.repeats:
            moved = self._moved(readings, rows, boot_ns)
        else:
            turns = [turn[self._moved(*self._turn(readings, turn), boot_ns)] for turn in samples(rows.rows.tolist())]
            moved = np.sort(np.concatenate(turns))
        if len(moved) == len(readings):
            return readings
        return readings.take(moved) if len(moved) else None

    def stale(self, whole: Readings) -> Readings | None:
        """Of the device's live values (see `LiveDevice.snapshot`): the last usable ones, marked as stale. None if there
        is none that was not stale before."""
        usable = ~is_bad(whole.quality) & (whole.quality & np.uint32(STALE) == 0)
        if not usable.any():
            return None
        last = whole.take(np.flatnonzero(usable))
        quality = np.full(len(last), UNCERTAIN_LAST_VALUE | STALE, np.uint32)
        quality |= last.quality & np.uint32(CLAMPED)
        marked = Readings(last.device, last.t_ns, last.tag, last.value, quality, last.exact)
        self._quality[self._rows(marked.tag).rows] = quality
        self._same = None
        return marked

    def repeats(self, whole: Readings, boot_ns: int) -> Readings | None:
        """Of the device's live values: those whose heartbeat is due, with their old source time and the flag. For tags
        that are subscribed, where no poll brings a new reading."""
        rows = self._rows(whole.tag).rows
        due = (self._heartbeat[rows] != _NEVER) & (boot_ns - self._sent_ns[rows] >= self._heartbeat[rows])
        due &= ~is_bad(whole.quality) & (whole.quality & np.uint32(STALE) == 0)
        if not due.any():
            return None
        last = whole.take(np.flatnonzero(due))
        self._sent_ns[rows[due]] = boot_ns
        return Readings(last.device, last.t_ns, last.tag, last.value, last.quality | np.uint32(REPEATED), last.exact)

    def _turn(self, readings: Readings, turn: NDArray[np.intp]) -> tuple[Readings, _Rows]:
        part = readings.take(turn)
        return part, self._rows(part.tag)

    def _moved(self, readings: Readings, rows: _Rows, boot_ns: int) -> NDArray[np.intp]:
        """Which rows are to be published, in their order. They are noted as the last report."""
        at: slice | NDArray[np.intp] = _ALL if rows.whole else rows.rows
        value, quality = readings.value, readings.quality
        last = self._value[at]
        still = np.abs(value - last) <= rows.deadband  # never, where there is none
        blank = np.isnan(value)
        if np.count_nonzero(blank):
            still |= blank & np.isnan(last) & rows.filters
        known = rows.whole and quality is self._same
        if not known:
            still &= quality == self._quality[at]
        beat = boot_ns >= self._next_beat
        if beat:
            still &= boot_ns - self._sent_ns[at] < self._heartbeat[at]
        if readings.exact:
            self._note_exact(readings.exact, rows, still)
        moved: NDArray[np.intp] = (~still).nonzero()[0]
        sent = moved if rows.whole else rows.rows[moved]
        self._value[sent] = value[moved]
        if not known:
            self._quality[sent] = quality[moved]
            self._same = quality if rows.whole else None
        self._sent_ns[sent] = boot_ns
        if beat:
            beats = self._beats
            self._next_beat = int((self._sent_ns[beats] + self._heartbeat[beats]).min()) if len(beats) else _NEVER
        return moved

    def _note_exact(self, exact: Mapping[int, Exact], rows: _Rows, still: NDArray[np.bool_]) -> None:
        for row, value in exact.items():
            if self._exact.get(int(rows.rows[row])) != value:
                still[row] = False
            self._exact[int(rows.rows[row])] = value

    def _rows(self, ids: NDArray[np.uint32]) -> _Rows:
        known = self._known.get(id(ids))
        if known is not None and known.ids is ids:
            return known
        places = np.minimum(np.searchsorted(self._sorted, ids), len(self._sorted) - 1)
        if (self._sorted[places] != ids).any():
            raise PluginError(f"a block has tags that {self.device} has not, or has no more")
        order = self._order[places]
        whole = order.tolist() == list(range(len(self._order)))
        at: slice | NDArray[np.intp] = _ALL if whole else order
        made = _Rows(
            ids,
            order,
            self._factor[at],
            self._divisor[at],
            self._offset[at],
            self._low[at],
            self._high[at],
            self._deadband[at],
            self._filtered[at],
            bool((self._factor != self._divisor)[at].any() or self._offset[at].any()),
            bool(np.isfinite(self._low[at]).any()),
            bool(self._filtered[at].any()),
            not whole and len(set(order.tolist())) < len(order),
            whole,
        )
        if not ids.flags.writeable:
            if len(self._known) > 64:
                self._known.clear()
            self._known[id(ids)] = made
        return made


def _factors(configs: list[TagConfig]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Factor and divisor of each tag. A scale such as 0.1 becomes a division by 10, which gives 21.2 where a
    multiplication would give 21.200000000000003."""
    factor, divisor = np.ones(len(configs)), np.ones(len(configs))
    for row, config in enumerate(configs):
        inverse = round(1 / config.scale) if abs(config.scale) < 1 else 0
        if inverse and 1 / inverse == config.scale:
            divisor[row] = inverse
        else:
            factor[row] = config.scale
    return factor, divisor


def _deadband(config: TagConfig) -> float:
    """In the published unit; negative for none."""
    if config.deadband is None:
        return -1.0
    if isinstance(config.deadband, str):
        assert config.range is not None
        return float(config.deadband[:-1]) / 100 * (config.range[1] - config.range[0])
    return config.deadband


def _heartbeat(config: TagConfig) -> int:
    """After how long a tag is told though it has not changed, in nanoseconds."""
    if config.heartbeat is None and config.deadband is None:
        return _NEVER
    return int((config.heartbeat or DEFAULT_HEARTBEAT) * 1e9)


def _float_exact(readings: Readings, scaled: NDArray[np.bool_]) -> tuple[NDArray[np.float64], Mapping[int, Exact]]:
    """Large integers of scaled tags become float64, since a scaled value is one."""
    value, left = readings.value.copy(), dict(readings.exact)
    for row, exact in readings.exact.items():
        if scaled[row] and isinstance(exact, int):
            value[row] = float(exact)
            del left[row]
    return value, left
