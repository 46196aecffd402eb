"""What a device gave over some time, as a table."""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Times = NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class Table:
    """Values of some tags. Row i was read at `t_ns[i]`, ascending."""

    tags: tuple[str, ...]
    units: tuple[str, ...]
    t_ns: Times
    """Source time."""
    rows: NDArray[np.float64]
    """float64[n, T]; NaN where nothing good was read."""

    def __len__(self) -> int:
        return len(self.t_ns)

    def between(self, from_ns: int, to_ns: int) -> "Table":
        """The rows of a half-open span of source time."""
        chosen = (self.t_ns >= from_ns) & (self.t_ns < to_ns)
        return Table(self.tags, self.units, self.t_ns[chosen], self.rows[chosen])

    def of(self, tags: Sequence[str]) -> "Table":
        """These tags, in this order."""
        places = [self.tags.index(tag) for tag in tags]
        return Table(tuple(tags), tuple(self.units[at] for at in places), self.t_ns, self.rows[:, places])

    def sha256(self) -> str:
        """Of tags, units, times and values as little-endian bytes: the same data gives the same."""
        digest = hashlib.sha256("\n".join([*self.tags, *self.units]).encode())
        digest.update(np.ascontiguousarray(self.t_ns, "<i8").tobytes())
        digest.update(np.ascontiguousarray(self.rows, "<f8").tobytes())
        return digest.hexdigest()


def from_columns(
    tags: Sequence[str],
    units: Sequence[str],
    t_ns: Times,
    tag: NDArray[np.intp],
    value: NDArray[np.float64],
) -> Table:
    """A table of single readings: reading i is of `tags[tag[i]]`. Of two numbers of one tag and time the later one holds; NaN
    takes nothing away, for a value that goes stale keeps its time."""
    times, row = np.unique(t_ns, return_inverse=True)
    rows = np.full((len(times), len(tags)), np.nan)
    known = np.isfinite(value)
    rows[row[known], tag[known]] = value[known]
    return Table(tuple(tags), tuple(units), times, rows)
