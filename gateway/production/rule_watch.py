"""What the rules of `[[context]]` say by tags."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from fnmatch import fnmatchcase

import numpy as np

from gateway.config.context_rules import ContextSection, parted
from gateway.core.quality import BAD, STALE
from gateway.core.readings import Readings
from gateway.core.tag import Device
from gateway.core.text import cleaned

LONGEST = 200
"""Characters of a part of a context that a tag says."""

Claimed = Callable[["RuleWatch", str, str], None]
"""Told of a rule, a device, and what it is to work for by that rule; empty: nothing."""


@dataclass(slots=True, eq=False)
class RuleWatch:
    """One rule, and what its tags said last."""

    rule: ContextSection
    devices: Sequence[str]
    """Of which it says something."""
    said: dict[str, str] = field(default_factory=dict)
    """Last value of `tag`, by device of the unit."""
    holds: dict[str, bool] = field(default_factory=dict)
    """Last value of `when`, likewise."""

    def claim(self, device: str) -> str | None:
        """What the device works for by this rule; empty for nothing, None where nobody knows yet."""
        rule = self.rule
        if rule.when is not None:
            holds = self.holds.get(device)
            if not holds:
                return None if holds is None else ""
        return rule.value if rule.value is not None else self.said.get(device)

    def meaning(self, text: str) -> str | None:
        """What a value of the tag means; empty for nothing, None for one that `values` does not have."""
        if text in self.rule.values:
            return self.rule.values[text]
        if text in ("", "0"):
            return ""
        return None if self.rule.values else text


@dataclass(frozen=True, slots=True)
class _Source:
    """A tag that a rule looks at."""

    watch: RuleWatch
    key: str
    """tag or when"""
    tag: str
    targets: Sequence[str]


class RuleWatches:
    """All rules; an observer of the pipeline."""

    def __init__(
        self,
        rules: Sequence[ContextSection],
        devices: Sequence[str],
        claimed: Claimed,
        not_understood: Callable[[RuleWatch, str, str], None],
    ) -> None:
        """`not_understood` is told of a value that a rule's `values` do not have."""
        self.watches = [RuleWatch(rule, _unit(rule, devices)) for rule in rules]
        self._claimed = claimed
        self._not_understood = not_understood
        self._sources: dict[str, list[_Source]] = {}
        """By the device that has the tag."""
        for watch in self.watches:
            for key, written in watch.rule.sources.items():
                device, tag = parted(written)
                for of, targets in [(device, watch.devices)] if device else [(each, [each]) for each in watch.devices]:
                    self._sources.setdefault(of, []).append(_Source(watch, key, tag, targets))
        self._ids: dict[str, tuple[Device, Mapping[str, int]]] = {}

    def seen(self, readings: Readings, boot_ns: int) -> None:
        """See whether a block says something new."""
        sources = self._sources.get(readings.device.name)
        if sources is None or not len(readings):
            return
        touched: dict[tuple[RuleWatch, str], None] = {}
        for source in sources:
            text = self._last(readings, source.tag)
            if text is not None:
                touched |= dict.fromkeys((source.watch, device) for device in self._take(source, text))
        for watch, device in touched:
            claim = watch.claim(device)
            if claim is not None:
                self._claimed(watch, device, claim)

    def _take(self, source: _Source, text: str) -> Iterator[str]:
        """Note what a tag says; gives the devices for which that is new."""
        watch = source.watch
        if source.key == "when":
            holds = text not in ("", "0", "false", "False")
            for device in source.targets:
                if watch.holds.get(device) is not holds:
                    watch.holds[device] = holds
                    yield device
            return
        meaning = watch.meaning(text)
        for device in source.targets:
            if meaning is None and watch.said.get(device) != "":
                self._not_understood(watch, device, text)
            if watch.said.get(device) != (meaning or ""):
                watch.said[device] = meaning or ""
                yield device

    def _last(self, readings: Readings, tag: str) -> str | None:
        """The last good value of a tag in a block, as a text; None if there is none."""
        number = self._id(readings.device, tag)
        if number is None:
            return None
        rows = np.flatnonzero(readings.tag == np.uint32(number))
        for row in rows[::-1].tolist():
            quality = int(readings.quality[row])
            if quality >= BAD or quality & STALE:
                continue
            exact = readings.exact.get(row)
            value = float(readings.value[row])
            if exact is None and value != value:
                continue
            return as_text(value if exact is None else exact)
        return None

    def _id(self, device: Device, tag: str) -> int | None:
        known = self._ids.get(device.name)
        if known is None or known[0] is not device:
            known = self._ids[device.name] = (device, {each.name: each.id for each in device.tags})
        return known[1].get(tag)


def as_text(value: object) -> str:
    """A value of a tag as a part of a context: whole numbers without a point, 0 as "0", texts on one line."""
    if isinstance(value, float):
        return str(int(value)) if value.is_integer() else repr(value)
    return cleaned(value, LONGEST).strip()


def _unit(rule: ContextSection, devices: Sequence[str]) -> list[str]:
    return [name for name in devices if any(fnmatchcase(name, pattern) for pattern in rule.devices)]
