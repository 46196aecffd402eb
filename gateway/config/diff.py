"""What differs between two configurations, for a reload that restarts only what changed."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

from gateway.config.model import Config, DeviceSpec, ModelSection

V = TypeVar("V")


@dataclass(frozen=True, slots=True)
class Changes:
    """Names that came, went, or mean something else now."""

    added: tuple[str, ...] = ()
    removed: tuple[str, ...] = ()
    changed: tuple[str, ...] = ()

    def __bool__(self) -> bool:
        return bool(self.added or self.removed or self.changed)


@dataclass(frozen=True, slots=True)
class Diff:
    """The difference of two configurations; false when they mean the same."""

    gateway: tuple[str, ...]
    """Keys of [gateway] that changed."""

    outbox: tuple[str, ...]
    """Keys of [outbox] that changed."""

    devices: Changes
    sinks: Changes
    models: Changes
    alarms: Changes = Changes()
    access: tuple[str, ...] = ()
    """Keys of [access] that changed."""

    services: Changes = Changes()

    def __bool__(self) -> bool:
        return bool(self.lines())

    def lines(self) -> list[str]:
        """The difference for a person, one line for each thing."""
        lines = [f"[gateway] {key} changed" for key in self.gateway] + [
            f"[outbox] {key} changed" for key in self.outbox
        ]
        kinds = {
            "device": self.devices,
            "sink": self.sinks,
            "model": self.models,
            "alarm": self.alarms,
            "service": self.services,
        }
        for kind, changes in kinds.items():
            for word in ("added", "removed", "changed"):
                lines += [f"{kind} {name} {word}" for name in getattr(changes, word)]
        return lines + [f"[access] {key} changed" for key in self.access]


def diff(old: Config, new: Config) -> Diff:
    """What changed from `old` to `new`. Moving tables about in the file, or to another tag file, is no change."""
    return Diff(
        _keys(dict(old.gateway), dict(new.gateway)),
        _keys(dict(old.outbox), dict(new.outbox)),
        _changes(
            {spec.config.name: _device(spec) for spec in old.devices},
            {spec.config.name: _device(spec) for spec in new.devices},
        ),
        _changes({sink.name: sink for sink in old.sinks}, {sink.name: sink for sink in new.sinks}),
        _changes(_models(old), _models(new)),
        _changes(_alarms(old), _alarms(new)),
        _keys(dict(old.access), dict(new.access)),
        _changes({each.name: each for each in old.services}, {each.name: each for each in new.services}),
    )


def kept(old: Sequence[DeviceSpec], new: Sequence[DeviceSpec]) -> list[DeviceSpec]:
    """The new devices, each as its old object where it says the same, wherever in the file."""
    known = {spec.config.name: spec for spec in old}

    def same(spec: DeviceSpec) -> bool:
        before = known.get(spec.config.name)
        return before is not None and _device(before) == _device(spec)

    return [known[spec.config.name] if same(spec) else spec for spec in new]


def _device(spec: DeviceSpec) -> tuple[object, ...]:
    """What a device is, wherever it stands in the file."""
    return spec.config, dict(spec.tags)


def _keys(old: Mapping[str, Any], new: Mapping[str, Any]) -> tuple[str, ...]:
    return tuple(key for key in new if old.get(key) != new[key])


def _models(config: Config) -> dict[str, tuple[ModelSection, str]]:
    """Models by name, with the hash of their files: a new file under the old name is a change."""
    return {model.name or str(model.file): (model, config.files.get(model.file, "")) for model in config.models}


def _alarms(config: Config) -> dict[str, object]:
    limits = {limit.name: limit for limit in config.alarms}
    return {**limits, **{watch.name: watch for watch in config.watches}}


def _changes(old: Mapping[str, V], new: Mapping[str, V]) -> Changes:
    return Changes(
        tuple(name for name in new if name not in old),
        tuple(name for name in old if name not in new),
        tuple(name for name in new if name in old and old[name] != new[name]),
    )
