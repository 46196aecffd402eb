"""Reads a configuration and finds all its mistakes at once.

Each table is checked alone against its own declaration: the gateway's for `[gateway]`, `[outbox]` and `[[model]]`, the
plugin's for a `[[device]]`, its tags and a `[[sink]]`. Only when all are right is a Config made.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from difflib import get_close_matches
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any, TypeVar

from gateway.config.base import Section, SinkConfig, WatchConfig
from gateway.config.config_file import ConfigFile, title
from gateway.config.context_rules import ContextSection, parted
from gateway.config.destinations import of_patterns
from gateway.config.devices import read_device
from gateway.config.kinds import DRIVER, KINDS, PluginKind, PluginTypes
from gateway.config.mistakes import check, did_you_mean, failed
from gateway.config.model import (
    AlarmSection,
    Config,
    CoreSections,
    DeviceSpec,
    GatewaySection,
    LookUp,
    ModelSection,
    OutboxSection,
    own_place,
)
from gateway.config.model import place as place_of
from gateway.config.options import anchored, is_single, options, tables
from gateway.config.plugins import option_types
from gateway.config.templates import TEMPLATES, expand
from gateway.config.text import Steps
from gateway.core.context import Context
from gateway.core.errors import PluginError, Problem
from gateway.core.text import cleaned, folded, hidden_in
from gateway.places.drop_ins import FOLDER, overlooked
from gateway.places.regular import read_regular

S = TypeVar("S", bound=Section)
Tables = list[tuple[Steps, Mapping[str, Any]]]

_MODEL_AT_MOST = 1024**3
"""Bytes that are read of a model file for its hash."""
_NO_DEVICE = 'no [[device]]: add one with name = "…", driver = "…" and its tags under [device.tags]'


def load(path: Path, look_up: LookUp) -> Config:
    """The configuration in a file. Raises ConfigError with every mistake, in the order of the file. A device or sink whose
    plugin does not load is no mistake of the file: it stands in `parked`."""
    return checked(opened(path), look_up)


def checked(source: ConfigFile, look_up: LookUp) -> Config:
    """The same of one that is read already, which then knows where each value was written."""
    _check_top_level(source)
    core = {option.key: option.type for option in options(CoreSections)}
    sections: dict[str, Any] = {key: _single(source, key, type_) for key, type_ in core.items() if is_single(type_)}
    gateway = sections["gateway"]
    plugins = look_up(gateway or _plugin_places(source))
    expand(source, plugins)
    several = {key: _many(source, key) for key in _several_times()}
    sink_tables = several["sink"]
    device_tables = several[DRIVER.table]
    devices = [spec for place, table in device_tables if (spec := read_device(source, place, table, plugins))]
    names = [str(table.get("name", "")) for _, table in device_tables]
    sections[DRIVER.field] = tuple(devices)
    for kind in KINDS:
        if kind is not DRIVER:
            found = [each for each in several[kind.table] if not kind.among_core or kind.key in each[1]]
            sections[kind.field] = _plugged(source, kind, found, plugins, gateway, names)
            several[kind.table] = [each for each in several[kind.table] if each not in found]
    for key, type_ in core.items():
        if not is_single(type_):
            read: Callable[..., tuple[Any, ...]] = _WITH_CHECKS.get(key, _several)
            sections[f"{key}s"] = read(source, key, several[key], type_, names, devices)
    source.raise_if_wrong()
    off = _switched_off(sections)
    return Config(
        source.path,
        source.hash(),
        **sections,
        parked=tuple(source.parked),
        files=source.files,
        parts=source.parts,
        disabled=off,
        spots=_spots(source, several["model"]),
        noted=(
            *_noted(source),
            *of_patterns(source, sink_tables, sections["sinks"], sections["devices"]),
        ),
    )


def _switched_off(sections: dict[str, Any]) -> tuple[tuple[str, str], ...]:
    """Takes out what is disabled; returns the table and the name of each."""
    tables = {kind.field: kind.table for kind in KINDS} | {"models": "model", "alarms": "alarm", "contexts": "context"}
    off = []
    for field, table in tables.items():
        parts: list[tuple[Any, Any]] = [
            (part, part.config if isinstance(part, DeviceSpec) else part) for part in sections[field]
        ]
        sections[field] = tuple(part for part, options in parts if options.enabled)
        off += [(table, str(options.name or options.file)) for _, options in parts if not options.enabled]
    devices = []
    for spec in sections["devices"]:
        tags = {name: tag for name, tag in spec.tags.items() if tag.enabled}
        off += [("tag", f"{spec.config.name}/{name}") for name in spec.tags if name not in tags]
        if tags:
            devices.append(spec if len(tags) == len(spec.tags) else replace(spec, tags=tags))
    sections["devices"] = tuple(devices)
    return tuple(off)


def _spots(source: ConfigFile, models: Tables) -> dict[tuple[str, str], tuple[str, int]]:
    """Where the options of models stand of which more is known later: by the model's name, or its file."""
    return {
        (str(table.get("name") or source.base_of((*place, "file")) / str(table["file"])), key): (
            str(spot.file.path),
            spot.line,
        )
        for place, table in models
        for key in ("file", "devices")
        if (spot := source.spot((*place, key)))
    }


