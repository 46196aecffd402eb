"""What is carried over: devices and tags as our configuration takes them, and remarks on all that is not."""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from gateway.config.kinds import DRIVER
from gateway.config.mistakes import check
from gateway.core.errors import GatewayError
from gateway.core.text import cleaned, hidden_in
from gateway.plugin.discovery import Plugins

_LONGEST = 200
MOST = 100_000
"""Tags of one import."""


class ImportRefusedError(GatewayError):
    """Nothing can be made of the file; says why."""


@dataclass(frozen=True, slots=True)
class Remark:
    """Something that was not carried over, or not as it stood there."""

    where: str
    what: str

    def __str__(self) -> str:
        return f"{self.where}: {self.what}"


@dataclass(slots=True)
class ImportedDevice:
    """A `[[device]]` with its tags, as far as they are carried over."""

    driver: str
    options: dict[str, Any]
    tags: dict[str, dict[str, Any]] = field(default_factory=dict)
    tag_type: Any = None


class Import:
    """Collects devices. What `check` would refuse does not get in, and is told."""

    def __init__(self) -> None:
        self.devices: dict[str, ImportedDevice] = {}
        self.remarks: list[Remark] = []
        self._plugins = Plugins()

    def lost(self, where: str, what: str) -> None:
        """Something was not carried over, or differs."""
        self.remarks.append(Remark(cleaned(where, 120), cleaned(what, 300)))

    def device(self, name: str, driver: str, options: Mapping[str, Any], where: str) -> ImportedDevice | None:
        """A new device; None, with a remark, for one that the configuration would not take."""
        device_type, tag_type = self._plugins.options(DRIVER, driver)
        unique = self._unique(_sound(name, "/+#$", "device").lstrip("$").strip() or "device", self.devices)
        own = {key: value for key, value in options.items() if value is not None}
        _, mistakes = check(device_type, {"name": unique, "driver": driver, **own}, Path.cwd())
        if mistakes:
            said = "; ".join(f"{'.'.join(map(str, each.path))}: {each.message}" for each in mistakes)
            self.lost(where, f"the device is left out: {said}")
            return None
        if unique != name:
            self.lost(where, f'the device "{name}" is called "{unique}" here')
        made = self.devices[unique] = ImportedDevice(driver, own, tag_type=tag_type)
        return made

    def tag(self, device: ImportedDevice, name: str, options: Mapping[str, Any], where: str) -> None:
        """A tag of it; with a remark in its place where the configuration would not take it."""
        own = {key: value for key, value in options.items() if value not in (None, "")}
        _, mistakes = check(device.tag_type, own, Path.cwd())
        if mistakes:
            said = "; ".join(f"{'.'.join(map(str, each.path))}: {each.message}".removeprefix(": ") for each in mistakes)
            self.lost(where, f'the tag "{name}" is left out: {said}')
            return
        if sum(len(each.tags) for each in self.devices.values()) >= MOST:
            raise ImportRefusedError(f"it has more than {MOST} tags: import a part of it at a time")
        unique = self._unique(_sound(name, "+#", "tag"), device.tags)
        if unique != name:
            self.lost(where, f'the tag "{name}" is called "{unique}" here')
        device.tags[unique] = own

    def drop_empty(self) -> None:
        """Devices without a tag that could be carried over are none."""
        for name in [name for name, device in self.devices.items() if not device.tags]:
            del self.devices[name]
            self.lost(name, "the device has no tag that could be carried over, and is left out")

    @staticmethod
    def _unique(name: str, taken: Mapping[str, Any]) -> str:
        number, tried = 1, name
        while tried in taken:
            number += 1
            tried = f"{name}_{number}"
        return tried


def _sound(name: str, meaning: str, without: str) -> str:
    """A name that topics can hold."""
    kept = "".join("_" if char in meaning or not char.isprintable() or hidden_in(char) else char for char in name)
    return re.sub(r"\s+", " ", kept).strip()[:_LONGEST].strip() or without


def printed(area: str, offset: int) -> str:
    """An address counted from 0, in an area such as "hr"."""
    return f"{area}:{offset}"


def milliseconds(value: Any) -> str | None:
    """A period as the configuration writes it; None for none."""
    try:
        number = float(value)
    except (TypeError, ValueError):
        return None
    return f"{number:g}ms" if number > 0 else None
