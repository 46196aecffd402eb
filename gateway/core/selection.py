"""What of the records one destination is meant to get: by patterns of devices, of tags, and by kinds of record."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from fnmatch import fnmatchcase
from weakref import WeakKeyDictionary

import numpy as np
from numpy.typing import NDArray

from gateway.core.readings import Readings
from gateway.core.record import Kind, Record
from gateway.core.tag import Device, Tags

_PLANS = 4
"""Columns of tags kept per device: its scan groups."""

_Column = NDArray[np.uint32]


@dataclass(frozen=True, slots=True)
class Patterns:
    """Patterns (`*` and `?`) and kinds; an empty sequence says nothing."""

    devices: Sequence[str] = ()
    tags: Sequence[str] = ()
    """Of a tag's name, or with a "/" of `device/tag`."""
    kinds: Sequence[str] = ()
    """Names of `Kind`, in small letters."""

    def __bool__(self) -> bool:
        return bool(self.devices or self.tags or self.kinds)


class _Share:
    """Of one device's readings. It must not hold the device, under which it is kept for as long as that lives."""

    def __init__(self, device: Device, tags: Tags | None, key: str) -> None:
        """`tags`: those that are wanted; None for all of them."""
        self.key = key
        self.is_whole = tags is None
        self.device = None if tags is None else replace(device, tags=tags)
        """As the destination sees it, where that is another."""
        self._ids = device.tags.ids[:0] if tags is None else tags.ids
        self._plans: dict[int, tuple[_Column, NDArray[np.intp], _Column]] = {}
        """By `id` of a column of tags, which therefore is kept as well: the rows that are wanted, and their tags."""
        if tags is not None:
            self._keep(device.tags.ids, np.flatnonzero(np.isin(device.tags.ids, tags.ids)), tags.ids)

    def rows(self, tag: _Column) -> tuple[NDArray[np.intp], _Column]:
        """Which rows of a block are wanted, and their tags."""
        known = self._plans.get(id(tag))
        if known is not None:
            return known[1:]
        rows = np.flatnonzero(np.isin(tag, self._ids))
        taken = tag[rows]
        if not tag.flags.writeable:
            if len(self._plans) >= _PLANS:
                del self._plans[next(iter(self._plans))]
            self._keep(tag, rows, taken)
        return rows, taken

    def _keep(self, tag: _Column, rows: NDArray[np.intp], taken: _Column) -> None:
        taken.flags.writeable = False
        self._plans[id(tag)] = (tag, rows, taken)


class Selection:
    """Of one destination; true when it leaves anything out. Decided once per definition of a device. For one thread."""

    def __init__(self, only: Patterns = Patterns(), without: Patterns = Patterns()) -> None:
        """What matches each given list of `only`, and none of `without`."""
        self._only = only
        self._without = without
        self._some = bool(only or without)
        self._kinds = {kind for kind in Kind if self._kind(kind.name.lower())}
        self._shares: WeakKeyDictionary[Device, _Share] = WeakKeyDictionary()

    def __bool__(self) -> bool:
        return self._some

    def left_out(self, record: Record) -> int:
        """How many readings of a record are not wanted: none, some, or all of them."""
        readings = record.readings
        if record.kind not in self._kinds:
            return record.rows
        if readings is None:
            device = (record.body or {}).get("device")
            return record.rows if device and not self.wants(str(device)) else 0
        share = self._share(readings.device)
        return 0 if share.is_whole else record.rows - len(share.rows(readings.tag)[0])

    def narrowed(self, record: Record) -> Record:
        """The record with what is wanted of it, under the same id; to be asked only of one of which something is."""
        if record.readings is None:
            return record
        readings = self.readings(record.readings)
        return record if readings is record.readings else replace(record, readings=readings, rows=len(readings))

    def readings(self, readings: Readings) -> Readings:
        """Those rows of a block that are wanted, of the device as the destination sees it."""
        share = self._share(readings.device)
        if share.is_whole:
            return readings
        rows, tag = share.rows(readings.tag)
        device = share.device or readings.device
        return replace(readings.take(rows), device=device, tag=tag)

    def device(self, device: Device) -> Device | None:
        """The device as the destination sees it, with the tags that are wanted; None if nothing of it is."""
        share = self._share(device)
        seen = device if share.is_whole else share.device
        return (
            seen if seen is not None and (len(seen.tags) or not len(device.tags)) and self.wants(device.name) else None
        )

    def devices(self, devices: Sequence[Device]) -> Sequence[Device]:
        """All of these that are wanted, likewise."""
        if not self._some:
            return devices
        return [seen for each in devices if (seen := self.device(each)) is not None]

    def wants(self, device: str) -> bool:
        """Whether anything of this device is wanted: its readings, events and receipts."""
        return not (
            (self._only.devices and not _any(device, self._only.devices)) or _any(device, self._without.devices)
        )

    def wants_tag(self, device: str, tag: str) -> bool:
        """Whether the readings of this tag are wanted, of a device of which anything is."""
        only, without = self._only.tags, self._without.tags
        return not ((only and not _names(only, device, tag)) or (without and _names(without, device, tag)))

    def wants_readings(self, device: str, tag: str) -> bool:
        """Whether the readings of this tag are wanted at all."""
        return Kind.READINGS in self._kinds and self.wants(device) and self.wants_tag(device, tag)

    def key(self, device: Device) -> str:
        """The device in its context, as receipts tell them apart."""
        return self._share(device).key

    def _kind(self, word: str) -> bool:
        return not ((self._only.kinds and word not in self._only.kinds) or word in self._without.kinds)

    def _share(self, device: Device) -> _Share:
        share = self._shares.get(device)
        if share is None:
            share = self._shares[device] = self._decided(device)
        return share

    def _decided(self, device: Device) -> _Share:
        wanted = [tag for tag in device.tags if self.wants(device.name) and self.wants_tag(device.name, tag.name)]
        key = context_key(device.name, device.context.said())
        return _Share(device, Tags(device.name, wanted) if len(wanted) < len(device.tags) else None, key)


def context_key(device: str, said: Mapping[str, str]) -> str:
    """A device in a context (`Context.said`), as one text."""
    return "\n".join([device, *(f"{name}={value}" for name, value in said.items())])


def _any(name: str, patterns: Sequence[str]) -> bool:
    return any(fnmatchcase(name, pattern) for pattern in patterns)


def _names(patterns: Sequence[str], device: str, tag: str) -> bool:
    whole = f"{device}/{tag}"
    return any(fnmatchcase(whole if "/" in pattern else tag, pattern) for pattern in patterns)


EVERYTHING = Selection()
