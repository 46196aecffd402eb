"""The one shape in which data travels: columns."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any

import numpy as np
from numpy.typing import NDArray

from gateway.core.tag import Device

Exact = int | str | bytes | list[Any] | dict[str, Any]
"""A value that a float64 cannot hold: a large integer, a text, raw bytes, an array, a structure by its members' names."""

NO_EXACT: Mapping[int, Exact] = MappingProxyType({})


@dataclass(frozen=True, slots=True, eq=False)
class Readings:
    """A block of n readings of one device; row i is one reading. Columns are never changed after the block is made."""

    device: Device
    t_ns: NDArray[np.int64]
    """Source time, nanoseconds since 1970 UTC, int64[n]. Never rewritten."""

    tag: NDArray[np.uint32]
    """`Tag.id`, uint32[n]."""

    value: NDArray[np.float64]
    """float64[n]; NaN where the quality is bad or the value stands in `exact`. Booleans are 0.0 and 1.0."""

    quality: NDArray[np.uint32]
    """See `gateway.core.quality`, uint32[n]."""

    exact: Mapping[int, Exact] = field(default_factory=lambda: NO_EXACT)
    """Row → value, for rows whose value is no float64."""

    own_time: bool = False
    """Whether the source times were taken from the gateway's clock just now, and not given by the device."""

    _float32: NDArray[np.float32] | None = field(default=None, init=False, repr=False)

    def __len__(self) -> int:
        return len(self.tag)

    def float32(self) -> NDArray[np.float32]:
        """The values as float32, infinite where one is too large for that; made once, since storing, hashing and printing
        a block all want it."""
        if self._float32 is None:
            with np.errstate(over="ignore"):
                self.keep_float32(self.value.astype(np.float32))
        assert self._float32 is not None
        return self._float32

    def keep_float32(self, column: NDArray[np.float32]) -> None:
        """What `float32` gives from now on; for who makes it of many blocks, with numpy's overflow warning off once."""
        object.__setattr__(self, "_float32", column)

    def under(self, device: Device) -> "Readings":
        """The same block of the same device in another context."""
        columns = (self.t_ns, self.tag, self.value, self.quality)
        other = Readings(device, *columns, self.exact, self.own_time)
        if self._float32 is not None:
            other.keep_float32(self._float32)
        return other

    def take(self, rows: NDArray[np.intp]) -> "Readings":
        """The block of these rows, given as ascending row numbers."""
        exact: Mapping[int, Exact] = NO_EXACT
        if self.exact:
            exact = {new: self.exact[old] for new, old in enumerate(rows.tolist()) if old in self.exact}
        return Readings(
            self.device, self.t_ns[rows], self.tag[rows], self.value[rows], self.quality[rows], exact, self.own_time
        )


def samples(tags: Iterable[int]) -> list[NDArray[np.intp]]:
    """The rows of each tag's first sample, of its second one, and so on: in none of them a tag occurs twice. `tags` says of
    each row whose it is."""
    seen: dict[int, int] = {}
    rows: list[list[int]] = []
    for row, tag in enumerate(tags):
        nth = seen[tag] = seen.get(tag, -1) + 1
        if nth == len(rows):
            rows.append([])
        rows[nth].append(row)
    return [np.array(each, np.intp) for each in rows]
