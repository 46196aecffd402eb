"""Devices and their tags."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any, overload

import numpy as np
from numpy.typing import NDArray

from gateway.core.context import Context

VALUE_TYPES = (
    "bool", "int8", "uint8", "int16", "uint16", "int32", "uint32", "int64", "uint64",
    "float32", "float64", "string", "bytes",
)  # fmt: skip
"""Types a tag can have. The empty string stands for "as the device says", until the device has said it."""

FITS_FLOAT32 = frozenset({"float32", "bool", "int8", "uint8", "int16", "uint16"})
"""Types whose every number is exactly a float32."""


@dataclass(frozen=True, slots=True, eq=False)
class Tag:
    """A named point of a device. Compared by identity; `id` is unique in a log for ever and names one definition."""

    id: int
    device: str
    name: str
    type: str = ""
    """The published value's type, one of VALUE_TYPES, or empty while unknown."""

    unit: str = ""
    description: str = ""
    scaling: str = ""
    """How the published value follows from the device's, in words; part of the definition that `id` names."""

    config: Any = None
    """The plugin's own options of this tag (its TagConfig). None for a tag that was read back from a log."""

    def __str__(self) -> str:
        return f"{self.device}/{self.name}"


class Tags(Sequence[Tag]):
    """Tags of one device that are read together. One object per scan for the life of the device, hashed by identity, so
    that a driver can cache its read plan under it."""

    __slots__ = ("__weakref__", "_tags", "device", "ids", "span")

    def __init__(self, device: str, tags: Sequence[Tag]) -> None:
        self.device = device
        self._tags = tuple(tags)
        self.ids: NDArray[np.uint32] = np.array([tag.id for tag in tags], np.uint32)
        self.ids.flags.writeable = False
        self.span = _span(self.ids)
        """Least and greatest id, where every number between them is one; None for others."""

    def __len__(self) -> int:
        return len(self._tags)

    def __iter__(self) -> Iterator[Tag]:
        return iter(self._tags)

    @overload
    def __getitem__(self, index: int) -> Tag: ...
    @overload
    def __getitem__(self, index: slice) -> tuple[Tag, ...]: ...
    def __getitem__(self, index: int | slice) -> Tag | tuple[Tag, ...]:
        return self._tags[index]

    def __repr__(self) -> str:
        return f"Tags({self.device!r}, {len(self)} tags)"


def _span(ids: NDArray[np.uint32]) -> tuple[int, int] | None:
    if not len(ids):
        return None
    low, high = int(ids.min()), int(ids.max())
    return (low, high) if high - low == len(ids) - 1 else None


@dataclass(frozen=True, slots=True, weakref_slot=True, eq=False)
class Device:
    """Something that is read: a PLC, a controller, a sensor. Compared by identity.

    A changed configuration makes a new object; records written before keep the old one's definition.
    """

    name: str
    driver: str
    tags: Tags
    context: Context = field(default_factory=Context)
    config: Any = None
    """The plugin's own options of this device (its DeviceConfig). None for a device that was read back from a log."""

    _others: dict[Context, "Device"] = field(default_factory=dict, init=False, repr=False)
    """The same device in other contexts, shared by all of these; the one that was made last stands last."""

    def __str__(self) -> str:
        return self.name

    def under(self, context: Context) -> "Device":
        """The same device, with the same tags, in this context; the same object each time, as long as its work does not
        change all too often in between."""
        if context == self.context:
            return self
        others = self._others
        known = others.get(context)
        if known is None:
            others.setdefault(self.context, self)
            known = Device(self.name, self.driver, self.tags, context, self.config)
            object.__setattr__(known, "_others", others)
            for old in list(others)[: max(0, len(others) - _KEPT_CONTEXTS + 1)]:
                others.pop(old, None)
            others[context] = known
        return known


_KEPT_CONTEXTS = 8
"""Contexts of one device for which the object is kept."""