def _noted(source: ConfigFile) -> Iterator[Problem]:
    for name in overlooked(source.path):
        yield Problem(
            str(source.path.parent / FOLDER / name),
            0,
            "",
            "is not read: only names that end in .toml are, in small letters",
        )
    yield from source.noted


def opened(path: Path) -> ConfigFile:
    """A configuration, read and not checked yet. Raises ConfigError if it is no TOML."""
    return ConfigFile(path, _several_times())


def plugin_places(path: Path) -> GatewaySection:
    """Where a configuration has its plugins, however wrong the rest of it is. Raises ConfigError if it is no TOML."""
    return _plugin_places(opened(path))


def _plugin_places(source: ConfigFile) -> GatewaySection:
    table = source.table.get("gateway", {})
    wanted = {key: table[key] for key in ("plugin_dirs", "replaces") if isinstance(table, Mapping) and key in table}
    wanted = {
        key: anchored(GatewaySection, key, each, source.base_of(("gateway", key))) for key, each in wanted.items()
    }
    section, _ = check(GatewaySection, {"name": "unknown", **wanted}, source.base)
    return section or GatewaySection(name="unknown")


def remarks(config: Config) -> list[Problem]:
    """What is allowed in a configuration, and yet hardly meant."""
    found = []
    if not config.sinks:
        found.append(("", "no [[sink]]: the data is kept in the outbox and sent nowhere"))
    for spec in config.devices:
        found += _of_device(spec)
        found += _of_writing(spec, config.gateway.writes)
    found += [remark for alarm in config.alarms for remark in _of_alarm(alarm, config.devices)]
    places = {spec.config.name: place_of(config.gateway, spec.config) for spec in config.devices}
    for sink in config.sinks:
        found += [(f'sink "{sink.name}"', remark) for remark in _of_sink(sink, config, places)]
    return [*config.noted, *(Problem(str(config.path), 0, where, message) for where, message in found)]


def _of_sink(sink: SinkConfig, config: Config, places: Mapping[str, Context]) -> list[str]:
    try:
        return [cleaned(said) for said in sink.remarks(config.gateway.name, own_place(config.gateway), places)]
    except BaseException as error:  # noqa: BLE001 - a plugin's
        return [str(failed(type(sink), error))]


def _of_device(spec: DeviceSpec) -> list[tuple[str, str]]:
    where = f'device "{spec.config.name}"'
    idle = [name for name, tag in spec.tags.items() if tag.heartbeat is not None and tag.deadband is None]
    found = [(f'{where}: tag "{name}"', "heartbeat without a deadband does nothing") for name in idle]
    if spec.config.stale_after is not None and spec.config.stale_after < spec.config.scan:
        found.append((where, "stale_after is shorter than scan: the tags are stale between polls"))
    return found


