"""What differs between two configurations, for a reload that restarts only what changed."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, TypeVar

from gateway.config.kinds import DRIVER, KINDS
from gateway.config.model import Config, CoreSections, DeviceSpec, ModelSection
from gateway.config.options import is_single, options

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

    keys: Mapping[str, tuple[str, ...]]
    """Keys that changed, by the name of a table that stands once."""

    parts: Mapping[str, Changes]
    """What changed, by the name of a table that stands several times."""

    files: Changes = Changes()
    """Of the folder `conf.d`; a changed one may still mean the same."""

    switched: Mapping[tuple[str, str], str] = field(default_factory=dict)
    """Of a table that came or went only by its `enabled`: its kind and name, and "enabled" or "disabled"."""

    def __bool__(self) -> bool:
        return bool(self.lines())

    def lines(self) -> list[str]:
        """The difference for a person, one line for each thing."""
        lines = [f"[{table}] {key} changed" for table, keys in self.keys.items() for key in keys]
        for table, changes in {"file": self.files, **self.parts}.items():
            for word in ("added", "removed", "changed"):
                lines += [f"{table} {name} {self.switched.get((table, name), word)}" for name in getattr(changes, word)]
        return lines


def diff(old: Config, new: Config) -> Diff:
    """What changed from `old` to `new`. Moving tables about in the file, or to another tag file, is no change."""
    core = {option.key: is_single(option.type) for option in options(CoreSections)}
    several = dict.fromkeys(
        [DRIVER.table, *(kind.table for kind in KINDS), *(table for table, single in core.items() if not single)]
    )
    return Diff(
        {key: _keys(dict(getattr(old, key)), dict(getattr(new, key))) for key, single in core.items() if single},
        {table: _changes(_by_name(old, table), _by_name(new, table)) for table in several},
        _changes(_drop_ins(old), _drop_ins(new)),
        dict.fromkeys(old.disabled, "enabled") | dict.fromkeys(new.disabled, "disabled"),
    )


def _drop_ins(config: Config) -> Mapping[str, str]:
    """The files beside the main one, with their hashes."""
    return {f"{path.parent.name}/{path.name}": config.files[path] for path in config.parts[1:]}


def _by_name(config: Config, table: str) -> Mapping[str, object]:
    """All of these tables, with what they mean."""
    if table == DRIVER.table:
        return {spec.config.name: _device(spec) for spec in config.devices}
    if table == "model":
        return _models(config)
    found: list[Any] = [] if table not in CoreSections.model_fields else [*getattr(config, f"{table}s")]
    found += [part for kind in KINDS if kind.table == table for part in config.of_kind(kind)]
    return {each.name: each for each in found}


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


def _changes(old: Mapping[str, V], new: Mapping[str, V]) -> Changes:
    return Changes(
        tuple(name for name in new if name not in old),
        tuple(name for name in old if name not in new),
        tuple(name for name in new if name in old and old[name] != new[name]),
    )
