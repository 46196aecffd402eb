"""The last value of every tag."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

import numpy as np

from gateway.core.quality import BAD_NO_COMMUNICATION
from gateway.core.readings import Exact, Readings
from gateway.core.tag import Device, Tag


@dataclass(frozen=True, slots=True)
class Live:
    """One tag's last reading, for a person or a snapshot."""

    tag: Tag
    t_ns: int
    """Source time; 0 while nothing was read."""
    value: Exact | float
    quality: int
    seen_ns: int
    """Boot time at which it was last confirmed by the device; 0 for never."""


class LiveDevice:
    """The last readings of one device, one row per tag, in the order of `device.tags`."""

    def __init__(self, device: Device) -> None:
        self.device = device
        count = len(device.tags)
        self.t_ns = np.zeros(count, np.int64)
        self.value = np.full(count, np.nan)
        self.quality = np.full(count, BAD_NO_COMMUNICATION, np.uint32)
        self.seen_ns = np.zeros(count, np.int64)
        self.exact: dict[int, Exact] = {}
        self._order = np.argsort(device.tags.ids)
        self._sorted = device.tags.ids[self._order]

    def update(self, readings: Readings, boot_ns: int) -> None:
        """Take over a block. Of several readings of a tag in one block the last one stays."""
        if readings.tag is self.device.tags.ids and not (self.exact or readings.exact):
            self.t_ns, self.value, self.quality = readings.t_ns, readings.value, readings.quality
            self.seen_ns.fill(boot_ns)
            return
        self._own_columns()
        rows = self._order[np.searchsorted(self._sorted, readings.tag)]
        self.seen_ns[rows] = boot_ns
        self.t_ns[rows] = readings.t_ns
        self.value[rows] = readings.value
        self.quality[rows] = readings.quality
        if self.exact:
            for row in rows.tolist():
                self.exact.pop(row, None)
        for row, value in readings.exact.items():
            self.exact[int(rows[row])] = value

    def would_change(self, readings: Readings) -> bool:
        """Whether a block brings another value than there is, for a tag that has one."""
        rows = self._order[np.searchsorted(self._sorted, readings.tag)]
        before = self.value[rows]
        return bool((~np.isnan(before) & ~np.isnan(readings.value) & (before != readings.value)).any())

    def _own_columns(self) -> None:
        """Columns may be those of a block that covered all tags, and blocks are never changed."""
        self.t_ns, self.value, self.quality = self.t_ns.copy(), self.value.copy(), self.quality.copy()

    def __iter__(self) -> Iterator[Live]:
        for row, tag in enumerate(self.device.tags):
            value: Exact | float = self.exact[row] if row in self.exact else float(self.value[row])
            yield Live(tag, int(self.t_ns[row]), value, int(self.quality[row]), int(self.seen_ns[row]))

    def snapshot(self) -> Readings:
        """All rows that were ever read, as a block with their own source times."""
        rows = np.flatnonzero(self.t_ns)
        whole = Readings(
            self.device,
            self.t_ns.copy(),
            self.device.tags.ids,
            self.value.copy(),
            self.quality.copy(),
            dict(self.exact),
        )
        return whole.take(rows)


class LiveTable:
    """The last value of every tag of every device; written by acquisition, read by everybody."""

    def __init__(self, devices: Iterable[Device] = ()) -> None:
        self._devices: dict[str, LiveDevice] = {}
        for device in devices:
            self.define(device)

    def define(self, device: Device) -> LiveDevice:
        """Add a device, or replace it by its new definition, with nothing read yet."""
        live = self._devices[device.name] = LiveDevice(device)
        return live

    def forget(self, device: str) -> None:
        """Remove a device; no error if it is not there."""
        self._devices.pop(device, None)

    def __getitem__(self, device: str) -> LiveDevice:
        return self._devices[device]

    def __contains__(self, device: object) -> bool:
        return device in self._devices

    def __iter__(self) -> Iterator[LiveDevice]:
        return iter(self._devices.values())

    def update(self, readings: Readings, boot_ns: int) -> None:
        """Take over a block; ignored when its device has been replaced or removed meanwhile."""
        live = self._devices.get(readings.device.name)
        if live is not None and live.device is readings.device:
            live.update(readings, boot_ns)