def _of_alarm(alarm: AlarmSection, devices: Sequence[DeviceSpec]) -> list[tuple[str, str]]:
    """A limit that a value may cross to and fro with its noise; a bit has none."""
    if alarm.condition not in ("high", "low", "rate") or alarm.hysteresis or alarm.on_delay or alarm.off_delay:
        return []
    watched = [spec for spec in devices if any(fnmatchcase(spec.config.name, each) for each in alarm.devices)]
    types = {spec.tags[alarm.tag].value_type() for spec in watched if alarm.tag in spec.tags}
    if types == {"bool"}:
        return []
    message = "has neither hysteresis nor on_delay: a value that wavers about its limit raises it again and again"
    return [(f'alarm "{alarm.name}"', message)]


def _of_writing(spec: DeviceSpec, writes: bool) -> list[tuple[str, str]]:
    names = [] if writes else [name for name, tag in spec.tags.items() if tag.write]
    where = f'device "{spec.config.name}": tag "{names[0]}"' if names else ""
    return [(where, "write = true does nothing while [gateway] writes is false")] if names else []


def _check_top_level(source: ConfigFile) -> None:
    single = [option.key for option in options(CoreSections) if is_single(option.type)]
    known = [*single, *_several_times(), TEMPLATES]
    for key, value in source.table.items():
        if key not in known:
            kind = "table" if isinstance(value, Mapping | list) else "key"
            source.wrong((key,), key, f"unknown {kind}{_meant(key, value, known)}")
    if "gateway" not in source.table:
        source.wrong((), "", 'no [gateway]: add it, with name = "…"')
    if not source.table.get("device"):
        source.wrong((), "", _NO_DEVICE)


def _meant(key: str, value: Any, known: Sequence[str]) -> str:
    if not isinstance(value, Mapping | list):
        for name, section in (("gateway", GatewaySection), ("outbox", OutboxSection)):
            if near := get_close_matches(key, section.model_fields, 1, 0.8):
                return f": {near[0]} belongs under [{name}]"
    return did_you_mean(key, known)


def _single(source: ConfigFile, key: str, section: type[S]) -> S | None:
    """A table that stands once; its defaults when it is not there."""
    table = source.table.get(key, {})
    if not isinstance(table, Mapping):
        source.wrong((key,), f"[{key}]", f"there is only one: write [{key}], in one pair of brackets")
        return None
    if key not in source.table:
        return check(section, table, source.base)[0]
    return source.check(section, table, (key,), f"[{key}]")


def _many(source: ConfigFile, key: str) -> Tables:
    """The tables of an array, with their places and names that differ."""
    value = source.table.get(key, [])
    entries = value if isinstance(value, list) else [value]
    tables: Tables = [((key, index), entry) for index, entry in enumerate(entries) if isinstance(entry, Mapping)]
    if len(tables) < len(entries):
        source.wrong((key,), key, f"write each {key} as a table of its own, under [[{key}]]")
    _check_unique(source, key, tables)
    return tables


def _check_unique(source: ConfigFile, key: str, tables: Tables) -> None:
    first: dict[str, tuple[str, Steps]] = {}
    for place, table in tables:
        name = table.get("name")
        if not isinstance(name, str):
            continue
        known = first.setdefault(folded(name), (name, place))
        if known[1] != place:
            taken = source.shown((*known[1], "name"))
            alike = f'it differs from "{known[0]}" only in what people, or file systems, do not tell apart: '
            message = f"{'' if known[0] == name else alike}this name is taken already at {taken}"
            source.wrong((*place, "name"), f"{title(key, place, table)}: name", message)


def _several_times() -> list[str]:
    """The names of the tables that can stand several times."""
    core = [option.key for option in options(CoreSections) if not is_single(option.type)]
    return [*dict.fromkeys([*(kind.table for kind in KINDS), *core])]


