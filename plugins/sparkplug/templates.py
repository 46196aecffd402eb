"""Templates (Sparkplug 3.0, 6.4.15): devices of one type say so, with a definition in the birth of the node, and each is one
metric, an instance of it, whose members are its tags."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from fnmatch import fnmatchcase

from .device_metrics import DeviceMetrics, Template
from .payload import DataType


@dataclass(slots=True)
class Templates:
    """Which there are, and what they hold since the last birth of the node."""

    patterns: Mapping[str, Sequence[str]]
    """Names of devices for each, `*` and `?` allowed."""
    members: dict[str, dict[str, DataType]] = field(default_factory=dict)

    def of(self, device: str) -> str | None:
        """The template whose instance a device is meant to be."""
        for name, patterns in self.patterns.items():
            if any(fnmatchcase(device, pattern) for pattern in patterns):
                return name
        return None

    def define(self, devices: Iterable[DeviceMetrics]) -> None:
        """Hold the tags of all these from now on; where two differ over a datatype, that of the first."""
        self.members = {}
        for device in devices:
            if (name := self.of(device.name)) is not None:
                members = self.members.setdefault(name, {})
                for metric in device.metrics:
                    members.setdefault(metric.name, metric.datatype)

    def lacks(self, device: DeviceMetrics) -> bool:
        """Whether a device has members that the node's last birth did not define."""
        name = self.of(device.name)
        return name is not None and any(each.name not in self.members.get(name, {}) for each in device.metrics)

    def fitting(self, device: DeviceMetrics) -> Template | None:
        """What the device can be an instance of. One that has other members, or of other datatypes, is none."""
        name = self.of(device.name)
        members = self.members.get(name or "", {})
        if name is None or any(members.get(each.name) != each.datatype for each in device.metrics):
            return None
        return Template(name, members)
