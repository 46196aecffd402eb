"""Finds the option types of the plugin that a table names, or says which plugin may be meant."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any, TypeVar

from gateway.config.base import DeviceConfig, ServiceConfig, SinkConfig, TagConfig, WatchConfig
from gateway.config.mistakes import did_you_mean
from gateway.config.model import PluginTypes
from gateway.config.source import Source
from gateway.config.toml_lines import Steps
from gateway.core.errors import PluginError

T = TypeVar("T")


def driver_types(
    source: Source, place: Steps, where: str, table: Mapping[str, Any], plugins: PluginTypes
) -> tuple[type[DeviceConfig], type[TagConfig]] | None:
    """The device and tag options of a device's driver; None, with the mistake noted, when there is no such driver, or it
    does not load."""
    return _of_kind("driver", source, place, where, table, plugins.driver_types, plugins)


def sink_type(
    source: Source, place: Steps, where: str, table: Mapping[str, Any], plugins: PluginTypes
) -> type[SinkConfig] | None:
    """The options of a sink's plugin; None, with the mistake noted, when there is no such sink, or it does not load."""
    return _of_kind("sink", source, place, where, table, plugins.sink_type, plugins)


def service_type(
    source: Source, place: Steps, where: str, table: Mapping[str, Any], plugins: PluginTypes
) -> type[ServiceConfig] | None:
    """The same of a service's plugin."""
    return _of_kind("service", source, place, where, table, plugins.service_type, plugins)


def watch_type(
    source: Source, place: Steps, where: str, table: Mapping[str, Any], plugins: PluginTypes
) -> type[WatchConfig] | None:
    """The same of the plugin of an `[[alarm]]`."""
    return _of_kind("watch", source, place, where, table, plugins.watch_type, plugins)


_TABLES = {
    "driver": ("device", "driver"),
    "sink": ("sink", "plugin"),
    "service": ("service", "plugin"),
    "watch": ("alarm", "plugin"),
}
"""Kind of plugin → the tables that name one, and their key for it."""


def _of_kind(
    kind: str,
    source: Source,
    place: Steps,
    where: str,
    table: Mapping[str, Any],
    types: Callable[[str], T],
    plugins: PluginTypes,
) -> T | None:
    names = {"driver": plugins.drivers, "sink": plugins.sinks, "service": plugins.services, "watch": plugins.watches}
    key = _TABLES[kind][1]
    try:
        return _ask(table, key, kind, types, names[kind])
    except PluginError as error:
        source.park((*place, key), where, str(error))
    except _UnknownError as unknown:
        message, name = str(unknown), table.get(key)
        for other, (section, other_key) in _TABLES.items():
            if other != kind and name in names[other]():
                message = f'"{name}" is a {other}: write it under [[{section}]], as {other_key} = "{name}"'
        source.wrong((*place, key), f"{where}: {key}", message)
    return None


class _UnknownError(Exception):
    """No option types can be had; says why."""


def _ask(
    table: Mapping[str, Any], key: str, kind: str, types: Callable[[str], T], names: Callable[[], Sequence[str]]
) -> T:
    kind = kind if key == kind else f"{kind} plugin"
    if key not in table:
        raise _UnknownError(f"required key is missing; installed: {', '.join(names())}")
    name = table[key]
    if not isinstance(name, str):
        raise _UnknownError(f"write the name of a {kind} in quotes; installed: {', '.join(names())}")
    try:
        return types(name)
    except KeyError:
        near = did_you_mean(name, names()).replace("; known:", "; installed:")
        raise _UnknownError(f'no {kind} "{name}"{near}') from None