def _plugged(
    source: ConfigFile,
    kind: PluginKind,
    written: Tables,
    plugins: PluginTypes,
    gateway: GatewaySection | None,
    names: Sequence[str],
) -> tuple[Any, ...]:
    """The tables that name a plugin of this kind; `names`: of all devices."""
    found: list[Any] = []
    for place, table in written:
        where = title(kind.table, place, table)
        types = option_types(kind, source, place, where, table, plugins)
        try:
            if types and (part := source.check(types[0], table, place, where)):
                if isinstance(part, SinkConfig):
                    _check_identity(source, place, where, part, found, gateway.name if gateway else "")
                elif isinstance(part, WatchConfig):
                    _watched(source, place, where, part, names, ())
                found.append(part)
        except PluginError as error:
            source.park((*place, kind.key), where, str(error))
    return tuple(found)


def _several(
    source: ConfigFile, key: str, written: Tables, type_: Any, names: Sequence[str], devices: Sequence[DeviceSpec]
) -> tuple[Any, ...]:
    """Tables of the core's that stand by themselves."""
    (section,) = tables(type_)
    found = (source.check(section, table, place, title(key, place, table)) for place, table in written)
    return tuple(each for each in found if each is not None)


def _check_identity(
    source: ConfigFile, place: Steps, where: str, sink: SinkConfig, others: Sequence[SinkConfig], gateway: str
) -> None:
    try:
        identity = sink.identity(gateway)
    except BaseException as error:
        raise failed(type(sink), error) from error
    for other in others if sink.enabled else ():
        if identity and other.enabled and other.identity(gateway) == identity:
            message = f'it uses {identity}, as sink "{other.name}" does: each would push the other out; set another one'
            source.wrong(place, where, message)


def _models(
    source: ConfigFile, key: str, written: Tables, type_: Any, names: Sequence[str], devices: Sequence[DeviceSpec]
) -> tuple[ModelSection, ...]:
    models: dict[str, ModelSection] = {}
    for place, table in written:
        where = title(key, place, table)
        model = source.check(ModelSection, table, place, where)
        if model is None:
            continue
        if model.name is None and str(model.file) in models:
            message = "stands in two [[model]] without a name: name them, or put all devices under one"
            source.wrong((*place, "file"), f"{where}: file", message)
        _check_model(source, place, where, model, names, devices)
        source.hashed(model.file, _content(model.file))
        models[model.name or str(model.file)] = model
    return tuple(models.values())


def _content(path: Path) -> bytes | None:
    try:
        return read_regular(path, _MODEL_AT_MOST)
    except OSError:
        return None


def _check_model(
    source: ConfigFile,
    place: Steps,
    where: str,
    model: ModelSection,
    names: Sequence[str],
    devices: Sequence[DeviceSpec],
) -> None:
    for spec in _watched(source, place, where, model, names, devices):
        for name, tag in model.tags.items():
            if tag not in spec.tags and not source.is_wrong_tag(spec.config.name, tag):
                message = f'device "{spec.config.name}" has no tag "{tag}"{did_you_mean(tag, spec.tags)}'
                source.wrong((*place, "tags", name), f"{where}: tags.{name}", message)
            elif model.enabled and tag in spec.tags and not spec.tags[tag].enabled:
                source.wrong((*place, "tags", name), f"{where}: tags.{name}", _off(spec, tag))


def _off(spec: DeviceSpec, tag: str) -> str:
    return f'tag "{tag}" of device "{spec.config.name}" is disabled: give this enabled = false too, or that tag back'


def _alarms(
    source: ConfigFile, key: str, written: Tables, type_: Any, names: Sequence[str], devices: Sequence[DeviceSpec]
) -> tuple[AlarmSection, ...]:
    alarms = []
    for place, table in written:
        where = title(key, place, table)
        alarm = source.check(AlarmSection, table, place, where)
        if alarm is None:
            continue
        alarms.append(alarm)
        for spec in _watched(source, place, where, alarm, names, devices):
            if source.is_wrong_tag(spec.config.name, alarm.tag):
                continue
            if alarm.tag not in spec.tags:
                message = f'device "{spec.config.name}" has no tag "{alarm.tag}"{did_you_mean(alarm.tag, spec.tags)}'
                source.wrong((*place, "tag"), f"{where}: tag", message)
            elif alarm.enabled and not spec.tags[alarm.tag].enabled:
                source.wrong((*place, "tag"), f"{where}: tag", _off(spec, alarm.tag))
            elif alarm.no_data is None and spec.tags[alarm.tag].value_type() in ("string", "bytes"):
                message = f'tag "{alarm.tag}" of device "{spec.config.name}" is no number; only no_data can watch it'
                source.wrong((*place, "tag"), f"{where}: tag", message)
    return tuple(alarms)


def _contexts(
    source: ConfigFile, key: str, written: Tables, type_: Any, names: Sequence[str], devices: Sequence[DeviceSpec]
) -> tuple[ContextSection, ...]:
    rules: list[ContextSection] = []
    by_name = {spec.config.name: spec for spec in devices}
    for place, table in written:
        where = title(key, place, table)
        rule = source.check(ContextSection, table, place, where)
        if rule is None:
            continue
        unit = [spec.config.name for spec in _watched(source, place, where, rule, names, devices)]
        for option, written_as in rule.sources.items():
            device, tag = parted(written_as)
            for name in [device] if device else unit:
                if message := _no_such_tag(source, by_name, names, name, tag):
                    source.wrong((*place, option), f"{where}: {option}", message)
        if message := _contradicted(rule, unit, rules, devices):
            source.wrong((*place, "sets"), f"{where}: sets", message)
        rules.append(rule)
    return tuple(rules)


def _no_such_tag(
    source: ConfigFile, by_name: Mapping[str, DeviceSpec], names: Sequence[str], device: str, tag: str
) -> str:
    """Why a tag of a device cannot be looked at; empty where it can, or where its mistake is told elsewhere."""
    spec = by_name.get(device)
    if spec is None:
        return "" if device in names else f'no device is named "{device}"{did_you_mean(device, names)}'
    if source.is_wrong_tag(device, tag):
        return ""
    if tag not in spec.tags:
        return f'device "{device}" has no tag "{tag}"{did_you_mean(tag, spec.tags)}'
    if not spec.tags[tag].enabled:
        return _off(spec, tag)
    return ""


def _contradicted(
    rule: ContextSection, unit: Sequence[str], others: Sequence[ContextSection], devices: Sequence[DeviceSpec]
) -> str:
    """Why this rule and one before it would say two things of one device at the same time; empty where that need not be."""
    for other in others:
        if not (rule.enabled and other.enabled and rule.sets == other.sets):
            continue
        both = [name for name in unit if any(fnmatchcase(name, pattern) for pattern in other.devices)]
        if both and (rule.when is None or other.when is None or rule.when == other.when):
            return (
                f'"{other.name}" says the {rule.sets} of device "{both[0]}" too, at the same time: give each a when of '
                "its own, or take one of them away"
            )
    return ""


def _watched(
    source: ConfigFile,
    place: Steps,
    where: str,
    section: ModelSection | AlarmSection | ContextSection | WatchConfig,
    names: Sequence[str],
    devices: Sequence[DeviceSpec],
) -> list[DeviceSpec]:
    """The devices that a table's patterns describe; a pattern that describes none is noted."""
    for index, pattern in enumerate(section.devices):
        if not source.is_in_part and not any(fnmatchcase(_visible(name), pattern) for name in names):
            near = did_you_mean(pattern, names)
            source.wrong((*place, "devices", index), f"{where}: devices", f'no device is named "{pattern}"{near}')
    by_name = {spec.config.name: spec for spec in reversed(devices)}  # of two of one name, which is told, the first
    return [spec for name, spec in by_name.items() if any(fnmatchcase(name, pattern) for pattern in section.devices)][
        ::-1
    ]


def _visible(name: str) -> str:
    """A name without what nobody sees in it, which is a mistake of its own."""
    return name if name.isascii() else "".join(char for char in name if not hidden_in(char))


_WITH_CHECKS: Mapping[str, Callable[..., tuple[Any, ...]]] = {"model": _models, "alarm": _alarms, "context": _contexts}
"""Tables that are checked against others, too."""
